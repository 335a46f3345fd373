//! A bounded queue before musterd's stdout or stderr that is written without ever waiting. Knows nothing of services.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use memchr::memchr_iter;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    sys::{
        socket::{MsgFlags, send},
        stat::{Mode, SFlag, fstat, major, minor},
    },
    unistd::write,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::warn;

use super::{kept::KeptQueue, log_file::Rotated};
use crate::{config::LogFile, protocol::LogFailure, text::reason};

/// From here on services are held back: enough that a reader in a short pause stops nobody.
const LIMIT: usize = 256 * 1024;

/// What services that have ended or are no more may add to that: two large pipes, as one of them has.
const LAST: usize = 512 * 1024;

/// What is written at once: a pipe's usual capacity (pipe(7)), so that a large queue never needs to be moved.
const BATCH: usize = 64 * 1024;

/// PIPE_BUF on Linux: what a pipe that poll(2) calls writable takes without waiting (pipe(7)).
const ATOMIC: usize = 4096;

/// How long one piece of a message may wait where nothing else can be held up by it: before the loop and after it.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How to write without waiting and without O_NONBLOCK on a description that other processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A file, which never makes anybody wait, or a non-blocking description of musterd's own.
    Write,
    /// A socket: non-blocking by call.
    Send,
    /// What cannot be opened again: as much as poll(2) promises. Another writer of the same pipe may break the promise.
    Poll,
}

/// Whether all that was queued is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It was written, or dropped for an error.
    Empty,
    /// The reader is slow: once it reads, the descriptor becomes writable.
    Blocked,
}

/// A place to write to, with its queue.
pub(super) struct Sink {
    name: String,
    fd: OwnedFd,
    way: Way,
    /// What it is where it is a log file.
    file: Option<Rotated>,
    /// Whether that could not be opened yet: it is tried again with each write.
    missing: bool,
    queue: Vec<u8>,
    written: usize,
    /// Where the queue outlives musterd, and how much of it is there.
    kept: Option<KeptQueue>,
    copied: usize,
    /// Whether the last byte that was written left a line open.
    open: bool,
    /// Whether the rest of that line was lost, so that a newline must come first.
    torn: bool,
    /// What an error has cost; `None` while writing works.
    loss: Option<Loss>,
}

/// What cannot be written.
struct Loss {
    errno: Errno,
    lines: usize,
}

impl Sink {
    /// A sink to what `fd` leads to; `name` is for messages.
    pub(super) fn new(name: &str, fd: BorrowedFd<'_>) -> io::Result<Self> {
        let (fd, way) = private(fd)?;
        Ok(Self::with(name.to_owned(), fd, way))
    }

