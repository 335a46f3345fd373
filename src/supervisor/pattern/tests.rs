//! Each field of `match`, by itself.

use std::collections::HashMap;

use super::*;
use crate::{
    config::{Regex, Sources, load},
    process::{Life, ProcessId, Users},
    time::Time,
};

/// The pattern of a service with this start command and `match`.
fn pattern(start: &str, matching: Match) -> Pattern {
    let sources = Sources { commands: vec![start.to_owned()], ..Sources::default() };
    let (config, _) = load(&sources).unwrap();
    Pattern::new(&Service { matching, ..config.services[0].clone() })
}

fn process(command: &str) -> Process {
    let argv: Vec<OsString> = command.split(' ').map(OsString::from).collect();
    let base = title(&argv[0]).to_owned();
    Process {
        id: ProcessId { pid: 10, start: 1000 },
        parent: 1,
        session: 10,
        life: Life::Alive,
        comm: base,
        exe: Some(PathBuf::from(&argv[0])).filter(|path| path.is_absolute()),
        argv,
        mark: None,
        users: Some(Users { real: 0, effective: 1000 }),
        memory: 0,
        cpu: 0,
        probe: false,
        foreign: false,
    }
}

fn admits(matching: &Match, process: &Process, named: &Named) -> bool {
    pattern("/opt/start", matching.clone()).admits(process, &Names::of(process), named)
}

#[test]
fn a_name_is_demanded_only_where_it_is_given() {
    let (java, other) = (process("/usr/bin/java -jar a.jar"), process("/usr/bin/javac"));
    let named = Named::default();
    assert!(admits(&Match::named("java"), &java, &named) && !admits(&Match::named("java"), &other, &named));
    let cmdline = Match { cmdline: Regex::parse("java").ok(), ..Match::default() };
    assert!(admits(&cmdline, &java, &named) && admits(&cmdline, &other, &named));
}

#[test]
fn a_command_line_is_searched_as_one_text() {
    let matching = |text| Match { cmdline: Regex::parse(text).ok(), ..Match::default() };
    let mut java = process("/usr/bin/java -jar a.jar");
    for (text, holds) in
        [("^/usr/bin/java -jar a[.]jar$", true), ("a -j", true), ("b[.]jar", false), ("\0", false)]
    {
        assert_eq!(admits(&matching(text), &java, &Named::default()), holds, "{text:?}");
    }
    java.argv.push(std::os::unix::ffi::OsStringExt::from_vec(b"\xff".to_vec()));
    assert!(admits(&matching("jar \u{fffd}$"), &java, &Named::default()));
    java.argv.clear();
    assert!(!admits(&matching(""), &java, &Named::default()), "what was not read is no command line");
}

#[test]
fn an_executable_is_what_its_path_leads_to() {
    let matching = Match { exe: Some("/usr/bin/app".into()), ..Match::default() };
    let named =
        Named { programs: HashMap::from([("/usr/bin/app".into(), "/opt/app-2".into())]), ..Named::default() };
    for (command, holds) in [("/usr/bin/app", true), ("/opt/app-2", true), ("/opt/app", false), ("app", true)]
    {
        assert_eq!(admits(&matching, &process(command), &named), holds, "{command}");
    }
    assert!(!admits(&matching, &process("/opt/app-2"), &Named::default()));
    // Where it can't be read the first argument tells.
    for (command, holds) in
        [("/usr/bin/app", true), ("/opt/app-2", true), ("app: worker", true), ("/opt/app", false)]
    {
        let unreadable = Process { exe: None, ..process(command) };
        assert_eq!(admits(&matching, &unreadable, &named), holds, "{command}");
    }
}

#[test]
fn a_user_is_the_real_or_the_effective_one() {
    let by_name = Match { user: Some(User::Name("app".to_owned())), ..Match::default() };
    let users = |id| Named { users: HashMap::from([("app".to_owned(), id)]), ..Named::default() };
    for (id, holds) in [(0, true), (1000, true), (1001, false)] {
        assert_eq!(admits(&by_name, &process("/a"), &users(id)), holds, "{id}");
        let by_id = Match { user: Some(User::Id(id)), ..Match::default() };
        assert_eq!(admits(&by_id, &process("/a"), &Named::default()), holds, "{id}");
    }
    assert!(!admits(&by_name, &process("/a"), &Named::default()), "no such user");
    let unknown = Process { users: None, ..process("/a") };
    assert!(!admits(&by_name, &unknown, &users(0)));
}

#[test]
fn a_pidfile_names_who_was_there_when_it_was_written() {
    let matching = Match { pidfile: Some("/run/a.pid".into()), ..Match::default() };
    // The process started ten seconds after boot.
    let file = |pid, milliseconds, owner| {
        let written = Time::from_boot(Duration::from_millis(milliseconds));
        let file = Pidfile { pid, written, owner };
        Named { pidfiles: HashMap::from([("/run/a.pid".into(), file)]), ..Named::default() }
    };
    for (named, holds) in [
        (file(10, 10_000, 0), true),
        (file(10, 99_000, 0), true),
        (file(10, 9_960, 0), true),
        (file(10, 9_900, 0), false),
        (file(11, 10_000, 0), false),
        (file(10, 10_000, 1000), true),
        (file(10, 10_000, 1001), false),
        (Named::default(), false),
    ] {
        assert_eq!(admits(&matching, &process("/a"), &named), holds, "{named:?}");
    }
}

#[test]
fn a_start_command_that_match_does_not_describe_is_a_wrapper() {
    let given = |cmdline: Option<&str>, exe: Option<&str>| Match {
        cmdline: cmdline.and_then(|text| Regex::parse(text).ok()),
        exe: exe.map(PathBuf::from),
        ..Match::default()
    };
    for (start, matching, launcher) in [
        ("/opt/run", given(Some("-jar"), None), Some(Launcher::Wrapper)),
        ("java -jar a.jar", given(Some("-jar"), None), None),
        ("java -jar a.jar", given(None, Some("/usr/bin/java")), None),
        ("/opt/java -jar a.jar", given(None, Some("/usr/bin/java")), Some(Launcher::Wrapper)),
        ("/opt/run", Match { user: Some(User::Id(5)), pidfile: Some("/a".into()), ..Match::default() }, None),
        ("cd /srv && exec java", given(Some("-jar"), Some("/usr/bin/java")), None),
        ("/etc/init.d/a start", given(Some("-jar"), None), Some(Launcher::InitScript)),
    ] {
        assert_eq!(pattern(start, matching).launcher, launcher, "{start}");
    }
}
