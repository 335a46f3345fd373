//! End to end: the images of the Dockerfiles in a Docker engine, with Debian's apache2 and sshd. Where no engine
//! answers every test is ignored. Takes minutes the first time, when it builds the images.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "../common/mod.rs"]
mod common;
mod compose;
mod container;
mod daemons;
mod demonstration;
mod foreign;
mod images;
mod logins;
#[path = "../common/screen.rs"]
mod screen;
mod seccomp;
mod surroundings;
mod terminal;

use libtest_mimic::{Arguments, Trial};

/// A test's name, and the test.
type Test = (&'static str, fn());

fn main() {
    let arguments = Arguments::from_args();
    let engine = images::engine();
    if let Err(reason) = &engine {
        eprintln!("docker: ignored: no engine answers: {reason}");
    }
    let tests = [
        demonstration::TESTS,
        surroundings::TESTS,
        daemons::TESTS,
        logins::TESTS,
        foreign::TESTS,
        seccomp::TESTS,
        terminal::TESTS,
    ]
    .concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(engine.is_err())
    });
    let trials = trials.chain(compose::trials(engine.is_err()));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
