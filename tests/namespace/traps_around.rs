//! The traps in what a service lives with: clock, terminal, signals, descriptors, pipes, the end. Each test has its
//! trap's number and name; those about which process is the service are in `traps`.

use std::{fs, process::Command, time::Duration};

use nix::sys::signal::Signal;

use crate::{
    Test,
    common::{now, wait},
    machine::{Folder, Machine, pid},
    shutdown::USUAL,
};

pub(crate) const TESTS: &[Test] = &[
    ("trap_15_the_wall_clock_jumps", trap_15),
    ("trap_16_a_service_is_not_of_the_terminal", trap_16),
    ("trap_17_signals_ignored_or_blocked_are_not_inherited", trap_17),
    ("trap_18_descriptors_are_not_inherited", trap_18),
    ("trap_19_an_output_that_nobody_reads_stops_nothing", trap_19_unread),
    ("trap_19_a_grandchild_that_holds_the_output_delays_nothing", trap_19_held),
    ("trap_21_pid_1_hears_the_signals_that_end_others", trap_21),
    ("trap_22_a_stop_ends_inside_docker_stops_ten_seconds", trap_22),
    ("trap_23_a_child_that_ignores_the_signal_ends_with_its_session", trap_23_session),
    ("trap_23_a_child_of_another_session_ends_with_the_machine", trap_23_setsid),
];

/// A clock that a program asks the C library for: it leaps by a day at each look, back and forth.
const LEAPING_CLOCK: &str = "
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static long looks;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += (++looks % 2 ? 86400 : -86400) * looks;
    return result;
}
";

fn trap_15() {
    let folder = Folder::new("trap-15");
    fs::write(folder.path("clock.c"), LEAPING_CLOCK).expect("a source");
    let library = folder.path("clock.so");
    // Whoever can build this test has a C compiler, as Rust's linker.
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library, &folder.path("clock.c")])
        .status()
        .expect("a C compiler");
    assert!(compiled.success());
    let crash = folder.script("crash", "echo $$ >>$folder/starts\nexit 7");
    let config = folder.config(&format!(
        "[services.crash]\nstart = '{crash}'\ninterval = '2s'\n\
         backoff = {{ initial = '300ms', factor = 1.0, max = '300ms' }}\n"
    ));
    let script = format!("exec env LD_PRELOAD={library} \"$@\"");
    let begin = now();
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    let starts = |count: usize| {
        wait("it is started again", || (machine.folder.lines("starts").len() >= count).then_some(()))
    };
    // The first two follow at once, then there is a pause before each.
    starts(4);
    assert!(begin.elapsed() >= Duration::from_millis(600), "the pauses were cut short");

    let wall = fs::metadata(machine.folder.path("clock.c")).and_then(|file| file.modified()).expect("a time");
    let status = machine.wait_service("crash", "waits", |status| status.state == "backoff");
    let since = humantime::parse_rfc3339(&status.since).expect("a time");
    let apart = since.duration_since(wall).unwrap_or_else(|error| error.duration());
    assert!(apart > Duration::from_secs(43_200), "the clock did not leap, so nothing was tried: {status:?}");
}

fn trap_16() {
    let folder = Folder::new("trap-16");
    let open = "if true >/dev/tty; then echo some; else echo none; fi 2>/dev/null";
    let alpha = folder.script("alpha", &format!("{open} >$folder/tty\nexec sleep 3600"));
    // `script` makes a terminal and gives it to musterd, as an engine does for `docker run -t`.
    let machine = Machine::start_by(folder, "script --quiet --command \"exec $*\" /dev/null", &[&alpha]);
    let alpha = machine.wait_running("alpha");
    let terminal = |process: i32| {
        let stat = fs::read_to_string(machine.proc(&format!("{process}/stat"))).expect("it lives");
        let fields: Vec<i64> = stat
            .rsplit_once(')')
            .expect("a name")
            .1
            .split_whitespace()
            .skip(1)
            .take(5)
            .map(|field| field.parse().expect("a number"))
            .collect();
        // The terminal's device and its foreground group, fields 7 and 8 of proc_pid_stat(5).
        (fields[3], fields[4])
    };
    let manager = machine.named("musterd").pop().expect("musterd runs");
    assert_ne!(terminal(manager.pid).0, 0, "musterd itself has the terminal");
    assert_eq!(terminal(pid(&alpha)), (0, -1));
    wait("it has asked for a terminal", || (machine.folder.lines("tty") == ["none"]).then_some(()));

    machine.kill("KILL", pid(&alpha));
    let after = machine.wait_back("alpha", &alpha);
    assert_eq!(terminal(pid(&after)), (0, -1));
}

/// The service `alpha` needed no more than the first signal.
fn assert_ended_by_term(machine: &Machine) {
    let output = machine.output();
    let stopped = output.lines().any(|line| {
        line.contains("service \"alpha\": stopped: main process") && line.ends_with("killed by SIGTERM")
    });
    assert!(stopped, "{output}");
}

