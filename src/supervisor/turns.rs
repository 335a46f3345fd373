//! In which order several services are stopped: first those that come after others. Stops none itself.

use super::{
    ServiceId, Supervisor,
    service::Service,
    state::{Goal, Later, Reason, Seek, State},
};
use crate::time::Time;

/// A service that is to be stopped once others have been.
pub(super) struct Turn {
    /// What comes after it and is stopped with it.
    behind: Vec<ServiceId>,
    reason: Reason,
}

impl Turn {
    /// The service is no more.
    pub(super) fn forget(&mut self, id: ServiceId) {
        self.behind.retain(|&other| other != id);
    }
}

impl Supervisor {
    /// These services are to be stopped, or by their goal stopped and started again: each once those of them that come
    /// after it have been.
    pub(super) fn stop_in_order(
        &mut self,
        now: Time,
        services: &[ServiceId],
        reason: impl Fn(ServiceId) -> Reason,
    ) {
        for &id in services {
            let dependents = self.services[id].dependents.iter().copied();
            let behind = dependents.filter(|dependent| services.contains(dependent)).collect();
            self.turns.insert(id, Turn { behind, reason: reason(id) });
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
            let due = self.turns.iter().filter(|(id, turn)| self.is_due(**id, &turn.behind));
            let due: Vec<(ServiceId, Reason)> = due.map(|(&id, turn)| (id, turn.reason.clone())).collect();
            if due.is_empty() {
                return;
            }
            for (id, reason) in due {
                self.turns.remove(&id);
                match self.services[id].goal {
                    Goal::Up => self.restart_wanted(now, id, reason),
                    Goal::Down => self.stop_wanted(now, id, reason),
                }
            }
        }
    }

    /// Whether nothing of it runs that others could need, or nobody needs it any more.
    fn is_due(&self, id: ServiceId, behind: &[ServiceId]) -> bool {
        let is_needed =
            || self.services[id].state.is_up() && behind.iter().any(|&other| self.is_ending(other));
        !self.services[id].may_have_left_unknown() && !is_needed()
    }

    fn is_ending(&self, id: ServiceId) -> bool {
        // What is spawned heeds the goal at once.
        matches!(self.services[id].state, State::Stopping(_) | State::Spawning) || self.has_turn(id)
    }
}

impl Service {
    /// Whether it is wanted, and what its last process may have left cannot be told from strangers before a look, or its
    /// pidfile, shows it: what is started beside that would be a second one.
    fn may_have_left_unknown(&self) -> bool {
        let State::Seeking(Seek { gone: Some(_), later, .. }) = &self.state else { return false };
        self.goal == Goal::Up && !matches!(later, Some(Later { is_own: true, .. }))
    }
}
