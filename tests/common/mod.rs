//! What the end-to-end tests share: waiting for a condition, running a command, the words of `ctl status --json`.
//! Knows neither namespaces nor engines.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde::Deserialize;

/// Long enough for a machine that is busy with other things; a test that passes waits only as long as it must. Less
/// than the usual interval of a minute, by whose scan all would come at last.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Between two looks at a condition: short beside what is waited for, long beside the cost of a look.
const LOOK: Duration = Duration::from_millis(10);

/// What `condition` gives once it gives something; fails after `limit`.
pub(crate) fn wait_within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begin = now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} in vain: {what}");
        pause();
    }
}

/// As `wait_within`, with the usual limit.
pub(crate) fn wait<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(LIMIT, what, condition)
}

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a test measures from outside; time is an argument in musterd only"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the interval between two looks at a condition, not a wait for it"
)]
fn pause() {
    std::thread::sleep(LOOK);
}

/// Runs a command to its end.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot execute {program}: {error}"))
}

/// What a command wrote, stdout before stderr.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// One object of `ctl status --json`: the keys that scripts may rely on.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) pid: Option<i32>,
    pub(crate) restarts: u64,
    pub(crate) reason: String,
    pub(crate) since: String,
}

impl Status {
    /// The services in a status report; none where no manager answered.
    pub(crate) fn parse(output: &Output) -> Vec<Status> {
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}
