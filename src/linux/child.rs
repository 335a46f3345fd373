//! What a new process does to itself before it executes its program. Prepares nothing: all that it needs
//! is in its order.

use std::{
    cell::Cell,
    ffi::{CStr, c_char, c_int, c_long, c_uint},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use nix::{errno::Errno, libc};

use super::spawn_error::Stage;
use crate::config::{Capability, Limit};

/// The kernel's `struct sigaction` in words of 64 bits, a handler, flags, a restorer and a mask: all zero
/// is the default.
const SIGACTION: usize = 4;
/// The bytes of its mask (rt_sigaction(2)).
const SIGNAL_SET: usize = 8;

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: two words of 32 bits for each set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// What the new process has of a session and a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    /// A session of its own without a terminal.
    Own,
    /// A session of its own whose controlling terminal is its stdin; `certain`: nobody else can have it.
    Terminal {
        /// Otherwise the terminal may be that of another session, and the new one has none then.
        certain: bool,
    },
    /// A process group of its own in musterd's session, the foreground group of its terminal.
    Foreground,
}

/// Everything that a new process does before its program, in this order.
pub(super) struct Order<'a> {
    pub(super) session: Session,
    /// No descriptor above this one is among the next three.
    pub(super) last: BorrowedFd<'a>,
    pub(super) stdin: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    pub(super) umask: Option<u32>,
    pub(super) nice: Option<i32>,
    /// A number as text.
    pub(super) oom_score_adj: Option<&'a CStr>,
    pub(super) files_limit: Option<libc::rlimit>,
    pub(super) limits: &'a [Limit],
    pub(super) groups: Option<&'a [u32]>,
    pub(super) group: Option<u32>,
    pub(super) user: Option<u32>,
    /// What is kept, capability N as bit N.
    pub(super) capabilities: Option<u64>,
    pub(super) no_new_privileges: bool,
    pub(super) directory: Option<&'a CStr>,
    pub(super) ignored: &'a [c_int],
    pub(super) program: &'a CStr,
    pub(super) argv: &'a [&'a CStr],
    pub(super) environment: &'a [&'a CStr],
}

impl Order<'_> {
    /// Whether the kernel may take from the memory, which the new process shares, that it can be dumped.
    pub(super) fn changes_rights(&self) -> bool {
        self.user.is_some() || self.group.is_some() || self.capabilities.is_some()
    }
}

/// An order with its words as execve(2) wants them, and what became of it.
pub(super) struct Errand<'a> {
    order: &'a Order<'a>,
    /// Whether the table of descriptors is musterd's own, not to be written to, until it is left.
    pub(super) shares_files: bool,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The step that failed.
    pub(super) failure: Cell<Option<Failure>>,
}

/// The step that failed, and why.
pub(super) type Failure = (Stage, Errno);

impl<'a> Errand<'a> {
    pub(super) fn new(order: &'a Order<'a>, shares_files: bool) -> Self {
        let pointers =
            |words: &[&CStr]| words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        Errand {
            order,
            shares_files,
            argv: pointers(order.argv),
            environment: pointers(order.environment),
            failure: Cell::new(None),
        }
    }

    /// Takes the steps; returns only with the one that failed. To be called in the new process: allocates
    /// nothing, takes no lock, cannot panic.
    pub(super) fn carry_out(&self) -> Result<(), Failure> {
        self.begin_session()?;
        self.arrange_descriptors()?;
        self.lower_priority()?;
        self.limit_resources()?;
        self.change_rights()?;
        if let Some(directory) = self.order.directory {
            call(Stage::Directory, libc::SYS_chdir, [address(directory.as_ptr()), 0, 0, 0, 0])?;
        }
        self.reset_signals()?;
        let (argv, environment) = (address(self.argv.as_ptr()), address(self.environment.as_ptr()));
        let program = address(self.order.program.as_ptr());
        call(Stage::Execute, libc::SYS_execve, [program, argv, environment, 0, 0]).map(|_| ())
    }

