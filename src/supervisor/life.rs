//! A service's way from being wanted to running, and what its end leads to.

use std::time::Duration;

use super::{
    Action, Cause, Purpose, ServiceId, Supervisor, backoff,
    pattern::Launcher,
    policy::{self, Verdict},
    state::{Found, Goal, Gone, Main, Reason, Seek, State},
    story::Tale,
};
use crate::{
    config::LogLevel,
    process::{Exit, ProcessId},
    time::Time,
};

/// What a shell says of a command that it cannot execute.
const NOT_EXECUTED: u8 = 127;

impl Supervisor {
    pub(super) fn seek(&mut self, now: Time, id: ServiceId, seek: Seek) {
        let service = &self.services[id];
        let reason = match seek.gone {
            Some(gone) if service.state.established().is_some() => Reason::Gone(gone),
            Some(_) => service.reason.clone(),
            None => service.asked_or(Reason::Sought),
        };
        self.set(now, id, State::Seeking(seek), reason);
    }

    /// Starts the service, of which a look has just shown nothing, unless its pause lasts.
    pub(super) fn start(&mut self, now: Time, id: ServiceId) {
        self.take_up_next(id);
        if !self.is_given_up(now, id) && !self.back_off(now, id) && !self.waits_for_others(now, id) {
            // What others began to write is not the beginning of its first line, nor the line that is awaited of it.
            self.actions.push(Action::FlushOutput { service: id, is_last: false });
            let service = &mut self.services[id];
            service.awaits_line = false;
            service.note_start(now);
            (service.heard_ready, service.says, service.announced) = (false, None, None);
            self.forget_usage(id);
            let reason = self.services[id].asked_or(Reason::Spawning);
            self.set(now, id, State::Spawning, reason);
            self.actions.push(Action::Spawn { service: id, purpose: Purpose::Start });
        }
    }

    /// Tries again: looks first whether somebody else started the service meanwhile.
    pub(super) fn retry(&mut self, now: Time, id: ServiceId) {
        if !self.is_given_up(now, id) && !self.back_off(now, id) {
            self.pursue(now, id);
        }
    }

