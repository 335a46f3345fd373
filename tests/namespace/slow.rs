//! Start commands that take their time: run once while they work, ended when they hang.

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_slow_start_command_is_run_once", a_slow_start_command_is_run_once),
    ("a_start_command_that_hangs_is_ended_and_told", a_start_command_that_hangs_is_ended_and_told),
];

fn a_slow_start_command_is_run_once() {
    let folder = Folder::new("slow");
    let hermit = folder.sleeper("hermit");
    // Two and a half seconds are a dozen intervals; they begin when it was seen at work.
    let start = folder.script(
        "prepare",
        &format!("echo start >>$folder/starts\nuntil [ -e $folder/seen ]; do sleep 0.01; done\nsleep 2.5\nsetsid {hermit} infinity &\nuntil grep -qsx hermit /proc/$!/comm; do sleep 0.01; done"),
    );
    let config = folder
        .config(&format!("[services.hermit]\nstart = '{start}'\nmatch = 'hermit'\ninterval = '200ms'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    let starting = machine.wait_service("hermit", "is starting", |status| status.state == "starting");
    assert!(starting.reason.contains("is at work"), "{}", starting.reason);
    std::fs::write(machine.folder.path("seen"), "").expect("a file");
    let running = machine.wait_running("hermit");
    assert_eq!(machine.folder.lines("starts").len(), 1);
    assert_eq!(
        machine.named("hermit").iter().map(|process| process.pid).collect::<Vec<_>>(),
        [pid(&running)]
    );
    assert_eq!(running.restarts, 0);
}

fn a_start_command_that_hangs_is_ended_and_told() {
    let folder = Folder::new("hangs");
    let (hermit, helper) = (folder.sleeper("hermit"), folder.sleeper("helper"));
    // The first one hangs, and a helper of it, too; the second one does what it shall, in time on a busy machine, too.
    let start = folder.script(
        "prepare",
        &format!(
            "trap '' TERM\necho $$ >>$folder/starts\n\
             [ $(wc -l <$folder/starts) -gt 1 ] || {helper} infinity\nexec {hermit} infinity"
        ),
    );
    let config = folder.config(&format!(
        "[services.hermit]\nstart = '{start}'\nmatch = 'hermit'\nstart-timeout = '3s'\nstop-timeout = '200ms'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let running = machine.wait_running("hermit");
    let starts = machine.folder.lines("starts");
    assert_eq!(starts.len(), 2, "{starts:?}");
    assert!(
        running.reason.contains(&format!("start command {} was still at work after 3s", starts[0])),
        "{running:?}"
    );
    assert!(machine.output().contains("was still at work after 3s"), "{}", machine.output());
    wait("nothing of the first one is left", || {
        machine.table().iter().all(|process| process.session.to_string() != starts[0]).then_some(())
    });
    assert!(machine.named("helper").is_empty());
}
