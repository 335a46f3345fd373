//! Whether what ended is started again, and when a service is given up.

use nix::sys::signal::Signal;

use super::{
    ServiceId, Supervisor,
    service::{Cause, Service},
    state::{Gone, Reason, State},
};
use crate::{
    config::{Kind, LogLevel, Restart, Service as ServiceConfig, StartLimit},
    process::Exit,
    time::Time,
};

/// What follows the end of a service that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is started again.
    Again,
    /// It ended for good, as it may.
    Exited,
    /// It is given up.
    Failed,
}

/// What the service's policy says of its end.
pub(super) fn verdict(service: &ServiceConfig, cause: &Cause) -> Verdict {
    match cause {
        Cause::Ended(gone) => of_end(service, gone.exit),
        Cause::Failed(_) if service.restart == Restart::Never => Verdict::Failed,
        // That it is restarted then was asked for: `on-failure = "restart"`.
        Cause::Failed(_) | Cause::Unfit(_) => Verdict::Again,
    }
}

fn of_end(service: &ServiceConfig, exit: Exit) -> Verdict {
    let succeeded = is_success(service, exit);
    match (service.kind, service.restart) {
        (Kind::Task, _) if succeeded => Verdict::Exited,
        (Kind::Task, Restart::Never) => Verdict::Failed,
        (Kind::Task, Restart::Always | Restart::OnFailure) => Verdict::Again,
        (Kind::Service, Restart::Always) => Verdict::Again,
        (Kind::Service, Restart::OnFailure) if !succeeded => Verdict::Again,
        (Kind::Service, Restart::OnFailure | Restart::Never) => Verdict::Exited,
    }
}

/// Whether this end is no failure.
pub(super) fn is_success(service: &ServiceConfig, exit: Exit) -> bool {
    match exit {
        Exit::Code(code) => u8::try_from(code).is_ok_and(|code| service.success_codes.contains(&code)),
        Exit::Signal { .. } | Exit::OutOfMemory | Exit::Unknown => false,
    }
}

/// The exit code that stands for an end, as a shell's `$?` does: 128 and the signal's number for a signal.
pub(super) fn exit_code(exit: Exit) -> u8 {
    /// An end that nobody told of is not known to be a success.
    const UNKNOWN: u8 = 1;
    match exit {
        // The kernel keeps the lowest byte (wait(2)).
        Exit::Code(code) => code.to_le_bytes()[0],
        Exit::Signal { number, .. } => {
            u8::try_from(number).map_or(u8::MAX, |number| number.saturating_add(128))
        }
        Exit::OutOfMemory => 128 + Signal::SIGKILL as u8,
        Exit::Unknown => UNKNOWN,
    }
}

/// Behind what ended, why it is not started again.
pub(super) fn words(service: &ServiceConfig, gone: Gone) -> &'static str {
    match (service.kind, service.restart) {
        (Kind::Task, _) if is_success(service, gone.exit) => "; the task is done",
        (Kind::Service, Restart::OnFailure) => "; restart = \"on-failure\"",
        (Kind::Task | Kind::Service, _) if service.terminal => "",
        (Kind::Task | Kind::Service, _) => "; restart = \"never\"",
    }
}

impl Supervisor {
    /// Nothing of the service is left, and it is wanted: its policy says what follows.
    pub(super) fn go_on(&mut self, now: Time, id: ServiceId) {
        let service = &self.services[id];
        let verdict = service.cause.as_ref().map(|cause| verdict(&service.config, cause));
        match verdict {
            None | Some(Verdict::Again) => self.retry(now, id),
            Some(Verdict::Exited) => self.end_for_good(now, id, State::Exited, None),
            Some(Verdict::Failed) => self.end_for_good(now, id, State::Failed, None),
        }
    }

    /// Whether the next start would be one too many: then it is not made.
    pub(super) fn is_given_up(&mut self, now: Time, id: ServiceId) -> bool {
        let service = &self.services[id];
        let is_at_limit = service.is_at_limit(now.max(service.not_before));
        if is_at_limit {
            let limit = service.config.start_limit;
            self.end_for_good(now, id, State::Failed, limit);
        }
        is_at_limit
    }

    /// The service is not started again.
    fn end_for_good(&mut self, now: Time, id: ServiceId, state: State, limit: Option<StartLimit>) {
        let service = &mut self.services[id];
        let reason = match &service.cause {
            Some(Cause::Ended(gone)) if matches!(state, State::Exited) => {
                if is_success(&service.config, gone.exit) {
                    service.failures = 0;
                }
                Reason::Over { gone: *gone, policy: words(&service.config, *gone) }
            }
            Some(_) | None => Reason::GivenUp { cause: service.cause_text(), limit },
        };
        let (essential, name) = (service.config.essential, service.config.name.clone());
        let (level, message) = match state {
            State::Exited => (LogLevel::Info, "exited"),
            _ => (LogLevel::Error, "failed"),
        };
        let code = if matches!(state, State::Failed) { service.last_code.max(1) } else { service.last_code };
        let next = essential.then(|| "it is essential: ending all".to_owned());
        self.tell(level, id, None, (message, reason.to_string(), next));
        let what = state.name();
        self.set(now, id, state, reason);
        if essential {
            let cause = format!("essential service \"{name}\" has {what}");
            self.essential_end.get_or_insert((code, cause));
        }
    }
}

impl Service {
    /// Whether a start at this time would be one more than `start-limit` allows.
    pub(super) fn is_at_limit(&self, at: Time) -> bool {
        let Some(limit) = self.config.start_limit else { return false };
        let recent = self.starts.iter().filter(|&&start| at.since(start) < limit.within).count();
        recent >= limit.starts as usize
    }

    /// Remembers a start, as far as the limit needs it.
    pub(super) fn note_start(&mut self, now: Time) {
        let Some(limit) = self.config.start_limit else { return };
        self.starts.push_back(now);
        let counts = |start: Time| now.since(start) < limit.within;
        while self.starts.len() > limit.starts as usize || self.starts.front().is_some_and(|&at| !counts(at))
        {
            self.starts.pop_front();
        }
    }
}
