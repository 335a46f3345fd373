//! What is told of one service in full: how it is configured, as far as that matters for how it fares, and what follows
//! from it. Changes nothing.

use humantime::format_duration;

use super::{ServiceId, Supervisor, service::Service, status::Depth};
use crate::{
    config::{
        Check, CheckRule, Command, Destination, Group, Guard, Kind, Limit, MASK, Probe, ReadyRule, Remedy,
        Restart, Service as ServiceConfig, User, quote, resource_name,
    },
    protocol::Fact,
    text::size,
};

/// Facts in the order in which they are shown.
#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(Fact { name: name.to_owned(), value: value.into() });
    }

    fn add_some(&mut self, name: &str, value: Option<impl Into<String>>) {
        value.into_iter().for_each(|value| self.add(name, value));
    }

    fn add_list(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        self.add_some(name, Some(values.join(", ")).filter(|text| !text.is_empty()));
    }
}

impl Supervisor {
    pub(super) fn detail(&self, id: ServiceId, depth: Depth) -> Vec<Fact> {
        let service = &self.services[id];
        let config = &service.config;
        let mut facts = Facts::default();
        facts.add_some("found", service.main().map(|main| main.found.to_string()));
        facts.add("start", line(&config.start, depth));
        facts.add("match", config.matching.to_string());
        facts.add_some("directory", config.directory.as_ref().map(|path| path.display().to_string()));
        facts.add_some("user", config.identity.user.as_ref().map(user));
        facts.add_some("group", config.identity.group.as_ref().map(group));
        facts.add_list("env-file", config.environment.files.iter().map(|path| path.display().to_string()));
        facts.add_list("limits", config.limits.iter().map(limit));
        facts.add_some("memory-max", config.memory_max.map(|guard| watched(guard, size(guard.max))));
        facts.add_some("cpu-max", config.cpu_max.map(|guard| watched(guard, format!("{}%", guard.max))));
        facts.add("log", log(config));
        let named = service.after.iter().map(|&id| self.services[id].with_state());
        facts.add_list("after", named.chain(config.after_addresses.iter().cloned()));
        facts.add_list("needed by", service.dependents.iter().map(|&id| self.services[id].with_state()));
        facts.add_some("ready", ready(config, depth));
        facts.add_some("check", config.check.as_ref().map(|rule| check(rule, depth)));
        facts.add("restart", restart(config));
        facts.add("stop", stop(config, depth));
        facts.add("interval", format_duration(config.interval).to_string());
        facts.0
    }
}

impl Service {
    fn with_state(&self) -> String {
        format!("{} ({})", self.config.name, self.state.name())
    }
}

/// The command as somebody would type it.
fn line(command: &Command, depth: Depth) -> String {
    let masked = (depth == Depth::Masked).then(|| command.masked());
    let Command { argv, environment } = masked.as_ref().unwrap_or(command);
    let variables = environment.iter().map(|(name, value)| match value.as_str() {
        MASK => format!("{name}={MASK}"),
        value => format!("{name}={}", quote(value)),
    });
    variables.chain(argv.iter().map(|word| quote(word))).collect::<Vec<_>>().join(" ")
}

fn user(user: &User) -> String {
    match user {
        User::Name(name) => name.clone(),
        User::Id(id) => id.to_string(),
    }
}

fn group(group: &Group) -> String {
    match group {
        Group::Name(name) => name.clone(),
        Group::Id(id) => id.to_string(),
    }
}

fn limit(limit: &Limit) -> String {
    let one = |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
    let name = resource_name(limit.resource);
    if limit.soft == limit.hard {
        format!("{name} {}", one(limit.soft))
    } else {
        format!("{name} {}:{}", one(limit.soft), one(limit.hard))
    }
}

fn watched<T>(guard: Guard<T>, max: String) -> String {
    let lasting = if guard.lasting.is_zero() {
        String::new()
    } else {
        format!(" for {}", format_duration(guard.lasting))
    };
    format!("{max}{lasting}, then {}", remedy(guard.on_excess))
}

fn remedy(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Restart => "restart",
        Remedy::Report => "report",
    }
}

fn log(config: &ServiceConfig) -> String {
    let of = |destination: &Destination| match destination {
        Destination::Prefix => "prefix".to_owned(),
        Destination::Raw => "raw".to_owned(),
        Destination::File(file) => file.path.display().to_string(),
        Destination::None => "none".to_owned(),
    };
    let (stdout, stderr) = (of(&config.log.stdout), of(&config.log.stderr));
    if stdout == stderr { stdout } else { format!("{stdout}, stderr {stderr}") }
}

fn ready(config: &ServiceConfig, depth: Depth) -> Option<String> {
    let rule = match &config.ready.rule {
        ReadyRule::Started => return None,
        ReadyRule::Probe(rule) => probe(rule, depth),
        ReadyRule::Log(regex) => format!("a line of its output with {:?}", regex.as_str()),
        ReadyRule::Notify => "READY=1".to_owned(),
        ReadyRule::Delay(delay) => return Some(format!("{} after its start", format_duration(*delay))),
    };
    Some(format!("{rule}, within {}", format_duration(config.ready.timeout)))
}

fn check(check: &Check, depth: Depth) -> String {
    let rule = match &check.rule {
        CheckRule::Probe(rule) => format!("{} every {}", probe(rule, depth), format_duration(check.every)),
        CheckRule::Notify => format!("WATCHDOG=1 every {}", format_duration(check.every)),
    };
    let times = if check.retries == 1 { "once".to_owned() } else { format!("{} times", check.retries) };
    format!("{rule}; failed {times}: {}", remedy(check.on_failure))
}

fn probe(probe: &Probe, depth: Depth) -> String {
    match probe {
        Probe::Exec(command) => line(command, depth),
        Probe::Address(address) => address.clone(),
    }
}

fn restart(config: &ServiceConfig) -> String {
    let policy = match (config.kind, config.restart) {
        (Kind::Service, Restart::Always) => "always",
        (Kind::Task, Restart::Always) => "until it succeeds",
        (Kind::Service | Kind::Task, Restart::OnFailure) => "on-failure",
        (Kind::Service | Kind::Task, Restart::Never) => "never",
    };
    let limit = config.start_limit.map(|limit| {
        format!("; given up after {} starts within {}", limit.starts, format_duration(limit.within))
    });
    let essential = if config.essential { "; essential" } else { "" };
    format!("{policy}{}{essential}", limit.unwrap_or_default())
}

fn stop(config: &ServiceConfig, depth: Depth) -> String {
    let how =
        config.stop.as_ref().map_or_else(|| config.stop_signal.to_string(), |command| line(command, depth));
    format!("{how}, killed after {}", format_duration(config.stop_timeout))
}
