//! What is missing is started, at once and once only.

use std::time::Duration;

use crate::{
    Test,
    common::{now, wait},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("commands_and_configured_services_are_started", commands_and_configured_services_are_started),
    ("a_killed_service_is_back", a_killed_service_is_back),
    ("a_killed_daemon_is_back", a_killed_daemon_is_back),
    ("what_a_crash_leaves_behind_is_ended_first", what_a_crash_leaves_behind_is_ended_first),
    ("a_session_that_a_daemon_makes_late_is_ended_too", a_session_that_a_daemon_makes_late_is_ended_too),
    ("fifty_services_killed_at_once_are_back_once_each", fifty_services_killed_at_once_are_back_once_each),
    ("a_crash_loop_is_slowed_and_delays_nobody", a_crash_loop_is_slowed_and_delays_nobody),
    ("a_wrong_command_is_told_once", a_wrong_command_is_told_once),
];

/// In which the kernel tells when a process started (USER_HZ, time(7)).
const TICK: Duration = Duration::from_millis(10);

fn commands_and_configured_services_are_started() {
    let folder = Folder::new("started");
    let (alpha, beta) = (folder.sleeper("alpha"), folder.sleeper("beta"));
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} 1'\n[services.idle]\nstart = '{alpha} 2'\nautostart = false\n"
    ));
    let (alpha, beta) = (format!("{alpha} infinity"), format!("COLOUR=blue {beta} infinity"));
    let machine = Machine::start(folder, &["-c", &config, &alpha, &beta]);

    // The command replaced alpha's start, which would have ended after a second.
    let alpha = machine.wait_running("alpha");
    let arguments = std::fs::read(machine.proc(&format!("{}/cmdline", pid(&alpha)))).expect("its arguments");
    assert!(arguments.ends_with(b"alpha\0infinity\0"), "{arguments:?}");

    let beta = machine.wait_running("beta");
    let environment =
        std::fs::read(machine.proc(&format!("{}/environ", pid(&beta)))).expect("its environment");
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == b"COLOUR=blue"));

    let names: Vec<_> = machine.status().into_iter().map(|status| (status.name, status.state)).collect();
    let expected = [("alpha", "running"), ("idle", "stopped"), ("beta", "running")];
    assert_eq!(names, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
}

fn a_killed_service_is_back() {
    let folder = Folder::new("killed");
    let alpha = folder.sleeper("alpha") + " infinity";
    let machine = Machine::start(folder, &[&alpha]);
    let before = machine.wait_running("alpha");
    assert_eq!(before.restarts, 0);

    machine.kill("KILL", pid(&before));
    let after = machine.wait_back("alpha", &before);
    assert_eq!(after.restarts, 1);
    assert!(after.reason.contains("SIGKILL"), "{}", after.reason);
    assert_eq!(machine.named("alpha").len(), 1);
}

fn a_killed_daemon_is_back() {
    let folder = Folder::new("daemon");
    let daemon = folder.daemon("hermit");
    let machine = Machine::start(folder, &[&daemon]);
    // Until its start command has ended, that is the main process.
    let followed = |nth: usize| {
        wait("the daemon is followed", || {
            let starts = machine.folder.lines("starts");
            let status = machine.status().pop()?;
            (status.pid?.to_string() == *starts.get(nth)? && status.state == "running").then_some(status)
        })
    };
    let before = followed(0);
    assert!(before.reason.contains("daemonised"), "{}", before.reason);

    machine.kill("KILL", pid(&before));
    let after = followed(1);
    assert_eq!(after.restarts, 1);
    assert_eq!(machine.named("hermit").len(), 1);
    assert_eq!(machine.folder.lines("starts").len(), 2);
}

fn what_a_crash_leaves_behind_is_ended_first() {
    let folder = Folder::new("remains");
    let worker = folder.sleeper("worker");
    let master = folder.script("master", &format!("{worker} infinity &\nwait"));
    let machine = Machine::start(folder, &[&master]);
    let before = machine.wait_running("master");
    let old = wait("a worker", || machine.named("worker").pop());

    machine.kill("KILL", pid(&before));
    machine.wait_back("master", &before);
    let new =
        wait("a worker of the new master", || machine.named("worker").pop().filter(|new| new.pid != old.pid));
    assert_ne!(new.session, old.session);
    assert!(machine.named("worker").iter().all(|worker| worker.pid != old.pid), "the old worker lives");
}

