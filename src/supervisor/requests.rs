//! What clients ask: a change of the goals, or the states. Parses nothing.

use std::time::Duration;

use super::{
    Action, ClientId, ServiceId, Supervisor,
    probe::ProbeRun,
    state::{Goal, Reason, State},
};
use crate::{
    config::Kind,
    protocol::{Failure, Request, Response, Status},
    time::Time,
};

/// A client that waits until what it asked for is done.
pub(super) struct Waiter {
    pub(super) client: ClientId,
    services: Vec<ServiceId>,
    pub(super) awaited: Awaited,
}

/// What a client waits for.
pub(super) enum Awaited {
    /// Each service is where this goal leads, or cannot get there.
    Goal(Goal),
    /// Each service was looked at, and its health check is done.
    Checks,
    /// What was to be done to these services was done, or has failed.
    Deeds { pending: Vec<ServiceId>, failures: Vec<Failure> },
}

impl Supervisor {
    pub(super) fn asked(&mut self, now: Time, client: ClientId, request: Request) {
        if request == Request::Shutdown {
            self.reply(client, Response::Done);
            return self.terminate(now, "ctl shutdown");
        }
        let known: Vec<&str> = self.services.iter().map(|service| service.config.name.as_str()).collect();
        let services: Vec<ServiceId> = match request.choose(&known) {
            Ok(chosen) => chosen.into_iter().map(|at| ServiceId(at as u32)).collect(),
            Err(response) => return self.reply(client, response),
        };
        if let Some(reason) = self.why_not(&request, &services) {
            return self.reply(client, Response::Refused { reason });
        }
        let deeds = || Awaited::Deeds { pending: services.clone(), failures: Vec::new() };
        let (awaited, waits) = match request {
            Request::Status { .. }
            | Request::Logs { .. }
            | Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. }
            | Request::Shutdown => return self.reply(client, self.statuses(now, &services)),
            Request::Start { wait, .. } => {
                services.iter().for_each(|&id| self.ask_start(now, id));
                (Awaited::Goal(Goal::Up), wait)
            }
            Request::Stop { wait, .. } => {
                self.ask_stop(now, &services);
                (Awaited::Goal(Goal::Down), wait)
            }
            Request::Restart { wait, .. } => {
                self.ask_restart(now, &services);
                (Awaited::Goal(Goal::Up), wait)
            }
            Request::Check { .. } => {
                services.iter().for_each(|&id| self.check_now(now, id));
                (Awaited::Checks, true)
            }
            Request::Reload { wait, .. } => {
                let awaited = deeds();
                services.iter().for_each(|&id| self.reload(now, id, client));
                (awaited, wait)
            }
            Request::Signal { signal, .. } => {
                let awaited = deeds();
                services.iter().for_each(|&id| self.signal(id, client, signal));
                (awaited, true)
            }
        };
        if waits {
            self.waiters.push(Waiter { client, services, awaited });
        } else {
            self.reply(client, self.statuses(now, &services));
        }
    }

    fn reply(&mut self, client: ClientId, response: Response) {
        self.actions.push(Action::Reply { client, response });
    }

    /// Why nothing can be done about this request now.
    fn why_not(&self, request: &Request, services: &[ServiceId]) -> Option<String> {
        let one_by_one = |why: &dyn Fn(ServiceId) -> Option<String>| {
            let reasons: Vec<String> = services.iter().filter_map(|&id| why(id)).collect();
            (!reasons.is_empty()).then(|| reasons.join("; "))
        };
        match request {
            Request::Start { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Check { .. }
                if !self.phase.is_managing() =>
            {
                Some(Reason::Shutdown.to_string())
            }
            Request::Reload { .. } => one_by_one(&|id| self.why_not_reload(id)),
            Request::Signal { .. } => one_by_one(&|id| self.why_no_signal(id)),
            // The shell keeps the output and reads the files, and answers for them.
            Request::Logs { .. }
            | Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. } => Some("this is nothing to decide about".to_owned()),
            Request::Status { .. }
            | Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Check { .. }
            | Request::Shutdown => None,
        }
    }

    /// Nobody is there to be answered: a service that never comes to rest would keep the waiter for ever.
    pub(super) fn hung_up(&mut self, client: ClientId) {
        self.waiters.retain(|waiter| waiter.client != client);
    }

    fn ask_start(&mut self, now: Time, id: ServiceId) {
        self.turns.remove(&id);
        self.services[id].want(now);
        match self.services[id].state {
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {
                self.services[id].reason = Reason::Asked("start");
                self.pursue(now, id);
            }
            State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_) => {}
        }
    }

    fn ask_stop(&mut self, now: Time, services: &[ServiceId]) {
        for &id in services {
            let service = &mut self.services[id];
            service.goal = Goal::Down;
            service.cause = None;
            service.check_due = false;
        }
        // The shutdown has its own order, which is that of all.
        if self.phase.is_managing() {
            self.stop_in_order(now, services);
        }
    }

    /// Nothing that is stopped with it comes after it any more.
    pub(super) fn stop_asked(&mut self, now: Time, id: ServiceId) {
        if !matches!(self.services[id].state, State::Stopped) {
            self.stop(now, id, Reason::Asked("stop"));
        }
    }

    fn ask_restart(&mut self, now: Time, services: &[ServiceId]) {
        services.iter().for_each(|&id| self.services[id].want(now));
        self.stop_in_order(now, services);
    }

    /// The same, and it is started again.
    pub(super) fn restart_asked(&mut self, now: Time, id: ServiceId) {
        if self.services[id].state.is_up() {
            self.stop(now, id, Reason::Asked("restart"));
        } else {
            self.ask_start(now, id);
        }
    }

    /// Calls the roll for one service without waiting for its interval, and asks whether it is well.
    fn check_now(&mut self, now: Time, id: ServiceId) {
        if matches!(self.services[id].state, State::Backoff { .. }) {
            // Perhaps somebody has started it meanwhile.
            return self.pursue(now, id);
        }
        if self.services[id].has_processes() {
            self.services[id].check_due = true;
            self.looking.insert(id);
        }
        self.hasten_check(now, id);
    }

    /// Answers the clients whose services have come to rest.
    pub(super) fn answer_waiters(&mut self, now: Time) {
        let (done, waiting): (Vec<Waiter>, _) =
            std::mem::take(&mut self.waiters).into_iter().partition(|waiter| self.is_over(waiter));
        self.waiters = waiting;
        for Waiter { client, services, awaited } in done {
            let response = match awaited {
                Awaited::Deeds { failures, .. } if !failures.is_empty() => Response::Failed { failures },
                Awaited::Deeds { .. } | Awaited::Goal(_) | Awaited::Checks => self.statuses(now, &services),
            };
            self.reply(client, response);
        }
    }

    fn is_over(&self, waiter: &Waiter) -> bool {
        match &waiter.awaited {
            Awaited::Goal(goal) => waiter.services.iter().all(|&id| self.is_settled(id, *goal)),
            Awaited::Checks => waiter.services.iter().all(|&id| self.is_seen(id)),
            Awaited::Deeds { pending, .. } => pending.is_empty(),
        }
    }

    /// Whether no look at it and no check of it is under way.
    fn is_seen(&self, id: ServiceId) -> bool {
        let service = &self.services[id];
        let is_sought = match &service.state {
            State::Seeking(seek) => seek.later.is_none(),
            State::Spawning => true,
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => false,
        };
        !is_sought && !service.check_due && !service.probe.as_ref().is_some_and(ProbeRun::checks_health)
    }

    fn is_settled(&self, id: ServiceId, goal: Goal) -> bool {
        let service = &self.services[id];
        match service.state {
            _ if service.goal != goal => true,
            _ if self.has_turn(id) => false,
            State::Stopped => goal == Goal::Down,
            // A task is waited for until it is done.
            State::Running { .. } => goal == Goal::Up && service.config.kind == Kind::Service,
            State::Unhealthy { .. } | State::Backoff { .. } => goal == Goal::Up,
            State::Waiting { .. } => goal == Goal::Up && self.waits_in_vain(id),
            // A shutdown stops nothing where nothing is.
            State::Exited | State::Failed => true,
            State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Stopping(_) => false,
        }
    }

    fn statuses(&self, now: Time, services: &[ServiceId]) -> Response {
        let services = services
            .iter()
            .map(|&id| {
                let service = &self.services[id];
                let runs = matches!(service.state, State::Running { .. } | State::Unhealthy { .. });
                let since = service.main().filter(|_| runs);
                let since = since.map_or(service.since, |main| main.since);
                let next_start = match service.state {
                    State::Backoff { until } => Some(self.wall_clock_to_milliseconds(until)),
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
                };
                let until = next_start.as_ref().map_or(String::new(), |at| format!(" until {at}"));
                Status {
                    name: service.config.name.to_string(),
                    state: service.state.name(),
                    wanted: service.goal == Goal::Up && !matches!(service.state, State::Exited),
                    pid: service.main().map(|main| main.id.pid),
                    restarts: service.restarts,
                    reason: format!("{}{until}", service.full_reason()),
                    since: self.wall_clock(since),
                    seconds: now.since(since).as_secs_f64(),
                    next_start,
                }
            })
            .collect();
        Response::Services { services }
    }

    fn wall_clock(&self, at: Time) -> String {
        let at = at.since_boot();
        let whole = Duration::from_secs(at.as_secs());
        humantime::format_rfc3339_seconds(self.boot.checked_add(whole).unwrap_or(self.boot)).to_string()
    }

    /// For pauses, of which most are shorter than a second.
    fn wall_clock_to_milliseconds(&self, at: Time) -> String {
        let at = self.boot.checked_add(at.since_boot()).unwrap_or(self.boot);
        humantime::format_rfc3339_millis(at).to_string()
    }
}

impl super::service::Service {
    /// Why it is in its state, with what it says of itself and what it takes too much of.
    fn full_reason(&self) -> String {
        let mut text = self.reason.to_string();
        if self.has_processes() {
            self.says.iter().for_each(|says| text.push_str(&format!("; says: {says}")));
            self.guard.excess().iter().for_each(|excess| text.push_str(&format!("; {excess}")));
        }
        text
    }

    /// It is wanted, and what it did before is forgiven.
    fn want(&mut self, now: Time) {
        self.goal = Goal::Up;
        self.cause = None;
        if !matches!(self.state, State::Spawning) {
            self.starts.clear();
        }
        self.told = None;
        self.failures = 0;
        self.not_before = now;
        self.next_check = self.next_check.max(now + self.config.interval);
    }
}
