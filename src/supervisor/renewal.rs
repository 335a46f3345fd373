//! A new configuration: what stays, changes in place, is started anew, comes and goes. Reads no file.

use std::collections::{BTreeSet, HashMap, HashSet};

use nix::sys::signal::Signal;

use super::{
    Action, Event, Reconfiguration, ServiceId, Supervisor,
    pattern::Pattern,
    policy::{self, Verdict},
    service::{Cause, Service},
    state::{Found, Goal, Main, RECONFIGURED, Reason, Seek, State},
};
use crate::{
    config::{Kind, LogLevel, ReadyRule, Service as ServiceConfig, ServiceName},
    process::Table,
    protocol::{ChangeKind, Changes, Effect, ServiceChange},
    time::Time,
};

/// What becomes of a service that the configuration still has.
enum Renewal {
    /// It goes on as it is.
    Stays,
    /// It is stopped, to be started anew.
    IsStopped,
    /// It does not run, and is tried anew.
    IsTried,
}

impl Supervisor {
    /// The configuration is another one from now on. A new service begins when those that leave have gone: it may be
    /// one of them under another name, or need their ports.
    pub(super) fn reconfigure(&mut self, now: Time, new: Reconfiguration) {
        let Reconfiguration { services, shutdown_timeout, changes, cause } = new;
        if !self.phase.is_managing() {
            return;
        }
        self.announce(LogLevel::Info, "configuration read again", cause, &summary(&changes));
        self.shutdown_timeout = shutdown_timeout;
        // Where there were others once, musterd does not end with the last task.
        self.has_tasks_only &= services.iter().all(|service| service.kind == Kind::Task);
        let known: HashMap<ServiceName, ServiceId> =
            self.services().map(|(id, config)| (config.name.clone(), id)).collect();
        let added: Vec<ServiceId> = services
            .iter()
            .filter(|service| !known.contains_key(&service.name))
            .map(|service| self.services.add(Service::new(service, None, now)))
            .collect();
        let mut new = added.iter();
        let ids: Vec<ServiceId> = services
            .iter()
            .filter_map(|service| known.get(&service.name).or_else(|| new.next()).copied())
            .collect();
        let staying: HashSet<ServiceId> = ids.iter().copied().collect();
        let gone: Vec<ServiceId> = self.services.ids().filter(|id| !staying.contains(id)).collect();
        self.services.set_order(ids.iter().chain(&gone).copied());
        let returned: Vec<ServiceId> =
            ids.iter().filter(|id| self.leaving.remove(id).is_some()).copied().collect();
        self.reloads += 1;
        gone.iter().for_each(|&id| self.leave(id));
        self.relate(services.iter());
        added.iter().for_each(|&id| self.services[id].came_with = self.reloads);
        let changes: HashMap<&str, &ServiceChange> =
            changes.services.iter().map(|change| (change.name.as_str(), change)).collect();
        let (mut stopped, mut tried) = (gone, Vec::new());
        for (&id, config) in ids.iter().zip(services) {
            let change = changes.get(config.name.as_str()).copied();
            change.into_iter().for_each(|change| self.tell_change(id, change));
            // IDs only grow.
            if added.first().is_some_and(|&first| id >= first) {
                tried.extend((self.services[id].goal == Goal::Up).then_some(id));
            } else {
                let restarts = change.is_some_and(|change| change.effect == Effect::Restarts);
                match self.renew(now, id, config, restarts, returned.contains(&id)) {
                    Renewal::Stays => {}
                    Renewal::IsStopped => stopped.push(id),
                    Renewal::IsTried => tried.push(id),
                }
            }
        }
        let leaving = self.leaving.clone();
        let reason = |id| if leaving.contains_key(&id) { Reason::Removed } else { Reason::Reconfigured };
        self.stop_in_order(now, &stopped, reason);
        // What is stopped is awaited by those that come after it.
        tried.into_iter().for_each(|id| self.pursue(now, id));
    }

    /// Which keys, not their values: the log may be read by others than the configuration.
    fn tell_change(&mut self, id: ServiceId, change: &ServiceChange) {
        let keys: Vec<&str> = change.keys.iter().map(|key| key.key.as_str()).collect();
        let keys = if keys.is_empty() { "what its keys mean".to_owned() } else { keys.join(", ") };
        let (cause, next) = match (change.change, change.effect) {
            (ChangeKind::Added | ChangeKind::Removed, _) => return,
            (ChangeKind::Changed, Effect::Applied) => (keys, "it counts from now on"),
            (ChangeKind::Changed, Effect::Restarts) => (keys, "restarting"),
            (ChangeKind::Changed, Effect::NeedsNewStart) => (keys, "it counts when musterd is started anew"),
        };
        self.tell(LogLevel::Info, id, None, ("configuration changed", cause, Some(next.to_owned())));
    }

    /// The configuration has the service no more.
    fn leave(&mut self, id: ServiceId) {
        self.leaving.entry(id).or_insert(self.reloads);
        let service = &mut self.services[id];
        service.goal = Goal::Down;
        service.cause = None;
        service.next = None;
        service.check_due = false;
    }

