//! Keys of the environment, as the service's process has it.

use std::fs;

use crate::{
    Test,
    machine::{Folder, Machine, pid},
};

use super::{beside, variable};

pub(crate) const TESTS: &[Test] = &[
    ("inherit_environment_names_what_it_gets", inherit_environment_names_what_it_gets),
    ("unset_environment_takes_away", unset_environment_takes_away),
    ("env_file_is_read_at_each_start", env_file_is_read_at_each_start),
    ("environment_is_filled_in", environment_is_filled_in),
    ("environment_file_is_read_at_each_start", environment_file_is_read_at_each_start),
];

fn inherit_environment_names_what_it_gets() {
    let keys = "inherit-environment = ['ONE']";
    let (machine, alpha, plain) = beside("inherit", "ONE=1 TWO=2", keys);
    let of = |pid, name| variable(&machine, pid, name);
    assert_eq!((of(alpha, "ONE").as_deref(), of(alpha, "TWO")), (Some("1"), None));
    assert_eq!(of(plain, "TWO").as_deref(), Some("2"));

    let (machine, alpha, _) = beside("inherit-none", "ONE=1", "inherit-environment = false");
    assert_eq!(variable(&machine, alpha, "ONE"), None);
}

fn unset_environment_takes_away() {
    let (machine, alpha, plain) = beside("unset", "ONE=1 TWO=2", "unset-environment = 'TWO'");
    let of = |pid, name| variable(&machine, pid, name);
    assert_eq!((of(alpha, "ONE").as_deref(), of(alpha, "TWO")), (Some("1"), None));
    assert_eq!(of(plain, "TWO").as_deref(), Some("2"));
}

/// Kills the service and gives its next process.
fn next(machine: &Machine) -> i32 {
    let before = machine.wait_running("alpha");
    machine.kill("KILL", pid(&before));
    pid(&machine.wait_back("alpha", &before))
}

fn env_file_is_read_at_each_start() {
    let folder = Folder::new("env-file");
    let alpha = folder.sleeper("alpha");
    fs::write(folder.path("first"), "# of the image\nONE=1\nTWO='two words'\n").expect("a file");
    fs::write(folder.path("second"), "ONE=one\n").expect("a file");
    // Relative to the configuration file; the later one wins, and `environment` over both.
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\nenv-file = ['first', 'second']\n\
         environment = {{ THREE = '${{TWO}}!' }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let alpha = pid(&machine.wait_running("alpha"));
    let of = |pid, name| variable(&machine, pid, name).unwrap_or_default();
    assert_eq!(["ONE", "TWO", "THREE"].map(|name| of(alpha, name)), ["one", "two words", "two words!"]);
    fs::write(machine.folder.path("second"), "ONE=anew\n").expect("a file");
    assert_eq!(of(next(&machine), "ONE"), "anew");
}

fn environment_is_filled_in() {
    let keys = "environment = { WHERE = 'http://${HOST}:${PORT:-80}/$${HOST}', DEBUG = true, N = 3 }";
    let (machine, alpha, plain) = beside("environment", "HOST=db", keys);
    let of = |pid, name| variable(&machine, pid, name);
    assert_eq!(of(alpha, "WHERE").as_deref(), Some("http://db:80/${HOST}"));
    assert_eq!((of(alpha, "DEBUG").as_deref(), of(alpha, "N").as_deref()), (Some("true"), Some("3")));
    assert_eq!(of(plain, "WHERE"), None);
}

fn environment_file_is_read_at_each_start() {
    let folder = Folder::new("environment-file");
    let (alpha, secret) = (folder.sleeper("alpha"), folder.path("secret"));
    fs::write(&secret, "first\n").expect("a file");
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\nenvironment = {{ PASSWORD = {{ file = '{secret}' }} }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let alpha = machine.wait_running("alpha");
    assert_eq!(variable(&machine, pid(&alpha), "PASSWORD").as_deref(), Some("first"));
    fs::write(&secret, "second").expect("a file");
    assert_eq!(variable(&machine, next(&machine), "PASSWORD").as_deref(), Some("second"));

    fs::remove_file(&secret).expect("our file");
    machine.kill("KILL", pid(&machine.wait_running("alpha")));
    machine.wait_service("alpha", "says which file is missing", |alpha| {
        alpha.state == "backoff" && alpha.reason.contains(&secret)
    });
    // At once, as musterd may read it at any moment.
    let new = format!("{secret}.new");
    fs::write(&new, "third").expect("a file");
    fs::rename(&new, &secret).expect("our file");
    let again = machine.wait_running("alpha");
    assert_eq!(variable(&machine, pid(&again), "PASSWORD").as_deref(), Some("third"));
}
