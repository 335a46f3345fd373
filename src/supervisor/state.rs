//! The wish (goal), the fact (state) and the reason, each apart from the others. Decides nothing.

use std::{fmt, path::PathBuf, time::Duration};

use humantime::format_duration;

use super::{Caller, Look};
use crate::{
    config::StartLimit,
    process::{Exit, Pid, ProcessId, Table},
    protocol::{Cause, StateName},
    time::Time,
};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The service shall run.
    Up,
    /// The service shall not run.
    Down,
}

/// What is, with the facts that belong to it. The ways from one to another are in `transitions`.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Nothing runs and nothing is wanted.
    Stopped,
    /// Wanted; what it comes after is not there yet. So many addresses have answered.
    Waiting { answered: usize },
    /// No main process is known: a look tells whether one is left, runs already, or must be started.
    Seeking(Seek),
    /// The start command was asked for; the answer comes at once.
    Spawning,
    /// The start command works and is not itself the service.
    Starting { starter: Main, until: Time },
    /// The main process is there and not ready yet; at `until` the start has failed, or after a delay is done.
    Readying { main: Main, until: Time },
    /// The main process is there, and ready.
    Running { main: Main },
    /// The main process is there, and its health check fails.
    Unhealthy { main: Main },
    /// What is still there is being ended; then the goal decides.
    Stopping(Ending),
    /// Missing; sought and started when the time has come.
    Backoff { until: Time },
    /// It ended, and is not to be started again.
    Exited,
    /// It is given up.
    Failed,
}

impl State {
    pub(super) fn name(&self) -> StateName {
        match self {
            State::Stopped => StateName::Stopped,
            State::Waiting { .. } => StateName::Waiting,
            State::Seeking(_) | State::Spawning | State::Starting { .. } | State::Readying { .. } => {
                StateName::Starting
            }
            State::Running { .. } => StateName::Running,
            State::Unhealthy { .. } => StateName::Unhealthy,
            State::Stopping(_) => StateName::Stopping,
            State::Backoff { .. } => StateName::Backoff,
            State::Exited => StateName::Exited,
            State::Failed => StateName::Failed,
        }
    }

    /// The process that the service stands or falls with.
    pub(super) fn main(&self) -> Option<&Main> {
        match self {
            State::Readying { main, .. } | State::Running { main } | State::Unhealthy { main } => Some(main),
            State::Starting { starter, .. } => Some(starter),
            State::Stopping(ending) => ending.main.as_ref(),
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => None,
        }
    }

    /// The main process that is the service itself, and no start command; not while it is being ended.
    pub(super) fn established(&self) -> Option<&Main> {
        match self {
            State::Readying { main, .. } | State::Running { main } | State::Unhealthy { main } => Some(main),
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => None,
        }
    }

    /// Whether nothing of the service is there, if only for a pause.
    pub(super) fn is_over(&self) -> bool {
        self.is_at_rest() || matches!(self, State::Backoff { .. })
    }

    /// Whether the start command or main process is there, and is not being ended.
    pub(super) fn is_up(&self) -> bool {
        match self {
            State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. } => true,
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => false,
        }
    }

    /// Whether nothing of the service is there and nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        match self {
            State::Stopped | State::Exited | State::Failed => true,
            State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. } => false,
        }
    }
}

/// A search for the service's process.
#[derive(Clone, Debug)]
pub(super) struct Seek {
    /// The main process or start command that just ended.
    pub(super) gone: Option<Gone>,
    /// Whether the whole table is needed, or only whether the dead one left orphans.
    pub(super) needs_table: bool,
    /// What the start command left, until its pidfile names the service among them; `None`: looks now.
    pub(super) later: Option<Later>,
}

/// The next look for a pidfile.
#[derive(Clone, Debug)]
pub(super) struct Later {
    pub(super) at: Time,
    /// What lives: the look comes earlier when one of these ends.
    pub(super) left: Vec<ProcessId>,
    /// Whether all of it is certainly the service's.
    pub(super) is_own: bool,
}

/// The main process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Main {
    pub(super) id: ProcessId,
    /// Since when the service runs: for a daemon the time when its start command was run.
    pub(super) since: Time,
    /// Its session, where that is the service's alone.
    pub(super) session: Option<Pid>,
    pub(super) found: Found,
    /// Whether it was ready by a `ready` rule.
    pub(super) was_ready: bool,
}

impl Main {
    /// While it lives: the session in which it was seen, and the one that bears its PID, which nobody else can have
    /// made. A daemon may be seen before it has called setsid(2).
    pub(super) fn sessions(&self) -> impl Iterator<Item = Pid> + use<> {
        let seen = self.session;
        let own = seen.map(|_| self.id.pid).filter(|own| Some(*own) != seen);
        seen.into_iter().chain(own)
    }

    pub(super) fn gone(&self, exit: Exit, established: bool, now: Time) -> Gone {
        let (id, session, since) = (self.id, self.session, self.since);
        Gone { id, exit, session, established, since, ended: now }
    }
}

