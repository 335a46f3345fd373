//! The traps in which managers that look at the process table were seen: which process is the service. Each test
//! has its trap's number and name; those that need a container are in `tests/docker`, those about what a service
//! lives with in `traps_around`.

use std::fs;

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("trap_01_comm_is_cut_at_15_bytes", trap_01),
    ("trap_02_titles_are_rewritten", trap_02),
    ("trap_05_interpreters_hide_the_script", trap_05),
    ("trap_06_a_zombie_keeps_its_name", trap_06_zombie),
    ("trap_06_a_leader_that_ended_hides_a_living_process", trap_06_leader),
    ("trap_07_a_recorded_pid_is_another_process_now", trap_07),
    ("trap_08_names_hold_parentheses_and_newlines", trap_08),
    ("trap_10_threads_have_names_too", trap_10),
    ("trap_11_what_an_engine_executes_has_no_parent", trap_11),
    ("trap_12_a_daemon_is_late_to_take_its_name", trap_12),
    ("trap_14_statuses_are_not_lost_among_orphans", trap_14),
];

/// A line of a script that runs `command` in a session of its own and waits until it is called `comm`.
fn before(command: &str, comm: &str) -> String {
    format!("setsid {command} &\nuntil grep -qsxF '{comm}' /proc/$!/comm; do sleep 0.01; done\n")
}

/// The script goes on as musterd.
const THEN_MUSTERD: &str = "exec \"$@\"";

fn trap_01() {
    let folder = Folder::new("trap-01");
    let names = ["a-very-long-daemon-name-1", "a-very-long-daemon-name-2"];
    let [one, two] = names.map(|name| folder.sleeper(name));
    let script = before(&format!("{two} 3600"), "a-very-long-dae") + THEN_MUSTERD;
    let machine =
        Machine::start_by(folder, &script, &[&format!("{one} infinity"), &format!("{two} infinity")]);
    let [first, second] = names.map(|name| machine.wait_running(name));
    assert!(second.reason.contains("adopted"), "{}", second.reason);
    assert!(!first.reason.contains("adopted"), "{}", first.reason);

    machine.kill("KILL", pid(&second));
    let back = machine.wait_back(names[1], &second);
    assert_eq!(machine.wait_running(names[0]).pid, first.pid, "the other one has nothing to do with it");
    assert_ne!(back.pid, first.pid);
    assert_eq!(machine.named("a-very-long-dae").len(), 2);
}

fn trap_02() {
    let folder = Folder::new("trap-02");
    let web = folder.sleeper("web") + " infinity";
    // A process called `sleep` that gave itself a title, as nginx's master does, and a worker of it.
    let title = "bash -c 'sleep 3600 & exec -a \"web: master process /srv/web\" sleep infinity'";
    let machine = Machine::start_by(folder, &(before(title, "sleep") + THEN_MUSTERD), &[&web]);
    let web = machine.wait_running("web");
    assert!(web.reason.contains("adopted"), "{}", web.reason);
    let arguments = fs::read(machine.proc(&format!("{}/cmdline", pid(&web)))).expect("it lives");
    assert!(arguments.starts_with(b"web: master process"), "{arguments:?}");
    assert!(machine.named("web").is_empty(), "it was started twice");
}

fn trap_05() {
    let folder = Folder::new("trap-05");
    // `sh PATH` is called sh, a script that is executed itself is called by its own name.
    let body = "while :; do sleep 3600; done";
    let (a, b, c) = (folder.script("a.sh", body), folder.script("b.sh", body), folder.script("c.sh", body));
    let config = folder.config(&format!(
        "[services.a]\nstart = 'sh {a}'\nmatch = 'a.sh'\n[services.b]\nstart = 'sh {b}'\nmatch = 'b.sh'\n\
         [services.c]\nstart = '{c}'\nmatch = 'c.sh'\n"
    ));
    // A shell that is to become `setsid`, and then `sh PATH`, is called sh, too; with these arguments there are the
    // last two only.
    let there = format!("until grep -qszxF '{b}' /proc/$!/cmdline; do sleep 0.01; done\n");
    let called_sh = "until grep -qsx sh /proc/$!/comm; do sleep 0.01; done\n";
    let script = format!("setsid sh {b} &\n{there}{called_sh}") + &before(&c, "c.sh") + THEN_MUSTERD;
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    let [a, b, c] = ["a", "b", "c"].map(|name| machine.wait_running(name));
    for adopted in [&b, &c] {
        assert!(adopted.reason.contains("adopted"), "{adopted:?}");
    }
    assert!(!a.reason.contains("adopted"), "{}", a.reason);

    machine.kill("KILL", pid(&b));
    let after = machine.wait_back("b", &b);
    assert_eq!([machine.wait_running("a").pid, machine.wait_running("c").pid], [a.pid, c.pid]);
    let arguments = fs::read(machine.proc(&format!("{}/cmdline", pid(&after)))).expect("it lives");
    assert!(arguments.ends_with(b"/b.sh\0"), "{arguments:?}");
}

