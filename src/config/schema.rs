//! What keys are, how tables, short forms and rules group them, and how a key is found by its path. Which keys
//! there are is in `keys`. Reads no file.

use std::borrow::Cow;

use super::{
    keys::{ENVIRONMENT, ENVIRONMENT_FILE, LIMIT, MANAGER, SERVICE},
    limits,
    tree::Value,
};

/// A key of the configuration, whose values become a `T`.
pub(crate) struct Key<T: 'static> {
    /// Its name inside its table; `backoff.initial` is a field of an inner table, `NAME` stands for any name.
    pub(crate) name: &'static str,
    /// The default, as TOML; `None`: what `meaning` says.
    pub(crate) default: Option<&'static str>,
    /// What can be written in TOML.
    pub(crate) form: Form,
    /// What is allowed.
    pub(crate) allowed: &'static str,
    /// What it means, in one line.
    pub(crate) meaning: &'static str,
    /// Reads a value, or says what it must be.
    pub(crate) parse: fn(&Value) -> Result<T, String>,
}

/// What can be written for a key, as far as the type of the value and its outer look go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// `true` or `false`.
    Boolean,
    /// `true`.
    True,
    /// A string.
    Text,
    /// A string, an integer or a boolean.
    Scalar,
    /// A string or a list of strings.
    Strings,
    /// A command: a string, or a list of at least one.
    Command,
    /// A string out of these.
    OneOf(&'static [&'static str]),
    /// A boolean, or a list of strings.
    BooleanOrStrings,
    /// An integer from the first to the second.
    Integer(i64, i64),
    /// A number that is at least this.
    Number(f64),
    /// An integer from the first to the second, or a list of such.
    Integers(i64, i64),
    /// A duration: `1m 30s`.
    Duration,
    /// A size in bytes: `64MiB`, or an integer.
    Size,
    /// A percentage: `80%`.
    Percentage,
    /// Octal digits in a string.
    Octal,
    /// A name, or an integer.
    NameOrNumber,
    /// The same, or a list of such.
    NamesOrNumbers,
    /// A resource limit.
    Limit,
}

/// A key whose type does not matter.
pub(crate) trait AnyKey: Sync {
    fn name(&self) -> &'static str;
    fn default(&self) -> Option<&'static str>;
    fn form(&self) -> Form;
    fn allowed(&self) -> &'static str;
    fn meaning(&self) -> &'static str;
    /// Says what the value must be, if it is not that.
    fn check(&self, value: &Value) -> Result<(), String>;
}

impl<T> AnyKey for Key<T> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn default(&self) -> Option<&'static str> {
        self.default
    }
    fn form(&self) -> Form {
        self.form
    }
    fn allowed(&self) -> &'static str {
        self.allowed
    }
    fn meaning(&self) -> &'static str {
        self.meaning
    }
    fn check(&self, value: &Value) -> Result<(), String> {
        (self.parse)(value).map(drop)
    }
}

/// The sections of a file.
pub(crate) const SECTIONS: [&str; 3] = ["manager", "defaults", "services"];

/// The tables inside a service, with what they look like.
pub(crate) const TABLES: [(&str, &str); 10] = [
    ("match", "{ name = \"java\", user = \"app\" }, or a name alone"),
    ("log", "{ to = \"file\", path = \"/var/log/web.log\" }, or where to alone"),
    ("backoff", "{ initial = \"250ms\", factor = 2, max = \"1m\" }"),
    ("start-limit", "{ starts = 5, within = \"1m\" }"),
    ("ready", "{ tcp = 5432, timeout = \"90s\" }"),
    ("check", "{ http = \"http://localhost/\", every = \"30s\" }"),
    ("memory-max", "{ size = \"512MiB\", on-excess = \"report\" }, or a size alone"),
    ("cpu-max", "{ percent = \"80%\", for = \"30s\" }, or a percentage alone"),
    ("environment", "{ LANG = \"C.UTF-8\" }"),
    ("limits", "{ nofile = 4096, core = 0 }"),
];

/// The tables that say nothing without one of these keys, and that hold one of them only: a layer or a service
/// that gives another one replaces it.
pub(crate) const RULES: [(&str, &[&str]); 5] = [
    ("ready", &["exec", "tcp", "http", "log", "notify", "delay"]),
    ("check", &["exec", "tcp", "http", "notify"]),
    ("start-limit", &["starts"]),
    ("memory-max", &["size"]),
    ("cpu-max", &["percent"]),
];

/// The keys of `RULES` in this table; empty for other tables.
pub(crate) fn rules(table: &str) -> &'static [&'static str] {
    RULES.iter().find(|(name, _)| *name == table).map_or(&[], |(_, rules)| rules)
}

