//! What is known of processes: identity, how they end, the table of them. Data only.

use std::{collections::HashMap, ffi::OsString, fmt, path::PathBuf};

use nix::sys::signal::Signal;

use crate::time::Time;

/// A PID: a name that the kernel gives to another process later.
pub type Pid = i32;

/// Names one process for ever: its PID, and its start time in clock ticks since boot
/// (`/proc/PID/stat` field 22, proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// The PID.
    pub pid: Pid,
    /// The start time, in ticks since boot; 0 where it could not be read.
    pub start: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal (by number: real-time signals have no name here).
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the kernel wrote a core file.
        core: bool,
    },
    /// SIGKILL ended it, and the kernel has killed somebody since memory was out: probably this one.
    OutOfMemory,
    /// Only its parent knows, and that is not musterd.
    Unknown,
}

impl Exit {
    /// True for exit code 0.
    pub fn is_clean(self) -> bool {
        self == Exit::Code(0)
    }

    /// The exit code, if it exited.
    pub fn code(self) -> Option<i32> {
        match self {
            Exit::Code(code) => Some(code),
            Exit::Signal { .. } | Exit::OutOfMemory | Exit::Unknown => None,
        }
    }

    /// The name of the signal that killed it, or its number where it has none.
    pub fn signal_name(self) -> Option<String> {
        match self {
            Exit::Signal { number, .. } => Some(
                Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string()),
            ),
            Exit::OutOfMemory => Some(Signal::SIGKILL.to_string()),
            Exit::Code(_) | Exit::Unknown => None,
        }
    }

    /// Whether the kernel wrote a core file.
    pub fn dumped_core(self) -> bool {
        matches!(self, Exit::Signal { core: true, .. })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(code) => write!(f, "exited {code}"),
            Exit::Signal { number, core } => {
                match Signal::try_from(number) {
                    Ok(signal) => write!(f, "killed by {signal}")?,
                    Err(_) => write!(f, "killed by signal {number}")?,
                }
                if core {
                    write!(f, " (core dumped)")?;
                }
                Ok(())
            }
            Exit::OutOfMemory => write!(f, "killed by SIGKILL (probably as memory was out)"),
            Exit::Unknown => write!(f, "ended"),
        }
    }
}

/// Whether a process in the table can be a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs, sleeps or is stopped; also where only its first thread ended while others run.
    Alive,
    /// A zombie or dead: only its parent's `wait` is outstanding.
    Dead,
    /// A thread of the kernel.
    Kernel,
}

/// One line of the process table.
#[derive(Clone, Debug)]
pub struct Process {
    /// Which process.
    pub id: ProcessId,
    /// The parent's PID; 0 where it lies outside the PID namespace.
    pub parent: Pid,
    /// The session's ID; 0 where it lies outside the PID namespace.
    pub session: Pid,
    /// Whether it lives.
    pub life: Life,
    /// `comm`: the name in the kernel, 15 bytes at most.
    pub comm: OsString,
    /// The argument vector, as the program may have rewritten it; empty for zombies and kernel threads.
    pub argv: Vec<OsString>,
    /// The executable, without a trailing ` (deleted)`; `None` where it may not be read.
    pub exe: Option<PathBuf>,
    /// The value of `MUSTERD_SERVICE` in its environment; `None` also where that may not be read.
    pub mark: Option<OsString>,
    /// Its users; `None` where nobody asked.
    pub users: Option<Users>,
    /// Its resident memory in bytes (`rss`, proc_pid_stat(5)), pages that it shares with others included.
    pub memory: u64,
    /// The processor time that it and its threads have used, in clock ticks (`utime` and `stime`).
    pub cpu: u64,
    /// Whether its environment has the mark of musterd's probes: it is a probe or was left by one, never a service.
    pub probe: bool,
    /// True for a process of another container: another mount namespace, or where that cannot be read
    /// another cgroup. Never true where musterd is PID 1 of its PID namespace.
    pub foreign: bool,
}

/// Whose a process is, by user ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// Who started it.
    pub real: u32,
    /// With whose rights it acts.
    pub effective: u32,
}

impl Users {
    /// Whether the user is one of these.
    pub fn include(self, user: u32) -> bool {
        self.real == user || self.effective == user
    }
}

/// What a pidfile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pidfile {
    /// The PID in it.
    pub pid: Pid,
    /// When it was written, at the latest.
    pub written: Time,
    /// The user ID of its owner.
    pub owner: u32,
}

/// What names in a configuration stand for, at the moment of the table; what was asked for and is not here
/// stands for nothing.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// What the pidfiles say.
    pub pidfiles: HashMap<PathBuf, Pidfile>,
    /// Where the paths of executables lead to.
    pub programs: HashMap<PathBuf, PathBuf>,
    /// The IDs of users.
    pub users: HashMap<String, u32>,
}

/// The process table at one moment, in order of PID, without threads and without musterd itself.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The processes, by ascending PID.
    pub processes: Vec<Process>,
    /// What the services' `match` names besides.
    pub named: Named,
}

impl Table {
    /// The process with this PID.
    pub fn get(&self, pid: Pid) -> Option<&Process> {
        self.processes.binary_search_by_key(&pid, |process| process.id.pid).ok().map(|at| &self.processes[at])
    }

    /// The process, if it is still this one and lives.
    pub fn alive(&self, id: ProcessId) -> Option<&Process> {
        self.get(id.pid).filter(|process| process.id.start == id.start && process.life == Life::Alive)
    }
}
