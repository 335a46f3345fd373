//! Carries the services' lines, and musterd's own messages, to musterd's stdout and stderr without ever waiting.
//! Knows nothing of why a service runs.
//!
//! Each service has one pipe for stdout and one for stderr as long as it is configured. musterd holds both ends, so a
//! restart costs no pipe, a grandchild that keeps one does no harm, and none ever ends.
//!
//! Memory: for each of musterd's own streams a queue of 256 KiB and what one turn adds, and 512 KiB of what was left in
//! pipes that are closed; for each service at most two partial lines of 64 KiB and its history (`log.memory`, twice
//! where that grows by doubling).

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use memchr::memchr;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout},
    unistd::read,
};
use rustix::{io::ioctl_fionread, termios::isatty};

pub use super::history::{Page, Wanted};
use super::{
    channel::{Channel, Source},
    feed::{Feed, Fifos, file_name},
    history::{History, whole_lines},
    kept::Kept,
    lines::{Ending, Lines},
    log::{Log, wall_clock},
    pace::{LARGE, Pace, USUAL},
    render::{self, Origin, Stream},
    sink::{Sink, is_same},
};
mod renewal;

use crate::{
    config::{Destination, Logging, Overflow, Regex},
    process::Pid,
    protocol::{LogFailure, LogStream},
    text::{printable, reason},
    time::Time,
};

/// What is read from one pipe before it is the next one's turn.
const SHARE: usize = USUAL;

/// After so much a turn is over, a third of a millisecond: what ended is to be started again.
const TURN: usize = 512 * 1024;

/// So many pipes at a time are made larger: what is in them is in the kernel's memory.
const LARGE_PIPES: usize = 16;

/// After this long without more of it, a partial line is given out: a program that writes a line in pieces, as one that
/// tells its progress (`migrating ... done`), is done with it, and a person who waits for a prompt still waits.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is told at most that lines were dropped: who is slow need not be told so at every line.
const DROPS_TOLD: Duration = Duration::from_secs(1);

/// How many channels are served in one turn of the loop: there are two, and one for each log file.
const CHANNELS_A_TURN: usize = 64;

/// Names a service's pair of pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlet(pub(super) usize);

/// The output of all services and of musterd.
///
/// Its descriptor ([`AsFd`]) becomes readable when there is something to do: one registration (`EPOLLIN`) in the loop's
/// epoll is enough. Call [`Output::ready`] then and when [`Output::is_due`], and [`Output::flush`] before every wait.
pub struct Output {
    log: Log,
    epoll: Epoll,
    /// musterd's stdout and stderr, or both in one; then log files.
    channels: Vec<Channel>,
    /// musterd's stdout and stderr.
    own: [Own; 2],
    files: HashMap<PathBuf, usize>,
    /// Where services' FIFOs are; `None`: they get pipes.
    fifos: Option<Fifos>,
    /// What outlives musterd, where its services do.
    kept: Option<Kept>,
    history: History,
    services: Vec<Service>,
    /// Places of services that were removed, for those that come.
    free: Vec<usize>,
    /// Two for each service: stdout, stderr.
    pipes: Vec<End>,
    /// The services that lines were dropped of, and when that is told.
    dropping: BTreeSet<usize>,
    drops_due: Option<Time>,
    width: usize,
    buffer: Vec<u8>,
    lead: String,
    /// How many pipes are larger than usual.
    large: usize,
    /// The channel that is served first in the next turn.
    first: usize,
    /// The services whose awaited line came.
    seen: Vec<Outlet>,
}

/// One of musterd's own streams.
struct Own {
    fd: OwnedFd,
    channel: usize,
    /// Whether names on it have colours.
    colour: bool,
}

struct Service {
    /// Its name, without anything that could steer a terminal.
    name: String,
    pid: Option<Pid>,
    /// Where its output goes; `None`: not all of it goes where it was to go.
    logging: Option<Logging>,
    /// What is searched for in its lines.
    awaited: Option<Regex>,
    /// How many lines were dropped that nobody was told of.
    dropped: usize,
}

