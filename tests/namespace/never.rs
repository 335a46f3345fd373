//! What is never a service's process, though its arguments name the service; and a table that is large, or changes
//! while it is read.

use std::time::Duration;

use crate::{
    Test,
    common::{now, wait, wait_within},
    machine::{Folder, Machine, Process, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("arguments_that_name_the_service_are_not_it", arguments_that_name_the_service_are_not_it),
    ("its_own_command_line_and_ctl_are_not_the_service", its_own_command_line_and_ctl_are_not_the_service),
    ("processes_that_vanish_while_they_are_read_are_no_error", processes_that_vanish_are_no_error),
    ("ten_thousand_processes_are_looked_through", ten_thousand_processes_are_looked_through),
];

/// A debug build on a busy machine takes many seconds for each look at ten thousand processes, and long to make them.
const LONG: Duration = Duration::from_secs(300);

fn named(machine: &Machine, comm: &str) -> Vec<i32> {
    machine.named(comm).iter().map(|process| process.pid).collect()
}

fn arguments_that_name_the_service_are_not_it() {
    let folder = Folder::new("arguments");
    let daemon = folder.daemon("apache2");
    let (quiet, log) = (folder.player("quiet", "idle"), folder.path("apache2.log"));
    // A log that is read, an editor, a search, a shell: what a person has open.
    let bystanders = [
        format!("tail -f {log}"),
        format!("bash -c 'exec -a vim {quiet} apache2.conf apache2'"),
        format!("bash -c 'exec -a \"watching {daemon}\" {quiet}'"),
        format!("sh -c '{quiet}; : $0' apache2 {daemon}"),
    ];
    let lines: String =
        bystanders.iter().map(|command| format!("setsid {command} >/dev/null 2>&1 &\n")).collect();
    let script = format!(
        "touch {log}\n{lines}there() {{ cat /proc/[0-9]*/comm 2>/dev/null | grep -cx 'tail\\|quiet'; }}\n\
         until [ $(there) = 4 ]; do sleep 0.01; done\nexec \"$@\""
    );
    let machine = Machine::start_by(folder, &script, &[&daemon]);
    let before =
        machine.wait_service("apache2", "is followed", |status| status.reason.contains("daemonised"));
    // From here on musterd is PID 1: of the script that became it no short-lived process is left.
    let mut there: Vec<Process> = machine
        .table()
        .into_iter()
        .filter(|process| ["tail", "quiet", "sh"].contains(&&*process.comm))
        .collect();
    there.sort_by(|one, other| one.comm.cmp(&other.comm));
    let names: Vec<&str> = there.iter().map(|process| &*process.comm).collect();
    assert_eq!(names, ["quiet", "quiet", "quiet", "sh", "tail"]);
    let daemons = machine.named("apache2").into_iter().filter(|process| process.pid == process.session);
    assert_eq!(daemons.map(|daemon| daemon.pid).collect::<Vec<_>>(), [pid(&before)]);

    // Not when it is missing, either, and nothing of it is ended with it.
    machine.kill("KILL", pid(&before));
    let after = machine.wait_back("apache2", &before);
    machine.wait_service("apache2", "is followed", |status| status.reason.contains("daemonised"));
    assert!(machine.ctl(&["stop", "apache2"]).status.success());
    wait("it is stopped", || machine.named("apache2").is_empty().then_some(()));
    let left = machine.table();
    for bystander in &there {
        let same = |process: &Process| process.pid == bystander.pid && process.state != 'Z';
        assert!(left.iter().any(same), "{bystander:?} was ended, {after:?}");
    }
}

fn its_own_command_line_and_ctl_are_not_the_service() {
    let folder = Folder::new("own");
    // A service of musterd's own name: neither the manager nor a client of it is one.
    let service = folder.sleeper("musterd") + " infinity";
    let machine = Machine::start_by(folder, "\"$@\"", &[&service]);
    let before = machine.wait_running("musterd");
    let arguments = std::fs::read(machine.proc(&format!("{}/cmdline", pid(&before)))).expect("it lives");
    assert!(arguments.ends_with(b"/musterd\0infinity\0"), "{arguments:?}");
    machine.kill("KILL", pid(&before));
    let after = machine.wait_back("musterd", &before);
    assert_eq!(machine.named("musterd").len(), 2, "{after:?}");
}

fn processes_that_vanish_are_no_error() {
    let folder = Folder::new("vanish");
    let daemon = folder.daemon("hermit");
    let churn = folder.script(
        "churn",
        "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); (:) & (exec true) & [ $((i % 50)) -gt 0 ] || wait; done\n\
         echo done >$folder/done\nexec sleep 3600",
    );
    let config = folder.config(&format!(
        "[defaults]\ninterval = '100ms'\nstable-after = '0s'\n\
         [services.hermit]\nstart = '{daemon}'\n[services.churn]\nstart = '{churn}'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let mut kills: u64 = 0;
    let followed = |status: &crate::common::Status| status.reason.contains("daemonised");
    // The daemon is not musterd's child by birth, so that each time the table is asked for it.
    while machine.folder.lines("done").is_empty() || kills == 0 {
        let hermit = machine.wait_service("hermit", "is followed", followed);
        assert_eq!(hermit.restarts, kills, "started without a need: {hermit:?}");
        machine.kill("KILL", pid(&hermit));
        kills += 1;
        wait("hermit is back", || {
            machine.status().into_iter().find(|status| status.name == "hermit" && status.restarts == kills)
        });
    }
    println!("6000 processes came and went while the daemon was killed {kills} times");
    machine.wait_service("hermit", "is followed", followed);
    assert_eq!(machine.named("hermit").len(), 1);
    assert_eq!(machine.folder.lines("starts").len() as u64, kills + 1);
    for wrong in ["cannot", "bug", "ERROR"] {
        assert!(!machine.output().contains(wrong), "{}", machine.output());
    }
}

fn ten_thousand_processes_are_looked_through() {
    let folder = Folder::new("crowd");
    let crowd = folder.player("crowd", "crowd 10000");
    let daemon = folder.daemon("hermit");
    let script = format!("{crowd} >{} &\nexec \"$@\"", folder.path("crowd-output"));
    let config = folder.config(&format!("[services.hermit]\nstart = '{daemon}'\ninterval = '1h'\n"));
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    wait_within(LONG, "the crowd", || (machine.folder.lines("crowd-output").len() == 1).then_some(()));
    let before = wait_within(LONG, "hermit is followed", || {
        machine.status().into_iter().find(|hermit| hermit.reason.contains("daemonised"))
    });
    let begin = now();
    machine.kill("KILL", pid(&before));
    let after = wait_within(LONG, "hermit is followed again", || {
        machine
            .status()
            .into_iter()
            .find(|hermit| hermit.restarts == 1 && hermit.reason.contains("daemonised"))
    });
    println!(
        "among 10,000 processes a killed daemon is followed again after {} ms",
        begin.elapsed().as_millis()
    );
    assert_eq!(named(&machine, "hermit"), [pid(&after)]);
    assert_eq!(machine.named("crowd").len(), 10_001, "none of the crowd was touched");
    assert!(!machine.output().contains("cannot"), "{}", machine.output());
}
