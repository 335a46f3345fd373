//! How soon what ended is started again.

use std::time::Duration;

use musterd::supervisor::ServiceId;
use nix::sys::signal::Signal::SIGKILL;

use crate::{
    assert_story,
    images::polite,
    program::{Image, Op},
    services::{after, interval, service},
    sim::{Setup, Sim},
};

fn crashing(milliseconds: u64) -> Image {
    Image::new("/srv/web").at(milliseconds, Op::Crash(SIGKILL))
}

#[test]
fn the_first_restart_is_immediate_then_back_off_doubles_up_to_the_interval() {
    let web = interval(service("web", "/srv/web"), Duration::from_secs(3));
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", crashing(1));
    sim.run_seconds(12);
    assert_story(&sim, "back-off");
}

#[test]
fn a_run_of_stable_after_makes_the_next_restart_immediate() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", crashing(100));
    sim.run_seconds(1);
    sim.program("web", crashing(10_000));
    sim.run_seconds(25);
    assert_story(&sim, "stable-after");
}

#[test]
fn with_stable_after_zero_every_restart_is_immediate() {
    let mut web = service("web", "/srv/web");
    web.stable_after = Duration::ZERO;
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", crashing(1_000));
    sim.run_seconds(4);
    assert_story(&sim, "stable-after-zero");
    assert_eq!(sim.tables, 1, "the first start needs the table, a restart doesn't");
}

#[test]
fn a_spawn_that_fails_is_told_once_and_tried_again() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", polite("/srv/web"));
    for _ in 0..4 {
        sim.fail_next_spawn("cannot execute /srv/web: no such file");
    }
    sim.run_seconds(5);
    sim.fail_next_spawn("cannot fork: resource temporarily unavailable");
    let main = sim.main("web").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(30);
    sim.fail_next_spawn("cannot fork: resource temporarily unavailable");
    let main = sim.main("web").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(5);
    assert_story(&sim, "spawn-failure");
}

#[test]
fn crashes_at_one_instant_share_one_look_and_need_no_table() {
    let names = ["a", "b", "c"];
    let services = names.map(|name| service(name, &format!("/srv/{name}"))).to_vec();
    let mut sim = Sim::start(Setup::new(services), |_| {});
    for name in names {
        sim.program(name, polite(&format!("/srv/{name}")));
    }
    sim.run_seconds(20);
    assert_eq!(sim.tables, 1, "all of them are started after one look at the table");
    let mains = names.map(|name| sim.main(name).unwrap());
    for main in mains {
        sim.signal(main, SIGKILL);
    }
    sim.run_seconds(1);
    assert_story(&sim, "crashes-at-once");
    assert_eq!(sim.tables, 1, "who died alone is started without a look at the table");
}

/// Even where the kernel does not list children: the table is read once it has been started again.
#[test]
fn who_leaves_nobody_in_its_session_is_started_before_any_look() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |kernel| {
        kernel.hides_children = true;
    });
    sim.program("web", polite("/srv/web"));
    sim.run_seconds(20);
    let main = sim.main("web").unwrap();
    let id = sim.kernel.processes[&main].id;
    sim.kernel.signal(id, SIGKILL);
    let tables = sim.tables;
    for event in sim.kernel.ends(true) {
        sim.step(event);
    }
    assert!(sim.main("web").is_some_and(|main| main != id.pid), "it has been started");
    assert_eq!(sim.tables, tables, "and nothing has been looked at");
    sim.run_seconds(1);
    assert_eq!(sim.tables, tables + 1, "but then it is");
}

#[test]
fn a_service_waits_for_what_it_comes_after() {
    let web = after(service("web", "/srv/web"), &["db"]);
    let mut db = service("db", "/etc/init.d/db start");
    db.matching.name = Some("db".to_owned());
    let mut sim = Sim::start(Setup::new(vec![web, db]), |_| {});
    sim.program("web", polite("/srv/web"));
    let daemon = Image::new("/srv/db").in_own_session();
    let script = Image::new("/bin/sh /etc/init.d/db start").role(crate::program::Role::Helper);
    sim.program("db", script.forks(500, daemon).exits(3_000, 0));
    sim.run_seconds(1);
    assert_eq!(sim.status("web").reason, "waits for db");
    sim.run_seconds(5);
    assert_story(&sim, "after");
}

#[test]
fn an_idle_hour_costs_one_look_an_interval() {
    let names: Vec<String> = (0..100).map(|at| format!("s{at}")).collect();
    let services = names.iter().map(|name| service(name, &format!("/srv/{name}"))).collect();
    let mut sim = Sim::start(Setup::new(services), |_| {});
    for name in &names {
        sim.program(name, polite(&format!("/srv/{name}")));
    }
    sim.run_seconds(3_600);
    assert_eq!(sim.tables, 1 + 60);
    assert!(sim.judge.objections.is_empty(), "{:#?}", sim.judge.objections);
}

#[test]
fn an_end_that_no_event_tells_is_found_at_the_interval() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |kernel| {
        kernel.spawn(0, polite("/srv/web"), Some(ServiceId(0)), None);
    });
    sim.program("web", polite("/srv/web"));
    sim.run_seconds(30);
    sim.kernel.loses_ends = true;
    let main = sim.main("web").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(40);
    assert_story(&sim, "lost-event");
}
