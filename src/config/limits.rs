//! Reads sizes, percentages and resource limits. Sets none.

use nix::sys::resource::Resource;

use super::{Limit, parse::string, tree::Value};

/// What a resource is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    /// Things, seconds, microseconds: a number as it is.
    Number,
}

/// The resources of getrlimit(2), by the names that they have there.
const RESOURCES: [(&str, Resource, Unit); 16] = [
    ("as", Resource::RLIMIT_AS, Unit::Bytes),
    ("core", Resource::RLIMIT_CORE, Unit::Bytes),
    ("cpu", Resource::RLIMIT_CPU, Unit::Number),
    ("data", Resource::RLIMIT_DATA, Unit::Bytes),
    ("fsize", Resource::RLIMIT_FSIZE, Unit::Bytes),
    ("locks", Resource::RLIMIT_LOCKS, Unit::Number),
    ("memlock", Resource::RLIMIT_MEMLOCK, Unit::Bytes),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE, Unit::Bytes),
    ("nice", Resource::RLIMIT_NICE, Unit::Number),
    ("nofile", Resource::RLIMIT_NOFILE, Unit::Number),
    ("nproc", Resource::RLIMIT_NPROC, Unit::Number),
    ("rss", Resource::RLIMIT_RSS, Unit::Bytes),
    ("rtprio", Resource::RLIMIT_RTPRIO, Unit::Number),
    ("rttime", Resource::RLIMIT_RTTIME, Unit::Number),
    ("sigpending", Resource::RLIMIT_SIGPENDING, Unit::Number),
    ("stack", Resource::RLIMIT_STACK, Unit::Bytes),
];

/// Their names.
pub(crate) const NAMES: [&str; 16] = {
    let (mut names, mut at) = ([""; 16], 0);
    while at < names.len() {
        names[at] = RESOURCES[at].0;
        at += 1;
    }
    names
};

/// All of them.
pub(crate) fn resources() -> impl Iterator<Item = Resource> {
    RESOURCES.iter().map(|&(_, resource, _)| resource)
}

/// The resource of this name.
pub(crate) fn resource(name: &str) -> Option<Resource> {
    find(name).map(|(resource, _)| resource)
}

/// The name of a resource.
pub(crate) fn resource_name(resource: Resource) -> &'static str {
    RESOURCES.iter().find(|(_, known, _)| *known == resource).map_or("", |&(name, ..)| name)
}

fn find(name: &str) -> Option<(Resource, Unit)> {
    RESOURCES.iter().find(|(known, ..)| *known == name).map(|&(_, resource, unit)| (resource, unit))
}

/// A limit of the resource of this name: `SOFT:HARD`, or one number for both.
pub(crate) fn limit(name: &str, value: &Value) -> Result<Limit, String> {
    let (resource, unit) = find(name).ok_or("must be of one of the resources of getrlimit(2)")?;
    let wrong = || match unit {
        Unit::Bytes => {
            "must be bytes, a size such as \"1GiB\", \"unlimited\", or \"SOFT:HARD\" of these".to_owned()
        }
        Unit::Number => "must be a number, \"unlimited\", or \"SOFT:HARD\" of these".to_owned(),
    };
    let text = match value {
        Value::Integer(number) => number.to_string(),
        other => string(other).unwrap_or_default().to_owned(),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((&text, &text));
    let one = |text: &str| match text {
        "unlimited" => Some(u64::MAX),
        number if unit == Unit::Number => digits(number),
        size => bytes(size),
    };
    let (soft, hard) = one(soft).zip(one(hard)).ok_or_else(wrong)?;
    if soft > hard {
        return Err("must have a soft limit (before the `:`) that is not above the hard one".to_owned());
    }
    Ok(Limit { resource, soft, hard })
}

/// Whether it can be the limit of any resource.
pub(crate) fn any(value: &Value) -> Result<(), String> {
    limit("core", value).map(drop)
}

/// A size of at least one byte.
pub(crate) fn size(value: &Value) -> Result<u64, String> {
    let bytes = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        other => string(other).and_then(bytes),
    };
    match bytes {
        Some(0) => Err("must be more than 0".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("must be a size such as \"64MiB\" or \"1GiB\", or a number of bytes".to_owned()),
    }
}

/// Digits alone, below what stands for unlimited.
fn digits(text: &str) -> Option<u64> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    number.filter(|number| *number != u64::MAX)
}

