//! What a new configuration does to services that run, wait, or have ended.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, SystemTime},
};

use musterd::{
    config::{Check, CheckRule, Config, Kind, Probe, Remedy, Restart, Service, Sources, Written, load},
    process::{Exit, ProcessId, Table},
    protocol::{Effect, KeyChange, StateName},
    supervisor::{Action, Event, Place, Purpose, Reconfiguration, ServiceId, Supervisor},
    time::Time,
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    assert_story,
    images::{polite, stubborn},
    program::{Image, Op},
    services::{after, interval, matching, service},
    sim::{Setup, Sim},
};

fn running(services: Vec<Service>) -> Sim {
    let names: Vec<String> = services.iter().map(|service| service.name.to_string()).collect();
    let mut sim = Sim::start(Setup::new(services), |_| {});
    names.iter().for_each(|name| sim.program(name, polite(&format!("/srv/{name}"))));
    sim.run_seconds(1);
    sim
}

fn web() -> Service {
    service("web", "/srv/web")
}

/// The same, started otherwise.
fn nicer(service: Service) -> Service {
    Service { nice: Some(5), ..service }
}

#[test]
fn what_is_unchanged_stays_and_the_rest_comes_goes_or_restarts() {
    let api = || service("api", "/srv/api");
    let old = || service("old", "/srv/old");
    let mut sim = running(vec![web(), api(), old()]);
    let before = sim.main("web");
    let services = vec![service("new", "/srv/new"), nicer(api()), web()];
    sim.reconfigure(services, |name| name == "api", |sim| sim.program("new", polite("/srv/new")));
    sim.run_seconds(1);
    assert_story(&sim, "reload");
    assert_eq!(sim.main("web"), before);
    let names: Vec<String> = sim.statuses().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["new", "api", "web"], "the order of the new configuration, and nothing removed");
}

#[test]
fn what_is_changed_in_place_keeps_its_process() {
    let mut sim = Sim::start(Setup::new(vec![web()]), |_| {});
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    let before = sim.main("web");
    let patient = Service { stop_timeout: Duration::from_secs(2), ..interval(web(), Duration::from_secs(7)) };
    sim.reconfigure(vec![patient], |_| false, |_| {});
    let looks = sim.tables;
    sim.run_seconds(70);
    assert_eq!(sim.main("web"), before);
    assert_eq!(sim.tables - looks, 10, "the new interval counts");
    sim.stop("web");
    sim.run_seconds(3);
    assert_story(&sim, "reload-in-place");
}

#[test]
fn those_that_come_after_each_other_restart_in_order() {
    let db = || service("db", "/srv/db");
    let web = || after(web(), &["db"]);
    let mut sim = running(vec![db(), web()]);
    sim.reconfigure(vec![nicer(db()), nicer(web())], |_| true, |_| {});
    sim.run_seconds(1);
    sim.reconfigure(
        vec![service("other", "/srv/other")],
        |_| true,
        |sim| {
            sim.program("other", polite("/srv/other"));
        },
    );
    sim.run_seconds(1);
    assert_story(&sim, "reload-in-order");
}

#[test]
fn a_service_of_another_name_begins_when_the_old_one_has_gone() {
    let mut sim = Sim::start(Setup::new(vec![web()]), |_| {});
    sim.program("web", stubborn("/srv/web"));
    sim.run_seconds(1);
    let www = matching(service("www", "/srv/web"), "web");
    sim.reconfigure(vec![www], |_| true, |sim| sim.program("www", polite("/srv/web")));
    assert_eq!(sim.status("www").reason, "waits for web to be gone, which is removed");
    sim.start_again("web");
    sim.run_seconds(6);
    assert_story(&sim, "reload-renamed");
}