/// The keys that only a service itself can have, not `[defaults]`.
pub(crate) const OWN_KEYS: [&str; 2] = ["start", "match"];

/// Tables that a value alone is short for, as one of their keys: so layers can add to it.
const SHORT: [(&str, &str); 4] =
    [("match", "name"), ("log", "to"), ("memory-max", "size"), ("cpu-max", "percent")];

/// The key of this table that a value alone is short for.
pub(crate) fn short(table: &str) -> Option<&'static str> {
    SHORT.iter().find(|(name, _)| *name == table).map(|&(_, field)| field)
}

/// The path of a value: `match = "NAME"` is short for `match.name = "NAME"`.
pub(crate) fn in_full<'a>(path: &'a [String], value: &Value) -> Cow<'a, [String]> {
    let table = match path {
        [section, _, table] if section == "services" => table,
        [section, table] if section == "defaults" => table,
        [..] => return Cow::Borrowed(path),
    };
    let short = match value {
        Value::String(_) => SHORT.iter().find(|(name, _)| name == table),
        Value::Integer(_) | Value::Float(_) => SHORT[2..].iter().find(|(name, _)| name == table),
        Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table => None,
    };
    match short {
        Some((_, field)) if path[0] != "defaults" || !OWN_KEYS.contains(&table.as_str()) => {
            Cow::Owned(path.iter().cloned().chain([(*field).to_owned()]).collect())
        }
        Some(_) | None => Cow::Borrowed(path),
    }
}

/// The key that a path inside a section names.
pub(crate) fn find(keys: &'static [&'static dyn AnyKey], path: &[String]) -> Option<&'static dyn AnyKey> {
    let joined = match path {
        [table, _, field] if table == "environment" && field == "file" => ENVIRONMENT_FILE.name.to_owned(),
        [table, _] if table == "environment" => ENVIRONMENT.name.to_owned(),
        [table, name] if table == "limits" => {
            limits::resource(name)?;
            LIMIT.name.to_owned()
        }
        [name] => name.clone(),
        [table, name] => format!("{table}.{name}"),
        _ => return None,
    };
    keys.iter().copied().find(|key| key.name() == joined && !(path.len() == 1 && joined.contains('.')))
}

/// The tables of all keys in Markdown, as the README shows them.
pub fn markdown() -> String {
    let mut text = String::new();
    for (title, keys) in [("[manager]", MANAGER), ("[services.NAME]", SERVICE)] {
        text.push_str(&format!("| `{title}` | default | allowed | meaning |\n|---|---|---|---|\n"));
        for key in keys {
            let default = key.default().map_or_else(String::new, |default| format!("`{default}`"));
            text.push_str(&format!(
                "| `{}` | {default} | {} | {} |\n",
                key.name(),
                key.allowed(),
                key.meaning()
            ));
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;
    use crate::config::{origin::Origin, tree::convert};

    #[test]
    fn every_default_is_allowed() {
        for key in MANAGER.iter().chain(SERVICE) {
            if let Some(default) = key.default() {
                let value = DeValue::parse(default).unwrap();
                let value = convert(value.get_ref(), &|_| Origin::BuiltIn);
                assert_eq!(key.check(&value), Ok(()), "{}", key.name());
            }
        }
    }

    #[test]
    fn keys_are_found_by_path() {
        let find = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
            find(SERVICE, &path).map(|key| key.name())
        };
        assert_eq!(find(&["interval"]), Some("interval"));
        assert_eq!(find(&["backoff", "max"]), Some("backoff.max"));
        assert_eq!(find(&["environment", "A.b"]), Some("environment.NAME"));
        assert_eq!(find(&["environment", "A.b", "file"]), Some("environment.NAME.file"));
        assert_eq!(find(&["limits", "nofile"]), Some("limits.NAME"));
        for path in [
            &["backoff.max"][..],
            &["backoff"],
            &["backoff", "x"],
            &["interval", "x"],
            &["environment"],
            &["limits", "x"],
        ] {
            assert_eq!(find(path), None, "{path:?}");
        }
    }

    #[test]
    fn tables_and_rules_are_of_keys() {
        let has = |name: &str| SERVICE.iter().any(|key| key.name() == name);
        for (table, rules) in RULES {
            assert!(TABLES.iter().any(|(name, _)| *name == table), "{table}");
            assert!(rules.iter().all(|rule| has(&format!("{table}.{rule}"))), "{table}");
        }
        let tables = SERVICE.iter().filter_map(|key| key.name().split_once('.')).map(|(table, _)| table);
        for table in tables {
            assert!(TABLES.iter().any(|(name, _)| *name == table), "{table} is in no table");
        }
        assert!(SHORT.iter().all(|(table, field)| has(&format!("{table}.{field}"))));
    }
}
