//! The end: services in reverse order, then whatever else lives, all inside `shutdown-timeout`.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    Action, Look, Notice, Place, ServiceId, Supervisor, presence,
    service::Service,
    state::{Force, Goal, Reason, State},
    story::Tale,
};
use crate::{
    config::LogLevel,
    process::{Life, Process, ProcessId, Table},
    time::Time,
};

/// What of the shutdown's time is kept for killing and reaping: an eighth, a second of the usual eight.
const RESERVE: u32 = 8;

/// How long what is nobody's (a shell by `docker exec`, a login) has after SIGTERM.
const REST_GRACE: Duration = Duration::from_millis(500);

/// How far musterd's own life is.
pub(super) enum Phase {
    /// Nothing has happened yet, and nothing has been done.
    Beginning,
    /// The services are managed.
    Managing,
    /// The services are stopped, in order until they are killed; at `deadline` they are given up.
    Services { force: Force, deadline: Time },
    /// Whatever else lives is ended; `look`: a table must say what that is.
    Rest { left: Vec<ProcessId>, look: bool, force: Force, deadline: Time },
    /// There is nothing more to do.
    Over,
}

impl Phase {
    pub(super) fn is_managing(&self) -> bool {
        matches!(self, Phase::Beginning | Phase::Managing)
    }

    /// When everything is killed that was asked to end.
    pub(super) fn kill_at(&self) -> Time {
        match self {
            Phase::Beginning | Phase::Managing => Time::MAX,
            Phase::Services { force: Force::Asked { kill_at }, .. } => *kill_at,
            Phase::Services { force: Force::Killed, .. } | Phase::Rest { .. } | Phase::Over => Time::ZERO,
        }
    }

    pub(super) fn needs(&self) -> Option<Look> {
        match self {
            Phase::Rest { look: true, .. } => Some(Look::Table),
            Phase::Rest { .. }
            | Phase::Beginning
            | Phase::Managing
            | Phase::Services { .. }
            | Phase::Over => None,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self {
            Phase::Beginning | Phase::Managing | Phase::Over => None,
            Phase::Services { force, deadline } | Phase::Rest { force, deadline, .. } => match force {
                Force::Asked { kill_at } => Some(*kill_at.min(deadline)),
                Force::Killed => Some(*deadline),
            },
        }
    }

    /// One of the rest ended: when nothing is known to be left, the table is asked again.
    pub(super) fn ended(&mut self, process: ProcessId) {
        if let Phase::Rest { left, look, .. } = self {
            left.retain(|other| other.pid != process.pid);
            *look |= left.is_empty();
        }
    }
}

impl Supervisor {
    /// Begins the shutdown; the second time, hastens it.
    pub(super) fn terminate(&mut self, now: Time, cause: &str) {
        let next = match &mut self.phase {
            Phase::Beginning | Phase::Managing => {
                let timeout = self.shutdown_timeout;
                let force = Force::Asked { kill_at: now + (timeout - timeout / RESERVE) };
                self.phase = Phase::Services { force, deadline: now + timeout };
                "stopping everything"
            }
            Phase::Services { force, .. } | Phase::Rest { force, .. } => {
                if let Force::Asked { kill_at } = force {
                    *kill_at = now;
                }
                "killing everything"
            }
            Phase::Over => return,
        };
        self.turns.clear();
        self.announce(LogLevel::Info, "shutting down", cause.to_owned(), next);
        for id in self.services.ids() {
            self.services[id].goal = Goal::Down;
            self.services[id].check_due = false;
        }
    }

    /// Goes as far as it can.
    pub(super) fn proceed_shutdown(&mut self, now: Time) {
        if let Phase::Services { force, deadline } = &mut self.phase {
            let deadline = *deadline;
            let mut hasten = false;
            if let Force::Asked { kill_at } = force
                && *kill_at <= now
            {
                *force = Force::Killed;
                hasten = true;
            }
            let hurried = matches!(force, Force::Killed);
            self.stop_services(now, hurried, hasten);
            if self.services.iter().all(|service| service.state.is_at_rest()) {
                let grace = Force::Asked { kill_at: (now + REST_GRACE).min(deadline) };
                let force = if hurried { Force::Killed } else { grace };
                self.phase = Phase::Rest { left: Vec::new(), look: true, force, deadline };
            }
        }
        match &mut self.phase {
            Phase::Rest { left, force, .. } => {
                if let Force::Asked { kill_at } = force
                    && *kill_at <= now
                {
                    *force = Force::Killed;
                    let signal = Signal::SIGKILL as i32;
                    self.actions.extend(left.iter().map(|&process| Action::Signal { process, signal }));
                }
            }
            Phase::Beginning | Phase::Managing | Phase::Services { .. } | Phase::Over => {}
        }
        self.give_up_at_deadline(now);
    }

