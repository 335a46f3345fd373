//! Reads who there is in this container: /etc/passwd and /etc/group, each time anew, as a user may be made
//! meanwhile. Asks no name service (NSS), which could wait for a network or for a service that musterd manages.

use std::{collections::HashMap, io, path::Path};

use rustix::fs::OFlags;

use super::small_file;
use crate::config;

/// The users of this container (passwd(5)).
pub(super) const PASSWD: &str = "/etc/passwd";
/// Its groups (group(5)).
pub(super) const GROUP: &str = "/etc/group";
/// A line takes some 50 bytes: enough for 20,000 users; lines of groups are as short, but for their members.
const LONGEST: u64 = 1 << 20;

/// The IDs of users by name.
pub(super) type UserIds = HashMap<String, u32>;

/// A line of /etc/passwd.
pub(super) struct User<'a> {
    pub(super) name: &'a [u8],
    pub(super) id: u32,
    pub(super) group: u32,
    pub(super) home: &'a [u8],
    pub(super) shell: &'a [u8],
}

/// A line of /etc/group.
pub(super) struct Group<'a> {
    pub(super) name: &'a [u8],
    pub(super) id: u32,
    members: &'a [u8],
}

impl Group<'_> {
    pub(super) fn has(&self, user: &[u8]) -> bool {
        self.members.split(|&byte| byte == b',').any(|member| member == user)
    }
}

/// Reads one of the files. What is not there has no lines: an image from scratch has neither of them.
///
/// # Errors
/// It cannot be read, or is too long.
pub(super) fn read(path: &str) -> io::Result<Vec<u8>> {
    match small_file::read(Path::new(path), LONGEST, OFlags::empty()) {
        Ok((text, _)) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Names and IDs of the users; none where they cannot be read.
pub(super) fn user_names() -> Vec<(String, u32)> {
    names(&read(PASSWD).unwrap_or_default()).collect()
}

/// Names and IDs of the groups; none where they cannot be read.
pub(super) fn group_names() -> Vec<(String, u32)> {
    names(&read(GROUP).unwrap_or_default()).collect()
}

/// The IDs of all users; none where they cannot be read.
pub(super) fn user_ids() -> UserIds {
    ids(&read(PASSWD).unwrap_or_default())
}

/// The ID of a user, by /etc/passwd where it is named; `None` where it has none.
pub(super) fn user_id(user: &config::User) -> Option<u32> {
    match user {
        config::User::Id(id) => Some(*id),
        config::User::Name(name) => user_ids().get(name).copied(),
    }
}

/// The IDs in either file by name; of two lines of one name the first counts, as in getpwnam(3).
pub(super) fn ids(text: &[u8]) -> UserIds {
    let mut ids = HashMap::new();
    for (name, id) in names(text) {
        ids.entry(name).or_insert(id);
    }
    ids
}

/// The names in either file with their IDs, whatever else their lines hold.
fn names(text: &[u8]) -> impl Iterator<Item = (String, u32)> {
    lines(text).filter_map(|(name, id, _)| Some((str::from_utf8(name).ok()?.to_owned(), id)))
}

/// The complete lines of users.
pub(super) fn users(passwd: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(passwd).filter_map(|(name, id, rest)| {
        let rest: Vec<&[u8]> = rest.collect();
        let [group, _, home, shell] = rest[..] else { return None };
        Some(User { name, id, group: number(group)?, home, shell })
    })
}

/// The lines of groups; the members may be missing.
pub(super) fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).map(|(name, id, mut rest)| Group { name, id, members: rest.next().unwrap_or_default() })
}

/// The lines that are understood: name, ID, which both files have in the third field, and the fields behind it.
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], u32, impl Iterator<Item = &[u8]>)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        Some((fields.next()?, number(fields.nth(1)?)?, fields))
    })
}

/// An ID; the greatest number means "no change" to setresuid(2).
fn number(field: &[u8]) -> Option<u32> {
    str::from_utf8(field).ok()?.parse().ok().filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_lines_of_passwd() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n# note\n\napp:x:1000:1000::/:\nbad:x:none:0\nshort:x\nraw\xff:x:5:5\napp:x:7:7\n";
        let users = ids(text);
        assert_eq!(users.get("root"), Some(&0));
        assert_eq!(users.get("app"), Some(&1000));
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn names_have_the_id_of_the_third_field() {
        let text = b"root:x:0:\n# note\nadm:x:4:syslog,me\nbad:x:y:\n";
        assert_eq!(names(text).collect::<Vec<_>>(), [("root".to_owned(), 0), ("adm".to_owned(), 4)]);
    }

    #[test]
    fn an_account_is_a_complete_line() {
        let text = b"short:x:1:1\nbad:x:2:y::/:\nnone:x:4294967295:5::/:\napp:x:3:4::/srv:/bin/sh\n";
        let found: Vec<_> = users(text).map(|user| (user.name, user.id, user.group, user.home)).collect();
        assert_eq!(found, [(&b"app"[..], 3, 4, &b"/srv"[..])]);
    }

    #[test]
    fn what_is_not_there_has_no_lines() {
        assert!(read("/no/such/file").is_ok_and(|text| text.is_empty()));
        assert!(read("/dev/null").is_err());
    }
}
