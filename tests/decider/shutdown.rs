//! The end of everything: in order, and in time.

use std::time::Duration;

use musterd::config::{Kind, Service};
use nix::sys::signal::Signal::SIGKILL;

use crate::{
    assert_story,
    images::{apache2_script, polite, stubborn},
    program::{Image, Role},
    services::{after, service},
    sim::{Setup, Sim},
};

fn chain() -> Sim {
    let services = vec![
        service("db", "/srv/db"),
        after(service("app", "/srv/app"), &["db"]),
        after(service("web", "/srv/web"), &["app"]),
        service("log", "/srv/log"),
    ];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    for name in ["db", "app", "web", "log"] {
        sim.program(name, polite(&format!("/srv/{name}")));
    }
    sim
}

#[test]
fn services_stop_in_reverse_order_and_then_the_rest() {
    let mut sim = chain();
    sim.run_seconds(1);
    sim.by_hand(Image::new("bash").role(Role::Stranger), None);
    sim.run_seconds(1);
    sim.terminate("SIGTERM");
    sim.run_seconds(9);
    assert_story(&sim, "shutdown-in-order");
    assert_eq!(sim.exited, Some(0));
}

#[test]
fn stubborn_services_are_killed_inside_shutdown_timeout() {
    let mut sim = chain();
    sim.program("app", stubborn("/srv/app"));
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    sim.terminate("SIGTERM");
    sim.run_seconds(9);
    assert_story(&sim, "shutdown-stubborn");
    assert_eq!(sim.exited, Some(0));
}

#[test]
fn a_second_signal_hastens() {
    let mut sim = chain();
    sim.program("app", stubborn("/srv/app"));
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    sim.terminate("SIGTERM");
    sim.run_seconds(1);
    sim.terminate("SIGINT");
    sim.run_seconds(1);
    assert_story(&sim, "shutdown-hastened");
    assert_eq!(sim.exited, Some(0));
}

#[test]
fn what_cannot_be_killed_does_not_hold_up_the_end() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", Image::new("/srv/web").unkillable());
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(1);
    sim.terminate("SIGTERM");
    sim.run_seconds(9);
    assert_story(&sim, "shutdown-unkillable");
    assert_eq!(sim.exited, Some(0));
}

#[test]
fn nothing_is_started_while_the_shutdown_waits_for_others() {
    let mut sim = chain();
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    let db = sim.main("db").unwrap();
    sim.signal(db, SIGKILL);
    sim.run_for(Duration::from_millis(1));
    let db = sim.main("db").unwrap();
    sim.signal(db, SIGKILL);
    sim.run_for(Duration::from_millis(1));
    sim.terminate("SIGTERM");
    sim.run_for(Duration::from_millis(100));
    let app = sim.main("app").unwrap();
    sim.signal(app, SIGKILL);
    sim.start_again("app");
    sim.run_seconds(9);
    assert_story(&sim, "shutdown-starts-nothing");
}

#[test]
fn who_stops_what_is_done_is_answered_during_the_shutdown() {
    let task = Service { kind: Kind::Task, ..service("task", "/srv/task") };
    let mut sim = Sim::start(Setup::new(vec![task, service("web", "/srv/web")]), |_| {});
    sim.program("task", Image::new("/srv/task").exits(10, 0));
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    sim.terminate("SIGTERM");
    sim.stop("task");
    assert!(sim.transcript().contains("client 1 hears: "), "{}", sim.transcript());
    assert_eq!(sim.exited, None);
}

#[test]
fn a_start_command_at_work_is_ended_with_its_daemon() {
    let mut sim = Sim::start(Setup::new(vec![service("apache2", "/etc/init.d/apache2 start")]), |_| {});
    sim.program("apache2", apache2_script());
    sim.run_for(Duration::from_millis(70));
    sim.terminate("SIGTERM");
    sim.run_seconds(9);
    assert_story(&sim, "shutdown-while-starting");
}