#[test]
fn what_several_needed_that_leave_goes_when_the_last_of_them_has() {
    let db = service("db", "/srv/db");
    let (web, api) = (after(web(), &["db"]), after(service("api", "/srv/api"), &["db"]));
    let mut sim = Sim::start(Setup::new(vec![db, web, api]), |_| {});
    sim.program("db", polite("/srv/db"));
    sim.program("web", polite("/srv/web"));
    sim.program("api", stubborn("/srv/api"));
    sim.run_seconds(1);
    sim.reconfigure(vec![service("new", "/srv/new")], |_| true, |sim| sim.program("new", polite("/srv/new")));
    sim.run_seconds(1);
    let names = |sim: &mut Sim| sim.statuses().into_iter().map(|status| status.name).collect::<Vec<_>>();
    assert_eq!(names(&mut sim), ["new", "db", "api"], "web has gone, and db waits for api");
    sim.run_seconds(9);
    assert_eq!(names(&mut sim), ["new"]);
}

#[test]
fn what_is_back_before_it_has_gone_is_started_again() {
    let mut sim = Sim::start(Setup::new(vec![web(), service("api", "/srv/api")]), |_| {});
    sim.program("web", stubborn("/srv/web"));
    sim.program("api", polite("/srv/api"));
    sim.run_seconds(1);
    sim.reconfigure(vec![service("api", "/srv/api")], |_| true, |_| {});
    sim.stop("web");
    sim.run_seconds(1);
    sim.reconfigure(vec![service("api", "/srv/api"), web()], |_| true, |_| {});
    sim.run_seconds(6);
    assert_story(&sim, "reload-back");
    assert_eq!(sim.status("web").state, StateName::Running);
}

#[test]
fn what_was_given_up_is_tried_anew_and_what_is_stopped_stays_so() {
    let failing = |restart| Service { restart, ..service("bad", "/srv/bad") };
    let task = || Service { kind: Kind::Task, ..service("task", "/srv/task") };
    let asleep = |autostart| Service { autostart, ..service("asleep", "/srv/asleep") };
    let mut sim = Sim::start(Setup::new(vec![web(), failing(Restart::Never), task(), asleep(false)]), |_| {});
    sim.program("web", polite("/srv/web"));
    sim.program("bad", Image::new("/srv/bad").exits(10, 1));
    sim.program("task", Image::new("/srv/task").exits(10, 0));
    sim.program("asleep", polite("/srv/asleep"));
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(1);
    sim.program("bad", polite("/srv/bad"));
    let slower = |service| interval(service, Duration::from_secs(7));
    let services = vec![nicer(web()), failing(Restart::Always), slower(task()), asleep(true)];
    sim.reconfigure(services.clone(), |_| false, |_| {});
    sim.run_seconds(1);
    let states: Vec<StateName> = sim.statuses().iter().map(|status| status.state).collect();
    assert_eq!(states, [StateName::Stopped, StateName::Running, StateName::Exited, StateName::Running]);
    assert_story(&sim, "reload-at-rest");
}

#[test]
fn a_process_that_only_the_old_match_meets_is_let_go() {
    let mut sim = Sim::start(Setup::new(vec![matching(service("db", "/srv/db"), "java")]), |_| {});
    sim.program("db", polite("/srv/db"));
    sim.stop("db");
    let java = sim.by_hand(polite("/usr/bin/java"), Some("db"));
    sim.start_again("db");
    sim.run_seconds(1);
    assert_eq!(sim.main("db"), Some(java.pid));
    sim.reconfigure(vec![service("db", "/srv/db")], |_| false, |_| {});
    sim.run_seconds(1);
    assert!(sim.main("db").is_some_and(|main| main != java.pid), "{}", sim.transcript());
    assert!(sim.kernel.alive(java).is_some(), "{}", sim.transcript());
}

/// What the options say, with what was written.
fn loaded(set: &[&str]) -> (Config, Written) {
    let set = set.iter().map(|set| format!("services.{set}")).collect();
    let sources = Sources { set, main: Some("/bin/login".to_owned()), ..Sources::default() };
    let (config, provenance) = load(&sources).unwrap();
    (config, Written::from(&provenance))
}

