//! Hands musterd's terminal to a service that has it, and takes it back. Decides neither which nor why.

use std::{
    io::{self, stdin},
    os::fd::AsRawFd,
};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};
use rustix::{
    process::{WaitId, WaitIdOptions, getpid, ioctl_tiocsctty, kill_process_group, waitid},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcgetsid, tcsetattr, tcsetpgrp},
};

use super::{child::Session, spawn::Spawned};
use crate::process::Pid;

/// The terminal while a service has it.
#[derive(Debug)]
pub struct Lent {
    /// How it was set before: what is killed leaves it as it likes, and lines without a return at their end.
    modes: Option<Termios>,
    /// Whether musterd was in its foreground: elsewhere it is somebody else's.
    was_ours: bool,
    holder: Option<Holder>,
}

#[derive(Debug)]
struct Holder {
    pid: Pid,
    leads_session: bool,
}

impl Lent {
    /// Remembers how the terminal is set; to be called before the process is made that is to have it.
    pub fn begin() -> Self {
        let was_ours = group().is_some_and(|group| tcgetpgrp(stdin()) == Ok(group));
        Lent { modes: tcgetattr(stdin()).ok(), was_ours, holder: None }
    }

    /// This process has it now.
    pub fn to(&mut self, spawned: &Spawned) {
        self.holder = Some(Holder { pid: spawned.id.pid, leads_session: spawned.leads_session });
    }

    /// Whether this process has it.
    pub fn is_with(&self, pid: Pid) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.pid == pid)
    }

    /// Has the process that has it go on if it was stopped in musterd's own session, where nobody else would; to be
    /// called when SIGCHLD came.
    pub fn go_on(&self) {
        if let Some(holder) = self.holder.as_ref().filter(|holder| !holder.leads_session)
            && let Err(error) = go_on(holder.pid)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(pid = holder.pid, cause = %error, "cannot continue what was stopped");
        }
    }

    /// Takes it back, set as it was; to be called when the process has ended or could not be made.
    pub fn take_back(self) {
        if !self.was_ours {
            return;
        }
        let set = |modes: &Termios| tcsetattr(stdin(), OptionalActions::Now, modes).map_err(io::Error::from);
        if let Err(error) = take_back().and_then(|()| self.modes.as_ref().map_or(Ok(()), set)) {
            // It may have been hung up meanwhile.
            tracing::debug!(cause = %error, "cannot take the terminal back");
        }
    }
}

/// Prepares musterd's terminal, if it has one, for a new process; says what that process has to do.
///
/// # Errors
/// The terminal cannot be given up, or is not musterd's to hand over: it was started in the background.
pub(super) fn hand_over() -> io::Result<Session> {
    if !isatty(stdin()) {
        return Ok(Session::Own);
    }
    let Some(session) = session()? else { return Ok(Session::Terminal { certain: false }) };
    // Only of its own terminal a process learns the session (tcgetsid(3)).
    if tcgetsid(stdin()) != Ok(session) {
        return Ok(Session::Terminal { certain: false });
    }
    if session == getpid() {
        give_up()?;
        return Ok(Session::Terminal { certain: true });
    }
    if Some(tcgetpgrp(stdin())?) != group() {
        // It is in use: whoever reads there, a shell for one, would be cut off.
        return Err(io::Error::other("musterd is in the background of the terminal"));
    }
    // The terminal stops what writes to it from the background, where it is told so (`stty tostop`), and
    // what changes its foreground group; musterd does both and must not be stopped.
    set(Signal::SIGTTOU, SigHandler::SigIgn)?;
    Ok(Session::Foreground)
}

/// Makes musterd the terminal's foreground again, so that Control-C reaches it: to be called when the process that had
/// the terminal has ended. Changes nothing where that is another session's.
///
/// # Errors
/// Those of tcsetpgrp(3).
pub fn take_back() -> io::Result<()> {
    if !isatty(stdin()) {
        return Ok(());
    }
    let Some(session) = session()? else { return Ok(()) };
    if tcgetsid(stdin()) != Ok(session) {
        if session == getpid() {
            // Refused where another session has it, and then it is not musterd's.
            let _ = ioctl_tiocsctty(stdin());
        }
        return Ok(());
    }
    set(Signal::SIGTTOU, SigHandler::SigIgn)?;
    if let Some(group) = group() {
        tcsetpgrp(stdin(), group)?;
    }
    Ok(())
}

/// Has a child that was stopped go on, with its process group (Ctrl-Z in a program without job control, where no
/// shell would say `fg`); tells whether it was. To be called for what has the terminal when SIGCHLD came; where
/// it has a session of its own, the kernel stops nothing by Ctrl-Z that has nobody to continue it.
///
/// # Errors
/// It is no child, or may not be signalled.
pub fn go_on(child: Pid) -> io::Result<bool> {
    let Some(child) = rustix::process::Pid::from_raw(child) else { return Ok(false) };
    // Not EXITED: nothing is reaped here, so that the PID stays the child's.
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    if waitid(WaitId::Pid(child), options)?.is_none() {
        return Ok(false);
    }
    kill_process_group(child, rustix::process::Signal::CONT)?;
    Ok(true)
}

/// musterd's session; `None` where its leader is outside of the PID namespace. By nix, as rustix knows no PID 0.
fn session() -> io::Result<Option<rustix::process::Pid>> {
    Ok(rustix::process::Pid::from_raw(nix::unistd::getsid(None)?.as_raw()))
}

/// musterd's process group, likewise.
fn group() -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(nix::unistd::getpgrp().as_raw())
}

/// Gives up the controlling terminal, so that another session can take it.
fn give_up() -> io::Result<()> {
    // The kernel hangs up on the foreground, to which musterd belongs: this SIGHUP is nobody's wish.
    set(Signal::SIGHUP, SigHandler::SigIgn)?;
    // SAFETY: neither nix nor rustix has this request; the rule (it takes no argument, ioctl_tty(2)) holds.
    let given_up = match unsafe { libc::ioctl(stdin().as_raw_fd(), libc::TIOCNOTTY) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    // What is blocked waits even if it is ignored, until it is ignored once more (sigaction(2)).
    set(Signal::SIGHUP, SigHandler::SigIgn)?;
    set(Signal::SIGHUP, SigHandler::SigDfl)?;
    given_up
}

fn set(signal: Signal, handler: SigHandler) -> io::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: no safe call sets a disposition; the rule (a handler is async-signal-safe) holds, as neither the
    // default nor ignoring installs one.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}
