//! Acts: the only part that makes system calls. Holds no policy: nothing here asks "should I?".

mod channel;
pub mod control;
mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod lines;
pub mod log;
pub mod manager;
mod message;
mod named;
pub mod notify;
pub mod output;
pub mod paths;
pub mod pidfile;
pub mod probes;
pub mod record;
mod render;
pub mod setup;
mod sink;
mod small_file;
pub mod spawn;
mod spawn_error;
mod stat;
pub mod table;
mod vfork;
pub mod watch;
