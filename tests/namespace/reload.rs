//! The configuration is read again while services run; `musterd plan`.

use std::fs;

use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, MUSTERD, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_reload_touches_only_what_changed", a_reload_touches_only_what_changed),
    ("a_wrong_configuration_changes_nothing", a_wrong_configuration_changes_nothing),
    ("a_reload_leads_output_elsewhere", a_reload_leads_output_elsewhere),
    ("what_a_reload_brings_and_removes_takes_no_descriptors", what_a_reload_brings_and_removes),
    ("who_follows_a_service_that_is_removed_comes_to_its_end", who_follows_a_service_that_is_removed),
    ("a_plan_tells_what_then_happens", a_plan_tells_what_then_happens),
];

fn a_reload_touches_only_what_changed() {
    let folder = Folder::new("reload");
    let [alpha, beta, gamma, delta] = ["alpha", "beta", "gamma", "delta"].map(|name| folder.sleeper(name));
    let command = |start: &str| format!("start = '{start} infinity'\n");
    let both = format!("[services.alpha]\n{}[services.beta]\n{}", command(&alpha), command(&beta));
    let config = folder.config(&format!("{both}[services.gamma]\n{}", command(&gamma)));
    let epsilon = folder.sleeper("epsilon") + " infinity";
    let machine = Machine::start(folder, &["-c", &config, &epsilon]);
    let before = ["alpha", "beta", "gamma", "epsilon"].map(|name| machine.wait_running(name));

    let (alpha, beta) = (command(&alpha) + "interval = '5s'\n", command(&beta) + "umask = '027'\n");
    machine.folder.config(&format!(
        "[manager]\nlog-level = 'debug'\n[services.alpha]\n{alpha}[services.beta]\n{beta}[services.delta]\n\
         after = 'alpha'\n{}",
        command(&delta)
    ));
    let shown = machine.ctl(&["reload", "--dry-run"]);
    let expected = format!(
        "~ [manager]\n    log-level: \"info\" -> \"debug\" (applied)\n\
         ~ alpha: applied\n    interval: \"60s\" -> \"5s\" (applied)\n\
         ~ beta: restarts\n    umask: none -> \"027\" (restarts)\n\
         + delta: added\n    start: \"{delta} infinity\"\n    after: [\"alpha\"]\n\
         - gamma: removed, is stopped\n1 service is as it was"
    );
    assert_eq!(text(&shown), format!("{expected}; this was a dry run, and nothing was done\n"));
    assert_eq!(machine.status().len(), 4, "a dry run does nothing");

    let done = machine.ctl(&["reload"]);
    assert_eq!(text(&done), expected + "\n");
    machine.wait_running("delta");
    machine.wait_back("beta", &before[1]);
    wait("gamma has gone", || {
        (machine.status().len() == 4 && machine.named("gamma").is_empty()).then_some(())
    });
    let names: Vec<String> = machine.status().into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["alpha", "beta", "delta", "epsilon"]);
    for before in [&before[0], &before[3]] {
        let now = machine.wait_running(&before.name);
        assert_eq!((now.pid, now.restarts), (before.pid, 0), "{} stays", before.name);
    }
    assert_eq!(text(&machine.ctl(&["reload"])), "nothing has changed\n");
}

