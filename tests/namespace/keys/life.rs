//! Keys of how a service is started and stopped, and of what ends the machine.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;

use crate::{
    Test,
    common::{now, text, wait},
    machine::{Folder, Machine, pid},
    shutdown::USUAL,
};

pub(crate) const TESTS: &[Test] = &[
    ("kind_task_runs_once_before_what_follows", kind_task_runs_once_before_what_follows),
    ("tasks_alone_end_the_machine_with_their_code", tasks_alone_end_the_machine_with_their_code),
    ("essential_ends_the_machine_with_its_code", essential_ends_the_machine_with_its_code),
    ("shell_says_who_splits_the_words", shell_says_who_splits_the_words),
    ("stop_is_run_instead_of_the_signal", stop_is_run_instead_of_the_signal),
    ("stop_signal_is_sent", stop_signal_is_sent),
    ("reload_signal_is_sent", reload_signal_is_sent),
    ("reload_is_run_instead_of_the_signal", reload_is_run_instead_of_the_signal),
    ("stop_timeout_ends_patience", stop_timeout_ends_patience),
    ("fifty_deaf_ones_end_in_time", fifty_deaf_ones_end_in_time),
];

/// Longer than a stop takes on a busy machine, shorter than the usual `stop-timeout` of 5 s.
const PATIENCE: Duration = Duration::from_millis(4500);

