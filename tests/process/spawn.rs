//! What a new process finds, and what is said of one that cannot be.

use std::{collections::BTreeMap, fs, os::fd::AsFd, path::PathBuf, time::Instant};

use musterd::{
    config::{Template, Variable},
    linux::spawn::{Mark, SpawnError, Stage, Surroundings},
    process::{Exit, Pid},
};
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};

use crate::support::{Shell, content, field};

fn text(value: &str) -> Variable {
    Variable::Text(Template::plain(value))
}

pub(crate) fn a_process_begins_afresh() {
    let mut shell = Shell::new();
    let own = content("/proc/thread-self/status");
    assert_ne!(field(&own, "SigBlk:"), "0000000000000000");
    assert_ne!(field(&own, "SigIgn:"), "0000000000000000");

    let status = shell.output(&["/bin/cat", "/proc/self/status"]);
    assert_eq!(field(&status, "SigBlk:"), "0000000000000000");
    assert_eq!(field(&status, "SigIgn:"), "0000000000000000");

    let stat = shell.output(&["/bin/cat", "/proc/self/stat"]);
    let fields: Vec<&str> = stat.split(' ').collect();
    let (pid, group, session) = (fields[0], fields[4], fields[5]);
    assert_eq!((group, session), (pid, pid));

    assert_eq!(
        shell.output(&["/bin/sh", "-c", "readlink /proc/$$/fd/0; ls /proc/$$/fd"]),
        "/dev/null\n0\n1\n2\n"
    );
}

pub(crate) fn a_process_is_known_by_its_start() {
    let mut shell = Shell::new();
    let spawned = shell.spawn(&["/bin/cat", "/proc/self/stat"]).unwrap();
    let id = spawned.id;
    assert!(spawned.pidfd.is_some());
    shell.watcher.add_child(&shell.epoll, spawned);
    shell.ends(1);
    let written = shell.written();
    let fields: Vec<&str> = written.split(' ').collect();
    assert_eq!(fields[0].parse::<Pid>().unwrap(), id.pid);
    assert_eq!(fields[21].parse::<u64>().unwrap(), id.start);
}

/// Run in a small environment, see `main`.
pub(crate) fn the_environment_has_four_layers() {
    let mut shell = Shell::new();
    let of_service = [("B", "service"), ("C", "service"), ("D", "service"), ("MUSTERD_SERVICE", "stolen")];
    shell.service.environment.set =
        of_service.map(|(name, value)| (name.to_owned(), text(value))).into_iter().collect();
    let spawned = shell.spawn_with(&["env"], &[("D", "command"), ("E", "command\nof two lines")]).unwrap();
    shell.watcher.add_child(&shell.epoll, spawned);
    shell.ends(1);
    let written = shell.written();
    let mut lines: Vec<&str> = written.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "A=own",
            "B=service",
            "C=service",
            "D=command",
            "E=command",
            "MUSTERD_SERVICE=web",
            "PATH=/usr/bin:/bin",
            "of two lines"
        ]
    );
}

pub(crate) fn a_command_runs_in_its_directory() {
    let mut shell = Shell::new();
    let script = shell.scratch.file("here", "#!/bin/sh\npwd\n", 0o755);
    let directory = PathBuf::from(script).parent().unwrap().to_owned();
    shell.service.directory = Some(directory.clone());
    let expected = format!("{}\n", directory.display());
    assert_eq!(shell.output(&["./here"]), expected);
    shell.service.environment.set = BTreeMap::from([("PATH".to_owned(), text("/nowhere:.:/bin"))]);
    assert_eq!(shell.output(&["here"]), expected);
    shell.service.environment.set = BTreeMap::from([("PATH".to_owned(), text(""))]);
    assert_eq!(shell.output(&["here"]), expected);
}

