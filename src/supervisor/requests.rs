//! What clients ask: a change of the goals, or the states. Parses nothing.

use std::time::Duration;

use super::{
    Action, ClientId, ServiceId, Supervisor,
    state::{Goal, Reason, State},
};
use crate::{
    config::Kind,
    protocol::{Request, Response, Status},
    time::Time,
};

/// A client that waits until what it asked for is done.
pub(super) struct Waiter {
    client: ClientId,
    services: Vec<ServiceId>,
    goal: Goal,
}

impl Supervisor {
    pub(super) fn asked(&mut self, now: Time, client: ClientId, request: Request) {
        let known: Vec<&str> = self.services.iter().map(|service| service.config.name.as_str()).collect();
        let services: Vec<ServiceId> = match request.choose(&known) {
            Ok(chosen) => chosen.into_iter().map(|at| ServiceId(at as u32)).collect(),
            Err(response) => return self.actions.push(Action::Reply { client, response }),
        };
        let goal = match request {
            Request::Status { .. } => {
                let response = self.statuses(now, &services);
                return self.actions.push(Action::Reply { client, response });
            }
            Request::Logs { .. }
            | Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. } => {
                // The shell keeps the output and reads the files, and answers for them.
                let reason = "this is nothing to decide about".to_owned();
                let response = Response::Refused { reason };
                return self.actions.push(Action::Reply { client, response });
            }
            Request::Stop { .. } => Goal::Down,
            Request::Start { .. } | Request::Restart { .. } => {
                if !self.phase.is_managing() {
                    let reason = Reason::Shutdown.to_string();
                    let response = Response::Refused { reason };
                    return self.actions.push(Action::Reply { client, response });
                }
                Goal::Up
            }
        };
        let restart = matches!(request, Request::Restart { .. });
        for &id in &services {
            match goal {
                Goal::Up if restart => self.ask_restart(now, id),
                Goal::Up => self.ask_start(now, id),
                Goal::Down => self.ask_stop(now, id),
            }
        }
        self.waiters.push(Waiter { client, services, goal });
    }

    /// Nobody is there to be answered: a service that never comes to rest would keep the waiter for ever.
    pub(super) fn hung_up(&mut self, client: ClientId) {
        self.waiters.retain(|waiter| waiter.client != client);
    }

    fn ask_start(&mut self, now: Time, id: ServiceId) {
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

    fn ask_stop(&mut self, now: Time, id: ServiceId) {
        let service = &mut self.services[id];
        let was_up = service.goal == Goal::Up;
        service.goal = Goal::Down;
        service.cause = None;
        service.check_due = false;
        if was_up {
            self.stop(now, id, Reason::Asked("stop"));
        }
    }

    fn ask_restart(&mut self, now: Time, id: ServiceId) {
        match self.services[id].state {
            State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. } => {
                self.services[id].want(now);
                self.stop(now, id, Reason::Asked("restart"));
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => self.ask_start(now, id),
        }
    }

    /// Answers the clients whose services have come to rest.
    pub(super) fn answer_waiters(&mut self, now: Time) {
        let (done, waiting) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| waiter.services.iter().all(|&id| self.is_settled(id, waiter.goal)));
        self.waiters = waiting;
        let done: Vec<Waiter> = done;
        for waiter in done {
            let response = self.statuses(now, &waiter.services);
            self.actions.push(Action::Reply { client: waiter.client, response });
        }
    }

    fn is_settled(&self, id: ServiceId, goal: Goal) -> bool {
        let service = &self.services[id];
        match service.state {
            _ if service.goal != goal => true,
            State::Stopped => goal == Goal::Down,
            // A task is waited for until it is done.
            State::Running { .. } => goal == Goal::Up && service.config.kind == Kind::Service,
            State::Unhealthy { .. } | State::Waiting { .. } | State::Backoff { .. } => goal == Goal::Up,
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
