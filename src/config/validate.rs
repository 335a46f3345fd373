//! Checks every value that was written against the table of keys: unknown keys, wrong types and ranges.
//! What values mean to each other (names, cycles) is checked where services are built.

use super::{
    ServiceName, keys, limits,
    origin::Origin,
    report::{Report, did_you_mean},
    schema::{self, AnyKey, Form, OWN_KEYS, SECTIONS, TABLES},
    template,
    tree::{Element, Entry, Tree, Value},
};
use crate::text::printable;

/// Reports all that is wrong with single keys and values.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    for (path, entry) in tree.iter() {
        match path {
            [] => {}
            [section] => check_section(tree, section, entry, report),
            [section, name] if section == "services" => check_service(name, entry, report),
            [section, name, rest @ ..] if section == "services" => {
                let subject = format!("service \"{}\": ", printable(name));
                Field { keys: keys::SERVICE, subject: &subject, path: rest, entry }.check(tree, path, report);
            }
            [section, rest @ ..] if section == "defaults" => {
                Field { keys: keys::SERVICE, subject: "[defaults]: ", path: rest, entry }
                    .check(tree, path, report);
            }
            [section, rest @ ..] if section == "manager" => {
                Field { keys: keys::MANAGER, subject: "[manager]: ", path: rest, entry }
                    .check(tree, path, report);
            }
            [..] => {}
        }
    }
}

fn check_section(tree: &Tree, section: &str, entry: &Entry, report: &mut Report) {
    let shown = printable(section);
    if SECTIONS.contains(&section) {
        if !is_table(entry) {
            report.add(&entry.origin, format!("cannot use {section} {}: must be a table", entry.value));
        }
    } else if let Some(near) = did_you_mean(section, SECTIONS) {
        report.add(&entry.key, format!("unknown key \"{shown}\"{near}"));
    } else if is_table(entry) && tree.get(&[section, "start"]).is_some() {
        report.add(&entry.key, format!("unknown key \"{shown}\"; did you mean [services.{shown}]?"));
    } else {
        let message =
            format!("unknown key \"{shown}\"; a file has [manager], [defaults] and [services.NAME]");
        report.add(&entry.key, message);
    }
}

fn check_service(name: &str, entry: &Entry, report: &mut Report) {
    if let Err(must) = ServiceName::parse(name) {
        report.add(&entry.key, format!("cannot use service name \"{}\": {must}", printable(name)));
    }
    if !is_table(entry) {
        let message = format!(
            "service \"{}\": cannot use {}: must be a table with at least `start`",
            printable(name),
            entry.value
        );
        report.add(&entry.origin, message);
    }
}

fn is_table(entry: &Entry) -> bool {
    matches!(entry.value, Value::Table)
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// What is written at a path inside a section.
struct Field<'a> {
    keys: &'static [&'static dyn AnyKey],
    /// Whose key it is, as a message begins.
    subject: &'a str,
    path: &'a [String],
    entry: &'a Entry,
}

