//! The keys of a service's life are read: policy, order, readiness, health, guards.

use std::time::Duration;

use musterd::config::{
    Check, CheckRule, Command, Guard, Kind, Probe, Ready, ReadyRule, Regex, Remedy, Restart, StartLimit,
};

use crate::keys::web;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn exec(argv: &[&str]) -> Probe {
    let argv = argv.iter().map(|&word| word.to_owned()).collect();
    Probe::Exec(Command { argv, environment: Vec::new() })
}

fn address(text: &str) -> Probe {
    Probe::Address(text.to_owned())
}

#[test]
fn the_kind_and_policy_of_a_service() {
    let service = web("");
    assert_eq!((service.kind, service.restart), (Kind::Service, Restart::Always));
    assert_eq!(service.success_codes, [0]);
    assert!(!service.essential && !service.terminal);
    assert_eq!(web("kind = \"task\"").kind, Kind::Task);
    assert_eq!(web("restart = \"on-failure\"").restart, Restart::OnFailure);
    assert_eq!(web("restart = \"never\"").restart, Restart::Never);
    assert_eq!(web("success-exit-codes = [0, 3]").success_codes, [0, 3]);
    assert_eq!(web("success-exit-codes = 7").success_codes, [7]);
    assert!(web("essential = true").essential);
}

#[test]
fn the_start_limit_of_a_service() {
    assert_eq!(web("").start_limit, None);
    let limit = |line: &str| web(line).start_limit.unwrap();
    assert_eq!(
        limit("start-limit = { starts = 5, within = \"30s\" }"),
        StartLimit { starts: 5, within: seconds(30) }
    );
    assert_eq!(limit("start-limit.starts = 3"), StartLimit { starts: 3, within: seconds(60) });
}

#[test]
fn what_a_service_comes_after() {
    let service = web("after = [\"tcp://db:5432\", \"db\", \"http://api\", \"tcp://db:5432\"]");
    assert_eq!(service.after_addresses, ["tcp://db:5432", "http://api/"]);
    assert_eq!(service.after.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["db"]);
    assert!(web("").after_addresses.is_empty());
    assert_eq!(web("after = \"tcp://5432\"").after_addresses, ["tcp://127.0.0.1:5432"]);
}

#[test]
fn when_a_service_is_ready() {
    assert_eq!(web("").ready, Ready { rule: ReadyRule::Started, timeout: seconds(90) });
    let rule = |line: &str| web(line).ready.rule;
    assert_eq!(rule("ready.exec = \"pg_isready -q\""), ReadyRule::Probe(exec(&["pg_isready", "-q"])));
    assert_eq!(rule("ready.exec = \"a $X\""), ReadyRule::Probe(exec(&["/bin/sh", "-c", "exec a $X"])));
    assert_eq!(rule("ready.exec = [\"a b\", \"$X\"]"), ReadyRule::Probe(exec(&["a b", "$X"])));
    assert_eq!(rule("ready.tcp = 80"), ReadyRule::Probe(address("tcp://127.0.0.1:80")));
    assert_eq!(rule("ready = { tcp = \"db:80\" }"), ReadyRule::Probe(address("tcp://db:80")));
    assert_eq!(rule("ready.http = \"http://db:80\""), ReadyRule::Probe(address("http://db:80/")));
    assert_eq!(rule("ready.log = \"up|ready\""), ReadyRule::Log(Regex::parse("up|ready").unwrap()));
    assert_eq!(rule("ready.notify = true"), ReadyRule::Notify);
    assert_eq!(rule("ready.delay = \"2s\""), ReadyRule::Delay(seconds(2)));
    assert_eq!(web("ready = { notify = true, timeout = \"5s\" }").ready.timeout, seconds(5));
}

#[test]
fn how_the_health_of_a_service_is_checked() {
    assert_eq!(web("").check, None);
    let check = |line: &str| web(line).check.unwrap();
    let by_default = Check {
        rule: CheckRule::Notify,
        every: seconds(30),
        timeout: seconds(5),
        retries: 3,
        on_failure: Remedy::Restart,
    };
    assert_eq!(check("check.notify = true"), by_default);
    let rule = |line: &str| check(line).rule;
    assert_eq!(rule("check.exec = \"redis-cli ping\""), CheckRule::Probe(exec(&["redis-cli", "ping"])));
    assert_eq!(rule("check.tcp = \"[::1]:80\""), CheckRule::Probe(address("tcp://[::1]:80")));
    assert_eq!(rule("check.http = \"http://a/b\""), CheckRule::Probe(address("http://a/b")));
    assert_eq!(
        check("check = { tcp = 80, every = \"1s\", timeout = \"2s\", retries = 1, on-failure = \"report\" }"),
        Check {
            rule: CheckRule::Probe(address("tcp://127.0.0.1:80")),
            every: seconds(1),
            timeout: seconds(2),
            retries: 1,
            on_failure: Remedy::Report,
        }
    );
}

#[test]
fn the_guards_of_a_service() {
    const MIB: u64 = 1 << 20;
    let service = web("");
    assert_eq!((service.memory_max, service.cpu_max), (None, None));
    let memory = Guard { max: 512 * MIB, lasting: Duration::ZERO, on_excess: Remedy::Restart };
    assert_eq!(web("memory-max = \"512MiB\"").memory_max, Some(memory));
    assert_eq!(web("memory-max = 536870912").memory_max, Some(memory));
    assert_eq!(
        web("memory-max = { size = \"512MiB\", for = \"3s\", on-excess = \"report\" }").memory_max,
        Some(Guard { lasting: seconds(3), on_excess: Remedy::Report, ..memory })
    );
    let cpu = Guard { max: 80.0, lasting: seconds(30), on_excess: Remedy::Restart };
    assert_eq!(web("cpu-max = \"80%\"").cpu_max, Some(cpu));
    assert_eq!(
        web("cpu-max = { percent = \"250%\", for = \"1m\", on-excess = \"report\" }").cpu_max,
        Some(Guard { max: 250.0, lasting: seconds(60), on_excess: Remedy::Report })
    );
}
