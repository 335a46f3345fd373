//! What must hold of the pure parts of the decider for any input. Whole lives are in tests/decider.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    path::PathBuf,
    sync::LazyLock,
    time::Duration,
};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    backoff,
    census::Census,
    pattern::Pattern,
    presence::{Everybody, Finding, Seeker, ancestors, assign},
    process_names::{Names, command_lines, is_candidate},
    state::Rule,
};
use crate::{
    config::{Backoff, Service, Sources, load},
    process::{Life, Pid, Process, ProcessId, Table},
};

/// Services of which none answers to a name of another.
const COMMANDS: [&str; 5] =
    ["/srv/web -x", "/usr/sbin/sshd", "python3 /srv/c.py", "python3 /srv/d.py", "worker --all"];

/// What the processes run: the services' commands, and what looks like them.
const RUNNING: [&str; 12] = [
    "/srv/web -x",
    "/srv/web -y",
    "/usr/sbin/sshd",
    "sshd: kim@pts/0",
    "python3 /srv/c.py",
    "python3 /srv/d.py",
    "python3 -u /srv/d.py",
    "worker --all",
    "/opt/worker",
    "vim worker",
    "/bin/sh /etc/init.d/sshd start",
    "bash",
];

static SERVICES: LazyLock<Vec<Service>> = LazyLock::new(|| {
    let commands = COMMANDS.map(str::to_owned).to_vec();
    load(&Sources { commands, ..Sources::default() }).unwrap().0.services
});

fn process(names: Vec<String>) -> impl Strategy<Value = Process> {
    let life = prop_oneof![8 => Just(Life::Alive), 1 => Just(Life::Dead), 1 => Just(Life::Kernel)];
    let ids = (0..60_i32, 0..4_u64, 1..60_i32);
    let what = (select(&RUNNING[..]), option::weighted(0.3, select(names)), life, prop::bool::weighted(0.1));
    (ids, what).prop_map(|((parent, start, session), (command, mark, life, foreign))| {
        let argv: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        let exe = PathBuf::from(&argv[0]);
        Process {
            id: ProcessId { pid: 0, start },
            parent,
            session,
            life,
            comm: exe.file_name().unwrap().to_owned(),
            exe: Some(exe).filter(|exe| exe.is_absolute()),
            argv,
            mark: mark.map(OsString::from),
            users: None,
            memory: 0,
            cpu: 0,
            probe: false,
            foreign,
        }
    })
}

prop_compose! {
    /// Parents are any, so that there are circles, too.
    fn table()(processes in vec(process(SERVICES.iter().map(|service| service.name.to_string()).collect()), 0..30)) -> Table {
        let numbered = (2..).zip(processes).map(|(pid, process)| {
            Process { id: ProcessId { pid, ..process.id }, ..process }
        });
        Table { processes: numbered.collect(), ..Table::default() }
    }
}

/// What one look finds for these services, in this order.
fn look(
    table: &Table,
    order: &[usize],
    recorded: &[Option<Pid>],
    taken: &mut HashSet<Pid>,
) -> Vec<(usize, Option<Finding>)> {
    let services = &*SERVICES;
    let patterns: Vec<Pattern> = services.iter().map(Pattern::new).collect();
    let everybody = Everybody {
        patterns: services.iter().map(|service| service.name.as_str()).zip(&patterns).collect(),
        commands: patterns.iter().map(|pattern| pattern.argv.as_slice()).collect(),
    };
    let seeker = |&at: &usize| Seeker {
        name: services[at].name.as_str(),
        everybody: &everybody,
        pattern: &patterns[at],
        recorded: recorded[at].and_then(|pid| Some(table.get(pid)?.id)),
        kin: None,
    };
    let seekers: Vec<Seeker> = order.iter().map(seeker).collect();
    let census = Census::new(table, &HashSet::new());
    order.iter().copied().zip(assign(&census, &seekers, taken)).collect()
}

