//! musterd reaps what nobody waits for, as PID 1 and below another one.

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("five_hundred_orphans_are_reaped", five_hundred_orphans_are_reaped),
    (
        "below_another_pid_1_orphans_are_adopted_and_reaped",
        below_another_pid_1_orphans_are_adopted_and_reaped,
    ),
];

/// A service that leaves as many orphans, which live until they are killed.
fn leave(count: usize) -> String {
    format!("i=0; while [ $i -lt {count} ]; do i=$((i + 1)); (sleep 3600 &); done\nexec \"$@\"")
}

/// Waits for the orphans, kills all of them at once, waits until none is left, not even as a zombie.
fn kill_and_wait(machine: &Machine, parent: i32, count: usize) {
    let orphans = wait("the orphans have musterd as their parent", || {
        let orphans = machine.named("sleep").into_iter().filter(|process| process.parent == parent);
        let orphans: Vec<_> = orphans.map(|orphan| orphan.pid.to_string()).collect();
        (orphans.len() == count).then_some(orphans)
    });
    machine.inside(
        &[&["kill", "-KILL"], orphans.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat(),
    );
    wait("no zombie is left", || {
        machine.table().iter().all(|process| process.comm != "sleep" && process.state != 'Z').then_some(())
    });
}

fn five_hundred_orphans_are_reaped() {
    let folder = Folder::new("orphans");
    let alpha = folder.sleeper("alpha");
    let breeder = folder.script("breeder", &leave(500));
    let machine = Machine::start(folder, &[&format!("{breeder} {alpha} infinity")]);
    let before = machine.wait_running("breeder");

    kill_and_wait(&machine, 1, 500);
    let after = machine.wait_running("breeder");
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
}

fn below_another_pid_1_orphans_are_adopted_and_reaped() {
    let folder = Folder::new("subreaper");
    let alpha = folder.sleeper("alpha");
    let breeder = folder.script("breeder", &leave(20));
    let mut machine = Machine::start_by(folder, "\"$@\"\nexit $?", &[&format!("{breeder} {alpha} infinity")]);
    let before = machine.wait_running("breeder");
    let manager = machine.named("musterd").pop().expect("musterd runs");
    assert_ne!(manager.pid, 1);

    kill_and_wait(&machine, manager.pid, 20);
    machine.kill("KILL", pid(&before));
    machine.wait_back("breeder", &before);

    // The shell exits with musterd's code.
    machine.terminate(manager.pid);
    assert_eq!(machine.wait_end(), Some(0));
}
