//! Reads one value each, or says what it must be. Knows nothing of keys, layers and files.

use std::{path::PathBuf, time::Duration};

use super::{Command, Inherit, Regex, command::Text, template, tree::Value};

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

pub(crate) fn string(value: &Value) -> Option<&str> {
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

/// A command that is no service: it has no name, and no key that says whether it needs a shell.
pub(crate) fn probe_command(value: &Value) -> Result<Command, String> {
    command(value)?.parse(None).map(|(command, _)| command)
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

pub(crate) fn path(value: &Value) -> Result<PathBuf, String> {
    let text = string(value).filter(|text| !text.is_empty()).ok_or("must be a path")?;
    no_nul(text)?;
    Ok(PathBuf::from(text))
}

pub(crate) fn absolute_path(value: &Value) -> Result<PathBuf, String> {
    path(value).ok().filter(|path| path.is_absolute()).ok_or_else(|| "must be an absolute path".to_owned())
}

/// One path, or a list of them.
pub(crate) fn paths(value: &Value) -> Result<Vec<PathBuf>, String> {
    let wrong = || "must be a path or a list of paths".to_owned();
    let paths = strings(value).map_err(|_| wrong())?;
    paths.into_iter().map(|text| path(&Value::String(text)).map_err(|_| wrong())).collect()
}

/// One name of an environment variable, or a list of them (environ(7): any text but these).
pub(crate) fn variable_names(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "must be the name of a variable, or a list of names".to_owned();
    let names = strings(value).map_err(|_| wrong())?;
    if names.iter().any(|name| !template::is_variable(name)) { Err(wrong()) } else { Ok(names) }
}

pub(crate) fn inherit(value: &Value) -> Result<Inherit, String> {
    match value {
        Value::Boolean(true) => Ok(Inherit::All),
        Value::Boolean(false) => Ok(Inherit::None),
        Value::Array(_) => variable_names(value).map(Inherit::Only),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Datetime(_) | Value::Table => {
            Err("must be true, false or a list of names".to_owned())
        }
    }
}

/// What has a meaning only where it is said.
pub(crate) fn yes(value: &Value) -> Result<bool, String> {
    match boolean(value) {
        Ok(true) => Ok(true),
        Ok(false) | Err(_) => Err("must be true; without it, leave it out".to_owned()),
    }
}

/// A whole number within bounds.
pub(crate) fn integer(value: &Value, least: i128, greatest: i128) -> Option<i128> {
    match value {
        Value::Integer(integer) => Some(*integer).filter(|integer| (least..=greatest).contains(integer)),
        Value::String(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table => None,
    }
}

pub(crate) fn count(value: &Value) -> Result<u32, String> {
    let count = integer(value, 1, i128::from(u32::MAX)).and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| "must be a whole number, 1 at least".to_owned())
}

/// What a program can exit with: one code, or a list of them.
pub(crate) fn exit_codes(value: &Value) -> Result<Vec<u8>, String> {
    let code = |value: &Value| u8::try_from(integer(value, 0, 255)?).ok();
    let codes: Option<Vec<u8>> = match value {
        Value::Array(elements) => elements.iter().map(|element| code(&element.value)).collect(),
        other => code(other).map(|code| vec![code]),
    };
    codes
        .filter(|codes| !codes.is_empty())
        .ok_or_else(|| "must be an exit code from 0 to 255, or a list of one or more".to_owned())
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
    fn numbers_have_bounds() {
        assert_eq!(count(&Value::Integer(1)), Ok(1));
        for value in [Value::Integer(0), Value::Integer(1 << 32), Value::Float(2.0), text("2")] {
            assert!(count(&value).is_err(), "{value}");
        }
        assert_eq!(exit_codes(&Value::Integer(255)), Ok(vec![255]));
        for value in [Value::Integer(256), Value::Integer(-1), Value::Array(Vec::new()), text("0")] {
            assert!(exit_codes(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn what_is_inherited_is_all_nothing_or_a_list() {
        assert_eq!(inherit(&Value::Boolean(false)), Ok(Inherit::None));
        assert!(inherit(&text("PATH")).is_err());
        assert_eq!(variable_names(&text("PATH")), Ok(vec!["PATH".to_owned()]));
        for name in ["", "A=B", "A\0"] {
            assert!(variable_names(&text(name)).is_err(), "{name:?}");
        }
        assert!(yes(&Value::Boolean(false)).is_err() && yes(&Value::Boolean(true)).is_ok());
    }

    #[test]
    fn paths_are_paths() {
        assert!(absolute_path(&text("srv")).is_err());
        assert!(absolute_path(&text("/srv")).is_ok());
        assert!(path(&text("")).is_err());
        assert!(match_name(&text("/usr/bin/a")).is_err());
    }

    #[test]
    fn a_wrong_expression_is_told_as_the_engine_says_it() {
        assert!(regex(&text("a.*b")).is_ok());
        let error = regex(&text("a(b")).unwrap_err();
        assert!(error.starts_with("must be a regular expression: ") && error.len() > 35, "{error}");
        assert!(regex(&text("")).is_err() && regex(&Value::Integer(1)).is_err());
    }
}
