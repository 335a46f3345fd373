//! In which order several services are stopped: first those that come after others. Stops none itself.

use super::{
    ServiceId, Supervisor,
    state::{Goal, State},
};
use crate::time::Time;

impl Supervisor {
    /// These services are to be stopped, or by their goal stopped and started again: each once those of them that come
    /// after it have been.
    pub(super) fn stop_in_order(&mut self, now: Time, services: &[ServiceId]) {
        for &id in services {
            let dependents = self.services[id].dependents.iter().copied();
            let behind = dependents.filter(|dependent| services.contains(dependent)).collect();
            self.turns.insert(id, behind);
        }
        self.take_turns(now);
    }

    /// Whether it is still to be stopped.
    pub(super) fn has_turn(&self, id: ServiceId) -> bool {
        self.turns.contains_key(&id)
    }

    /// Stops those whose turn has come.
    pub(super) fn take_turns(&mut self, now: Time) {
        loop {
            let due = self.turns.iter().filter(|(id, behind)| self.is_due(**id, behind));
            let due: Vec<ServiceId> = due.map(|(&id, _)| id).collect();
            if due.is_empty() {
                return;
            }
            for id in due {
                self.turns.remove(&id);
                match self.services[id].goal {
                    Goal::Up => self.restart_asked(now, id),
                    Goal::Down => self.stop_asked(now, id),
                }
            }
        }
    }

    /// Whether nothing of it runs that others could need, or nobody needs it any more.
    fn is_due(&self, id: ServiceId, behind: &[ServiceId]) -> bool {
        !self.services[id].state.is_up() || !behind.iter().any(|&other| self.is_ending(other))
    }

    fn is_ending(&self, id: ServiceId) -> bool {
        // What is spawned heeds the goal at once.
        matches!(self.services[id].state, State::Stopping(_) | State::Spawning) || self.has_turn(id)
    }
}
