//! Ends are heard, and signals reach whom they are meant for.

use std::process::Command;

use musterd::{
    linux::watch::{self, Ended, SignalError, WatchResult, Watcher},
    process::{Exit, Pid, ProcessId},
};
use nix::{
    libc,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent},
};

use crate::support::{Shell, content, readable, until};

fn start_of(pid: Pid) -> u64 {
    let stat = content(format!("/proc/{pid}/stat"));
    stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
}

/// A process that is musterd's grandchild: not its to reap as long as its parent lives.
fn stranger(shell: &mut Shell) -> (ProcessId, ProcessId) {
    let spawned = shell.spawn(&["/bin/sh", "-c", "sleep 1000 & echo $!; wait; exec sleep 1000"]).unwrap();
    let parent = spawned.id;
    shell.watcher.add_child(&shell.epoll, spawned);
    let pid: Pid = until("the stranger", || {
        let written = shell.written();
        written.strip_suffix('\n')?.parse().ok()
    });
    (parent, ProcessId { pid, start: start_of(pid) })
}

fn epoll() -> Epoll {
    Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap()
}

fn tokens(epoll: &Epoll) -> Vec<u64> {
    readable(&epoll.0);
    let mut events = [EpollEvent::empty(); 8];
    let number = epoll.wait(&mut events, 0u8).unwrap();
    events[..number].iter().map(EpollEvent::data).collect()
}

pub(crate) fn a_stranger_is_watched_by_its_pidfd() {
    let mut shell = Shell::new();
    let epoll = epoll();
    let (parent, id) = stranger(&mut shell);
    assert_eq!(shell.watcher.watch(&epoll, parent), WatchResult::Watched);
    assert_eq!(shell.watcher.watch(&epoll, id), WatchResult::Watched);
    assert_eq!(shell.watcher.watch(&epoll, id), WatchResult::Watched);
    assert!(!shell.watcher.pidfd_missing());

    shell.watcher.signal(id, libc::SIGKILL).unwrap();
    assert_eq!(tokens(&epoll), [id.pid as u64]);
    assert_eq!(
        shell.watcher.collect(id.pid),
        Some(Ended { id, exit: Exit::Unknown, watched: true, session_empty: false })
    );
    assert_eq!(shell.watcher.collect(id.pid), None);
    assert_eq!(shell.watcher.collect(parent.pid), None);
    until("its parent's wait", || match shell.watcher.signal(id, libc::SIGTERM) {
        Err(SignalError::Gone) => Some(()),
        result => {
            assert_eq!(result, Ok(()));
            None
        }
    });

    shell.watcher.signal(parent, libc::SIGTERM).unwrap();
    let exit = Exit::Signal { number: libc::SIGTERM, core: false };
    // The stranger comes too, if its parent has not waited for it.
    assert!(shell.ends(1).iter().any(|ended| (ended.id, ended.exit) == (parent, exit)));
}

pub(crate) fn an_orphan_that_is_watched_is_told_once_with_its_status() {
    let mut shell = Shell::new();
    let epoll = epoll();
    let (parent, id) = stranger(&mut shell);
    assert_eq!(shell.watcher.watch(&epoll, id), WatchResult::Watched);
    shell.watcher.signal(parent, libc::SIGKILL).unwrap();
    shell.ends(1);
    assert_eq!(watch::orphans().unwrap(), [id.pid]);

    shell.watcher.signal(id, libc::SIGTERM).unwrap();
    assert_eq!(tokens(&epoll), [id.pid as u64]);
    let exit = Exit::Signal { number: libc::SIGTERM, core: false };
    assert_eq!(shell.ends(1), [Ended { id, exit, watched: true, session_empty: true }]);
    assert_eq!(shell.watcher.collect(id.pid), None);
    assert_eq!(watch::orphans().unwrap(), [0; 0]);
}

