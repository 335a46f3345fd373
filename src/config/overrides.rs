//! The layers above the files: `MUSTERD_SET`, `MUSTERD_SOCKET`, `--set`, `--socket`, `--log-level`. Judges
//! no value; whether a text is read as TOML depends on what its key takes.

use toml::de::{DeTable, DeValue};

use super::{
    Sources,
    keys::{ENVIRONMENT, MANAGER, MATCH_CMDLINE, READY_LOG, SERVICE},
    origin::Origin,
    report::Report,
    schema::{self, TABLES},
    tree::{Tree, Value, convert},
};
use crate::text::printable;

/// Lays the environment's values over the tree, then those of the options.
pub(crate) fn apply(sources: &Sources, tree: &mut Tree, report: &mut Report) {
    let lines = sources.variables.set.as_deref().unwrap_or_default().lines().enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let origin = Origin::Variable { name: "MUSTERD_SET", line: Some(index + 1) };
        set(line.trim(), &origin, tree, report);
    }
    if let Some(path) = &sources.variables.socket {
        let origin = Origin::Variable { name: "MUSTERD_SOCKET", line: None };
        tree.insert(&manager("socket"), Value::String(path.clone()), &origin, &origin);
    }
    for text in &sources.set {
        set(text, &Origin::Argument(format!("--set {text}").into()), tree, report);
    }
    for (key, value) in [("socket", &sources.socket), ("log-level", &sources.log_level)] {
        if let Some(value) = value {
            let origin = Origin::Argument(format!("--{key} {value}").into());
            tree.insert(&manager(key), Value::String(value.clone()), &origin, &origin);
        }
    }
}

fn manager(key: &str) -> [String; 2] {
    ["manager".to_owned(), key.to_owned()]
}

fn set(text: &str, origin: &Origin, tree: &mut Tree, report: &mut Report) {
    let Some((mut path, value)) =
        text.split_once('=').and_then(|(key, value)| Some((path(key.trim())?, value)))
    else {
        let example = "services.web.interval=5s";
        return report
            .add(origin, format!("cannot use \"{}\": must be KEY=VALUE, as {example}", printable(text)));
    };
    let anywhere = |_| origin.clone();
    let parsed = DeValue::parse(value.trim()).ok();
    // Each is a layer of its own: what it says replaces what it contradicts.
    let mut layer = Tree::default();
    match parsed.filter(|parsed| takes(&path, &convert(parsed.get_ref(), &anywhere))) {
        Some(parsed) => layer.insert_parsed(&mut path, parsed.get_ref(), (origin, origin), &anywhere),
        None => layer.insert(&path, Value::String(value.to_owned()), origin, origin),
    }
    tree.overlay(&layer);
}

/// The parts of a dotted key; quotes keep dots in a part.
fn path(key: &str) -> Option<Vec<String>> {
    let parts: Vec<String> = if key.contains(['"', '\'']) {
        let document = format!("{key} = 0");
        let document = DeTable::parse(&document).ok()?.into_inner();
        let mut parts = Vec::new();
        let mut table = &document;
        while let Some((part, value)) = table.iter().next() {
            parts.push(part.get_ref().to_string());
            match value.get_ref().as_table() {
                Some(inner) => table = inner,
                None => break,
            }
        }
        parts
    } else {
        key.split('.').map(|part| part.trim().to_owned()).collect()
    };
    (!parts.iter().any(String::is_empty) && parts.len() > 1).then_some(parts)
}

