//! What the verbs of `musterd ctl` do to real services, and what it exits with.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    process::Output,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("patterns_name_services", patterns_name_services),
    ("a_signal_reaches_the_main_process_alone", a_signal_reaches_the_main_process_alone),
    ("a_check_is_made_now", a_check_is_made_now),
    ("what_takes_long_need_not_be_waited_for", what_takes_long_need_not_be_waited_for),
    ("a_start_that_fails_says_why", a_start_that_fails_says_why),
    ("several_are_stopped_in_order", several_are_stopped_in_order),
    ("a_shutdown_refuses_what_comes_too_late", a_shutdown_refuses_what_comes_too_late),
    ("restarts_go_on_in_a_flood_of_requests", restarts_go_on_in_a_flood_of_requests),
];

#[track_caller]
fn expect(code: i32, output: &Output, words: &str) {
    let told = text(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(words), "{told} should say {words}");
}

fn states(machine: &Machine) -> Vec<(String, String)> {
    machine.status().into_iter().map(|status| (status.name, status.state)).collect()
}

fn patterns_name_services() {
    let folder = Folder::new("patterns");
    let sleepers = ["web-1", "web-2", "db"].map(|name| folder.sleeper(name) + " infinity");
    let machine = Machine::start(folder, &sleepers.each_ref().map(String::as_str));
    machine.wait_running("db");
    expect(0, &machine.ctl(&["stop", "web-[1-2]"]), "web-2  stopped");
    let all = [("web-1", "stopped"), ("web-2", "stopped"), ("db", "running")];
    assert_eq!(states(&machine), all.map(|(name, state)| (name.to_owned(), state.to_owned())));
    expect(0, &machine.ctl(&["start", "web-?", "db"]), "web-1  running");
    expect(0, &machine.ctl(&["status", "*b*"]), "db     running");
    expect(4, &machine.ctl(&["stop", "db", "x*"]), "cannot find a service \"x*\"");
    machine.wait_running("db");
    expect(2, &machine.ctl(&["restrat", "db"]), "'restart'");
}

fn a_signal_reaches_the_main_process_alone() {
    let folder = Folder::new("signal");
    // Its child would note the signal, too.
    let note = "trap \"echo $1 >>$folder/signals\" USR1; echo $1 >>$folder/there; sleep 3600 & while :; do wait $!; done";
    let child = folder.script("child", &note.replace("$1", "child"));
    let ear = folder.script("ear", &format!("{child} &\n{}", note.replace("$1", "main")));
    let machine = Machine::start(folder, &[&ear]);
    wait("both listen", || (machine.folder.lines("there").len() == 2).then_some(()));
    let before = machine.wait_running("ear");
    for (count, name) in [(1, "USR1"), (2, "SIGUSR1"), (3, "10")] {
        expect(0, &machine.ctl(&["signal", name, "ear"]), "running");
        wait("it hears", || (machine.folder.lines("signals").len() == count).then_some(()));
    }
    assert_eq!(machine.folder.lines("signals"), ["main"; 3]);
    assert_eq!(machine.wait_running("ear").pid, before.pid);
    expect(2, &machine.ctl(&["signal", "USR3", "ear"]), "must be a signal");
    expect(4, &machine.ctl(&["signal", "TERM", "eer"]), "did you mean \"ear\"?");
    expect(0, &machine.ctl(&["stop", "ear"]), "");
    expect(4, &machine.ctl(&["signal", "TERM", "ear"]), "service \"ear\" is stopped: asked by ctl stop");
}

