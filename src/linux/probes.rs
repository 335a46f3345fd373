//! Hears what probes say: each has a pipe of its own, of whose lines the last one is kept. Starts none, ends none,
//! and judges none.

use std::{collections::HashMap, io, os::fd::OwnedFd, time::Duration};

use memchr::memchr;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::epoll::{Epoll, EpollEvent, EpollFlags},
    unistd::{pipe2, read},
};

use crate::{
    process::{Pid, Process, ProcessId},
    text::printable,
    time::Time,
};

/// What is read of a probe at once: a pipe's usual capacity (pipe(7)), so that what is in it at the end is read whole.
const SHARE: usize = 64 * 1024;

/// How long a probe that was read is not read again: one that floods, by whatever pieces, wakes the loop 50 times a second
/// at most. What it has written at its end is read then.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest line that is kept, in bytes: enough for a message, little enough for a table.
const LONGEST: usize = 256;

/// How far a parent chain is followed to a probe: what probes start is not deep.
const DEPTH: usize = 32;

/// The probes that run.
#[derive(Debug, Default)]
pub struct Probes {
    running: HashMap<Pid, Probe>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Probe {
    start: u64,
    pipe: OwnedFd,
    last: LastLine,
    /// When it is read again, while it is not.
    resume: Option<Time>,
    token: u64,
}

impl Probes {
    /// A pipe for a probe: the end that is read here, and the one that it writes to.
    ///
    /// # Errors
    /// Those of pipe2(2).
    pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((read_end, write_end))
    }

    /// Listens to a probe that was started; `token` is what epoll returns for it.
    pub fn add(&mut self, epoll: &Epoll, process: ProcessId, pipe: OwnedFd, token: u64) {
        // Where there is no room for it, what fits into the pipe is read at the end.
        let _ = epoll.add(&pipe, EpollEvent::new(EpollFlags::EPOLLIN, token));
        let probe = Probe { start: process.start, pipe, last: LastLine::default(), resume: None, token };
        self.running.insert(process.pid, probe);
    }

    /// Reads a share of what a probe wrote.
    pub fn ready(&mut self, epoll: &Epoll, pid: Pid, now: Time) {
        self.buffer.resize(SHARE, 0);
        let Some(probe) = self.running.get_mut(&pid) else { return };
        match read(&probe.pipe, &mut self.buffer) {
            // It closed its output, or it cannot be read: nothing more comes by epoll.
            Ok(0) => {
                let _ = epoll.delete(&probe.pipe);
            }
            Ok(count) => {
                probe.last.push(&self.buffer[..count]);
                probe.listen(epoll, false);
                probe.resume = Some(now + PAUSE);
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => {
                let _ = epoll.delete(&probe.pipe);
            }
        }
    }

    /// When to call [`Probes::tick`] next.
    pub fn next_deadline(&self) -> Option<Time> {
        self.running.values().filter_map(|probe| probe.resume).min()
    }

    /// Listens again to those whose pause is over.
    pub fn tick(&mut self, epoll: &Epoll, now: Time) {
        for probe in self.running.values_mut().filter(|probe| probe.resume.is_some_and(|at| at <= now)) {
            probe.resume = None;
            probe.listen(epoll, true);
        }
    }

    /// The last line of a probe that ended; what is in its pipe is read first, and the pipe closed, whoever else still
    /// holds it. `None` where it said nothing, or is no probe.
    pub fn ended(&mut self, process: ProcessId) -> Option<String> {
        let probe = self.running.get(&process.pid)?;
        if probe.start != process.start {
            return None;
        }
        let mut probe = self.running.remove(&process.pid)?;
        self.buffer.resize(SHARE, 0);
        // No more than a pipe holds: a process that it left behind may go on writing.
        let mut left = SHARE;
        while left > 0 {
            match read(&probe.pipe, &mut self.buffer[..left]) {
                Ok(count @ 1..) => {
                    probe.last.push(&self.buffer[..count]);
                    left -= count;
                }
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => break,
            }
        }
        if self.running.is_empty() {
            self.buffer = Vec::new();
        }
        probe.last.finish()
    }

    /// Says of each process that descends from a running probe, or is in its session, that it is a probe's.
    pub fn mark(&self, processes: &mut [Process]) {
        if self.running.is_empty() {
            return;
        }
        let parents: HashMap<Pid, Pid> =
            processes.iter().map(|process| (process.id.pid, process.parent)).collect();
        for process in processes {
            let chain = std::iter::successors(Some(process.id.pid), |pid| parents.get(pid).copied());
            process.probe |=
                chain.take(DEPTH).chain([process.session]).any(|pid| self.running.contains_key(&pid));
        }
    }
}

impl Probe {
    fn listen(&self, epoll: &Epoll, on: bool) {
        let flags = if on { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        // Fails only for what is not registered (epoll_ctl(2)): it is read at the end.
        let _ = epoll.modify(&self.pipe, &mut EpollEvent::new(flags, self.token));
    }
}

/// The last line that is not empty of a stream, its beginning.
#[derive(Debug, Default)]
struct LastLine {
    whole: Vec<u8>,
    begun: Vec<u8>,
}

impl LastLine {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            self.keep(&bytes[..end]);
            if is_blank(&self.begun) {
                self.begun.clear();
            } else {
                std::mem::swap(&mut self.whole, &mut self.begun);
                self.begun.clear();
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LONGEST - self.begun.len();
        self.begun.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The line, printable and at most `LONGEST` bytes.
    fn finish(self) -> Option<String> {
        let line = if is_blank(&self.begun) { self.whole } else { self.begun };
        let mut text = printable(String::from_utf8_lossy(&line).trim());
        text.truncate(text.floor_char_boundary(LONGEST));
        (!text.is_empty()).then_some(text)
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(pieces: &[&[u8]]) -> Option<String> {
        let mut last = LastLine::default();
        for piece in pieces {
            last.push(piece);
        }
        last.finish()
    }

    #[test]
    fn the_last_line_that_says_something_is_kept() {
        let some = |line: &str| Some(line.to_owned());
        assert_eq!(last(&[b"one\ntwo\n\n  \n"]), some("two"));
        assert_eq!(last(&[b"one\ntw", b"o", b" and more"]), some("two and more"));
        assert_eq!(last(&[b"\t a \r\n"]), some("a"));
        assert_eq!(last(&[b"\x1b[31mred\xff"]), some("\\u{1b}[31mred\u{fffd}"));
        assert_eq!(last(&[b"", b"\n\n"]), None);
    }

    #[test]
    fn a_long_line_is_cut_whatever_it_is_made_of() {
        assert_eq!(last(&[&[b'x'; 10_000], b"\n"]).map(|line| line.len()), Some(LONGEST));
        let bells = last(&[&[7; 10_000]]).unwrap();
        assert!(bells.len() <= LONGEST && bells.starts_with("\\u{7}"), "{bells}");
        let crabs = last(&["🦀".repeat(100).as_bytes()]).unwrap();
        assert!(crabs.len() <= LONGEST && crabs.starts_with('🦀'), "{crabs}");
    }
}
