//! Acts: the only part that makes system calls. Holds no policy: nothing here asks "should I?".

pub mod caller;
mod channel;
mod child;
pub mod control;
mod endpoint;
mod env_file;
mod environment;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod identity;
mod lines;
pub mod log;
pub mod manager;
mod message;
mod missing;
mod named;
pub mod notify;
pub mod output;
pub mod paths;
pub mod pidfile;
pub mod probes;
pub mod record;
mod render;
pub mod reserve;
mod secret;
pub mod setup;
mod sink;
mod small_file;
pub mod spawn;
mod spawn_error;
mod stat;
pub mod table;
pub mod terminal;
mod vfork;
pub mod watch;
