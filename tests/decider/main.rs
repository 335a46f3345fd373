//! The decider on a simulated machine: scenarios that read as stories, and thousands of random lives.

#![expect(clippy::unwrap_used, reason = "a test fails where what it takes for granted is not so")]

mod adoption;
mod control;
mod daemons;
mod health;
mod images;
mod judge;
mod kernel;
mod matching;
mod policy;
mod program;
mod random;
mod readiness;
mod restarts;
mod services;
mod shutdown;
mod sim;
mod stories;
mod untimely;
mod upgrades;

use std::{fs, path::Path};

use sim::Sim;

/// The story is the one in `transcripts/NAME.txt`, and no rule was broken. With `MUSTERD_BLESS` set the file
/// is written instead, to be read by a person.
fn assert_story(sim: &Sim, name: &str) {
    let told = sim.transcript();
    let strange: Vec<_> = sim.unknown_ways().collect();
    assert!(strange.is_empty(), "the table of transitions lacks {strange:?}:\n{told}");
    assert!(sim.judge.objections.is_empty(), "{:#?}\n{told}", sim.judge.objections);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decider/transcripts");
    let file = folder.join(name).with_extension("txt");
    if std::env::var_os("MUSTERD_BLESS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&file, &told).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(told == expected, "{} says:\n{expected}\nbut what happened is:\n{told}", file.display());
}
