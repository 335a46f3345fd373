//! What clients are told of what happened and of what services take.

use std::time::Duration;

use musterd::{
    config::{Check, CheckRule, Command, Probe, Remedy, Service},
    protocol::{Cause, Happening, Request, Response, StateName, Status, What},
    supervisor::{Event, Probing},
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    images::polite,
    program::{Image, Role},
    services::{after, service},
    sim::{Setup, Sim},
};

fn web() -> Sim {
    start(vec![service("web", "/srv/web")])
}

fn start(services: Vec<Service>) -> Sim {
    let names: Vec<String> = services.iter().map(|service| service.name.to_string()).collect();
    let mut sim = Sim::start(Setup::new(services), |_| {});
    names.iter().for_each(|name| sim.program(name, polite(&format!("/srv/{name}"))));
    sim.run_seconds(1);
    sim
}

/// A line for each event, without its time.
fn words(events: &[Happening]) -> Vec<String> {
    let line = |event: &Happening| {
        let pid = event.pid.map_or(String::new(), |pid| format!(" {pid}"));
        let of = event.service.as_deref().unwrap_or("musterd");
        let what = match &event.what {
            What::State { from, to, cause, reason } => format!("{from} → {to} by {cause:?}: {reason}"),
            What::Exit(exit) => format!("exit {:?} {:?}", exit.code, exit.signal),
            What::Request { verb, uid, client } => format!("{verb} by {uid}/{client}"),
            What::Message { message, cause, consequence: Some(next), .. } => {
                format!("{message}: {cause}; {next}")
            }
            What::Message { message, cause, .. } => format!("{message}: {cause}"),
            What::Unknown => panic!("the decider knows its own words"),
        };
        format!("{of}{pid} {what}")
    };
    events.iter().map(line).collect()
}

fn why(sim: &mut Sim, name: &str) -> (Status, Vec<Happening>, u64) {
    sim.wonder(Request::Why { name: name.to_owned() });
    match sim.heard.pop() {
        Some(Response::Story { service, events, forgotten }) => (*service, events, forgotten),
        other => panic!("no story but {other:?}"),
    }
}

struct Events {
    events: Vec<Happening>,
    next: u64,
    missed: u64,
    more: bool,
}

fn events(sim: &mut Sim, names: &[&str], after: u64, follow: bool) -> Option<Events> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    sim.wonder(Request::Events { names, after, follow });
    heard(sim)
}

fn heard(sim: &mut Sim) -> Option<Events> {
    sim.heard.pop().map(|response| match response {
        Response::Events { version: 1, events, next, missed, more } => Events { events, next, missed, more },
        other => panic!("no events but {other:?}"),
    })
}

#[test]
fn a_story_tells_what_happened_and_why() {
    let mut sim = web();
    let pid = sim.main("web").unwrap();
    sim.signal(pid, SIGKILL);
    sim.run_seconds(1);
    sim.stop("web");
    sim.run_seconds(1);
    let (status, story, forgotten) = why(&mut sim, "web");
    assert_eq!((status.state, forgotten), (StateName::Stopped, 0));
    assert_eq!(
        words(&story),
        [
            "web stopped → starting by Start: looked for among the processes",
            "web 10 started: it was not running",
            "web 10 starting → running by Start: started",
            "web 10 exit None Some(\"SIGKILL\")",
            "web running → starting by Exit: main process 10 killed by SIGKILL",
            "web 11 started: main process 10 killed by SIGKILL",
            "web 11 starting → running by Exit: restarted: main process 10 killed by SIGKILL",
            "web stop by 0/99",
            "web 11 stopping: asked by ctl stop (uid 0, pid 99); sending SIGTERM to main process 11",
            "web 11 running → stopping by Request: asked by ctl stop (uid 0, pid 99)",
            "web 11 exit Some(0) None",
            "web stopped: main process 11 exited 0",
            "web stopping → stopped by Request: asked by ctl stop (uid 0, pid 99); main process 11 exited 0",
        ]
    );
    assert_eq!(story[3].time, "1970-01-01T00:01:41.000Z");
    let exits: Vec<_> = status.last_exits.iter().map(|exit| (exit.pid, exit.text.as_str())).collect();
    assert_eq!(exits, [(11, "exited 0"), (10, "killed by SIGKILL")]);
}

