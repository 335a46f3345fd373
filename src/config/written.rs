//! What was written for a configuration, kept so that a later one can be compared with it. Reads no file.

use std::collections::HashMap;

use super::{Provenance, keys, schema::AnyKey};

/// What was written, without defaults: little enough to be kept as long as musterd runs.
#[derive(Clone, Debug, Default)]
pub struct Written {
    manager: Values,
    services: HashMap<String, Values>,
}

/// Keys and their values as TOML, in the order of the table of keys.
type Values = Vec<(Box<str>, Box<str>)>;

/// A key that has another value than before; where nobody has written one, it is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key inside its table.
    pub key: String,
    /// The value before, as TOML.
    pub old: Option<String>,
    /// The value now.
    pub new: Option<String>,
}

impl From<&Provenance> for Written {
    fn from(provenance: &Provenance) -> Self {
        let mut written = Written::default();
        for section in provenance.sections() {
            let values = section.given().map(|(key, value)| (key.into(), value.into())).collect();
            match &section.service {
                Some(name) => drop(written.services.insert(name.clone(), values)),
                None => written.manager = values,
            }
        }
        written
    }
}

impl Written {
    /// What was written for a service.
    pub fn of_service(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        self.services.get(name).into_iter().flatten().map(|(key, value)| (&**key, &**value))
    }

    /// What `[manager]` has otherwise than before.
    pub fn manager_differences(&self, old: &Written) -> Vec<Difference> {
        differences(&old.manager, &self.manager, keys::MANAGER)
    }

    /// What a service has otherwise than before.
    pub fn service_differences(&self, old: &Written, name: &str) -> Vec<Difference> {
        let of = |written: &Written| written.services.get(name).cloned().unwrap_or_default();
        differences(&of(old), &of(self), keys::SERVICE)
    }
}

fn differences(old: &Values, new: &Values, keys: &[&dyn AnyKey]) -> Vec<Difference> {
    let value = |values: &Values, key: &str| {
        let given = values.iter().find(|(other, _)| **other == *key).map(|(_, value)| value.to_string());
        given.or_else(|| keys.iter().find(|known| known.name() == key)?.default().map(str::to_owned))
    };
    let gone = old.iter().filter(|(key, _)| !new.iter().any(|(other, _)| other == key));
    let all = new.iter().chain(gone).map(|(key, _)| Difference {
        key: key.to_string(),
        old: value(old, key),
        new: value(new, key),
    });
    all.filter(|difference| difference.old != difference.new).collect()
}