fn trap_17() {
    let folder = Folder::new("trap-17");
    let alpha = folder.sleeper("alpha") + " infinity";
    let script = "exec env --ignore-signal=PIPE,HUP,TTOU --block-signal=TERM,USR2 \"$@\"";
    let mut machine = Machine::start_by(folder, script, &[&alpha]);
    let alpha = machine.wait_running("alpha");
    let status = fs::read_to_string(machine.proc(&format!("{}/status", pid(&alpha)))).expect("it lives");
    for mask in ["SigBlk", "SigIgn"] {
        let line = status.lines().find(|line| line.starts_with(mask)).expect("a mask");
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
    // And it ends by the signal that was blocked, not by the one that follows.
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
    assert_ended_by_term(&machine);
}

fn trap_18() {
    let folder = Folder::new("trap-18");
    let alpha = folder.sleeper("alpha") + " infinity";
    let script = "ulimit -n $(ulimit -H -n)\nexec 3</etc/passwd 4</etc/passwd 9>/dev/null\nexec \"$@\"";
    let machine = Machine::start_by(folder, script, &[&alpha]);
    let descriptors = |status: &crate::common::Status| {
        let entries = fs::read_dir(machine.proc(&format!("{}/fd", pid(status)))).expect("it lives");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("a descriptor").file_name()).collect();
        names.sort();
        names
    };
    let before = machine.wait_running("alpha");
    assert_eq!(descriptors(&before), ["0", "1", "2"]);
    machine.kill("KILL", pid(&before));
    assert_eq!(descriptors(&machine.wait_back("alpha", &before)), ["0", "1", "2"]);
}

fn trap_19_unread() {
    let folder = Folder::new("trap-19-unread");
    let alpha = folder.sleeper("alpha") + " infinity";
    let flood = folder.script("flood", "exec yes 'nobody reads this'");
    let pipe = folder.path("pipe");
    let script = format!("mkfifo {pipe}\nexec 3<>{pipe}\nexec \"$@\" >{pipe} 2>{pipe}");
    let machine = Machine::start_by(folder, &script, &[&flood, &alpha]);
    let mut alpha = machine.wait_running("alpha");
    // More than a pipe holds is there by the time that it was brought back twice.
    for restarts in 1..=2 {
        machine.kill("KILL", pid(&alpha));
        alpha = machine.wait_back("alpha", &alpha);
        assert_eq!(alpha.restarts, restarts);
    }
    let flood = machine.wait_service("flood", "runs", |status| status.state == "running");
    machine.kill("KILL", pid(&flood));
    machine.wait_back("flood", &flood);
}

fn trap_19_held() {
    let folder = Folder::new("trap-19-held");
    let worker = folder.sleeper("worker");
    let master = folder.script("master", &format!("setsid {worker} infinity &\nexec sleep 3600"));
    let config = folder.config(&format!("[services.master]\nstart = '{master}'\ninterval = '1h'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    let before = machine.wait_running("master");
    let worker = wait("what holds its output", || machine.named("worker").pop());
    machine.kill("KILL", pid(&before));
    machine.wait_back("master", &before);
    assert!(
        machine.named("worker").iter().any(|process| process.pid == worker.pid),
        "it took a session of its own"
    );
}

fn trap_21() {
    // `sleep` handles no signal, and neither would musterd as PID 1 if it left them at their default.
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = Folder::new(&format!("trap-21-{signal}"));
        let alpha = folder.sleeper("alpha") + " infinity";
        let mut machine = Machine::start(folder, &[&alpha]);
        machine.wait_running("alpha");
        machine.signal(signal);
        assert_eq!(machine.wait_end(), Some(0));
        assert_ended_by_term(&machine);
    }
}

fn trap_22() {
    let folder = Folder::new("trap-22");
    let names = ["one", "two", "three"];
    let deaf = names.map(|name| {
        folder.script(name, "trap '' TERM\necho $0 >>$folder/deaf\nwhile :; do sleep 3600; done")
    });
    let [one, two, three] = &deaf;
    // One after the other, each with more time than there is.
    let config = folder.config(&format!(
        "[defaults]\nstop-timeout = '30s'\n[services.one]\nstart = '{one}'\n\
         [services.two]\nstart = '{two}'\nafter = ['one']\n[services.three]\nstart = '{three}'\nafter = ['two']\n"
    ));
    let mut machine = Machine::start(folder, &["-c", &config]);
    wait("all are deaf", || (machine.folder.lines("deaf").len() == 3).then_some(()));
    let begin = now();
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "an engine kills after ten seconds");
}

/// A service that ends when asked, and leaves a child that does not.
fn with_deaf_child(folder: &Folder, by: &str) -> String {
    let child =
        folder.script("child", "trap '' TERM\necho $$ >>$folder/children\nwhile :; do sleep 3600; done");
    folder.script(
        "leader",
        &format!("{by} {child} &\ntrap 'exit 0' TERM\nwhile :; do sleep 3600 & wait $!; done"),
    )
}

fn trap_23_session() {
    let folder = Folder::new("trap-23-session");
    let leader = with_deaf_child(&folder, "exec");
    let config = folder.config(&format!("[services.leader]\nstart = '{leader}'\nstop-timeout = '300ms'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("leader");
    wait("the child", || (machine.folder.lines("children").len() == 1).then_some(()));
    assert!(machine.ctl(&["stop", "leader"]).status.success());
    machine.wait_service("leader", "is stopped", |status| status.state == "stopped");
    assert_eq!((machine.named("child").len(), machine.named("leader").len()), (0, 0));
}

fn trap_23_setsid() {
    let folder = Folder::new("trap-23-setsid");
    let leader = with_deaf_child(&folder, "setsid");
    let config = folder
        .config(&format!("[manager]\nshutdown-timeout = '1s'\n[services.leader]\nstart = '{leader}'\n"));
    let mut machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("leader");
    wait("a child of its own session", || {
        machine.named("child").into_iter().find(|child| child.session == child.pid)
    });
    let begin = now();
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
    assert!(begin.elapsed() < USUAL, "a second was all it had");
}