    /// A sink to a log file, which is opened with the first line: where that fails, lines are lost and counted.
    pub(super) fn file(file: &LogFile) -> io::Result<Self> {
        let nowhere = open("/dev/null", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let name = file.path.display().to_string();
        Ok(Self { file: Some(Rotated::new(file)), missing: true, ..Self::with(name, nowhere, Way::Write) })
    }

    fn with(name: String, fd: OwnedFd, way: Way) -> Self {
        let (file, missing) = (None, false);
        Self {
            name,
            fd,
            way,
            file,
            missing,
            queue: Vec::new(),
            written: 0,
            kept: None,
            copied: 0,
            open: false,
            torn: false,
            loss: None,
        }
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// From now on the queue is kept there too. What waits there comes first.
    pub(super) fn keep(&mut self, kept: KeptQueue) {
        // A log file is opened now, as it may tell what was written.
        if let Err(errno) = self.open_file() {
            self.lose(errno);
        }
        let mut pending = kept.pending(self.fd.as_fd());
        self.copied = pending.len();
        pending.extend(self.queue.drain(self.written..));
        self.queue = pending;
        self.written = 0;
        self.kept = Some(kept);
    }

    /// Copies what is new in the queue to where it is kept; the place and the end that it has with it, which count when
    /// they are committed.
    pub(super) fn copy(&mut self) -> Option<(usize, u64)> {
        let kept = self.kept.as_ref()?;
        let copied = kept.append(&self.queue[self.copied..], self.copied - self.written);
        self.copied = self.queue.len();
        match copied {
            Ok(end) => Some(end),
            Err(error) => {
                self.keep_no_more(&error);
                None
            }
        }
    }

    /// Replaces what keeps the queue where it has become long.
    fn renew(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if let Err(error) = kept.renew(&self.queue) {
            self.keep_no_more(&error);
        }
    }

    fn keep_no_more(&mut self, error: &io::Error) {
        let consequence = "what was read and not yet written is lost if musterd is killed";
        warn!(cause = reason(error), consequence, "cannot keep the output to {}", self.name);
        if let Some(kept) = self.kept.take() {
            kept.skip();
        }
    }

    /// Opens the file anew, which somebody has renamed; nothing happens to what is no file.
    pub(super) fn reopen(&mut self) {
        self.write();
        self.missing = self.file.is_some();
        self.open &= !self.missing;
        self.torn &= !self.missing;
    }

    /// From now on its log file is limited so.
    pub(super) fn change_file(&mut self, new: &LogFile) {
        if let Some(file) = &mut self.file {
            file.change(new);
        }
    }

    /// Tells how much was lost, if nothing can be written there to the end.
    pub(super) fn tell_loss(&mut self) {
        if let Some(Loss { errno, lines }) = self.loss.take() {
            let cause = errno.desc().to_lowercase();
            warn!(lost_lines = lines, cause, "{} could not be written to the end", self.name);
        }
    }

    /// Why what is written there is lost; `None` while it is not.
    pub(super) fn failure(&self) -> Option<LogFailure> {
        let &Loss { errno, lines } = self.loss.as_ref()?;
        Some(LogFailure { to: self.name.clone(), cause: errno.desc().to_lowercase(), lost_lines: lines })
    }

    /// Whether lines keep their form: it is a file, not musterd's own output.
    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// The end of the queue, to append whole lines to.
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.queue
    }

    /// How many bytes wait.
    pub(super) fn backlog(&self) -> usize {
        self.queue.len() - self.written
    }

    /// Whether there is a batch that is worth a system call before the turn is over.
    pub(super) fn has_batch(&self) -> bool {
        self.backlog() >= BATCH
    }

    /// Whether services are to be held back.
    pub(super) fn is_full(&self) -> bool {
        self.backlog() >= LIMIT
    }

    /// Whether there is no room either for what is left of services that can be held back no more.
    pub(super) fn is_overfull(&self) -> bool {
        self.backlog() >= LIMIT + LAST
    }

    /// Whether services that were held back may go on: later than they were stopped, so that it isn't done at every line.
    pub(super) fn has_room(&self) -> bool {
        self.backlog() < LIMIT / 2
    }

    /// Writes what goes without waiting. After an error the queue is dropped and counted, so that a full disk or a
    /// reader that is gone costs one system call for what services write, and no turn of the loop of its own.
    pub(super) fn write(&mut self) -> Progress {
        if self.backlog() == 0 {
            return Progress::Empty;
        }
        if let (Some((_, end)), Some(kept)) = (self.copy(), &self.kept) {
            kept.extend(end);
        }
        while self.backlog() > 0 {
            let room = match self.prepare_file() {
                Ok(room) => room,
                Err(errno) => {
                    self.lose(errno);
                    continue;
                }
            };
            let rest = &self.queue[self.written..];
            let batch = if self.torn { b"\n" } else { &rest[..rest.len().min(BATCH).min(room)] };
            let plain = || self.way.write(&self.fd, batch);
            let written = match self.kept.as_ref().filter(|_| !self.torn) {
                Some(kept) => kept.write(self.fd.as_fd(), batch, plain),
                None => plain(),
            };
            match written {
                Ok(0) => self.lose(Errno::EIO),
                Ok(_) if self.torn => self.torn = false,
                Ok(count) => {
                    if let Some(file) = &mut self.file {
                        file.grow(count);
                    }
                    self.written += count;
                    self.open = self.queue[self.written - 1] != b'\n';
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.compact();
                    return Progress::Blocked;
                }
                Err(errno) => self.lose(errno),
            }
        }
        if self.queue.is_empty() {
            return Progress::Empty;
        }
        self.forget();
        if let Some(loss) = self.loss.take() {
            warn!(lost_lines = loss.lines, "{} can be written again", self.name);
        }
        Progress::Empty
    }

    /// Opens the log file, and begins a new one where it is full; returns how many bytes may be written at once.
    fn prepare_file(&mut self) -> Result<usize, Errno> {
        self.open_file()?;
        let Some(file) = &mut self.file else { return Ok(usize::MAX) };
        let rest = &self.queue[self.written..];
        // A line that is begun is ended in the same file.
        if self.open || self.torn {
            return Ok(memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1));
        }
        if file.room(rest) == 0 {
            match file.rotate() {
                Ok(fd) => self.fd = fd,
                Err(error) => {
                    let consequence = "it grows on";
                    warn!(
                        path = self.name,
                        cause = reason(&error),
                        consequence,
                        "cannot begin a new log file"
                    );
                    file.forgive();
                }
            }
        }
        Ok(file.room(rest).max(1))
    }