/// How the main process became it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// musterd started it.
    Started,
    /// The start command with this PID left it behind.
    Daemonised { by: Pid },
    /// The start command with this PID left it behind, under a name that is not the service's.
    Followed { from: Pid },
    /// It was left in the session of the former main process with this PID.
    TookOver { from: Pid, exit: Exit },
    /// It ran already.
    Adopted(Rule),
    /// The process with this PID announced it (`MAINPID=…`).
    Announced { by: Pid },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Started => write!(f, "started"),
            Found::Daemonised { by } => write!(f, "daemonised by pid {by}"),
            Found::Followed { from } => write!(f, "descends from pid {from}"),
            Found::TookOver { from, exit } => write!(f, "took over from {from}, which {exit}"),
            Found::Adopted(rule) => write!(f, "adopted: {rule}"),
            Found::Announced { by } => write!(f, "announced by pid {by}"),
        }
    }
}

/// Which rule found a process, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// musterd's own record of an earlier life.
    Record,
    /// The pidfile.
    Pidfile,
    /// The mark in its environment.
    Mark,
    /// The whole argument vector.
    CommandLine,
    /// The executable's path.
    Executable,
    /// The name.
    Name,
    /// What `match` gives instead of a name.
    Match,
}

impl Rule {
    /// All, best first.
    pub(super) const ALL: [Rule; 7] = [
        Rule::Record,
        Rule::Pidfile,
        Rule::Mark,
        Rule::CommandLine,
        Rule::Executable,
        Rule::Name,
        Rule::Match,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Record => "musterd's record of it",
            Rule::Pidfile => "named by its pidfile",
            Rule::Mark => "its MUSTERD_SERVICE",
            Rule::CommandLine => "same command line",
            Rule::Executable => "same executable",
            Rule::Name => "same name",
            Rule::Match => "what match demands",
        })
    }
}

/// A main process or start command that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gone {
    pub(super) id: ProcessId,
    pub(super) exit: Exit,
    pub(super) session: Option<Pid>,
    /// False for a start command, which hands over to what it leaves anywhere.
    pub(super) established: bool,
    /// When the service was started.
    pub(super) since: Time,
    /// When the end was heard of.
    pub(super) ended: Time,
}

impl Gone {
    /// Whether what is left of the service goes on.
    pub(super) fn hands_over(&self) -> bool {
        self.exit.is_clean()
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "main process {} {}", self.id.pid, self.exit)
    }
}

/// A session that is a service's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Its leader's PID, and so the session's ID.
    pub(super) leader: Pid,
    /// The leader had started by then, in ticks: a later process with this PID leads another session.
    by: u64,
}

impl Session {
    /// The session that a process was in.
    pub(super) fn joined_by(member: ProcessId, leader: Pid) -> Self {
        Session { leader, by: if member.start == 0 { u64::MAX } else { member.start } }
    }

    /// Whether what the table shows under this ID is the session that was meant.
    pub(super) fn is_in(self, table: &Table) -> bool {
        table.get(self.leader).is_none_or(|leader| leader.id.start <= self.by)
    }
}

/// The processes of a service that are being ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// The main process, until it ended.
    pub(super) main: Option<Main>,
    /// The stop command, until it ended.
    pub(super) stopper: Option<ProcessId>,
    /// What else is known to be left.
    pub(super) left: Vec<ProcessId>,
    /// The sessions that must be empty in the end.
    pub(super) sessions: Vec<Session>,
    /// How far it went.
    pub(super) force: Force,
    /// What must be looked at to know what is left.
    pub(super) look: Option<Look>,
    /// When to look again whether what was killed has gone.
    pub(super) look_at: Option<Time>,
    /// The main process or start command that ended.
    pub(super) gone: Option<Gone>,
}

/// How a service is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// Asked, by its stop signal or stop command; killed at the time given.
    Asked { kill_at: Time },
    /// Killed.
    Killed,
}

/// What a client of the control socket asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) verb: &'static str,
    pub(super) caller: Caller,
}

/// Why a service is in its state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    NotStartedYet,
    NoAutostart,
    Asked(Asked),
    Shutdown,
    /// Its configuration has changed.
    Reconfigured,
    /// The configuration has it no more.
    Removed,
    /// Waits for these services.
    After(String),
    /// Waits until this address answers, and what the last probe of it said.
    Address {
        address: String,
        said: Option<String>,
    },
    /// The main process with this PID is not ready: what is awaited, and what the last probe said.
    Unready {
        main: Pid,
        awaited: String,
        said: Option<String>,
    },
    /// It was never ready.
    ReadyTimeout {
        after: Duration,
        said: Option<String>,
    },
    /// It is not as it should be: a check failed, or it took too much.
    Unfit(String),
    /// It ended, by the restart policy for good.
    Over {
        gone: Gone,
        policy: &'static str,
    },
    /// It is given up.
    GivenUp {
        cause: String,
        limit: Option<StartLimit>,
    },
    /// The process table shows whether it runs already.
    Sought,
    Spawning,
    /// The start command with this PID works.
    StartCommand(Pid),
    /// The start command with this PID exited 0, and this file does not name what it left.
    Pidfile {
        starter: Pid,
        path: PathBuf,
    },
    StartTimeout {
        starter: Pid,
        after: Duration,
    },
    /// What the start command with this PID left never took the service's name.
    NeverNamed {
        from: Pid,
    },
    Found(Found),
    /// Started again since the main process ended.
    Restarted {
        gone: Gone,
        found: Found,
    },
    /// Started again since it was not as it should be.
    Remedied {
        why: String,
        found: Found,
    },
    /// Started after it could not be.
    Recovered {
        error: String,
        found: Found,
    },
    Pause {
        cause: String,
        pause: Duration,
    },
    /// The main process ended, and what follows is being found out.
    Gone(Gone),
    /// Ends what a crash left.
    Remains(Gone),
    /// Stopped, for this reason.
    Ended {
        why: Box<Reason>,
        gone: Gone,
    },
}

