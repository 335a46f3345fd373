//! Whether a service that runs is well, and takes no more than it may.

use std::time::Duration;

use musterd::{
    config::{Check, CheckRule, Guard, Kind, Probe, Remedy, Service},
    protocol::StateName,
    supervisor::{Notification, Probing, Stage},
};

use crate::{
    assert_story,
    images::polite,
    program::{Image, Role},
    services::service,
    sim::{Setup, Sim},
};

const EVERY: Duration = Duration::from_secs(10);

fn checked(rule: CheckRule, retries: u32, on_failure: Remedy) -> Sim {
    let check = Check { rule, every: EVERY, timeout: Duration::from_secs(2), retries, on_failure };
    start(Service { check: Some(check), ..service("web", "/srv/web") })
}

fn start(service: Service) -> Sim {
    let mut sim = Sim::start(Setup::new(vec![service]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim
}

fn probe() -> CheckRule {
    CheckRule::Probe(Probe::Address("http://127.0.0.1/".to_owned()))
}

fn failing() -> Image {
    Image::new("probe").says("500 Internal Server Error").exits(5, 1)
}

#[test]
fn a_service_that_fails_its_checks_is_restarted() {
    let mut sim = checked(probe(), 3, Remedy::Restart);
    sim.run_seconds(25);
    let first = sim.main("web");
    sim.probe_program("web", Probing::Health, failing());
    sim.run_seconds(30);
    assert_ne!(sim.main("web"), first);
    let web = sim.status("web");
    assert_eq!(web.state, StateName::Running);
    assert_eq!(web.restarts, 1);
    assert_eq!(web.reason, "restarted: health check failed 3 times in a row: 500 Internal Server Error");
    assert_story(&sim, "health-restart");
}

#[test]
fn a_service_that_fails_its_checks_is_reported_until_it_is_well_again() {
    let mut sim = checked(probe(), 1, Remedy::Report);
    sim.probe_program("web", Probing::Health, failing());
    sim.run_seconds(25);
    assert_eq!(sim.status("web").state, StateName::Unhealthy);
    sim.probe_program("web", Probing::Health, Image::new("probe").exits(5, 0));
    sim.run_seconds(10);
    assert_eq!(sim.status("web").state, StateName::Running);
    assert_story(&sim, "health-report");
}

#[test]
fn a_check_that_cannot_be_run_restarts_nothing() {
    let mut sim = checked(probe(), 2, Remedy::Restart);
    sim.probe_program("web", Probing::Health, Image::new("probe").exits(5, 0));
    sim.run_seconds(5);
    let first = sim.main("web");
    for _ in 0..4 {
        sim.fail_next_spawn("cannot fork: the limit of processes is reached");
    }
    sim.run_seconds(40);
    let web = sim.status("web");
    assert_eq!((web.state, sim.main("web")), (StateName::Unhealthy, first));
    assert_eq!(
        web.reason,
        "health check failed 4 times in a row: cannot fork: the limit of processes is reached"
    );
    sim.run_seconds(10);
    let web = sim.status("web");
    assert_eq!((web.state, sim.main("web"), web.restarts), (StateName::Running, first, 0));
}

#[test]
fn a_check_that_takes_too_long_has_failed_and_leaves_nobody() {
    let mut sim = checked(probe(), 1, Remedy::Report);
    sim.probe_program(
        "web",
        Probing::Health,
        Image::new("probe").forks(1, Image::new("child").role(Role::Probe)),
    );
    sim.run_seconds(19);
    let web = sim.status("web");
    assert_eq!(web.reason, "health check failed once: no answer within 2s 500ms");
    let names: Vec<_> = sim.kernel.processes.values().map(|process| process.image.comm.as_str()).collect();
    assert_eq!(names, ["web"], "{}", sim.transcript());
}

#[test]
fn no_other_check_is_run_beside_one_that_cannot_be_killed() {
    let mut sim = checked(probe(), 3, Remedy::Report);
    sim.probe_program("web", Probing::Health, Image::new("probe").unkillable());
    sim.run_seconds(100);
    let web = sim.status("web");
    assert_eq!(web.state, StateName::Unhealthy);
    assert!(web.reason.ends_with("probe 11 was killed and has not ended"), "{}", web.reason);
    let probes = sim.kernel.processes.values().filter(|process| process.image.comm == "probe").count();
    assert_eq!(probes, 1, "{}", sim.transcript());
}

#[test]
fn a_task_may_be_done_while_its_check_fails() {
    let check = Check {
        rule: probe(),
        every: EVERY,
        timeout: Duration::from_secs(2),
        retries: 1,
        on_failure: Remedy::Report,
    };
    let mut sim = start(Service { kind: Kind::Task, check: Some(check), ..service("web", "/srv/web") });
    sim.program("web", Image::new("/srv/web").exits(15_000, 0));
    sim.probe_program("web", Probing::Health, failing());
    sim.run_for(Duration::from_millis(14_000));
    assert_eq!(sim.status("web").state, StateName::Unhealthy);
    sim.run_seconds(5);
    assert_eq!(sim.unknown_ways().collect::<Vec<_>>(), Vec::<&_>::new());
    assert!(sim.passed().contains(&(Stage::Unhealthy, Stage::Exited)), "{}", sim.transcript());
}

#[test]
fn one_success_forgives_the_failures_before() {
    let mut sim = checked(probe(), 2, Remedy::Restart);
    let main = |sim: &mut Sim| {
        sim.run_seconds(1);
        sim.main("web")
    };
    let first = main(&mut sim);
    for _ in 0..5 {
        sim.probe_program("web", Probing::Health, failing());
        sim.run_seconds(10);
        sim.probe_program("web", Probing::Health, Image::new("probe").exits(5, 0));
        sim.run_seconds(10);
    }
    assert_eq!(main(&mut sim), first, "{}", sim.transcript());
}

#[test]
fn a_watchdog_that_falls_silent_bites() {
    let mut sim = checked(CheckRule::Notify, 1, Remedy::Restart);
    sim.run_seconds(1);
    let web = sim.main("web").unwrap();
    for _ in 0..5 {
        sim.run_seconds(8);
        sim.notify("web", web, Notification::Watchdog);
    }
    assert_eq!(sim.main("web"), Some(web));
    sim.run_seconds(11);
    assert_ne!(sim.main("web"), Some(web));
    let web = sim.main("web").unwrap();
    sim.notify("web", web, Notification::Unwell);
    sim.run_seconds(1);
    assert_story(&sim, "watchdog");
}

#[test]
fn a_stop_during_a_check_ends_the_check() {
    let mut sim = checked(probe(), 1, Remedy::Restart);
    sim.probe_program("web", Probing::Health, Image::new("probe"));
    sim.run_seconds(11);
    sim.stop("web");
    sim.run_seconds(20);
    assert_eq!(sim.status("web").state, StateName::Stopped);
    assert!(sim.kernel.processes.is_empty(), "{}", sim.transcript());
}

const MIB: u64 = 1024 * 1024;

fn guarded(memory: Option<Guard<u64>>, cpu: Option<Guard<f64>>) -> Sim {
    start(Service { memory_max: memory, cpu_max: cpu, ..service("web", "/srv/web") })
}

#[test]
fn what_takes_too_much_memory_together_with_its_descendants_is_restarted() {
    let guard = Guard { max: 512 * MIB, lasting: Duration::ZERO, on_excess: Remedy::Restart };
    let mut sim = guarded(Some(guard), None);
    let worker = Image::new("worker").role(Role::Worker).takes(300 * MIB, 0);
    sim.program("web", polite("/srv/web").takes(300 * MIB, 0).forks(5_000, worker));
    sim.run_seconds(70);
    assert_story(&sim, "memory-max");
    assert_eq!(sim.status("web").restarts, 1);
}

#[test]
fn what_takes_too_much_time_of_the_processors_for_too_long_is_reported() {
    let lasting = Duration::from_secs(30);
    let mut sim = guarded(None, Some(Guard { max: 80.0, lasting, on_excess: Remedy::Report }));
    sim.program("web", polite("/srv/web").takes(0, 150));
    sim.run_seconds(100);
    assert_eq!(sim.status("web").restarts, 0);
    assert_eq!(sim.status("web").reason, "started; takes more than cpu-max");
    let story = sim.transcript();
    let told = story.matches("takes 150% of a processor, more than cpu-max = 80%").count();
    assert_eq!(told, 1, "{story}");
}

#[test]
fn what_takes_less_is_left_alone() {
    let memory = Guard { max: 512 * MIB, lasting: Duration::ZERO, on_excess: Remedy::Restart };
    let cpu = Guard { max: 80.0, lasting: Duration::from_secs(30), on_excess: Remedy::Restart };
    let mut sim = guarded(Some(memory), Some(cpu));
    sim.program("web", polite("/srv/web").takes(500 * MIB, 70));
    sim.run_seconds(600);
    assert_eq!(sim.status("web").restarts, 0);
}

#[test]
fn memory_must_be_too_much_for_as_long_as_is_said() {
    let guard = Guard { max: 512 * MIB, lasting: Duration::from_secs(15), on_excess: Remedy::Restart };
    let mut sim = guarded(Some(guard), None);
    let greedy = Image::new("worker").role(Role::Worker).takes(600 * MIB, 0);
    sim.program("web", polite("/srv/web").forks(1_000, greedy.exits(20_000, 0)));
    sim.run_seconds(100);
    assert_eq!(sim.status("web").restarts, 0, "{}", sim.transcript());
    let greedy = Image::new("worker").role(Role::Worker).takes(600 * MIB, 0);
    sim.program("web", polite("/srv/web"));
    let web = sim.main("web").unwrap();
    sim.fork(web, greedy);
    sim.run_seconds(40);
    assert_eq!(sim.status("web").restarts, 1, "{}", sim.transcript());
}

#[test]
fn a_guard_that_is_more_impatient_than_the_interval_does_not_wait_for_it() {
    let lasting = Duration::from_secs(2);
    let memory = Guard { max: 512 * MIB, lasting, on_excess: Remedy::Restart };
    let mut sim = guarded(Some(memory), None);
    sim.program("web", polite("/srv/web").takes(600 * MIB, 0));
    sim.run_seconds(9);
    assert!(sim.status("web").restarts >= 2, "each life is looked at: {}", sim.transcript());
    let cpu = Guard { max: 80.0, lasting, on_excess: Remedy::Report };
    let mut sim = guarded(None, Some(cpu));
    sim.program("web", polite("/srv/web").takes(0, 150));
    sim.run_seconds(9);
    assert_eq!(sim.status("web").reason, "started; takes more than cpu-max", "{}", sim.transcript());
}
