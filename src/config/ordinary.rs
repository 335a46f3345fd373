//! What only root can do, refused where musterd is an ordinary user. Asks nobody who musterd is: that is an
//! argument.

use std::collections::BTreeSet;

use nix::sys::resource::Resource;

use super::{
    Group, User, keys, limits,
    report::Report,
    tree::{Entry, Tree},
};
use crate::text::printable;

/// Who musterd is, where it is not root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordinary {
    /// Its user ID.
    pub user: u32,
    /// The user's names in /etc/passwd.
    pub user_names: Vec<String>,
    /// Its group ID.
    pub group: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
    /// The groups of /etc/group.
    pub known_groups: Vec<(String, u32)>,
    /// Its nice value.
    pub nice: i32,
    /// Its oom_score_adj (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: i32,
    /// Its hard limits.
    pub hard_limits: Vec<(Resource, u64)>,
}

/// Reports what is asked for and cannot be done, each where it is written.
pub(crate) fn check(tree: &Tree, caller: &Ordinary, report: &mut Report) {
    for (path, entry) in tree.iter() {
        let (subject, key) = match path {
            [section, key @ ..] if section == "defaults" => ("[defaults]".to_owned(), key),
            [section, name, key @ ..] if section == "services" => {
                (format!("service \"{}\"", printable(name)), key)
            }
            [..] => continue,
        };
        if let Some(reason) = caller.refuses(key, entry) {
            let name = printable(&key.join("."));
            let message = format!(
                "{subject}: cannot use {name} {}: {reason}, and musterd runs as user {}",
                entry.value, caller.user
            );
            report.add(&entry.origin, message);
        }
    }
}

impl Ordinary {
    /// Why the value cannot be had; `None` where it can, or is wrong anyway.
    fn refuses(&self, key: &[String], entry: &Entry) -> Option<&'static str> {
        let (name, field) = match key {
            [name] => (name.as_str(), None),
            [table, field] => (table.as_str(), Some(field)),
            [..] => return None,
        };
        let value = &entry.value;
        if let Some(resource) = field.filter(|_| name == "limits") {
            let limit = limits::limit(resource, value).ok()?;
            let raised = |own: &(Resource, u64)| own.0 == limit.resource && own.1 < limit.hard;
            let is_raised = self.hard_limits.iter().any(raised);
            return is_raised.then_some("only root can raise a hard limit");
        }
        if field.is_some() {
            return None;
        }
        if name == keys::USER.name {
            let other = match (keys::USER.parse)(value).ok()? {
                User::Id(id) => id != self.user,
                User::Name(name) => !self.user_names.contains(&name),
            };
            other.then_some("only root can become another user")
        } else if name == keys::GROUP.name {
            let other = self.id(&(keys::GROUP.parse)(value).ok()?) != Some(self.group);
            other.then_some("only root can take a group that is not its own")
        } else if name == keys::GROUPS.name {
            let groups = (keys::GROUPS.parse)(value).ok()?;
            (!self.are_own(&groups)).then_some("only root can choose supplementary groups")
        } else if name == keys::NICE.name {
            ((keys::NICE.parse)(value).ok()? < self.nice).then_some("only root can lower the nice value")
        } else if name == keys::OOM_SCORE_ADJ.name {
            let lowered = (keys::OOM_SCORE_ADJ.parse)(value).ok()? < self.oom_score_adj;
            lowered.then_some("only root can lower it")
        } else if name == keys::CAPABILITIES.name {
            (keys::CAPABILITIES.parse)(value).ok().map(|_| "only root can choose capabilities")
        } else {
            None
        }
    }

    /// The ID of a group, where it is known.
    fn id(&self, group: &Group) -> Option<u32> {
        match group {
            Group::Id(id) => Some(*id),
            Group::Name(name) => self.known_groups.iter().find(|(known, _)| known == name).map(|(_, id)| *id),
        }
    }

    /// Whether these are the groups that it has anyway; its own one counts whether it is named or not.
    fn are_own(&self, groups: &[Group]) -> bool {
        let with_own = |groups: &mut dyn Iterator<Item = Option<u32>>| -> BTreeSet<Option<u32>> {
            groups.chain([Some(self.group)]).collect()
        };
        with_own(&mut groups.iter().map(|group| self.id(group)))
            == with_own(&mut self.groups.iter().copied().map(Some))
    }
}
