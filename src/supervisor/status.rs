//! What clients are told of the services: puts into words what is known. Changes nothing.

use super::{
    Caller, Probing, ServiceId, Supervisor,
    probe::ProbeRun,
    service::Service,
    state::{Goal, Reason, State},
    usage::Measured,
};
use crate::{
    protocol::{Health, Response, Status},
    time::Time,
};

/// How much of a service is told; each takes longer than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    State,
    History,
    /// Everything but values that may be secrets.
    Masked,
    Everything,
}

impl Depth {
    /// What a request asks for.
    pub(super) fn of(measured: bool, detail: bool, caller: Caller) -> Self {
        match (measured, detail) {
            (_, true) if caller.observes => Depth::Masked,
            (_, true) => Depth::Everything,
            (true, false) => Depth::History,
            (false, false) => Depth::State,
        }
    }
}

impl Supervisor {
    pub(super) fn statuses(&self, now: Time, services: &[ServiceId], depth: Depth) -> Response {
        let services = services.iter().map(|&id| self.status(now, id, depth)).collect();
        Response::Services { services }
    }

    pub(super) fn status(&self, now: Time, id: ServiceId, depth: Depth) -> Status {
        let service = &self.services[id];
        let since = service.main().filter(|_| matches!(service.state, State::Running { .. }));
        let since = since.map_or(service.since, |main| main.since);
        let next_start = service.next_start().map(|at| self.wall_clock_to_milliseconds(at));
        // What leaves goes without a word to each service that waits for many.
        let missing = if matches!(service.reason, Reason::After(_)) { self.missing(id) } else { None };
        let reason =
            missing.map_or_else(|| service.full_reason(), |missing| Reason::After(missing).to_string());
        let until = next_start.as_ref().map_or(String::new(), |at| format!(" until {at}"));
        Status {
            name: service.config.name.to_string(),
            state: service.state.name(),
            wanted: service.goal == Goal::Up && !matches!(service.state, State::Exited),
            pid: service.main().map(|main| main.id.pid),
            restarts: service.restarts,
            reason: format!("{reason}{until}"),
            since: self.wall_clock(since),
            seconds: now.since(since).as_secs_f64(),
            next_start,
            failures: service.failures,
            next_check: service.next_health_check().map(|at| self.wall_clock_to_milliseconds(at)),
            health: self.health(service),
            // Of output nothing is known here: who has it adds this.
            log_failures: Vec::new(),
            usage: service.measured.as_ref().filter(|_| service.main().is_some()).map(Measured::words),
            last_exits: if depth >= Depth::History { self.last_exits(id) } else { Vec::new() },
            detail: if depth >= Depth::Masked { self.detail(id, depth) } else { Vec::new() },
        }
    }

    fn health(&self, service: &Service) -> Option<Health> {
        let is_checked = matches!(service.state, State::Running { .. } | State::Unhealthy { .. });
        let check = service.config.check.as_ref().filter(|_| is_checked)?;
        let last = service.checked.as_ref();
        Some(Health {
            well: last.map(|checked| checked.failure.is_none()),
            checked: last.map(|checked| self.wall_clock(checked.at)),
            failed: service.failed_checks,
            retries: check.retries,
            failure: last.and_then(|checked| checked.failure.clone()),
        })
    }

    fn wall_clock(&self, at: Time) -> String {
        let at = self.boot.checked_add(at.since_boot()).unwrap_or(self.boot);
        humantime::format_rfc3339_seconds(at).to_string()
    }

    /// For what may happen more than once a second.
    pub(super) fn wall_clock_to_milliseconds(&self, at: Time) -> String {
        let at = self.boot.checked_add(at.since_boot()).unwrap_or(self.boot);
        humantime::format_rfc3339_millis(at).to_string()
    }
}

impl Service {
    /// When the pause before the next start is over.
    fn next_start(&self) -> Option<Time> {
        match self.state {
            State::Backoff { until } => Some(until),
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Exited
            | State::Failed => None,
        }
    }

    /// When its health is checked, or at the latest must be shown by itself.
    fn next_health_check(&self) -> Option<Time> {
        match self.probe {
            Some(ProbeRun::Pause { probing: Probing::Health, until } | ProbeRun::Silence { until }) => {
                Some(until)
            }
            Some(ProbeRun::Pause { .. } | ProbeRun::Asked { .. } | ProbeRun::Working { .. }) | None => None,
        }
    }

    /// Why it is in its state, with what it says of itself, what it takes too much of, and checks that failed, but not
    /// often enough.
    fn full_reason(&self) -> String {
        let mut text = self.reason.to_string();
        if self.has_processes() {
            self.says.iter().for_each(|says| text.push_str(&format!("; says: {says}")));
            self.guard.excess().iter().for_each(|excess| text.push_str(&format!("; {excess}")));
        }
        let failure = self.checked.as_ref().and_then(|checked| checked.failure.as_ref());
        if let (Some(failure), Some(check), State::Running { .. }) =
            (failure, &self.config.check, &self.state)
        {
            let failed = self.failed_checks;
            text.push_str(&format!("; health check failed ({failed} of {}): {failure}", check.retries));
        }
        text
    }
}
