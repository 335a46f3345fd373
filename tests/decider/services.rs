//! Services for scenarios, with the defaults that the configuration has.

use std::time::Duration;

use musterd::config::{Command, Match, Service, ServiceName};

/// A service with the defaults of the configuration.
pub(crate) fn service(name: &str, start: &str) -> Service {
    Service::new(ServiceName::parse(name).unwrap(), command(start))
}

pub(crate) fn command(text: &str) -> Command {
    Command { argv: text.split(' ').map(str::to_owned).collect(), environment: Vec::new() }
}

/// The same service, which answers to this name.
pub(crate) fn matching(mut service: Service, name: &str) -> Service {
    service.matching = Match::named(name);
    service
}

pub(crate) fn after(mut service: Service, others: &[&str]) -> Service {
    service.after = others.iter().map(|name| ServiceName::parse(name).unwrap()).collect();
    service
}

pub(crate) fn interval(mut service: Service, interval: Duration) -> Service {
    service.interval = interval;
    service
}
