//! When a service is ready, and what waits for that.

use std::time::Duration;

use musterd::{
    config::{Command, Probe, Ready, ReadyRule, Regex, Service},
    protocol::StateName,
    supervisor::{Notification, Probing},
};
use nix::sys::signal::Signal::SIGKILL;

use crate::{
    assert_story,
    images::polite,
    program::{Image, Role},
    services::{after, service},
    sim::{Setup, Sim},
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn ready(rule: ReadyRule) -> Service {
    Service { ready: Ready { rule, timeout: TIMEOUT }, ..service("db", "/srv/db") }
}

fn address(address: &str) -> ReadyRule {
    ReadyRule::Probe(Probe::Address(address.to_owned()))
}

/// `web` comes after `db`.
fn pair(db: Service) -> Sim {
    let mut sim = Sim::start(Setup::new(vec![after(service("web", "/srv/web"), &["db"]), db]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.program("db", polite("/srv/db"));
    sim
}

fn refused() -> Image {
    Image::new("probe").says("connection refused").exits(3, 1)
}

#[test]
fn what_comes_after_waits_until_a_probe_succeeds() {
    let mut sim = pair(ready(address("tcp://127.0.0.1:5432")));
    sim.probe_program("db", Probing::Ready, refused());
    sim.run_seconds(2);
    assert_eq!(sim.status("web").reason, "waits for db");
    let db = sim.status("db");
    assert_eq!(db.state, StateName::Starting);
    assert_eq!(db.reason, "main process 10 is not ready; waits for tcp://127.0.0.1:5432: connection refused");
    sim.probe_program("db", Probing::Ready, Image::new("probe").exits(3, 0));
    sim.run_seconds(5);
    assert_story(&sim, "ready-probe");
    assert_eq!(sim.status("db").state, StateName::Running);
}

#[test]
fn what_is_never_ready_has_failed_to_start() {
    let mut sim = pair(ready(address("tcp://127.0.0.1:5432")));
    sim.probe_program("db", Probing::Ready, refused());
    sim.run_seconds(45);
    let story = sim.transcript();
    assert!(story.contains("start failed: not ready after 20s: connection refused"), "{story}");
    assert_eq!(
        story.matches("sends SIGTERM").count() + story.matches("SIGTERM to pid").count(),
        2,
        "{story}"
    );
    assert_eq!(sim.status("web").state, StateName::Waiting);
    assert!(sim.judge.objections.is_empty(), "{story}");
}

#[test]
fn a_probe_that_hangs_is_killed_with_what_it_started() {
    let mut sim = pair(ready(ReadyRule::Probe(Probe::Exec(Command {
        argv: vec!["/srv/ask".to_owned()],
        environment: Vec::new(),
    }))));
    let child = Image::new("child").role(Role::Probe);
    let stray = Image::new("stray").role(Role::Probe).in_own_session();
    sim.probe_program("db", Probing::Ready, Image::new("/srv/ask").forks(1, child).forks(2, stray));
    sim.run_seconds(6);
    sim.probe_program("db", Probing::Ready, Image::new("/srv/ask").exits(3, 0));
    sim.run_seconds(10);
    assert_eq!(sim.status("db").state, StateName::Running);
    let left: Vec<String> = sim.kernel.processes.values().map(|process| process.image.comm.clone()).collect();
    assert_eq!(left, ["db", "web"], "{}", sim.transcript());
}

#[test]
fn a_line_of_the_output_shows_it() {
    let mut sim = pair(ready(ReadyRule::Log(Regex::parse("ready to accept").unwrap())));
    sim.run_seconds(1);
    assert_eq!(sim.status("web").state, StateName::Waiting);
    sim.line("db");
    sim.run_seconds(1);
    assert_story(&sim, "ready-line");
    let db = sim.main("db").unwrap();
    sim.signal(db, SIGKILL);
    sim.run_seconds(1);
    assert_eq!(
        sim.status("db").state,
        StateName::Starting,
        "a former process' line says nothing of the next"
    );
    sim.line("db");
    assert_eq!(sim.status("db").state, StateName::Running);
}

#[test]
fn what_a_former_process_wrote_last_says_nothing_of_the_next() {
    let mut sim = pair(ready(ReadyRule::Log(Regex::parse("ready to accept").unwrap())));
    sim.run_seconds(1);
    let db = sim.main("db").unwrap();
    sim.unread_line("db");
    sim.signal(db, SIGKILL);
    sim.run_seconds(1);
    assert_ne!(sim.main("db"), Some(db));
    assert_eq!(sim.status("db").state, StateName::Starting, "{}", sim.transcript());
    sim.line("db");
    assert_eq!(sim.status("db").state, StateName::Running, "the line is awaited anew");
}

#[test]
fn a_service_says_that_it_is_ready_and_more() {
    let mut sim = pair(ready(ReadyRule::Notify));
    sim.run_seconds(1);
    let db = sim.main("db").unwrap();
    sim.notify("db", db, Notification::Status("recovering 3 of 7".to_owned()));
    assert_eq!(
        sim.status("db").reason,
        format!("main process {db} is not ready; waits for READY=1; says: recovering 3 of 7")
    );
    sim.notify("db", db, Notification::Ready);
    assert_eq!(sim.status("db").state, StateName::Running);
    sim.run_seconds(1);
    sim.notify("db", db, Notification::Reloading);
    assert!(sim.status("db").reason.ends_with("; says: reloading"));
    sim.notify("db", db, Notification::Ready);
    assert!(!sim.status("db").reason.contains("says"));
    assert_story(&sim, "ready-notify");
}

#[test]
fn a_service_announces_its_main_process() {
    let mut sim = pair(ready(ReadyRule::Notify));
    sim.program("db", polite("/srv/db").forks(100, polite("/srv/real-db")).forks(100, polite("/srv/other")));
    let stranger = sim.by_hand(Image::new("bash").role(Role::Stranger), None);
    sim.run_seconds(1);
    let db = sim.main("db").unwrap();
    sim.notify("db", db, Notification::MainPid(stranger.pid));
    assert_eq!(sim.main("db"), Some(db), "a stranger is not the service");
    let real = sim.kernel.processes.values().find(|process| process.image.comm == "real-db").unwrap().id.pid;
    sim.notify("db", db, Notification::MainPid(real));
    sim.notify("db", db, Notification::Ready);
    assert_eq!(sim.main("db"), Some(real));
    assert_eq!(sim.status("db").reason, format!("announced by pid {db}"));
}

#[test]
fn what_is_ready_stays_so_with_the_next_main_process() {
    let mut sim = pair(ready(address("tcp://127.0.0.1:5432")));
    sim.program("db", polite("/srv/db").forks(100, polite("/srv/real-db")));
    sim.probe_program("db", Probing::Ready, Image::new("probe").exits(3, 0));
    sim.run_seconds(1);
    assert_eq!(sim.status("db").state, StateName::Running);
    sim.probe_program("db", Probing::Ready, refused());
    let db = sim.main("db").unwrap();
    let real = sim.kernel.processes.values().find(|process| process.image.comm == "real-db").unwrap().id.pid;
    sim.notify("db", db, Notification::MainPid(real));
    sim.run_seconds(1);
    assert_eq!(sim.main("db"), Some(real));
    assert_eq!(sim.status("db").state, StateName::Running);
    assert_eq!(sim.unknown_ways().count(), 0);
}

#[test]
fn a_delay_passes_before_it_is_ready() {
    let mut sim = pair(ready(ReadyRule::Delay(Duration::from_secs(3))));
    sim.run_for(Duration::from_millis(2_999));
    assert_eq!(sim.status("db").state, StateName::Starting);
    sim.run_for(Duration::from_millis(2));
    assert_eq!(sim.status("db").state, StateName::Running);
    assert_eq!(sim.status("web").state, StateName::Running);
}

#[test]
fn what_outside_must_answer_is_waited_for() {
    let mut web = service("web", "/srv/web");
    web.after_addresses = vec!["tcp://db:5432".to_owned(), "http://api/".to_owned()];
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.probe_program("web", Probing::Address(0), refused());
    sim.run_seconds(3);
    assert_eq!(sim.status("web").reason, "waits for tcp://db:5432: connection refused");
    sim.probe_program("web", Probing::Address(0), Image::new("probe").exits(3, 0));
    sim.run_seconds(5);
    assert_eq!(sim.status("web").state, StateName::Running);
    sim.stop("web");
    sim.probe_program("web", Probing::Address(1), refused());
    sim.start_again("web");
    sim.run_seconds(1);
    assert_eq!(sim.status("web").reason, "waits for http://api/: connection refused");
    sim.stop("web");
    sim.run_seconds(10);
    assert_eq!(sim.status("web").state, StateName::Stopped);
    assert!(sim.judge.objections.is_empty(), "{}", sim.transcript());
}

#[test]
fn a_process_that_is_ready_by_its_rule_is_established() {
    let mut sim = pair(ready(ReadyRule::Notify));
    let daemon = polite("/srv/db").in_own_session().role(Role::Apart);
    sim.program("db", polite("/srv/db").forks(1_000, daemon).exits(3_000, 0));
    sim.run_seconds(2);
    let db = sim.main("db").unwrap();
    sim.notify("db", db, Notification::Ready);
    sim.run_seconds(2);
    assert_ne!(sim.main("db"), Some(db));
    let story = sim.transcript();
    assert!(
        story.contains("started: main process 10 exited 0"),
        "what took its own session is on its own: {story}"
    );
}