#[test]
fn a_failed_check_is_in_the_story_and_in_the_status() {
    let rule =
        CheckRule::Probe(Probe::Exec(Command { argv: vec!["/srv/check".to_owned()], environment: vec![] }));
    let check = Check {
        rule,
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        retries: 2,
        on_failure: Remedy::Report,
    };
    let mut sim = start(vec![Service { check: Some(check), ..service("web", "/srv/web") }]);
    let status = sim.status("web");
    assert_eq!(status.next_check.as_deref(), Some("1970-01-01T00:01:50.000Z"));
    assert_eq!(status.health.unwrap().well, None);
    let failing = Image::new("/srv/check").role(Role::Probe).says("503").exits(2, 1);
    sim.probe_program("web", Probing::Health, failing);
    sim.run_seconds(15);
    let status = sim.status("web");
    assert_eq!(status.reason, "started; health check failed (1 of 2): 503");
    let health = status.health.unwrap();
    assert_eq!((health.well, health.failed, health.retries), (Some(false), 1, 2));
    assert_eq!(health.failure.as_deref(), Some("503"));
    sim.run_seconds(10);
    let (status, story, _) = why(&mut sim, "web");
    assert_eq!(status.state, StateName::Unhealthy);
    let told = words(&story);
    assert!(told.contains(&"web 10 health check failed: 503; 1 of 2 in a row".to_owned()), "{told:#?}");
    let last = "web 10 running → unhealthy by Unfit: health check failed 2 times in a row: 503".to_owned();
    assert!(told.contains(&last), "{told:#?}");
}

#[test]
fn a_story_has_a_limit() {
    let mut sim = web();
    sim.program("web", Image::new("/srv/web").exits(1, 1));
    let pid = sim.main("web").unwrap();
    sim.signal(pid, SIGKILL);
    sim.run_seconds(3_600);
    let (_, story, forgotten) = why(&mut sim, "web");
    assert_eq!(story.len(), 64);
    assert!(story.windows(2).all(|two| two[0].number + 1 == two[1].number));
    assert_eq!(forgotten, story[0].number - 1);
    let heard = events(&mut sim, &[], 0, false).unwrap();
    assert_eq!((heard.events.len(), heard.missed, heard.more), (64, forgotten, false));
    assert_eq!(heard.next, forgotten + 64);
    let last = events(&mut sim, &["web"], heard.next - 2, false).unwrap();
    assert_eq!((last.events.len(), last.missed), (2, 0));
}

#[test]
fn who_follows_hears_each_event_once() {
    let mut sim = start(vec![service("web", "/srv/web"), after(service("mail", "/srv/mail"), &["web"])]);
    let known = events(&mut sim, &["mail"], 0, true).expect("what was is told at once");
    assert!(known.events.iter().all(|event| event.service.as_deref() == Some("mail")));
    assert!(events(&mut sim, &["mail"], known.next, true).is_none(), "nothing is new");
    let web = sim.main("web").unwrap();
    sim.signal(web, SIGKILL);
    sim.run_seconds(1);
    assert!(heard(&mut sim).is_none(), "that was another service");
    let mail = sim.main("mail").unwrap();
    sim.signal(mail, SIGTERM);
    sim.run_seconds(1);
    let first = heard(&mut sim).expect("its service ended");
    assert_eq!(words(&first.events)[0], format!("mail {mail} exit Some(0) None"));
    assert_eq!(first.missed, 0);
    let rest = events(&mut sim, &["mail"], first.next, false).unwrap();
    let causes = rest.events.iter().filter_map(|event| match event.what {
        What::State { to, cause, .. } => Some((to, cause)),
        _ => None,
    });
    let causes: Vec<_> = causes.collect();
    assert_eq!(causes.last(), Some(&(StateName::Running, Cause::Exit)), "{causes:?}");
}

#[test]
fn who_hung_up_follows_no_more_and_the_manager_has_a_story_too() {
    let mut sim = web();
    let all = events(&mut sim, &[], 0, false).unwrap();
    assert!(events(&mut sim, &[], all.next, true).is_none());
    let client = sim.wonder(Request::Events { names: vec![], after: all.next, follow: true });
    sim.hear(Event::HungUp { client });
    sim.terminate("SIGTERM");
    sim.run_seconds(1);
    assert_eq!(sim.heard.len(), 1, "only the one that is still there");
    let told = words(&heard(&mut sim).unwrap().events);
    assert_eq!(told[0], "musterd shutting down: SIGTERM; stopping everything");
}

fn measure(sim: &mut Sim) -> Vec<Status> {
    sim.wonder(Request::Status { names: vec![], measured: true, detail: false });
    match sim.heard.pop() {
        Some(Response::Services { services }) => services,
        other => panic!("no states but {other:?}"),
    }
}