    fn back_off(&mut self, now: Time, id: ServiceId) -> bool {
        let until = self.services[id].not_before;
        let lasts = until > now;
        if lasts {
            // In whole milliseconds, for people.
            let pause =
                Duration::from_millis(u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX));
            let reason = Reason::Pause { cause: self.services[id].cause_text(), pause };
            self.set(now, id, State::Backoff { until }, reason);
        }
        lasts
    }

    pub(super) fn spawned(
        &mut self,
        now: Time,
        id: ServiceId,
        purpose: Purpose,
        process: ProcessId,
        leads_session: bool,
    ) {
        // A process that musterd watched, but did not start, has ended if its PID has come again.
        if let Some(former) = self.owners.get(&process.pid).and_then(|owner| owner.other_than(process)) {
            self.ended(now, former, Exit::Unknown, false);
        }
        self.own(id, process);
        match purpose {
            Purpose::Start => self.start_spawned(now, id, process, leads_session),
            Purpose::Stop => self.stopper_spawned(id, process),
            Purpose::Reload => self.reload_spawned(id, process),
            Purpose::Probe(probing) => self.probe_spawned(now, id, probing, process),
        }
    }

    fn start_spawned(&mut self, now: Time, id: ServiceId, process: ProcessId, leads_session: bool) {
        // Where it leads none, the session is musterd's, and others live in it.
        let (session, found) = (leads_session.then_some(process.pid), Found::Started);
        let main = Main { id: process, since: now, session, found, was_ready: false };
        let service = &mut self.services[id];
        if matches!(service.cause, Some(Cause::Ended(_) | Cause::Unfit(_))) {
            service.restarts += 1;
        }
        let why = service.cause_text();
        self.tell(LogLevel::Info, id, Some(process.pid), ("started", why, None));
        let service = &mut self.services[id];
        if service.pattern.launcher.is_some() {
            let until = now + service.config.start_timeout;
            service.wrapper = (service.pattern.launcher == Some(Launcher::Wrapper)).then_some(process);
            self.set(now, id, State::Starting { starter: main, until }, Reason::StartCommand(process.pid));
            let service = &mut self.services[id];
            service.next_check = service.next_check.min(service.next_look(now));
        } else {
            self.run(now, id, main);
        }
        if self.services[id].goal == Goal::Down {
            let reason = self.why_down(id);
            self.stop(now, id, reason);
        } else if self.services[id].next.is_some() {
            self.stop(now, id, Reason::Reconfigured);
        }
    }

    pub(super) fn spawn_failed(&mut self, now: Time, id: ServiceId, purpose: Purpose, error: String) {
        match purpose {
            Purpose::Start => {
                self.take_up_next(id);
                self.services[id].last_code = NOT_EXECUTED;
                self.start_failed(now, id, error, None);
            }
            Purpose::Stop => self.stopper_failed(id, error),
            Purpose::Reload => self.reload_over(id, Err(error)),
            Purpose::Probe(probing) => self.probe_failed_to_start(now, id, probing, error),
        }
    }

    /// Remembers why the service must be started again, and how long to wait before that.
    pub(super) fn note(&mut self, now: Time, id: ServiceId, cause: Cause, ran: Option<Duration>) -> Duration {
        let service = &mut self.services[id];
        service.failures = backoff::failures(&service.config, service.failures, ran);
        let pause = match (&cause, ran) {
            (Cause::Ended(_) | Cause::Unfit(_), Some(_)) => backoff::pause(&service.config, service.failures),
            (Cause::Ended(_) | Cause::Unfit(_), None) | (Cause::Failed(_), _) => {
                backoff::pause_after_failure(&service.config, service.failures)
            }
        };
        service.not_before = now + pause;
        service.cause = Some(cause);
        pause
    }

    /// A start failed: `error` is told once, and the start tried again.
    pub(super) fn start_failed(&mut self, now: Time, id: ServiceId, error: String, ran: Option<Duration>) {
        let cause = Cause::Failed(error.clone());
        let is_wanted = self.services[id].goal == Goal::Up;
        let again = is_wanted && policy::verdict(&self.services[id].config, &cause) == Verdict::Again;
        let pause = self.note(now, id, cause, ran);
        // What is given up for it is told by that.
        if self.services[id].told.as_ref() != Some(&error) && (again || !is_wanted) {
            self.services[id].told = Some(error.clone());
            let next = again.then(|| format!("trying again {}", in_time(pause)));
            self.tell(LogLevel::Warn, id, None, ("start failed", error, next));
        }
        if !is_wanted {
            let reason = self.why_down(id);
            self.set(now, id, State::Stopped, reason);
        } else {
            self.go_on(now, id);
        }
    }

    pub(super) fn ended(&mut self, now: Time, process: ProcessId, exit: Exit, session_empty: bool) {
        self.ends += 1;
        self.orphans.remove(&process.pid);
        self.phase.ended(process);
        // The end of a former process may be told when its PID has come again.
        let Some(owner) = self.owners.get(&process.pid).filter(|owner| owner.is_of(process)) else {
            return self.hasten_looks(process);
        };
        let id = owner.service;
        self.owners.remove(&process.pid);
        let service = &mut self.services[id];
        service.wrapper.take_if(|wrapper| wrapper.pid == process.pid);
        let stays = service.wrapper.is_some();
        if self.probed.get(&process.pid).is_some_and(|probed| probed.probes()) {
            return self.probe_ended(now, id, process, exit);
        }
        let is_main = self.services[id].main().is_some_and(|main| main.id.pid == process.pid);
        // Who exits in peace may have handed over to another, who goes on with the line.
        if is_main && session_empty && (!exit.is_clean() || self.services[id].is_single_run()) {
            self.actions.push(Action::FlushOutput { service: id, is_last: true });
        }
        self.reload_ended(now, id, process, exit);
        if is_main {
            self.remember(Some(id), Some(process.pid), Tale::Exit(exit));
        }
        match &self.services[id].state {
            State::Readying { main, .. }
            | State::Running { main }
            | State::Unhealthy { main }
            | State::Starting { starter: main, .. }
                if main.id.pid == process.pid =>
            {
                let gone = main.gone(exit, self.services[id].is_established(main, now), now);
                self.services[id].last_code = policy::exit_code(exit);
                if self.services[id].is_single_run() && policy::is_success(&self.services[id].config, exit) {
                    return self.restart(now, id, gone);
                }
                // What a clean exit hands over to is in the table. After a crash it's enough to know whether
                // the dead one left orphans, which come to musterd if it was the parent or is PID 1.
                let ours = self.place.is_init || exit != Exit::Unknown;
                let needs_table = gone.hands_over() || !ours || stays;
                self.seek(now, id, Seek { gone: Some(gone), needs_table, later: None });
                if session_empty && !needs_table && self.leaves_nothing_to_end(id, gone) {
                    self.services[id].crashed(gone);
                    self.restart(now, id, gone);
                }
            }
            State::Stopping(_) => self.ended_while_stopping(now, id, process, exit),
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {}
        }
    }

    /// Whether it is enough for a new start that the session of what crashed is empty. Of a launcher all else that it
    /// left is the service.
    fn leaves_nothing_to_end(&self, id: ServiceId, gone: Gone) -> bool {
        let is_wanted = self.phase.is_managing() && self.services[id].goal == Goal::Up;
        let is_launcher = self.services[id].pattern.launcher.is_some() && !gone.established;
        is_wanted && !is_launcher && gone.session == Some(gone.id.pid)
    }

    /// The service ended and left nothing: its policy says whether it is started again, now or after a pause.
    pub(super) fn restart(&mut self, now: Time, id: ServiceId, gone: Gone) {
        if self.services[id].pattern.launcher.is_some() && !gone.established {
            let error = self.why_start_failed(id, gone);
            self.start_failed(now, id, error, Some(now.since(gone.since)));
        } else {
            let cause = Cause::Ended(gone);
            let again = policy::verdict(&self.services[id].config, &cause) == Verdict::Again;
            let pause = self.note(now, id, cause, Some(now.since(gone.since)));
            if !again {
                return self.go_on(now, id);
            }
            self.start(now, id);
            let next = Some(format!("starting again {}", in_time(pause)));
            if !pause.is_zero() && matches!(self.services[id].state, State::Backoff { .. }) {
                self.tell(LogLevel::Warn, id, Some(gone.id.pid), ("ended", gone.to_string(), next));
            }
        }
    }

    /// What the service's process does: `answers to "apache2"`, `matches { user = "app" }`.
    pub(super) fn described(&self, id: ServiceId) -> String {
        let matching = &self.services[id].config.matching;
        let verb = if matching.is_name_only() { "answers to" } else { "matches" };
        format!("{verb} {matching}")
    }

    /// Why a service is not wanted any more.
    fn why_down(&self, id: ServiceId) -> Reason {
        match self.services[id].stopped_by {
            _ if !self.phase.is_managing() => Reason::Shutdown,
            _ if self.leaving.contains_key(&id) => Reason::Removed,
            Some(asked) => Reason::Asked(asked),
            None => Reason::Shutdown,
        }
    }

    pub(super) fn why_start_failed(&self, id: ServiceId, gone: Gone) -> String {
        let pid = gone.id.pid;
        if gone.exit.is_clean() {
            format!("start command {pid} exited 0 but left no process that {}", self.described(id))
        } else {
            format!("start command {pid} {}", gone.exit)
        }
    }
}

/// `at once`, `in 250ms`.
pub(super) fn in_time(pause: Duration) -> String {
    if pause.is_zero() { "at once".to_owned() } else { format!("in {}", humantime::format_duration(pause)) }
}