    /// Stops what nothing depends on any more; in a hurry everything.
    fn stop_services(&mut self, now: Time, hurried: bool, hasten: bool) {
        // Nothing runs there that others could need, and nothing may be started.
        for id in self.services.ids() {
            match self.services[id].state {
                State::Waiting { .. } | State::Seeking(_) | State::Spawning | State::Backoff { .. } => {
                    self.stop(now, id, Reason::Shutdown);
                }
                State::Stopped
                | State::Stopping(_)
                | State::Starting { .. }
                | State::Readying { .. }
                | State::Running { .. }
                | State::Unhealthy { .. }
                | State::Exited
                | State::Failed => {}
            }
        }
        for id in self.services.ids() {
            let free = self.services[id].dependents.iter().all(|&dependent| self.is_stopped(dependent));
            let state = &self.services[id].state;
            if hasten && matches!(state, State::Stopping(_)) {
                self.kill_if_late(now, id);
            } else if state.is_up() && (free || hurried) {
                self.stop(now, id, Reason::Shutdown);
            }
        }
    }

    fn is_stopped(&self, id: ServiceId) -> bool {
        self.services[id].state.is_at_rest()
    }

    /// Begins the shutdown by itself: something essential ended, or there is nothing left to do.
    pub(super) fn end_with(&mut self, now: Time, code: u8, cause: &str) {
        if self.phase.is_managing() {
            self.exit_code = code;
            self.terminate(now, cause);
        }
    }

    /// Where there are tasks only, musterd ends once none of them is under way; with the code of the first that
    /// failed.
    pub(super) fn end_when_tasks_are_done(&mut self, now: Time) {
        if !self.has_tasks_only || !self.phase.is_managing() {
            return;
        }
        // What waits while nothing is under way waits for ever.
        let is_idle = |state: &State| state.is_at_rest() || matches!(state, State::Waiting { .. });
        let is_under_way =
            self.services.iter().any(|service| !is_idle(&service.state) || service.probe.is_some());
        let has_ended = |service: &Service| matches!(service.state, State::Exited | State::Failed);
        if is_under_way || !self.services.iter().any(has_ended) {
            return;
        }
        let failed = self.services.iter().find(|service| matches!(service.state, State::Failed));
        let code = failed.map_or(0, |service| service.last_code.max(1));
        self.end_with(now, code, "all tasks have ended");
    }

    fn give_up_at_deadline(&mut self, now: Time) {
        let deadline = match &self.phase {
            Phase::Services { deadline, .. } | Phase::Rest { deadline, .. } => *deadline,
            Phase::Beginning | Phase::Managing | Phase::Over => return,
        };
        if deadline <= now {
            self.announce(LogLevel::Warn, "giving up", "shutdown-timeout is over".to_owned(), "ending");
            self.finish();
        }
    }

    /// The table shows what else lives: all of it for PID 1, else musterd's own descendants.
    pub(super) fn end_rest(&mut self, table: &Table) {
        let Phase::Rest { left, look, force, .. } = &mut self.phase else { return };
        if !*look {
            return;
        }
        *look = false;
        *left = rest(table, self.place);
        let signal = match force {
            Force::Asked { .. } => Signal::SIGTERM,
            Force::Killed => Signal::SIGKILL,
        };
        for &process in &*left {
            self.actions.push(Action::Watch(process));
            self.actions.push(Action::Signal { process, signal: signal as i32 });
        }
        let alive = left.len();
        if alive == 0 {
            self.announce(LogLevel::Info, "shutdown done", "no process is left".to_owned(), "ending");
            self.finish();
        } else {
            let next = format!("sending {signal}");
            let cause = format!("{} of no service", super::ending::count(alive));
            self.announce(LogLevel::Info, "ending the rest", cause, &next);
        }
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.actions.push(Action::Exit(self.exit_code));
    }

    pub(super) fn announce(
        &mut self,
        level: LogLevel,
        message: &'static str,
        cause: String,
        consequence: &str,
    ) {
        let consequence = Some(consequence.to_owned());
        let tale = Tale::Message { level, message, cause: cause.clone(), consequence: consequence.clone() };
        self.remember(None, None, tale);
        self.actions.push(Action::Tell(Notice {
            level,
            service: None,
            pid: None,
            message,
            cause,
            consequence,
        }));
    }
}

/// What is to be ended last.
fn rest(table: &Table, place: Place) -> Vec<ProcessId> {
    let descends = |process: &Process| {
        process.parent == place.pid
            || presence::ancestors(table, process).any(|ancestor| ancestor.parent == place.pid)
    };
    let alive = table.processes.iter().filter(|process| process.life == Life::Alive && !process.foreign);
    alive.filter(|process| place.is_init || descends(process)).map(|process| process.id).collect()
}
