//! How far the change of each key reaches when the configuration is read again: whether it counts at once, or only for
//! a process that is started with it. Changes nothing.

/// How far a change reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It counts at once; what runs stays.
    Now,
    /// What runs was started with the old value, and is started anew.
    Restart,
    /// The same where the service says itself that it lives (`check.notify`): it was told the value at its start.
    RestartOfNotifier,
    /// The same unless musterd is between the service and where its output goes, before and after.
    RestartOfOutput,
    /// musterd itself was started with the old value.
    NewStart,
}

const MANAGER: [(&str, Reach); 8] = [
    ("include", Reach::Now),
    ("shutdown-timeout", Reach::Now),
    ("socket", Reach::NewStart),
    ("allow-users", Reach::NewStart),
    ("observers", Reach::NewStart),
    ("log-format", Reach::Now),
    ("log-level", Reach::Now),
    ("log-times", Reach::Now),
];

/// A table stands for all its keys.
const SERVICE: [(&str, Reach); 41] = [
    ("kind", Reach::Restart),
    ("start", Reach::Restart),
    ("stop", Reach::Now),
    ("reload", Reach::Now),
    ("reload-signal", Reach::Now),
    ("shell", Reach::Restart),
    ("match", Reach::Now),
    ("interval", Reach::Now),
    ("after", Reach::Now),
    ("autostart", Reach::Now),
    ("restart", Reach::Now),
    ("success-exit-codes", Reach::Now),
    ("backoff", Reach::Now),
    ("stable-after", Reach::Now),
    ("start-limit", Reach::Now),
    ("essential", Reach::Now),
    ("start-timeout", Reach::Now),
    ("ready", Reach::Now),
    ("ready.notify", Reach::Restart),
    ("log", Reach::RestartOfOutput),
    ("check", Reach::Now),
    ("check.notify", Reach::Restart),
    ("check.every", Reach::RestartOfNotifier),
    ("stop-signal", Reach::Now),
    ("stop-timeout", Reach::Now),
    ("memory-max", Reach::Now),
    ("cpu-max", Reach::Now),
    ("directory", Reach::Restart),
    ("user", Reach::Restart),
    ("group", Reach::Restart),
    ("groups", Reach::Restart),
    ("umask", Reach::Restart),
    ("nice", Reach::Restart),
    ("limits", Reach::Restart),
    ("oom-score-adj", Reach::Restart),
    ("capabilities", Reach::Restart),
    ("no-new-privileges", Reach::Restart),
    ("inherit-environment", Reach::Restart),
    ("unset-environment", Reach::Restart),
    ("env-file", Reach::Restart),
    ("environment", Reach::Restart),
];

/// How far the change of a key of `[manager]` reaches.
pub fn manager_reach(key: &str) -> Reach {
    find(&MANAGER, key).unwrap_or(Reach::NewStart)
}

/// How far the change of a service's key reaches.
pub fn service_reach(key: &str) -> Reach {
    find(&SERVICE, key).unwrap_or(Reach::Restart)
}

/// What the table says of the key itself, else of the table that it is in.
fn find(table: &[(&str, Reach)], key: &str) -> Option<Reach> {
    let of = |name: &str| table.iter().find(|(known, _)| *known == name).map(|&(_, reach)| reach);
    of(key).or_else(|| of(key.split_once('.')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_key_has_its_reach_and_every_reach_its_key() {
        for (table, keys) in [(&MANAGER[..], keys::MANAGER), (&SERVICE[..], keys::SERVICE)] {
            for key in keys {
                assert!(find(table, key.name()).is_some(), "how far does a change of {} reach?", key.name());
            }
            for (name, _) in table {
                let is_of =
                    |key: &str| key == *name || key.split_once('.').is_some_and(|(table, _)| table == *name);
                assert!(keys.iter().any(|key| is_of(key.name())), "{name} is no key");
            }
        }
    }

    #[test]
    fn a_key_is_found_by_itself_or_by_its_table() {
        assert_eq!(service_reach("ready.notify"), Reach::Restart);
        assert_eq!(service_reach("ready.tcp"), Reach::Now);
        assert_eq!(service_reach("environment.A.file"), Reach::Restart);
        assert_eq!(service_reach("unheard-of"), Reach::Restart);
    }
}