/// Its own process group is empty as well: only the number of the session is in use.
pub(crate) fn a_session_is_empty_when_its_last_process_was_reaped() {
    let mut shell = Shell::new();
    let exit = Exit::Signal { number: libc::SIGKILL, core: false };
    for (script, session_empty) in [("kill -9 $$", true), ("set -m; sleep 1000 & kill -9 $$", false)] {
        let spawned = shell.spawn(&["/bin/sh", "-c", script]).unwrap();
        let id = spawned.id;
        shell.watcher.add_child(&shell.epoll, spawned);
        assert_eq!(shell.ends(1), [Ended { id, exit, watched: true, session_empty }], "{script}");
        for pid in watch::orphans().unwrap() {
            shell.watcher.signal(ProcessId { pid, start: start_of(pid) }, libc::SIGKILL).unwrap();
            shell.ends(1);
        }
    }
}

pub(crate) fn collect_knows_the_status_of_what_is_not_reaped_yet() {
    let mut shell = Shell::new();
    let epoll = epoll();
    let child = shell.spawn(&["/bin/sleep", "1000"]).unwrap().id;
    assert_eq!(shell.watcher.watch(&epoll, child), WatchResult::Watched);
    shell.watcher.signal(child, libc::SIGRTMIN()).unwrap();
    tokens(&epoll);
    let exit = Exit::Signal { number: libc::SIGRTMIN(), core: false };
    assert_eq!(
        shell.watcher.collect(child.pid),
        Some(Ended { id: child, exit, watched: true, session_empty: true })
    );
    let mut ended = Vec::new();
    shell.watcher.reap(&mut ended);
    assert_eq!(ended, []);
}

pub(crate) fn a_recycled_pid_is_neither_watched_nor_signalled() {
    let mut shell = Shell::new();
    let spawned = shell.spawn(&["/bin/sleep", "1000"]).unwrap();
    let now = spawned.id;
    for start in [now.start - 1, 0] {
        let before = ProcessId { start, ..now };
        assert_eq!(shell.watcher.watch(&epoll(), before), WatchResult::Ended);
        assert_eq!(shell.watcher.signal(before, libc::SIGKILL), Err(SignalError::Gone));
    }
    shell.watcher.add_child(&shell.epoll, spawned);
    let before = ProcessId { start: now.start - 1, ..now };
    assert_eq!(shell.watcher.signal(before, libc::SIGKILL), Err(SignalError::Gone));
    shell.watcher.signal(now, libc::SIGTERM).unwrap();
    let exit = Exit::Signal { number: libc::SIGTERM, core: false };
    assert_eq!(shell.ends(1), [Ended { id: now, exit, watched: true, session_empty: true }]);
    assert_eq!(shell.watcher.watch(&epoll(), now), WatchResult::Ended);
    assert_eq!(shell.watcher.signal(now, libc::SIGKILL), Err(SignalError::Gone));
}

pub(crate) fn pid_1_and_musterd_are_not_signalled() {
    let mut watcher = Watcher::new(|pid| pid as u64);
    let own = std::process::id() as Pid;
    for pid in [own, 1, 0, -1, -own] {
        let id = ProcessId { pid, start: 1 };
        assert_eq!(watcher.signal(id, libc::SIGCONT), Err(SignalError::Forbidden), "{pid}");
    }
    assert_eq!(
        watcher.signal(ProcessId { pid: own + 1, start: 1 }, 65).unwrap_err().to_string(),
        "invalid argument"
    );
}

pub(crate) fn what_epoll_does_not_take_is_swept() {
    let mut shell = Shell::new();
    let (parent, id) = stranger(&mut shell);
    // An epoll in name only: every registration with it fails.
    let broken = Epoll(std::fs::File::open("/dev/null").unwrap().into());
    assert_eq!(shell.watcher.watch(&broken, id), WatchResult::Swept);
    assert_eq!(shell.watcher.watch(&broken, id), WatchResult::Swept);
    let mut ended = Vec::new();
    shell.watcher.sweep(&mut ended);
    assert_eq!(ended, []);
    shell.watcher.signal(id, libc::SIGKILL).unwrap();
    until("the sweep", || {
        shell.watcher.sweep(&mut ended);
        (!ended.is_empty()).then_some(())
    });
    assert_eq!(ended, [Ended { id, exit: Exit::Unknown, watched: true, session_empty: false }]);
    shell.watcher.signal(parent, libc::SIGKILL).unwrap();
    shell.ends(1);
}

