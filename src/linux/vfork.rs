//! Makes a process that shares musterd's memory until it executes its program. Prepares nothing.
//!
//! musterd stands still until the new process has executed its program or given up: a program on a
//! slow file system delays everything by that much. In return nothing is copied, whatever musterd's
//! size, and a failing step is told by a shared variable instead of a pipe.

use std::{
    cell::Cell,
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use nix::{errno::Errno, libc};
use rustix::process::{WaitOptions, waitpid};

use super::spawn_error::Stage;
use crate::process::Pid;

/// The deepest chain of calls below needs a few hundred bytes, the dynamic linker's resolution of a
/// C function up to a few KiB.
const STACK: usize = 64 * 1024;
/// The largest page of the machines that musterd runs on (arm64).
const GUARD: usize = 64 * 1024;

/// What `_exit` is given when the program could not be executed; nobody but `clone` reads it.
const NOT_EXECUTED: c_int = 127;

/// The kernel's `struct sigaction` in words of 64 bits, a handler, flags, a restorer and a mask: all zero
/// is the default.
const SIGACTION: usize = 4;
/// The bytes of its mask (rt_sigaction(2)).
const SIGNAL_SET: usize = 8;

/// Everything that a new process does before its program, in this order.
pub(super) struct Order<'a> {
    /// No descriptor above this one is among the next three.
    pub(super) last: BorrowedFd<'a>,
    pub(super) stdin: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    pub(super) files_limit: Option<libc::rlimit>,
    pub(super) directory: Option<&'a CStr>,
    pub(super) ignored: &'a [c_int],
    pub(super) program: &'a CStr,
    pub(super) argv: &'a [&'a CStr],
    pub(super) environment: &'a [&'a CStr],
}

/// An order with its words as execve(2) wants them, and what became of it.
struct Errand<'a> {
    order: &'a Order<'a>,
    /// Whether the table of descriptors is musterd's own, not to be written to, until it is left.
    shares_files: bool,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    failure: Cell<Option<(Stage, Errno)>>,
}

/// The stack that new processes run on, one at a time.
#[derive(Debug)]
pub(super) struct Stack(*mut c_void);

/// Makes processes.
///
/// A copy of musterd's descriptors, thousands where there are hundreds of services, would cost a new
/// process more than all else: to be made, and to be closed again by execve(2). So it shares musterd's
/// table and then leaves it with the first few (close_range(2), CLOSE_RANGE_UNSHARE, Linux 5.9).
#[derive(Debug)]
pub(super) struct Maker {
    stack: Stack,
    shares_files: bool,
}

impl Stack {
    /// Reserves the stack, with a guard below it.
    ///
    /// # Errors
    /// Those of mmap(2) and mprotect(2).
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: only a mapping has a guard, and there is no safe call that maps; the rule (no
        // memory in use is replaced) holds, as the kernel chooses the place.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self(base);
        // SAFETY: as above; the rule (nothing uses the memory that is closed) holds: it is new.
        match unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn top(&mut self) -> *mut c_void {
        self.0.wrapping_byte_add(GUARD + STACK)
    }
}

impl Maker {
    /// Reserves what a new process needs of musterd.
    ///
    /// # Errors
    /// There is no memory for a stack.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { stack: Stack::new()?, shares_files: true })
    }

    /// Makes a process that carries out `order`; returns it with a pidfd where the kernel gives one.
    ///
    /// The caller has every signal blocked or at its default or ignored: no handler of its own.
    ///
    /// # Errors
    /// The step that failed; no process is left then.
    pub(super) fn spawn(&mut self, order: &Order<'_>) -> Result<(Pid, Option<OwnedFd>), (Stage, Errno)> {
        match self.spawn_once(order) {
            // An old kernel, or a filter of system calls: the slow way, from now on.
            Err((Stage::Descriptors, _)) if self.shares_files => {
                self.shares_files = false;
                self.spawn_once(order)
            }
            made => made,
        }
    }

    fn spawn_once(&mut self, order: &Order<'_>) -> Result<(Pid, Option<OwnedFd>), (Stage, Errno)> {
        let pointers =
            |words: &[&CStr]| words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        let errand = Errand {
            order,
            shares_files: self.shares_files,
            argv: pointers(order.argv),
            environment: pointers(order.environment),
            failure: Cell::new(None),
        };
        let (pid, pidfd) = match self.clone(&errand, libc::CLONE_PIDFD) {
            // Before Linux 5.2, or by a filter of system calls.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => self.clone(&errand, 0),
            made => made,
        }
        .map_err(|errno| (Stage::Fork, errno))?;
        match errand.failure.get() {
            None => Ok((pid, pidfd)),
            Some(failure) => {
                reap(pid);
                Err(failure)
            }
        }
    }

