//! What a new configuration would change, for people, and which services must be started anew for it. Changes nothing.

use std::collections::{HashMap, HashSet};

use super::{Supervisor, service::Service};
use crate::{
    config::{
        CheckRule, Config, Difference, Reach, Service as ServiceConfig, Written, manager_reach, service_reach,
    },
    protocol::{ChangeKind, Changes, Effect, KeyChange, ServiceChange},
};

/// How much of a value is shown, in characters.
const SHOWN: usize = 1000;

impl Supervisor {
    /// Compares a configuration with the present one, of which `old` was written, and of the new one `new`.
    pub fn changes(&self, config: &Config, old: &Written, new: &Written) -> Changes {
        let staying: HashMap<&str, &Service> = self
            .services
            .ids()
            .filter(|id| !self.leaving.contains_key(id))
            .map(|id| (self.services[id].config.name.as_str(), &self.services[id]))
            .collect();
        let mut services = Vec::new();
        for service in &config.services {
            let name = service.name.as_str();
            match staying.get(name) {
                Some(known) if known.newest_config() == service => {}
                Some(known) => {
                    services.push(changed(known, service, new.service_differences(old, name)));
                }
                None => services.push(added(name, new)),
            }
        }
        let changed = services.iter().filter(|change| change.change == ChangeKind::Changed).count();
        let names: HashSet<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
        let present = self.services.iter().map(|known| known.config.name.as_str());
        let gone: Vec<&str> =
            present.filter(|name| staying.contains_key(name) && !names.contains(name)).collect();
        let unchanged = staying.len() - gone.len() - changed;
        services.extend(gone.into_iter().map(removed));
        let manager = new.manager_differences(old).into_iter().map(|difference| {
            let effect = effect(manager_reach(&difference.key), |_| false);
            key_change(difference, effect)
        });
        Changes { dry_run: false, manager: manager.collect(), services, unchanged, warnings: Vec::new() }
    }
}

fn added(name: &str, new: &Written) -> ServiceChange {
    let given = new.of_service(name).map(|(key, value)| {
        let difference = Difference { key: key.to_owned(), old: None, new: Some(value.to_owned()) };
        key_change(difference, Effect::Applied)
    });
    let keys = given.collect();
    ServiceChange { name: name.to_owned(), change: ChangeKind::Added, effect: Effect::Applied, keys }
}

fn removed(name: &str) -> ServiceChange {
    let (name, change) = (name.to_owned(), ChangeKind::Removed);
    ServiceChange { name, change, effect: Effect::Applied, keys: Vec::new() }
}

fn changed(known: &Service, new: &ServiceConfig, differences: Vec<Difference>) -> ServiceChange {
    let old = known.newest_config();
    let notifies = || new.check.as_ref().is_some_and(|check| check.rule == CheckRule::Notify);
    let needs_restart = |reach| match reach {
        Reach::Now | Reach::NewStart => false,
        Reach::Restart => true,
        Reach::RestartOfNotifier => notifies(),
        Reach::RestartOfOutput => !new.log.can_follow(&old.log),
    };
    let of_key = |reach| match effect(reach, needs_restart) {
        // Nobody takes the terminal from who works there.
        Effect::Restarts if new.terminal => Effect::NeedsNewStart,
        Effect::Restarts if !known.is_under_way() => Effect::Applied,
        effect => effect,
    };
    let keys: Vec<KeyChange> = differences
        .into_iter()
        .map(|difference| {
            let effect = of_key(service_reach(&difference.key));
            key_change(difference, effect)
        })
        .collect();
    // Another meaning of the same words: what runs does not have it.
    let effect = keys.iter().map(|key| key.effect).max().unwrap_or_else(|| of_key(Reach::Restart));
    ServiceChange { name: new.name.to_string(), change: ChangeKind::Changed, effect, keys }
}

fn effect(reach: Reach, needs_restart: impl Fn(Reach) -> bool) -> Effect {
    match reach {
        Reach::Now => Effect::Applied,
        Reach::NewStart => Effect::NeedsNewStart,
        reach if needs_restart(reach) => Effect::Restarts,
        Reach::Restart | Reach::RestartOfNotifier | Reach::RestartOfOutput => Effect::Applied,
    }
}

fn key_change(difference: Difference, effect: Effect) -> KeyChange {
    let Difference { key, old, new } = difference;
    KeyChange { key, old: old.map(shorten), new: new.map(shorten), effect }
}

fn shorten(value: String) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}
