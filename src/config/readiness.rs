//! Builds when a service is ready and how its health is checked. That there is one rule each was checked before.

use super::{Check, CheckRule, Probe, Ready, ReadyRule, keys, schema, tree::Entry, view::View};

/// When the service is ready; `None` where a value is wrong.
pub(crate) fn ready(view: &View<'_>) -> Option<Ready> {
    let rule = if let Some(command) = view.get(&keys::READY_EXEC) {
        ReadyRule::Probe(Probe::Exec(command))
    } else if let Some(address) = view.get(&keys::READY_TCP).or_else(|| view.get(&keys::READY_HTTP)) {
        ReadyRule::Probe(Probe::Address(address))
    } else if let Some(line) = view.get(&keys::READY_LOG) {
        ReadyRule::Log(line)
    } else if view.get(&keys::READY_NOTIFY).is_some() {
        ReadyRule::Notify
    } else if let Some(delay) = view.get(&keys::READY_DELAY) {
        ReadyRule::Delay(delay)
    } else {
        return Some(Ready::default());
    };
    Some(Ready { rule, timeout: view.get(&keys::READY_TIMEOUT)? })
}

/// The rule of `ready` that the service gives itself.
pub(crate) fn rule<'a>(view: &View<'a>) -> Option<&'a Entry> {
    schema::rules("ready").iter().find_map(|rule| view.own_entry(Some("ready"), rule))
}

/// How the health is checked; `None` where it is not, or a value is wrong.
pub(crate) fn check(view: &View<'_>) -> Option<Check> {
    let rule = if let Some(command) = view.get(&keys::CHECK_EXEC) {
        CheckRule::Probe(Probe::Exec(command))
    } else if let Some(address) = view.get(&keys::CHECK_TCP).or_else(|| view.get(&keys::CHECK_HTTP)) {
        CheckRule::Probe(Probe::Address(address))
    } else {
        view.get(&keys::CHECK_NOTIFY).map(|_| CheckRule::Notify)?
    };
    Some(Check {
        rule,
        every: view.get(&keys::CHECK_EVERY)?,
        timeout: view.get(&keys::CHECK_TIMEOUT)?,
        retries: view.get(&keys::CHECK_RETRIES)?,
        on_failure: view.get(&keys::CHECK_ON_FAILURE)?,
    })
}
