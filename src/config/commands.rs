//! The layer of COMMANDs: each replaces the `start` of the service that it names, or is a new service; and the
//! command of `--main`, which is always a new one.

use std::collections::BTreeMap;

use super::{
    Sources,
    command::{Text, service_name},
    keys,
    origin::Origin,
    report::Report,
    tree::{Tree, Value},
    unquoted,
    view::View,
    warnings::is_lone_shell,
};
use crate::text::printable;

/// Lays the COMMANDs over the tree; returns the names of their services.
pub(crate) fn apply(sources: &Sources, tree: &mut Tree, report: &mut Report) -> Vec<String> {
    let configured: Vec<(String, Option<String>)> = tree
        .fields(&["services"])
        .into_iter()
        .map(|name| (name.to_owned(), View::service(tree, name).match_name()))
        .collect();
    let known = |word: &str| {
        let name = command_name(word).ok();
        name.is_some()
            && configured.iter().any(|(service, matched)| name.as_ref() == Some(service) || name == *matched)
    };
    let search = sources.variables.path.as_deref().unwrap_or("/usr/bin:/bin");
    let program = |word: &str| unquoted::look_up(word, search, &sources.directory);
    if let Some(message) = unquoted::find(&sources.commands, &known, &program) {
        report.add(&Origin::Whole, message);
        report.set_incomplete();
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    let mut numbers = BTreeMap::new();
    for (index, text) in sources.commands.iter().enumerate() {
        let origin = Origin::Command { number: index + 1, text: text.as_str().into() };
        let command_name = match command_name(text) {
            Ok(name) => name,
            Err(reason) => {
                report.add(&origin, format!("cannot use \"{}\": {reason}", printable(text)));
                continue;
            }
        };
        let free = |name: &String| !names.contains(name);
        let by_name =
            configured.iter().map(|(name, _)| name).find(|name| **name == command_name && free(name));
        let by_match = || {
            let mut matching =
                configured.iter().filter(|(_, matched)| matched.as_ref() == Some(&command_name));
            matching.find(|(name, _)| free(name)).map(|(name, _)| name)
        };
        let name =
            by_name.or_else(by_match).cloned().unwrap_or_else(|| unused(tree, &command_name, &mut numbers));
        let path = ["services".to_owned(), name.clone(), keys::START.name.to_owned()];
        tree.insert(&path, Value::String(text.clone()), &origin, &origin);
        names.push(name);
    }
    names
}

/// Lays the command of `--main` over the tree; returns the name of its service. A service that has no `start` of
/// its own lends it its settings (`--set services.bash.directory=/srv`); what has one goes on beside it.
pub(crate) fn apply_main(sources: &Sources, tree: &mut Tree, report: &mut Report) -> Option<String> {
    let text = sources.main.as_ref()?;
    let origin = Origin::Argument(format!("--main {text}").into());
    let name = match command_name(text) {
        Ok(name) if tree.get(&["services", &name, keys::START.name]).is_some() => {
            unused(tree, &name, &mut BTreeMap::new())
        }
        Ok(name) => name,
        Err(reason) => {
            report.add(&origin, format!("cannot use \"{}\": {reason}", printable(text)));
            report.set_incomplete();
            return None;
        }
    };
    let string = |text: &str| Value::String(text.to_owned());
    for (key, value) in [
        (keys::START.name, string(text)),
        (keys::KIND.name, string("service")),
        (keys::RESTART.name, string("never")),
        (keys::ESSENTIAL.name, Value::Boolean(true)),
        (keys::AUTOSTART.name, Value::Boolean(true)),
    ] {
        let path = ["services".to_owned(), name.clone(), key.to_owned()];
        tree.insert(&path, value, &origin, &origin);
    }
    let signal = ["services".to_owned(), name.clone(), keys::STOP_SIGNAL.name.to_owned()];
    let is_shell =
        Text::Line(text.clone()).parse(None).is_ok_and(|(command, _)| is_lone_shell(&command.argv));
    if is_shell && tree.get(&signal.each_ref().map(String::as_str)).is_none() {
        // At a prompt a shell ignores TERM; HUP ends it, and by it its jobs.
        tree.insert(&signal, string("HUP"), &origin, &origin);
    }
    Some(name)
}

fn command_name(text: &str) -> Result<String, String> {
    if text.starts_with('-') {
        return Err(
            "must name a program; options of musterd come before the commands and before `--`".to_owned()
        );
    }
    let (_, name) = Text::Line(text.to_owned()).parse(None)?;
    Ok(service_name(&name))
}

/// The name, or the first of `x-2`, `x-3`, … that no service has. `numbers` remembers the last one tried, so
/// that a thousand commands of one name are not looked at a thousand times each.
fn unused(tree: &Tree, name: &str, numbers: &mut BTreeMap<String, usize>) -> String {
    let number = numbers.entry(name.to_owned()).or_insert(1);
    let mut free = if *number == 1 { name.to_owned() } else { format!("{name}-{number}") };
    while tree.get(&["services", &free]).is_some() {
        *number += 1;
        free = format!("{name}-{number}");
    }
    free
}