#[test]
fn what_services_take_is_measured_for_those_who_ask_once_a_second() {
    const MIB: u64 = 1024 * 1024;
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web"), service("db", "/srv/db")]), |_| {});
    let worker = Image::new("worker").role(Role::Worker).takes(30 * MIB, 150);
    sim.program("web", Image::new("/srv/web").takes(10 * MIB, 50).forks(5, worker));
    sim.program("db", polite("/srv/db"));
    sim.run_seconds(100);
    assert_eq!((sim.measured, sim.status("web").usage), (0, None));
    let taken = |services: &[Status]| services[0].usage.clone().unwrap();
    let first = taken(&measure(&mut sim));
    assert_eq!((first.memory, first.children, first.cpu.round()), (40 * MIB, 1, 200.0));
    assert!((99.0..=100.0).contains(&first.cpu_over), "since its start: {first:?}");
    assert_eq!((taken(&measure(&mut sim)), sim.measured), (first, 1));
    sim.run_seconds(10);
    let second = taken(&measure(&mut sim));
    assert_eq!((sim.measured, second.cpu.round(), second.cpu_over.round()), (2, 200.0, 10.0));
    // What ended is not told any more, and what came is measured anew.
    let pid = sim.main("db").unwrap();
    sim.stop("db");
    sim.run_seconds(2);
    assert_eq!(sim.status("db").usage, None, "{pid} is no more");
}

#[test]
fn without_a_table_the_states_are_told_all_the_same() {
    let mut sim = web();
    sim.hear(Event::ScanFailed { error: "cannot open /proc".to_owned() });
    let services = measure(&mut sim);
    assert_eq!((services[0].state, services[0].usage.as_ref(), sim.measured), (StateName::Running, None, 0));
}

#[test]
fn an_end_that_is_heard_of_twice_is_told_once() {
    let mut sim = web();
    let pid = sim.main("web").unwrap();
    sim.signal(pid, SIGKILL);
    sim.run_seconds(1);
    let again = sim.told.first().cloned().expect("the end was told");
    sim.hear(again);
    let (_, story, _) = why(&mut sim, "web");
    let is_end = |event: &&Happening| matches!(event.what, What::Exit(_));
    assert_eq!(story.iter().filter(is_end).count(), 1);
}

#[test]
fn who_follows_a_service_that_is_removed_hears_its_end_and_that_it_is_gone() {
    let mut sim = start(vec![service("web", "/srv/web"), service("db", "/srv/db")]);
    let all = events(&mut sim, &["web"], 0, false).unwrap();
    assert!(events(&mut sim, &["web"], all.next, true).is_none(), "it waits");
    assert!(events(&mut sim, &["web", "db"], all.next, true).is_none(), "it waits");
    sim.reconfigure(vec![service("db", "/srv/db")], |_| true, |_| {});
    sim.run_seconds(1);
    let is_gone = |response: &Response| {
        let name = ["web".to_owned()];
        matches!(response, Response::NoSuchService { names, known } if *names == name && *known == ["db"])
    };
    // Both were answered when it began to stop, and now ask again for the rest.
    let [Response::Events { next, .. }, Response::Events { .. }] = &sim.heard[..] else {
        panic!("{:?}", sim.heard)
    };
    let next = *next;
    sim.heard.clear();
    for names in [&["web"][..], &["web", "db"], &[]] {
        let told = events(&mut sim, names, next, true).unwrap();
        let told = words(&told.events);
        assert!(told[0].starts_with("web 10 exit Some(0)"), "{told:?}");
        let last = "web stopping → stopped by Configuration: the configuration has it no more; main process 10 exited 0";
        assert!(told.iter().any(|told| told == last), "{told:?}");
    }
    let next = events(&mut sim, &["web"], next, true).unwrap().next;
    assert!(events(&mut sim, &["db"], next, true).is_none(), "it waits for the other one");
    sim.wonder(Request::Events { names: vec!["web".to_owned()], after: next, follow: true });
    assert!(sim.heard.pop().as_ref().is_some_and(is_gone), "{:?}", sim.heard);
}

#[test]
fn who_waits_for_a_service_that_is_removed_is_told_so() {
    let mut sim = start(vec![service("web", "/srv/web"), service("db", "/srv/db")]);
    sim.stop("web");
    sim.run_seconds(1);
    let all = events(&mut sim, &["web"], 0, false).unwrap();
    for names in [&["web"][..], &["web", "db"], &[]] {
        assert!(events(&mut sim, names, all.next, true).is_none(), "it waits");
    }
    sim.reconfigure(vec![service("db", "/srv/db")], |_| true, |_| {});
    sim.run_seconds(1);
    let is_gone = |response: &&Response| matches!(response, Response::NoSuchService { .. });
    assert_eq!(sim.heard.iter().filter(is_gone).count(), 1, "{:?}", sim.heard);
    let own = |response: &&Response| matches!(response, Response::Events { .. });
    assert_eq!(sim.heard.iter().filter(own).count(), 1, "musterd's own for who follows all: {:?}", sim.heard);
}