pub(crate) fn hundreds_of_orphans_are_reaped() {
    const ORPHANS: usize = 300;
    let mut shell = Shell::new();
    let script = format!("i=0; while [ $i -lt {ORPHANS} ]; do sleep 1000 & i=$((i + 1)); done; kill -9 $$");
    let spawned = shell.spawn(&["/bin/sh", "-c", &script]).unwrap();
    let main = spawned.id;
    shell.watcher.add_child(&shell.epoll, spawned);
    let exit = Exit::Signal { number: libc::SIGKILL, core: false };
    assert_eq!(shell.ends(1), [Ended { id: main, exit, watched: true, session_empty: false }]);

    let orphans = watch::orphans().unwrap();
    assert_eq!(orphans.len(), ORPHANS);
    for &pid in &orphans {
        shell.watcher.signal(ProcessId { pid, start: start_of(pid) }, libc::SIGKILL).unwrap();
    }
    let mut ended = shell.ends(ORPHANS);
    ended.sort_unstable_by_key(|ended| ended.id);
    let expected = orphans.iter().map(|&pid| Ended {
        id: ProcessId { pid, start: 0 },
        exit,
        watched: false,
        session_empty: false,
    });
    let mut expected: Vec<Ended> = expected.collect();
    expected.sort_unstable_by_key(|ended| ended.id);
    assert_eq!(ended, expected);
    assert_eq!(watch::orphans().unwrap(), [0; 0]);
}

pub(crate) fn a_descriptor_goes_with_its_process() {
    let mut shell = Shell::new();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for _ in 0..20 {
        let epoll = epoll();
        let (parent, id) = stranger(&mut shell);
        shell.watcher.watch(&epoll, id);
        shell.watcher.signal(id, libc::SIGKILL).unwrap();
        assert_eq!(tokens(&epoll), [id.pid as u64]);
        let ended = Ended { id, exit: Exit::Unknown, watched: true, session_empty: false };
        assert_eq!(shell.watcher.collect(id.pid), Some(ended));
        shell.watcher.signal(parent, libc::SIGKILL).unwrap();
        until("the parent's end", || {
            let mut ended = Vec::new();
            shell.watcher.reap(&mut ended);
            ended.iter().any(|ended| ended.id == parent).then_some(())
        });
    }
    assert_eq!(open(), before);
}

pub(crate) fn the_absence_of_a_core_dump_is_told() {
    let mut shell = Shell::new();
    let script = format!("cd {}; ulimit -c 0; kill -SEGV $$", shell.scratch.0.display());
    let spawned = shell.spawn(&["/bin/sh", "-c", &script]).unwrap();
    shell.watcher.add_child(&shell.epoll, spawned);
    assert_eq!(shell.ends(1)[0].exit, Exit::Signal { number: libc::SIGSEGV, core: false });
}

pub(crate) fn a_core_dump_is_told() {
    if Command::new("sh").args(["-c", "ulimit -Hc"]).output().unwrap().stdout != b"unlimited\n"
        || content("/proc/sys/kernel/core_pattern").starts_with('|')
    {
        crate::ignore("the kernel writes no core files here");
    }
    let mut shell = Shell::new();
    let script = format!("cd {}; ulimit -c unlimited; kill -SEGV $$", shell.scratch.0.display());
    let spawned = shell.spawn(&["/bin/sh", "-c", &script]).unwrap();
    shell.watcher.add_child(&shell.epoll, spawned);
    assert_eq!(shell.ends(1)[0].exit, Exit::Signal { number: libc::SIGSEGV, core: true });
}
