//! What services come after: names that exist, without a cycle among them, and addresses.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ServiceName, address, keys,
    origin::Origin,
    report::{Report, did_you_mean},
    tree::{Tree, Value},
    view::View,
};
use crate::text::printable;

/// What a service comes after, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct After {
    pub(crate) services: Vec<ServiceName>,
    pub(crate) addresses: Vec<String>,
}

/// For each service, what it comes after.
///
/// `[defaults] after = "db"` means every other service: `db` does not come after itself by it.
pub(crate) fn resolve<'a>(
    tree: &'a Tree,
    names: &[&'a str],
    report: &mut Report,
) -> BTreeMap<&'a str, After> {
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let mut edges: BTreeMap<&str, Vec<(&str, &Origin)>> = BTreeMap::new();
    let mut addresses: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for &name in names {
        let own = tree.get(&["services", name, keys::AFTER.name]).is_some();
        let mut befores: Vec<(&str, &Origin)> = Vec::new();
        for (before, origin) in written(tree, name) {
            if address::is_address(before) {
                match address::any(before) {
                    Ok(address) => {
                        let known = addresses.entry(name).or_default();
                        if !known.contains(&address) {
                            known.push(address);
                        }
                    }
                    Err(must) => report.add(origin, wrong_address(name, before, &must)),
                }
            } else if !known.contains(before) {
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
    let mut after = |(name, befores): (&'a str, _)| {
        (name, After { services: parse(befores), addresses: addresses.remove(name).unwrap_or_default() })
    };
    edges.into_iter().map(&mut after).collect()
}

/// The names in `after`, as they are written.
fn written<'a>(tree: &'a Tree, name: &'a str) -> Vec<(&'a str, &'a Origin)> {
    let Some(entry) = View::service(tree, name).entry(keys::AFTER.name) else { return Vec::new() };
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

fn wrong_address(name: &str, address: &str, must: &str) -> String {
    format!("service \"{}\": cannot come after \"{}\": {must}", printable(name), printable(address))
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
