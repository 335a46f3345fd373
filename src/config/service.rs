//! What a service is told to be, as types that cannot be wrong. Reads nothing.

use std::{path::PathBuf, time::Duration};

use nix::sys::signal::Signal;

use super::{
    Capability, Environment, Identity, Limit, Logging, Match, Regex, ServiceName,
    shell::{MASK, masked},
    words::assignment,
};

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Whether it is there for ever, or runs once to completion.
    pub kind: Kind,
    /// What starts it.
    pub start: Command,
    /// What stops it; `None`: `stop_signal`.
    pub stop: Option<Command>,
    /// What makes it read its own configuration anew; `None`: `reload_signal`.
    pub reload: Option<Command>,
    /// Which process it is.
    pub matching: Match,
    /// How long an absence that no event told of may last.
    pub interval: Duration,
    /// The services that must be ready (tasks: done) before it is started and that are stopped after it.
    pub after: Vec<ServiceName>,
    /// What must answer outside before it is started, each an address for `musterd probe`.
    pub after_addresses: Vec<String>,
    /// Whether it is wanted from the beginning.
    pub autostart: bool,
    /// Whether it is started again when it ended.
    pub restart: Restart,
    /// The exit codes that are no failure.
    pub success_codes: Vec<u8>,
    /// The pause before a restart.
    pub backoff: Backoff,
    /// After how long a run the back-off begins anew; zero: every restart is immediate.
    pub stable_after: Duration,
    /// After so many starts it is given up; `None`: never.
    pub start_limit: Option<StartLimit>,
    /// Whether the container ends when the service ends for good.
    pub essential: bool,
    /// How long a start command or `reload` may work.
    pub start_timeout: Duration,
    /// When it is ready.
    pub ready: Ready,
    /// Where its output goes.
    pub log: Logging,
    /// How its health is checked; `None`: not at all.
    pub check: Option<Check>,
    /// The signal that asks it to stop.
    pub stop_signal: Signal,
    /// How long it has to stop before it is killed.
    pub stop_timeout: Duration,
    /// The signal that makes it read its own configuration anew; `None`: it cannot be told to by a signal.
    pub reload_signal: Option<Signal>,
    /// The most memory of main process and descendants together, in bytes.
    pub memory_max: Option<Guard<u64>>,
    /// The most processor time of main process and descendants together, in percent of one processor.
    pub cpu_max: Option<Guard<f64>>,
    /// The directory that its commands run in; `None`: musterd's own.
    pub directory: Option<PathBuf>,
    /// As whom its commands run.
    pub identity: Identity,
    /// What its commands find in their environment.
    pub environment: Environment,
    /// The file mode creation mask; `None`: musterd's own.
    pub umask: Option<u32>,
    /// The nice value, -20 to 19; `None`: musterd's own.
    pub nice: Option<i32>,
    /// Resource limits besides musterd's own.
    pub limits: Vec<Limit>,
    /// How willingly the kernel kills it when memory is out, -1000 to 1000; `None`: as musterd.
    pub oom_score_adj: Option<i32>,
    /// The capabilities that it keeps; `None`: what the user's change leaves.
    pub capabilities: Option<Vec<Capability>>,
    /// Whether its programs can gain no privileges (set-user-ID bits, file capabilities).
    pub no_new_privileges: bool,
    /// Whether it has musterd's terminal, stdin, stdout and stderr (`--main`).
    pub terminal: bool,
}

impl Service {
    /// A service with the defaults of the table of keys, whose process bears the basename of `start`.
    pub fn new(name: ServiceName, start: Command) -> Self {
        const INTERVAL: Duration = Duration::from_secs(60);
        let basename = start.argv.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
        Service {
            name,
            kind: Kind::Service,
            stop: None,
            reload: None,
            matching: Match::by_default(basename),
            start,
            interval: INTERVAL,
            after: Vec::new(),
            after_addresses: Vec::new(),
            autostart: true,
            restart: Restart::Always,
            success_codes: vec![0],
            backoff: Backoff { initial: Duration::from_millis(250), factor: 2.0, max: INTERVAL },
            stable_after: Duration::from_secs(10),
            start_limit: None,
            essential: false,
            start_timeout: Duration::from_secs(90),
            ready: Ready::default(),
            log: Logging::default(),
            check: None,
            stop_signal: Signal::SIGTERM,
            stop_timeout: Duration::from_secs(5),
            reload_signal: None,
            memory_max: None,
            cpu_max: None,
            directory: None,
            identity: Identity::default(),
            environment: Environment::default(),
            umask: None,
            nice: None,
            limits: Vec::new(),
            oom_score_adj: None,
            capabilities: None,
            no_new_privileges: false,
            terminal: false,
        }
    }
}

