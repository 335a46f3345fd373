//! The parsers of foreign input, each with what must hold whatever it is given: fuzz/ makes inputs, and the
//! test below gives them the inputs of fuzz/corpus again. No part of the program.

use crate::{
    config::fuzzing::{command, config_file, config_set},
    linux::{
        control::fuzzing::conversation,
        fuzzing::{
            notification, output_lines, passwd, pidfile, proc_children, proc_cmdline, proc_environ,
            proc_stat, proc_status, record,
        },
    },
    probe::http,
    protocol::{Request, Response},
    supervisor::fuzzing::names,
    text::is_unseen,
};

/// Panics where something does not hold of the input.
pub type Check = fn(&[u8]);

/// Every check, by the name of its fuzz target and of the folder of its corpus.
pub const CHECKS: &[(&str, Check)] = &[
    ("command", command),
    ("config_file", config_file),
    ("config_set", config_set),
    ("conversation", conversation),
    ("http_answer", http_answer),
    ("names", names),
    ("notification", notification),
    ("output_lines", output_lines),
    ("passwd", passwd),
    ("pidfile", pidfile),
    ("proc_children", proc_children),
    ("proc_cmdline", proc_cmdline),
    ("proc_environ", proc_environ),
    ("proc_stat", proc_stat),
    ("proc_status", proc_status),
    ("record", record),
    ("request", request),
    ("response", response),
];

/// Gives the input to the check of this name; false where there is none.
pub fn run(name: &str, input: &[u8]) -> bool {
    let check = CHECKS.iter().find(|(known, _)| *known == name);
    check.inspect(|(_, check)| check(input)).is_some()
}

/// However an answer is cut, what is understood of its beginning stays so; a status is one that HTTP has, and printable.
fn http_answer(input: &[u8]) {
    let whole = http::status(input);
    if let Ok(Some(status)) = &whole {
        assert!(status.code == 101 || (200..600).contains(&status.code), "{status:?}");
        assert!(!status.reason.contains(is_unseen), "{status:?}");
    }
    for end in 0..input.len().min(1024) {
        match http::status(&input[..end]) {
            Ok(None) => {}
            known => assert_eq!(known.is_ok(), whole.is_ok(), "{end}"),
        }
    }
    let behind = [b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", input].concat();
    assert_eq!(http::status(&behind), whole);
}

/// What a stranger's manager says is understood in the words of this version or not at all, and says the same when it is
/// written and read again.
fn response(input: &[u8]) {
    if let Ok(response) = Response::parse(input) {
        let line = response.to_line();
        let again = Response::parse(&line);
        assert_eq!(again.map(|again| again.to_line()), Ok(line), "{response:?}");
    }
}

/// A request says the same when it is written and read again; it names services that there are.
fn request(input: &[u8]) {
    let known = ["db", "web", "all", ""];
    match Request::parse(input) {
        Err(told) => assert!(told.starts_with("cannot understand the request: "), "{told}"),
        Ok(request) => {
            assert_eq!(Request::parse(&request.to_line()).as_ref(), Ok(&request));
            assert!(!request.verb().is_empty());
            match request.choose(&known) {
                Ok(chosen) => {
                    assert!(chosen.is_sorted_by(|one, next| one < next), "{chosen:?}");
                    assert!(chosen.iter().all(|&at| at < known.len()), "{chosen:?}");
                }
                Err(Response::NoSuchService { names, .. }) => {
                    assert!(names.iter().all(|name| !known.contains(&name.as_str())), "{names:?}");
                }
                Err(Response::Refused { .. }) => assert!(request.names().is_empty(), "{request:?}"),
                Err(
                    response @ (Response::Services { .. }
                    | Response::Story { .. }
                    | Response::Events { .. }
                    | Response::Lines { .. }
                    | Response::Changes(_)
                    | Response::WrongConfiguration { .. }
                    | Response::Failed { .. }
                    | Response::Done),
                ) => {
                    panic!("{response:?} refuses nothing")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The names of what is in a folder of fuzz/, in order.
    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_check_holds_of_its_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        assert_eq!(names_in(&corpus), CHECKS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, _) in CHECKS {
            let inputs = names_in(&corpus.join(name));
            assert!(inputs.len() > 2, "{name} has a corpus of {}", inputs.len());
            for input in inputs {
                println!("{name}/{input}");
                assert!(run(name, &fs::read(corpus.join(name).join(input)).unwrap()));
            }
        }
    }

    #[test]
    fn every_check_has_a_fuzz_target() {
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        let files: Vec<_> = CHECKS.iter().map(|(name, _)| format!("{name}.rs")).collect();
        assert_eq!(names_in(&targets), files);
    }
}
