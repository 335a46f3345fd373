//! Whether a running service is well, and what follows when it is not. Runs no check.

use super::{
    Cause, Probing, ServiceId, Supervisor,
    probe::ProbeRun,
    service::Checked,
    state::{Reason, State},
};
use crate::{
    config::{Check, CheckRule, LogLevel, Remedy},
    time::Time,
};

/// When the service is asked next, or must have said something.
pub(super) fn next_check(check: &Check, now: Time) -> ProbeRun {
    let until = now + check.every;
    match check.rule {
        CheckRule::Probe(_) => ProbeRun::Pause { probing: Probing::Health, until },
        CheckRule::Notify => ProbeRun::Silence { until },
    }
}

impl Supervisor {
    /// The pause before the next check is over now.
    pub(super) fn hasten_check(&mut self, now: Time, id: ServiceId) {
        if let Some(ProbeRun::Pause { probing: Probing::Health, until }) = &mut self.services[id].probe {
            *until = now;
            self.probe_due(now, id);
        }
    }

    /// A check is done; `failure`: what was wrong.
    pub(super) fn health_checked(&mut self, now: Time, id: ServiceId, failure: Option<String>) {
        let remedy = self.services[id].config.check.as_ref().map(|check| check.on_failure);
        self.health_judged(now, id, failure, remedy.unwrap_or(Remedy::Report));
    }

    /// A check could not be run. That is no fault of the service, which a restart would not mend, and where processes or
    /// descriptors are out it could not even be started again.
    pub(super) fn health_unknown(&mut self, now: Time, id: ServiceId, error: String) {
        self.health_judged(now, id, Some(error), Remedy::Report);
    }

    fn health_judged(&mut self, now: Time, id: ServiceId, failure: Option<String>, remedy: Remedy) {
        let service = &mut self.services[id];
        let Some(check) = service.config.check.clone() else { return };
        let (State::Running { main } | State::Unhealthy { main }) = &service.state else { return };
        let main = main.clone();
        service.probe = Some(next_check(&check, now));
        service.checked = Some(Checked { at: now, failure: failure.clone() });
        let Some(failure) = failure else {
            service.failed_checks = 0;
            if matches!(service.state, State::Unhealthy { .. }) {
                let reason = service.running_reason(main.found);
                let pid = main.id.pid;
                self.set(now, id, State::Running { main }, reason);
                self.tell(
                    LogLevel::Info,
                    id,
                    Some(pid),
                    ("well again", "its health check succeeds".to_owned(), None),
                );
            }
            return;
        };
        service.failed_checks = service.failed_checks.saturating_add(1);
        let failed = service.failed_checks;
        if failed < check.retries {
            let what =
                ("health check failed", failure, Some(format!("{failed} of {} in a row", check.retries)));
            return self.tell(LogLevel::Debug, id, Some(main.id.pid), what);
        }
        let times = if failed == 1 { "once".to_owned() } else { format!("{failed} times in a row") };
        let why = format!("health check failed {times}: {failure}");
        match remedy {
            Remedy::Restart => self.remedy(now, id, why),
            Remedy::Report => {
                let is_new = !matches!(service.state, State::Unhealthy { .. });
                let pid = main.id.pid;
                self.set(now, id, State::Unhealthy { main }, Reason::Unfit(why.clone()));
                if is_new {
                    self.tell(LogLevel::Warn, id, Some(pid), ("unhealthy", why, None));
                }
            }
        }
    }

    /// The service had to say that it lives.
    pub(super) fn fell_silent(&mut self, now: Time, id: ServiceId) {
        let every = self.services[id].config.check.as_ref().map(|check| check.every).unwrap_or_default();
        let why = format!("no WATCHDOG=1 within {}", humantime::format_duration(every));
        self.health_checked(now, id, Some(why));
    }

    /// The service is not as it should be: it is stopped and started again.
    pub(super) fn remedy(&mut self, now: Time, id: ServiceId, why: String) {
        let Some(main) = self.services[id].main() else { return };
        let ran = now.since(main.since);
        self.note(now, id, Cause::Unfit(why.clone()), Some(ran));
        self.stop(now, id, Reason::Unfit(why));
    }
}
