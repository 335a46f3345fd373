//! What `musterd ctl` tells of real services: why they are as they are, each event, what they take; and the same in
//! place on a terminal.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, MUSTERD, Machine, pid},
    screen::Screen,
};

pub(crate) const TESTS: &[Test] = &[
    ("why_tells_what_happened", why_tells_what_happened),
    ("events_come_as_they_happen", events_come_as_they_happen),
    ("what_a_service_takes_is_measured", what_a_service_takes_is_measured),
    ("one_service_in_full", one_service_in_full),
    ("watched_services_survive_their_manager", watched_services_survive_their_manager),
    ("the_terminal_is_given_back", the_terminal_is_given_back),
];

/// `musterd ctl …` from outside the machine: by nsenter it would have another PID, and get no signals.
fn from_outside(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = Command::new(MUSTERD);
    command.arg("ctl").args(arguments).arg("--socket").arg(machine.proc("../run/musterd.sock"));
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    command
}

fn why_tells_what_happened() {
    let folder = Folder::new("why");
    let alpha = folder.sleeper("alpha") + " infinity";
    let config = folder.config("[services.broken]\nstart = '/srv/none'\n");
    let machine = Machine::start(folder, &["-c", &config, &alpha]);
    let before = machine.wait_running("alpha");
    machine.kill("KILL", pid(&before));
    let after = machine.wait_back("alpha", &before);
    assert_eq!(machine.ctl(&["stop", "alpha"]).status.code(), Some(0));
    let output = machine.ctl(&["why", "alpha"]);
    let told = text(&output);
    let (first, second) = (pid(&before), pid(&after));
    for words in [
        "alpha: stopped since ".to_owned(),
        format!("started (pid {first}): it was not running"),
        format!("started (pid {second}): main process {first} killed by SIGKILL"),
        "ctl stop by uid 0 (pid ".to_owned(),
        format!("main process {second} killed by SIGTERM"),
        "stopping → stopped".to_owned(),
    ] {
        assert!(told.contains(&words), "{told} should say {words}");
    }
    assert_eq!(output.status.code(), Some(0));
    let broken = text(&machine.ctl(&["why", "broken"]));
    assert!(broken.contains("cannot execute /srv/none: no such file or directory"), "{broken}");
    let unknown = machine.ctl(&["why", "alhpa"]);
    assert!(text(&unknown).contains("did you mean \"alpha\"?"), "{}", text(&unknown));
    assert_eq!(unknown.status.code(), Some(4));
}

