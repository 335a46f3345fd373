//! Reads as whom and with which privileges a service runs. Looks no name up: it may come with the running
//! container.

use super::{
    Capability, Group, User,
    parse::{integer, string, strings},
    report::did_you_mean,
    tree::Value,
};

/// The capabilities by their numbers (linux/capability.h), without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A name or an ID: one of the two, or what it must be.
enum Account {
    Name(String),
    Id(u32),
}

/// The greatest ID stands for none (chown(2)).
fn account(value: &Value) -> Option<Account> {
    let by_id = |id: i128| u32::try_from(id).ok().filter(|id| *id != u32::MAX).map(Account::Id);
    match value {
        Value::Integer(id) => by_id(*id),
        Value::String(text) => match text.parse() {
            Ok(id) => by_id(id),
            Err(_) => Some(Account::Name(text.clone())).filter(|_| is_name(text)),
        },
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table => None,
    }
}

/// A field of passwd(5) or group(5), and no number that is out of range.
fn is_name(text: &str) -> bool {
    let word = |c: char| !c.is_control() && !c.is_whitespace() && !":/,".contains(c);
    !text.is_empty() && !text.starts_with(['-', '+']) && text.chars().all(word)
}

/// A user by name or by ID.
pub(crate) fn user(value: &Value) -> Result<User, String> {
    match account(value) {
        Some(Account::Name(name)) => Ok(User::Name(name)),
        Some(Account::Id(id)) => Ok(User::Id(id)),
        None => Err("must be the name of a user, or a user ID".to_owned()),
    }
}

/// One user, or a list of them.
pub(crate) fn users(value: &Value) -> Result<Vec<User>, String> {
    one_or_list(value, user).map_err(|_| "must be the names of users, or user IDs".to_owned())
}

/// A group by name or by ID.
pub(crate) fn group(value: &Value) -> Result<Group, String> {
    match account(value) {
        Some(Account::Name(name)) => Ok(Group::Name(name)),
        Some(Account::Id(id)) => Ok(Group::Id(id)),
        None => Err("must be the name of a group, or a group ID".to_owned()),
    }
}

/// One group, or a list of them.
pub(crate) fn groups(value: &Value) -> Result<Vec<Group>, String> {
    one_or_list(value, group).map_err(|_| "must be the names of groups, or group IDs".to_owned())
}

fn one_or_list<T>(value: &Value, one: fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::Array(elements) => elements.iter().map(|element| one(&element.value)).collect(),
        alone => one(alone).map(|alone| vec![alone]),
    }
}

/// A mask as in umask(1). An integer is refused: nobody can tell whether 22 was meant as octal.
pub(crate) fn umask(value: &Value) -> Result<u32, String> {
    /// The permissions that there are.
    const GREATEST: u32 = 0o777;
    let octal = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| u32::from_str_radix(text, 8).ok())?.filter(|mask| *mask <= GREATEST)
    };
    string(value)
        .and_then(octal)
        .ok_or_else(|| "must be octal digits in quotes, as \"022\", and at most \"777\"".to_owned())
}

/// setpriority(2).
pub(crate) fn nice(value: &Value) -> Result<i32, String> {
    bounded(value, -20, 19)
}

/// proc_pid_oom_score_adj(5).
pub(crate) fn oom_score_adj(value: &Value) -> Result<i32, String> {
    bounded(value, -1000, 1000)
}

fn bounded(value: &Value, least: i32, greatest: i32) -> Result<i32, String> {
    integer(value, least.into(), greatest.into())
        .and_then(|number| i32::try_from(number).ok())
        .ok_or_else(|| format!("must be a whole number from {least} to {greatest}"))
}

/// Capabilities by their names, in the order of their numbers.
pub(crate) fn capabilities(value: &Value) -> Result<Vec<Capability>, String> {
    let names =
        strings(value).map_err(|_| "must be a list of names such as \"NET_BIND_SERVICE\"".to_owned())?;
    let mut capabilities = names.iter().map(|name| capability(name)).collect::<Result<Vec<_>, _>>()?;
    capabilities.sort();
    capabilities.dedup();
    Ok(capabilities)
}

fn capability(name: &str) -> Result<Capability, String> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let number = CAPABILITIES.iter().position(|known| *known == bare);
    number.and_then(|number| u8::try_from(number).ok()).map(Capability).ok_or_else(|| {
        let near = did_you_mean(bare, CAPABILITIES);
        format!("must be capabilities{}", near.unwrap_or_else(|| " (capabilities(7))".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn users_and_groups_have_names_and_ids() {
        assert_eq!(user(&text("www-data")), Ok(User::Name("www-data".to_owned())));
        assert_eq!(group(&text("www-data")), Ok(Group::Name("www-data".to_owned())));
        for value in [text("33"), Value::Integer(33)] {
            assert_eq!(user(&value), Ok(User::Id(33)), "{value}");
            assert_eq!(groups(&value), Ok(vec![Group::Id(33)]), "{value}");
        }
        for value in ["", "a b", "a:b", "/a", "-1", "4294967295", "99999999999999"] {
            assert!(user(&text(value)).is_err() && group(&text(value)).is_err(), "{value}");
        }
        assert!(user(&Value::Integer(-1)).is_err() && user(&Value::Boolean(true)).is_err());
        assert!(groups(&Value::Boolean(true)).is_err());
    }

    #[test]
    fn a_mask_is_octal() {
        assert_eq!(umask(&text("027")), Ok(0o27));
        assert_eq!(umask(&text("0")), Ok(0));
        assert_eq!(umask(&text("0777")), Ok(0o777));
        for value in [text(""), text("028"), text("1000"), text("+22"), text("-1"), Value::Integer(22)] {
            assert!(umask(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn numbers_have_the_bounds_of_the_kernel() {
        assert_eq!(nice(&Value::Integer(-20)), Ok(-20));
        assert!(nice(&Value::Integer(20)).is_err() && nice(&text("5")).is_err());
        assert_eq!(oom_score_adj(&Value::Integer(1000)), Ok(1000));
        assert!(oom_score_adj(&Value::Integer(-1001)).is_err());
    }

    #[test]
    fn capabilities_have_the_numbers_of_the_kernel() {
        for name in ["CAP_NET_BIND_SERVICE", "NET_BIND_SERVICE", "net_bind_service", "cap_net_bind_service"] {
            assert_eq!(capabilities(&text(name)), Ok(vec![Capability(10)]), "{name}");
        }
        let number = |name: &str| CAPABILITIES.iter().position(|known| *known == name);
        assert_eq!(number("CHOWN"), Some(0));
        assert_eq!(number("SYS_ADMIN"), Some(21));
        assert_eq!(number("SYSLOG"), Some(34));
        assert_eq!(number("CHECKPOINT_RESTORE"), Some(40));
        let error = capabilities(&text("NET_BIND_SERVCE")).unwrap_err();
        assert_eq!(error, "must be capabilities; did you mean \"NET_BIND_SERVICE\"?");
        assert!(capabilities(&text("all")).unwrap_err().contains("capabilities(7)"));
    }
}
