//! Makes a process that shares musterd's memory until it executes its program. Prepares nothing.
//!
//! musterd stands still until the new process has executed its program or given up: a program on a
//! slow file system delays everything by that much. In return nothing is copied, whatever musterd's
//! size, and a failing step is told by a shared variable instead of a pipe.
//!
//! From its change of user until its program a new process is within reach of its user's other processes.
//! They can neither trace it nor have it dumped, as the kernel makes the shared memory undumpable
//! (ptrace(2)), but whoever of them stops it by SIGSTOP in these microseconds stops musterd too.

use std::{
    ffi::{c_int, c_void},
    io,
    os::fd::{FromRawFd, OwnedFd},
    ptr,
};

use nix::{errno::Errno, libc};
use rustix::process::{DumpableBehavior, WaitOptions, dumpable_behavior, set_dumpable_behavior, waitpid};

use super::{
    child::{Errand, Failure, Order},
    spawn_error::Stage,
};
use crate::process::Pid;

/// The deepest chain of calls below needs a few hundred bytes, the dynamic linker's resolution of a
/// C function up to a few KiB.
const STACK: usize = 64 * 1024;
/// The largest page of the machines that musterd runs on (arm64).
const GUARD: usize = 64 * 1024;

/// What `_exit` is given when the program could not be executed; nobody but `clone` reads it.
const NOT_EXECUTED: c_int = 127;

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
    pub(super) fn spawn(&mut self, order: &Order<'_>) -> Result<(Pid, Option<OwnedFd>), Failure> {
        match self.spawn_once(order) {
            // An old kernel, or a filter of system calls: the slow way, from now on.
            Err((Stage::Descriptors, _)) if self.shares_files => {
                self.shares_files = false;
                self.spawn_once(order)
            }
            made => made,
        }
    }

    fn spawn_once(&mut self, order: &Order<'_>) -> Result<(Pid, Option<OwnedFd>), Failure> {
        let errand = Errand::new(order, self.shares_files);
        let was_dumpable = order.changes_rights().then(dumpable_behavior);
        let (pid, pidfd) = match self.clone(&errand, libc::CLONE_PIDFD) {
            // Before Linux 5.2, or by a filter of system calls.
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => self.clone(&errand, 0),
            made => made,
        }
        .map_err(|errno| (Stage::Fork, errno))?;
        // The new process' change of rights closes the memory that it shared to debuggers and to core dumps
        // (PR_SET_DUMPABLE(2const)): right as long as it shared it, but musterd's rights are what they were.
        if let Some(Ok(was @ DumpableBehavior::Dumpable)) = was_dumpable {
            // Cannot fail: the value is valid.
            let _ = set_dumpable_behavior(was);
        }
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
