//! What is refused, beyond the snapshots of whole reports.

use std::fs;

use musterd::config::ServiceName;

use crate::layers::{report, sources, strings};

/// The report on a default file with this text.
fn refused(name: &str, text: &str) -> String {
    report(&sources(name, &[("default.toml", text)])).to_string()
}

fn assert_told(report: &str, expected: &str) {
    assert!(report.contains(expected), "expected {expected:?} in:\n{report}");
}

#[test]
fn a_socket_must_fit_into_its_address() {
    let mut sources = sources("socket", &[("default.toml", "[services.web]\nstart = \"nginx\"")]);
    sources.socket = Some(format!("/{}", "a".repeat(107)));
    assert_told(&report(&sources).to_string(), "must be at most 107 bytes");
    sources.socket = Some(format!("/{}", "a".repeat(106)));
    assert!(musterd::config::load(&sources).is_ok());
}

#[test]
fn a_file_that_is_not_utf8_is_told() {
    let sources = sources("not-utf8", &[]);
    fs::write(&sources.default_file, b"[services.web]\nstart = \"\xff\"").unwrap();
    assert_told(&report(&sources).to_string(), "default.toml: byte 24 is not UTF-8\n");
}

#[test]
fn includes_are_paths_that_exist() {
    let web = "[services.web]\nstart = \"nginx\"\n[manager]\n";
    assert_told(
        &refused("include-type", &format!("{web}include = 5")),
        "cannot use include 5: must be a string",
    );
    assert_told(
        &refused("include-absent", &format!("{web}include = \"no.toml\"")),
        "no.toml: no such file or directory",
    );
    assert_told(
        &refused("include-glob", &format!("{web}include = [\"*/a\"]")),
        "must be in the file's name only",
    );
    let mut sources = sources("include-set", &[("default.toml", web)]);
    sources.set = strings(&["manager.include=x"]);
    assert_told(
        &report(&sources).to_string(),
        "--set manager.include=x: [manager]: \"include\" can be in a file only",
    );
}

#[test]
fn what_is_wrong_is_told_once() {
    for (name, text) in [
        ("once-leaf", "interval = { every = \"5s\", after = { x = 1 } }"),
        ("once-unknown", "ready = { http = { port = 80 } }"),
        ("once-table", "backoff = \"5s\""),
        ("once-array", "environment = [1, 2]"),
        ("once-inner", "backoff = { initial = { x = 1 } }"),
        ("once-name", "environment = { \"A=B\" = \"c\" }"),
    ] {
        let sources =
            sources(name, &[("default.toml", &format!("[services.web]\nstart = \"nginx\"\n{text}"))]);
        let report = report(&sources);
        assert_eq!(report.count(), "1 error", "{report}");
        assert!(report.to_string().contains("default.toml:3:"), "{report}");
    }
}

#[test]
fn a_wrong_match_is_told_with_its_place() {
    let told = |name: &str, line: &str, expected: &str| {
        let sources =
            sources(name, &[("default.toml", &format!("[services.web]\nstart = \"nginx\"\n{line}"))]);
        let report = report(&sources);
        assert_eq!(report.count(), "1 error", "{report}");
        assert_told(&report.to_string(), &format!("default.toml:3:{expected}"));
    };
    told(
        "match-regex",
        "match = { name = \"a\", cmdline = \"a(b\" }",
        "33: service \"web\": cannot use match.cmdline \"a(b\": must be a regular expression: ",
    );
    told(
        "match-exe",
        "match = { exe = \"java\" }",
        "17: service \"web\": cannot use match.exe \"java\": must be an absolute",
    );
    told(
        "match-user",
        "match.user = \"a:b\"",
        "14: service \"web\": cannot use match.user \"a:b\": must be the name of a user",
    );
    told(
        "match-pidfile",
        "match.pidfile = 5",
        "17: service \"web\": cannot use match.pidfile 5: must be an absolute path",
    );
    told(
        "match-name",
        "match = \"/usr/bin/a\"",
        "9: service \"web\": cannot use match.name \"/usr/bin/a\": must be the name",
    );
    told(
        "match-type",
        "match = [\"a\"]",
        "9: service \"web\": cannot use match [\"a\"]: must be a table such as {",
    );
    told(
        "match-key",
        "match = { pidfiel = \"/a\" }",
        "11: service \"web\": unknown key \"match.pidfiel\"; did you mean \"pidfile\"?",
    );
    let text = "[defaults]\nmatch = { user = \"app\" }\n[services.web]\nstart = \"nginx\"";
    let report = report(&sources("match-defaults", &[("default.toml", text)]));
    assert_eq!(report.count(), "1 error", "{report}");
    assert_told(
        &report.to_string(),
        "default.toml:2:1: [defaults]: \"match\" can be in [services.NAME] only",
    );
}

#[test]
fn a_user_that_is_not_there_yet_is_no_error() {
    let text = "[services.web]\nstart = \"nginx\"\nmatch = { user = \"no-such-user-yet\" }";
    assert!(musterd::config::load(&sources("match-later-user", &[("default.toml", text)])).is_ok());
}

#[test]
fn sections_are_tables() {
    assert_told(&refused("section-manager", "manager = 1"), "cannot use manager 1: must be a table");
    assert_told(
        &refused("section-service", "services.web = \"nginx\""),
        "service \"web\": cannot use \"nginx\": must be a table",
    );
    assert_told(
        &refused("section-array", "[[services.web]]\nstart = \"nginx\""),
        "must be a table with at least `start`",
    );
}

#[test]
fn a_service_that_is_no_table_is_told_once() {
    let report = report(&sources("once-service", &[("default.toml", "services.web = 5")]));
    assert_eq!(report.count(), "1 error", "{report}");
}

#[test]
fn a_wrong_default_is_told_where_it_is_written() {
    let text = "[defaults]\ninterval = \"1ms\"\n[services.a]\nstart = \"a\"\n[services.b]\nstart = \"b\"";
    let report = refused("wrong-default", text);
    assert_told(
        &report,
        "default.toml:2:12: [defaults]: cannot use interval \"1ms\": must be at least 100ms",
    );
    assert_eq!(report.matches("cannot").count(), 1, "{report}");
}

#[test]
fn names_of_services_are_printable_words() {
    for name in ["web", "app.py", "sshd-2", "getty@tty1", "dienst-é"] {
        assert_eq!(ServiceName::parse(name).unwrap().as_str(), name);
    }
    for name in ["", "-a", "a b", "a/b", "a=b", "a,b", "a*", "a\n", "\u{1b}[31m"] {
        assert!(ServiceName::parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn a_command_is_no_option() {
    let mut sources = sources("option", &[]);
    sources.commands = strings(&["-x"]);
    assert_told(&report(&sources).to_string(), "COMMAND 1 (\"-x\"): cannot use \"-x\": must name a program");
}
