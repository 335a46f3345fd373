//! What runs already is adopted, not started twice.

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("what_ran_before_musterd_is_adopted", what_ran_before_musterd_is_adopted),
    ("what_is_started_by_hand_is_adopted", what_is_started_by_hand_is_adopted),
    ("a_script_that_becomes_the_service_is_it", a_script_that_becomes_the_service_is_it),
    ("a_musterd_that_was_killed_finds_its_own_again", a_musterd_that_was_killed_finds_its_own_again),
];

fn what_ran_before_musterd_is_adopted() {
    let folder = Folder::new("before");
    let alpha = folder.sleeper("alpha") + " infinity";
    let there = "until grep -qx alpha /proc/$!/comm; do sleep 0.01; done";
    let script = format!("setsid {alpha} &\n{there}\necho $! >{}\nexec \"$@\"", folder.path("pid"));
    let machine = Machine::start_by(folder, &script, &[&alpha]);
    let before = machine.wait_running("alpha");
    assert_eq!(machine.folder.lines("pid"), [pid(&before).to_string()]);
    assert!(before.reason.contains("adopted"), "{}", before.reason);

    machine.kill("KILL", pid(&before));
    machine.wait_back("alpha", &before);
    assert_eq!(machine.named("alpha").len(), 1);
}

fn what_is_started_by_hand_is_adopted() {
    let folder = Folder::new("hand");
    let alpha = folder.sleeper("alpha");
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\nbackoff = {{ initial = '200ms', factor = 1 }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let before = machine.wait_running("alpha");
    let elsewhere = machine.folder.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    std::fs::rename(&alpha, format!("{elsewhere}/alpha")).expect("the program, away");
    machine.kill("KILL", pid(&before));
    machine.wait_service("alpha", "cannot be started", |status| status.state == "backoff");

    machine.inside(&["sh", "-c", &format!("setsid {elsewhere}/alpha infinity >/dev/null 2>&1 &")]);
    let after = machine.wait_back("alpha", &before);
    assert!(after.reason.contains("adopted"), "{}", after.reason);
    assert_eq!(machine.named("alpha").iter().map(|process| process.pid).collect::<Vec<_>>(), [pid(&after)]);
}

fn a_script_that_becomes_the_service_is_it() {
    let folder = Folder::new("becomes");
    let alpha = folder.sleeper("alpha");
    let script = folder.script("prepare", &format!("exec {alpha} infinity"));
    let config = folder
        .config(&format!("[services.alpha]\nstart = '{script}'\nmatch = 'alpha'\ninterval = '100ms'\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    let alpha = machine.wait_running("alpha");
    assert_eq!(machine.named("alpha").iter().map(|process| process.pid).collect::<Vec<_>>(), [pid(&alpha)]);
    assert_eq!(alpha.restarts, 0);
}

fn a_musterd_that_was_killed_finds_its_own_again() {
    let folder = Folder::new("again");
    let alpha = folder.sleeper("alpha") + " infinity";
    let daemon = folder.daemon("hermit");
    let machine = Machine::start_by(folder, "while :; do \"$@\"; done", &[&alpha, &daemon]);
    let hermit = machine.wait_service("hermit", "is followed", |status| status.reason.contains("daemonised"));
    let before = [machine.wait_running("alpha"), hermit];
    let manager = machine.named("musterd");
    let [manager] = manager.as_slice() else { panic!("one musterd, not {manager:?}") };
    assert_ne!(manager.pid, 1);

    machine.kill("KILL", manager.pid);
    wait("a new musterd", || machine.named("musterd").into_iter().find(|new| new.pid != manager.pid));
    let after = [machine.wait_running("alpha"), machine.wait_running("hermit")];
    assert_eq!(after.each_ref().map(pid), before.each_ref().map(pid));
    assert_eq!((machine.named("alpha").len(), machine.named("hermit").len()), (1, 1));
}
