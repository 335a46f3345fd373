//! Finds out what names in the configuration stand for: pidfiles, executables, users. Asks no name service (NSS),
//! which could wait for a network or for a service that musterd manages.

use std::{collections::HashMap, fs, path::Path};

use rustix::fs::OFlags;

use super::{pidfile, small_file};
use crate::{config::User, process::Named, supervisor::Wanted, time::Time};

/// The users of this container (passwd(5)).
const PASSWD: &str = "/etc/passwd";

/// A line takes some 50 bytes: enough for 20,000 users.
const LONGEST_PASSWD: u64 = 1 << 20;

/// The IDs of users by name.
pub(super) type Users = HashMap<String, u32>;

/// Reads what is wanted; what cannot be read is left out.
pub(super) fn read(wanted: &Wanted, clock: impl Fn() -> Time) -> Named {
    let pidfile = |path: &&Path| Some(((*path).to_owned(), pidfile::read(path, &clock)?));
    let program = |path: &&Path| Some(((*path).to_owned(), fs::canonicalize(path).ok()?));
    let users = || {
        let mut users = all_users();
        users.retain(|name, _| wanted.users.contains(name.as_str()));
        users
    };
    Named {
        pidfiles: wanted.pidfiles.iter().filter_map(pidfile).collect(),
        programs: wanted.programs.iter().filter_map(program).collect(),
        users: if wanted.users.is_empty() { HashMap::new() } else { users() },
    }
}

/// The ID of a user, by /etc/passwd where it is named; `None` where it has none.
pub(super) fn user_id(user: &User) -> Option<u32> {
    match user {
        User::Id(id) => Some(*id),
        User::Name(name) => all_users().get(name).copied(),
    }
}

/// All users; none where /etc/passwd cannot be read.
pub(super) fn all_users() -> Users {
    let passwd = small_file::read(Path::new(PASSWD), LONGEST_PASSWD, OFlags::empty());
    passwd.map(|(text, _)| users(&text)).unwrap_or_default()
}

/// The IDs of the users by name; of two lines of one name the first counts, as in getpwnam(3).
pub(super) fn users(passwd: &[u8]) -> Users {
    let mut users = HashMap::new();
    for line in passwd.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':').map(|field| str::from_utf8(field).ok());
        if let (Some(Some(name)), Some(Some(id))) = (fields.next(), fields.nth(1))
            && let Ok(id) = id.parse()
        {
            users.entry(name.to_owned()).or_insert(id);
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_lines_of_passwd() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n# note\n\napp:x:1000:1000::/:\nbad:x:none:0\nshort:x\nraw\xff:x:5:5\napp:x:7:7\n";
        let users = users(text);
        assert_eq!(users.get("root"), Some(&0));
        assert_eq!(users.get("app"), Some(&1000));
        assert_eq!(users.len(), 2);
    }

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
