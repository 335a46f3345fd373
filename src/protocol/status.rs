//! What is known of one service, as words. Knows no service.

use serde::{Deserialize, Serialize};

use super::{LastExit, StateName};

/// What is known of one service. What an older manager does not tell is null or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: StateName,
    /// Whether it is wanted.
    pub wanted: bool,
    /// The main process' PID.
    pub pid: Option<i32>,
    /// How often it was started again without having been asked to.
    pub restarts: u64,
    /// Why it is in this state.
    pub reason: String,
    /// When it came into this state, RFC 3339 in UTC.
    pub since: String,
    /// Seconds in this state, by the monotonic clock.
    pub seconds: f64,
    /// When the pause before the next start is over, RFC 3339 in UTC; null but in back-off.
    pub next_start: Option<String>,
    /// Ends and failed starts in a row, on which the pause before the next start depends; none once it has ended for good
    /// with success.
    #[serde(default)]
    pub failures: u32,
    /// When its health is checked next, RFC 3339 in UTC; null while it is not checked.
    #[serde(default)]
    pub next_check: Option<String>,
    /// What its health check says; null without one.
    #[serde(default)]
    pub health: Option<Health>,
    /// Where lines of it are lost just now; of those told who asked for `detail`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_failures: Vec<LogFailure>,
    /// What it takes; its keys are there only where that was measured.
    #[serde(flatten)]
    pub usage: Option<Usage>,
    /// The last ends of its main process, the latest first; of those told who asked for `measured` or `detail`.
    #[serde(default)]
    pub last_exits: Vec<LastExit>,
    /// How it is configured and what follows from that, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<Fact>,
}

/// What a service's health check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether the last check succeeded; null before the first one.
    pub well: Option<bool>,
    /// When that was, RFC 3339 in UTC.
    pub checked: Option<String>,
    /// How many failed in a row.
    pub failed: u32,
    /// So many make it unhealthy.
    pub retries: u32,
    /// What was wrong the last time: the last line of the probe's output, for one.
    pub failure: Option<String>,
}

/// A place that a service's output goes to and that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFailure {
    /// The path of a log file, or `stdout`, `stderr`, `stdout and stderr`: musterd's own.
    pub to: String,
    /// Why it cannot be written.
    pub cause: String,
    /// How many lines, of all services that write there, that has cost so far.
    pub lost_lines: usize,
}

/// What main process, session and descendants of a service take together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time, in percent of one processor, over the last `cpu_over` seconds.
    pub cpu: f64,
    /// Over how many seconds that is: since the look before, or where there was none since the oldest process' start.
    pub cpu_over: f64,
    /// Resident memory in bytes, pages that they share counted for each.
    pub memory: u64,
    /// How many processes there are besides the main process.
    pub children: u64,
}

/// A fact for people: `match`, `"apache2"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about: the key of the configuration, where there is one.
    pub name: String,
    /// What is so.
    pub value: String,
}
