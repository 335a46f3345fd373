//! Everything ends, in order and in time.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::{
    Test,
    common::now,
    machine::{Folder, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("term_int_and_quit_stop_everything", term_int_and_quit_stop_everything),
    ("what_comes_after_is_stopped_before", what_comes_after_is_stopped_before),
    ("what_does_not_listen_is_killed_in_time", what_does_not_listen_is_killed_in_time),
    ("a_second_signal_hastens", a_second_signal_hastens),
];

/// When everything is killed that does not listen, by the usual `shutdown-timeout` of 8 s: a shorter one that is
/// not heeded takes at least as long.
pub(crate) const USUAL: Duration = Duration::from_secs(7);

/// A service that writes its name to `stops` when it is asked to stop.
fn polite(folder: &Folder, name: &str) -> String {
    folder.script(
        name,
        &format!("trap 'echo {name} >>$folder/stops; exit 0' TERM\nwhile :; do sleep 3600 & wait; done"),
    )
}

/// A service that ignores the signal.
fn deaf(folder: &Folder) -> String {
    folder.script("deaf", "trap '' TERM\necho deaf\nwhile :; do sleep 0.1; done")
}

fn term_int_and_quit_stop_everything() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let folder = Folder::new(&format!("stop-{signal}"));
        let services = [polite(&folder, "one"), polite(&folder, "two")];
        let mut machine = Machine::start(folder, &services.each_ref().map(String::as_str));
        machine.wait_running("one");
        machine.wait_running("two");
        // Running is said once the process is there; it has set its trap when its child is.
        crate::common::wait("both wait", || (machine.named("sleep").len() == 2).then_some(()));

        machine.signal(signal);
        assert_eq!(machine.wait_end(), Some(0), "{signal}");
        let mut stops = machine.folder.lines("stops");
        stops.sort();
        assert_eq!(stops, ["one", "two"], "{signal}");
    }
}

/// Until the signals are kept, the kernel drops what PID 1 has no handler for. Seen from outside only in the order of
/// the calls: no configuration takes as long to read as a test would need to send a signal meanwhile.
pub(crate) fn signals_are_kept_before_the_configuration_is_read() {
    let folder = Folder::new("early");
    let (config, log) = (folder.config("[manager]\nlog-level = 'info'\n"), folder.path("calls"));
    let one = polite(&folder, "one");
    // With -D, the tracer is not the one that is PID 1.
    let script = format!("exec strace -D -o {log} -e trace=rt_sigprocmask,openat,open \"$@\"");
    let mut machine = Machine::start_by(folder, &script, &["-c", &config, &one]);
    machine.wait_running("one");
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0), "{}", machine.output());
    let calls = machine.folder.lines("calls");
    let blocked = calls.iter().position(|call| call.starts_with("rt_sigprocmask(SIG_BLOCK, ~["));
    let read = calls.iter().position(|call| call.contains("musterd.toml"));
    assert!(blocked.is_some() && read.is_some() && blocked < read, "{calls:#?}");
}

fn what_comes_after_is_stopped_before() {
    let folder = Folder::new("order");
    let (db, web, cache) = (polite(&folder, "db"), polite(&folder, "web"), polite(&folder, "cache"));
    let config = folder.config(&format!(
        "[services.web]\nstart = '{web}'\nafter = ['cache']\n\
         [services.cache]\nstart = '{cache}'\nafter = ['db']\n\
         [services.db]\nstart = '{db}'\n"
    ));
    let mut machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("web");
    crate::common::wait("all wait", || (machine.named("sleep").len() == 3).then_some(()));

    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
    assert_eq!(machine.folder.lines("stops"), ["web", "cache", "db"]);
}

fn what_does_not_listen_is_killed_in_time() {
    let folder = Folder::new("deaf");
    let (deaf, polite) = (deaf(&folder), polite(&folder, "polite"));
    let config = folder.config("[manager]\nshutdown-timeout = '1s'\n[defaults]\nstop-timeout = '1h'\n");
    let mut machine = Machine::start(folder, &["-c", &config, &deaf, &polite]);
    machine.wait_running("deaf");
    crate::common::wait("deaf is deaf", || machine.output().contains("deaf\n").then_some(()));

    let begin = now();
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
    let took = begin.elapsed();
    assert!(took < USUAL, "one second was all it had, not {took:?}");
}

fn a_second_signal_hastens() {
    let folder = Folder::new("hasten");
    let deaf = deaf(&folder);
    let config = folder.config("[manager]\nshutdown-timeout = '1h'\n[defaults]\nstop-timeout = '1h'\n");
    let mut machine = Machine::start(folder, &["-c", &config, &deaf]);
    machine.wait_running("deaf");
    crate::common::wait("deaf is deaf", || machine.output().contains("deaf\n").then_some(()));

    machine.signal(Signal::SIGTERM);
    machine.wait_service("deaf", "is stopping", |status| status.state == "stopping");
    machine.signal(Signal::SIGTERM);
    machine.wait_end();
}
