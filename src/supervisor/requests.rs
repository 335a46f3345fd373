//! What clients ask: a change of the goals, or what is known. Parses nothing.

use super::{
    Action, Caller, ClientId, ServiceId, Supervisor,
    state::{Asked, Goal, Reason, State},
    story::Tale,
};
use crate::{
    config::Kind,
    protocol::{ALL, Request, Response},
    time::Time,
};

/// A client that waits until what it asked for is done.
pub(super) struct Waiter {
    client: ClientId,
    services: Vec<ServiceId>,
    goal: Goal,
}

impl Waiter {
    /// The service is no more.
    pub(super) fn forget(&mut self, id: ServiceId) {
        self.services.retain(|&service| service != id);
    }
}

impl Supervisor {
    pub(super) fn asked(&mut self, now: Time, client: ClientId, caller: Caller, request: Request) {
        let known: Vec<&str> = self.services.iter().map(|service| service.config.name.as_str()).collect();
        let services: Vec<ServiceId> = match request.choose(&known) {
            Ok(chosen) => {
                let ids: Vec<ServiceId> = self.services.ids().collect();
                chosen.into_iter().map(|at| ids[at]).collect()
            }
            Err(response) => return self.actions.push(Action::Reply { client, response }),
        };
        let goal = match request {
            Request::Status { measured: true, detail, .. } => {
                return self.asked_measured(now, client, services, detail);
            }
            Request::Status { measured: false, detail, .. } => {
                let response = self.statuses(now, &services, detail);
                return self.actions.push(Action::Reply { client, response });
            }
            Request::Why { .. } => {
                let response = match services.as_slice() {
                    [id] => self.story(now, *id),
                    _ => Response::Refused { reason: "a story is of one service".to_owned() },
                };
                return self.actions.push(Action::Reply { client, response });
            }
            Request::Events { names, after, follow } => {
                let is_any = names.is_empty() || names.iter().any(|name| name == ALL);
                return self.asked_events(client, Some(services).filter(|_| !is_any), after, follow);
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
        let verb = match request {
            Request::Start { .. } => "start",
            Request::Restart { .. } => "restart",
            _ => "stop",
        };
        let asked = Asked { verb, caller };
        for &id in &services {
            self.remember(Some(id), None, Tale::Request { verb, caller });
            match goal {
                // What the configuration has no more is not to be had.
                Goal::Up if self.leaving.contains(&id) => {}
                Goal::Up if verb == "restart" => self.ask_restart(now, id, asked),
                Goal::Up => self.ask_start(now, id, asked),
                Goal::Down => self.ask_stop(now, id, asked),
            }
        }
        self.waiters.push(Waiter { client, services, goal });
    }

    /// Nobody is there to be answered: a service that never comes to rest would keep the waiter for ever.
    pub(super) fn hung_up(&mut self, client: ClientId) {
        self.waiters.retain(|waiter| waiter.client != client);
        self.unask(client);
        self.unfollow(client);
    }

    fn ask_start(&mut self, now: Time, id: ServiceId, asked: Asked) {
        self.services[id].want(now);
        match self.services[id].state {
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {
                self.services[id].reason = Reason::Asked(asked);
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

    fn ask_stop(&mut self, now: Time, id: ServiceId, asked: Asked) {
        let service = &mut self.services[id];
        let was_up = service.goal == Goal::Up;
        service.goal = Goal::Down;
        service.stopped_by = Some(asked);
        service.cause = None;
        service.check_due = false;
        if was_up {
            self.stop(now, id, Reason::Asked(asked));
        }
    }

    fn ask_restart(&mut self, now: Time, id: ServiceId, asked: Asked) {
        match self.services[id].state {
            State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. } => {
                self.services[id].want(now);
                self.stop(now, id, Reason::Asked(asked));
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => self.ask_start(now, id, asked),
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
            let response = self.statuses(now, &waiter.services, false);
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
}

impl super::service::Service {
    /// It is wanted, and what it did before is forgiven.
    pub(super) fn want(&mut self, now: Time) {
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
