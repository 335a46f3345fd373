//! Of the rules in `ready` and `check` one counts: that of the nearest layer.

use std::time::Duration;

use musterd::config::{CheckRule, Kind, Probe, ReadyRule, Service, Sources};

use crate::layers::{config, service, sources, strings};

fn web(sources: &Sources) -> Service {
    service(&config(sources), "web").clone()
}

fn tcp(port: u16) -> ReadyRule {
    ReadyRule::Probe(Probe::Address(format!("tcp://127.0.0.1:{port}")))
}

#[test]
fn a_later_layer_gives_another_rule_and_keeps_the_rest() {
    let first = "[services.web]\nstart = \"a\"\nready = { tcp = 80, timeout = \"7s\" }\ncheck = { exec = \"a\", retries = 9 }";
    let second = "[services.web]\nready.notify = true\ncheck.tcp = 80";
    let mut sources = sources("rule-layers", &[("a.toml", first), ("b.toml", second)]);
    sources.files = vec!["a.toml".into()];
    assert_eq!(web(&sources).ready.rule, tcp(80));
    sources.files.push("b.toml".into());
    let service = web(&sources);
    assert_eq!((service.ready.rule, service.ready.timeout), (ReadyRule::Notify, Duration::from_secs(7)));
    let check = service.check.unwrap();
    assert_eq!(check.rule, CheckRule::Probe(Probe::Address("tcp://127.0.0.1:80".to_owned())));
    assert_eq!(check.retries, 9);
    sources.variables.set = Some("services.web.ready.delay=3s".to_owned());
    assert_eq!(web(&sources).ready.rule, ReadyRule::Delay(Duration::from_secs(3)));
    sources.set = strings(&["services.web.ready.notify=true", "services.web.ready.tcp=81"]);
    assert_eq!(web(&sources).ready.rule, tcp(81));
}

#[test]
fn a_services_rule_replaces_that_of_the_defaults() {
    let text = "[defaults]\nready = { delay = \"1s\", timeout = \"7s\" }\ncheck = { tcp = 1, every = \"7s\" }\n[services.web]\nstart = \"a\"\nready.tcp = 80\ncheck.notify = true\n[services.db]\nstart = \"b\"\ncheck.retries = 5";
    let sources = sources("rule-defaults", &[("default.toml", text)]);
    let service_web = web(&sources);
    assert_eq!((service_web.ready.rule, service_web.ready.timeout), (tcp(80), Duration::from_secs(7)));
    let check = service_web.check.unwrap();
    assert_eq!((check.rule, check.every), (CheckRule::Notify, Duration::from_secs(7)));
    let config = config(&sources);
    let db = service(&config, "db");
    assert_eq!(db.ready.rule, ReadyRule::Delay(Duration::from_secs(1)));
    assert_eq!(db.check.as_ref().unwrap().retries, 5);
}

#[test]
fn settings_in_the_defaults_are_for_those_that_have_a_rule() {
    let text = "[defaults]\ncheck.every = \"7s\"\nready.timeout = \"7s\"\nstart-limit.within = \"7s\"\nmemory-max.for = \"7s\"\ncpu-max.for = \"7s\"\n[services.web]\nstart = \"a\"\n[services.db]\nstart = \"b\"\ncheck.tcp = 1\nstart-limit.starts = 3\nmemory-max = \"1GiB\"\ncpu-max = \"50%\"";
    let sources = sources("rule-settings", &[("default.toml", text)]);
    let service_web = web(&sources);
    assert!(service_web.check.is_none() && service_web.start_limit.is_none());
    assert!(service_web.memory_max.is_none() && service_web.cpu_max.is_none());
    let config = config(&sources);
    let db = service(&config, "db");
    let seven = Duration::from_secs(7);
    assert_eq!(db.check.as_ref().unwrap().every, seven);
    assert_eq!(db.start_limit.unwrap().within, seven);
    assert_eq!((db.memory_max.unwrap().lasting, db.cpu_max.unwrap().lasting), (seven, seven));
}

#[test]
fn a_rule_in_the_defaults_is_not_for_tasks() {
    let text = "[defaults]\nready.delay = \"1s\"\n[services.web]\nstart = \"a\"\nkind = \"task\"";
    let service = web(&sources("rule-task", &[("default.toml", text)]));
    assert_eq!((service.kind, service.ready.rule), (Kind::Task, ReadyRule::Started));
}