fn a_check_is_made_now() {
    let folder = Folder::new("check-now");
    let alpha = folder.sleeper("alpha");
    let ill = folder.path("ill");
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\n\
         check = {{ exec = 'test ! -e {ill}', every = '1h', retries = 1, on-failure = 'report' }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("alpha");
    expect(0, &machine.ctl(&["check"]), "running");
    fs::write(&ill, "").expect("a file");
    expect(0, &machine.ctl(&["status"]), "running");
    expect(3, &machine.ctl(&["check", "alpha"]), "health check failed once");
    fs::remove_file(&ill).expect("its file");
    expect(0, &machine.ctl(&["check", "--json", "al*"]), "\"state\":\"running\"");
}

fn what_takes_long_need_not_be_waited_for() {
    let folder = Folder::new("patience");
    let slow = folder.sleeper("slow");
    let config = folder.config(&format!(
        "[services.slow]\nstart = '{slow} infinity'\nautostart = false\nready = {{ delay = '1h' }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_service("slow", "is stopped", |slow| slow.state == "stopped");
    expect(3, &machine.ctl(&["start", "slow", "--timeout", "100ms"]), "not done within 100ms; it goes on");
    machine.wait_service("slow", "is not ready", |slow| slow.state == "starting" && slow.pid.is_some());
    expect(0, &machine.ctl(&["restart", "--no-wait", "slow"]), "slow");
    expect(2, &machine.ctl(&["start", "slow", "--timeout", "0s"]), "must be a duration");
    expect(2, &machine.ctl(&["start", "slow", "--timeout", "1s", "--no-wait"]), "cannot be used with");
    expect(0, &machine.ctl(&["stop", "--wait", "slow"]), "stopped");
}

fn a_start_that_fails_says_why() {
    let folder = Folder::new("start-fails");
    let fails = folder.script("fails", "exit 9");
    let config = folder.config(&format!(
        "[defaults]\nautostart = false\n[services.ghost]\nstart = '/nowhere/ghost'\n\
         [services.fails]\nstart = '{fails}'\nstart-limit = {{ starts = 1 }}\nready = {{ delay = '1h' }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("musterd answers", || machine.ctl(&["health"]).status.success().then_some(()));
    let told = "service \"ghost\" does not run: cannot execute /nowhere/ghost: no such file or directory";
    expect(3, &machine.ctl(&["start", "ghost"]), told);
    expect(3, &machine.ctl(&["start", "fails"]), "exited 9");
}

fn several_are_stopped_in_order() {
    let folder = Folder::new("order");
    // Who ends first without being told to wait for the other is the one with less to do.
    let slow = "trap 'sleep 0.3; echo $1 >>$folder/ends; exit 0' TERM\necho >>$folder/there\nwhile :; do sleep 3600 & wait; done";
    let (web, db) = (
        folder.script("web", &slow.replace("$1", "web")),
        folder.script("db", &slow.replace("$1", "db").replace("sleep 0.3; ", "")),
    );
    let config = folder
        .config(&format!("[services.db]\nstart = '{db}'\n[services.web]\nstart = '{web}'\nafter = 'db'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("both are there", || (machine.folder.lines("there").len() == 2).then_some(()));
    machine.wait_running("web");
    expect(0, &machine.ctl(&["stop", "all"]), "stopped");
    assert_eq!(machine.folder.lines("ends"), ["web", "db"]);
}

fn a_shutdown_refuses_what_comes_too_late() {
    let folder = Folder::new("shutdown-verb");
    let stays = "trap '' TERM\necho >>$folder/there\nuntil [ -e $folder/go ]; do sleep 0.01; done";
    let (stays, alpha) = (folder.script("stays", stays), folder.sleeper("alpha"));
    let config = folder.config(&format!(
        "[manager]\nshutdown-timeout = '60s'\n[defaults]\nstop-timeout = '60s'\n\
         [services.stays]\nstart = '{stays}'\n[services.alpha]\nstart = '{alpha} infinity'\nautostart = false\n"
    ));
    let mut machine = Machine::start(folder, &["-c", &config]);
    wait("it is there", || machine.folder.lines("there").pop());
    machine.wait_running("stays");
    expect(0, &machine.ctl(&["shutdown"]), "");
    for verb in [&["start", "alpha"][..], &["restart", "stays"], &["reload", "stays"], &["check"]] {
        expect(4, &machine.ctl(verb), "refused: musterd is shutting down");
    }
    let status = machine.ctl(&["status", "stays"]);
    expect(0, &status, "stopping");
    fs::write(machine.folder.path("go"), "").expect("a file");
    assert_eq!(machine.wait_end(), Some(0));
    assert!(machine.output().contains("shutting down: ctl shutdown (uid "), "{}", machine.output());
}

/// Asks one question after the other, some at a time, until it is told to end; counts the answers.
fn flood(socket: &str, until: &AtomicBool, answers: &AtomicU64) {
    const AT_A_TIME: usize = 8;
    let mut stream = UnixStream::connect(socket).expect("musterd listens");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut line = String::new();
    while !until.load(Ordering::Relaxed) {
        let requests = "{\"verb\":\"status\"}\n".repeat(AT_A_TIME);
        stream.write_all(requests.as_bytes()).expect("musterd reads");
        for _ in 0..AT_A_TIME {
            line.clear();
            reader.read_line(&mut line).expect("musterd answers");
            assert!(line.contains("\"running\""), "{line}");
        }
        answers.fetch_add(AT_A_TIME as u64, Ordering::Relaxed);
    }
}

fn restarts_go_on_in_a_flood_of_requests() {
    const SERVICES: usize = 20;
    let folder = Folder::new("flood");
    let alpha = folder.sleeper("alpha");
    let services: String = (0..SERVICES)
        .map(|at| {
            format!(
                "[services.alpha-{at}]\nstart = '{alpha} {}'\nmatch = {{ cmdline = ' {}$' }}\n",
                9000 + at,
                9000 + at
            )
        })
        .collect();
    let config = folder.config(&format!("[defaults]\nstable-after = '0s'\n{services}"));
    let machine = Machine::start(folder, &["-c", &config]);
    let is_up = |machine: &Machine| states(machine).iter().filter(|(_, state)| state == "running").count();
    wait("all run", || (is_up(&machine) == SERVICES).then_some(()));
    let socket = machine.proc("../run/musterd.sock");
    let socket = socket.to_str().expect("a path in UTF-8");
    let (until, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| flood(socket, &until, &answers));
        }
        let heard = |more: u64| {
            let enough = answers.load(Ordering::Relaxed) + more;
            wait("it answers", || (answers.load(Ordering::Relaxed) >= enough).then_some(()));
        };
        heard(100);
        for _ in 0..3 {
            let before = machine.status();
            let victims: Vec<String> = before.iter().map(|status| pid(status).to_string()).collect();
            machine.inside(
                &[&["kill", "-KILL"], victims.iter().map(String::as_str).collect::<Vec<_>>().as_slice()]
                    .concat(),
            );
            heard(100);
            for status in before {
                machine.wait_back(&status.name, &status);
            }
        }
        until.store(true, Ordering::Relaxed);
    });
    assert!(machine.status().iter().all(|status| status.restarts == 3), "{:?}", machine.status());
}
