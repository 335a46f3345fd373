//! What must hold of everything that is read of processes, of the record and of output, whatever it is. Makes
//! no inputs: see [`crate::fuzzing`].

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use super::{
    accounts,
    lines::{Ending, LONGEST, Lines},
    notify, pidfile,
    record::{self, Record, Scope},
    render, setup,
    spawn::MARK,
    stat, table, watch,
};
use crate::{
    config::LogFormat,
    process::{Life, ProcessId},
    supervisor::Notification,
    text::is_unseen,
};

/// The first eight bytes as a number, zeros where there are none, and what follows.
fn number(input: &[u8]) -> (u64, &[u8]) {
    let (head, rest) = input.split_at(input.len().min(8));
    (head.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)), rest)
}

/// A line that is understood names a process; and whatever a process is called, its line is understood.
pub(crate) fn proc_stat(input: &[u8]) {
    if let Some(stat) = stat::parse(input) {
        assert!(stat.id.pid > 0 && stat.parent >= 0 && stat.session >= 0, "{stat:?}");
        let name = [b"(", stat.comm.as_bytes(), b")"].concat();
        assert!(input.windows(name.len()).any(|part| part == name), "{stat:?}");
    }
    let (start, name) = number(input);
    let pid = (start as i32 & i32::MAX).max(1);
    let (state, threads) = [("S", 1), ("R", 9), ("Z", 1), ("Z", 2), ("X", 0), ("I", 1)][pid as usize % 6];
    let mut line = format!("{pid} (").into_bytes();
    line.extend_from_slice(name);
    let rest = format!(") {state} 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 -5 {threads} 0 {start} 9 10 11\n");
    line.extend_from_slice(rest.as_bytes());
    let Some(stat) = stat::parse(&line) else { panic!("cannot understand {}", line.escape_ascii()) };
    let dead = matches!((state, threads), ("Z", 1) | ("X", _));
    assert_eq!(stat.id, ProcessId { pid, start });
    assert_eq!(stat.comm, OsStr::from_bytes(name));
    assert_eq!((stat.parent, stat.session), (1, 3));
    assert_eq!(stat.life, if dead { Life::Dead } else { Life::Alive });
}

/// The words joined again are the command line, but for empty ones at its end.
pub(crate) fn proc_cmdline(input: &[u8]) {
    let words = table::split(input);
    let joined = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>().join(&0);
    let end = input.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    assert_eq!(joined, input[..end]);
    assert!(words.last().is_none_or(|last| !last.is_empty()), "{words:?}");
}

/// The mark is a whole variable of the environment, the first of that name.
pub(crate) fn proc_environ(input: &[u8]) {
    let mut variables: Vec<OsString> =
        input.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let found = table::mark(&variables);
    let variable = |value: &OsStr| {
        let mut variable = OsString::from(format!("{MARK}="));
        variable.push(value);
        variable
    };
    match &found {
        Some(value) => assert!(variables.contains(&variable(value)), "{value:?} of {variables:?}"),
        None => {
            let name = format!("{MARK}=");
            assert!(!variables.iter().any(|one| one.as_bytes().starts_with(name.as_bytes())));
        }
    }
    let value = OsStr::from_bytes(input.split(|&byte| byte == 0).next_back().unwrap_or_default());
    variables.push(variable(value));
    assert_eq!(table::mark(&variables), found.or(Some(value.to_owned())));
}

/// Signals have numbers from 1 to 64; the mask of every set of them is understood, behind every name.
pub(crate) fn proc_status(input: &[u8]) {
    let signals = setup::ignored(input).unwrap_or_default();
    assert!(signals.is_sorted_by(|one, next| one < next), "{signals:?}");
    assert!(signals.iter().all(|signal| (1..=64).contains(signal)), "{signals:?}");
    let (mask, name) = number(input);
    // The kernel writes a newline in a name as `\n`.
    let mut status =
        [b"Name:\t", name.split(|&byte| byte == b'\n').collect::<Vec<_>>().concat().as_slice()].concat();
    let rest = format!("\nUmask:\t0022\nSigBlk:\t{:016x}\nSigIgn:\t{mask:016x}\nSigCgt:\t0\n", !mask);
    status.extend_from_slice(rest.as_bytes());
    let told = setup::ignored(&status).map(|signals| signals.iter().fold(0, |sum, bit| sum | 1 << (bit - 1)));
    assert_eq!(told, Some(mask));
}

/// Children have PIDs, and each that the kernel lists is found.
pub(crate) fn proc_children(input: &[u8]) {
    let pids = watch::pids(input);
    assert!(pids.iter().all(|&pid| pid > 0), "{pids:?}");
    let list: String = pids.iter().map(|pid| format!("{pid} ")).collect();
    assert_eq!(watch::pids(list.as_bytes()), pids);
}

/// A pidfile names no process that nobody's service can be; one whose PID is understood before it is settled says
/// the same afterwards; and every PID that a daemon writes is understood.
pub(crate) fn pidfile(input: &[u8]) {
    let (early, late) = (pidfile::parse(input, false), pidfile::parse(input, true));
    assert!([early, late].into_iter().flatten().all(|pid| pid > 1), "{early:?} {late:?}");
    assert!(early.is_none() || early == late, "{early:?} {late:?}");
    let (pid, rest) = number(input);
    let pid = (pid as i32 & i32::MAX).max(2);
    let whole = [format!("{pid}\n").as_bytes(), rest].concat();
    assert_eq!(pidfile::parse(&whole, false), Some(pid));
    assert_eq!(pidfile::parse(format!("{pid}").as_bytes(), false), None);
}