fn kind_task_runs_once_before_what_follows() {
    let folder = Folder::new("kind");
    let body = "echo $$ >>$folder/starts; until [ -e $folder/go ]; do sleep 0.01; done";
    let (task, beta) = (folder.script("prepare", body), folder.sleeper("beta"));
    let config = folder.config(&format!(
        "[services.prepare]\nstart = '{task}'\nkind = 'task'\n\
         [services.beta]\nstart = '{beta} infinity'\nafter = 'prepare'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("the task works", || (machine.folder.lines("starts").len() == 1).then_some(()));
    machine.wait_service("beta", "waits", |beta| beta.state == "waiting" && beta.reason.contains("prepare"));
    assert!(machine.named("beta").is_empty());
    fs::write(machine.folder.path("go"), "").expect("a file");
    machine.wait_running("beta");
    let task = machine.wait_service("prepare", "is done", |task| task.state == "exited");
    assert!(task.pid.is_none() && task.restarts == 0, "{task:?}");
    assert_eq!(machine.folder.lines("starts").len(), 1);
    assert_eq!(machine.ctl(&["health"]).status.code(), Some(0));
}

fn tasks_alone_end_the_machine_with_their_code() {
    for (body, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        let folder = Folder::new(&format!("tasks-{code}"));
        let first = folder.script("first", "echo first >>$folder/done");
        let last = folder.script("last", &format!("echo last >>$folder/done\n{body}"));
        let config = folder.config(&format!(
            "[defaults]\nkind = 'task'\nrestart = 'never'\n[services.last]\nstart = '{last}'\nafter = 'first'\n\
             [services.first]\nstart = '{first}'\n"
        ));
        let mut machine = Machine::start(folder, &["-c", &config]);
        assert_eq!(machine.wait_end(), Some(code), "{}", machine.output());
        assert_eq!(machine.folder.lines("done"), ["first", "last"]);
    }
}

fn essential_ends_the_machine_with_its_code() {
    for (body, code) in [("exit 9", 9), ("kill -TERM $$", 143), ("exit 0", 0)] {
        let folder = Folder::new(&format!("essential-{code}"));
        let wait_for = "until [ -e $folder/go ]; do sleep 0.01; done\n";
        let web = folder.script("web", &format!("{wait_for}{body}"));
        let other = folder.script(
            "other",
            "trap 'echo polite >>$folder/stops; exit 0' TERM\nwhile :; do sleep 3600 & wait; done",
        );
        let config = folder.config(&format!(
            "[services.web]\nstart = '{web}'\nrestart = 'never'\nessential = true\n\
             [services.other]\nstart = '{other}'\n"
        ));
        let mut machine = Machine::start(folder, &["-c", &config]);
        machine.wait_running("web");
        // It has set its trap when its child is there.
        let other = pid(&machine.wait_running("other"));
        wait("other waits", || {
            machine.named("sleep").iter().any(|sleep| sleep.parent == other).then_some(())
        });
        fs::write(machine.folder.path("go"), "").expect("a file");
        assert_eq!(machine.wait_end(), Some(code), "{}", machine.output());
        assert_eq!(machine.folder.lines("stops"), ["polite"], "it was stopped in order");
    }
}

fn shell_says_who_splits_the_words() {
    let folder = Folder::new("shell");
    let show = folder.script("show", "echo \"$1\" >$folder/words-$MUSTERD_SERVICE\nexec sleep 3600");
    // Without the key, a `$` calls for a shell; `eval` does not, and is no program.
    let config = folder.config(&format!(
        "[services.literal]\nstart = '{show} $HOME'\nshell = false\n\
         [services.expanded]\nstart = 'eval {show} word'\nshell = true\n\
         [services.by-itself]\nstart = '{show} $HOME'\n[services.without]\nstart = 'eval {show} word'\n"
    ));
    let machine = Machine::start_by(folder, "export HOME=/home/of/it\nexec \"$@\"", &["-c", &config]);
    let words = |name: &str| wait("it was started", || machine.folder.lines(&format!("words-{name}")).pop());
    assert_eq!(words("literal"), "$HOME");
    assert_eq!(words("expanded"), "word");
    assert_eq!(words("by-itself"), "/home/of/it");
    machine.wait_service("without", "cannot be started", |without| without.state == "backoff");
}

/// A machine of a service that notes each signal it gets and ends by none but KILL, and is noted to be there.
fn deaf(test: &str, keys: impl Fn(&Folder) -> String) -> Machine {
    let folder = Folder::new(test);
    let body = "for signal in TERM INT USR1; do trap \"echo $signal >>$folder/signals\" $signal; done\n\
                echo $$ >$folder/there\nwhile :; do sleep 3600 & wait; done";
    let start = folder.script("deaf", body);
    let config = folder.config(&format!("[services.deaf]\nstart = '{start}'\n{}\n", keys(&folder)));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("it is there", || machine.folder.lines("there").pop());
    machine
}

fn stop_is_run_instead_of_the_signal() {
    let machine = deaf("stop", |folder| {
        let halt = folder.script("halt", "echo halt >>$folder/signals; kill -KILL $(cat $folder/there)");
        format!("stop = '{halt}'\nstop-timeout = '10s'")
    });
    assert!(machine.ctl(&["stop", "deaf"]).status.success());
    machine.wait_service("deaf", "is stopped", |deaf| deaf.state == "stopped");
    assert_eq!(machine.folder.lines("signals"), ["halt"]);
}

fn stop_signal_is_sent() {
    let machine = deaf("stop-signal", |_| "stop-signal = 'USR1'\nstop-timeout = '1s'".to_owned());
    assert!(machine.ctl(&["stop", "deaf"]).status.success());
    machine.wait_service("deaf", "is stopped", |deaf| deaf.state == "stopped");
    assert_eq!(machine.folder.lines("signals"), ["USR1"]);
}

fn reload_signal_is_sent() {
    let machine = deaf("reload-signal", |_| "reload-signal = 'USR1'".to_owned());
    let before = machine.wait_running("deaf");
    let output = machine.ctl(&["reload", "deaf"]);
    assert!(output.status.success(), "{}", text(&output));
    wait("it has the signal", || (machine.folder.lines("signals") == ["USR1"]).then_some(()));
    assert_eq!(machine.wait_running("deaf").pid, before.pid);

    let machine = deaf("no-reload", |_| String::new());
    machine.wait_running("deaf");
    let output = machine.ctl(&["reload", "deaf"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output).contains("configure its `reload` or `reload-signal`"), "{}", text(&output));
}

fn reload_is_run_instead_of_the_signal() {
    let machine = deaf("reload", |folder| {
        let body = "echo reload $1 >>$folder/signals; until [ -e $folder/go ]; do sleep 0.01; done\n\
                    exit $(cat $folder/go)";
        let reload = folder.script("reload", body);
        format!("reload = '{reload} \"a word\"'\nreload-signal = 'USR1'")
    });
    let before = machine.wait_running("deaf");
    fs::write(machine.folder.path("go"), "0").expect("a file");
    let output = machine.ctl(&["reload", "deaf"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(machine.folder.lines("signals"), ["reload a word"], "it is waited for");

    fs::write(machine.folder.path("go"), "7").expect("a file");
    let output = machine.ctl(&["reload", "deaf"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("exited 7"), "{}", text(&output));

    fs::remove_file(machine.folder.path("go")).expect("its file");
    let output = machine.ctl(&["reload", "deaf", "--timeout", "100ms"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("not done within 100ms; it goes on"), "{}", text(&output));
    let output = machine.ctl(&["reload", "deaf"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output).contains("its reload command is still at work"), "{}", text(&output));
    assert_eq!(machine.wait_running("deaf").pid, before.pid);
    assert!(machine.ctl(&["stop", "deaf"]).status.success(), "its command goes with it");
    assert!(machine.named("reload").is_empty());
}

fn stop_timeout_ends_patience() {
    let machine = deaf("stop-timeout", |_| "stop-timeout = '100ms'".to_owned());
    let begin = now();
    assert!(machine.ctl(&["stop", "deaf"]).status.success());
    machine.wait_service("deaf", "is stopped", |deaf| deaf.state == "stopped");
    assert!(begin.elapsed() < PATIENCE, "it had 100 ms");

    let machine = deaf("stop-timeout-long", |_| "stop-timeout = '7s'".to_owned());
    let begin = now();
    assert!(machine.ctl(&["stop", "deaf"]).status.success());
    machine.wait_service("deaf", "is stopped", |deaf| deaf.state == "stopped");
    assert!(begin.elapsed() >= Duration::from_secs(7), "it had seven seconds");
}

fn fifty_deaf_ones_end_in_time() {
    const COUNT: usize = 50;
    let folder = Folder::new("fifty-deaf");
    let deaf = folder.script("deaf", "trap '' TERM\necho $$ >>$folder/there\nwhile :; do sleep 3600; done");
    // Every second one comes after the one before it, so that there is an order to keep, too.
    let services: String = (0..COUNT)
        .map(|number| {
            let after =
                if number % 2 == 1 { format!("after = 'deaf-{}'\n", number - 1) } else { String::new() };
            format!("[services.deaf-{number}]\nstart = '{deaf}'\n{after}")
        })
        .collect();
    let config = folder
        .config(&format!("[manager]\nshutdown-timeout = '2s'\n[defaults]\nstop-timeout = '1h'\n{services}"));
    let mut machine = Machine::start(folder, &["-c", &config]);
    wait("all are deaf", || (machine.folder.lines("there").len() == COUNT).then_some(()));
    let begin = now();
    machine.signal(Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0), "{}", machine.output());
    assert!(begin.elapsed() < USUAL, "two seconds were all they had");
    assert!(!machine.output().contains("giving up"), "{}", machine.output());
}
