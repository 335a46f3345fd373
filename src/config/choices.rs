//! Reads values that are one of several names. Knows nothing of keys, layers and files.

use std::str::FromStr;

use nix::sys::signal::Signal;

use super::{
    Kind, LogFormat, LogLevel, Overflow, Remedy, Restart, log::To, parse::string, report::did_you_mean,
    tree::Value,
};

/// A signal by name, with or without `SIG`, or by number (signal(7)).
pub(crate) fn signal(value: &Value) -> Result<Signal, String> {
    match value {
        Value::Integer(number) => parse_signal(&number.to_string()),
        Value::String(text) => parse_signal(text),
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table => {
            parse_signal("")
        }
    }
}

/// The same, as text.
///
/// # Errors
/// What it must be.
pub fn parse_signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_number = || Signal::try_from(text.parse::<i32>().ok()?).ok();
    Signal::from_str(&format!("SIG{name}")).ok().or_else(by_number).ok_or_else(|| {
        let near = did_you_mean(name, Signal::iterator().map(|signal| &signal.as_str()[3..]));
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

pub(crate) fn kind(value: &Value) -> Result<Kind, String> {
    choice(value, &[("service", Kind::Service), ("task", Kind::Task)])
}

pub(crate) fn restart(value: &Value) -> Result<Restart, String> {
    choice(
        value,
        &[("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)],
    )
}

pub(crate) fn remedy(value: &Value) -> Result<Remedy, String> {
    choice(value, &[("restart", Remedy::Restart), ("report", Remedy::Report)])
}

pub(crate) fn log_format(value: &Value) -> Result<LogFormat, String> {
    choice(value, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(crate) fn destination(value: &Value) -> Result<To, String> {
    choice(value, &[("prefix", To::Prefix), ("raw", To::Raw), ("file", To::File), ("none", To::None)])
}

pub(crate) fn overflow(value: &Value) -> Result<Overflow, String> {
    choice(value, &[("hold", Overflow::Hold), ("drop", Overflow::Drop)])
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
    fn a_choice_is_one_of_the_names() {
        assert_eq!(restart(&text("on-failure")), Ok(Restart::OnFailure));
        assert_eq!(kind(&text("Task")).unwrap_err(), "must be one of \"service\", \"task\"");
        assert!(remedy(&Value::Boolean(true)).is_err());
    }
}
