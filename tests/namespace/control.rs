//! `musterd ctl` and its exit codes; a configuration that is wrong.

use std::process::Output;

use crate::{
    Test,
    common::{Status, run, text},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("the_table_and_the_json_say_the_same", the_table_and_the_json_say_the_same),
    ("a_stopped_service_stays_away_until_it_is_started", a_stopped_service_stays_away_until_it_is_started),
    ("restart_gives_a_new_process", restart_gives_a_new_process),
    ("exit_codes", exit_codes),
    ("configuration_errors_are_told_together_and_nothing_starts", configuration_errors_are_told_together),
];

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn the_table_and_the_json_say_the_same() {
    let folder = Folder::new("table");
    let alpha = folder.sleeper("alpha") + " infinity";
    let machine = Machine::start(folder, &[&alpha]);
    let alpha = machine.wait_running("alpha");
    assert!(humantime::parse_rfc3339(&alpha.since).is_ok(), "{}", alpha.since);

    let table = text(&machine.ctl(&["status"]));
    let lines: Vec<_> = table.lines().collect();
    let [head, line] = lines.as_slice() else { panic!("two lines, not {table}") };
    let words: Vec<_> = head.split_whitespace().collect();
    assert_eq!(words[..5], ["NAME", "STATE", "PID", "UPTIME", "RESTARTS"]);
    assert_eq!(words.last(), Some(&"REASON"));
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["alpha", "running", &pid(&alpha).to_string()]);
    assert!(line.ends_with(&alpha.reason), "{line} should end with {}", alpha.reason);
}

fn a_stopped_service_stays_away_until_it_is_started() {
    let folder = Folder::new("goal");
    let (alpha, beta) = (folder.sleeper("alpha"), folder.sleeper("beta"));
    let config = folder.config("[defaults]\ninterval = '100ms'\n");
    let commands = [format!("{alpha} infinity"), format!("{beta} infinity")];
    let machine = Machine::start(folder, &["-c", &config, &commands[0], &commands[1]]);
    machine.wait_running("alpha");

    let output = machine.ctl(&["stop", "alpha"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output));
    assert!(machine.named("alpha").is_empty(), "stop answers when it has stopped");
    // Meanwhile musterd goes on with its work, and its scans come and go.
    for _ in 0..3 {
        let beta = machine.wait_running("beta");
        machine.kill("KILL", pid(&beta));
        machine.wait_back("beta", &beta);
    }
    let stopped = machine.wait_service("alpha", "is stopped", |status| status.state == "stopped");
    assert_eq!((stopped.pid, stopped.restarts), (None, 0));
    assert!(machine.named("alpha").is_empty());
    // Who is not wanted is not missed.
    assert_eq!(code(&machine.ctl(&["status"])), Some(0));

    let output = machine.ctl(&["start", "alpha"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output));
    let [alpha] = &Status::parse(&machine.ctl(&["status", "--json", "alpha"]))[..] else {
        panic!("one service")
    };
    assert_eq!((alpha.state.as_str(), alpha.restarts), ("running", 0), "start answers when it runs");
}

fn restart_gives_a_new_process() {
    let folder = Folder::new("restart");
    let alpha = folder.sleeper("alpha") + " infinity";
    let machine = Machine::start(folder, &[&alpha]);
    let before = machine.wait_running("alpha");
    let output = machine.ctl(&["restart", "alpha"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output));
    let after = machine.wait_running("alpha");
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.restarts, 0, "restarts counts what nobody asked for");
    assert_eq!(machine.named("alpha").len(), 1);
}

fn exit_codes() {
    let folder = Folder::new("codes");
    let alpha = folder.sleeper("alpha") + " infinity";
    let config = folder.config("[services.ghost]\nstart = '/nowhere/ghost'\n");
    let machine = Machine::start(folder, &["-c", &config, &alpha]);
    machine.wait_running("alpha");
    machine.wait_service("ghost", "cannot be started", |status| status.state == "backoff");

    let codes = [
        (0, machine.ctl(&["status", "alpha"])),
        (3, machine.ctl(&["status"])),
        (4, machine.ctl(&["status", "alhpa"])),
        (4, machine.ctl(&["status", "--socket", "/nowhere/socket"])),
        (2, machine.ctl(&["stutas"])),
        (2, machine.ctl(&["stop"])),
    ];
    for (expected, output) in &codes {
        assert_eq!(code(output), Some(*expected), "{}", text(output));
    }
    assert!(text(&codes[2].1).contains("alpha"), "the nearest name: {}", text(&codes[2].1));
}

fn configuration_errors_are_told_together() {
    let folder = Folder::new("errors");
    let marker = folder.path("marker");
    let config = folder.config(&format!(
        "[services.web]\nstart = 'touch {marker}'\nintervall = '5s'\n[services.db]\nstart = \"'unbalanced\"\n"
    ));
    let output = run(env!("CARGO_BIN_EXE_musterd"), &["-c", &config]);
    let told = text(&output);
    assert_eq!(code(&output), Some(2), "{told}");
    assert!(told.contains("musterd.toml:3:1:") && told.contains("intervall"), "{told}");
    assert!(told.contains("`interval`") || told.contains("\"interval\""), "the nearest key: {told}");
    assert!(told.contains("musterd.toml:5:9:") && told.contains("unbalanced"), "{told}");
    assert!(!std::path::Path::new(&marker).exists(), "something was started");
}