/// What a service has as its stdout or stderr.
enum End {
    /// What musterd reads from.
    Pipe(Pipe),
    /// Something that musterd has no part in.
    Direct(OwnedFd),
    /// Nothing: the service was removed.
    Gone,
}

struct Pipe {
    feed: Feed,
    stream: Stream,
    overflow: Overflow,
    channel: usize,
    /// Where it is kept what was read of it.
    place: Option<usize>,
    lines: Lines,
    pace: Pace,
    /// Whether it is closed when it is empty: who wrote there can be held back no more.
    is_closing: bool,
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
            channels.push(Channel::new(&epoll, 0, Sink::new("stdout and stderr", stdout)?)?);
        } else {
            channels.push(Channel::new(&epoll, 0, Sink::new("stdout", stdout)?)?);
            channels.push(Channel::new(&epoll, 1, Sink::new("stderr", stderr)?)?);
        }
        let own = |fd: BorrowedFd<'_>, channel| -> io::Result<Own> {
            Ok(Own { fd: fd.try_clone_to_owned()?, channel, colour: false })
        };
        let own = [own(stdout, 0)?, own(stderr, channels.len() - 1)?];
        log.attach();
        Ok(Self {
            log: log.clone(),
            epoll,
            channels,
            own,
            files: HashMap::new(),
            fifos: None,
            kept: None,
            history: History::default(),
            services: Vec::new(),
            free: Vec::new(),
            pipes: Vec::new(),
            dropping: BTreeSet::new(),
            drops_due: None,
            width: render::width(render::OWN_NAME),
            buffer: vec![0; SHARE],
            lead: String::new(),
            large: 0,
            first: 0,
            seen: Vec::new(),
        })
    }

    /// Leaves room for the names of services that may come, so that all lines begin in one column.
    pub fn make_room<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.width = names.map(|name| render::width(&printable(name))).fold(self.width, usize::max);
        self.log.set_width(self.width);
    }

    /// From now on names have colours where they go to a terminal.
    pub fn allow_colours(&mut self) {
        for own in &mut self.own {
            own.colour = isatty(&own.fd);
        }
    }

    /// Services that are added from now on get FIFOs in this folder, which is musterd's own: what they write while
    /// there is no musterd is read when one is back. Those of other services than these are removed.
    ///
    /// # Errors
    /// There can be none: services get pipes.
    pub fn keep_fifos<'a>(&mut self, folder: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
        self.fifos = Some(Fifos::open(folder, names)?);
        match Kept::open(folder) {
            Ok(mut kept) => {
                for channel in &mut self.channels {
                    channel.keep(kept.queue(channel.name()));
                }
                self.kept = Some(kept);
            }
            Err(error) => {
                let consequence = "what was read and not yet written is lost if musterd is killed";
                tracing::warn!(cause = reason(&error), consequence, "cannot keep the services' output");
            }
        }
        Ok(())
    }

    /// Goes on with what a musterd that was killed had read, of the services that have their pipes again.
    pub fn resume(&mut self, now: Time) {
        let Some(kept) = &self.kept else { return };
        if let Some((place, count)) = kept.left(&mut self.buffer) {
            let is_there = |end: &End| matches!(end, End::Pipe(pipe) if pipe.place == Some(place));
            match self.pipes.iter().position(is_there) {
                Some(index) => self.give_out(index, Part::Read { count, now }),
                None => kept.commit(None, None),
            }
        }
        for index in 0..self.pipes.len() {
            let End::Pipe(pipe) = &mut self.pipes[index] else { continue };
            if pipe.due.is_none() && !pipe.lines.is_empty() {
                pipe.due = Some(now + PAUSE);
                self.channels[pipe.channel].set_due(index, None, pipe.due);
            }
        }
    }

    /// Whether a musterd before this one left FIFOs of a service of this name.
    pub fn has_left(&self, name: &str) -> bool {
        self.fifos.as_ref().is_some_and(|fifos| fifos.has_left(name))
    }

    /// Creates a service's pipes. Fails if there is no descriptor left.
    pub fn add_service(&mut self, name: &str) -> io::Result<Outlet> {
        self.add_service_as(name, &Logging::default())
    }

    /// Creates what a service with such keys writes into. Fails if there is no descriptor left.
    pub fn add_service_as(&mut self, name: &str, logging: &Logging) -> io::Result<Outlet> {
        let place = self.free.last().copied().unwrap_or(self.services.len());
        let at = 2 * place;
        let ends = [(Stream::Stdout, &logging.stdout), (Stream::Stderr, &logging.stderr)];
        let mut made = Vec::new();
        for (stream, destination) in ends {
            match self.end(name, stream, destination, logging.overflow, at + made.len()) {
                Ok(end) => made.push(end),
                Err(error) => {
                    made.iter().for_each(|end| self.release(end));
                    return Err(error);
                }
            }
        }
        let shown = printable(name);
        self.width = self.width.max(render::width(&shown));
        self.history.add(place, name, logging.memory);
        let logging = Some(logging.clone());
        let service = Service { name: shown, pid: None, logging, awaited: None, dropped: 0 };
        if self.free.pop().is_some() {
            self.pipes.splice(at..at + 2, made);
            self.services[place] = service;
        } else {
            self.pipes.extend(made);
            self.services.push(service);
        }
        self.log.set_width(self.width);
        Ok(Outlet(place))
    }

    /// What the service gets as its stdout.
    pub fn stdout(&self, outlet: Outlet) -> BorrowedFd<'_> {
        self.pipes[2 * outlet.0].given()
    }

    /// What the service gets as its stderr.
    pub fn stderr(&self, outlet: Outlet) -> BorrowedFd<'_> {
        self.pipes[2 * outlet.0 + 1].given()
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

    /// Reads from the pipes that have something, from each its share; the rest is for the next turn. Returns how many
    /// bytes that were.
    pub fn ready(&mut self, now: Time) -> usize {
        self.read_pipes(now)
    }

    /// Gives out what the service's processes left behind, a partial line too: call it when its main process ended.
    pub fn ended(&mut self, outlet: Outlet, now: Time) {
        self.take_messages();
        for index in [2 * outlet.0, 2 * outlet.0 + 1] {
            let End::Pipe(pipe) = &self.pipes[index] else { continue };
            if !self.channels[pipe.channel].is_held() {
                self.empty(index, now);
                self.give_out(index, Part::Rest(Ending::Whole));
            }
        }
    }

    /// Opens the log files anew, after somebody has renamed them.
    pub fn reopen(&mut self) {
        self.channels.iter_mut().for_each(Channel::reopen);
    }

    /// Puts what was decided about a service among its lines.
    pub fn mark(&mut self, outlet: Outlet, pid: Option<Pid>, text: &str) {
        let text = printable(text) + "\n";
        let origin = (LogStream::Musterd, pid);
        self.history.keep(outlet.0, origin, wall_clock(), Ending::Whole, text.as_bytes());
    }

    /// The last lines of services.
    pub fn page(&self, wanted: &Wanted) -> Page {
        self.history.page(wanted)
    }

    /// Whether there are lines after this number.
    pub fn has_after(&self, services: &[Outlet], after: u64) -> bool {
        self.history.has_after(services, after)
    }

    /// The places where lines of a service are lost just now.
    pub fn log_failures(&self, outlet: Outlet) -> Vec<LogFailure> {
        let ends = self.pipes[2 * outlet.0..][..2].iter();
        let channels: BTreeSet<usize> = ends.filter_map(End::channel).collect();
        channels.into_iter().filter_map(|channel| self.channels[channel].failure()).collect()
    }

    /// When [`Output::flush`] or [`Output::ready`] is due without any event.
    pub fn next_deadline(&self) -> Option<Time> {
        let drops = self.drops_due.filter(|_| !self.channels.iter().any(Channel::is_held));
        self.channels.iter().filter_map(Channel::next_due).chain(drops).chain(self.next_read()).min()
    }

    /// Whether [`Output::ready`] is due without any event.
    pub fn is_due(&self, now: Time) -> bool {
        self.next_read().is_some_and(|next| next <= now)
    }

    fn next_read(&self) -> Option<Time> {
        self.channels.iter().filter_map(Channel::next_read).min()
    }

    /// Writes what goes without waiting: musterd's messages, lines, and partial lines whose time has come. Call it before
    /// every wait.
    pub fn flush(&mut self, now: Time) {
        for channel in 0..self.channels.len() {
            while let Some(pipe) = self.channels[channel].next_partial(now) {
                self.give_out(pipe, Part::Rest(Ending::Paused));
            }
        }
        self.tell_drops(now);
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
        let last = self.own[1].channel;
        if self.channels[last].write(&self.epoll) {
            self.postpone(last, now);
        }
    }

    /// Gives out what is left in the pipes, until `deadline` by `clock` at the latest; for the end, when no service runs.
    pub fn finish(&mut self, deadline: Time, mut clock: impl FnMut() -> Time) {
        loop {
            let now = clock();
            self.channels.iter_mut().for_each(Channel::end_rests);
            let has_read = self.read_pipes(now) > 0;
            if !has_read && !self.channels.iter().any(Channel::is_held) {
                (0..self.pipes.len()).for_each(|pipe| self.give_out(pipe, Part::Rest(Ending::Whole)));
                self.drops_due = self.drops_due.map(|_| now);
            }
            self.flush(now);
            let left = deadline.since(now);
            if left.is_zero() || (!has_read && self.channels.iter().all(Channel::is_done)) {
                self.kept.iter().for_each(Kept::forget);
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

    /// What a service gets as one of its streams.
    fn end(
        &mut self,
        service: &str,
        stream: Stream,
        destination: &Destination,
        overflow: Overflow,
        index: usize,
    ) -> io::Result<End> {
        let channel = match destination {
            Destination::Raw => return Ok(End::Direct(self.own[stream as usize].fd.try_clone()?)),
            Destination::None => {
                return Ok(End::Direct(File::options().write(true).open("/dev/null")?.into()));
            }
            Destination::Prefix | Destination::File(_) => self.channel(stream, destination)?,
        };
        let fifo = self.fifos.as_mut().map(|fifos| fifos.feed(service, stream));
        let feed = match fifo {
            Some(Ok(feed)) => feed,
            Some(Err(_)) | None => Feed::pipe()?,
        };
        let source = Source { fd: feed.read_end.as_fd(), index, overflow };
        self.channels[channel].add_source(&self.epoll, source)?;
        let place = self.kept.as_mut().and_then(|kept| kept.pipe(&file_name(service, stream)));
        let begun = self.kept.as_ref().zip(place).map(|(kept, place)| kept.partial(place));
        let (lines, pace) = (Lines::begun(begun.unwrap_or_default()), Pace::default());
        let (is_closing, due) = (false, None);
        Ok(End::Pipe(Pipe { feed, stream, overflow, channel, place, lines, pace, is_closing, due }))
    }

    /// Nothing is kept of it any more.
    fn release(&mut self, end: &End) {
        if let (End::Pipe(Pipe { place: Some(place), .. }), Some(kept)) = (end, &mut self.kept) {
            kept.release(*place);
        }
    }

    /// The channel to a destination that musterd itself writes to.
    fn channel(&mut self, stream: Stream, destination: &Destination) -> io::Result<usize> {
        let Destination::File(file) = destination else { return Ok(self.own[stream as usize].channel) };
        if let Some(&channel) = self.files.get(&file.path) {
            self.channels[channel].change_file(file);
            return Ok(channel);
        }
        let channel = self.channels.len();
        let mut made = Channel::new(&self.epoll, channel, Sink::file(file)?)?;
        made.keep(self.kept.as_mut().and_then(|kept| kept.queue(made.name())));
        self.channels.push(made);
        self.files.insert(file.path.clone(), channel);
        Ok(channel)
    }

    /// How many bytes were read.
    fn read_pipes(&mut self, now: Time) -> usize {
        self.take_messages();
        let mut sum = 0;
        let mut events = [EpollEvent::empty(); CHANNELS_A_TURN];
        // Interrupted: the loop's epoll tells again.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let mut turn: BTreeSet<usize> = events[..count].iter().map(|event| event.data() as usize).collect();
        let is_due = |channel: &Channel| channel.next_read().is_some_and(|next| next <= now);
        turn.extend((0..self.channels.len()).filter(|&channel| is_due(&self.channels[channel])));
        let first = std::mem::take(&mut self.first);
        for &channel in turn.range(first..).chain(turn.range(..first)) {
            self.channels[channel].look(now);
            while let Some(pipe) = self.channels[channel].next_source(&self.epoll) {
                let count = self.read_share(pipe, now);
                self.settle(pipe, count, now);
                sum += count;
                if sum >= TURN {
                    self.first = channel + 1;
                    return sum;
                }
            }
        }
        sum
    }

    /// Decides when a pipe is read again of which so many bytes were read, and how much it holds till then.
    fn settle(&mut self, index: usize, count: usize, now: Time) {
        let End::Pipe(pipe) = &mut self.pipes[index] else { return };
        let old = pipe.pace.next();
        let next = pipe.pace.decide(count, now);
        let (room, wanted) = (pipe.pace.room(), pipe.pace.wanted_room());
        let may = wanted < room || self.large < LARGE_PIPES;
        if wanted != room && may && set_room(&pipe.feed.read_end, wanted).is_ok() {
            self.large = if wanted == LARGE { self.large + 1 } else { self.large - 1 };
            pipe.pace.set_room(wanted);
        }
        let source = Source { fd: pipe.feed.read_end.as_fd(), index, overflow: pipe.overflow };
        self.channels[pipe.channel].settle(source, (old, next), now);
    }

    /// Reads what a pipe holds now: one who writes on does not hold anybody up for longer.
    fn empty(&mut self, index: usize, now: Time) {
        let End::Pipe(pipe) = &self.pipes[index] else { return };
        let channel = pipe.channel;
        // Cannot fail for a pipe (ioctl_fionread(2)).
        let mut left = ioctl_fionread(&pipe.feed.read_end).unwrap_or(0);
        while left > 0 {
            self.channels[channel].write_batch();
            match self.read_share(index, now) {
                0 => return,
                count => left = left.saturating_sub(count as u64),
            }
        }
    }

    fn read_share(&mut self, index: usize, now: Time) -> usize {
        let End::Pipe(pipe) = &self.pipes[index] else { return 0 };
        // Nothing to read, or a signal: epoll tells again. There is no end, as musterd holds the write end too.
        let from = &pipe.feed.read_end;
        let read = match &self.kept {
            Some(kept) => kept.read(from, pipe.place, &mut self.buffer),
            None => read(from, &mut self.buffer),
        };
        let Ok(count @ 1..) = read else { return 0 };
        self.give_out(index, Part::Read { count, now });
        count
    }

    fn give_out(&mut self, index: usize, part: Part) {
        let End::Pipe(pipe) = &mut self.pipes[index] else { return };
        if let (Part::Rest(_), true) = (part, pipe.lines.is_empty()) {
            return;
        }
        let at = index / 2;
        let channel = &mut self.channels[pipe.channel];
        let service = &mut self.services[at];
        let (format, time) = (self.log.format(), wall_clock());
        let is_file = channel.is_file();
        self.lead.clear();
        if !is_file {
            let own = &self.own[pipe.stream as usize];
            let origin = Origin {
                service: &service.name,
                stream: pipe.stream,
                pid: service.pid,
                time,
                shows_time: self.log.has_times(),
                colour: own.colour.then(|| render::colour(at)),
            };
            render::lead(format, self.width, &origin, &mut self.lead);
        }
        let drops = match pipe.overflow {
            Overflow::Drop => channel.is_full(),
            Overflow::Hold => pipe.is_closing && channel.is_overfull(),
        };
        let queue = channel.queue();
        let (awaited, mut is_seen) = (&service.awaited, false);
        let origin = (pipe.stream.into(), service.pid);
        // What came in one piece is kept in one piece: only a line that began earlier is not in the buffer.
        let has_begun = !pipe.lines.is_empty();
        let mut apart = has_begun;
        let history = &mut self.history;
        let (mut dropped, mut joined) = (0, Vec::new());
        let line = |line: &[u8], ending| {
            let is_in = |regex: &Regex| regex.is_in(&String::from_utf8_lossy(line));
            is_seen = is_seen || awaited.as_ref().is_some_and(is_in);
            if apart {
                joined.clear();
                joined.extend_from_slice(line);
                if ending == Ending::Whole {
                    joined.push(b'\n');
                    apart = false;
                }
                history.keep(at, origin, time, ending, &joined);
            }
            match (drops, is_file) {
                (true, _) => dropped += 1,
                (false, true) => render::plain(line, ending, queue),
                (false, false) => render::line(format, &self.lead, line, ending, queue),
            }
        };
        let due = match part {
            Part::Read { count, now } => {
                let bytes = &self.buffer[..count];
                let begun = if has_begun { memchr(b'\n', bytes).map_or(count, |end| end + 1) } else { 0 };
                pipe.lines.push(bytes, line);
                history.keep(at, origin, time, Ending::Whole, whole_lines(&bytes[begun..]));
                // Nobody waits for a prompt in a file.
                (!pipe.lines.is_empty() && !is_file).then(|| now + PAUSE)
            }
            Part::Rest(ending) => {
                pipe.lines.flush(ending, line);
                None
            }
        };
        if is_seen {
            service.awaited = None;
            self.seen.push(Outlet(at));
        }
        if dropped > 0 {
            service.dropped += dropped;
            self.dropping.insert(at);
        }
        channel.set_due(index, pipe.due, due);
        pipe.due = due;
        if let Some(kept) = &self.kept {
            let partial = pipe.place.map(|place| (place, pipe.lines.partial()));
            kept.commit(partial, channel.copy());
        }
    }

    /// Tells how many lines were dropped, once there is room for that.
    fn tell_drops(&mut self, now: Time) {
        if self.dropping.is_empty() {
            self.drops_due = None;
            return;
        }
        if self.channels[self.own[1].channel].is_full() {
            return;
        }
        if *self.drops_due.get_or_insert(now + DROPS_TOLD) > now {
            return;
        }
        self.drops_due = None;
        while let Some(&at) = self.dropping.first() {
            self.tell_drops_of(at);
        }
    }

    fn tell_drops_of(&mut self, at: usize) {
        if self.dropping.remove(&at) {
            let service = &mut self.services[at];
            let lines = std::mem::take(&mut service.dropped);
            let cause = "more came than the reader of musterd's output took";
            tracing::warn!(service = service.name, dropped_lines = lines, cause, "lines were dropped");
        }
    }

    /// Gives partial lines a new pause: while they were held back, nobody looked whether there is more of them.
    fn postpone(&mut self, channel: usize, now: Time) {
        for index in self.channels[channel].partials() {
            let End::Pipe(pipe) = &mut self.pipes[index] else { continue };
            let due = Some(now + PAUSE);
            self.channels[channel].set_due(index, pipe.due, due);
            pipe.due = due;
        }
    }

    fn take_messages(&mut self) {
        self.channels[self.own[1].channel].take_messages(&self.log);
    }
}

/// Makes a pipe hold so many bytes; the kernel refuses it to an ordinary user who has many (pipe(7)).
fn set_room(pipe: &OwnedFd, room: usize) -> Result<(), Errno> {
    let room = i32::try_from(room).map_err(|_| Errno::EINVAL)?;
    fcntl(pipe, FcntlArg::F_SETPIPE_SZ(room)).map(drop)
}

impl End {
    /// Where musterd takes what it reads.
    fn channel(&self) -> Option<usize> {
        match self {
            End::Pipe(pipe) => Some(pipe.channel),
            End::Direct(_) | End::Gone => None,
        }
    }

    /// What the service gets.
    fn given(&self) -> BorrowedFd<'_> {
        match self {
            End::Pipe(pipe) => pipe.feed.write_end.as_fd(),
            End::Direct(fd) => fd.as_fd(),
            End::Gone => unreachable!("an outlet that was removed is given to nobody"),
        }
    }
}

impl From<Stream> for LogStream {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
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
