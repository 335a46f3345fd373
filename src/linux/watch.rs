//! Hears how processes end, and signals them: always one certain process, never whoever has its PID
//! now. Decides nothing about what follows.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    libc,
    sys::epoll::{Epoll, EpollEvent, EpollFlags},
};
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use super::{spawn::Spawned, stat};
use crate::process::{Exit, Pid, ProcessId};

/// Bytes of the list of some thousand children.
const CHILDREN: usize = 16 * 1024;

/// A process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which process; its start is 0 where it was not watched.
    pub id: ProcessId,
    /// How it ended.
    pub exit: Exit,
    /// Whether it was watched: otherwise an orphan that musterd had to reap.
    pub watched: bool,
    /// Whether it is certain that nobody is left in the session and the process group that bear its PID.
    pub session_empty: bool,
}

impl Ended {
    /// A watched process has gone, and nothing more is known.
    pub fn unseen(id: ProcessId) -> Self {
        Self { id, exit: Exit::Unknown, watched: true, session_empty: false }
    }
}

/// What came of the wish to watch a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchResult {
    /// Its end will be told at once.
    Watched,
    /// Its end will be found by `Watcher::sweep`.
    Swept,
    /// It has ended.
    Ended,
}

/// Why a process was not signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalError {
    /// It has ended: what the signal was for is perhaps achieved.
    Gone,
    /// PID 1, musterd itself, or no process at all: never signalled.
    Forbidden,
    /// The kernel refused.
    Failed(Errno),
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignalError::Gone => f.write_str("it has ended"),
            SignalError::Forbidden => f.write_str("musterd signals neither PID 1 nor itself"),
            SignalError::Failed(errno) => f.write_str(&errno.desc().to_lowercase()),
        }
    }
}

impl std::error::Error for SignalError {}

/// How the end of a watched process becomes known.
#[derive(Debug)]
enum Source {
    /// By the pidfd, in epoll, or by SIGCHLD: musterd started it. Its PID is its own until it is reaped.
    Child(Option<OwnedFd>),
    /// By the pidfd, in epoll.
    Pidfd(OwnedFd),
    /// By looking again.
    Sweep(Option<OwnedFd>),
}

impl Source {
    fn pidfd(&self) -> Option<&OwnedFd> {
        match self {
            Source::Child(pidfd) | Source::Sweep(pidfd) => pidfd.as_ref(),
            Source::Pidfd(pidfd) => Some(pidfd),
        }
    }
}

/// What a pidfd could be had for.
enum Opened {
    Pidfd(OwnedFd),
    Gone,
    /// Not by this kernel or its filter of system calls.
    Never,
    /// Not now, as for want of descriptors.
    Failed,
}

/// The watched processes.
#[derive(Debug)]
pub struct Watcher {
    watched: HashMap<Pid, (u64, Source)>,
    token: fn(Pid) -> u64,
    no_pidfd: bool,
    no_pidfd_told: bool,
}

impl Watcher {
    /// Watches nothing yet; `token` makes what epoll returns for a PID.
    pub fn new(token: fn(Pid) -> u64) -> Self {
        Self { watched: HashMap::new(), token, no_pidfd: false, no_pidfd_told: false }
    }

    /// Watches a process that musterd started.
    pub fn add_child(&mut self, epoll: &Epoll, spawned: Spawned) {
        if let Some(pidfd) = &spawned.pidfd {
            // Where there is no room for it, SIGCHLD tells as well, only slower.
            let _ = epoll.add(pidfd, EpollEvent::new(EpollFlags::EPOLLIN, (self.token)(spawned.id.pid)));
        }
        self.watched.insert(spawned.id.pid, (spawned.id.start, Source::Child(spawned.pidfd)));
    }

