//! What is shipped beside the program (the description of the protocol, manual pages, completions) says what the
//! program does: each is made here from the program's own words, and compared. `UPDATE_SNAPSHOTS=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod completions;
mod manuals;
mod protocol;
mod tree;

use std::{env, fs, path::Path};

/// Fails where the file is not as it would be made now.
fn check(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let line = found.lines().zip(text.lines()).position(|(found, made)| found != made);
    assert!(
        found == text,
        "{path} is not up to date (from its line {:?} on): UPDATE_SNAPSHOTS=1 cargo test --test documents",
        line.map(|line| line + 1)
    );
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
