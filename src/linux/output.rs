//! Carries the services' lines, and musterd's own messages, to musterd's stdout and stderr without ever waiting.
//! Knows nothing of why a service runs.
//!
//! Each service has one pipe for stdout and one for stderr as long as it is configured. musterd holds both ends, so a
//! restart costs no pipe, a grandchild that keeps one does no harm, and none ever ends.
//!
//! Memory: for each of musterd's own streams a queue of 256 KiB and what one turn adds, and 512 KiB of what services that
//! have ended or are no more left in their pipes; for each service at most two partial lines of 64 KiB and its history (`log.memory`, twice
//! where that grows by doubling).

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags};
use rustix::termios::isatty;

mod opening;
mod reading;
mod renewal;
mod writing;

pub use super::history::{Page, Wanted};
use super::{
    channel::Channel,
    feed::{Feed, Fifos},
    history::History,
    kept::Kept,
    lines::{Ending, Lines},
    log::{Log, wall_clock},
    pace::{Pace, USUAL},
    render::{self, Stream},
    sink::{Sink, is_same},
};
use crate::{
    config::{Logging, Overflow, Regex},
    process::Pid,
    protocol::{LogFailure, LogStream},
    text::printable,
    time::Time,
};

/// What is read from one pipe before it is the next one's turn.
const SHARE: usize = USUAL;

/// After this long without more of it, a partial line is given out: a program that writes a line in pieces, as one that
/// tells its progress (`migrating ... done`), is done with it, and a person who waits for a prompt still waits.
const PAUSE: Duration = Duration::from_secs(1);

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