/// Whether the key takes this value as TOML; where not, the text itself is the value. The text of an
/// environment variable or regular expression is itself, unless it is quoted: `007` stays `007`, `[0]` stays `[0]`.
fn takes(path: &[String], value: &Value) -> bool {
    let path = &*schema::in_full(path, value);
    let (keys, rest) = match path.split_first() {
        Some((section, rest)) if section == "manager" => (MANAGER, rest),
        Some((section, rest)) if section == "services" => (SERVICE, rest.get(1..).unwrap_or_default()),
        Some((_, rest)) => (SERVICE, rest),
        None => return false,
    };
    match schema::find(keys, rest) {
        Some(key) if [ENVIRONMENT.name, MATCH_CMDLINE.name, READY_LOG.name].contains(&key.name()) => {
            matches!(value, Value::String(_))
        }
        Some(key) => key.check(value).is_ok() || matches!(value, Value::Array(_) | Value::String(_)),
        None => {
            let table = rest.is_empty() || rest.len() == 1 && TABLES.iter().any(|(name, _)| *name == rest[0]);
            table && matches!(value, Value::Table)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        let (mut tree, mut report) = (Tree::default(), Report::default());
        set(text, &Origin::Argument(text.into()), &mut tree, &mut report);
        assert!(report.is_empty(), "{report}");
        let path = path(text.split_once('=').unwrap().0).unwrap();
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        tree.get(&path).unwrap().value.to_string()
    }

    #[test]
    fn a_value_is_toml_where_its_key_takes_that() {
        for (text, expected) in [
            ("services.web.interval=5s", "\"5s\""),
            ("services.web.interval=\"5s\"", "\"5s\""),
            ("services.web.interval=5", "\"5\""),
            ("services.web.autostart=false", "false"),
            ("services.web.autostart=maybe", "\"maybe\""),
            ("services.web.start=true", "\"true\""),
            ("services.web.start=[\"a\", \"b c\"]", "[\"a\", \"b c\"]"),
            ("services.web.start=a = b", "\"a = b\""),
            ("services.web.after=db", "\"db\""),
            ("services.web.backoff.factor=3", "3"),
            ("services.web.environment.PORT=007", "\"007\""),
            ("services.web.environment.QUOTED=\"a b\"", "\"a b\""),
            ("services.\"app.py\".interval=1s", "\"1s\""),
            ("services.web.match.cmdline=[0]", "\"[0]\""),
            ("services.web.match.user=33", "33"),
            ("services.web.ready.log=[0]", "\"[0]\""),
            ("services.web.umask=027", "\"027\""),
            ("services.web.umask=22", "\"22\""),
            ("services.web.limits.core=0:1GiB", "\"0:1GiB\""),
            ("services.web.limits.nofile=1024", "1024"),
            ("services.web.ready.tcp=5432", "5432"),
            ("services.web.environment.A.file=/run/secrets/a", "\"/run/secrets/a\""),
            ("services.web.inherit-environment=false", "false"),
            ("services.web.inherit-environment=[\"A\"]", "[\"A\"]"),
            ("defaults.stop-signal=15", "15"),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_table_is_merged_field_by_field() {
        let (mut tree, mut report) = (Tree::default(), Report::default());
        set("services.web.backoff={ initial = \"1s\", factor = 3 }", &Origin::Whole, &mut tree, &mut report);
        assert_eq!(tree.fields(&["services", "web", "backoff"]), ["initial", "factor"]);
    }

    #[test]
    fn a_guard_that_is_a_value_is_its_first_field() {
        let (mut tree, mut report) = (Tree::default(), Report::default());
        for text in
            ["services.web.memory-max=64MiB", "services.web.memory-max.for=5s", "defaults.cpu-max=80%"]
        {
            set(text, &Origin::Whole, &mut tree, &mut report);
        }
        assert_eq!(tree.fields(&["services", "web", "memory-max"]), ["size", "for"]);
        assert_eq!(tree.fields(&["defaults", "cpu-max"]), ["percent"]);
    }

    #[test]
    fn a_match_that_is_a_text_is_a_name_and_keeps_other_fields() {
        let (mut tree, mut report) = (Tree::default(), Report::default());
        for (text, name) in [
            ("services.web.match={ name = \"a\", user = \"b\" }", "\"a\""),
            ("services.web.match=httpd", "\"httpd\""),
            ("services.web.match=\"quoted\"", "\"quoted\""),
            ("services.web.match=5", "\"5\""),
            ("services.web.match.pidfile=/run/a.pid", "\"5\""),
        ] {
            set(text, &Origin::Whole, &mut tree, &mut report);
            let value = tree.get(&["services", "web", "match", "name"]).unwrap().value.to_string();
            assert_eq!(value, name, "{text}");
        }
        assert_eq!(tree.fields(&["services", "web", "match"]), ["name", "user", "pidfile"]);
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for text in ["", "a", "=", "=5", "services..x=1", "interval=5s", "\"a=5"] {
            let (mut tree, mut report) = (Tree::default(), Report::default());
            set(text, &Origin::Argument(text.into()), &mut tree, &mut report);
            assert_eq!(report.count(), "1 error", "{text}");
        }
    }
}