    fn open_file(&mut self) -> Result<(), Errno> {
        if let Some(file) = self.file.as_mut().filter(|_| self.missing) {
            let errno = |error: io::Error| error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw);
            self.fd = file.open().map_err(errno)?;
            self.missing = false;
        }
        Ok(())
    }

    /// Drops the queue because its reader cannot be waited for, and counts it.
    pub(super) fn lose(&mut self, errno: Errno) {
        let lines = memchr_iter(b'\n', &self.queue[self.written..]).count();
        self.forget();
        self.torn = self.open;
        match &mut self.loss {
            Some(loss) => *loss = Loss { errno, lines: loss.lines + lines },
            None => {
                self.loss = Some(Loss { errno, lines });
                warn!(
                    cause = errno.desc().to_lowercase(),
                    consequence =
                        "what services write there is lost and counted until it can be written again",
                    "cannot write to {}",
                    self.name
                );
            }
        }
    }

    fn forget(&mut self) {
        if let Some(kept) = &self.kept {
            kept.skip();
        }
        self.queue.clear();
        (self.written, self.copied) = (0, 0);
        self.renew();
        if self.queue.capacity() > LIMIT {
            self.queue = Vec::new();
        }
    }

    fn compact(&mut self) {
        if self.written > self.queue.len() / 2 {
            self.queue.drain(..self.written);
            self.copied = self.copied.saturating_sub(self.written);
            self.written = 0;
            self.renew();
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Way {
    fn write(self, fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Way::Write => write(fd, bytes),
            Way::Send => send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Way::Poll => write_polled(fd.as_fd(), bytes, Timespec { tv_sec: 0, tv_nsec: 0 }),
        }
    }
}

/// Writes to a descriptor that musterd has no queue for; a reader that doesn't read loses the message, and holds
/// nobody up for long.
pub(super) fn write_briefly(fd: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write_polled(fd, bytes, PATIENCE) {
            Ok(0) => return,
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn write_polled(fd: BorrowedFd<'_>, bytes: &[u8], patience: Timespec) -> Result<usize, Errno> {
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&patience));
    match ready.map_err(|errno| Errno::from_raw(errno.raw_os_error()))? {
        0 => Err(Errno::EAGAIN),
        _ => write(fd, &bytes[..bytes.len().min(ATOMIC)]),
    }
}

/// A descriptor for the same thing that is never waited for. A pipe, a FIFO or a terminal is opened again, which gives
/// a description of musterd's own (proc_pid_fd(5)): O_NONBLOCK on the shared one would reach every other process that
/// has it.
fn private(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Way)> {
    let stat = fstat(fd)?;
    let copy = fd.try_clone_to_owned()?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFREG || kind == SFlag::S_IFBLK {
        return Ok((copy, Way::Write));
    }
    if kind == SFlag::S_IFSOCK {
        return Ok((copy, Way::Send));
    }
    if kind == SFlag::S_IFCHR && (major(stat.st_rdev), minor(stat.st_rdev)) == PTMX {
        return Ok((copy, Way::Poll));
    }
    let append = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?) & OFlag::O_APPEND;
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | append;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(match open(path.as_str(), flags, Mode::empty()) {
        Ok(own) => (own, Way::Write),
        Err(_) => (copy, Way::Poll),
    })
}

/// The device number of a pseudo-terminal's master (ptmx(4)): opened again, it would be another terminal.
const PTMX: (u64, u64) = (5, 2);

/// Whether two descriptors lead to the same file, pipe, socket or terminal.
pub(super) fn is_same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> io::Result<bool> {
    let (a, b) = (fstat(a)?, fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}