fn a_wrong_configuration_changes_nothing() {
    let folder = Folder::new("reload-wrong");
    let alpha = folder.sleeper("alpha") + " infinity";
    let right = format!("[services.alpha]\nstart = '{alpha}'\n");
    let config = folder.config(&right);
    let machine = Machine::start(folder, &["-c", &config]);
    let alpha = machine.wait_running("alpha");

    machine.folder.config("[services.alpha]\nstart = 5\ninterval = 'never'\n[services.beta]\n");
    let refused = machine.ctl(&["reload"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = text(&refused);
    for expected in [
        format!("{config}:2:9: "),
        format!("{config}:3:12: "),
        "musterd: 3 errors; everything is as it was".to_owned(),
    ] {
        assert!(told.contains(&expected), "{told} should have {expected}");
    }
    assert_eq!(machine.ctl(&["reload", "--dry-run"]).status.code(), Some(2));
    machine.signal(Signal::SIGHUP);
    let line = format!("cannot reload the configuration: {config}:3:12: ");
    wait("the error is told", || machine.output().contains(&line).then_some(()));

    fs::remove_file(&config).expect("a file");
    mkfifo(config.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
    let told = text(&machine.ctl(&["reload"]));
    assert!(told.contains("it is not a regular file"), "{told}");
    fs::remove_file(&config).expect("a FIFO");
    assert_eq!(machine.ctl(&["reload"]).status.code(), Some(2), "no file at all");

    machine.folder.config(&(right + "interval = '1s'\n"));
    machine.signal(Signal::SIGHUP);
    wait("the right one is taken", || {
        machine.output().contains("configuration read again: SIGHUP").then_some(())
    });
    assert_eq!(machine.wait_running("alpha").pid, alpha.pid);
}

fn a_reload_leads_output_elsewhere() {
    let folder = Folder::new("reload-output");
    let talker = folder.script("talker", "n=0; while :; do n=$((n+1)); echo \"line $n\"; sleep 0.05; done");
    let log = folder.path("log");
    let start = format!("[services.talker]\nstart = '{talker}'\n");
    let config = folder.config(&start);
    let machine = Machine::start(folder, &["-c", &config]);
    let talker = machine.wait_running("talker");
    wait("a line comes", || machine.output().contains("| line 1\n").then_some(()));

    machine.folder.config(&format!("{start}log = {{ to = 'file', path = '{log}' }}\n"));
    let shown = text(&machine.ctl(&["reload"]));
    assert!(shown.contains("log.to: \"prefix\" -> \"file\" (applied)"), "{shown}");
    wait("lines are in the file", || (machine.folder.lines("log").len() > 3).then_some(()));
    assert_eq!(machine.wait_running("talker").pid, talker.pid);
    let first = machine.folder.lines("log").remove(0);
    let before: u64 = first.strip_prefix("line ").and_then(|number| number.parse().ok()).expect("a line");
    assert!(machine.output().contains(&format!("| line {}\n", before - 1)), "no line is lost before {first}");

    machine.folder.config(&start);
    machine.ctl(&["reload"]);
    let last = machine.folder.lines("log").len() as u64 + before;
    wait("lines are back", || machine.output().contains(&format!("| line {last}\n")).then_some(()));
    assert_eq!(machine.wait_running("talker").pid, talker.pid);
}

fn what_a_reload_brings_and_removes() {
    let folder = Folder::new("reload-again");
    let (alpha, beta) = (folder.sleeper("alpha"), folder.sleeper("beta"));
    let one = format!("[services.alpha]\nstart = '{alpha} infinity'\n");
    let two = format!("{one}[services.beta]\nstart = '{beta} infinity'\n");
    let config = folder.config(&one);
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("alpha");
    let descriptors = || fs::read_dir(machine.proc("1/fd")).expect("musterd runs").count();
    let round = || {
        machine.folder.config(&two);
        machine.ctl(&["reload"]);
        machine.wait_running("beta");
        machine.folder.config(&one);
        machine.ctl(&["reload"]);
        wait("beta has gone", || (machine.status().len() == 1).then_some(()));
    };
    round();
    let before = descriptors();
    (0..5).for_each(|_| round());
    wait("descriptors are given back", || (descriptors() <= before).then_some(()));
}

fn who_follows_a_service_that_is_removed() {
    let folder = Folder::new("reload-follow");
    let alpha = folder.sleeper("alpha");
    let talker = folder.script("talker", "trap 'echo last word; exit' TERM; echo up; sleep infinity & wait");
    let one = format!("[services.alpha]\nstart = '{alpha} infinity'\n");
    let two = format!("{one}[services.talker]\nstart = '{talker}'\n");
    let config = folder.config(&two);
    let machine = Machine::start(folder, &["-c", &config]);
    let followers = [
        ("lines", "logs -f talker"),
        ("both", "logs -f alpha talker"),
        ("all", "logs -f"),
        ("events", "events -f talker"),
    ];
    machine.wait_running("talker");
    wait("there is a line", || text(&machine.ctl(&["logs", "talker"])).contains("| up\n").then_some(()));
    for (name, words) in followers {
        let out = machine.folder.path(name);
        let script =
            format!("({MUSTERD} ctl {words} >{out} 2>{out}.told; echo $? >{out}.code) >{out}.rest 2>&1 &");
        machine.inside(&["sh", "-c", &script]);
        wait("it follows", || (!machine.folder.lines(name).is_empty()).then_some(()));
    }
    machine.folder.config(&one);
    machine.ctl(&["reload"]);
    let ends = |name: &str| {
        let code = wait("it ends", || machine.folder.lines(&format!("{name}.code")).pop());
        (code, machine.folder.lines(&format!("{name}.told")))
    };
    let removed = vec!["musterd: service \"talker\" was removed".to_owned()];
    assert_eq!(ends("lines"), ("0".to_owned(), removed.clone()));
    assert_eq!(ends("events"), ("0".to_owned(), removed));
    let lines = machine.folder.lines("lines");
    let last: Vec<&str> = lines.iter().rev().take(2).map(String::as_str).collect();
    assert!(last[0].contains("stopped: main process") && last[1] == "talker | last word", "{lines:?}");
    let last = machine.folder.lines("events").pop().expect("an event");
    assert!(last.contains("talker: stopping → stopped"), "{last}");

    machine.ctl(&["restart", "alpha"]);
    for name in ["both", "all"] {
        wait("it goes on", || {
            let lines = machine.folder.lines(name);
            let word = lines.iter().position(|line| line.ends_with("| last word"))?;
            lines[word..].iter().any(|line| line.contains("asked by ctl restart")).then_some(())
        });
        assert!(machine.folder.lines(&format!("{name}.code")).is_empty(), "{name} goes on");
    }
}

fn a_plan_tells_what_then_happens() {
    let folder = Folder::new("plan");
    let (alpha, beta) = (folder.sleeper("alpha"), folder.sleeper("beta"));
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\nafter = 'beta'\n[services.beta]\nstart = '{beta} infinity'\n\
         [services.off]\nstart = '{beta} 1'\nmatch.cmdline = 'beta 1$'\nautostart = false\n"
    ));
    // A machine with something else as its first process.
    let machine = Machine::start_by(folder, &format!("{alpha} infinity & exec sleep infinity"), &[]);
    let running = wait("alpha runs", || machine.named("alpha").first().map(|process| process.pid));
    let plan = |arguments: &[&str]| machine.inside(&[&[MUSTERD, "plan", "-c", &config], arguments].concat());
    let shown = plan(&[]);
    let table = text(&shown);
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["alpha", "adopt", &running.to_string(), "beta", "same", "command", "line"]);
    assert_eq!(words[2][..4], ["beta", "start", "-", "-"]);
    assert_eq!(words[3], ["off", "leave", "-", "-", "autostart", "=", "false"]);
    assert_eq!((shown.status.code(), machine.named("beta").len()), (Some(0), 0), "a plan starts nothing");
    let json: serde_json::Value = serde_json::from_slice(&plan(&["--json"]).stdout).expect("JSON");
    assert_eq!((&json[0]["plan"], &json[0]["pid"]), (&"adopt".into(), &running.into()));
    let refused = plan(&["--only", "nobody"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert_eq!(pid_of_alpha(&machine), running, "nor ends anything");
}

fn pid_of_alpha(machine: &Machine) -> i32 {
    machine.named("alpha").first().map(|process| process.pid).unwrap_or_default()
}