fn events_come_as_they_happen() {
    let folder = Folder::new("events");
    let sleepers = ["alpha", "beta"].map(|name| folder.sleeper(name) + " infinity");
    let mut machine = Machine::start(folder, &sleepers.each_ref().map(String::as_str));
    let before = machine.wait_running("alpha");
    let beta = machine.wait_running("beta");
    let mut child = from_outside(&machine, &["events", "-f", "--json", "alpha"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("musterd");
    let lines = BufReader::new(child.stdout.take().expect("its stdout")).lines().map_while(Result::ok);
    let mut events = lines.map(|line| serde_json::from_str::<Value>(&line).expect("an object a line"));
    let first = events.find(|event| event["to"] == "running").expect("what was, comes first");
    assert_eq!(
        (first["pid"].as_i64(), first["service"].as_str()),
        (before.pid.map(i64::from), Some("alpha"))
    );
    machine.kill("KILL", pid(&beta));
    machine.kill("KILL", pid(&before));
    let end = events.next().expect("what comes, comes then");
    assert_eq!((end["event"].as_str(), end["signal"].as_str()), (Some("exit"), Some("SIGKILL")), "{end}");
    let gone = events.next().expect("a state");
    assert_eq!((gone["from"].as_str(), gone["to"].as_str()), (Some("running"), Some("starting")), "{gone}");
    assert_eq!(gone["cause"], "exit", "{gone}");
    let back = events.find(|event| event["event"] == "state").expect("another state");
    assert_eq!(back["to"], "running", "{back}");
    assert_ne!(back["pid"].as_i64(), before.pid.map(i64::from));
    // Its end is the manager's.
    machine.signal(Signal::SIGTERM);
    assert!(events.all(|event| event["service"] == "alpha"));
    assert_eq!(child.wait().expect("our own child").code(), Some(4));
    assert_eq!(machine.wait_end(), Some(0));
}

fn what_a_service_takes_is_measured() {
    let folder = Folder::new("takes");
    let idle = folder.sleeper("idle") + " infinity";
    // Its child is no child of musterd's, and takes all the time.
    let busy = folder.script("busy", "sh -c 'while :; do :; done' &\nwait");
    let machine = Machine::start(folder, &[&busy, &idle]);
    machine.wait_running("idle");
    let taken = |name: &str| {
        let output = machine.ctl(&["status", "--json"]);
        let services: Value = serde_json::from_slice(&output.stdout).ok()?;
        services.as_array()?.iter().find(|service| service["name"] == name).cloned()
    };
    let busy = wait("it is busy", || taken("busy").filter(|busy| busy["cpu"].as_f64() > Some(10.0)));
    assert_eq!(busy["children"], 1, "{busy}");
    assert!(busy["memory"].as_u64() > Some(100_000), "{busy}");
    assert!(busy["cpu_over"].as_f64() > Some(0.0), "{busy}");
    let idle = taken("idle").expect("it is there");
    assert!(idle["cpu"].as_f64() < Some(10.0), "{idle}");
    assert_eq!(idle["children"], 0, "{idle}");
    let table = text(&machine.ctl(&["status"]));
    assert!(
        table.starts_with("NAME  STATE    PID") && table.contains("CPU") && table.contains("MEMORY"),
        "{table}"
    );
    assert!(table.contains(" MiB  ") || table.contains(" KiB  "), "{table}");
}

fn one_service_in_full() {
    let folder = Folder::new("full");
    let (db, web) = (folder.sleeper("db"), folder.sleeper("web"));
    let log = folder.path("db.log");
    let config = folder.config(&format!(
        "[services.db]\nstart = '{db} infinity'\nlog = {{ to = 'file', path = '{log}' }}\nlimits = {{ nofile = 512 }}\n\
         check = {{ exec = 'echo all is lost; exit 1', every = '100ms', retries = 1000 }}\n\
         [services.web]\nstart = '{web} infinity'\nafter = ['db']\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let web = machine.wait_running("web");
    machine.kill("KILL", pid(&web));
    machine.wait_back("web", &web);
    let shown = |name: &str, expected: &[&str]| {
        let told = wait(&format!("{expected:?} of {name}"), || {
            let told = text(&machine.ctl(&["status", name]));
            expected.iter().all(|words| told.contains(words)).then_some(told)
        });
        assert!(told.starts_with(&format!("{name}: running since ")), "{told}");
    };
    shown(
        "db",
        &[
            "found      started",
            "limits     nofile 512",
            &log,
            "needed by  web (running)",
            "of 1000 in a row",
            ": all is lost",
        ],
    );
    let last = format!("pid {} killed by SIGKILL", pid(&web));
    shown(
        "web",
        &["after       db (running)", "restarts    1", "stop        SIGTERM, killed after 5s", &last],
    );
}

/// What is shown in place, at a terminal of its own.
fn watch(machine: &Machine) -> Screen {
    let mut screen = Screen::execute(&mut from_outside(machine, &["status", "--watch"]));
    screen.expect("\x1b[?1049h");
    assert!(!hears_lines(&screen), "keys are heard without a newline");
    screen
}

/// Whether the terminal is set as a shell expects it.
fn hears_lines(screen: &Screen) -> bool {
    let modes = tcgetattr(&screen.master).expect("a terminal").local_modes;
    modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
}

/// Sends a signal to the program at the terminal.
fn signal(screen: &Screen, signal: Signal) {
    // Its PID is its own until it is waited for.
    kill(Pid::from_raw(screen.child.id() as i32), signal).expect("our own child");
}

fn is_stopped(screen: &Screen) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", screen.child.id())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('T'))
}

/// The last thing that it does to the terminal.
const GIVEN_BACK: &str = "\x1b[?25h\x1b[?1049l";

fn watched_services_survive_their_manager() {
    let folder = Folder::new("watch");
    let sleepers = ["one", "two", "three", "four"].map(|name| folder.sleeper(name) + " infinity");
    let script = "while :; do \"$@\"; until [ -e $PWD/again ]; do sleep 0.05; done; rm $PWD/again; done";
    let script = script.replace("$PWD", folder.path("").trim_end_matches('/'));
    let machine = Machine::start_by(folder, &script, &sleepers.each_ref().map(String::as_str));
    let four = machine.wait_running("four");
    let mut screen = watch(&machine);
    screen.expect("4 services, all as wanted");
    screen.expect("four");
    screen.expect("q quits");
    machine.kill("KILL", pid(&four));
    let after = machine.wait_back("four", &four);
    screen.expect(&format!("\x1b[0m{}  ", pid(&after)));
    // Two services fit into five lines of forty columns.
    screen.resize(5, 40);
    screen.expect("q quits; 1 to 2 of 4");
    screen.write("\x1b[B");
    screen.expect("q quits; 2 to 3 of 4");
    screen.write("G");
    screen.expect("q quits; 3 to 4 of 4");
    screen.resize(24, 80);
    screen.expect("one ");

    let manager = machine.named("musterd");
    let [manager] = manager.as_slice() else { panic!("one musterd, not {manager:?}") };
    machine.kill("KILL", manager.pid);
    screen.expect("no answer from the manager: ");
    screen.expect("four");
    fs::write(machine.folder.path("again"), "").expect("a file");
    screen.expect("4 services, all as wanted");
    screen.write("q");
    let (code, all) = screen.end();
    assert_eq!(code, Some(0), "{all}");
    assert!(all.ends_with(GIVEN_BACK), "{all:?}");
    assert!(hears_lines(&screen), "the terminal's modes are as they were");
}

fn the_terminal_is_given_back() {
    let folder = Folder::new("given-back");
    let alpha = folder.sleeper("alpha") + " infinity";
    let machine = Machine::start(folder, &[&alpha]);
    machine.wait_running("alpha");
    let ended = |end: &dyn Fn(&mut Screen)| {
        let mut screen = watch(&machine);
        screen.expect("alpha");
        end(&mut screen);
        let (code, all) = screen.end();
        assert!(all.ends_with(GIVEN_BACK), "{all:?}");
        assert!(hears_lines(&screen), "the terminal's modes are as they were");
        code
    };
    assert_eq!(ended(&|screen| screen.write("\x03")), Some(0));
    assert_eq!(ended(&|screen| signal(screen, Signal::SIGINT)), Some(0));
    assert_eq!(ended(&|screen| signal(screen, Signal::SIGTERM)), Some(143));
    assert_eq!(ended(&|screen| signal(screen, Signal::SIGHUP)), Some(129));
    // A shell would tell of it, and go on with it by `fg`.
    let suspended = ended(&|screen| {
        screen.write("\x1a");
        screen.expect(GIVEN_BACK);
        wait("it is stopped", || is_stopped(screen).then_some(()));
        signal(screen, Signal::SIGCONT);
        screen.expect("\x1b[?1049h");
        screen.write("q");
    });
    assert_eq!(suspended, Some(0));
    let unseen = from_outside(&machine, &["status", "--watch"]).output().expect("musterd");
    assert!(text(&unseen).contains("cannot watch: stdout is no terminal"), "{}", text(&unseen));
    assert_eq!(unseen.status.code(), Some(2));
}
