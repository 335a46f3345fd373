//! What a service finds when it begins: a session of its own, default signals, no foreign descriptors; and where
//! its output goes.

use std::{collections::BTreeMap, fs};

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_service_inherits_nothing_of_its_manager", a_service_inherits_nothing_of_its_manager),
    ("lines_stay_whole_and_carry_the_name", lines_stay_whole_and_carry_the_name),
    ("json_lines_carry_the_main_process", json_lines_carry_the_main_process),
    ("no_message_of_many_starts_is_dropped", no_message_of_many_starts_is_dropped),
    ("who_cannot_begin_says_what_is_missing", who_cannot_begin_says_what_is_missing),
];

fn a_service_inherits_nothing_of_its_manager() {
    let folder = Folder::new("clean");
    let alpha = folder.sleeper("alpha") + " infinity";
    // musterd itself inherits ignored signals, an open file and a limit.
    let script = "trap '' HUP PIPE USR1\nexec 7</etc/passwd\nulimit -S -n 500\nexec \"$@\"";
    let machine = Machine::start_by(folder, script, &[&alpha]);
    let alpha = pid(&machine.wait_running("alpha"));
    let read =
        |name: &str| fs::read_to_string(machine.proc(&format!("{alpha}/{name}"))).expect("alpha lives");

    let process = machine.named("alpha").pop().expect("alpha lives");
    assert_eq!((process.session, process.parent), (alpha, 1));

    let status = read("status");
    let fields: BTreeMap<_, _> = status.lines().filter_map(|line| line.split_once(":\t")).collect();
    assert_eq!(["SigBlk", "SigIgn", "SigCgt"].map(|name| fields[name]), ["0000000000000000"; 3]);

    let mut descriptors: Vec<_> = fs::read_dir(machine.proc(&format!("{alpha}/fd")))
        .expect("alpha's descriptors")
        .map(|entry| entry.expect("a descriptor").file_name())
        .collect();
    descriptors.sort();
    assert_eq!(descriptors, ["0", "1", "2"]);
    let stdin = fs::read_link(machine.proc(&format!("{alpha}/fd/0"))).expect("alpha's stdin");
    assert_eq!(stdin.to_str(), Some("/dev/null"));

    let limits = read("limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert_eq!(files.split_whitespace().nth(3), Some("500"), "{files}");
}

fn lines_stay_whole_and_carry_the_name() {
    let folder = Folder::new("lines");
    // Each writes its line in two halves, so that they would mix if they were passed on as they come.
    let body = |name: &str| {
        format!(
            "while [ ! -e $folder/done ]; do printf '{name}-'; sleep 0.01; printf '{name}\\n'; done\nexec sleep 3600"
        )
    };
    let (left, right) = (folder.script("left", &body("aaaa")), folder.script("right", &body("bbbb")));
    let machine = Machine::start(folder, &[&left, &right]);
    let count = |line: &str| machine.output().matches(line).count();
    wait("both write", || (count("aaaa-aaaa\n") > 50 && count("bbbb-bbbb\n") > 50).then_some(()));
    fs::write(machine.folder.path("done"), "").expect("a file");

    let output = machine.output();
    // The last line may be half written.
    let (whole, _) = output.rsplit_once('\n').expect("many lines");
    for line in whole.lines().filter(|line| line.contains("aaaa") || line.contains("bbbb")) {
        let (name, halves) =
            if line.contains("left") { ("left", "aaaa-aaaa") } else { ("right", "bbbb-bbbb") };
        assert!(line.contains(name) && line.ends_with(halves) && line.matches('-').count() >= 1, "{line}");
        assert!(!(line.contains("aaaa") && line.contains("bbbb")), "{line}");
    }
}

fn json_lines_carry_the_main_process() {
    let folder = Folder::new("json-pid");
    let body = "if [ \"$1\" = --daemon ]; then echo $$ >>$folder/starts; while :; do echo here; sleep 0.05; done; fi\n\
                setsid \"$0\" --daemon &\n\
                until grep -qx $! $folder/starts; do sleep 0.01; done 2>/dev/null\necho begun";
    let herald = folder.script("herald", body);
    let stop = folder.script("halt", "echo halting; kill $(cat $folder/starts)");
    let config = folder.config(&format!(
        "[manager]\nlog-format = 'json'\n[services.herald]\nstart = '{herald}'\nstop = '{stop}'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let lines = |message: &str| -> Vec<Option<i64>> {
        let output = machine.output();
        // The last line may be half written.
        let lines = output.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["message"] == message).map(|line| line["pid"].as_i64()).collect()
    };
    let daemon = wait("it has become a daemon", || machine.folder.lines("starts").first()?.parse().ok());
    wait("a line of the daemon's carries its PID", || lines("here").contains(&Some(daemon)).then_some(()));
    assert!(machine.ctl(&["stop", "herald"]).status.success());
    let halting = wait("the stop command's line is there", || lines("halting").pop());
    assert!(halting.is_none_or(|pid| pid == daemon), "{daemon}: {halting:?}");
}

/// What is told in the first turn is more than the log has room for.
fn no_message_of_many_starts_is_dropped() {
    const SERVICES: usize = 250;
    let folder = Folder::new("many");
    let sleeper = folder.sleeper("sleeper");
    let name = "x".repeat(400);
    let services: String = (0..SERVICES)
        .map(|number| format!("[services.{name}{number}]\nstart = '{sleeper} infinity'\n"))
        .collect();
    let config = folder.config(&services);
    let machine = Machine::start(folder, &["-c", &config]);
    let output = wait("all are told of", || {
        let output = machine.output();
        let told = output.matches(": started pid=").count();
        (told == SERVICES || output.contains("were dropped")).then_some(output)
    });
    assert!(!output.contains("were dropped"));
}

fn who_cannot_begin_says_what_is_missing() {
    for (shortage, told) in [
        (
            "mount -t tmpfs tmpfs /proc",
            "cannot begin: cannot read /proc/thread-self/status: /proc is not mounted",
        ),
        ("ulimit -n 20", "cannot begin: cannot "),
        // What the test itself may have left open at that moment would leave not even the program's loader a descriptor.
        (
            "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-\nulimit -n 4",
            "cannot begin: cannot open /dev/null: too many open files",
        ),
    ] {
        let folder = Folder::new("cannot-begin");
        let services: String =
            (0..30).map(|number| format!("[services.web-{number}]\nstart = 'sleep 9'\n")).collect();
        let config = folder.config(&services);
        let script = format!("{shortage}\nexec \"$@\"");
        let mut machine = Machine::start_by(folder, &script, &["-c", &config]);
        assert_eq!(machine.wait_end(), Some(2), "{shortage}");
        assert!(machine.output().contains(told), "{shortage}: {}", machine.output());
    }
}
