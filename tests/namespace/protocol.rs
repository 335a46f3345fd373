//! What docs/protocol.md shows to whoever writes a client, done as it stands there.

use std::fs;

use crate::{
    Test,
    common::text,
    machine::{Folder, Machine},
};

pub(crate) const TESTS: &[Test] = &[("the_examples_of_the_protocol_work", the_examples_of_the_protocol_work)];

/// The block of this language.
fn example(language: &str) -> String {
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md")).expect("the file");
    let (_, rest) = text.split_once(&format!("```{language}\n")).expect("an example");
    rest.split("```").next().expect("its text").to_owned()
}

fn the_examples_of_the_protocol_work() {
    let folder = Folder::new("protocol");
    let web = folder.sleeper("web") + " infinity";
    let machine = Machine::start(folder, &[&web]);
    machine.wait_running("web");
    for (program, option, language) in [("python3", "-c", "python"), ("sh", "-c", "sh")] {
        let needed = if language == "sh" { "socat" } else { program };
        if !machine.inside(&["sh", "-c", &format!("command -v {needed}")]).status.success() {
            eprintln!("namespace: the example in {language} ignored: there is no {needed}");
            continue;
        }
        let output = machine.inside(&[program, option, &example(language)]);
        let told = text(&output);
        assert!(output.status.success() && told.contains("web") && told.contains("running"), "{told}");
    }
}