    /// The service stays (`returns`: it was about to leave).
    fn renew(
        &mut self,
        now: Time,
        id: ServiceId,
        config: ServiceConfig,
        restarts: bool,
        returns: bool,
    ) -> Renewal {
        let service = &mut self.services[id];
        if *service.newest_config() == config && !returns {
            return Renewal::Stays;
        }
        if returns {
            service.goal = if config.autostart { Goal::Up } else { Goal::Down };
        }
        let restarts = restarts || returns || service.next.is_some();
        if !service.is_under_way() {
            return self.change_at_rest(now, id, config, restarts);
        }
        if !restarts {
            self.change_in_place(now, id, config);
            return Renewal::Stays;
        }
        service.next = Some(Box::new(config));
        if service.goal == Goal::Up {
            service.want(now);
            service.cause = Some(Cause::Unfit(RECONFIGURED.to_owned()));
        }
        match service.state {
            // What follows heeds the new configuration.
            State::Stopping(_) | State::Spawning => Renewal::Stays,
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => Renewal::IsStopped,
        }
    }

    /// Nothing runs of the service: what was given up, waits or has ended is tried anew.
    fn change_at_rest(&mut self, now: Time, id: ServiceId, config: ServiceConfig, restarts: bool) -> Renewal {
        let old = self.services[id].take_up(config);
        let service = &mut self.services[id];
        let would_go_on = |cause: &Cause| policy::verdict(&service.config, cause) == Verdict::Again;
        let tries = match service.state {
            State::Waiting { .. } | State::Backoff { .. } | State::Failed => true,
            State::Exited => restarts || service.cause.as_ref().is_some_and(would_go_on),
            State::Stopped if service.reason == Reason::NoAutostart && service.config.autostart => {
                service.goal = Goal::Up;
                true
            }
            State::Stopped => service.goal == Goal::Up,
            State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_) => false,
        };
        if !tries || service.goal == Goal::Down {
            return Renewal::Stays;
        }
        service.want(now);
        service.reason = Reason::Reconfigured;
        if let State::Waiting { answered } = &mut service.state
            && service.config.after_addresses != old.after_addresses
        {
            *answered = 0;
            self.drop_probe(id);
        }
        Renewal::IsTried
    }

    /// What runs of the service stays.
    fn change_in_place(&mut self, now: Time, id: ServiceId, config: ServiceConfig) {
        let old = self.services[id].take_up(config);
        let service = &mut self.services[id];
        let config = &service.config;
        let (has_new_ready, has_new_check) = (config.ready != old.ready, config.check != old.check);
        let has_new_guards = (config.memory_max, config.cpu_max) != (old.memory_max, old.cpu_max);
        if config.matching != old.matching && !service.is_single_run() {
            service.is_pattern_new = true;
            service.check_due = service.has_processes();
            self.looking.insert(id);
        }
        if has_new_guards {
            self.forget_usage(id);
        }
        let service = &mut self.services[id];
        service.next_check = (now + service.config.interval).min(service.next_look(now));
        if has_new_ready {
            // The line that is awaited is another one.
            service.awaits_line &= !matches!(service.config.ready.rule, ReadyRule::Log(_));
            self.await_line(id);
        }
        match self.services[id].state.clone() {
            State::Readying { main, .. } if has_new_ready => {
                self.drop_probe(id);
                self.await_readiness(now, id, main);
            }
            State::Running { main } | State::Unhealthy { main } if has_new_check => {
                self.check_anew(now, id, main)
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {}
        }
    }

    /// The check of the service is another one, or there is none any more: then nobody says that it is not well.
    fn check_anew(&mut self, now: Time, id: ServiceId, main: Main) {
        self.drop_probe(id);
        let service = &self.services[id];
        if service.config.check.is_none() && matches!(service.state, State::Unhealthy { .. }) {
            let reason = service.running_reason(main.found);
            self.set(now, id, State::Running { main }, reason);
        }
        self.begin_checks(now, id);
    }

    /// What ran with the old configuration has ended.
    pub(super) fn take_up_next(&mut self, id: ServiceId) {
        if let Some(next) = self.services[id].next.take() {
            self.services[id].take_up(*next);
        }
    }

    /// A process that only the old `match` took for the service's is nobody's; it stays as it is. What musterd has
    /// started stays the service's, whatever it is called.
    pub(super) fn is_let_go(&mut self, now: Time, id: ServiceId, table: &Table) -> bool {
        if !std::mem::take(&mut self.services[id].is_pattern_new) {
            return false;
        }
        let Some(main) = self.services[id].main().cloned() else { return false };
        if !matches!(main.found, Found::Adopted(_)) || self.answers(id, main.id, table) {
            return false;
        }
        let cause = "its match has changed, and this process does not meet it".to_owned();
        let next = Some("leaving it alone, looking for another".to_owned());
        self.tell(LogLevel::Info, id, Some(main.id.pid), ("main process let go", cause, next));
        self.owners.remove(&main.id.pid);
        self.services[id].recorded = None;
        let seek = Seek { gone: None, needs_table: true, later: None };
        self.set(now, id, State::Seeking(seek), Reason::Reconfigured);
        true
    }

    /// What is over of those that leave is to be forgotten: each is asked for once.
    pub(super) fn forget_what_has_left(&mut self) {
        let is_over = |id: &ServiceId| !self.forgetting.contains(id) && self.services[*id].state.is_at_rest();
        let mut over: BTreeSet<ServiceId> = self.leaving.keys().copied().filter(is_over).collect();
        if over.is_empty() {
            return;
        }
        self.owners.values().for_each(|owner| {
            over.remove(&owner.service);
        });
        self.actions.extend(over.iter().copied().map(Action::Forget));
        self.forgetting.extend(over);
    }

    /// Whether nothing is left of a service that leaves; a probe may be.
    fn is_forgettable(&self, id: ServiceId) -> bool {
        self.leaving.contains_key(&id)
            && self.services[id].state.is_at_rest()
            && self.owners.values().all(|owner| owner.service != id)
    }

    /// Nothing is kept for the service any more.
    pub(super) fn forget(&mut self, now: Time, id: ServiceId) {
        self.forgetting.remove(&id);
        if !self.is_forgettable(id) {
            return;
        }
        let name = self.services[id].config.name.to_string();
        self.announce(LogLevel::Info, "service removed", name, "nothing of it is left");
        let left_with = self.leaving.remove(&id);
        let still_leaving = self.leaving.values().min().copied();
        self.looking.remove(&id);
        self.turns.remove(&id);
        self.turns.values_mut().for_each(|turn| turn.forget(id));
        self.end_story(id);
        self.services.remove(id);
        self.waiters.iter_mut().for_each(|waiter| waiter.forget(id));
        self.measuring.forget(id);
        let mut freed = Vec::new();
        for other in self.services.ids() {
            let service = &mut self.services[other];
            service.dependents.retain(|&dependent| dependent != id);
            let before = service.after.len();
            service.after.retain(|&after| after != id);
            let had_waited = left_with.is_some_and(|left_with| left_with <= service.came_with);
            let waits = still_leaving.is_some_and(|left_with| left_with <= service.came_with);
            let is_freed = service.after.len() < before || had_waited && !waits;
            freed.extend(is_freed.then_some(other));
        }
        // Only now: what one of them does is asked about by others.
        for other in freed {
            let service = &self.services[other];
            if service.goal == Goal::Up && matches!(service.state, State::Waiting { .. }) {
                self.pursue(now, other);
            }
        }
    }

    /// Whether the event is about nothing that has been forgotten. What was started for that is nobody's.
    pub(super) fn is_timely(&mut self, event: &Event) -> bool {
        match event {
            Event::Spawned { service, process, .. } if !self.services.has(*service) => {
                self.actions.push(Action::Signal { process: *process, signal: Signal::SIGKILL as i32 });
                false
            }
            Event::SpawnFailed { service, .. }
            | Event::LineSeen(service)
            | Event::Notified { service, .. }
            | Event::Delivered { service, .. }
            | Event::Forgotten(service) => self.services.has(*service),
            Event::Spawned { .. }
            | Event::Tick
            | Event::Ended { .. }
            | Event::Said { .. }
            | Event::Orphans(_)
            | Event::Scanned(_)
            | Event::Measured(_)
            | Event::ScanFailed { .. }
            | Event::Asked { .. }
            | Event::HungUp { .. }
            | Event::Reconfigured { .. }
            | Event::Terminate { .. } => true,
        }
    }
}

impl Service {
    /// What it is told to be, if not now then as soon as what runs has ended.
    pub(super) fn newest_config(&self) -> &ServiceConfig {
        self.next.as_deref().unwrap_or(&self.config)
    }

    /// Whether something of it runs, or may have been left.
    pub(super) fn is_under_way(&self) -> bool {
        match &self.state {
            State::Seeking(seek) => seek.gone.is_some(),
            State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_) => true,
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => false,
        }
    }

    /// It is told to be this from now on; returns what it was told before.
    fn take_up(&mut self, config: ServiceConfig) -> ServiceConfig {
        self.pattern = Pattern::new(&config);
        self.told = None;
        self.misnamed = None;
        self.told_of_user = false;
        std::mem::replace(&mut self.config, config)
    }
}

/// `1 added, 2 changed, 5 as they were`.
fn summary(changes: &Changes) -> String {
    let count = |kind| changes.services.iter().filter(|service| service.change == kind).count();
    let counts = [
        (count(ChangeKind::Added), "added"),
        (count(ChangeKind::Removed), "removed"),
        (count(ChangeKind::Changed), "changed"),
        (changes.unchanged, "as before"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    counts.collect::<Vec<_>>().join(", ")
}
