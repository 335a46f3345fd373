//! A new configuration: what stays, changes in place, is started anew, comes and goes. Reads no file.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    Action, Renewed, ServiceId, Supervisor,
    matching::is_candidate,
    pattern::Pattern,
    policy::{self, Verdict},
    service::{Cause, Service},
    state::{Found, Goal, Reason, Seek, State},
};
use crate::{
    config::{Kind, LogLevel, Service as ServiceConfig, ServiceName},
    process::Table,
    time::Time,
};

impl Supervisor {
    /// These are the services from now on, in this order.
    pub(super) fn reconfigure(&mut self, now: Time, services: Vec<Renewed>, shutdown_timeout: Duration) {
        if !self.phase.is_managing() {
            return;
        }
        self.shutdown_timeout = shutdown_timeout;
        // Where there were others once, musterd does not end with the last task.
        self.has_tasks_only &= services.iter().all(|service| service.config.kind == Kind::Task);
        let known: HashMap<ServiceName, ServiceId> =
            self.services.ids().map(|id| (self.services[id].config.name.clone(), id)).collect();
        let (mut ids, mut added, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for renewed in services {
            match known.get(&renewed.config.name) {
                Some(&id) => {
                    ids.push(id);
                    kept.push((id, renewed));
                }
                None => {
                    let id = self.services.add(Service::new(&renewed.config, &HashMap::new(), now));
                    ids.push(id);
                    added.push(id);
                }
            }
        }
        let names: HashMap<ServiceName, ServiceId> = added
            .iter()
            .map(|&id| (self.services[id].config.name.clone(), id))
            .chain(kept.iter().map(|(id, renewed)| (renewed.config.name.clone(), *id)))
            .collect();
        let gone: Vec<ServiceId> = known.values().filter(|id| !ids.contains(id)).copied().collect();
    }
}