pub(crate) fn a_file_that_may_not_be_executed_is_passed_over() {
    let mut shell = Shell::new();
    let directory = shell.scratch.0.to_str().unwrap().to_owned();
    shell.scratch.file("true", "", 0o644);
    shell.scratch.file("only-here", "", 0o644);
    shell.service.environment.set =
        BTreeMap::from([("PATH".to_owned(), text(&format!("{directory}:/usr/bin:/bin")))]);
    shell.output(&["true"]);
    let error = shell.spawn(&["only-here"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot execute only-here: permission denied");
}

pub(crate) fn every_failure_says_why() {
    let mut shell = Shell::new();
    // An ordinary user's own may hold closed directories.
    shell.service.environment.set = BTreeMap::from([("PATH".to_owned(), text("/usr/bin:/bin"))]);
    let place = shell.scratch.0.to_str().unwrap().to_owned();
    let closed = shell.scratch.file("closed", "#!/bin/sh\n", 0o644);
    let garbage = shell.scratch.file("garbage", "hello\n", 0o755);
    let windows = shell.scratch.file("windows", "#!/bin/sh\r\n", 0o755);
    let no_loader = {
        let path = shell.scratch.0.join("no-loader");
        let mut program = fs::read(fs::canonicalize("/bin/cat").unwrap()).unwrap();
        let at = program.windows(4).position(|four| four == b"/lib").unwrap();
        program[at..at + 4].copy_from_slice(b"/bil");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::metadata("/bin/cat").unwrap().permissions()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut told = |argv: &[&str]| {
        let message = shell.spawn(argv).unwrap_err().to_string();
        message.replace(&place, "PLACE")
    };
    assert_eq!(told(&[&closed]), "cannot execute PLACE/closed: permission denied");
    assert_eq!(told(&["/etc"]), "cannot execute /etc: permission denied");
    assert_eq!(told(&["/no/such"]), "cannot execute /no/such: no such file or directory");
    assert_eq!(told(&["/etc/passwd/x"]), "cannot execute /etc/passwd/x: not a directory");
    assert_eq!(told(&["no-such-program"]), "cannot find \"no-such-program\" in PATH");
    assert_eq!(
        told(&[&garbage]),
        "cannot execute PLACE/garbage: it is neither a program nor a script with a #! line"
    );
    assert_eq!(
        told(&[&windows]),
        "cannot execute PLACE/windows: the interpreter \"/bin/sh\\r\" of its #! line is missing"
    );
    let message = told(&[&no_loader]);
    assert!(message.starts_with("cannot execute PLACE/no-loader: its loader \"/bil"), "{message}");
    assert!(message.ends_with("\" is missing"), "{message}");
    assert_eq!(told(&["/bin/echo", "a\0b"]), "cannot execute /bin/echo: an argument holds a NUL byte");
    assert_eq!(told(&[""]), "cannot find \"\" in PATH");
    shell.service.directory = Some(PathBuf::from("/srv/no"));
    let error = shell.spawn(&["/bin/true"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot enter directory \"/srv/no\": no such file or directory");
    let mut ended = Vec::new();
    shell.watcher.reap(&mut ended);
    assert_eq!(ended, [], "a failed start left a process");
}

pub(crate) fn no_process_left_is_told() {
    if !nix::unistd::getuid().is_root() {
        setrlimit(Resource::RLIMIT_NPROC, 1, 1).unwrap();
    } else {
        // Root is exempt from the limit.
        nix::unistd::setresuid(65534.into(), 65534.into(), 65534.into()).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, 0, 0).unwrap();
    }
    let mut shell = Shell::new();
    let error = shell.spawn(&["/bin/true"]).unwrap_err();
    assert_eq!((error.stage, error.errno), (Stage::Fork, Errno::EAGAIN));
    assert_eq!(error.to_string(), "cannot fork: the limit of processes is reached");
}

pub(crate) fn no_descriptor_left_is_told() {
    let mut shell = Shell::new();
    let secret = shell.scratch.file("secret", "x", 0o600);
    let out = fs::File::create("/dev/null").unwrap();
    let service = shell.service.clone();
    let command = musterd::config::Command { argv: vec!["/bin/true".to_owned()], environment: Vec::new() };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 100, hard).unwrap();
    let mut taken: Vec<_> = std::iter::from_fn(|| out.try_clone().ok()).collect();
    let mut told = |service| {
        let (stdout, stderr) = (out.as_fd(), out.as_fd());
        let surroundings =
            Surroundings { service, stdout, stderr, terminal: false, extra: &[], mark: Mark::Service };
        shell.spawner.spawn(&command, &surroundings).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(told(&service), Err("cannot fork: too many open files".to_owned()));
    let mut with_secret = service.clone();
    with_secret.environment.set = BTreeMap::from([("DB".to_owned(), Variable::File(secret.clone().into()))]);
    let expected = format!("cannot read {secret} for variable \"DB\": too many open files");
    assert_eq!(told(&with_secret), Err(expected));
    // Room again: musterd goes on. A pidfd and the facts of the process.
    taken.truncate(taken.len() - 3);
    assert_eq!(told(&with_secret), Ok(()));
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    drop(taken);
    shell.ends(1);
}

/// Descriptors, and the size of musterd's own memory in pages (proc_pid_statm(5)).
fn resources() -> (usize, i64) {
    let statm = content("/proc/self/statm");
    let pages = statm.split(' ').nth(5).unwrap().parse().unwrap();
    (fs::read_dir("/proc/self/fd").unwrap().count(), pages)
}

pub(crate) fn a_thousand_starts_leave_nothing() {
    let mut shell = Shell::new();
    let round = |shell: &mut Shell, number: usize| {
        for _ in 0..number {
            let spawned = shell.spawn(&["/bin/true"]).unwrap();
            shell.watcher.add_child(&shell.epoll, spawned);
            assert_eq!(shell.ends(1)[0].exit, Exit::Code(0));
            let error: SpawnError = shell.spawn(&["/no/such"]).unwrap_err();
            assert_eq!(error.stage, Stage::Execute);
        }
    };
    round(&mut shell, 50);
    let before = resources();
    round(&mut shell, 1000);
    let after = resources();
    assert_eq!(before.0, after.0, "descriptors");
    // 32 pages are about a tenth of a kilobyte for each start.
    assert!(after.1 - before.1 <= 32, "{} pages more", after.1 - before.1);
}

/// Run by name only: `cargo test --release --test process -- alone spawn::start_times`.
#[expect(clippy::disallowed_methods, reason = "it tells how long a start takes")]
pub(crate) fn start_times() {
    let mut shell = Shell::new();
    let out = fs::File::create("/dev/null").unwrap();
    let service = shell.service.clone();
    let command = musterd::config::Command { argv: vec!["/bin/true".to_owned()], environment: Vec::new() };
    let surroundings = Surroundings {
        service: &service,
        stdout: out.as_fd(),
        stderr: out.as_fd(),
        terminal: false,
        extra: &[],
        mark: Mark::Service,
    };
    let (mut own, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let begin = Instant::now();
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        floor.push(begin.elapsed());
        child.wait().unwrap();

        let begin = Instant::now();
        let spawned = shell.spawner.spawn(&command, &surroundings).unwrap();
        own.push(begin.elapsed());
        let pid = nix::unistd::Pid::from_raw(spawned.id.pid);
        nix::sys::wait::waitpid(pid, None).unwrap();
    }
    own.sort_unstable();
    floor.sort_unstable();
    println!("a start: median {:?}; std's, by posix_spawn(3): median {:?}", own[500], floor[500]);
}
