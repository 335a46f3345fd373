//! Where a service's output goes, as the keys of `log` say it.

use std::path::Path;

use musterd::config::{Destination, LogFile, Logging, Overflow, load};

use crate::{
    keys::web,
    layers::{config, report, service, sources},
};

fn file(path: &str) -> LogFile {
    LogFile { path: path.into(), max_size: 10 << 20, keep: 5 }
}

fn both(destination: Destination) -> Logging {
    Logging { stdout: destination.clone(), stderr: destination, ..Logging::default() }
}

#[test]
fn one_word_says_where_both_streams_go() {
    assert_eq!(web("").log, both(Destination::Prefix));
    assert_eq!(web("log = \"prefix\"").log, both(Destination::Prefix));
    assert_eq!(web("log = \"raw\"").log, both(Destination::Raw));
    assert_eq!(web("log.to = \"none\"").log, both(Destination::None));
    let text = "log = { to = \"file\", path = \"/var/log/a\" }";
    assert_eq!(web(text).log, both(Destination::File(file("/var/log/a"))));
}

#[test]
fn streams_may_differ() {
    let log = web("log = { to = \"none\", stderr = \"prefix\" }").log;
    assert_eq!((log.stdout, log.stderr), (Destination::None, Destination::Prefix));
    let log = web("log = { stderr = \"file\", path = \"/a\" }").log;
    assert_eq!((log.stdout, log.stderr), (Destination::Prefix, Destination::File(file("/a"))));
    let log = web("log = { to = \"file\", path = \"/a\", stderr-path = \"/b\" }").log;
    assert_eq!((log.stdout, log.stderr), (Destination::File(file("/a")), Destination::File(file("/b"))));
}

#[test]
fn a_file_has_a_size_and_a_number() {
    let log = web("log = { to = \"file\", path = \"/a\", max-size = \"1KiB\", keep = 0 }").log;
    assert_eq!(log, both(Destination::File(LogFile { path: "/a".into(), max_size: 1024, keep: 0 })));
    let log = web("log = { overflow = \"drop\", memory = \"1MiB\" }").log;
    assert_eq!((log.overflow, log.memory), (Overflow::Drop, 1 << 20));
    let log = web("").log;
    assert_eq!((log.overflow, log.memory), (Overflow::Hold, 64 << 10));
}

#[test]
fn a_path_is_relative_to_its_file() {
    let text = "[services.web]\nstart = \"a\"\nlog = { to = \"file\", path = \"logs/a\" }";
    let sources = sources("log-relative", &[("default.toml", text)]);
    let expected = Path::new(&sources.directory).join("logs/a");
    match &service(&config(&sources), "web").log.stdout {
        Destination::File(file) => assert_eq!(file.path, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_is_told() {
    for (line, told) in [
        ("log = \"file\"", "service \"web\": cannot log to a file without log.path"),
        ("log.stderr = \"file\"", "service \"web\": cannot log to a file without log.path"),
        (
            "log = \"stdout\"",
            "cannot use log.to \"stdout\": must be one of \"prefix\", \"raw\", \"file\", \"none\"",
        ),
        ("log.memory = \"65MiB\"", "must be 64MiB at most"),
        ("log.keep = -1", "must be a whole number from 0 to 1000"),
        (
            "log = \"raw\"\nready.log = \"x\"",
            "service \"web\": cannot use ready.log: musterd sees no line where log is \"raw\" or \"none\"",
        ),
    ] {
        let text = format!("[services.web]\nstart = \"a\"\n{line}\n");
        let report = report(&sources("log-refused", &[("default.toml", &text)])).to_string();
        assert!(report.contains(told), "{report}");
    }
    let text = "log = { to = \"raw\", stderr = \"prefix\" }\nready.log = \"x\"";
    assert!(web(text).log.has_lines());
}

#[test]
fn check_shows_a_path_as_it_is_taken() {
    for stream in ["to", "stderr"] {
        let text =
            format!("[services.web]\nstart = \"a\"\nlog = {{ {stream} = \"file\", path = \"logs/a\" }}");
        let sources = sources(&format!("log-check-{stream}"), &[("default.toml", &text)]);
        let shown = load(&sources).unwrap().1.to_string();
        let line = format!("log.path = {:?}", Path::new(&sources.directory).join("logs/a"));
        assert!(shown.contains(&line), "{line} in\n{shown}");
    }
}
