//! musterd's own messages as people and programs read them, and that no value can forge one.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
};

use musterd::{
    config::{LogFormat, LogLevel},
    linux::{log::Log, output::Output},
    time::Time,
};
use nix::{fcntl::OFlag, unistd::pipe2};

/// What stderr gets of the messages of `log`.
fn told(log: &Log, messages: impl FnOnce()) -> String {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut output = Output::to(log, write_end.as_fd(), write_end.as_fd()).unwrap();
    tracing::subscriber::with_default(log.clone(), messages);
    output.flush(Time::default());
    drop((output, write_end));
    everything(read_end)
}

fn everything(read_end: OwnedFd) -> String {
    let mut text = String::new();
    std::fs::File::from(read_end).read_to_string(&mut text).unwrap();
    text
}

fn messages() {
    tracing::info!(version = "0.1.0", services = 2, "started");
    tracing::warn!(
        service = %"web",
        path = "/srv/web",
        cause = "permission denied",
        consequence = "trying again in 4s",
        "cannot execute"
    );
    tracing::info!(service = "web", pid = 32, clean = false, "main process ended");
    tracing::error!(argv = ?["a b", "c"], empty = "", "odd {}", "values");
    tracing::debug!("not told");
}

#[test]
fn text_reads_as_a_sentence() {
    assert_eq!(
        told(&Log::new(LogFormat::Text, LogLevel::Info), messages),
        r#"musterd | started version=0.1.0 services=2
musterd | warning: service "web": cannot execute path=/srv/web: permission denied; trying again in 4s
musterd | service "web": main process ended pid=32 clean=false
musterd | error: odd values argv="[\"a b\", \"c\"]" empty=""
"#
    );
}

#[test]
fn json_has_every_field_by_name() {
    let text = told(&Log::new(LogFormat::Json, LogLevel::Info), messages);
    let without_time: String = text
        .lines()
        .map(|line| {
            let (time, rest) = line.split_once(',').unwrap();
            let time = time.strip_prefix("{\"time\":\"").and_then(|time| time.strip_suffix('"')).unwrap();
            assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
            serde_json::from_str::<serde_json::Value>(line).unwrap();
            format!("{rest}\n")
        })
        .collect();
    assert_eq!(
        without_time,
        r#""level":"info","message":"started","version":"0.1.0","services":2}
"level":"warn","message":"cannot execute","service":"web","path":"/srv/web","cause":"permission denied","consequence":"trying again in 4s"}
"level":"info","message":"main process ended","service":"web","pid":32,"clean":false}
"level":"error","message":"odd values","argv":"[\"a b\", \"c\"]","empty":""}
"#
    );
}

#[test]
fn no_value_forges_a_line_or_steers_a_terminal() {
    let evil = "x\nmusterd | error: \x1B[2J\u{9b}31m\0\u{202e}\u{2028}";
    let forge = || tracing::info!(service = evil, path = evil, cause = evil, consequence = evil, "{}", evil);
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = told(&Log::new(format, LogLevel::Info), forge);
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(['\n', '\x1B', '\0']), "{text:?}");
        if format == LogFormat::Text {
            assert!(!line.contains(['\u{9b}', '\u{202e}', '\u{2028}']), "{text:?}");
        }
    }
}

#[test]
fn a_huge_value_is_cut() {
    let huge = "é".repeat(1_000_000);
    let text = told(&Log::new(LogFormat::Text, LogLevel::Info), || tracing::info!(huge, "read"));
    assert!(text.len() < 5000 && text.ends_with("é…\n"), "{} bytes", text.len());
}

#[test]
fn messages_and_lines_keep_their_order_and_their_column() {
    let log = Log::new(LogFormat::Text, LogLevel::Info);
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let database = output.add_service("postgresql").unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        tracing::info!("one");
        nix::unistd::write(output.stderr(database), b"two\n").unwrap();
        output.ready(Time::default());
        tracing::info!("three");
        output.flush(Time::default());
        tracing::info!("four");
        nix::unistd::write(output.stderr(database), b"five").unwrap();
        output.flush_lines(database, true, Time::default());
        output.flush(Time::default());
    });
    drop((output, write_end));
    assert_eq!(
        everything(read_end),
        "musterd    | one\n\
         postgresql | two\n\
         musterd    | three\n\
         musterd    | four\n\
         postgresql | five\n"
    );
}

#[test]
fn no_message_of_a_busy_turn_is_lost_where_stderr_is_a_file() {
    let path = format!("{}/busy-turn-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let file = std::fs::File::create(&path).unwrap();
    let log = Log::new(LogFormat::Text, LogLevel::Info);
    let mut output = Output::to(&log, file.as_fd(), file.as_fd()).unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        for number in 0..10_000 {
            tracing::info!(number, "told in one turn");
            output.relieve(Time::default());
        }
    });
    output.flush(Time::default());
    drop(output);
    let told = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let expected: String =
        (0..10_000).map(|number| format!("musterd | told in one turn number={number}\n")).collect();
    assert!(told == expected, "{} lines", told.lines().count());
}

/// The test below as a program of its own: its stderr is the process'.
#[test]
fn without_an_output_messages_go_straight_to_stderr() {
    const CHILD: &str = "MUSTERD_TEST_LOG_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let log = Log::new(LogFormat::Text, LogLevel::Info);
        tracing::subscriber::with_default(log.clone(), || {
            tracing::info!("before");
            let (_read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
            let output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
            tracing::info!("left over");
            drop(output);
            tracing::info!("after");
        });
        return;
    }
    let test = std::env::current_exe().unwrap();
    let name = "without_an_output_messages_go_straight_to_stderr";
    let child = Command::new(test)
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(child.stderr).unwrap(),
        "musterd | before\nmusterd | left over\nmusterd | after\n"
    );
}
