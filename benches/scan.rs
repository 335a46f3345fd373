//! One look at the process table and the decisions on it: what a check at the interval costs, and what it
//! costs to find missing services. The cost grows with processes plus services, not with their product.
//!
//! `cargo bench`; best as root, inside `unshare --fork --pid --mount-proc`, where nobody else's processes count.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::{
    collections::HashMap,
    ffi::OsString,
    process::{Child, Command as Program, Stdio},
    time::{Duration, SystemTime},
};

use divan::{Bencher, counter::ItemsCount};
use musterd::{
    config::{Command, Config, LogFormat, LogLevel, Manager, Service, ServiceName},
    linux::table::{Scanner, scan},
    process::{Life, Pid, Process, ProcessId, Table},
    supervisor::{Action, Event, Place, ServiceId, Supervisor},
    time::Time,
};

const PROCESSES: [usize; 2] = [1000, 5000];
const SERVICES: [usize; 2] = [1, 1000];
const INTERVAL: Duration = Duration::from_secs(60);

fn main() {
    divan::main();
}

/// A check at the interval: all services run, the made-up table is only gone through.
#[divan::bench(args = sizes())]
fn decide_check(bencher: Bencher, (processes, services): (usize, usize)) {
    let mut machine = Machine::new(services);
    let table = machine.all_run(processes);
    bencher.counter(ItemsCount::new(processes + services)).bench_local(|| machine.check(table.clone()));
}

/// The first look: every service is missing, and must be told from the processes of the made-up table.
#[divan::bench(args = sizes())]
fn decide_all_missing(bencher: Bencher, (processes, services): (usize, usize)) {
    let others = (0..processes).map(|at| process(at as Pid + 2, "other")).collect();
    let table = Table { processes: others, ..Table::default() };
    bencher
        .counter(ItemsCount::new(processes + services))
        .with_inputs(|| (Machine::new(services), table.clone()))
        .bench_local_values(|(mut machine, table)| machine.step(Event::Scanned(table)));
}

/// The same check on this machine's real table, with so many processes in it.
#[divan::bench(args = sizes())]
fn scan_and_decide(bencher: Bencher, (processes, services): (usize, usize)) {
    let scanner = Scanner::new().expect("/proc is mounted");
    let _sleepers = Sleepers::fill(&scanner, processes);
    let mut machine = Machine::new(services);
    machine.all_run(processes);
    bencher.counter(ItemsCount::new(processes + services)).bench_local(|| {
        let table = scan(&scanner, |_| false).expect("/proc can be read");
        machine.check(table);
    });
}

fn sizes() -> impl Iterator<Item = (usize, usize)> {
    PROCESSES.into_iter().flat_map(|processes| SERVICES.map(|services| (processes, services)))
}

/// A decider and its clock.
struct Machine {
    supervisor: Supervisor,
    services: usize,
    now: Time,
}

impl Machine {
    fn new(services: usize) -> Self {
        let config = config(services);
        let place = Place { pid: 1, parent: 0, is_init: true };
        let supervisor = Supervisor::new(&config, place, &HashMap::new(), Time::ZERO, SystemTime::UNIX_EPOCH);
        Self { supervisor, services, now: Time::ZERO }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.supervisor.step(self.now, event)
    }

    /// Starts all services; returns a table that they are in, filled up to so many processes.
    fn all_run(&mut self, processes: usize) -> Table {
        for action in self.step(Event::Scanned(Table::default())) {
            if let Action::Spawn { service, purpose } = action {
                let process = ProcessId { pid: pid_of(service), start: 1 };
                self.step(Event::Spawned { service, purpose, process, leads_session: true });
            }
        }
        assert!(self.supervisor.look().is_none(), "all services run");
        let services = (0..self.services as u32).map(|at| process(pid_of(ServiceId(at)), &name(at as usize)));
        let others = (self.services..processes).map(|at| process(at as Pid + 2, "other"));
        Table { processes: services.chain(others).collect(), ..Table::default() }
    }

    /// Leaps to the next check and answers its look.
    fn check(&mut self, table: Table) {
        self.now += INTERVAL;
        self.step(Event::Tick);
        assert!(self.supervisor.look().is_some(), "a check is due");
        self.step(Event::Scanned(table));
    }
}

fn pid_of(service: ServiceId) -> Pid {
    service.0 as Pid + 2
}

fn name(at: usize) -> String {
    format!("svc{at:04}")
}

fn process(pid: Pid, name: &str) -> Process {
    Process {
        id: ProcessId { pid, start: 1 },
        parent: 1,
        session: pid,
        life: Life::Alive,
        comm: OsString::from(name),
        argv: vec![OsString::from(format!("/usr/bin/{name}")), OsString::from("--foreground")],
        exe: Some(format!("/usr/bin/{name}").into()),
        mark: None,
        users: None,
        memory: 0,
        cpu: 0,
        probe: false,
        foreign: false,
    }
}

fn config(services: usize) -> Config {
    let service = |at: usize| {
        let start = Command { argv: vec![format!("/usr/bin/{}", name(at))], environment: Vec::new() };
        Service::new(ServiceName::parse(&name(at)).expect("a valid name"), start)
    };
    let manager = Manager {
        shutdown_timeout: Duration::from_secs(8),
        socket: None,
        allow_users: Vec::new(),
        observers: Vec::new(),
        log_format: LogFormat::Text,
        log_level: LogLevel::Info,
        log_times: false,
    };
    Config { manager, services: (0..services).map(service).collect(), warnings: Vec::new() }
}

/// Real processes that do nothing.
struct Sleepers(Vec<Child>);

impl Sleepers {
    /// Starts as many as the table lacks.
    fn fill(scanner: &Scanner, processes: usize) -> Self {
        let there = scan(scanner, |_| false).expect("/proc can be read").processes.len();
        let sleeper = || Program::new("sleep").arg("infinity").stdin(Stdio::null()).spawn();
        Self((there..processes).map(|_| sleeper().expect("another process can be started")).collect())
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that ended by itself is only waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
