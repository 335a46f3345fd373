//! Carries the services' lines, and musterd's own messages, to musterd's stdout and stderr without ever waiting.
//! Knows nothing of why a service runs.
//!
//! Each service has one pipe for stdout and one for stderr as long as it is configured. musterd holds both ends, so a
//! restart costs no pipe, a grandchild that keeps one does no harm, and none ever ends.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout},
        stat::{Mode, fchmod},
    },
    unistd::{pipe2, read},
};

use super::{
    channel::Channel,
    lines::{Ending, Lines},
    log::{Log, wall_clock},
    render::{self, Origin, Stream},
    sink::is_same,
};
use crate::{config::Regex, process::Pid, time::Time};

/// What is read from one pipe before it is the next one's turn: a pipe's usual capacity (pipe(7)).
const SHARE: usize = 64 * 1024;

/// After this long without more of it, a partial line is given out: a program that writes a line in pieces, as one that
/// tells its progress (`migrating ... done`), is done with it, and a person who waits for a prompt still waits.
const PAUSE: Duration = Duration::from_secs(1);

/// Names a service's pair of pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlet(usize);

/// The output of all services and of musterd.
///
/// Its descriptor ([`AsFd`]) becomes readable when there is something to do: one registration (`EPOLLIN`) in the loop's
/// epoll is enough. Call [`Output::ready`] then, and [`Output::flush`] before every wait.
pub struct Output {
    log: Log,
    epoll: Epoll,
    channels: Vec<Channel>,
    services: Vec<Service>,
    /// Two for each service: stdout, stderr.
    pipes: Vec<Pipe>,
    width: usize,
    buffer: Vec<u8>,
    lead: String,
    /// The services whose awaited line came.
    seen: Vec<Outlet>,
}

struct Service {
    name: String,
    pid: Option<Pid>,
    /// What is searched for in its lines.
    awaited: Option<Regex>,
}

struct Pipe {
    read_end: OwnedFd,
    write_end: OwnedFd,
    stream: Stream,
    channel: usize,
    lines: Lines,
    /// When its partial line is given out.
    due: Option<Time>,
}

/// What of a stream is given out.
#[derive(Clone, Copy)]
enum Part {
    /// The lines in the first `count` bytes of the buffer.
    Read { count: usize, now: Time },
    /// The line that has begun, as one that ended so.
    Rest(Ending),
}

impl Output {
    /// The output to this process' stdout and stderr; takes over what `log` receives.
    ///
    /// Fails if descriptor 1 or 2 is closed or there is no descriptor left.
    pub fn new(log: &Log) -> io::Result<Self> {
        Self::to(log, io::stdout().as_fd(), io::stderr().as_fd())
    }

    /// The output to these two, which may be one.
    pub fn to(log: &Log, stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut channels = Vec::new();
        if is_same(stdout, stderr)? {
            channels.push(Channel::new(&epoll, "stdout and stderr", stdout)?);
        } else {
            channels.push(Channel::new(&epoll, "stdout", stdout)?);
            channels.push(Channel::new(&epoll, "stderr", stderr)?);
        }
        log.attach();
        Ok(Self {
            log: log.clone(),
            epoll,
            channels,
            services: Vec::new(),
            pipes: Vec::new(),
            width: render::width(render::OWN_NAME),
            buffer: vec![0; SHARE],
            lead: String::new(),
            seen: Vec::new(),
        })
    }

