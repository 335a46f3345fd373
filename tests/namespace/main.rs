//! The real binary with real programs, as PID 1 of a PID namespace. Needs no engine; where no namespace can be
//! made (neither root nor user namespaces) every test is ignored.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod adoption;
#[path = "../common/mod.rs"]
mod common;
mod completions;
mod control;
mod faults;
mod keys;
mod machine;
mod matching;
mod never;
mod orphans;
mod output;
mod player;
mod presence;
mod protocol;
mod readiness;
#[path = "../common/screen.rs"]
mod screen;
mod secrets;
mod shortage;
mod shutdown;
mod siege;
mod slow;
mod stories;
mod surroundings;
mod terminal;
mod traps;
mod traps_around;
mod verbs;

use libtest_mimic::{Arguments, Trial};

/// A test's name, and the test.
type Test = (&'static str, fn());

fn main() {
    player::play_if_asked();
    let arguments = Arguments::from_args();
    let ignored = machine::way_in().is_none();
    if ignored {
        eprintln!("namespace: ignored: cannot make a PID namespace, neither as root nor in a user namespace");
    }
    let tests = [
        presence::TESTS,
        protocol::TESTS,
        readiness::TESTS,
        adoption::TESTS,
        matching::TESTS,
        orphans::TESTS,
        shortage::TESTS,
        output::TESTS,
        shutdown::TESTS,
        completions::TESTS,
        control::TESTS,
        verbs::TESTS,
        stories::TESTS,
        siege::TESTS,
        surroundings::TESTS,
        terminal::TESTS,
        never::TESTS,
        slow::TESTS,
        traps::TESTS,
        traps_around::TESTS,
        secrets::TESTS,
    ];
    let trials = tests.concat().into_iter().map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    });
    let mut trials: Vec<Trial> =
        trials.chain(faults::trials(ignored)).chain(shortage::trials(ignored)).collect();
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.extend(keys::trials(ignored, &names));
    libtest_mimic::run(&arguments, trials).exit();
}
