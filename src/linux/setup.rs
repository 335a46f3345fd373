//! Sets musterd up as the parent of everything, once, before anything is started. Starts nothing.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, RawFd},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        resource::{Resource, getrlimit, rlim_t, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        signalfd::{SfdFlags, SignalFd},
    },
};
use rustix::io::FdFlags;

use crate::text::cannot;

/// The signals that musterd does not hear by descriptor: faults (blocked, they would kill without a
/// word), those of the terminal's job control (Ctrl-Z is the user's wish, as for any program), those
/// ignored by default, and SIGPIPE (ignored: writing to a closed pipe is an error value).
const NOT_HEARD: [Signal; 14] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCONT,
    Signal::SIGWINCH,
    Signal::SIGURG,
    Signal::SIGPIPE,
];

/// The first descriptor after standard input, output and error.
const FIRST_INHERITED: RawFd = 3;

/// What musterd is after its set-up, and what it found that its children get back.
#[derive(Debug)]
pub struct Setup {
    /// Whether musterd is PID 1 of its PID namespace.
    pub is_init: bool,
    pub(super) ignored: Vec<i32>,
    pub(super) files_limit: Option<(rlim_t, rlim_t)>,
    signals: SignalFd,
}

/// As PID 1, keeps the signals that are heard by descriptor for [`Setup::new`]: until then the kernel would drop them,
/// as PID 1 has no handler (pid_namespaces(7)), and a `docker stop` would wait for its ten seconds. Elsewhere they
/// end musterd, which has started nothing yet.
///
/// To be called in the first thread, before there is another.
pub fn keep_signals() {
    if rustix::process::getpid().is_init() {
        // Cannot fail: the mask is valid (pthread_sigmask(3)).
        let _ = heard().thread_block();
    }
}

impl Setup {
    /// Blocks the signals that are heard by descriptor from now on, becomes the parent of orphans
    /// (PR_SET_CHILD_SUBREAPER(2const)) unless init is so anyway, keeps inherited descriptors from
    /// children, and raises the soft limit of open files to the hard one.
    ///
    /// To be called in the first thread, before there is another. Rust's runtime has by then opened
    /// /dev/null for each of 0, 1 and 2 that was closed, and ignored SIGPIPE: whether it was ignored
    /// before cannot be known, so that children get its default.
    ///
    /// # Errors
    /// Those of the system calls; of the limit none, as it can be done without.
    pub fn new() -> io::Result<Self> {
        let mut ignored = ignored_signals()?;
        if ignored.contains(&libc::SIGCHLD) {
            await_children().map_err(cannot("hear of the ends of processes"))?;
            ignored.retain(|&signal| signal != libc::SIGCHLD);
        }
        let heard = heard();
        heard.thread_block().map_err(cannot("block signals"))?;
        let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(cannot("make a descriptor for signals"))?;
        let own = rustix::process::getpid();
        let is_init = own.is_init();
        if !is_init {
            rustix::process::set_child_subreaper(Some(own))
                .map_err(cannot("become the parent of orphans"))?;
        }
        keep_inherited_from_children().map_err(cannot("keep inherited descriptors from services"))?;
        Ok(Self { is_init, ignored, files_limit: raise_files_limit(), signals })
    }

    /// The signals that came, by number; those of one kind coalesce, the lowest comes first. Never blocks.
    pub fn signals(&self) -> Vec<i32> {
        let mut came = Vec::new();
        loop {
            match self.signals.read_signal() {
                // Signal numbers end at 64, so that the cast keeps them.
                Ok(Some(signal)) => came.push(signal.ssi_signo as i32),
                Err(Errno::EINTR) => {}
                Ok(None) | Err(_) => return came,
            }
        }
    }
}

impl AsFd for Setup {
    /// The descriptor that is readable when signals came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

/// All but `NOT_HEARD`: whatever else may be sent, real-time signals too, would end musterd by default.
fn heard() -> SigSet {
    let mut heard = SigSet::all();
    for signal in NOT_HEARD {
        heard.remove(signal);
    }
    heard
}

/// The ignored signals, from the mask in `/proc/self/status`: sigaction(2) would need `unsafe` for each.
fn ignored_signals() -> io::Result<Vec<i32>> {
    const STATUS: &str = "/proc/thread-self/status";
    let status = fs::read(STATUS).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("cannot read {STATUS}: /proc is not mounted")),
        _ => cannot(format_args!("read {STATUS}"))(error),
    })?;
    ignored(&status).ok_or_else(|| io::Error::other(format!("cannot read {STATUS}: it has no SigIgn")))
}

/// The signals that a `/proc/PID/status` says are ignored (proc_pid_status(5)).
pub(super) fn ignored(status: &[u8]) -> Option<Vec<i32>> {
    let mask = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"SigIgn:"))?;
    let mask = u64::from_str_radix(str::from_utf8(mask).ok()?.trim(), 16).ok()?;
    Some((1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect())
}

/// Where SIGCHLD was inherited as ignored, children would vanish without a status (wait(2)).
fn await_children() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no safe call sets a disposition; the rule (a handler is async-signal-safe) holds, as
    // the default installs none.
    unsafe { sigaction(Signal::SIGCHLD, &default) }?;
    Ok(())
}

/// Marks every inherited descriptor close-on-exec.
fn keep_inherited_from_children() -> io::Result<()> {
    // SAFETY: neither nix nor rustix has close_range(2), and musl not even the wrapper; the rule (no
    // descriptor that others own is closed) holds, as this flag closes none.
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST_INHERITED, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if done == 0 { Ok(()) } else { keep_each_from_children() }
}

/// As above for kernels before 5.11 and old seccomp profiles.
fn keep_each_from_children() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number < FIRST_INHERITED {
            continue;
        }
        // SAFETY: an inherited descriptor has no owner in this program to borrow from; the rule (it
        // stays open while borrowed) holds, as this only thread closes none meanwhile.
        let inherited = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(inherited, FdFlags::CLOEXEC)?;
    }
    Ok(())
}

/// Raises the soft limit of open files to the hard one (a service costs descriptors); returns the
/// limits as they were, if they were changed.
fn raise_files_limit() -> Option<(rlim_t, rlim_t)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft == hard {
        return None;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok()?;
    Some((soft, hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_musterd_is_heard() {
        let heard = heard();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGHUP,
            Signal::SIGCHLD,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGXFSZ,
        ] {
            assert!(heard.contains(signal), "{signal}");
        }
        assert!(!heard.contains(Signal::SIGSEGV) && !heard.contains(Signal::SIGPIPE));
    }

    #[test]
    fn rust_ignores_sigpipe() {
        assert!(ignored_signals().unwrap().contains(&libc::SIGPIPE));
    }
}
