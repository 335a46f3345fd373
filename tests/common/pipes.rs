//! What the tests of the output share: pipes that are looked at without waiting, and turns of a loop whose time is made up.

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    time::Duration,
};

use musterd::{
    config::{LogFormat, LogLevel},
    linux::{log::Log, output::Output},
    time::Time,
};
use nix::{
    fcntl::OFlag,
    unistd::{alarm, pipe2},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) fn at(milliseconds: u64) -> Time {
    Time::from_boot(Duration::from_millis(milliseconds))
}

/// A log in text, and a limit for the whole test: if anything waits for ever, SIGALRM ends it.
pub(crate) fn log() -> Log {
    alarm::set(60);
    Log::new(LogFormat::Text, LogLevel::Info)
}

/// A turn of the loop, longer after the one before it than pipes rest.
pub(crate) fn turn(output: &mut Output) {
    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });
    let now = at(NOW.replace(NOW.get() + 2));
    output.ready(now);
    output.flush(now);
}

/// Takes what is there, without waiting.
pub(crate) fn take(from: impl AsFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while is_ready(from.as_fd(), PollFlags::IN) {
        match nix::unistd::read(&from, &mut buffer) {
            Ok(count @ 1..) => text.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    String::from_utf8(text).unwrap()
}

pub(crate) fn is_ready(fd: BorrowedFd<'_>, wanted: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
        && fds[0].revents().contains(wanted)
}

pub(crate) fn pipe() -> (File, File) {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (read_end.into(), write_end.into())
}

/// A service's end of its pipe, under a description of its own that never waits.
pub(crate) fn writer(fd: BorrowedFd<'_>) -> File {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).unwrap()
}
