//! What a key holds for one service, or for the manager: its own value, or what stands behind it. Judges no value.

use super::{
    Command, Kind, Match,
    command::Text,
    keys,
    schema::{self, Key},
    tree::{Entry, Tree, Value},
};

/// One section of the tree, with what stands behind its keys where it says nothing itself.
pub(crate) struct View<'a> {
    tree: &'a Tree,
    /// The service's name; `None`: the manager.
    service: Option<&'a str>,
    own: Vec<(&'a [String], &'a Entry)>,
    defaults: Vec<(&'a [String], &'a Entry)>,
}

impl<'a> View<'a> {
    /// A service: its own values, then `[defaults]`. A service's own value beats `[defaults]`, whichever
    /// layer either is in: who writes a value for one service means it.
    pub(crate) fn service(tree: &'a Tree, name: &'a str) -> Self {
        let (own, defaults) = (tree.section(&["services", name]), tree.section(&["defaults"]));
        Self { tree, service: Some(name), own, defaults }
    }

    /// The manager.
    pub(crate) fn manager(tree: &'a Tree) -> Self {
        Self { tree, service: None, own: tree.section(&["manager"]), defaults: Vec::new() }
    }

    /// What a key holds.
    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        let (table, field) = key.split_once('.').map_or((None, key), |(table, field)| (Some(table), field));
        let found = self.own_entry(table, field);
        if found.is_some() || schema::OWN_KEYS.contains(&table.unwrap_or(field)) {
            return found;
        }
        let is_rule = table.is_some_and(|table| schema::rules(table).contains(&field));
        if is_rule && table.is_some_and(|table| self.has_own_rule(table)) {
            return None;
        }
        at(&self.defaults, table, field)
    }

    /// What the section says itself.
    pub(crate) fn own_entry(&self, table: Option<&str>, field: &str) -> Option<&'a Entry> {
        at(&self.own, table, field)
    }

    /// Whether the rules of `[defaults]` are not the section's: it has another one, or can have none.
    fn has_own_rule(&self, table: &str) -> bool {
        let given = |rule: &&str| self.own_entry(Some(table), rule).is_some();
        schema::rules(table).iter().any(given)
            || table == "ready" && self.get(&keys::KIND) == Some(Kind::Task)
    }

    /// Whether a key says something: one of a table of rules does so beside its rule only.
    pub(crate) fn says(&self, key: &str) -> bool {
        let Some((table, field)) = key.split_once('.') else { return true };
        let rules = schema::rules(table);
        rules.is_empty()
            || rules.contains(&field)
            || rules.iter().any(|rule| self.entry(&format!("{table}.{rule}")).is_some())
    }

    /// A key's value, if it is given and can be one.
    pub(crate) fn get<T>(&self, key: &Key<T>) -> Option<T> {
        self.entry(key.name).and_then(|entry| (key.parse)(&entry.value).ok())
    }

    /// The names of the fields of a table whose fields have any name, those of `[defaults]` first.
    pub(crate) fn names(&self, table: &str) -> Vec<&'a str> {
        let mut names = self.tree.fields(&["defaults", table]);
        if let Some(service) = self.service {
            let own = self.tree.fields(&["services", service, table]);
            let own: Vec<_> = own.into_iter().filter(|name| !names.contains(name)).collect();
            names.extend(own);
        }
        names
    }

    /// What such a field holds.
    pub(crate) fn named(&self, table: &str, name: &str) -> Option<&'a Entry> {
        match self.own.iter().any(|(path, _)| is(path, &[table, name])) {
            true => at(&self.own, Some(table), name),
            false => at(&self.defaults, Some(table), name),
        }
    }

    /// The file of a variable that is a secret.
    pub(crate) fn secret(&self, variable: &str) -> Option<&'a Entry> {
        let own = self.own.iter().any(|(path, _)| is(path, &["environment", variable]));
        let entries = if own { &self.own } else { &self.defaults };
        let found = entries.iter().find(|(path, _)| is(path, &["environment", variable, "file"]));
        found.map(|(_, entry)| *entry)
    }

    /// The command of a key, with its basename.
    pub(crate) fn command(&self, key: &Key<Text>) -> Option<Result<(Command, String), String>> {
        Some(self.get(key)?.parse(self.get(&keys::SHELL)))
    }

    /// The name that the service's process is known by, if that can be told.
    pub(crate) fn match_name(&self) -> Option<String> {
        self.get(&keys::MATCH_NAME).or_else(|| Some(self.command(&keys::START)?.ok()?.1))
    }

    /// Which process is the service's, whose start command has this basename.
    pub(crate) fn matching(&self, basename: String) -> Match {
        let name = self.get(&keys::MATCH_NAME);
        let given = Match {
            explicit: name.is_some(),
            name,
            cmdline: self.get(&keys::MATCH_CMDLINE),
            exe: self.get(&keys::MATCH_EXE),
            user: self.get(&keys::MATCH_USER),
            pidfile: self.get(&keys::MATCH_PIDFILE),
        };
        if given.name.is_none() && given.is_name_only() { Match::by_default(basename) } else { given }
    }
}

/// The value at a path; a table is none.
fn at<'a>(entries: &[(&'a [String], &'a Entry)], table: Option<&str>, field: &str) -> Option<&'a Entry> {
    let found = entries.iter().find(|(path, _)| match (path, table) {
        ([one], None) => one == field,
        ([one, two], Some(table)) => one == table && two == field,
        _ => false,
    });
    found.map(|(_, entry)| *entry).filter(|entry| !matches!(entry.value, Value::Table))
}

fn is(path: &[String], other: &[&str]) -> bool {
    path.iter().map(String::as_str).eq(other.iter().copied())
}
