//! musterd as the parent of everything.

use std::{fs::File, os::fd::AsRawFd};

use musterd::linux::setup::Setup;
use nix::{
    libc,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, raise},
    },
};

use crate::support::{Shell, content, readable};

pub(crate) fn signals_are_heard_by_descriptor() {
    let setup = Setup::new().unwrap();
    assert!(!setup.is_init);
    assert_eq!(setup.signals(), [0; 0]);
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM] {
        raise(signal).unwrap();
    }
    readable(&setup);
    assert_eq!(setup.signals(), [libc::SIGHUP, libc::SIGUSR1, libc::SIGTERM]);
    assert_eq!(setup.signals(), [0; 0]);
}

pub(crate) fn orphans_come_to_musterd() {
    let mut shell = Shell::new();
    let script = "(sh -c 'exit 3' & sh -c 'kill -9 $$' &) ; exit 0";
    let spawned = shell.spawn(&["/bin/sh", "-c", script]).unwrap();
    shell.watcher.add_child(&shell.epoll, spawned);
    // The child, the subshell's two; the subshell itself is reaped by the child.
    let ended = shell.ends(3);
    assert_eq!(ended.iter().filter(|ended| ended.watched).count(), 1);
    assert!(ended.iter().all(|ended| ended.watched == (ended.id.start != 0)));
    let mut exits: Vec<String> = ended.iter().map(|ended| ended.exit.to_string()).collect();
    exits.sort();
    assert_eq!(exits, ["exited 0", "exited 3", "killed by SIGKILL"]);
}

pub(crate) fn an_inherited_descriptor_ends_with_musterd() {
    let inherited = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let mut shell = Shell::new();
    let open = shell.output(&["/bin/sh", "-c", "ls /proc/$$/fd"]);
    assert!(inherited.as_raw_fd() > 2);
    assert_eq!(open, "0\n1\n2\n");
}

pub(crate) fn the_limit_of_files_is_raised_and_given_back() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 77, hard).unwrap();
    let mut shell = Shell::new();
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    assert_eq!(shell.output(&["/bin/sh", "-c", "ulimit -Sn"]), "77\n");
    assert_eq!(shell.output(&["/bin/sh", "-c", "ulimit -Hn"]), format!("{hard}\n"));
}

/// Run with SIGCHLD and SIGUSR2 ignored, see `main`.
pub(crate) fn an_ignored_sigchld_hides_no_end() {
    let mask = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let bit = |signal: i32| 1u64 << (signal - 1);
    let before = mask(&content("/proc/self/status"));
    assert_ne!(before & bit(libc::SIGUSR2), 0, "nothing was inherited: {before:x}");
    let mut shell = Shell::new();
    assert_eq!(mask(&content("/proc/self/status")) & bit(libc::SIGCHLD), 0);
    let status = shell.output(&["cat", "/proc/self/status"]);
    assert_eq!(mask(&status), 0);
}
