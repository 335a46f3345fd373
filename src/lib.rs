//! musterd calls the roll of a container's processes and starts whoever is missing.
//!
//! `config` parses once into types that cannot be wrong, `supervisor` decides (pure: no clock, no
//! system call), `linux` acts, `ctl` talks to a running manager in the words of `protocol`, `probe`
//! asks an address.

pub mod cli;
pub mod config;
pub mod ctl;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod linux;
pub mod probe;
pub mod process;
pub mod protocol;
pub mod supervisor;
mod text;
pub mod time;