    fn begin_session(&self) -> Result<(), Failure> {
        let stdin = c_long::from(self.order.stdin.as_raw_fd());
        match self.order.session {
            Session::Own => call(Stage::Session, libc::SYS_setsid, [0; 5]).map(|_| ()),
            Session::Terminal { certain } => {
                call(Stage::Session, libc::SYS_setsid, [0; 5])?;
                let taken =
                    call(Stage::Terminal, libc::SYS_ioctl, [stdin, libc::TIOCSCTTY as c_long, 0, 0, 0]);
                if certain { taken.map(|_| ()) } else { Ok(()) }
            }
            Session::Foreground => {
                call(Stage::Session, libc::SYS_setpgid, [0; 5])?;
                let group = call(Stage::Session, libc::SYS_getpid, [0; 5])? as libc::pid_t;
                // SIGTTOU, by which the terminal would refuse this to the background, is ignored by musterd.
                let request = libc::TIOCSPGRP as c_long;
                call(Stage::Terminal, libc::SYS_ioctl, [stdin, request, address(&raw const group), 0, 0])
                    .map(|_| ())
            }
        }
    }

    fn arrange_descriptors(&self) -> Result<(), Failure> {
        let order = self.order;
        if self.shares_files {
            let first = c_long::from(order.last.as_raw_fd()) + 1;
            let flags = c_long::from(libc::CLOSE_RANGE_UNSHARE);
            call(Stage::Descriptors, libc::SYS_close_range, [first, c_uint::MAX.into(), flags, 0, 0])?;
        }
        let places = [
            (Stage::Stdin, order.stdin, libc::STDIN_FILENO),
            (Stage::Stdout, order.stdout, libc::STDOUT_FILENO),
            (Stage::Stderr, order.stderr, libc::STDERR_FILENO),
        ];
        for (stage, fd, place) in places {
            // SAFETY: the safe forms own descriptors, which close on drop, and arm64 has no such system call;
            // the rule (async-signal-safe, signal-safety(7)) holds, and the table is this process' own.
            if unsafe { libc::dup2(fd.as_raw_fd(), place) } == -1 {
                return Err((stage, Errno::last()));
            }
        }
        Ok(())
    }

    fn lower_priority(&self) -> Result<(), Failure> {
        if let Some(umask) = self.order.umask {
            call(Stage::Umask, libc::SYS_umask, [umask.into(), 0, 0, 0, 0])?;
        }
        if let Some(nice) = self.order.nice {
            const THIS_PROCESS: [c_long; 2] = [0, 0];
            let [which, who] = THIS_PROCESS;
            call(Stage::Nice, libc::SYS_setpriority, [which, who, nice.into(), 0, 0])?;
        }
        if let Some(score) = self.order.oom_score_adj {
            // The kernel sets it for all that share the memory, but spares the parent of a vfork(2).
            let (path, flags) = (c"/proc/self/oom_score_adj", libc::O_WRONLY | libc::O_CLOEXEC);
            let stage = Stage::OomScoreAdj;
            let place = [libc::AT_FDCWD.into(), address(path.as_ptr()), flags.into(), 0, 0];
            let file = call(stage, libc::SYS_openat, place)?;
            let length = score.to_bytes().len() as c_long;
            call(stage, libc::SYS_write, [file, address(score.as_ptr()), length, 0, 0])?;
            call(stage, libc::SYS_close, [file, 0, 0, 0, 0])?;
        }
        Ok(())
    }

    fn limit_resources(&self) -> Result<(), Failure> {
        let set = |stage, resource: c_long, limit: &libc::rlimit| {
            call(stage, libc::SYS_prlimit64, [0, resource, address(ptr::from_ref(limit)), 0, 0])
        };
        if let Some(limit) = &self.order.files_limit {
            set(Stage::FilesLimit, libc::RLIMIT_NOFILE as c_long, limit)?;
        }
        for limit in self.order.limits {
            let value = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
            set(Stage::Limit(*limit), limit.resource as c_long, &value)?;
        }
        Ok(())
    }

