//! Whether what ended is started again, what is given up, and what ends the container.

use std::time::Duration;

use musterd::{
    config::{Kind, Restart, Service, StartLimit},
    protocol::StateName,
    supervisor::Stage,
};
use nix::sys::signal::Signal::SIGKILL;

use crate::{
    assert_story,
    images::polite,
    program::{Image, Op},
    services::{after, service},
    sim::{Setup, Sim},
};

fn task(name: &str) -> Service {
    Service { kind: Kind::Task, ..service(name, &format!("/srv/{name}")) }
}

fn restart(restart: Restart, service: Service) -> Service {
    Service { restart, ..service }
}

fn ending(name: &str, milliseconds: u64, code: i32) -> Image {
    Image::new(&format!("/srv/{name}")).exits(milliseconds, code)
}

#[test]
fn restart_never_ends_for_good_however_it_ended() {
    for (code, story) in [(0, "restart-never-clean"), (3, "restart-never-failure")] {
        let mut sim =
            Sim::start(Setup::new(vec![restart(Restart::Never, service("web", "/srv/web"))]), |_| {});
        sim.program("web", ending("web", 1_000, code));
        sim.run_seconds(100);
        assert_eq!(sim.status("web").state, StateName::Exited);
        assert!(!sim.status("web").wanted, "nobody misses it");
        sim.program("web", polite("/srv/web"));
        sim.start_again("web");
        sim.run_seconds(1);
        assert_story(&sim, story);
    }
}

#[test]
fn restart_on_failure_heeds_the_exit_codes_of_success() {
    let mut web = restart(Restart::OnFailure, service("web", "/srv/web"));
    web.success_codes = vec![0, 7];
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", ending("web", 1_000, 1));
    sim.run_for(Duration::from_millis(1_500));
    sim.program("web", ending("web", 1_000, 7));
    assert_eq!(sim.status("web").failures, 1);
    sim.run_seconds(100);
    assert_eq!(sim.status("web").state, StateName::Exited);
    assert_eq!(sim.status("web").failures, 0, "7 is a success");
    assert_story(&sim, "restart-on-failure");
}

#[test]
fn what_exceeds_its_start_limit_is_given_up_until_asked_for() {
    let mut web = service("web", "/srv/web");
    web.start_limit = Some(StartLimit { starts: 3, within: Duration::from_secs(60) });
    let mut sim = Sim::start(Setup::new(vec![after(service("app", "/srv/app"), &["web"]), web]), |_| {});
    sim.program("app", polite("/srv/app"));
    sim.program("web", ending("web", 10, 1));
    sim.run_seconds(100);
    assert_eq!(sim.status("web").state, StateName::Failed);
    assert_eq!(sim.status("app").state, StateName::Running, "it had been started when web was there");
    sim.stop("app");
    sim.start_again("app");
    sim.run_seconds(1);
    assert_eq!(sim.status("app").state, StateName::Waiting);
    sim.program("web", polite("/srv/web"));
    sim.start_again("web");
    sim.run_seconds(1);
    assert_story(&sim, "start-limit");
}

#[test]
fn starts_that_lie_far_apart_exceed_no_limit() {
    let mut web = service("web", "/srv/web");
    web.start_limit = Some(StartLimit { starts: 2, within: Duration::from_secs(5) });
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", ending("web", 15_000, 1));
    sim.run_seconds(100);
    assert_eq!(sim.status("web").state, StateName::Running);
    assert!(sim.judge.objections.is_empty());
}

#[test]
fn the_end_of_an_essential_service_ends_all_with_its_code() {
    let web = Service { essential: true, ..restart(Restart::Never, service("web", "/srv/web")) };
    let mut sim = Sim::start(Setup::new(vec![web, service("log", "/srv/log")]), |_| {});
    sim.program("web", ending("web", 1_000, 3));
    sim.program("log", polite("/srv/log"));
    sim.run_seconds(20);
    assert_story(&sim, "essential");
    assert_eq!(sim.exited, Some(3));
}

#[test]
fn what_cannot_be_run_just_when_all_ends_is_stopped() {
    let first = Service { essential: true, ..restart(Restart::Never, service("first", "/srv/first")) };
    let mut sim = Sim::start(Setup::new(vec![first, service("log", "/srv/log")]), |_| {});
    sim.fail_next_spawn("cannot execute /srv/first: no such file");
    sim.fail_next_spawn("cannot execute /srv/log: no such file");
    sim.run_seconds(20);
    assert_eq!(sim.exited, Some(127));
    assert_eq!(sim.unknown_ways().collect::<Vec<_>>(), Vec::<&_>::new());
    assert!(sim.passed().contains(&(Stage::Spawning, Stage::Stopped)), "{}", sim.transcript());
}

#[test]
fn an_essential_service_that_a_signal_ends_has_a_code_as_in_a_shell() {
    let web = Service { essential: true, ..restart(Restart::Never, service("web", "/srv/web")) };
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", Image::new("/srv/web").at(1_000, Op::Crash(SIGKILL)));
    sim.run_seconds(20);
    assert_eq!(sim.exited, Some(128 + 9));
    let web = Service { essential: true, ..restart(Restart::Never, service("web", "/srv/web")) };
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.fail_next_spawn("cannot execute /srv/web: no such file");
    sim.run_seconds(20);
    assert_eq!(sim.exited, Some(127));
}

