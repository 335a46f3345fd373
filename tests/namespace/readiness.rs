//! A service is ready when it shows it, and well while its check says so; what comes after it waits.

use std::{fs, net::TcpListener};

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_line_of_its_output_makes_it_ready", a_line_of_its_output_makes_it_ready),
    ("a_command_makes_it_ready", a_command_makes_it_ready),
    ("an_address_outside_is_waited_for", an_address_outside_is_waited_for),
    ("it_says_itself_that_it_is_ready", it_says_itself_that_it_is_ready),
    ("silence_of_the_watchdog_is_heard", silence_of_the_watchdog_is_heard),
    ("a_check_tells_why_it_fails", a_check_tells_why_it_fails),
    ("what_a_probe_leaves_is_no_service", what_a_probe_leaves_is_no_service),
];

/// A machine of `beta`, which comes after `alpha`: that one's start and further keys are given.
fn pair(folder: Folder, start: &str, keys: &str) -> Machine {
    let beta = folder.sleeper("beta");
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{start}'\nmatch = 'alpha'\n{keys}\n\
         [services.beta]\nstart = '{beta} infinity'\nafter = 'alpha'\n"
    ));
    Machine::start(folder, &["-c", &config])
}

/// `ctl health` says so; returns what it prints.
fn health(machine: &Machine, code: i32) -> String {
    let output = machine.ctl(&["health"]);
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    text(&output)
}

fn waits(machine: &Machine) {
    machine.wait_service("beta", "waits", |beta| beta.state == "waiting");
    let alpha = machine.wait_service("alpha", "gets ready", |alpha| alpha.state == "starting");
    assert!(alpha.pid.is_some(), "{alpha:?}");
    assert!(machine.named("beta").is_empty());
    let told = health(machine, 1);
    assert!(told.contains("service \"alpha\" is starting") && told.contains("\"beta\" is waiting"), "{told}");
}

fn a_line_of_its_output_makes_it_ready() {
    let folder = Folder::new("log");
    let body = "until [ -e $folder/go ]; do sleep 0.01; done; echo 'Listening on [::]:80'; sleep infinity";
    let script = folder.script("alpha", body);
    let machine = pair(folder, &script, "ready = { log = \"Listening on .*:[0-9]+$\" }");
    waits(&machine);
    fs::write(machine.folder.path("go"), "").expect("a file");
    machine.wait_running("alpha");
    machine.wait_running("beta");
    assert_eq!(health(&machine, 0), "");
}

fn a_command_makes_it_ready() {
    let folder = Folder::new("exec");
    let alpha = folder.sleeper("alpha");
    let probe =
        "echo \"$MUSTERD_PROBE $MUSTERD_SERVICE-\" >>$folder/asked; echo not yet; echo; test -e $folder/go";
    let probe = folder.script("probe", probe);
    let machine = pair(folder, &format!("{alpha} infinity"), &format!("ready = {{ exec = '{probe}' }}"));
    waits(&machine);
    machine.wait_service("alpha", "says why", |alpha| alpha.reason.contains("not yet"));
    fs::write(machine.folder.path("go"), "").expect("a file");
    machine.wait_running("beta");
    assert_eq!(machine.folder.lines("asked")[0], "alpha -");
}

/// The machine has the network of the test.
fn an_address_outside_is_waited_for() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let folder = Folder::new("address");
    let alpha = folder.sleeper("alpha");
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\nafter = ['tcp://127.0.0.1:{port}']\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let why = format!("cannot connect to tcp://127.0.0.1:{port}: connection refused");
    machine
        .wait_service("alpha", "says why", |alpha| alpha.state == "waiting" && alpha.reason.contains(&why));
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    machine.wait_running("alpha");
}

/// Has the service say so, and waits until it did.
fn say(machine: &Machine, words: &str) {
    let (hidden, seen) = (machine.folder.path("hidden"), machine.folder.path("say"));
    fs::write(&hidden, words).expect("a file");
    fs::rename(&hidden, &seen).expect("the file");
    wait("it says so", || (!fs::exists(&seen).expect("the folder")).then_some(()));
}

fn it_says_itself_that_it_is_ready() {
    let folder = Folder::new("notify");
    let alpha = folder.player("alpha", &format!("teller {}", folder.path("")));
    let machine = pair(folder, &alpha, "ready = { notify = true }");
    waits(&machine);
    say(&machine, "STATUS=loading\nX=y\n");
    say(&machine, "READY=1\nSTATUS=Serving\n");
    machine.wait_running("beta");
    let before = machine.wait_running("alpha");
    machine.kill("KILL", pid(&before));
    machine
        .wait_service("alpha", "is not ready yet", |alpha| alpha.pid.is_some() && alpha.state == "starting");
    say(&machine, "READY=1");
    machine.wait_back("alpha", &before);
}

fn silence_of_the_watchdog_is_heard() {
    let folder = Folder::new("watchdog");
    let alpha = folder.player("alpha", &format!("teller {}", folder.path("")));
    let keys = "check = { notify = true, every = '2s', on-failure = 'report' }";
    let machine = pair(folder, &alpha, keys);
    let alpha = machine.wait_running("alpha");
    let environment = fs::read(machine.proc(&format!("{}/environ", pid(&alpha)))).expect("its environment");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(environment.split('\0').any(|variable| variable == "WATCHDOG_USEC=2000000"), "{environment:?}");
    machine.wait_service("alpha", "fell silent", |alpha| alpha.state == "unhealthy");
    health(&machine, 1);
    say(&machine, "WATCHDOG=1");
    machine.wait_running("alpha");
}

fn a_check_tells_why_it_fails() {
    let folder = Folder::new("check");
    let alpha = folder.sleeper("alpha");
    let check = folder.script("check", "test ! -e $folder/ill && exit; echo the disk is full >&2; exit 1");
    let keys = format!("check = {{ exec = '{check}', every = '50ms', retries = 2, on-failure = 'report' }}");
    let machine = pair(folder, &format!("{alpha} infinity"), &keys);
    machine.wait_running("beta");
    health(&machine, 0);
    fs::write(machine.folder.path("ill"), "").expect("a file");
    machine.wait_service("alpha", "is ill", |alpha| alpha.state == "unhealthy");
    let told = health(&machine, 1);
    assert!(told.contains("service \"alpha\" is unhealthy") && told.contains("the disk is full"), "{told}");
    fs::remove_file(machine.folder.path("ill")).expect("our file");
    machine.wait_running("alpha");
    health(&machine, 0);
}

/// The check's shell and what it leaves bear the service's name, and flood its output.
fn what_a_probe_leaves_is_no_service() {
    let folder = Folder::new("left");
    let alpha = folder.sleeper("alpha");
    let body = format!(
        "setsid {alpha} 1000 &\nhead -c 1000000 /dev/zero | tr '\\0' '\\n'; echo asked >>$folder/asked"
    );
    let check = folder.script("check", &body);
    let keys = format!("check = {{ exec = '{check}', every = '50ms' }}\ninterval = '100ms'");
    let machine = pair(folder, &format!("{alpha} infinity"), &keys);
    let before = machine.wait_running("alpha");
    wait("some checks", || (machine.folder.lines("asked").len() > 3).then_some(()));
    machine.kill("KILL", pid(&before));
    let after = machine.wait_back("alpha", &before);
    assert!(!after.reason.contains("adopted") && !after.reason.contains("took over"), "{}", after.reason);
}
