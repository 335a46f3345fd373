//! What probes say is heard, whatever they do with their output.

use std::{os::fd::AsFd, time::Duration};

use musterd::{
    config::Command,
    linux::{
        probes::Probes,
        spawn::{Mark, Surroundings},
        table::{Scanner, scan},
    },
    process::{Exit, ProcessId},
    time::Time,
};
use nix::{
    libc::{SIGKILL, SIGPIPE},
    sys::epoll::{EpollEvent, EpollTimeout},
};

use crate::support::{LIMIT, Shell, until};

/// The highest bit tells a probe's pipe from a process.
const TOKEN: u64 = 1 << 63;

fn at(milliseconds: u64) -> Time {
    Time::from_boot(Duration::from_millis(milliseconds))
}

/// Starts a shell's script as a probe.
fn start(shell: &mut Shell, probes: &mut Probes, script: &str) -> ProcessId {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let command = Command { argv, environment: Vec::new() };
    let (read_end, write_end) = Probes::pipe().unwrap();
    let (stdout, stderr) = (write_end.as_fd(), write_end.as_fd());
    let surroundings = Surroundings {
        service: &shell.service,
        stdout,
        stderr,
        mark: Mark::Probe,
        terminal: false,
        extra: &[],
    };
    let spawned = shell.spawner.spawn(&command, &surroundings).unwrap();
    let id = spawned.id;
    shell.watcher.add_child(&shell.epoll, spawned);
    probes.add(&shell.epoll, id, read_end, TOKEN | id.pid as u64);
    id
}

/// One turn of a loop: waits, reads what probes wrote; returns whether there was any.
fn turn(shell: &Shell, probes: &mut Probes, wait: EpollTimeout, now: Time) -> bool {
    let mut events = [EpollEvent::empty(); 16];
    let came = shell.epoll.wait(&mut events, wait).unwrap();
    let mut read = false;
    for data in events[..came].iter().map(EpollEvent::data).filter(|data| data & TOKEN != 0) {
        probes.ready(&shell.epoll, (data & !TOKEN) as i32, now);
        read = true;
    }
    read
}

pub(crate) fn the_last_line_is_known_at_the_end() {
    let mut shell = Shell::new();
    let mut probes = Probes::default();
    let first = start(&mut shell, &mut probes, "echo one; echo two >&2; echo; exit 3");
    let second = start(&mut shell, &mut probes, "exit 1");
    let mut ended = shell.ends(2);
    ended.sort_by_key(|ended| ended.id.pid != first.pid);
    assert_eq!(ended.iter().map(|ended| ended.exit).collect::<Vec<_>>(), [Exit::Code(3), Exit::Code(1)]);
    assert_eq!(probes.ended(ProcessId { start: first.start + 1, ..first }), None, "another process");
    assert_eq!(probes.ended(first).as_deref(), Some("two"));
    assert_eq!(probes.ended(first), None, "once");
    assert_eq!(probes.ended(second), None);
}

/// It is read once, then not before the pause is over, and at the end no more than a pipe holds.
pub(crate) fn a_flood_costs_a_share() {
    let mut shell = Shell::new();
    let mut probes = Probes::default();
    let id = start(&mut shell, &mut probes, "exec yes flood");
    let full = || {
        let path = format!("/proc/{}/wchan", id.pid);
        std::fs::read_to_string(path).is_ok_and(|place| place.contains("pipe")).then_some(())
    };
    let mut reads = 0;
    for now in (0..100).step_by(20).map(at) {
        until("the pipe is full", full);
        probes.tick(&shell.epoll, now);
        assert!(turn(&shell, &mut probes, EpollTimeout::try_from(LIMIT).unwrap(), now));
        assert_eq!(probes.next_deadline(), Some(now + Duration::from_millis(20)));
        until("the pipe is full again", full);
        probes.tick(&shell.epoll, now + Duration::from_millis(19));
        assert!(!turn(&shell, &mut probes, EpollTimeout::ZERO, now), "read during the pause");
        reads += 1;
    }
    assert_eq!(reads, 5);
    shell.watcher.signal(id, SIGKILL).unwrap();
    shell.ends(1);
    // What the pipe holds may end anywhere in a line.
    assert!("flood".starts_with(&probes.ended(id).unwrap()));
    assert_eq!(probes.next_deadline(), None);
}

pub(crate) fn what_a_probe_leaves_holds_nobody_up() {
    let mut shell = Shell::new();
    let mut probes = Probes::default();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let script = "setsid sh -c 'while echo more; do :; done' & echo $! >&2; exit 1";
    let id = start(&mut shell, &mut probes, script);
    // The probe ends; what it left goes on writing, until its reader is gone.
    let ended = shell.ends(1);
    assert_eq!(ended[0].id.pid, id.pid);
    assert!(probes.ended(id).is_some());
    // The spawner keeps the last pipe's other end until it starts the next process.
    let next = shell.spawn(&["true"]).unwrap();
    shell.watcher.add_child(&shell.epoll, next);
    let ends = shell.ends(2);
    let left = ends.iter().find(|ended| !ended.watched).unwrap();
    assert_eq!(left.exit, Exit::Signal { number: SIGPIPE, core: false });
    assert_eq!(descriptors(), before);
}

pub(crate) fn a_probe_and_what_it_starts_is_marked() {
    let mut shell = Shell::new();
    let mut probes = Probes::default();
    let id = start(&mut shell, &mut probes, "env -i setsid sleep 1000 & wait");
    let service = shell.spawn(&["/bin/sleep", "1000"]).unwrap();
    let other = service.id;
    shell.watcher.add_child(&shell.epoll, service);
    let scanner = Scanner::new().unwrap();
    let seen = || scan(&scanner, |_| true).unwrap();
    let mut table = until("its child has left", || {
        let table = seen();
        let child = table.processes.iter().find(|child| child.parent == id.pid && child.comm == "sleep");
        child.is_some_and(|child| child.session != id.pid).then_some(table)
    });
    let probe = table.alive(id).unwrap();
    assert!(probe.probe && probe.mark.is_none(), "{probe:?}");
    let child = table.processes.iter().find(|child| child.parent == id.pid).unwrap().id;
    assert!(!table.alive(child).unwrap().probe, "its environment is empty");
    probes.mark(&mut table.processes);
    assert!(table.alive(child).unwrap().probe && table.alive(id).unwrap().probe);
    let service = table.alive(other).unwrap();
    assert!(!service.probe && service.mark.is_some(), "{service:?}");
    // The shell first, which would reap its child.
    for id in [id, child, other] {
        shell.watcher.signal(id, SIGKILL).unwrap();
    }
    shell.ends(3);
}
