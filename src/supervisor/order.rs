//! What comes after what: a service that is wanted waits until all that it comes after is ready. Starts nothing itself.

use std::collections::{HashMap, HashSet};

use super::{
    Probing, ServiceId, Supervisor,
    service::Service,
    state::{Goal, Reason, Seek, State},
};
use crate::{
    config::{Service as ServiceConfig, ServiceName},
    time::Time,
};

/// How many of those that a service waits for are named.
const NAMED: usize = 3;

impl Supervisor {
    /// The service is wanted and nothing is known of it: waits for what it comes after, or seeks it.
    pub(super) fn pursue(&mut self, now: Time, id: ServiceId) {
        if self.waits_for_others(now, id) {
            return;
        }
        let service = &self.services[id];
        let answered = match service.state {
            State::Waiting { answered } => answered,
            _ => 0,
        };
        if let Some(address) = service.config.after_addresses.get(answered) {
            let reason = Reason::Address { address: address.clone(), said: None };
            self.set(now, id, State::Waiting { answered }, reason);
            if self.services[id].probe.is_none() {
                self.run_probe(id, Probing::Address(u32::try_from(answered).unwrap_or(u32::MAX)));
            }
        } else if service.is_single_run() && service.recorded.is_none() {
            self.start(now, id);
        } else {
            self.seek(now, id, Seek { gone: None, needs_table: true, later: None });
        }
    }

    /// Waits, if what the service comes after is not there yet.
    pub(super) fn waits_for_others(&mut self, now: Time, id: ServiceId) -> bool {
        let missing = self.missing(id);
        let waits = missing.is_some();
        if let Some(missing) = missing {
            self.set(now, id, State::Waiting { answered: 0 }, Reason::After(missing));
        }
        waits
    }

    /// What the service comes after and is not there yet: the first few by name.
    pub(super) fn missing(&self, id: ServiceId) -> Option<String> {
        let service = &self.services[id];
        let after = service.after.iter().copied().filter(|&after| self.is_awaited(after));
        let left = self.leaving.iter().filter(|(_, left_with)| **left_with <= service.came_with);
        let mut missing = after.chain(left.map(|(&id, _)| id));
        let named: Vec<String> = missing.by_ref().take(NAMED).map(|id| self.awaited(id)).collect();
        let named = named.join(", ");
        match missing.count() {
            0 if named.is_empty() => None,
            0 => Some(named),
            others => Some(format!("{named} and {others} more")),
        }
    }

    fn is_awaited(&self, id: ServiceId) -> bool {
        self.leaving.contains_key(&id) || !self.services[id].is_reached() || self.has_turn(id)
    }

    /// What is awaited of a service: for one that leaves its end, for any other that it is ready.
    fn awaited(&self, id: ServiceId) -> String {
        let service = &self.services[id];
        if self.leaving.contains_key(&id) {
            format!("{} to be gone, which is removed", service.config.name)
        } else {
            service.awaited()
        }
    }

    /// Who comes after whom, by the configurations given; what is left of earlier services keeps its order.
    pub(super) fn relate<'a>(&mut self, configs: impl Iterator<Item = &'a ServiceConfig>) {
        let staying: HashMap<ServiceName, ServiceId> = self
            .services
            .ids()
            .filter(|id| !self.leaving.contains_key(id))
            .map(|id| (self.services[id].config.name.clone(), id))
            .collect();
        for id in self.services.ids() {
            let leaving = &self.leaving;
            let is_leaving = |other: &ServiceId| leaving.contains_key(other);
            self.services[id].after.retain(is_leaving);
            self.services[id].dependents.retain(|other| is_leaving(other) && is_leaving(&id));
        }
        for config in configs {
            let Some(&id) = staying.get(&config.name) else { continue };
            for after in config.after.iter().filter_map(|name| staying.get(name)).copied() {
                self.services[id].after.push(after);
                self.services[after].dependents.push(id);
            }
        }
    }

    /// Whether something that the service waits for does not come by itself, or not soon.
    pub(super) fn waits_in_vain(&self, id: ServiceId) -> bool {
        let (mut seen, mut next) = (HashSet::new(), vec![id]);
        while let Some(waiting) = next.pop() {
            for &after in &self.services[waiting].after {
                match self.services[after].state {
                    _ if self.leaving.contains_key(&after) => {}
                    _ if self.services[after].is_reached() || self.has_turn(after) => {}
                    State::Waiting { .. } if seen.insert(after) => next.push(after),
                    State::Stopped if self.services[after].goal == Goal::Down => return true,
                    State::Backoff { .. } | State::Unhealthy { .. } | State::Exited | State::Failed => {
                        return true;
                    }
                    State::Stopped
                    | State::Waiting { .. }
                    | State::Seeking(_)
                    | State::Spawning
                    | State::Starting { .. }
                    | State::Readying { .. }
                    | State::Running { .. }
                    | State::Stopping(_) => {}
                }
            }
        }
        false
    }

    /// An address that the service waits for answers.
    pub(super) fn address_answered(&mut self, now: Time, id: ServiceId) {
        if let State::Waiting { answered } = &mut self.services[id].state {
            *answered += 1;
            self.pursue(now, id);
        }
    }

    /// A service has come into another state: what waits for it may go on, or shows why it can't.
    pub(super) fn reconsider_dependents(&mut self, now: Time, id: ServiceId) {
        for dependent in self.services[id].dependents.clone() {
            let service = &self.services[dependent];
            if matches!(service.state, State::Waiting { .. }) && service.goal == Goal::Up {
                self.pursue(now, dependent);
            }
        }
    }
}

impl Service {
    /// Its name, and why it cannot be waited for with hope.
    fn awaited(&self) -> String {
        let name = &self.config.name;
        match self.state {
            State::Failed => format!("{name}, which failed: {}", self.reason),
            State::Exited => format!("{name}, which exited"),
            State::Stopped if self.goal == Goal::Down => format!("{name}, which is stopped"),
            State::Unhealthy { .. } => format!("{name}, which is unhealthy"),
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Stopping(_)
            | State::Backoff { .. } => name.to_string(),
        }
    }
}