/// Bytes, or a number with a binary unit. `1.5GiB` and the ambiguous `1MB` are refused.
fn bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[at..].trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    digits(&text[..at])?.checked_mul(1 << shift).filter(|bytes| *bytes != u64::MAX)
}

/// A percentage of one processor; several processors have several hundred.
pub(crate) fn percentage(value: &Value) -> Result<f64, String> {
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        plain.then(|| text.parse::<f64>().ok()).flatten()
    };
    let remedy = |number: &dyn std::fmt::Display| Err(format!("must have a unit: write \"{number}%\""));
    match value {
        Value::Integer(integer) if *integer > 0 => remedy(integer),
        Value::Float(float) if *float > 0.0 && float.is_finite() => remedy(float),
        Value::String(text) if number(text).is_some_and(|percent| percent > 0.0) => remedy(text),
        other => {
            let percent = string(other).and_then(|text| number(text.strip_suffix('%')?.trim_end()));
            percent
                .filter(|percent| *percent > 0.0 && percent.is_finite())
                .ok_or_else(|| "must be a percentage of one processor such as \"80%\"".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn every_name_is_a_resource() {
        assert!(NAMES.iter().all(|name| resource(name).is_some()) && NAMES.is_sorted());
        assert_eq!(resource("nofiles"), None);
    }

    #[test]
    fn sizes_have_binary_units() {
        for (value, bytes) in
            [("1", 1), ("5B", 5), ("512KiB", 512 << 10), ("64 MiB", 64 << 20), ("2TiB", 2 << 40)]
        {
            assert_eq!(size(&text(value)), Ok(bytes), "{value}");
        }
        assert_eq!(size(&Value::Integer(4096)), Ok(4096));
        for value in ["", "MiB", "1MB", "1M", "1.5GiB", "-1", "0", "99999999999TiB", "18446744073709551615"] {
            assert!(size(&text(value)).is_err(), "{value}");
        }
        assert!(size(&Value::Integer(0)).is_err() && size(&Value::Integer(-1)).is_err());
    }

    #[test]
    fn percentages_have_their_sign() {
        assert_eq!(percentage(&text("80%")), Ok(80.0));
        assert_eq!(percentage(&text("250.5 %")), Ok(250.5));
        assert_eq!(percentage(&Value::Integer(80)).unwrap_err(), "must have a unit: write \"80%\"");
        assert_eq!(percentage(&text("80")).unwrap_err(), "must have a unit: write \"80%\"");
        for value in ["", "%", "0%", "-1%", "inf%", "nan%", "1e3%", "a%"] {
            assert!(percentage(&text(value)).is_err(), "{value}");
        }
    }

    #[test]
    fn limits_are_soft_and_hard() {
        let both = |name: &str, value: &Value| limit(name, value).map(|limit| (limit.soft, limit.hard));
        assert_eq!(both("nofile", &Value::Integer(1024)), Ok((1024, 1024)));
        assert_eq!(both("nofile", &text("1024:unlimited")), Ok((1024, u64::MAX)));
        assert_eq!(both("core", &text("0:1GiB")), Ok((0, 1 << 30)));
        assert_eq!(both("stack", &text("unlimited")), Ok((u64::MAX, u64::MAX)));
        for (name, value) in
            [("nofile", "1KiB"), ("nofile", "2:1"), ("core", "1:2:3"), ("core", ""), ("cpu", "-1")]
        {
            assert!(limit(name, &text(value)).is_err(), "{name} {value}");
        }
        assert!(limit("core", &Value::Integer(-1)).is_err() && limit("core", &Value::Boolean(true)).is_err());
    }
}