#[test]
fn an_essential_service_that_is_stopped_by_hand_ends_nothing() {
    let web = Service { essential: true, ..service("web", "/srv/web") };
    let mut sim = Sim::start(Setup::new(vec![web]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(100);
    assert_eq!(sim.exited, None);
    assert_eq!(sim.status("web").state, StateName::Stopped);
}

#[test]
fn a_task_runs_until_it_succeeds_and_then_what_comes_after_it() {
    let mut sim = Sim::start(
        Setup::new(vec![after(service("web", "/srv/web"), &["migrate"]), task("migrate")]),
        |_| {},
    );
    sim.program("web", polite("/srv/web"));
    sim.program("migrate", ending("migrate", 500, 1));
    sim.run_for(Duration::from_millis(600));
    assert_eq!(sim.status("web").reason, "waits for migrate");
    sim.program("migrate", ending("migrate", 500, 0));
    assert_eq!(sim.status("migrate").failures, 1);
    sim.run_seconds(100);
    assert_eq!(sim.status("migrate").state, StateName::Exited);
    assert_eq!(sim.status("migrate").failures, 0, "a success is none, and forgives those before");
    assert_eq!(sim.status("web").state, StateName::Running);
    assert_story(&sim, "task");
}

#[test]
fn a_task_adopts_nobody_and_hands_over_to_nobody() {
    let mut sim = Sim::start(Setup::new(vec![task("migrate"), service("web", "/srv/web")]), |_| {});
    sim.program("web", polite("/srv/web"));
    let worker = polite("/srv/migrate");
    sim.program("migrate", Image::new("/srv/migrate").forks(100, worker).exits(500, 0));
    sim.run_seconds(100);
    assert_eq!(sim.status("migrate").state, StateName::Exited);
    assert_eq!(sim.status("migrate").reason, "main process 10 exited 0; the task is done");
    sim.start_again("migrate");
    sim.run_for(Duration::from_millis(10));
    assert_eq!(sim.status("migrate").state, StateName::Running, "the process of its name is not the task");
}

#[test]
fn a_failed_task_keeps_what_comes_after_it_waiting_and_tells_why() {
    let migrate = restart(Restart::Never, task("migrate"));
    let services = vec![after(service("web", "/srv/web"), &["migrate"]), migrate];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.program("migrate", ending("migrate", 500, 4));
    sim.run_seconds(100);
    let web = sim.status("web");
    assert_eq!(web.state, StateName::Waiting);
    assert_eq!(web.reason, "waits for migrate, which failed: main process 10 exited 4");
    assert_eq!(sim.status("migrate").failures, 1);
    sim.program("migrate", ending("migrate", 500, 0));
    sim.start_again("migrate");
    sim.run_seconds(1);
    assert_story(&sim, "task-failed");
}

#[test]
fn a_container_of_tasks_only_ends_when_they_are_done() {
    let mut sim = Sim::start(Setup::new(vec![task("one"), after(task("two"), &["one"])]), |_| {});
    sim.program("one", ending("one", 500, 0));
    sim.program("two", ending("two", 500, 0));
    sim.run_seconds(10);
    assert_story(&sim, "tasks-only");
    assert_eq!(sim.exited, Some(0));
}

#[test]
fn a_container_of_tasks_tells_by_its_code_that_one_failed() {
    let one = restart(Restart::Never, task("one"));
    let mut sim = Sim::start(Setup::new(vec![one, after(task("two"), &["one"]), task("three")]), |_| {});
    sim.program("one", ending("one", 500, 5));
    sim.program("two", ending("two", 500, 0));
    sim.program("three", ending("three", 2_000, 0));
    sim.run_seconds(10);
    assert_eq!(sim.exited, Some(5), "{}", sim.transcript());
    assert!(sim.judge.objections.is_empty());
}

#[test]
fn a_stop_ends_back_off_waiting_and_failed_for_good() {
    let mut web = service("web", "/srv/web");
    web.start_limit = Some(StartLimit { starts: 3, within: Duration::from_secs(60) });
    let mut sim = Sim::start(Setup::new(vec![after(service("app", "/srv/app"), &["web"]), web]), |_| {});
    sim.program("app", polite("/srv/app"));
    for _ in 0..2 {
        sim.fail_next_spawn("cannot execute /srv/web: no such file");
    }
    sim.run_for(Duration::from_millis(300));
    assert_eq!(sim.status("web").state, StateName::Backoff);
    sim.stop("web");
    sim.stop("app");
    sim.run_seconds(100);
    assert_eq!(sim.status("web").state, StateName::Stopped);
    assert_eq!(sim.status("app").state, StateName::Stopped);
    for _ in 0..3 {
        sim.fail_next_spawn("cannot execute /srv/web: no such file");
    }
    sim.start_again("web");
    sim.run_seconds(100);
    assert_eq!(sim.status("web").state, StateName::Failed);
    sim.stop("web");
    assert_eq!(sim.status("web").state, StateName::Stopped);
}