#[test]
fn a_difference_says_what_follows_for_what_runs() {
    let (old, written) = loaded(&["web.start=/srv/web", "web.backoff.max=9s", "gone.start=/srv/gone"]);
    let place = Place { pid: 1, parent: 0, is_init: true };
    let (now, boot) = (Time::from_boot(Duration::from_secs(1)), SystemTime::UNIX_EPOCH);
    let mut musterd = Supervisor::new(&old, place, &HashMap::new(), now, boot);
    musterd.step(now, Event::Tick);
    musterd.step(now, Event::Scanned(Table::default()));
    let (service, purpose) = (ServiceId(0), Purpose::Start);
    let process = ProcessId { pid: 10, start: 100 };
    musterd.step(now, Event::Spawned { service, purpose, process, leads_session: true });
    let error = "cannot execute /srv/gone: no such file".to_owned();
    musterd.step(now, Event::SpawnFailed { service: ServiceId(1), purpose, error });
    let differences = |set: &[&str]| {
        let (new, newly) = loaded(set);
        let changes = musterd.changes(&new, &written, &newly);
        let of_web = changes.services.iter().find(|change| change.name == "web");
        let words = |key: &KeyChange| {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            format!("{}: {} -> {} ({:?})", key.key, value(&key.old), value(&key.new), key.effect)
        };
        of_web.map_or(Vec::new(), |change| change.keys.iter().map(words).collect::<Vec<_>>())
    };
    let with = |more: &[&str]| differences(&[&["web.start=/srv/web", "gone.start=/srv/gone"], more].concat());
    assert_eq!(with(&["web.backoff.max=9s", "web.interval=1m"]), [] as [&str; 0], "the same in other words");
    assert_eq!(with(&[]), ["backoff.max: \"9s\" -> \"1m\" (Applied)"]);
    let said = |more: &str| with(&["web.backoff.max=9s", more]);
    assert_eq!(said("web.interval=5s"), ["interval: \"60s\" -> \"5s\" (Applied)"]);
    assert_eq!(said("web.nice=3"), ["nice: none -> 3 (Restarts)"]);
    assert_eq!(
        said("web.environment={ KEY = { file = '/run/key' } }"),
        ["environment.KEY: none -> { file = \"/run/key\" } (Restarts)"]
    );
    assert_eq!(said("web.log=none"), ["log.to: \"prefix\" -> \"none\" (Restarts)"]);
    assert_eq!(said("web.log.memory=1KiB"), ["log.memory: \"64KiB\" -> \"1KiB\" (Applied)"]);
    let (new, newly) =
        loaded(&["web.start=/srv/web", "web.nice=3", "gone.nice=3", "gone.start=/srv/gone", "login.nice=2"]);
    let changes = musterd.changes(&new, &written, &newly);
    let effects: Vec<_> =
        changes.services.iter().map(|change| (change.name.as_str(), change.effect)).collect();
    let expected = [("web", Effect::Restarts), ("gone", Effect::Applied), ("login", Effect::NeedsNewStart)];
    assert_eq!(effects, expected, "what doesn't run need not restart, and the terminal stays whose it is");
}

#[test]
fn a_check_comes_changes_and_goes() {
    let check = |every| Check {
        rule: CheckRule::Probe(Probe::Address("tcp://localhost:80".to_owned())),
        every: Duration::from_secs(every),
        timeout: Duration::from_secs(1),
        retries: 1,
        on_failure: Remedy::Report,
    };
    let with = |check| Service { check, ..web() };
    let mut sim = running(vec![web()]);
    let probe = Image::new("probe").says("refused").exits(5, 1);
    sim.probe_program("web", musterd::supervisor::Probing::Health, probe);
    sim.reconfigure(vec![with(Some(check(3)))], |_| false, |_| {});
    sim.run_seconds(4);
    assert_eq!(sim.status("web").state, StateName::Unhealthy);
    sim.reconfigure(vec![with(None)], |_| false, |_| {});
    assert_eq!(sim.status("web").state, StateName::Running);
    sim.run_seconds(10);
    assert_story(&sim, "reload-check");
}

