//! What clients ask for, in every state.

use std::time::Duration;

use musterd::protocol::StateName;
use nix::sys::signal::Signal::SIGTERM;

use crate::{
    assert_story,
    images::{apache2_script, polite, stubborn},
    program::{Image, Op, Role},
    services::{after, command, service},
    sim::{Setup, Sim},
};

fn web() -> Sim {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.run_seconds(1);
    sim
}

#[test]
fn stop_start_and_restart_of_what_runs() {
    let mut sim = web();
    sim.restart("web");
    sim.run_seconds(1);
    sim.start_again("web");
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(100);
    sim.stop("web");
    sim.start_again("web");
    sim.run_seconds(1);
    assert_story(&sim, "control-running");
}

#[test]
fn who_hung_up_is_answered_nothing() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.run_seconds(1);
    sim.stop("web");
    sim.hang_up();
    sim.run_seconds(5);
    assert_story(&sim, "control-hung-up");
    assert_eq!(sim.status("web").state, StateName::Stopped);
}

#[test]
fn contrary_requests_while_it_stops() {
    let mut sim = web();
    sim.stop("web");
    sim.start_again("web");
    sim.run_seconds(1);
    sim.restart("web");
    sim.stop("web");
    sim.run_seconds(1);
    sim.restart("web");
    sim.restart("web");
    sim.run_seconds(1);
    assert_story(&sim, "control-stopping");
}

#[test]
fn requests_while_it_starts() {
    let mut sim = Sim::start(Setup::new(vec![service("apache2", "/etc/init.d/apache2 start")]), |_| {});
    sim.program("apache2", apache2_script());
    sim.run_for(Duration::from_millis(60));
    sim.stop("apache2");
    sim.run_seconds(1);
    sim.start_again("apache2");
    sim.run_for(Duration::from_millis(60));
    sim.restart("apache2");
    sim.run_seconds(1);
    assert_story(&sim, "control-starting");
}

#[test]
fn requests_while_it_backs_off_and_waits() {
    let services = vec![service("db", "/srv/db"), after(service("web", "/srv/web"), &["db"])];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    sim.program("db", Image::new("/srv/db").exits(1, 1));
    sim.program("web", polite("/srv/web"));
    sim.fail_next_spawn("cannot execute /srv/db: no such file");
    sim.run_for(Duration::from_millis(10));
    sim.restart("web");
    sim.stop("web");
    sim.start_again("web");
    sim.stop("db");
    sim.run_seconds(2);
    sim.program("db", polite("/srv/db"));
    sim.restart("db");
    sim.run_seconds(2);
    assert_story(&sim, "control-backoff");
}

#[test]
fn a_pause_shows_when_it_is_over() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.fail_next_spawn("cannot execute /srv/web: no such file");
    sim.run_for(Duration::from_millis(10));
    let status = sim.status("web");
    // The machine has been up for 100 s, and its wall clock began at zero.
    let over = "1970-01-01T00:01:40.250Z";
    assert_eq!((status.state, status.next_start.as_deref()), (StateName::Backoff, Some(over)));
    assert_eq!(status.reason, format!("cannot execute /srv/web: no such file; pause of 250ms until {over}"));
    sim.run_seconds(1);
    let status = sim.status("web");
    assert_eq!((status.state, status.next_start), (StateName::Running, None));
}

#[test]
fn what_ignores_sigterm_is_killed_with_its_session() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(6);
    assert_story(&sim, "stop-timeout");
    assert!(sim.kernel.processes.is_empty());
}

#[test]
fn a_stop_command_is_used_and_its_failure_survived() {
    let mut web = service("web", "/srv/web");
    web.stop = Some(command("/srv/stop"));
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", polite("/srv/web"));
    let stopper = Image::new("/srv/stop").role(Role::Helper);
    let all = Op::SignalAll("web".to_owned(), SIGTERM);
    sim.stop_program("web", stopper.at(100, all).exits(200, 0));
    sim.run_seconds(1);
    sim.restart("web");
    sim.run_seconds(1);
    sim.fail_next_spawn("cannot execute /srv/stop: permission denied");
    sim.stop("web");
    sim.run_seconds(1);
    assert_story(&sim, "stop-command");
}