    /// Leaves room for the names of services that may come, so that all lines begin in one column.
    pub fn make_room<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.width = names.map(render::width).fold(self.width, usize::max);
        self.log.set_width(self.width);
    }

    /// Creates a service's pipes. Fails if there is no descriptor left.
    pub fn add_service(&mut self, name: &str) -> io::Result<Outlet> {
        let pipes = [self.pipe(Stream::Stdout)?, self.pipe(Stream::Stderr)?];
        for (at, pipe) in pipes.iter().enumerate() {
            self.channels[pipe.channel].add_source(pipe.read_end.as_fd(), self.pipes.len() + at)?;
        }
        self.pipes.extend(pipes);
        self.services.push(Service { name: name.to_owned(), pid: None, awaited: None });
        self.width = self.width.max(render::width(name));
        self.log.set_width(self.width);
        Ok(Outlet(self.services.len() - 1))
    }

    /// What the service gets as its stdout.
    pub fn stdout(&self, outlet: Outlet) -> BorrowedFd<'_> {
        self.pipes[2 * outlet.0].write_end.as_fd()
    }

    /// What the service gets as its stderr.
    pub fn stderr(&self, outlet: Outlet) -> BorrowedFd<'_> {
        self.pipes[2 * outlet.0 + 1].write_end.as_fd()
    }

    /// Tells the service's main process, as its lines name it in the JSON form; `None`: it has none.
    pub fn set_pid(&mut self, outlet: Outlet, pid: Option<Pid>) {
        self.services[outlet.0].pid = pid;
    }

    /// From now on a line of the service in which this is found is awaited; `None`: none is.
    pub fn await_line(&mut self, outlet: Outlet, awaited: Option<Regex>) {
        self.services[outlet.0].awaited = awaited;
        self.seen.retain(|&seen| seen != outlet);
    }

    /// The services whose awaited line came, each once; none is awaited of them any more.
    pub fn take_seen(&mut self) -> Vec<Outlet> {
        std::mem::take(&mut self.seen)
    }

    /// Reads from the pipes that have something, from each its share; the rest is for the next turn.
    pub fn ready(&mut self, now: Time) {
        self.read_pipes(now);
    }

    /// Gives out what the service's processes left behind, a partial line too: call it when its main process ended.
    pub fn ended(&mut self, outlet: Outlet, now: Time) {
        self.take_messages();
        for pipe in [2 * outlet.0, 2 * outlet.0 + 1] {
            if !self.channels[self.pipes[pipe].channel].is_held() {
                self.read_share(pipe, now);
                self.give_out(pipe, Part::Rest(Ending::Whole));
            }
        }
    }

    /// When [`Output::flush`] is due without any event.
    pub fn next_deadline(&self) -> Option<Time> {
        self.channels.iter().filter_map(Channel::next_due).min()
    }

    /// Writes what goes without waiting: musterd's messages, lines, and partial lines whose time has come. Call it before
    /// every wait.
    pub fn flush(&mut self, now: Time) {
        for channel in 0..self.channels.len() {
            while let Some(pipe) = self.channels[channel].next_partial(now) {
                self.give_out(pipe, Part::Rest(Ending::Paused));
            }
        }
        // Twice, because a sink that begins or ceases to fail says so.
        for _ in 0..2 {
            self.take_messages();
            for channel in 0..self.channels.len() {
                if self.channels[channel].write(&self.epoll) {
                    self.postpone(channel, now);
                }
            }
        }
    }

    /// Writes musterd's messages in the middle of a turn if many wait: a thousand services that start or crash at once
    /// are told of in one turn. Call it after each message.
    pub fn relieve(&mut self, now: Time) {
        if !self.log.is_filling() {
            return;
        }
        self.take_messages();
        let last = self.channels.len() - 1;
        if self.channels[last].write(&self.epoll) {
            self.postpone(last, now);
        }
    }

    /// Gives out what is left in the pipes, until `deadline` by `clock` at the latest; for the end, when no service runs.
    pub fn finish(&mut self, deadline: Time, mut clock: impl FnMut() -> Time) {
        loop {
            let now = clock();
            let has_read = self.read_pipes(now);
            if !has_read && !self.channels.iter().any(Channel::is_held) {
                (0..self.pipes.len()).for_each(|pipe| self.give_out(pipe, Part::Rest(Ending::Whole)));
            }
            self.flush(now);
            let left = deadline.since(now);
            if left.is_zero() || (!has_read && self.channels.iter().all(Channel::is_done)) {
                return;
            }
            if !has_read {
                // An interrupted wait only means to look again.
                let _ = self.epoll.wait(
                    &mut [EpollEvent::empty()],
                    EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX),
                );
            }
        }
    }

    fn pipe(&self, stream: Stream) -> io::Result<Pipe> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // A service under its own user may open /dev/stdout, that is this pipe, by its name.
        fchmod(&write_end, Mode::from_bits_truncate(0o622))?;
        let channel = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => self.channels.len() - 1,
        };
        Ok(Pipe { read_end, write_end, stream, channel, lines: Lines::default(), due: None })
    }

    /// Whether there was anything to read.
    fn read_pipes(&mut self, now: Time) -> bool {
        self.take_messages();
        let mut has_read = false;
        for channel in 0..self.channels.len() {
            self.channels[channel].look();
            while let Some(pipe) = self.channels[channel].next_source(&self.epoll) {
                has_read |= self.read_share(pipe, now);
            }
        }
        has_read
    }

    fn read_share(&mut self, index: usize, now: Time) -> bool {
        // Nothing to read, or a signal: epoll tells again. There is no end, as musterd holds the write end too.
        let Ok(count @ 1..) = read(&self.pipes[index].read_end, &mut self.buffer) else { return false };
        self.give_out(index, Part::Read { count, now });
        true
    }

    fn give_out(&mut self, index: usize, part: Part) {
        let pipe = &mut self.pipes[index];
        let channel = &mut self.channels[pipe.channel];
        let service = &mut self.services[index / 2];
        let (format, time) = (self.log.format(), wall_clock());
        self.lead.clear();
        let origin = Origin { service: &service.name, stream: pipe.stream, pid: service.pid, time };
        render::lead(format, self.width, &origin, &mut self.lead);
        let queue = channel.queue();
        let (awaited, mut is_seen) = (&service.awaited, false);
        let line = |line: &[u8], ending| {
            let is_in = |regex: &Regex| regex.is_in(&String::from_utf8_lossy(line));
            is_seen = is_seen || awaited.as_ref().is_some_and(is_in);
            render::line(format, &self.lead, line, ending, queue);
        };
        let due = match part {
            Part::Read { count, now } => {
                pipe.lines.push(&self.buffer[..count], line);
                (!pipe.lines.is_empty()).then(|| now + PAUSE)
            }
            Part::Rest(ending) => {
                pipe.lines.flush(ending, line);
                None
            }
        };
        if is_seen {
            service.awaited = None;
            self.seen.push(Outlet(index / 2));
        }
        channel.set_due(index, pipe.due, due);
        pipe.due = due;
    }

    /// Gives partial lines a new pause: while they were held back, nobody looked whether there is more of them.
    fn postpone(&mut self, channel: usize, now: Time) {
        for index in self.channels[channel].partials() {
            let due = Some(now + PAUSE);
            self.channels[channel].set_due(index, self.pipes[index].due, due);
            self.pipes[index].due = due;
        }
    }

    fn take_messages(&mut self) {
        if let Some(channel) = self.channels.last_mut() {
            channel.take_messages(&self.log);
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.log.detach();
    }
}