#[test]
fn a_crash_while_it_waits_for_its_turn_starts_it_as_it_is_to_be() {
    let db = || service("db", "/srv/db");
    let web = || after(web(), &["db"]);
    let mut sim = running(vec![db(), web()]);
    sim.program("web", stubborn("/srv/web"));
    sim.restart("web");
    sim.run_seconds(1);
    let crashing = polite("/srv/db").at(500, Op::Crash(SIGKILL));
    sim.program("db", crashing);
    sim.restart("db");
    sim.run_for(Duration::from_millis(300));
    sim.program("db", polite("/srv/db"));
    sim.reconfigure(vec![nicer(db()), nicer(web())], |_| true, |_| {});
    sim.run_seconds(8);
    assert_story(&sim, "reload-crash");
}

/// So many services, called by this name and their number.
fn many(name: &str, count: usize) -> Vec<Service> {
    (0..count).map(|at| service(&format!("{name}{at}"), &format!("/srv/{name}{at}"))).collect()
}

/// Steps until nothing more follows; every process starts at once, and ends at the first signal. How many steps it took.
fn feed(musterd: &mut Supervisor, now: Time, event: Event) -> usize {
    let (mut events, mut steps) = (VecDeque::from([event]), 0);
    loop {
        let Some(event) = events.pop_front() else {
            if musterd.look().is_none() {
                return steps;
            }
            events.push_back(Event::Scanned(Table::default()));
            continue;
        };
        steps += 1;
        assert!(steps < 100_000, "it does not come to rest");
        for action in musterd.step(now, event) {
            match action {
                Action::Spawn { service, purpose } => {
                    let pid = 100 + i32::try_from(service.0).unwrap();
                    let process = ProcessId { pid, start: 100 };
                    events.push_back(Event::Spawned { service, purpose, process, leads_session: true });
                }
                Action::Signal { process, .. } => {
                    let exit = Exit::Code(0);
                    events.push_back(Event::Ended { process, exit, session_empty: true });
                }
                Action::Forget(service) => events.push_back(Event::Forgotten(service)),
                _ => {}
            }
        }
    }
}

#[test]
fn each_of_many_that_are_replaced_takes_a_few_steps() {
    const MANY: usize = 1000;
    let (old, _) = loaded(&[]);
    let old = Config { services: many("old", MANY), ..old };
    let new = Config { services: many("new", MANY), ..old.clone() };
    let place = Place { pid: 1, parent: 0, is_init: true };
    let now = Time::from_boot(Duration::from_secs(1));
    let mut musterd = Supervisor::new(&old, place, &HashMap::new(), now, SystemTime::UNIX_EPOCH);
    feed(&mut musterd, now, Event::Tick);
    let running = |musterd: &Supervisor| musterd.mains().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(running(&musterd).len(), MANY);
    let changes = musterd.changes(&new, &Written::default(), &Written::default());
    let (services, cause) = (new.services, "SIGHUP".to_owned());
    let shutdown_timeout = Duration::from_secs(10);
    let new = Reconfiguration { services, shutdown_timeout, changes, cause };
    let steps = feed(&mut musterd, now, Event::Reconfigured(Box::new(new)));
    assert!(steps <= 10 * MANY, "{steps} steps");
    let running = running(&musterd);
    assert_eq!(running.len(), MANY);
    assert!(running.iter().all(|name| name.starts_with("new")));
    assert_eq!(musterd.services().count(), MANY);
}

#[test]
fn of_many_that_leave_three_are_named() {
    let mut sim = Sim::start(Setup::new(many("old", 5)), |_| {});
    for at in 0..5 {
        sim.program(&format!("old{at}"), Image::new(&format!("/srv/old{at}")).ignores(SIGTERM));
    }
    sim.run_seconds(1);
    sim.reconfigure(vec![web()], |_| true, |sim| sim.program("web", polite("/srv/web")));
    let gone = |at| format!("old{at} to be gone, which is removed");
    let named = |at: [u32; 3]| at.map(gone).join(", ");
    assert_eq!(sim.status("web").reason, format!("waits for {} and 2 more", named([0, 1, 2])));
    let first = sim.main("old0").unwrap();
    sim.signal(first, SIGKILL);
    sim.run_for(Duration::from_millis(100));
    assert_eq!(sim.status("web").reason, format!("waits for {} and 1 more", named([1, 2, 3])));
    sim.run_seconds(11);
    assert_eq!(sim.status("web").state, StateName::Running);
}