impl Field<'_> {
    /// `full` is the path from the root: an inner key of an unknown or wrong one is told with that one.
    fn check(&self, tree: &Tree, full: &[String], report: &mut Report) {
        let name = printable(&self.path.join("."));
        let own = full[0] == "defaults" && OWN_KEYS.contains(&self.path[0].as_str());
        if own && self.path.len() > 1 {
            return;
        }
        if own || self.subject.starts_with("[manager]") && name == keys::INCLUDE.name {
            let place = if own { "can be in [services.NAME] only" } else { "can be in a file only" };
            return report.add(&self.entry.key, format!("{}\"{name}\" {place}", self.subject));
        }
        if let Some(example) = self.table(&self.path[0]) {
            match self.path {
                [_] if is_table(self.entry) => return self.check_rules(tree, full, report),
                [_] => return self.cannot(&name, &format!("must be a table such as {example}"), report),
                [_, _] if self.is_secret() => return self.check_secret(&name, tree, full, report),
                [..] => {}
            }
        }
        match schema::find(self.keys, self.path) {
            Some(key) => {
                let checked = match (key.form(), self.path) {
                    (Form::Limit, [_, resource]) => limits::limit(resource, &self.entry.value).map(drop),
                    _ => key.check(&self.entry.value),
                };
                if let Err(must) = checked {
                    self.cannot_at(&self.at(key), &name, &must, report);
                } else if key.name() == keys::ENVIRONMENT.name {
                    self.check_variable(report);
                }
            }
            None if self.path.len() == 1 || self.is_in_table(tree, full) => {
                report.add(&self.entry.key, format!("{}unknown key \"{name}\"{}", self.subject, self.hint()));
            }
            None => {}
        }
    }

    /// The look of the inner table of this name.
    fn table(&self, name: &str) -> Option<&'static str> {
        let inner = |key: &&dyn AnyKey| key.name().split_once('.').is_some_and(|(table, _)| table == name);
        self.keys.iter().find(|key| inner(key))?;
        TABLES.iter().find(|(table, _)| *table == name).map(|&(_, example)| example)
    }

    /// Whether it is a field of a table that may be one.
    fn is_in_table(&self, tree: &Tree, full: &[String]) -> bool {
        let deepest = if self.path[0] == "environment" { 3 } else { 2 };
        let parent = parts(&full[..full.len() - 1]);
        self.path.len() <= deepest
            && self.table(&self.path[0]).is_some()
            && tree.get(&parent).is_some_and(is_table)
    }

    /// Whether it is a variable that is a table: `{ file = "…" }`.
    fn is_secret(&self) -> bool {
        self.path[0] == "environment" && is_table(self.entry)
    }

    fn check_secret(&self, name: &str, tree: &Tree, full: &[String], report: &mut Report) {
        self.check_variable(report);
        if tree.fields(&parts(full)).is_empty() {
            self.cannot(name, "must be text, or { file = \"/run/secrets/db\" }", report);
        }
    }

    /// A table of rules has one, no more and no less; `[defaults]` may leave it to the services.
    fn check_rules(&self, tree: &Tree, full: &[String], report: &mut Report) {
        let table = &self.path[0];
        let rules = schema::rules(table);
        let fields = tree.fields(&parts(full));
        let mut given = fields.iter().filter(|field| rules.contains(field));
        if let Some(first) = given.next() {
            for field in given {
                let path: Vec<&str> = parts(full).into_iter().chain([*field]).collect();
                if let Some(entry) = tree.get(&path) {
                    let message =
                        format!("{}cannot use {table}.{field} besides {table}.{first}", self.subject);
                    report.add(&entry.key, message);
                }
            }
            return;
        }
        let by_default = |rule: &&str| tree.get(&["defaults", table, rule]).is_some();
        let misspelt = fields
            .iter()
            .any(|field| schema::find(self.keys, &[table.clone(), (*field).to_owned()]).is_none());
        if !rules.is_empty() && full[0] == "services" && !misspelt && !rules.iter().any(by_default) {
            let needed =
                if let [rule] = rules { (*rule).to_owned() } else { format!("one of {}", rules.join(", ")) };
            let message = format!("{}cannot use {table} without {needed}", self.subject);
            report.add(&self.entry.key, message);
        }
    }

    fn cannot(&self, name: &str, must: &str, report: &mut Report) {
        self.cannot_at(&self.entry.origin, name, must, report);
    }

    fn cannot_at(&self, at: &Origin, name: &str, must: &str, report: &mut Report) {
        report.add(at, format!("{}cannot use {name} {}: {must}", self.subject, self.entry.value));
    }

    /// Where the value is; of a list, where its first wrong element is.
    fn at(&self, key: &dyn AnyKey) -> Origin {
        if let Value::Array(elements) = &self.entry.value {
            let wrong = |element: &&Element| key.check(&Value::Array(vec![(*element).clone()])).is_err();
            if let Some(element) = elements.iter().find(wrong) {
                return element.origin.clone();
            }
        }
        self.entry.origin.clone()
    }

    /// environ(7): a variable is `NAME=value`.
    fn check_variable(&self, report: &mut Report) {
        let name = &self.path[1];
        if !template::is_variable(name) {
            let must = "a name cannot be empty, nor hold `=` or a NUL character";
            let message = format!("{}cannot use variable \"{}\": {must}", self.subject, printable(name));
            report.add(&self.entry.key, message);
        }
    }

    /// The key that was probably meant, or all there are.
    fn hint(&self) -> String {
        let level = self.path.len() - 1;
        if self.path[0] == "limits" && level == 1 {
            return did_you_mean(&self.path[1], limits::NAMES)
                .unwrap_or_else(|| format!("; there are {}", limits::NAMES.join(", ")));
        }
        let inside = |name: &&str| level == 0 || name.split('.').next() == Some(&self.path[0]);
        let mut known: Vec<&str> = self
            .keys
            .iter()
            .map(|key| key.name())
            .filter(inside)
            .filter_map(|name| name.split('.').nth(level))
            .collect();
        known.dedup();
        did_you_mean(&self.path[level], known.iter().copied())
            .unwrap_or_else(|| format!("; there are {}", known.join(", ")))
    }
}
