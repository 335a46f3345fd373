//! What clients ask: a change of the goals, or what is known. Parses nothing.

use super::{
    Action, Caller, ClientId, ServiceId, Supervisor,
    probe::ProbeRun,
    state::{Asked, Goal, Reason, Seek, State},
    status::Depth,
    story::Tale,
};
use crate::{
    config::Kind,
    protocol::{ALL, Failure, Request, Response},
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

impl Waiter {
    /// The service is no more.
    pub(super) fn forget(&mut self, id: ServiceId) {
        self.services.retain(|&service| service != id);
        match &mut self.awaited {
            Awaited::Deeds { pending, .. } => pending.retain(|&service| service != id),
            Awaited::Goal(_) | Awaited::Checks => {}
        }
    }
}

impl Supervisor {
    /// The answer to a question for what is known already, which changes nothing and needs no step: there may be thousands
    /// a second. `None`: another request, to be stepped.
    pub fn known(&self, now: Time, caller: Caller, request: &Request) -> Option<Response> {
        let Request::Status { measured, detail, .. } = request else { return None };
        if *measured && !self.is_measured(now) {
            return None;
        }
        let depth = Depth::of(*measured, *detail, caller);
        let told = self.chosen(request).map(|services| self.statuses(now, &services, depth));
        Some(told.unwrap_or_else(|refusal| refusal))
    }

    fn chosen(&self, request: &Request) -> Result<Vec<ServiceId>, Response> {
        // What the configuration has no more is not to be had.
        let wants = matches!(request, Request::Start { .. } | Request::Restart { .. });
        let ids: Vec<ServiceId> =
            self.services.ids().filter(|id| !wants || !self.leaving.contains_key(id)).collect();
        let known: Vec<&str> = ids.iter().map(|&id| self.services[id].config.name.as_str()).collect();
        let chosen = request.choose(&known)?;
        Ok(chosen.into_iter().map(|at| ids[at]).collect())
    }

    pub(super) fn asked(&mut self, now: Time, client: ClientId, caller: Caller, request: Request) {
        if let Some(response) = self.known(now, caller, &request) {
            return self.reply(client, response);
        }
        let services = match self.chosen(&request) {
            Ok(services) => services,
            Err(response) => return self.reply(client, self.last_events(&request).unwrap_or(response)),
        };
        if let Some(reason) = self.why_not(&request, &services) {
            return self.reply(client, Response::Refused { reason });
        }
        let deeds = || Awaited::Deeds { pending: services.clone(), failures: Vec::new() };
        let (awaited, waits) = match request {
            Request::Status { measured, detail, .. } => {
                return self.asked_measured(now, client, services, Depth::of(measured, detail, caller));
            }
            Request::Why { .. } => {
                let response = match services.as_slice() {
                    [id] => self.story(now, *id),
                    _ => Response::Refused { reason: "a story is of one service".to_owned() },
                };
                return self.reply(client, response);
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
                return self.reply(client, Response::Refused { reason });
            }
            Request::Shutdown => {
                self.reply(client, Response::Done);
                return self.terminate(now, &format!("ctl shutdown ({caller})"));
            }
            Request::Start { wait, .. } => {
                let asked = self.note_request("start", caller, &services);
                services.iter().for_each(|&id| self.ask_start(now, id, asked));
                (Awaited::Goal(Goal::Up), wait)
            }
            Request::Stop { wait, .. } => {
                let asked = self.note_request("stop", caller, &services);
                self.ask_stop(now, &services, asked);
                (Awaited::Goal(Goal::Down), wait)
            }
            Request::Restart { wait, .. } => {
                let asked = self.note_request("restart", caller, &services);
                self.ask_restart(now, &services, asked);
                (Awaited::Goal(Goal::Up), wait)
            }
            Request::Check { .. } => {
                services.iter().for_each(|&id| self.check_now(now, id));
                (Awaited::Checks, true)
            }
            Request::Reload { wait, .. } => {
                let asked = self.note_request("reload", caller, &services);
                let awaited = deeds();
                services.iter().for_each(|&id| self.reload(now, id, client, asked));
                (awaited, wait)
            }
            Request::Signal { signal, .. } => {
                let asked = self.note_request("signal", caller, &services);
                let awaited = deeds();
                services.iter().for_each(|&id| self.signal(id, client, signal, asked));
                (awaited, true)
            }
        };
        if waits {
            self.waiters.push(Waiter { client, services, awaited });
        } else {
            self.reply(client, self.statuses(now, &services, Depth::State));
        }
    }

    fn reply(&mut self, client: ClientId, response: Response) {
        self.actions.push(Action::Reply { client, response });
    }

    fn note_request(&mut self, verb: &'static str, caller: Caller, services: &[ServiceId]) -> Asked {
        services.iter().for_each(|&id| self.remember(Some(id), None, Tale::Request { verb, caller }));
        Asked { verb, caller }
    }

    /// Why nothing can be done about this request now.
    fn why_not(&self, request: &Request, services: &[ServiceId]) -> Option<String> {
        let why_one: fn(&Self, ServiceId) -> Option<String> = match request {
            Request::Start { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Check { .. }
                if !self.phase.is_managing() =>
            {
                return Some(Reason::Shutdown.to_string());
            }
            Request::Reload { .. } => Self::why_not_reload,
            Request::Signal { .. } => Self::why_no_signal,
            Request::Status { .. }
            | Request::Why { .. }
            | Request::Events { .. }
            | Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Check { .. }
            | Request::Logs { .. }
            | Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. }
            | Request::Shutdown => return None,
        };
        let reasons: Vec<String> = services.iter().filter_map(|&id| why_one(self, id)).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Nobody is there to be answered: a service that never comes to rest would keep the waiter for ever.
    pub(super) fn hung_up(&mut self, client: ClientId) {
        self.waiters.retain(|waiter| waiter.client != client);
        self.unask(client);
        self.unfollow(client);
    }

    fn ask_start(&mut self, now: Time, id: ServiceId, asked: Asked) {
        self.turns.remove(&id);
        self.services[id].want(now);
        self.start_wanted(now, id, Reason::Asked(asked));
    }

    fn start_wanted(&mut self, now: Time, id: ServiceId, reason: Reason) {
        match self.services[id].state {
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {
                self.services[id].reason = reason;
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

    fn ask_stop(&mut self, now: Time, services: &[ServiceId], asked: Asked) {
        for &id in services {
            let service = &mut self.services[id];
            service.goal = Goal::Down;
            service.stopped_by = Some(asked);
            service.cause = None;
            service.check_due = false;
        }
        // The shutdown has its own order, which is that of all.
        if self.phase.is_managing() {
            self.stop_in_order(now, services, |_| Reason::Asked(asked));
        }
    }

    /// Nothing that is stopped with it comes after it any more.
    pub(super) fn stop_wanted(&mut self, now: Time, id: ServiceId, reason: Reason) {
        if !matches!(self.services[id].state, State::Stopped) {
            self.stop(now, id, reason);
        }
    }

    fn ask_restart(&mut self, now: Time, services: &[ServiceId], asked: Asked) {
        services.iter().for_each(|&id| self.services[id].want(now));
        self.stop_in_order(now, services, |_| Reason::Asked(asked));
    }

    /// The same, and it is started again.
    pub(super) fn restart_wanted(&mut self, now: Time, id: ServiceId, reason: Reason) {
        // What it left is of the life that is to end.
        if self.services[id].is_under_way() {
            self.stop(now, id, reason);
        } else {
            self.start_wanted(now, id, reason);
        }
    }

    /// Calls the roll for one service without waiting for its interval, and asks whether it is well.
    fn check_now(&mut self, now: Time, id: ServiceId) {
        if matches!(self.services[id].state, State::Backoff { .. }) && !self.services[id].is_single_run() {
            // Perhaps somebody has started it meanwhile.
            return self.seek(now, id, Seek { gone: None, needs_table: true, later: None });
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
                Awaited::Deeds { .. } | Awaited::Goal(_) | Awaited::Checks => {
                    self.statuses(now, &services, Depth::State)
                }
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