/// A command: an argument vector, executed directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The argument vector, never empty; a command that needs a shell has become `/bin/sh -c …`.
    pub argv: Vec<String>,
    /// Its leading `VAR=value` words.
    pub environment: Vec<(String, String)>,
}

impl Command {
    /// The same without the values of its `VAR=value` words, which may be secrets; those of a shell's text too.
    pub(crate) fn masked(&self) -> Self {
        let environment = self.environment.iter().map(|(name, _)| (name.clone(), MASK.to_owned()));
        let is_script = |at: usize| at > 0 && is_script_option(&self.argv[at - 1]);
        let word = |(at, word): (usize, &String)| match assignment(word) {
            _ if is_script(at) => masked(word),
            Some((name, _)) => format!("{name}={MASK}"),
            None => word.clone(),
        };
        Self { argv: self.argv.iter().enumerate().map(word).collect(), environment: environment.collect() }
    }
}

/// Whether a shell's text follows: `-c`, `-lc`, and what `env` or `su` call so.
fn is_script_option(word: &str) -> bool {
    word == "--command" || (word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))
}

/// What the end of a service means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It is there as long as it is wanted.
    #[default]
    Service,
    /// It runs once to completion.
    Task,
}

/// Whether a service that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// However it ended; a task until it succeeds.
    #[default]
    Always,
    /// Unless it exited with a code of success.
    OnFailure,
    /// In no case.
    Never,
}

/// The pause before a restart: none the first time, then `initial`, growing by `factor` up to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The pause before the second restart in a row.
    pub initial: Duration,
    /// What each further pause is multiplied by; 1 at least.
    pub factor: f64,
    /// The longest pause (never more than the service's interval).
    pub max: Duration,
}

/// A service is given up when it would be started more often than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartLimit {
    /// So many starts, 1 at least.
    pub starts: u32,
    /// Within this time.
    pub within: Duration,
}

/// When a service is ready.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    /// What shows it.
    pub rule: ReadyRule,
    /// How long that may take; then the start has failed.
    pub timeout: Duration,
}

impl Default for Ready {
    fn default() -> Self {
        Ready { rule: ReadyRule::Started, timeout: Duration::from_secs(90) }
    }
}

/// What shows that a service is ready.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadyRule {
    /// Its main process exists.
    Started,
    /// The probe succeeds.
    Probe(Probe),
    /// A line of its output in which this is found.
    Log(Regex),
    /// It says so itself (`READY=1`, sd_notify(3)).
    Notify,
    /// Its main process has existed for so long.
    Delay(Duration),
}

/// A question that a process of its own answers, by its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A command of the service's, run as it.
    Exec(Command),
    /// An address for `musterd probe`: `tcp://HOST:PORT` or `http://…`.
    Address(String),
}

/// A repeated check of a running service's health.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is looked at.
    pub rule: CheckRule,
    /// The pause between two of them, from end to begin; for `Notify` the longest silence.
    pub every: Duration,
    /// How long one may take; then it failed.
    pub timeout: Duration,
    /// So many failures in a row make the service unhealthy, 1 at least.
    pub retries: u32,
    /// What is done then.
    pub on_failure: Remedy,
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckRule {
    /// Whether the probe succeeds.
    Probe(Probe),
    /// Whether the service itself says that it lives (`WATCHDOG=1`, sd_notify(3)).
    Notify,
}

/// What is done about a service that is not as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remedy {
    /// It is stopped and started again.
    #[default]
    Restart,
    /// People are told, and the state shows it.
    Report,
}

/// A limit that musterd watches itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard<T> {
    /// More than this is too much.
    pub max: T,
    /// For so long it may be too much; zero: not even once.
    pub lasting: Duration,
    /// What is done then.
    pub on_excess: Remedy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_assignments_are_masked_in_any_word_and_in_a_shells_text() {
        let shown = |argv: &[&str]| {
            let argv = argv.iter().map(|&word| word.to_owned()).collect();
            let environment = vec![("TOKEN".to_owned(), "geheim".to_owned())];
            let masked = Command { argv, environment }.masked();
            assert_eq!(masked.environment, [("TOKEN".to_owned(), MASK.to_owned())]);
            masked.argv.join(" ")
        };
        assert_eq!(
            shown(&["/usr/bin/env", "KEY=geheim", "srv", "--port=80"]),
            "/usr/bin/env KEY=… srv --port=80"
        );
        assert_eq!(shown(&["sh", "-c", "cd /; KEY=geheim srv", "arg0"]), "sh -c cd /; KEY=… srv arg0");
        assert_eq!(shown(&["bash", "-lc", "KEY=geheim srv"]), "bash -lc KEY=… srv");
        assert_eq!(shown(&["su", "app", "--command", "KEY=geheim srv"]), "su app --command KEY=… srv");
        assert_eq!(shown(&["srv", "--sync", "KEY geheim"]), "srv --sync KEY geheim");
    }
}