    /// By the system calls themselves: the C library's functions have every thread of the process that it
    /// knows follow, and here it knows musterd's.
    fn change_rights(&self) -> Result<(), Failure> {
        let order = self.order;
        if let Some(kept) = order.capabilities {
            bound(kept)?;
            // A user other than root keeps what is permitted until it is chosen from (PR_SET_KEEPCAPS(2const)).
            prctl(Stage::Capabilities, libc::PR_SET_KEEPCAPS, 1, 0)?;
        }
        if let Some(groups) = order.groups {
            let arguments = [groups.len() as c_long, address(groups.as_ptr()), 0, 0, 0];
            call(Stage::Groups, libc::SYS_setgroups, arguments)?;
        }
        if let Some(group) = order.group.map(c_long::from) {
            call(Stage::Group, libc::SYS_setresgid, [group, group, group, 0, 0])?;
        }
        if let Some(user) = order.user.map(c_long::from) {
            call(Stage::User, libc::SYS_setresuid, [user, user, user, 0, 0])?;
        }
        if let Some(kept) = order.capabilities {
            keep(kept)?;
        }
        if order.no_new_privileges {
            prctl(Stage::NoNewPrivileges, libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
        }
        Ok(())
    }

    fn reset_signals(&self) -> Result<(), Failure> {
        let none = [0u64; SIGACTION];
        let none = address(none.as_ptr());
        for &signal in self.order.ignored {
            // The call itself, as the C library refuses its own signals (32 and 33).
            let arguments = [signal.into(), none, 0, SIGNAL_SET as c_long, 0];
            call(Stage::Signals, libc::SYS_rt_sigaction, arguments)?;
        }
        let arguments = [libc::SIG_SETMASK.into(), none, 0, SIGNAL_SET as c_long, 0];
        call(Stage::Signals, libc::SYS_rt_sigprocmask, arguments).map(|_| ())
    }
}

/// Takes all but `kept` from what programs can ever have (the bounding set, capabilities(7)).
fn bound(kept: u64) -> Result<(), Failure> {
    for number in 0..u64::BITS as u8 {
        let is_kept = kept & 1 << number != 0;
        match prctl(Stage::Capabilities, libc::PR_CAPBSET_READ, number.into(), 0) {
            // The kernel knows none of this number, and none above.
            Err(_) if kept >> number == 0 => break,
            Err((_, errno)) if is_kept => return Err((Stage::Capability(Capability(number)), errno)),
            Ok(0) if is_kept => return Err((Stage::Capability(Capability(number)), Errno::EPERM)),
            Ok(1..) if !is_kept => {
                prctl(Stage::Capabilities, libc::PR_CAPBSET_DROP, number.into(), 0)?;
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Has exactly `kept`, also in programs executed by a user other than root (the ambient set).
fn keep(kept: u64) -> Result<(), Failure> {
    let header = [CAPABILITY_VERSION, 0];
    let (low, high) = (kept as u32, (kept >> u32::BITS) as u32);
    // Effective, permitted, inheritable: the low words, then the high ones (capset(2)).
    let data = [low, low, low, high, high, high];
    let arguments = [address(header.as_ptr()), address(data.as_ptr()), 0, 0, 0];
    call(Stage::Capabilities, libc::SYS_capset, arguments)?;
    let ambient = |what: c_int, which| prctl(Stage::Capabilities, libc::PR_CAP_AMBIENT, what.into(), which);
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    for number in (0..u64::BITS).filter(|number| kept & 1 << number != 0) {
        ambient(libc::PR_CAP_AMBIENT_RAISE, number.into())?;
    }
    Ok(())
}

fn prctl(stage: Stage, option: c_int, second: c_long, third: c_long) -> Result<c_long, Failure> {
    call(stage, libc::SYS_prctl, [option.into(), second, third, 0, 0])
}

/// A pointer as an argument of a system call.
fn address<T>(pointer: *const T) -> c_long {
    pointer as c_long
}

/// Makes a system call; -1 is a failure of this stage.
fn call(stage: Stage, number: c_long, arguments: [c_long; 5]) -> Result<c_long, Failure> {
    let [first, second, third, fourth, fifth] = arguments;
    // SAFETY: the safe forms in nix and rustix may not be counted on to keep from allocating; the rule
    // (async-signal-safe calls on prepared memory, signal-safety(7)) holds: the callers, all in this module,
    // pass numbers and addresses of what the suspended parent or their own stack keeps, and the calls
    // write to none of it.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth) };
    if result == -1 { Err((stage, Errno::last())) } else { Ok(result) }
}