    /// Watches a process that musterd did not start, or goes on watching it.
    ///
    /// Its start time is read after its pidfd was opened: a recycled PID is never watched. One whose
    /// start is unknown (0) counts as ended.
    pub fn watch(&mut self, epoll: &Epoll, id: ProcessId) -> WatchResult {
        match self.watched.get(&id.pid) {
            Some((start, Source::Sweep(_))) if *start == id.start => return WatchResult::Swept,
            Some((start, Source::Child(_) | Source::Pidfd(_))) if *start == id.start => {
                return WatchResult::Watched;
            }
            Some(_) | None => {}
        }
        let source = match self.open(id.pid) {
            Opened::Gone => return WatchResult::Ended,
            Opened::Pidfd(pidfd) => {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, (self.token)(id.pid));
                match epoll.add(&pidfd, event) {
                    Ok(()) => Source::Pidfd(pidfd),
                    Err(_) => Source::Sweep(Some(pidfd)),
                }
            }
            Opened::Never | Opened::Failed => Source::Sweep(None),
        };
        if !stat::lives(id) {
            return WatchResult::Ended;
        }
        let result = match source {
            Source::Sweep(_) => WatchResult::Swept,
            Source::Child(_) | Source::Pidfd(_) => WatchResult::Watched,
        };
        self.watched.insert(id.pid, (id.start, source));
        result
    }

    /// True once, when it has turned out that this kernel gives no pidfd.
    pub fn pidfd_missing(&mut self) -> bool {
        self.no_pidfd && !std::mem::replace(&mut self.no_pidfd_told, true)
    }

    /// Reaps until nothing is left, watched or not. Never blocks.
    pub fn reap(&mut self, ended: &mut Vec<Ended>) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_pid();
                    let watched = self.watched.remove(&pid);
                    let pidfd = watched.as_ref().and_then(|(_, source)| source.pidfd());
                    let session_empty = pidfd.is_some_and(|pidfd| is_session_empty(pid, pidfd));
                    let start = watched.map(|(start, _)| start);
                    let id = ProcessId { pid, start: start.unwrap_or(0) };
                    ended.push(Ended { id, exit: exit(status), watched: start.is_some(), session_empty });
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// What became of a process whose pidfd epoll reported, at a cost that does not grow with the number
    /// of children, as that of `reap` does; `None` if it was told already.
    pub fn collect(&mut self, pid: Pid) -> Option<Ended> {
        let (_, source) = self.watched.get(&pid)?;
        let (pidfd, exit) = match source {
            Source::Child(Some(pidfd)) => (pidfd, reap_by(pidfd).filter(|exit| *exit != Exit::Unknown)?),
            Source::Pidfd(pidfd) => (pidfd, reap_by(pidfd)?),
            Source::Child(None) | Source::Sweep(_) => return None,
        };
        let session_empty = exit != Exit::Unknown && is_session_empty(pid, pidfd);
        let (start, _) = self.watched.remove(&pid)?;
        Some(Ended { id: ProcessId { pid, start }, exit, watched: true, session_empty })
    }

    /// Looks after those processes that the kernel does not tell of.
    pub fn sweep(&mut self, ended: &mut Vec<Ended>) {
        let gone = self.watched.extract_if(|&pid, (start, source)| match source {
            Source::Sweep(_) => !stat::lives(ProcessId { pid, start: *start }),
            Source::Child(_) | Source::Pidfd(_) => false,
        });
        ended.extend(gone.map(|(pid, (start, _))| Ended::unseen(ProcessId { pid, start })));
    }

    /// Sends a signal, by number, to exactly this process.
    ///
    /// # Errors
    /// See `SignalError`.
    pub fn signal(&mut self, id: ProcessId, signal: i32) -> Result<(), SignalError> {
        if id.pid <= 1 || id.pid == own_pid() {
            return Err(SignalError::Forbidden);
        }
        if !(1..=libc::SIGRTMAX()).contains(&signal) {
            return Err(SignalError::Failed(Errno::EINVAL));
        }
        match self.watched.get(&id.pid).filter(|(start, _)| *start == id.start).map(|(_, source)| source) {
            Some(Source::Child(None)) => return kill(id.pid, signal),
            Some(source) if source.pidfd().is_some_and(|pidfd| told(pidfd, signal)) => return Ok(()),
            Some(_) | None => {}
        }
        // Opened anew where there is none, and where the kernel refused, to learn why.
        match self.open(id.pid) {
            Opened::Gone => Err(SignalError::Gone),
            _ if !stat::surely_lives(id) => Err(SignalError::Gone),
            Opened::Pidfd(pidfd) if told(&pidfd, signal) => Ok(()),
            // What may happen between the look and the call needs all PIDs to be used up in it.
            Opened::Pidfd(_) | Opened::Never | Opened::Failed => kill(id.pid, signal),
        }
    }

    fn open(&mut self, pid: Pid) -> Opened {
        if self.no_pidfd {
            return Opened::Never;
        }
        let Some(pid) = rustix::process::Pid::from_raw(pid) else { return Opened::Gone };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Opened::Pidfd(pidfd),
            // INVAL, in new kernels NOENT: the number is a thread's now, so that the process is gone.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {
                Opened::Gone
            }
            // PERM is how a filter of system calls says that there is no such call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                self.no_pidfd = true;
                Opened::Never
            }
            Err(_) => Opened::Failed,
        }
    }
}

