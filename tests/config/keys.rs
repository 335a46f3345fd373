//! Every key is read: from the file to the type that the supervisor gets.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use musterd::config::{Config, LogFormat, LogLevel, Match, Regex, Service, Template, User, Variable};
use nix::sys::signal::Signal;

use crate::layers::{config, service, sources};

/// Tests run at the same time: each reading has a directory of its own.
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn read(key: &str) -> Config {
    let (section, line) = key.split_once(": ").unwrap();
    let header = if section == "manager" { "[manager]\n" } else { "" };
    let rest = if section == "web" { line } else { "" };
    let manager = if section == "manager" { line } else { "" };
    let text = format!(
        "{header}{manager}\n[services.db]\nstart = \"db\"\n[services.web]\nstart = \"nginx -g $X\"\n{rest}\n"
    );
    let directory = format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    config(&sources(&directory, &[("default.toml", &text)]))
}

pub(crate) fn web(line: &str) -> Service {
    service(&read(&format!("web: {line}")), "web").clone()
}

fn manager(line: &str) -> musterd::config::Manager {
    read(&format!("manager: {line}")).manager
}

#[test]
fn keys_of_the_manager() {
    assert_eq!(manager("").shutdown_timeout, Duration::from_secs(8));
    assert_eq!(manager("shutdown-timeout = \"3s\"").shutdown_timeout, Duration::from_secs(3));
    assert_eq!(manager("").socket, None);
    assert_eq!(manager("socket = \"/run/a.sock\"").socket.as_deref(), Some(Path::new("/run/a.sock")));
    assert_eq!((manager("").allow_users, manager("").observers), (vec![], vec![]));
    let users = vec![User::Name("deploy".to_owned()), User::Id(1000)];
    assert_eq!(manager("allow-users = [\"deploy\", 1000]").allow_users, users);
    assert_eq!(manager("observers = \"monitor\"").observers, [User::Name("monitor".to_owned())]);
    assert_eq!(manager("log-format = \"json\"").log_format, LogFormat::Json);
    assert_eq!(manager("log-level = \"trace\"").log_level, LogLevel::Trace);
}

#[test]
fn commands_of_a_service() {
    assert_eq!(web("").start.argv, ["/bin/sh", "-c", "exec nginx -g $X"]);
    assert_eq!(web("shell = false").start.argv, ["nginx", "-g", "$X"]);
    assert_eq!(web("shell = true").start.argv, ["/bin/sh", "-c", "nginx -g $X"]);
    assert_eq!(web("stop = \"nginx -s quit\"").stop.unwrap().argv, ["nginx", "-s", "quit"]);
    assert_eq!(web("stop = [\"a b\", \"$c\"]").stop.unwrap().argv, ["a b", "$c"]);
    assert_eq!(web("").stop, None);
}

#[test]
fn the_match_of_a_service() {
    assert_eq!(web("").matching, Match::by_default("nginx"));
    assert_eq!(web("match = {}").matching, Match::by_default("nginx"));
    assert_eq!(web("match = \"httpd\"").matching, Match::named("httpd"));
    assert_eq!(web("match.name = \"httpd\"").matching, Match::named("httpd"));
    // What is not given is not demanded, not even the name.
    let nothing = Match::default;
    let cmdline = Regex::parse("^java .*-jar").ok();
    assert_eq!(web("match = { cmdline = \"^java .*-jar\" }").matching, Match { cmdline, ..nothing() });
    let exe = Some("/usr/bin/java".into());
    assert_eq!(web("match = { exe = \"/usr/bin/java\" }").matching, Match { exe, ..nothing() });
    let user = Some(User::Name("app".to_owned()));
    assert_eq!(web("match = { user = \"app\" }").matching, Match { user, ..nothing() });
    let user = Some(User::Id(1000));
    assert_eq!(web("match = { user = 1000 }").matching, Match { user, ..nothing() });
    let pidfile = Some("/run/app.pid".into());
    let both = Match { pidfile, ..Match::named("java") };
    assert_eq!(web("match = { name = \"java\", pidfile = \"/run/app.pid\" }").matching, both);
}

#[test]
fn times_of_a_service() {
    let service = web("");
    assert_eq!(service.interval, Duration::from_secs(60));
    assert_eq!(service.stable_after, Duration::from_secs(10));
    assert_eq!(service.start_timeout, Duration::from_secs(90));
    assert_eq!(service.stop_timeout, Duration::from_secs(5));
    assert_eq!(web("interval = \"100ms\"").interval, Duration::from_millis(100));
    assert_eq!(web("stable-after = \"0s\"").stable_after, Duration::ZERO);
    assert_eq!(web("start-timeout = \"1m\"").start_timeout, Duration::from_secs(60));
    assert_eq!(web("stop-timeout = \"1m 30s\"").stop_timeout, Duration::from_secs(90));
}

#[test]
fn the_backoff_of_a_service() {
    let backoff = web("").backoff;
    assert_eq!(
        (backoff.initial, backoff.factor, backoff.max),
        (Duration::from_millis(250), 2.0, Duration::from_secs(60))
    );
    let backoff = web("backoff = { initial = \"1s\", factor = 1.5, max = \"10s\" }").backoff;
    assert_eq!(
        (backoff.initial, backoff.factor, backoff.max),
        (Duration::from_secs(1), 1.5, Duration::from_secs(10))
    );
    let backoff = web("interval = \"100ms\"").backoff;
    assert_eq!((backoff.initial, backoff.max), (Duration::from_millis(100), Duration::from_millis(100)));
}

#[test]
fn the_rest_of_a_service() {
    let names =
        |service: Service| service.after.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(web("after = \"db\"")), ["db"]);
    assert_eq!(names(web("after = [\"db\", \"db\"]")), ["db"]);
    assert!(web("").autostart);
    assert!(!web("autostart = false").autostart);
    assert_eq!(web("").stop_signal, Signal::SIGTERM);
    assert_eq!(web("stop-signal = \"SIGQUIT\"").stop_signal, Signal::SIGQUIT);
    assert_eq!(web("directory = \"/srv\"").directory.as_deref(), Some(Path::new("/srv")));
    let environment = web("environment = { PORT = 80, DEBUG = true, A = \"b\" }").environment;
    let text = |text: &str| Variable::Text(Template::plain(text));
    let pairs: Vec<_> = environment.set.into_iter().collect();
    let expected = [("A", "b"), ("DEBUG", "true"), ("PORT", "80")];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), text(value))));
}