fn a_session_that_a_daemon_makes_late_is_ended_too() {
    let folder = Folder::new("late-session");
    let worker = folder.sleeper("worker");
    // As nginx does, but slowly: the first process is gone before the other one has made its session.
    let late = folder.script(
        "late",
        &format!(
            "case $1 in\n--daemon) until [ -e $folder/seen ]; do sleep 0.01; done; exec setsid \"$0\" --master;;\n\
             --master) {worker} infinity & wait;;\n*) \"$0\" --daemon & ;;\nesac"
        ),
    );
    let machine = Machine::start(folder, &[&late]);
    let before = machine.wait_service("late", "is followed", |status| status.reason.contains("daemonised"));
    std::fs::write(machine.folder.path("seen"), "").expect("a file");
    let old = wait("a worker in the new session", || {
        machine.named("worker").into_iter().find(|worker| worker.session == pid(&before))
    });
    // What is younger than a tick of the kernel's clock cannot be told from what has a PID that came again.
    let seen = now();
    wait("it is older", || (seen.elapsed() >= 2 * TICK).then_some(()));

    machine.kill("KILL", pid(&before));
    wait("the old worker has ended", || {
        machine.named("worker").iter().all(|worker| worker.pid != old.pid).then_some(())
    });
    machine.wait_service("late", "is back", |status| status.restarts == 1 && status.pid != before.pid);
}

fn fifty_services_killed_at_once_are_back_once_each() {
    let folder = Folder::new("storm");
    let names: Vec<String> = (0..50).map(|number| format!("storm{number:02}")).collect();
    let commands: Vec<String> = names.iter().map(|name| folder.sleeper(name) + " infinity").collect();
    let machine = Machine::start(folder, &commands.iter().map(String::as_str).collect::<Vec<_>>());
    let all = |restarts: u64| {
        let status = machine.status();
        let there = status.iter().filter(|one| one.state == "running" && one.restarts == restarts).count();
        (there == names.len()).then_some(status)
    };
    let before = wait("all run", || all(0));

    let pids: Vec<String> = before.iter().map(|status| pid(status).to_string()).collect();
    machine.inside(
        &[&["kill", "-KILL"], pids.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat(),
    );
    let after = wait("all are back", || all(1));
    assert!(before.iter().zip(&after).all(|(before, after)| before.pid != after.pid));
    for name in &names {
        assert_eq!(machine.named(name).len(), 1, "{name}");
    }
}

fn a_crash_loop_is_slowed_and_delays_nobody() {
    let folder = Folder::new("loop");
    let crash = folder.script("crash", "echo $$ >>$folder/starts\nexit 7");
    let alpha = folder.sleeper("alpha");
    let config = folder.config(&format!(
        "[services.crash]\nstart = '{crash}'\ninterval = '1h'\n\
         backoff = {{ initial = '50ms', factor = 30.0, max = '1h' }}\n\
         [services.alpha]\nstart = '{alpha} infinity'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    // 0, 0 + 50 ms, + 1.5 s, + 45 s: the fourth start comes soon, the fifth when the test has long ended.
    wait("the back-off has grown", || (machine.folder.lines("starts").len() >= 4).then_some(()));
    let crash = machine.wait_service("crash", "waits", |status| status.state == "backoff");
    assert_eq!(crash.pid, None);
    assert!(crash.reason.contains("exited 7"), "{}", crash.reason);

    let before = machine.wait_running("alpha");
    machine.kill("KILL", pid(&before));
    machine.wait_back("alpha", &before);
    assert_eq!(machine.folder.lines("starts").len(), 4, "alpha was back before the pause of 45 s had ended");
}

fn a_wrong_command_is_told_once() {
    let folder = Folder::new("wrong");
    let alpha = folder.sleeper("alpha") + " infinity";
    let ghost = folder.path("ghost");
    let config = folder.config(&format!(
        "[services.ghost]\nstart = '{ghost} infinity'\n\
         backoff = {{ initial = '10ms', factor = 1.0, max = '10ms' }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config, &alpha]);
    // There is no pause before the second try, so it was tried twice.
    let missing = machine.wait_service("ghost", "waits", |status| status.state == "backoff");
    assert!(missing.reason.contains(&ghost), "{}", missing.reason);
    assert!(missing.reason.to_lowercase().contains("no such file"), "{}", missing.reason);
    machine.wait_running("alpha");
    assert_eq!(machine.output().matches(&ghost).count(), 1, "{}", machine.output());

    machine.folder.sleeper("ghost");
    machine.wait_running("ghost");
}