fn trap_06_zombie() {
    let folder = Folder::new("trap-06-zombie");
    let (alpha, holder) = (folder.sleeper("alpha"), folder.sleeper("holder"));
    // What executes `holder` is the parent of a process that it knows nothing of.
    let parent = format!("sh -c '{alpha} 0 & exec {holder} infinity'");
    let zombie = "until grep -qs '(alpha) Z' /proc/[0-9]*/stat; do sleep 0.01; done\n";
    let script = before(&parent, "holder") + zombie + THEN_MUSTERD;
    let machine = Machine::start_by(folder, &script, &[&format!("{alpha} infinity")]);
    let started = machine.wait_running("alpha");
    assert_eq!(machine.named("alpha").iter().map(|alpha| alpha.pid).collect::<Vec<_>>(), [pid(&started)]);
    let dead = machine.table().into_iter().filter(|process| process.comm == "alpha" && process.state == 'Z');
    assert_eq!(dead.count(), 1, "the zombie was there all the time");
    assert!(!started.reason.contains("adopted"), "{}", started.reason);
}

fn trap_06_leader() {
    let folder = Folder::new("trap-06-leader");
    let alpha = folder.player("alpha", "leader-ends");
    let shown_dead = "until grep -qs '(alpha) Z' /proc/$!/stat; do sleep 0.01; done\n";
    let script = before(&alpha, "alpha") + shown_dead + THEN_MUSTERD;
    let machine = Machine::start_by(folder, &script, &[&alpha]);
    let adopted = machine.wait_running("alpha");
    assert!(adopted.reason.contains("adopted"), "{}", adopted.reason);
    let alphas = || machine.table().into_iter().filter(|process| process.comm == "alpha").count();
    assert_eq!(alphas(), 1);

    // It lives until it is killed; and one that musterd started goes on when its first thread ends.
    machine.kill("KILL", pid(&adopted));
    let started = machine.wait_back("alpha", &adopted);
    wait("its first thread has ended", || {
        machine.table().into_iter().find(|process| process.comm == "alpha" && process.state == 'Z')
    });
    let after = machine.wait_running("alpha");
    assert_eq!((after.pid, after.restarts, alphas()), (started.pid, 1, 1));
}

fn trap_07() {
    let folder = Folder::new("trap-07");
    let alpha = folder.sleeper("alpha") + " infinity";
    let gate = folder.path("gate");
    let script = format!("\"$@\"\nuntil [ -e {gate} ]; do sleep 0.01; done\n\"$@\"");
    let machine = Machine::start_by(folder, &script, &[&alpha]);
    let old = machine.wait_running("alpha");
    let manager = machine.named("musterd").pop().expect("musterd runs");
    wait("the record", || {
        machine.inside(&["test", "-s", "/run/musterd/record.json"]).status.success().then_some(())
    });
    machine.kill("KILL", manager.pid);
    wait("musterd has ended", || machine.named("musterd").is_empty().then_some(()));
    machine.kill("KILL", pid(&old));
    wait("alpha has ended", || machine.named("alpha").is_empty().then_some(()));

    // A stranger gets the PID that the record names.
    let take = format!(
        "echo {} >/proc/sys/kernel/ns_last_pid; setsid {} infinity >/dev/null 2>&1 &",
        pid(&old) - 1,
        machine.folder.sleeper("stranger"),
    );
    let recycled = wait("a stranger with the old PID", || {
        machine.inside(&["sh", "-c", &take]);
        machine.table().into_iter().find(|process| process.comm == "stranger" && process.pid == pid(&old))
    });
    fs::write(&gate, "").expect("a file");
    let new = machine.wait_running("alpha");
    assert_ne!(new.pid, old.pid);
    assert!(!new.reason.contains("adopted"), "{}", new.reason);

    let manager = machine.named("musterd").pop().expect("musterd runs");
    machine.ctl(&["stop", "alpha"]);
    machine.wait_service("alpha", "is stopped", |status| status.state == "stopped");
    assert!(machine.named("stranger").iter().any(|process| process.pid == recycled.pid), "it was signalled");
    assert_eq!(machine.named("musterd").pop().map(|process| process.pid), Some(manager.pid));
}

fn trap_08() {
    let folder = Folder::new("trap-08");
    let names = ["a) (b", ") R 1 1", "new\nline"];
    let paths = names.map(|name| folder.sleeper(name));
    let quoted = paths.each_ref().map(|path| format!("'{path}' infinity"));
    let there = "until grep -qsF 'a) (b' /proc/[0-9]*/comm; do sleep 0.01; done\n";
    let script = format!("setsid {} &\n{there}{THEN_MUSTERD}", quoted[0]);
    let config = folder.config(&format!(
        "[services.one]\nstart = [\"{}\", \"infinity\"]\n[services.two]\nstart = [\"{}\", \"infinity\"]\n\
         [services.three]\nstart = [\"{}\", \"infinity\"]\n",
        paths[0],
        paths[1],
        paths[2].replace('\n', "\\n"),
    ));
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    let before = ["one", "two", "three"].map(|name| machine.wait_running(name));
    assert!(before[0].reason.contains("adopted"), "{}", before[0].reason);
    for (status, comm) in before.iter().zip(names) {
        assert_eq!(machine.named(comm).iter().map(|process| process.pid).collect::<Vec<_>>(), [pid(status)]);
        machine.kill("KILL", pid(status));
        machine.wait_back(&status.name, status);
        assert_eq!(machine.named(comm).len(), 1, "{comm:?}");
    }
}

