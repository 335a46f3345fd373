//! A secret's value is in its service's environment and nowhere else, whatever musterd is asked.

use std::fs;

use crate::{
    Test,
    common::{run, text, wait},
    machine::{Folder, MUSTERD, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[("a_secret_is_never_told", a_secret_is_never_told)];

/// Words that nothing else holds.
const VALUE: &str = "xyzzy-4711-plugh";

fn a_secret_is_never_told() {
    let folder = Folder::new("secret");
    let (alpha, beta, secret) = (folder.sleeper("alpha"), folder.sleeper("beta"), folder.path("secret"));
    fs::write(&secret, format!("{VALUE}\n")).expect("a file");
    fs::write(folder.path("nul"), format!("{VALUE}\0{VALUE}\n")).expect("a file");
    fs::write(folder.path("vars"), format!("OTHER={VALUE}\n")).expect("a file");
    let config = |more: &str| {
        format!(
            "[manager]\nlog-level = 'trace'\n[defaults]\nbackoff = {{ initial = '10ms', factor = 1 }}\n\
             [services.alpha]\nstart = '{alpha} infinity'\nstop = 'false'\nstop-timeout = '100ms'\n\
             environment = {{ PASSWORD = {{ file = '{secret}' }} }}\nenv-file = '{}'\n\
             check = {{ exec = 'false', every = '50ms', on-failure = 'report' }}\n\
             [services.beta]\nstart = '{beta} infinity'\n\
             [services.broken]\nstart = '{beta} infinity'\nenvironment = {{ PASSWORD = {{ file = '{}' }} }}\n\
             [services.nowhere]\nstart = '/no/such/program'\nenvironment = {{ PASSWORD = {{ file = '{secret}' }} }}\n\
             {more}",
            folder.path("vars"),
            folder.path("nul")
        )
    };
    let file = folder.config(&config(""));
    let wrong = folder.path("wrong.toml");
    fs::write(&wrong, config("usr = 'app'\nenvironment.SECOND = { fil = 1 }\n")).expect("a file");

    let mut machine = Machine::start(folder, &["-c", &file]);
    // What is searched for is there to be found.
    let first = machine.wait_service("alpha", "is ill", |alpha| alpha.state == "unhealthy");
    let environment = |pid: i32| {
        let bytes = fs::read(machine.proc(&format!("{pid}/environ"))).expect("it lives");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert!(environment(pid(&first)).contains(&format!("PASSWORD={VALUE}\0")));
    for other in [1, pid(&machine.wait_running("beta"))] {
        assert!(!environment(other).contains(VALUE), "process {other} has it");
    }

    let mut told = String::new();
    for name in ["broken", "nowhere"] {
        let status = machine.wait_service(name, "fails", |service| service.state == "backoff");
        told += &format!("{}\n", status.reason);
    }
    assert!(told.contains("/nul"), "{told}");
    machine.kill("KILL", pid(&first));
    machine.wait_service("alpha", "is back", |alpha| alpha.pid.is_some() && alpha.pid != first.pid);
    for verb in [&["restart", "alpha"][..], &["status"], &["status", "--json"], &["health"], &["stop", "all"]]
    {
        let output = text(&machine.ctl(verb));
        assert!(!output.is_empty() || verb[0] != "status", "{verb:?} says nothing");
        told += &output;
    }
    for arguments in [&["check", "-c", &file][..], &["check", "-c", &wrong], &["-c", &wrong], &["schema"]] {
        told += &text(&run(MUSTERD, arguments));
    }
    for words in ["PASSWORD", "unhealthy", "usr", "fil"] {
        assert!(told.contains(words), "nothing is said of {words}: {told}");
    }
    // The record and whatever else is kept under /run.
    assert_eq!(text(&machine.inside(&["grep", "-rlaFs", VALUE, "/run"])), "");
    machine.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
    let log = wait("its log", || Some(machine.output()).filter(|log| !log.is_empty()));
    assert!(!log.contains(VALUE), "{log}");
    assert!(!told.contains(VALUE), "{told}");
}
