//! What happened to services, as words for programs: `why` and `events`. Keeps nothing.

use serde::{Deserialize, Serialize};

use super::StateName;
use crate::config::LogLevel;

/// The version of the words of [`Happening`]: higher once a field goes or means something else. New fields and new
/// kinds of events do not raise it.
pub const EVENTS_VERSION: u32 = 1;

/// Something that happened to a service, or to musterd itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Ascends by one from event to event, over all services, from 1 at musterd's start.
    pub number: u64,
    /// When, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// To which service; null for musterd itself.
    pub service: Option<String>,
    /// The process that it is about, if it is about one.
    pub pid: Option<i32>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// The service's state changed; `pid` is its main process now.
    State {
        /// The state before.
        from: StateName,
        /// The state now.
        to: StateName,
        /// What brought it about.
        cause: Cause,
        /// The same in full, for people.
        reason: String,
    },
    /// The service's main process or start command ended.
    Exit(ExitWords),
    /// A client of the control socket asked for something to be done.
    Request {
        /// The verb.
        verb: String,
        /// The client's user ID.
        uid: u32,
        /// The client's PID; 0 where it lies outside musterd's PID namespace.
        client: i32,
    },
    /// A decision or an observation, as it stands in musterd's own messages.
    Message {
        /// How important.
        level: LogLevel,
        /// What, in constant words.
        message: String,
        /// Why.
        cause: String,
        /// What follows from it.
        consequence: Option<String>,
    },
    /// An event of a kind that this musterd does not know.
    #[serde(other)]
    Unknown,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitWords {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal's name (or number), if one killed it.
    pub signal: Option<String>,
    /// Whether the kernel wrote a core file.
    pub core: bool,
    /// Whether the kernel's OOM killer has probably done it.
    pub oom: bool,
}

/// One of the last ends of a service's main process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// When it was heard of, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The process.
    pub pid: i32,
    /// How it ended, for people: `killed by SIGKILL`.
    pub text: String,
    /// How it ended.
    #[serde(flatten)]
    pub exit: ExitWords,
}

/// What brought a state about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The configuration: it is wanted, or not, from the beginning; or a new one.
    Configuration,
    /// A client asked.
    Request,
    /// musterd shuts down.
    Shutdown,
    /// What it comes after.
    Dependency,
    /// It is being started, or was.
    Start,
    /// It ran already, or another process took over.
    Found,
    /// Its main process ended.
    Exit,
    /// It could not be started, or was not ready in time.
    StartFailed,
    /// The pause before the next start.
    Pause,
    /// A health check failed, or it took too much.
    Unfit,
    /// It is given up.
    GivenUp,
    /// Another cause, of a newer musterd.
    #[serde(other)]
    Other,
}