/// What a message says is said once of each kind, and harmless to show; what follows it is heard, too.
pub(crate) fn notification(input: &[u8]) {
    let said = notify::parse(input);
    assert!(said.len() <= 7, "{said:?}");
    for one in &said {
        match one {
            Notification::Status(text) => assert!(text.len() <= 256 && !text.contains(is_unseen), "{text:?}"),
            Notification::MainPid(pid) => assert!(*pid > 1, "{pid}"),
            Notification::Ready
            | Notification::Reloading
            | Notification::Stopping
            | Notification::Watchdog
            | Notification::Unwell => {}
        }
    }
    let longer = notify::parse(&[input, b"\nREADY=1\nMAINPID=77"].concat());
    assert!(longer.ends_with(&[Notification::Ready, Notification::MainPid(77)]), "{longer:?}");
    let others = |of: &[Notification]| {
        let other = |one: &&Notification| !matches!(one, Notification::Ready | Notification::MainPid(_));
        of.iter().filter(other).cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&longer), others(&said));
}

/// A user has one ID, that of its first line; and a line behind all others is still found.
pub(crate) fn passwd(input: &[u8]) {
    let users = accounts::ids(input);
    for (name, id) in &users {
        assert!(!name.contains([':', '\n']), "{name:?}");
        let again = accounts::ids(format!("{name}:x:{id}:0::/:\n").as_bytes());
        assert_eq!(again.get(name), Some(id));
    }
    let (id, _) = number(input);
    let longer = [input, format!("\nlast user:x:{}:0::/:/bin/sh", id as u32).as_bytes()].concat();
    let longer = accounts::ids(&longer);
    assert!(users.iter().all(|(name, id)| longer.get(name) == Some(id)), "{users:?} {longer:?}");
    assert!(longer.contains_key("last user"));
}

/// A record names processes, says the same when it is written and read again, and nothing to others.
pub(crate) fn record(input: &[u8]) {
    let scope = |boot: &str| Scope { boot: boot.to_owned(), pid_namespace: "pid:[4026531836]".to_owned() };
    let here = scope("7e0c8c2b");
    let Some(read) = record::parse(input, &here) else { return };
    assert!(read.services.values().all(|entry| entry.main.pid > 0), "{read:?}");
    let Ok(text) = record::render(&read, here.clone()) else { panic!("cannot write {read:?}") };
    assert_eq!(record::parse(&text, &scope("another")), None);
    assert_eq!(record::parse(&text, &here), Some(read));
    let none = record::render(&Record { services: BTreeMap::new() }, here.clone());
    assert_eq!(none.ok().and_then(|text| record::parse(&text, &here)), Some(Record::default()));
}

/// However the bytes come, the lines are the same, none of them is lost or longer than allowed, and as JSON
/// each is one line that holds the message.
pub(crate) fn output_lines(input: &[u8]) {
    let Some((&times, text)) = input.split_first() else { return };
    let text = text.repeat(1 + usize::from(times) * usize::from(times) / 4);
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    collect(&text, text.len().max(1), &mut whole);
    collect(&text, 1 + usize::from(times), &mut pieces);
    assert!(whole == pieces, "lines depend on how they come");
    let again: Vec<u8> = whole
        .iter()
        .flat_map(|(line, ending)| match ending {
            Ending::Whole | Ending::Paused => [line.as_slice(), b"\n"].concat(),
            Ending::Split => line.clone(),
        })
        .collect();
    let missing = if text.is_empty() || text.ends_with(b"\n") { &b""[..] } else { b"\n" };
    assert!(again == [text.as_slice(), missing].concat(), "something was lost");
    for (line, ending) in whole.iter().take(9) {
        assert!(line.len() <= LONGEST && !line.contains(&b'\n'));
        let mut out = Vec::new();
        render::line(LogFormat::Json, "{\"message\":", line, *ending, &mut out);
        let newline = out.pop();
        assert!(newline == Some(b'\n') && !out.contains(&b'\n'));
        let told: serde_json::Value = match serde_json::from_slice(&out) {
            Ok(told) => told,
            Err(error) => panic!("{error}: {}", out.escape_ascii()),
        };
        let escape = |chunk: std::str::Utf8Chunk<'_>| {
            let invalid: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("{}{invalid}", chunk.valid())
        };
        let expected: String = line.utf8_chunks().map(escape).collect();
        assert_eq!(told["message"].as_str().map(str::to_lowercase), Some(expected.to_lowercase()));
        assert_eq!(told["partial"] == true, *ending == Ending::Split);
    }
}

fn collect(text: &[u8], size: usize, into: &mut Vec<(Vec<u8>, Ending)>) {
    let mut lines = Lines::default();
    let mut line = |line: &[u8], ending| into.push((line.to_vec(), ending));
    for piece in text.chunks(size) {
        lines.push(piece, &mut line);
    }
    lines.flush(Ending::Whole, &mut line);
    assert!(lines.is_empty());
}