    fn clone(&mut self, errand: &Errand<'_>, flags: c_int) -> nix::Result<(Pid, Option<OwnedFd>)> {
        let mut pidfd: c_int = -1;
        let files = if errand.shares_files { libc::CLONE_FILES } else { 0 };
        // SAFETY: std, nix and rustix have no vfork (posix_spawn has neither session nor limits nor a
        // pidfd); the rules hold: the child runs on a stack of its own, borrowed mutably; all that it
        // reads outlives it, as CLONE_VFORK suspends this thread until it is gone; it allocates
        // nothing, takes no lock, cannot panic and never returns.
        let pid = unsafe {
            libc::clone(
                child,
                self.stack.top(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | files | flags,
                ptr::from_ref(errand).cast_mut().cast(),
                &raw mut pidfd,
            )
        };
        let pid = Errno::result(pid)?;
        // SAFETY: a number must be made an owner somewhere; the rule (nobody else owns it) holds, as
        // the kernel has just made it, close-on-exec (clone(2)).
        Ok((pid, (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) })))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the counterpart of mmap(2), which has no safe form; the rule (nobody uses the
        // memory any more) holds, as no child outlives the call that lent it the stack.
        unsafe { libc::munmap(self.0, GUARD + STACK) };
    }
}

/// Takes the status of a child that did not execute its program; it has ended but for that.
fn reap(pid: Pid) {
    let child = rustix::process::Pid::from_raw(pid);
    while let Err(rustix::io::Errno::INTR) = waitpid(child, WaitOptions::empty()) {}
}

/// The new process' first function.
extern "C" fn child(errand: *mut c_void) -> c_int {
    // SAFETY: clone(2) passes a pointer, not a reference; the rule (it points to a living Errand)
    // holds: the parent waits in `Maker::clone`, which borrows it.
    let errand = unsafe { &*errand.cast::<Errand<'_>>() };
    errand.failure.set(errand.carry_out().err());
    // SAFETY: returning would run exit handlers of the parent's; `_exit` runs none, as vfork(2) asks.
    unsafe { libc::_exit(NOT_EXECUTED) }
}

impl Errand<'_> {
    /// Takes the steps; returns only with the one that failed.
    ///
    /// A later step (umask, nice, limits, oom-score-adj, groups, user, capabilities) goes before
    /// `Directory`, which is entered as the service's user.
    fn carry_out(&self) -> Result<(), (Stage, Errno)> {
        let order = self.order;
        // SAFETY: of each call here: the safe forms in nix and rustix may not be counted on to keep
        // from allocating; the rule (async-signal-safe calls on prepared memory, signal-safety(7))
        // holds for each, and every pointer is to a value that the suspended parent keeps.
        step(Stage::Session, unsafe { libc::setsid() })?;
        if self.shares_files {
            let first = order.last.as_raw_fd().unsigned_abs() + 1;
            // SAFETY: see above; the call itself, as not every C library has it.
            let result = unsafe {
                libc::syscall(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_UNSHARE)
            };
            // Zero or -1: the cast keeps them.
            step(Stage::Descriptors, result as c_int)?;
        }
        // SAFETY: see above.
        step(Stage::Stdin, unsafe { libc::dup2(order.stdin.as_raw_fd(), libc::STDIN_FILENO) })?;
        // SAFETY: see above.
        step(Stage::Stdout, unsafe { libc::dup2(order.stdout.as_raw_fd(), libc::STDOUT_FILENO) })?;
        // SAFETY: see above.
        step(Stage::Stderr, unsafe { libc::dup2(order.stderr.as_raw_fd(), libc::STDERR_FILENO) })?;
        if let Some(limit) = &order.files_limit {
            // SAFETY: see above.
            step(Stage::FilesLimit, unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) })?;
        }
        if let Some(directory) = order.directory {
            // SAFETY: see above.
            step(Stage::Directory, unsafe { libc::chdir(directory.as_ptr()) })?;
        }
        for &signal in order.ignored {
            let default = [0u64; SIGACTION];
            // SAFETY: see above; the call itself, as the C library refuses its own signals (32 and 33).
            let result = unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    ptr::null::<u64>(),
                    SIGNAL_SET,
                )
            };
            // Zero or -1: the cast keeps them.
            step(Stage::Signals, result as c_int)?;
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: see above; `sigemptyset` writes the whole set before `sigprocmask` reads it.
        step(Stage::Signals, unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut())
        })?;
        // SAFETY: see above; both arrays end with a null pointer.
        step(Stage::Execute, unsafe {
            libc::execve(order.program.as_ptr(), self.argv.as_ptr(), self.environment.as_ptr())
        })
    }
}

/// A system call's result: -1 is a failure of this stage.
fn step(stage: Stage, result: c_int) -> Result<(), (Stage, Errno)> {
    if result == -1 { Err((stage, Errno::last())) } else { Ok(()) }
}
