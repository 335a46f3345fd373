//! Checks every value that was written against the table of keys: unknown keys, wrong types and ranges.
//! What values mean to each other (names, cycles) is checked where services are built.

use super::{
    ServiceName,
    origin::Origin,
    report::{Report, did_you_mean},
    schema::{self, AnyKey, OWN_KEYS, SECTIONS, TABLES},
    tree::{Entry, Tree, Value},
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
                Field { keys: schema::SERVICE, subject: &subject, path: rest, entry }
                    .check(tree, path, report);
            }
            [section, rest @ ..] if section == "defaults" => {
                Field { keys: schema::SERVICE, subject: "[defaults]: ", path: rest, entry }
                    .check(tree, path, report);
            }
            [section, rest @ ..] if section == "manager" => {
                Field { keys: schema::MANAGER, subject: "[manager]: ", path: rest, entry }
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
        if own || self.subject.starts_with("[manager]") && name == schema::INCLUDE.name {
            let place = if own { "can be in [services.NAME] only" } else { "can be in a file only" };
            return report.add(&self.entry.key, format!("{}\"{name}\" {place}", self.subject));
        }
        if let Some(example) = self.table(&self.path[0]) {
            match self.path {
                [_] if is_table(self.entry) => return,
                [_] => return self.cannot(&name, &format!("must be a table such as {example}"), report),
                [..] => {}
            }
        }
        match schema::find(self.keys, self.path) {
            Some(key) => {
                if let Err(must) = key.check(&self.entry.value) {
                    self.cannot(&name, &must, report);
                } else if key.name() == schema::ENVIRONMENT.name {
                    self.check_variable(report);
                }
            }
            None if self.path.len() == 1 || self.path.len() == 2 && self.is_in_table(tree, full) => {
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

    fn is_in_table(&self, tree: &Tree, full: &[String]) -> bool {
        let parent: Vec<&str> = full[..full.len() - 1].iter().map(String::as_str).collect();
        self.table(&self.path[0]).is_some() && tree.get(&parent).is_some_and(is_table)
    }

    fn cannot(&self, name: &str, must: &str, report: &mut Report) {
        report.add(&self.at(), format!("{}cannot use {name} {}: {must}", self.subject, self.entry.value));
    }

    /// Where the value is; of a list, where its first element of a wrong type is.
    fn at(&self) -> Origin {
        match &self.entry.value {
            Value::Array(elements) => elements
                .iter()
                .find(|element| !matches!(element.value, Value::String(_)))
                .map_or_else(|| self.entry.origin.clone(), |element| element.origin.clone()),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Table => self.entry.origin.clone(),
        }
    }

    /// environ(7): a variable is `NAME=value`.
    fn check_variable(&self, report: &mut Report) {
        let name = &self.path[1];
        if name.is_empty() || name.contains(['=', '\0']) {
            let must = "a name cannot be empty, nor hold `=` or a NUL character";
            let message = format!("{}cannot use variable \"{}\": {must}", self.subject, printable(name));
            report.add(&self.entry.key, message);
        }
    }

    /// The key that was probably meant, or all there are.
    fn hint(&self) -> String {
        let level = self.path.len() - 1;
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
