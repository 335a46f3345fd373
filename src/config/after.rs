//! What services come after: names that exist, and no cycle among them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ServiceName,
    build::View,
    origin::Origin,
    report::{Report, did_you_mean},
    schema,
    tree::{Tree, Value},
};
use crate::text::printable;

/// For each service, those that it comes after, each once.
///
/// `[defaults] after = "db"` means every other service: `db` does not come after itself by it.
pub(crate) fn resolve<'a>(
    tree: &'a Tree,
    names: &[&'a str],
    report: &mut Report,
) -> BTreeMap<&'a str, Vec<ServiceName>> {
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let mut edges: BTreeMap<&str, Vec<(&str, &Origin)>> = BTreeMap::new();
    for &name in names {
        let own = tree.get(&["services", name, schema::AFTER.name]).is_some();
        let mut befores: Vec<(&str, &Origin)> = Vec::new();
        for (before, origin) in written(tree, name) {
            if !known.contains(before) {
                if !report.is_incomplete() {
                    report.add(origin, unknown(name, before, names));
                }
            } else if (own || before != name) && !befores.iter().any(|(known, _)| *known == before) {
                befores.push((before, origin));
            }
        }
        edges.insert(name, befores);
    }
    for (cycle, origin) in cycles(names, &edges) {
        report
            .add(origin, format!("services cannot come after each other in a cycle: {}", printable(&cycle)));
    }
    let parse = |befores: Vec<(&str, &Origin)>| {
        befores.into_iter().filter_map(|(before, _)| ServiceName::parse(before).ok()).collect()
    };
    edges.into_iter().map(|(name, befores)| (name, parse(befores))).collect()
}

/// The names in `after`, as they are written.
fn written<'a>(tree: &'a Tree, name: &'a str) -> Vec<(&'a str, &'a Origin)> {
    let Some(entry) = View::service(tree, name).entry(schema::AFTER.name) else { return Vec::new() };
    match &entry.value {
        Value::String(before) => vec![(before, &entry.origin)],
        Value::Array(elements) => elements
            .iter()
            .filter_map(|element| match &element.value {
                Value::String(before) => Some((before.as_str(), &element.origin)),
                _ => None,
            })
            .collect(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table => {
            Vec::new()
        }
    }
}

fn unknown(name: &str, before: &str, names: &[&str]) -> String {
    let others = names.iter().copied().filter(|other| *other != name);
    let hint = did_you_mean(before, others).unwrap_or_default();
    format!(
        "service \"{}\": cannot come after \"{}\": no such service{hint}",
        printable(name),
        printable(before)
    )
}

type Edges<'a> = BTreeMap<&'a str, Vec<(&'a str, &'a Origin)>>;

/// The cycles, each once and with the place of its last link: depth-first, without recursion, so that a chain
/// of ten thousand services is no danger to the stack.
fn cycles<'a>(names: &[&'a str], edges: &Edges<'a>) -> Vec<(String, &'a Origin)> {
    let mut found = Vec::new();
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    for &root in names {
        let mut path: Vec<(&str, usize)> = Vec::new();
        if !done.contains_key(root) {
            done.insert(root, false);
            path.push((root, 0));
        }
        while let Some((name, next)) = path.last_mut() {
            let link = edges.get(name).and_then(|befores| befores.get(*next)).copied();
            *next += 1;
            match link.map(|(before, origin)| (before, origin, done.get(before).copied())) {
                None => {
                    done.insert(name, true);
                    path.pop();
                }
                Some((before, _, None)) => {
                    done.insert(before, false);
                    path.push((before, 0));
                }
                Some((before, origin, Some(false))) => {
                    let from = path.iter().position(|(name, _)| *name == before).unwrap_or(0);
                    let cycle: Vec<&str> =
                        path[from..].iter().map(|(name, _)| *name).chain([before]).collect();
                    found.push((cycle.join(" -> "), origin));
                }
                Some((_, _, Some(true))) => {}
            }
        }
    }
    found
}
