//! Reads one value each, or says what it must be. Knows nothing of keys, layers and files.

use std::{path::PathBuf, str::FromStr, time::Duration};

use nix::sys::signal::Signal;

use super::{LogFormat, LogLevel, Regex, User, command::Text, report::did_you_mean, tree::Value};

/// Below this, scanning the process table costs more than the services do.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::String(text) if text.parse::<u64>().is_ok() => {
            Err(format!("must have a unit: write \"{text}s\""))
        }
        Value::String(text) => humantime::parse_duration(text)
            .map_err(|_| "must be a duration such as \"500ms\", \"60s\" or \"1m 30s\"".to_owned()),
        Value::Integer(number) if *number >= 0 => Err(format!("must have a unit: write \"{number}s\"")),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table => Err("must be a duration such as \"60s\"".to_owned()),
    }
}

pub(crate) fn positive_duration(value: &Value) -> Result<Duration, String> {
    let duration = duration(value)?;
    if duration.is_zero() { Err("must be more than 0s".to_owned()) } else { Ok(duration) }
}

pub(crate) fn interval(value: &Value) -> Result<Duration, String> {
    let duration = duration(value)?;
    if duration < SHORTEST_INTERVAL { Err("must be at least 100ms".to_owned()) } else { Ok(duration) }
}

pub(crate) fn factor(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Integer(integer) => *integer as f64,
        Value::Float(float) => *float,
        Value::String(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table => {
            f64::NAN
        }
    };
    if number >= 1.0 && number.is_finite() {
        Ok(number)
    } else {
        Err("must be a number, 1 at least".to_owned())
    }
}

pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(boolean) => Ok(*boolean),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table => Err("must be true or false".to_owned()),
    }
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table => None,
    }
}

/// The text of an environment variable. A float is refused: `1.10` would silently become `1.1`.
pub(crate) fn text(value: &Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(integer) => integer.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Float(_) | Value::Datetime(_) => return Err(format!("must be text: write \"{value}\"")),
        Value::Array(_) | Value::Table => return Err("must be text".to_owned()),
    };
    no_nul(&text)?;
    Ok(text)
}

fn no_nul(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("cannot hold a NUL character".to_owned()) } else { Ok(()) }
}

/// One string, or a list of them.
pub(crate) fn strings(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "must be a string or a list of strings".to_owned();
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(elements) => elements
            .iter()
            .map(|element| string(&element.value).map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table => {
            Err(wrong())
        }
    }
}

pub(crate) fn command(value: &Value) -> Result<Text, String> {
    match value {
        Value::String(line) => Ok(Text::Line(line.clone())),
        Value::Array(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table => strings(value)
            .map(Text::Words)
            .map_err(|_| "must be a command, or a list of its words".to_owned()),
    }
}

pub(crate) fn match_name(value: &Value) -> Result<String, String> {
    match string(value) {
        Some(name) if !name.is_empty() && !name.contains(['/', '\0']) => Ok(name.to_owned()),
        _ => Err("must be the name of a process, without a path".to_owned()),
    }
}

pub(crate) fn regex(value: &Value) -> Result<Regex, String> {
    let text = string(value).filter(|text| !text.is_empty()).ok_or("must be a regular expression")?;
    Regex::parse(text).map_err(|error| format!("must be a regular expression: {error}"))
}

/// A user by name or by ID. Whether there is such a name is not asked: it may come with the running container.
pub(crate) fn user(value: &Value) -> Result<User, String> {
    let by_id = |id: i128| u32::try_from(id).ok().filter(|id| *id != u32::MAX).map(User::Id);
    let found = match value {
        Value::Integer(id) => by_id(*id),
        Value::String(text) => match text.parse() {
            Ok(id) => by_id(id),
            Err(_) => Some(User::Name(text.clone())).filter(|_| is_user_name(text)),
        },
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table => None,
    };
    found.ok_or_else(|| "must be the name of a user, or a user ID".to_owned())
}

/// A field of passwd(5), and no number that is out of range.
fn is_user_name(text: &str) -> bool {
    let word = |c: char| !c.is_control() && !c.is_whitespace() && !":/,".contains(c);
    !text.is_empty() && !text.starts_with(['-', '+']) && text.chars().all(word)
}

pub(crate) fn path(value: &Value) -> Result<PathBuf, String> {
    let text = string(value).filter(|text| !text.is_empty()).ok_or("must be a path")?;
    no_nul(text)?;
    Ok(PathBuf::from(text))
}

pub(crate) fn absolute_path(value: &Value) -> Result<PathBuf, String> {
    path(value).ok().filter(|path| path.is_absolute()).ok_or_else(|| "must be an absolute path".to_owned())
}

/// A signal by name, with or without `SIG`, or by number (signal(7)).
pub(crate) fn signal(value: &Value) -> Result<Signal, String> {
    let by_number =
        |number: i128| i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok());
    let found = match value {
        Value::Integer(number) => by_number(*number),
        Value::String(text) => {
            let name = text.to_ascii_uppercase();
            let name = name.strip_prefix("SIG").unwrap_or(&name);
            Signal::from_str(&format!("SIG{name}")).ok().or_else(|| text.parse().ok().and_then(by_number))
        }
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table => None,
    };
    found.ok_or_else(|| {
        let near = string(value).and_then(|text| {
            did_you_mean(&text.to_ascii_uppercase(), Signal::iterator().map(|signal| &signal.as_str()[3..]))
        });
        format!("must be a signal{}", near.unwrap_or_else(|| " such as \"TERM\"".to_owned()))
    })
}

fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, String> {
    let given = string(value).unwrap_or_default();
    choices.iter().find(|(name, _)| *name == given).map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("must be one of {}", names.join(", "))
    })
}

pub(crate) fn log_format(value: &Value) -> Result<LogFormat, String> {
    choice(value, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(crate) fn log_level(value: &Value) -> Result<LogLevel, String> {
    choice(
        value,
        &[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration(&text("1m 30s")), Ok(Duration::from_secs(90)));
        assert_eq!(duration(&text("0s")), Ok(Duration::ZERO));
        assert_eq!(duration(&Value::Integer(60)).unwrap_err(), "must have a unit: write \"60s\"");
        assert!(duration(&text("soon")).is_err());
        assert!(positive_duration(&text("0s")).is_err());
        assert_eq!(interval(&text("100ms")), Ok(Duration::from_millis(100)));
        assert_eq!(interval(&text("99ms")).unwrap_err(), "must be at least 100ms");
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for value in [text("TERM"), text("SIGTERM"), text("term"), text("15"), Value::Integer(15)] {
            assert_eq!(signal(&value), Ok(Signal::SIGTERM), "{value}");
        }
        assert_eq!(signal(&text("QIUT")).unwrap_err(), "must be a signal; did you mean \"QUIT\"?");
        for value in [Value::Integer(0), Value::Integer(99), Value::Boolean(true)] {
            assert!(signal(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn factors_never_shrink_a_pause() {
        assert_eq!(factor(&Value::Integer(1)), Ok(1.0));
        assert_eq!(factor(&Value::Float(1.5)), Ok(1.5));
        for value in [Value::Integer(0), Value::Float(0.9), Value::Float(f64::INFINITY), text("2")] {
            assert!(factor(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn an_environment_value_is_text_that_was_meant_so() {
        assert_eq!(super::text(&Value::Integer(80)), Ok("80".to_owned()));
        assert_eq!(super::text(&Value::Boolean(true)), Ok("true".to_owned()));
        assert!(super::text(&Value::Float(1.1)).is_err());
        assert!(super::text(&text("a\0b")).is_err());
    }

    #[test]
    fn paths_are_paths() {
        assert!(absolute_path(&text("srv")).is_err());
        assert!(absolute_path(&text("/srv")).is_ok());
        assert!(path(&text("")).is_err());
        assert!(match_name(&text("/usr/bin/a")).is_err());
    }

    #[test]
    fn users_have_names_and_ids() {
        assert_eq!(user(&text("www-data")), Ok(User::Name("www-data".to_owned())));
        for value in [text("33"), Value::Integer(33)] {
            assert_eq!(user(&value), Ok(User::Id(33)), "{value}");
        }
        for value in ["", "a b", "a:b", "/a", "-1", "4294967295", "99999999999999"] {
            assert!(user(&text(value)).is_err(), "{value}");
        }
        assert!(user(&Value::Integer(-1)).is_err() && user(&Value::Boolean(true)).is_err());
    }

    #[test]
    fn a_wrong_expression_is_told_as_the_engine_says_it() {
        assert!(regex(&text("a.*b")).is_ok());
        let error = regex(&text("a(b")).unwrap_err();
        assert!(error.starts_with("must be a regular expression: ") && error.len() > 35, "{error}");
        assert!(regex(&text("")).is_err() && regex(&Value::Integer(1)).is_err());
    }
}