impl Reason {
    /// The same in one word, for programs.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Reason::NotStartedYet | Reason::NoAutostart | Reason::Reconfigured | Reason::Removed => {
                Cause::Configuration
            }
            Reason::Asked(_) => Cause::Request,
            Reason::Shutdown => Cause::Shutdown,
            Reason::After(_) | Reason::Address { .. } => Cause::Dependency,
            Reason::Sought
            | Reason::Spawning
            | Reason::Unready { .. }
            | Reason::StartCommand(_)
            | Reason::Pidfile { .. }
            | Reason::Found(Found::Started | Found::Daemonised { .. } | Found::Followed { .. }) => {
                Cause::Start
            }
            Reason::Found(Found::TookOver { .. } | Found::Adopted(_) | Found::Announced { .. }) => {
                Cause::Found
            }
            Reason::ReadyTimeout { .. }
            | Reason::StartTimeout { .. }
            | Reason::NeverNamed { .. }
            | Reason::Recovered { .. } => Cause::StartFailed,
            Reason::Unfit(_) | Reason::Remedied { .. } => Cause::Unfit,
            Reason::Gone(_) | Reason::Over { .. } | Reason::Restarted { .. } | Reason::Remains(_) => {
                Cause::Exit
            }
            Reason::Pause { .. } => Cause::Pause,
            Reason::GivenUp { .. } => Cause::GivenUp,
            Reason::Ended { why, .. } => why.cause(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotStartedYet => write!(f, "not started yet"),
            Reason::NoAutostart => write!(f, "autostart = false"),
            Reason::Asked(Asked { verb, caller }) => write!(f, "asked by ctl {verb} ({caller})"),
            Reason::Shutdown => write!(f, "musterd is shutting down"),
            Reason::Reconfigured => f.write_str(RECONFIGURED),
            Reason::Removed => write!(f, "the configuration has it no more"),
            Reason::After(names) => write!(f, "waits for {names}"),
            Reason::Address { address, said } => write!(f, "waits for {address}{}", behind(said)),
            Reason::Unready { main, awaited, said } => {
                write!(f, "main process {main} is not ready; waits for {awaited}{}", behind(said))
            }
            Reason::ReadyTimeout { after, said } => {
                write!(f, "not ready after {}{}", format_duration(*after), behind(said))
            }
            Reason::Unfit(why) => f.write_str(why),
            Reason::Over { gone, policy } => write!(f, "{gone}{policy}"),
            Reason::GivenUp { cause, limit: None } => f.write_str(cause),
            Reason::GivenUp { cause, limit: Some(StartLimit { starts, within }) } => {
                write!(f, "{cause}; given up after {starts} starts within {}", format_duration(*within))
            }
            Reason::Sought => write!(f, "looked for among the processes"),
            Reason::Spawning => write!(f, "being started"),
            Reason::StartCommand(pid) => write!(f, "start command {pid} is at work"),
            Reason::StartTimeout { starter, after } => {
                write!(f, "start command {starter} was still at work after {}", format_duration(*after))
            }
            Reason::Pidfile { starter, path } => {
                write!(f, "start command {starter} exited 0; waits for {}", path.display())
            }
            Reason::NeverNamed { from } => {
                write!(f, "what start command {from} left never took the service's name")
            }
            Reason::Found(found) => found.fmt(f),
            Reason::Restarted { gone, found: Found::Started } => write!(f, "restarted: {gone}"),
            Reason::Restarted { gone, found } => write!(f, "restarted: {gone}; {found}"),
            Reason::Remedied { why, found: Found::Started } => write!(f, "restarted: {why}"),
            Reason::Remedied { why, found } => write!(f, "restarted: {why}; {found}"),
            Reason::Recovered { error, found } => write!(f, "{found}; before that: {error}"),
            Reason::Pause { cause, pause } => write!(f, "{cause}; pause of {}", format_duration(*pause)),
            Reason::Gone(gone) => gone.fmt(f),
            Reason::Remains(gone) => write!(f, "{gone}; ending what it left"),
            Reason::Ended { why, gone } => write!(f, "{why}; {gone}"),
        }
    }
}

/// Why a service is started anew whose configuration has changed.
pub(super) const RECONFIGURED: &str = "its configuration has changed";

/// What was said last, behind what it is about.
fn behind(said: &Option<String>) -> String {
    said.as_ref().map_or_else(String::new, |said| format!(": {said}"))
}
