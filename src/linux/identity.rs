//! Finds out as whom a service runs: IDs of its user and groups, at each start. Changes nothing.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use super::{
    accounts::{self, GROUP, PASSWD, groups, users},
    spawn_error::{Refusal, Stage},
};
use crate::{
    config::{Group, Identity, User},
    text::reason,
};

/// What login(1) takes for an account without a shell (passwd(5)).
const SHELL: &[u8] = b"/bin/sh";

/// As whom a command runs; what is `None` stays as musterd's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: Option<u32>,
    pub(super) group: Option<u32>,
    pub(super) groups: Option<Vec<u32>>,
    /// What the user's environment says of him; `None`: the user stays as musterd's.
    pub(super) login: Option<Login>,
}

/// What an account says besides the IDs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// `None`: a user ID without an account.
    pub(super) name: Option<OsString>,
    pub(super) home: OsString,
    pub(super) shell: OsString,
}

/// Looks the user and the groups up.
///
/// # Errors
/// There is no such user or group, or the files cannot be read.
pub(super) fn look_up(identity: &Identity) -> Result<Account, Refusal> {
    let Identity { user, group, groups } = identity;
    if (user, group, groups) == (&None, &None, &None) {
        return Ok(Account::default());
    }
    let passwd = match user {
        Some(user) => read(PASSWD).map_err(|reason| Refusal::new(Stage::User, user, reason))?,
        None => Vec::new(),
    };
    let by_name = |group: &Group| matches!(group, Group::Name(_));
    let needs_groups = group.as_ref().is_some_and(by_name)
        || groups.as_ref().map_or(user.is_some(), |groups| groups.iter().any(by_name));
    let lines = match needs_groups {
        true => read(GROUP).map_err(|reason| Refusal::new(Stage::Groups, "", reason))?,
        false => Vec::new(),
    };
    let account = resolve(identity, &passwd, &lines)?;
    let Ok(own) = rustix::process::getgroups() else { return Ok(account) };
    let own: Vec<u32> = own.into_iter().map(rustix::process::Gid::as_raw).collect();
    let own_group = rustix::process::getegid().as_raw();
    Ok(without_what_is_so(account, &own, own_group, rustix::process::geteuid().is_root()))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    accounts::read(path).map_err(|error| format!("cannot read {path}: {}", reason(&error)))
}

fn resolve(identity: &Identity, passwd: &[u8], lines: &[u8]) -> Result<Account, Refusal> {
    let entry = match &identity.user {
        None => None,
        Some(user @ User::Name(name)) => {
            // Of two of one name or ID the first counts, as in getpwnam(3).
            let entry = users(passwd).find(|entry| entry.name == name.as_bytes());
            let absent = || Refusal::new(Stage::User, user, format!("no such user in {PASSWD}"));
            Some(entry.ok_or_else(absent)?)
        }
        Some(User::Id(id)) => users(passwd).find(|entry| entry.id == *id),
    };
    let user = match &identity.user {
        Some(User::Id(id)) => Some(*id),
        Some(User::Name(_)) | None => entry.as_ref().map(|entry| entry.id),
    };
    let given = identity.group.as_ref().map(|group| {
        let absent = || Refusal::new(Stage::Group, shown(group), format!("no such group in {GROUP}"));
        group_id(group, lines).ok_or_else(absent)
    });
    // A user ID without an account has the group of its number: the root's, as Docker has it, would be a gift.
    let group = given.transpose()?.or(entry.as_ref().map(|entry| entry.group)).or(user);
    let groups = match (&identity.groups, &entry) {
        (Some(groups), _) => {
            let id = |group: &Group| {
                let absent =
                    || Refusal::new(Stage::Groups, "", format!("no such group {} in {GROUP}", shown(group)));
                group_id(group, lines).ok_or_else(absent)
            };
            Some(groups.iter().map(id).collect::<Result<_, _>>()?)
        }
        (None, Some(entry)) => Some(memberships(entry.name, group, lines)),
        (None, None) => user.map(|_| Vec::new()),
    };
    Ok(Account { login: user.map(|_| login(entry.as_ref())), user, group, groups })
}

fn login(entry: Option<&accounts::User<'_>>) -> Login {
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let or = |bytes: &[u8], default: &[u8]| text(if bytes.is_empty() { default } else { bytes });
    Login {
        name: entry.map(|entry| text(entry.name)),
        home: or(entry.map_or(b"", |entry| entry.home), b"/"),
        shell: or(entry.map_or(b"", |entry| entry.shell), SHELL),
    }
}

/// Without root's rights, nobody may set even the groups that he has: what is so already is left alone.
fn without_what_is_so(mut account: Account, own: &[u32], own_group: u32, is_root: bool) -> Account {
    let group = account.group.unwrap_or(own_group);
    // Whether the group is among the others makes no difference (credentials(7)), only root can make it so.
    let group = (!is_root).then_some(group);
    let all = |groups: &[u32]| groups.iter().copied().chain(group).collect::<BTreeSet<_>>();
    account.groups.take_if(|groups| all(groups) == all(own));
    account
}