/// The PIDs of musterd's children, its orphans among them (proc_pid_task_children(5)).
///
/// # Errors
/// `Unsupported` by a kernel without CONFIG_PROC_CHILDREN.
pub fn orphans() -> io::Result<Vec<Pid>> {
    let mut file = File::open("/proc/thread-self/children").map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::from(io::ErrorKind::Unsupported),
        _ => error,
    })?;
    // Room for all that there usually is: the kernel counts from the first child again for each read.
    let mut list = Vec::with_capacity(CHILDREN);
    file.read_to_end(&mut list)?;
    Ok(pids(&list))
}

/// The PIDs of a list of children.
pub(super) fn pids(list: &[u8]) -> Vec<Pid> {
    let pid = |word: &[u8]| str::from_utf8(word).ok()?.parse().ok().filter(|&pid| pid > 0);
    list.split(u8::is_ascii_whitespace).filter_map(pid).collect()
}

fn own_pid() -> Pid {
    rustix::process::getpid().as_raw_pid()
}

/// wait(2)'s status; a stop or a continuation was not asked for.
fn exit(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(number)) => Exit::Signal { number, core: libc::WCOREDUMP(status.as_raw()) },
        (None, None) => Exit::Unknown,
    }
}

/// Reaps the process of a pidfd that was readable, and only that (P_PIDFD needs Linux 5.4); `Unknown` if it
/// is not musterd's child, `None` if it is and still runs.
fn reap_by(pidfd: &OwnedFd) -> Option<Exit> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(status) => break status?,
            Err(_) => return Some(Exit::Unknown),
        }
    };
    Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(number)) => Exit::Signal { number, core: status.dumped() },
        (None, None) => Exit::Unknown,
    })
}

/// Whether a process that was reaped has left nobody in the session and the process group that bear its PID. As long as
/// somebody is in one of them the number stays in use, and `F_SETOWN` refuses one that is not (kernel/pid.c, fs/fcntl.c;
/// before Linux 4.14 it took any, so that the answer is no).
fn is_session_empty(pid: Pid, pidfd: &OwnedFd) -> bool {
    // SAFETY: neither nix nor rustix has it; the rule (the descriptor is open) holds, as it is borrowed.
    let owned = unsafe { libc::fcntl(pidfd.as_raw_fd(), libc::F_SETOWN, -pid) };
    Errno::result(owned) == Err(Errno::ESRCH)
}

/// Whether the kernel took the signal for the process of this pidfd.
fn told(pidfd: &OwnedFd, signal: i32) -> bool {
    // SAFETY: the safe constructor knows no real-time signals; the rule (the C library's own signals
    // are not used on this program) holds, as the signal goes to another process.
    let signal = unsafe { rustix::process::Signal::from_raw_unchecked(signal) };
    rustix::process::pidfd_send_signal(pidfd, signal).is_ok()
}

fn kill(pid: Pid, signal: i32) -> Result<(), SignalError> {
    // SAFETY: nix and rustix know no real-time signals; the rule (a PID greater than 1 means one
    // process) was checked by the caller.
    match Errno::result(unsafe { libc::kill(pid, signal) }) {
        Ok(_) => Ok(()),
        Err(Errno::ESRCH) => Err(SignalError::Gone),
        Err(errno) => Err(SignalError::Failed(errno)),
    }
}
