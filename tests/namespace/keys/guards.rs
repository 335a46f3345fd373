//! Keys of how much a service may take.

use std::time::Duration;

use crate::{
    Test,
    common::{now, wait},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("memory_max_restarts_or_reports", memory_max_restarts_or_reports),
    ("memory_max_for_is_patient", memory_max_for_is_patient),
    ("cpu_max_restarts_or_reports", cpu_max_restarts_or_reports),
];

/// A child of it takes 40 MiB; of its own it takes next to nothing.
const HUNGRY: &str =
    "sh -c 'x=$(head -c 40000000 /dev/zero | tr \"\\\\0\" x); echo fed; sleep 3600; echo $x' &\nwait";

/// A machine of `alpha`, which is restarted, `beta`, which is reported, and `gamma`, which may take more; all run
/// `body`.
fn three(test: &str, body: &str, keys: [&str; 3]) -> Machine {
    let folder = Folder::new(test);
    let services: String = ["alpha", "beta", "gamma"]
        .iter()
        .zip(keys)
        .map(|(name, keys)| {
            let start = folder.script(name, body);
            format!("[services.{name}]\nstart = '{start}'\ninterval = '200ms'\n{keys}\n")
        })
        .collect();
    let config = folder.config(&services);
    Machine::start(folder, &["-c", &config])
}

/// The lines in which musterd says that a service takes too much.
fn complaints(machine: &Machine, name: &str) -> Vec<String> {
    let of_it = |line: &&str| line.contains(&format!("\"{name}\"")) && line.contains("takes ");
    machine.output().lines().filter(of_it).map(str::to_owned).collect()
}

/// `alpha` was started anew because of it, `beta` was told of, `gamma` is as it was.
fn assert_guarded(machine: &Machine, key: &str) {
    let alpha = machine
        .wait_service("alpha", "is started anew", |alpha| alpha.restarts >= 1 && alpha.reason.contains(key));
    assert!(alpha.reason.contains("takes "), "{alpha:?}");
    wait("beta is told of", || (!complaints(machine, "beta").is_empty()).then_some(()));
    assert!(complaints(machine, "beta")[0].contains(key));
    for name in ["beta", "gamma"] {
        let status = machine.wait_running(name);
        assert_eq!((status.restarts, pid(&status) > 0), (0, true), "{status:?}");
    }
    assert_eq!(complaints(machine, "gamma"), [""; 0]);
}

fn memory_max_restarts_or_reports() {
    let keys = [
        "memory-max = '20MiB'",
        "memory-max = { size = '20MiB', on-excess = 'report' }",
        "memory-max = { size = '2GiB', on-excess = 'report' }",
    ];
    assert_guarded(&three("memory", HUNGRY, keys), "memory-max = 20 MiB");
}

fn memory_max_for_is_patient() {
    let begin = now();
    let keys = [
        "memory-max = '2GiB'",
        "memory-max = { size = '1MiB', for = '3s', on-excess = 'report' }",
        "memory-max = { size = '1MiB', for = '1h', on-excess = 'report' }",
    ];
    let machine = three("memory-for", HUNGRY, keys);
    wait("beta is told of", || (!complaints(&machine, "beta").is_empty()).then_some(()));
    assert!(begin.elapsed() >= Duration::from_secs(3));
    assert_eq!(complaints(&machine, "gamma"), [""; 0]);
}

fn cpu_max_restarts_or_reports() {
    let begin = now();
    let keys = [
        "cpu-max = { percent = '5%', for = '1s' }",
        "cpu-max = { percent = '5%', for = '1s', on-excess = 'report' }",
        "cpu-max = { percent = '5000%', for = '1s', on-excess = 'report' }",
    ];
    let machine = three("cpu", "while :; do :; done & wait", keys);
    assert_guarded(&machine, "cpu-max = 5%");
    assert!(begin.elapsed() < Duration::from_secs(25), "the usual time is 30 s");
}