fn trap_10() {
    let folder = Folder::new("trap-10");
    let other = folder.player("other", "with-thread alpha");
    let alpha = folder.sleeper("alpha") + " infinity";
    let thread = "until grep -qsx alpha /proc/$!/task/*/comm; do sleep 0.01; done\n";
    let machine = Machine::start_by(folder, &(before(&other, "other") + thread + THEN_MUSTERD), &[&alpha]);
    let alpha = machine.wait_running("alpha");
    assert!(!alpha.reason.contains("adopted"), "a thread is no process: {}", alpha.reason);
    assert_eq!(machine.named("alpha").iter().map(|process| process.pid).collect::<Vec<_>>(), [pid(&alpha)]);

    machine.kill("KILL", pid(&alpha));
    machine.wait_back("alpha", &alpha);
    assert_eq!((machine.named("alpha").len(), machine.named("other").len()), (1, 1));
}

fn trap_11() {
    let folder = Folder::new("trap-11");
    let alpha = folder.sleeper("alpha");
    let machine = Machine::start(folder, &[&format!("{alpha} infinity")]);
    let before = machine.wait_running("alpha");
    // A tool of the same name, and what it leaves behind; its parent is outside, PID 0.
    machine.inside(&[
        "sh",
        "-c",
        &format!("setsid sh -c '{alpha} 3600 & {alpha} 3601 & wait' >/dev/null 2>&1 &"),
    ]);
    let tools = wait("the tools", || {
        let tools = machine.named("alpha");
        (tools.len() == 3)
            .then(|| tools.into_iter().filter(|tool| tool.pid != pid(&before)).collect::<Vec<_>>())
    });
    machine.kill("KILL", pid(&before));
    let after = machine.wait_back("alpha", &before);
    assert!(tools.iter().all(|tool| tool.pid != pid(&after)), "a tool counts as the service");
    let alive = machine.named("alpha");
    assert!(tools.iter().all(|tool| alive.iter().any(|process| process.pid == tool.pid)), "a tool was ended");

    for tool in &tools {
        machine.kill("KILL", tool.pid);
    }
    wait("no zombie is left", || machine.table().iter().all(|process| process.state != 'Z').then_some(()));
    assert_eq!(machine.wait_running("alpha").pid, after.pid);
}

fn trap_12() {
    let folder = Folder::new("trap-12");
    let hermit = folder.sleeper("hermit");
    // The start command is gone at once; what it left is a shell for several intervals before it is the daemon.
    let start = folder.script(
        "prepare",
        &format!("echo start >>$folder/starts\nsetsid sh -c 'sleep 0.6; exec {hermit} infinity' &\nexit 0"),
    );
    let config = folder
        .config(&format!("[services.hermit]\nstart = '{start}'\nmatch = 'hermit'\ninterval = '100ms'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    let daemon = wait("the daemon", || machine.named("hermit").pop());
    let status = machine.wait_service("hermit", "is the daemon", |status| {
        status.pid == Some(daemon.pid) && status.reason.contains("daemonised by")
    });
    assert_eq!((status.restarts, machine.folder.lines("starts").len()), (0, 1));
    assert_eq!(machine.named("hermit").len(), 1);
}

fn trap_14() {
    let folder = Folder::new("trap-14");
    let orphans = "i=0; while [ $i -lt 200 ]; do i=$((i + 1)); (exec sleep 3600 &); done\n";
    let crash =
        folder.script("crash", &format!("{orphans}echo there >$folder/there\nsleep 3600 & wait $!; exit 7"));
    let config = folder.config(&format!("[services.crash]\nstart = '{crash}'\nbackoff = {{ initial = '1h', max = '1h' }}\ninterval = '2h'\nstable-after = '1h'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("the orphans", || (machine.named("sleep").len() == 201).then_some(()));
    let before = machine.wait_running("crash");
    // Ends all at once: two hundred orphans, and what the service waits for, whereupon it exits 7.
    machine.inside(&["pkill", "-KILL", "-x", "sleep"]);
    let after = machine.wait_service("crash", "has ended", |status| status.reason.contains("main process"));
    assert!(after.reason.contains(&format!("main process {} exited 7", pid(&before))), "{}", after.reason);
    wait("no zombie is left", || machine.table().iter().all(|process| process.state != 'Z').then_some(()));
}
