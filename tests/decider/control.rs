//! What clients ask for, in every state.

use std::time::Duration;

use musterd::{
    config::{Check, CheckRule, Probe, Remedy},
    protocol::{Request, StateName},
    supervisor::Probing,
};
use nix::sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR1};

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

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// `db`, `api` after it, `web` after that, in an order that is not theirs.
fn chain() -> Sim {
    let services = vec![
        after(service("web", "/srv/web"), &["api"]),
        service("db", "/srv/db"),
        after(service("api", "/srv/api"), &["db"]),
    ];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    for name in ["web", "db", "api"] {
        sim.program(name, polite(&format!("/srv/{name}")));
    }
    sim.run_seconds(1);
    sim
}

#[test]
fn several_are_stopped_in_order() {
    let mut sim = chain();
    sim.ask(Request::Stop { names: names(&["all"]), wait: true });
    sim.run_seconds(1);
    sim.ask(Request::Start { names: names(&["all"]), wait: true });
    sim.run_seconds(1);
    sim.ask(Request::Restart { names: names(&["all"]), wait: true });
    sim.run_seconds(1);
    assert_story(&sim, "control-order");
}

#[test]
fn whose_turn_has_not_come_may_end_or_be_wanted_again() {
    let mut sim = chain();
    sim.ask(Request::Stop { names: names(&["db", "api"]), wait: true });
    let db = sim.main("db").unwrap();
    sim.signal(db, nix::sys::signal::Signal::SIGKILL);
    sim.run_seconds(1);
    sim.ask(Request::Start { names: names(&["db", "api"]), wait: true });
    sim.run_seconds(1);
    sim.ask(Request::Stop { names: names(&["db", "api"]), wait: true });
    sim.start_again("db");
    sim.run_seconds(1);
    assert_story(&sim, "control-turns");
}

#[test]
fn a_start_waits_for_what_comes_and_for_nothing_else() {
    let mut sim = chain();
    sim.ask(Request::Stop { names: names(&["all"]), wait: true });
    sim.run_seconds(1);
    // What it waits for is not wanted.
    sim.start_again("web");
    sim.start_again("api");
    // Now it comes.
    sim.ask(Request::Start { names: names(&["db"]), wait: false });
    sim.start_again("web");
    sim.run_seconds(1);
    sim.ask(Request::Stop { names: names(&["all"]), wait: true });
    sim.run_seconds(1);
    sim.fail_next_spawn("cannot execute /srv/db: no such file");
    sim.ask(Request::Start { names: names(&["web", "api", "db"]), wait: true });
    sim.run_seconds(1);
    assert_story(&sim, "control-start-waits");
}

#[test]
fn a_reload_is_a_signal_or_a_command() {
    let mut web = service("web", "/srv/web");
    web.reload_signal = Some(SIGHUP);
    let mut db = service("db", "/srv/db");
    db.reload = Some(command("/srv/db-reload"));
    db.start_timeout = Duration::from_secs(10);
    let services = vec![web, db, service("mail", "/srv/mail")];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    sim.program("web", polite("/srv/web").ignores(SIGHUP));
    sim.program("db", polite("/srv/db"));
    sim.program("mail", polite("/srv/mail"));
    sim.run_seconds(1);
    sim.reload("web");
    sim.reload_program("db", Image::new("/srv/db-reload").exits(100, 0));
    sim.reload("db");
    sim.reload("db");
    sim.run_seconds(1);
    sim.reload_program("db", Image::new("/srv/db-reload").exits(100, 7));
    sim.ask(Request::Reload { names: names(&["web", "db"]), wait: true });
    sim.run_seconds(1);
    sim.fail_next_spawn("cannot execute /srv/db-reload: permission denied");
    sim.reload("db");
    sim.reload_program("db", Image::new("/srv/db-reload").ignores(SIGTERM));
    sim.reload("db");
    sim.run_seconds(20);
    // It is ended with its service; it is not its service.
    sim.ask(Request::Reload { names: names(&["db"]), wait: false });
    sim.run_seconds(1);
    let db = sim.main("db").unwrap();
    sim.signal(db, nix::sys::signal::Signal::SIGKILL);
    sim.run_seconds(1);
    sim.stop("db");
    sim.run_seconds(1);
    // Nothing is done where one cannot.
    sim.reload("all");
    sim.reload("db");
    assert_story(&sim, "control-reload");
    assert_eq!(sim.kernel.processes.len(), 2, "web and mail");
}

#[test]
fn a_signal_goes_to_the_main_process() {
    let mut sim = web();
    sim.ask(Request::Signal { signal: SIGUSR1, names: names(&["web"]) });
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(1);
    sim.ask(Request::Signal { signal: SIGUSR1, names: names(&["web"]) });
    assert_story(&sim, "control-signal");
}

#[test]
fn a_check_is_made_at_once_and_answered_when_it_is_done() {
    let mut web = service("web", "/srv/web");
    let probe = Probe::Exec(command("check"));
    web.check = Some(Check {
        rule: CheckRule::Probe(probe),
        every: Duration::from_secs(3600),
        timeout: Duration::from_secs(5),
        retries: 1,
        on_failure: Remedy::Report,
    });
    let services = vec![web, service("db", "/srv/db"), service("mail", "/srv/mail")];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.program("db", polite("/srv/db"));
    sim.program("mail", polite("/srv/mail"));
    sim.probe_program("web", Probing::Health, Image::new("check").says("503").exits(300, 1));
    sim.run_seconds(1);
    let tables = sim.tables;
    sim.ask(Request::Check { names: Vec::new() });
    assert_eq!(sim.tables, tables + 1);
    sim.run_seconds(1);
    sim.probe_program("web", Probing::Health, Image::new("check").exits(300, 0));
    // Whom it is asked of is checked.
    sim.check("db");
    sim.check("web");
    sim.run_seconds(1);
    // What is in back-off may have been started by somebody else.
    sim.stop("mail");
    sim.run_seconds(1);
    sim.fail_next_spawn("cannot execute /srv/mail: no such file");
    sim.fail_next_spawn("cannot execute /srv/mail: no such file");
    sim.start_again("mail");
    sim.run_for(Duration::from_millis(10));
    sim.check("mail");
    sim.by_hand(polite("/srv/mail"), Some("mail"));
    sim.check("mail");
    assert_story(&sim, "control-check");
    sim.terminate("SIGTERM");
    sim.check("web");
}

#[test]
fn a_shutdown_is_answered_and_then_done() {
    let mut sim = chain();
    sim.ask(Request::Shutdown);
    sim.restart("web");
    sim.stop("db");
    sim.run_seconds(10);
    assert_story(&sim, "control-shutdown");
    assert_eq!(sim.exited, Some(0));
}
