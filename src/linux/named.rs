//! Finds out what names in the configuration stand for: pidfiles, executables, users. Judges no process by them.

use std::{collections::HashMap, fs, path::Path};

use super::{accounts, pidfile};
use crate::{process::Named, supervisor::Wanted, time::Time};

/// Reads what is wanted; what cannot be read is left out.
pub(super) fn read(wanted: &Wanted, clock: impl Fn() -> Time) -> Named {
    let pidfile = |path: &&Path| Some(((*path).to_owned(), pidfile::read(path, &clock)?));
    let program = |path: &&Path| Some(((*path).to_owned(), fs::canonicalize(path).ok()?));
    let users = || {
        let mut users = accounts::user_ids();
        users.retain(|name, _| wanted.users.contains(name.as_str()));
        users
    };
    Named {
        pidfiles: wanted.pidfiles.iter().filter_map(pidfile).collect(),
        programs: wanted.programs.iter().filter_map(program).collect(),
        users: if wanted.users.is_empty() { HashMap::new() } else { users() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_read() {
        let wanted = Wanted {
            users: ["root", "no-such-user"].into(),
            programs: [Path::new("/bin/sh"), Path::new("/no/such/file")].into(),
            pidfiles: [Path::new("/no/such/file")].into(),
        };
        let named = read(&wanted, || Time::ZERO);
        assert_eq!(named.users, HashMap::from([("root".to_owned(), 0)]));
        assert_eq!(named.programs.len(), 1);
        assert_eq!(named.programs[Path::new("/bin/sh")], fs::canonicalize("/bin/sh").unwrap());
        assert!(named.pidfiles.is_empty());
    }
}
