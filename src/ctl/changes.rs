//! What a new configuration changes, as people read it. Asks nobody.

use crate::{
    protocol::{ChangeKind, Changes, Effect, KeyChange, ServiceChange},
    text::printable,
};

/// All of it, a sign before each service: `+` comes, `-` goes, `~` changes.
pub(super) fn text(changes: &Changes) -> String {
    let mut text = String::new();
    if !changes.manager.is_empty() {
        text.push_str("~ [manager]\n");
        changes.manager.iter().for_each(|key| text.push_str(&key_line(key)));
    }
    changes.services.iter().for_each(|service| text.push_str(&service_lines(service)));
    text.push_str(&summary(changes));
    text
}

/// What is probably not meant, a line for each.
pub(super) fn warnings(changes: &Changes) -> String {
    changes.warnings.iter().map(|warning| format!("warning: {}\n", printable(warning))).collect()
}

fn service_lines(service: &ServiceChange) -> String {
    let (name, effect) = (printable(&service.name), words(service.effect));
    let keys = service.keys.iter();
    match service.change {
        ChangeKind::Removed => format!("- {name}: removed, is stopped\n"),
        ChangeKind::Added => keys.fold(format!("+ {name}: added\n"), |text, KeyChange { key, new, .. }| {
            format!("{text}    {}: {}\n", printable(key), value(new))
        }),
        ChangeKind::Changed => keys.fold(format!("~ {name}: {effect}\n"), |text, key| text + &key_line(key)),
    }
}

fn key_line(KeyChange { key, old, new, effect }: &KeyChange) -> String {
    format!("    {}: {} -> {} ({})\n", printable(key), value(old), value(new), words(*effect))
}

fn value(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), |value| printable(value))
}

fn words(effect: Effect) -> &'static str {
    match effect {
        Effect::Applied => "applied",
        Effect::Restarts => "restarts",
        Effect::NeedsNewStart => "needs a new start of musterd",
    }
}

fn summary(changes: &Changes) -> String {
    let unchanged = match changes.unchanged {
        1 => "1 service is as it was".to_owned(),
        many => format!("{many} services are as they were"),
    };
    match (changes.services.is_empty() && changes.manager.is_empty(), changes.dry_run) {
        (true, _) => "nothing has changed\n".to_owned(),
        (false, true) => format!("{unchanged}; this was a dry run, and nothing was done\n"),
        (false, false) => format!("{unchanged}\n"),
    }
}