fn group_id(group: &Group, lines: &[u8]) -> Option<u32> {
    match group {
        Group::Id(id) => Some(*id),
        Group::Name(wanted) => {
            groups(lines).find(|group| group.name == wanted.as_bytes()).map(|group| group.id)
        }
    }
}

/// The user's group and those that have him as a member, as initgroups(3).
fn memberships(user: &[u8], group: Option<u32>, lines: &[u8]) -> Vec<u32> {
    let mut ids: Vec<u32> = group.into_iter().collect();
    for group in groups(lines) {
        if group.has(user) && !ids.contains(&group.id) {
            ids.push(group.id);
        }
    }
    ids
}

/// A group as the configuration names it.
pub(super) fn shown(group: &Group) -> String {
    match group {
        Group::Name(name) => format!("{name:?}"),
        Group::Id(id) => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# note\nbad:x:y:5::/:\nshort:x:1:1\n\napp:x:1000:1001::/srv/app:\nall:x:4294967295:5::/:\napp:x:7:7:::\n";
    const GROUPS: &[u8] = b"root:x:0:\napp:x:1001:\nlog:x:4:syslog,app\nssl:x:9:app\nssl2:x:9:app\napple:x:5:apple,x\nwww:x:33:\nbad:x:z:app\n";

    fn resolved(
        user: Option<User>,
        group: Option<Group>,
        groups: Option<Vec<Group>>,
    ) -> Result<Account, String> {
        let account = resolve(&Identity { user, group, groups }, LINES, GROUPS);
        account.map_err(|refusal| format!("{} {}", refusal.subject, refusal.reason))
    }

    fn ids(account: Account) -> (Option<u32>, Option<u32>, Option<Vec<u32>>) {
        (account.user, account.group, account.groups)
    }

    fn user(name: &str) -> Option<User> {
        Some(User::Name(name.to_owned()))
    }

    fn group(name: &str) -> Group {
        Group::Name(name.to_owned())
    }

    #[test]
    fn a_user_has_his_groups() {
        let account = resolved(user("app"), None, None).unwrap();
        let login = account.login.as_ref().unwrap();
        assert_eq!(
            (login.name.as_deref(), &*login.home, &*login.shell),
            (Some(OsStr::new("app")), OsStr::new("/srv/app"), OsStr::new("/bin/sh"))
        );
        assert_eq!(ids(account), (Some(1000), Some(1001), Some(vec![1001, 4, 9])));
        let by_id = resolved(Some(User::Id(1000)), None, None).unwrap();
        assert_eq!(ids(by_id), (Some(1000), Some(1001), Some(vec![1001, 4, 9])));
    }

    #[test]
    fn groups_are_overridden() {
        let account = resolved(user("app"), Some(group("www")), None).unwrap();
        assert_eq!(ids(account), (Some(1000), Some(33), Some(vec![33, 4, 9])));
        let account =
            resolved(user("app"), Some(Group::Id(5)), Some(vec![group("log"), Group::Id(8)])).unwrap();
        assert_eq!(ids(account), (Some(1000), Some(5), Some(vec![4, 8])));
        let account = resolved(None, Some(group("www")), None).unwrap();
        assert_eq!(account.login, None);
        assert_eq!(ids(account), (None, Some(33), None));
    }

    #[test]
    fn an_id_without_an_account_is_not_in_roots_group() {
        let account = resolved(Some(User::Id(4242)), None, None).unwrap();
        assert_eq!(account.login.as_ref().map(|login| login.home.clone()), Some("/".into()));
        assert_eq!(ids(account), (Some(4242), Some(4242), Some(vec![])));
        let account = resolved(Some(User::Id(4242)), Some(group("www")), None).unwrap();
        assert_eq!(ids(account), (Some(4242), Some(33), Some(vec![])));
    }

    #[test]
    fn groups_that_are_so_are_left_alone() {
        let left = |group, groups: &[u32], own: &[u32], own_group| {
            let account = Account { group, groups: Some(groups.to_vec()), ..Account::default() };
            without_what_is_so(account, own, own_group, false).groups.is_none()
        };
        assert!(left(Some(7), &[7, 5], &[5], 7));
        assert!(left(Some(7), &[5], &[5, 7], 7));
        assert!(left(None, &[], &[7], 7));
        // Otherwise 7, of which it was, would be lost, and 0 kept.
        assert!(!left(Some(5), &[5, 7], &[5], 7));
        assert!(!left(Some(7), &[], &[0], 0));
        let account = Account { group: Some(7), groups: Some(vec![7]), ..Account::default() };
        assert!(without_what_is_so(account, &[], 0, true).groups.is_some());
    }

    #[test]
    fn who_is_absent_is_named() {
        let told = |user, group, groups| resolved(user, group, groups).unwrap_err();
        assert_eq!(told(user("ap"), None, None), "\"ap\" no such user in /etc/passwd");
        assert_eq!(told(user("all"), None, None), "\"all\" no such user in /etc/passwd");
        assert_eq!(told(user("app"), Some(group("x")), None), "\"x\" no such group in /etc/group");
        assert_eq!(told(None, None, Some(vec![group("x")])), " no such group \"x\" in /etc/group");
    }
}
