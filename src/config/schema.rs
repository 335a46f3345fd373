//! The one table of all keys: name, default, what is allowed, what it means. Reading, `musterd check`, the
//! suggestions for misspelt keys and the README's table come from it. Reads no file.

use std::{borrow::Cow, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;

use super::{LogFormat, LogLevel, Regex, User, command::Text, parse, tree::Value};

/// A key of the configuration, whose values become a `T`.
pub(crate) struct Key<T: 'static> {
    /// Its name inside its table; `backoff.initial` is a field of an inner table, `NAME` stands for any name.
    pub(crate) name: &'static str,
    /// The default, as TOML; `None`: what `meaning` says.
    pub(crate) default: Option<&'static str>,
    /// What is allowed.
    pub(crate) allowed: &'static str,
    /// What it means, in one line.
    pub(crate) meaning: &'static str,
    /// Reads a value, or says what it must be.
    pub(crate) parse: fn(&Value) -> Result<T, String>,
}

/// A key whose type does not matter.
pub(crate) trait AnyKey: Sync {
    fn name(&self) -> &'static str;
    fn default(&self) -> Option<&'static str>;
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

/// Declares keys, and the table that lists them all.
macro_rules! keys {
    ($table:ident: $($key:ident: $type:ty = $name:literal, $default:expr, $allowed:literal, $meaning:literal, $parse:expr;)*) => {
        $(pub(crate) static $key: Key<$type> =
            Key { name: $name, default: $default, allowed: $allowed, meaning: $meaning, parse: $parse };)*
        pub(crate) static $table: &[&dyn AnyKey] = &[$(&$key),*];
    };
}

const DURATION: fn(&Value) -> Result<Duration, String> = parse::duration;

keys! { MANAGER:
    INCLUDE: Vec<String> = "include", Some(r#"["/etc/musterd.d/*.toml"]"#), "paths, `*` and `?` in the file's name",
        "drop-ins, in lexical order, after this file; the default is for the default file only", parse::strings;
    SHUTDOWN_TIMEOUT: Duration = "shutdown-timeout", Some("\"8s\""), "duration, more than 0s",
        "all of the shutdown; must end inside the 10 s of `docker stop`", parse::positive_duration;
    SOCKET: PathBuf = "socket", None, "path of 107 bytes at most",
        "the control socket, in a file relative to the file; default: `musterd.sock` in the first writable of /run, $XDG_RUNTIME_DIR, /tmp", parse::path;
    LOG_FORMAT: LogFormat = "log-format", Some("\"text\""), "`text`, `json`",
        "the form of the output", parse::log_format;
    LOG_LEVEL: LogLevel = "log-level", Some("\"info\""), "`error`, `warn`, `info`, `debug`, `trace`",
        "the least important of musterd's own messages that is told", parse::log_level;
}

keys! { SERVICE:
    START: Text = "start", None, "command, or list of its words",
        "what starts the service; the only key without a default", parse::command;
    STOP: Text = "stop", None, "command, or list of its words",
        "what stops the service; default: `stop-signal`", parse::command;
    SHELL: bool = "shell", None, "`true`, `false`",
        "whether `start` and `stop`, where written as one string, are run by `/bin/sh -c`; default: where they need it",
        parse::boolean;
    MATCH_NAME: String = "match.name", None, "name of a process",
        "the name that its process answers to; `match = \"NAME\"` for short; default: the basename of `start`, or any where \
        another key of `match` is given (all that are given must hold)", parse::match_name;
    MATCH_CMDLINE: Regex = "match.cmdline", None, "regular expression",
        "is found in its process' arguments, joined by single blanks", parse::regex;
    MATCH_EXE: PathBuf = "match.exe", None, "absolute path",
        "its process' executable (through links); where that may not be read, the first argument", parse::absolute_path;
    MATCH_USER: User = "match.user", None, "name in /etc/passwd, or user ID",
        "its process' real or effective user", parse::user;
    MATCH_PIDFILE: PathBuf = "match.pidfile", None, "absolute path",
        "holds its process' PID; written later than that was started, by root or by the process' user", parse::absolute_path;
    INTERVAL: Duration = "interval", Some("\"60s\""), "duration, 100ms at least",
        "how long an absence that no event told of may last", parse::interval;
    AFTER: Vec<String> = "after", Some("[]"), "service, or list of services",
        "starts once those are ready, stops before them", parse::strings;
    AUTOSTART: bool = "autostart", Some("true"), "`true`, `false`",
        "whether it is wanted from the beginning", parse::boolean;
    BACKOFF_INITIAL: Duration = "backoff.initial", Some("\"250ms\""), "duration",
        "the pause before the second restart in a row (the first is immediate)", DURATION;
    BACKOFF_FACTOR: f64 = "backoff.factor", Some("2"), "number, 1 at least",
        "what each further pause is multiplied by", parse::factor;
    BACKOFF_MAX: Duration = "backoff.max", Some("\"1m\""), "duration",
        "the longest pause; never more than `interval`", DURATION;
    STABLE_AFTER: Duration = "stable-after", Some("\"10s\""), "duration",
        "after how long a run the back-off begins anew; `0s`: every restart is immediate", DURATION;
    START_TIMEOUT: Duration = "start-timeout", Some("\"90s\""), "duration, more than 0s",
        "how long a start command may work", parse::positive_duration;
    STOP_SIGNAL: Signal = "stop-signal", Some("\"TERM\""), "signal (`TERM`, `SIGTERM`, `15`)",
        "what asks the service to stop", parse::signal;
    STOP_TIMEOUT: Duration = "stop-timeout", Some("\"5s\""), "duration",
        "how long it has to stop before it is killed", DURATION;
    DIRECTORY: PathBuf = "directory", None, "absolute path",
        "where its commands run; default: musterd's own directory", parse::absolute_path;
    ENVIRONMENT: String = "environment.NAME", None, "text, integer or boolean",
        "a variable of its environment, besides musterd's own", parse::text;
}

/// The sections of a file.
pub(crate) const SECTIONS: [&str; 3] = ["manager", "defaults", "services"];

/// The tables inside a service, with what they look like.
pub(crate) const TABLES: [(&str, &str); 3] = [
    ("match", "{ name = \"java\", user = \"app\" }, or a name alone"),
    ("backoff", "{ initial = \"250ms\", factor = 2, max = \"1m\" }"),
    ("environment", "{ LANG = \"C.UTF-8\" }"),
];

/// The keys that only a service itself can have, not `[defaults]`.
pub(crate) const OWN_KEYS: [&str; 2] = ["start", "match"];

/// The path of a value: `match = "NAME"` is short for `match.name = "NAME"`, so that layers can add to it.
pub(crate) fn in_full<'a>(path: &'a [String], value: &Value) -> Cow<'a, [String]> {
    match (path, value) {
        ([section, _, key], Value::String(_)) if section == "services" && key == "match" => {
            let mut full = path.to_vec();
            full.push("name".to_owned());
            Cow::Owned(full)
        }
        _ => Cow::Borrowed(path),
    }
}

/// The key that a path inside a section names.
pub(crate) fn find(keys: &'static [&'static dyn AnyKey], path: &[String]) -> Option<&'static dyn AnyKey> {
    let joined = match path {
        [table, _] if table == "environment" => ENVIRONMENT.name.to_owned(),
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
        for path in
            [&["backoff.max"][..], &["backoff"], &["backoff", "x"], &["interval", "x"], &["environment"]]
        {
            assert_eq!(find(path), None, "{path:?}");
        }
    }
}
