//! Services for scenarios, with the defaults that the configuration has.

use std::{collections::BTreeMap, time::Duration};

use musterd::config::{Backoff, Command, Match, Service, ServiceName};
use nix::sys::signal::Signal;

/// A service with the defaults of the configuration.
pub(crate) fn service(name: &str, start: &str) -> Service {
    let interval = Duration::from_secs(60);
    let argv = command(start);
    let base = argv.argv[0].rsplit('/').next().unwrap().to_owned();
    Service {
        name: ServiceName::parse(name).unwrap(),
        start: argv,
        stop: None,
        matching: Match::by_default(base),
        interval,
        after: Vec::new(),
        autostart: true,
        backoff: Backoff { initial: Duration::from_millis(250), factor: 2.0, max: interval },
        stable_after: Duration::from_secs(10),
        start_timeout: Duration::from_secs(90),
        stop_signal: Signal::SIGTERM,
        stop_timeout: Duration::from_secs(5),
        directory: None,
        environment: BTreeMap::new(),
    }
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
