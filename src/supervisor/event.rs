//! What the decider hears and what it asks for. Data only.

use std::{fmt, time::Duration};

use crate::{
    config::{LogLevel, Service as ServiceConfig, ServiceName},
    process::{Exit, Pid, ProcessId, Table},
    protocol::{Changes, Request, Response},
};

/// A service, as the decider and the shell name it to each other; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// A client of the control socket; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Whose process a client of the control socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its user ID.
    pub uid: u32,
    /// Its PID; 0 where it lies outside musterd's PID namespace.
    pub pid: Pid,
    /// Whether it may only look: what may be a secret is not shown to it.
    pub observes: bool,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}, pid {}", self.uid, self.pid)
    }
}

/// What a command is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The service's `start`.
    Start,
    /// The service's `stop`.
    Stop,
    /// The service's `reload`.
    Reload,
    /// A probe: its exit code tells, 0 is success.
    Probe(Probing),
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probing {
    /// Whether what the service comes after answers: its place in `after_addresses`.
    Address(u32),
    /// Whether the service is ready.
    Ready,
    /// Whether the service is well.
    Health,
}

/// What a service says of itself (sd_notify(3)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
    /// `STATUS=…`.
    Status(String),
    /// `WATCHDOG=1`.
    Watchdog,
    /// `WATCHDOG=trigger`.
    Unwell,
    /// `MAINPID=…`.
    MainPid(Pid),
}

/// A new configuration.
#[derive(Clone, Debug)]
pub struct Reconfiguration {
    /// The services from now on, in this order; those that are not among them are stopped and forgotten.
    pub services: Vec<ServiceConfig>,
    /// How long all of the shutdown may take.
    pub shutdown_timeout: Duration,
    /// What of it is new, and what must be started anew for that.
    pub changes: Changes,
    /// By whom or what it was asked for, for the log: `SIGHUP`.
    pub cause: String,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A deadline may have passed; also the very first event.
    Tick,
    /// An `Action::Spawn` was done.
    Spawned {
        /// Whose command.
        service: ServiceId,
        /// Which command.
        purpose: Purpose,
        /// The new process.
        process: ProcessId,
        /// Whether it leads a session of its own; otherwise (it has the terminal that musterd shares with others) it
        /// leads only a process group in musterd's session.
        leads_session: bool,
    },
    /// An `Action::Spawn` could not be done.
    SpawnFailed {
        /// Whose command.
        service: ServiceId,
        /// Which command.
        purpose: Purpose,
        /// `cannot …`: what failed and why.
        error: String,
    },
    /// A process that was spawned or watched ended, or an orphan (whose start is then 0) was reaped.
    Ended {
        /// The process.
        process: ProcessId,
        /// How.
        exit: Exit,
        /// Whether it is certain that it has left nobody in the session that bears its PID.
        session_empty: bool,
    },
    /// The last line that a probe wrote, printable and cut to a line's length; before its `Ended`.
    Said {
        /// The probe's process.
        process: ProcessId,
        /// The line.
        line: String,
    },
    /// A line as in the service's `ready.log` came while one was awaited (`Action::AwaitLine`).
    LineSeen(ServiceId),
    /// The service says something of itself; the sender's user is one that may.
    Notified {
        /// The service whose socket it came by.
        service: ServiceId,
        /// Who sent it.
        sender: Pid,
        /// What.
        notification: Notification,
    },
    /// The answer to `Look::Orphans`: the children of musterd; `None` where the kernel doesn't list them.
    Orphans(Option<Vec<Pid>>),
    /// The answer to `Look::Table`.
    Scanned(Table),
    /// The answer to `Look::Usage`.
    Measured(Table),
    /// `Look::Table` or `Look::Usage` could not be done; it is asked for again after a pause.
    ScanFailed {
        /// Why.
        error: String,
    },
    /// A client asks.
    Asked {
        /// Who.
        client: ClientId,
        /// Who that is.
        caller: Caller,
        /// What.
        request: Request,
    },
    /// An `Action::Deliver` was done, or could not be.
    Delivered {
        /// Who asked.
        client: ClientId,
        /// Whose main process was meant.
        service: ServiceId,
        /// Why it could not be done.
        error: Option<String>,
    },
    /// A client that had asked does not wait for its answer any more; what it asked for is done all the same.
    HungUp {
        /// Who.
        client: ClientId,
    },
    /// The configuration is another one from now on.
    Reconfigured(Box<Reconfiguration>),
    /// An `Action::Forget` was done.
    Forgotten(ServiceId),
    /// musterd was told to end.
    Terminate {
        /// By whom or what, for the log: `SIGTERM`.
        cause: String,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run a service's command; answered by `Spawned` or `SpawnFailed`.
    Spawn {
        /// Whose command.
        service: ServiceId,
        /// Which command.
        purpose: Purpose,
    },
    /// Tell the end of this process, which musterd did not start, by `Ended`.
    Watch(ProcessId),
    /// Send a signal to exactly this process.
    Signal {
        /// The process.
        process: ProcessId,
        /// The signal's number.
        signal: i32,
    },
    /// Send a signal that a client asked for to exactly this process; answered by `Delivered`.
    Deliver {
        /// Who asked.
        client: ClientId,
        /// Whose main process it is.
        service: ServiceId,
        /// The process.
        process: ProcessId,
        /// The signal's number.
        signal: i32,
    },
    /// Answer a client.
    Reply {
        /// Who asked.
        client: ClientId,
        /// The answer.
        response: Response,
    },
    /// Tell people.
    Tell(Notice),
    /// From now on (or no longer) a line of the service's output is awaited that its `ready.log` is found in.
    AwaitLine {
        /// Whose output.
        service: ServiceId,
        /// Whether it is awaited.
        awaited: bool,
    },
    /// What was written for the service until now is given out, a line that has begun too, unless it is seen that
    /// somebody goes on with it.
    FlushOutput {
        /// Whose output.
        service: ServiceId,
        /// Whether it is certain that nobody is left who could.
        is_last: bool,
    },
    /// The service is no more: what is kept for it is given up; answered by `Forgotten`.
    Forget(ServiceId),
    /// End musterd with this exit code.
    Exit(u8),
}

/// What the decider must see before it can go on; asked once all events at hand have been stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// The whole process table, without what takes longer to be read (arguments, executable, environment): somebody
    /// wants to know what the services take.
    Usage,
    /// musterd's own children: whether a process that ended left some behind.
    Orphans,
    /// The whole process table.
    Table,
}

/// One decision, for people: `service "web": MESSAGE: CAUSE; CONSEQUENCE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// How important.
    pub level: LogLevel,
    /// About which service.
    pub service: Option<ServiceName>,
    /// About which process.
    pub pid: Option<Pid>,
    /// What was decided, in constant words.
    pub message: &'static str,
    /// Why.
    pub cause: String,
    /// What follows from it.
    pub consequence: Option<String>,
}