/// Whether the rule says that the process is this service's, as the contract words it.
fn holds(rule: Rule, service: &Service, process: &Process) -> bool {
    let pattern = Pattern::new(service);
    let admitted = pattern.admits(process, &Names::of(process), &Default::default());
    match rule {
        Rule::Record | Rule::Pidfile | Rule::Match => false,
        Rule::Mark => admitted && process.mark.as_deref() == Some(OsStr::new(service.name.as_str())),
        Rule::CommandLine => admitted && command_lines(process).any(|argv| argv == pattern.argv),
        Rule::Executable => {
            let exe = PathBuf::from(&pattern.argv[0]);
            admitted && exe.is_absolute() && process.exe == Some(exe)
        }
        Rule::Name => admitted,
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn no_process_is_found_twice_and_none_that_cannot_be(
        table in table(),
        recorded in vec(option::of(2..40_i32), COMMANDS.len()),
        held in prop::collection::hash_set(2..40_i32, 0..5),
    ) {
        let mut taken = held.clone();
        let found = look(&table, &[0, 1, 2, 3, 4], &recorded, &mut taken);
        let mut pids = HashSet::new();
        for finding in found.iter().filter_map(|(_, finding)| *finding) {
            prop_assert!(pids.insert(finding.process.pid), "{finding:?} is found twice");
            prop_assert!(!held.contains(&finding.process.pid), "{finding:?} is taken");
            let process = table.alive(finding.process);
            prop_assert!(process.is_some_and(is_candidate), "{process:?}");
        }
        prop_assert_eq!(taken, &held | &pids);
    }

    #[test]
    fn the_best_rule_wins(table in table(), at in 0..COMMANDS.len()) {
        let found = look(&table, &[at], &[None; COMMANDS.len()], &mut HashSet::new());
        let finding = found[0].1;
        let service = &SERVICES[at];
        let elsewhere = |process: &Process| {
            let bears = |other: &Service| other.name != service.name && holds(Rule::Mark, other, process);
            SERVICES.iter().any(bears)
        };
        let best = Rule::ALL.into_iter().find(|&rule| {
            let ours = |process: &&Process| is_candidate(process) && !elsewhere(process) && holds(rule, service, process);
            table.processes.iter().any(|process| ours(&process))
        });
        prop_assert_eq!(finding.map(|finding| finding.rule), best);
    }

    #[test]
    fn the_order_of_the_services_changes_nothing(
        table in table(),
        recorded in vec(option::of(2..40_i32), COMMANDS.len()),
        order in Just(vec![0, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let recorded: Vec<Option<Pid>> = (0..recorded.len())
            .map(|at| recorded[at].filter(|pid| !recorded[..at].contains(&Some(*pid))))
            .collect();
        let straight = look(&table, &[0, 1, 2, 3, 4], &recorded, &mut HashSet::new());
        let mut shuffled = look(&table, &order, &recorded, &mut HashSet::new());
        shuffled.sort_by_key(|(at, _)| *at);
        prop_assert_eq!(straight, shuffled);
    }

    #[test]
    fn there_are_no_more_ancestors_than_processes(table in table()) {
        for process in &table.processes {
            prop_assert!(ancestors(&table, process).count() <= table.processes.len());
        }
    }

    #[test]
    fn pauses_grow_up_to_their_limit(
        initial in 0..100_000_u64,
        factor in 1.0..1e9,
        max in 0..1_000_000_u64,
        interval in 100..1_000_000_u64,
    ) {
        let (initial, max) = (Duration::from_millis(initial), Duration::from_millis(max));
        let service = Service {
            backoff: Backoff { initial: initial.min(max), factor, max },
            interval: Duration::from_millis(interval),
            ..SERVICES[0].clone()
        };
        let pauses: Vec<Duration> =
            (0..2_000).chain([u32::MAX]).map(|failures| backoff::pause(&service, failures)).collect();
        prop_assert_eq!(&pauses[..2], [Duration::ZERO; 2]);
        prop_assert_eq!(pauses[2], initial.min(max).min(service.interval));
        prop_assert!(pauses.is_sorted());
        prop_assert!(pauses.iter().all(|pause| *pause <= max.min(service.interval)));
    }

    #[test]
    fn a_stable_run_begins_anew(before in 0..u32::MAX, ran in option::of(0..100_u64), stable in 0..50_u64) {
        let (ran, stable_after) = (ran.map(Duration::from_secs), Duration::from_secs(stable));
        let service = Service { stable_after, ..SERVICES[0].clone() };
        let failures = backoff::failures(&service, before, ran);
        match ran {
            None => prop_assert!(failures >= 2 && failures > before),
            Some(_) if stable == 0 => prop_assert_eq!(failures, 0),
            Some(ran) if ran >= stable_after => prop_assert_eq!(failures, 1),
            Some(_) => prop_assert_eq!(failures, before + 1),
        }
    }
}
