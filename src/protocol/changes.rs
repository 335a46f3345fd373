//! What a new configuration changes, in the words of the control socket. Compares nothing.

use serde::{Deserialize, Serialize};

/// All that a new configuration changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Whether this is only told, and nothing was done.
    pub dry_run: bool,
    /// What `[manager]` has otherwise.
    pub manager: Vec<KeyChange>,
    /// The services that are not as they were: in the order of the new configuration, then those that it lacks.
    pub services: Vec<ServiceChange>,
    /// How many services are as they were.
    pub unchanged: usize,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
}

/// What changes for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Its name.
    pub name: String,
    /// Whether it comes, goes or stays.
    pub change: ChangeKind,
    /// What follows for what runs of it.
    pub effect: Effect,
    /// The keys that are not as they were; of a new service those that it has, of a removed one none.
    pub keys: Vec<KeyChange>,
}

/// Whether a service comes, goes or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new, and started unless `autostart` is false.
    Added,
    /// It is there no more, and stopped.
    Removed,
    /// It stays, with other values.
    Changed,
}

/// One key that has another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key inside its table.
    pub key: String,
    /// Its value before, as TOML; of a secret its file. Null: it had none.
    pub old: Option<String>,
    /// Its value from now on.
    pub new: Option<String>,
    /// What follows for what runs.
    pub effect: Effect,
}

/// What a change means for what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It counts from now on, and every process stays.
    Applied,
    /// The service is stopped and started.
    Restarts,
    /// It counts when musterd itself is started anew.
    NeedsNewStart,
}
