//! One of musterd's two streams: its sink and the pipes that flow into it, held back while the sink is full.
//! Reads no pipe and renders no line.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    os::fd::BorrowedFd,
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{
    kept::KeptQueue,
    log::Log,
    pace::{LONGEST_REST, Next},
    sink::{Progress, Sink},
};
use crate::{
    config::{LogFile, Overflow},
    protocol::LogFailure,
    time::Time,
};

/// How many pipes of either kind, those that the kernel tells of and those that it isn't asked for, are served before
/// others come to their turn.
const ROUND: usize = 16;

/// Pipes, and which of them are to be read.
struct Sources {
    /// Tells of those that are not written to all the time.
    epoll: Epoll,
    /// The pipes whose turn it is: all of them are served before it is decided who comes next.
    ready: VecDeque<usize>,
    /// Those that are to be read again without being told of.
    again: VecDeque<usize>,
    /// Those that are read after a rest, and when that is over.
    resting: BTreeSet<(Time, usize)>,
}

impl Sources {
    fn new(outer: &Epoll, channel: usize) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        outer.add(&epoll.0, EpollEvent::new(EpollFlags::EPOLLIN, channel as u64))?;
        Ok(Self { epoll, ready: VecDeque::new(), again: VecDeque::new(), resting: BTreeSet::new() })
    }

    fn add(&self, fd: BorrowedFd<'_>, index: usize) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?)
    }

    fn look(&mut self, now: Time) {
        if !self.ready.is_empty() {
            return;
        }
        let mut events = [EpollEvent::empty(); ROUND];
        // Interrupted: the outer epoll tells again.
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        self.ready.extend(events[..count].iter().map(|event| event.data() as usize));
        while self.resting.first().is_some_and(|&(until, _)| until <= now) {
            self.again.extend(self.resting.pop_first().map(|(_, index)| index));
        }
        let next = self.again.len().min(ROUND);
        self.ready.extend(self.again.drain(..next));
    }

    /// When a pipe is to be read that nobody tells of.
    fn next_read(&self) -> Option<Time> {
        if self.ready.is_empty() && self.again.is_empty() {
            return self.resting.first().map(|&(until, _)| until);
        }
        Some(Time::ZERO)
    }

    /// Puts a pipe where it is when it is read at `next`; returns when it will be.
    fn settle(&mut self, fd: BorrowedFd<'_>, index: usize, (old, next): (Next, Next), now: Time) -> Next {
        match (old, next) {
            (Next::Told, Next::Told) => return next,
            // Cannot fail: it is there (epoll_ctl(2)).
            (Next::Told, Next::Again | Next::Rest(_)) => drop(self.epoll.delete(fd)),
            (Next::Again | Next::Rest(_), Next::Told) if self.add(fd, index).is_ok() => return next,
            (Next::Again | Next::Rest(_), _) => {}
        }
        match next {
            Next::Again => {
                self.again.push_back(index);
                next
            }
            // There is no memory to be told of it.
            Next::Told => self.rest(index, LONGEST_REST, now),
            Next::Rest(rest) => self.rest(index, rest, now),
        }
    }

    fn rest(&mut self, index: usize, rest: Duration, now: Time) -> Next {
        self.resting.insert((now + rest, index));
        Next::Rest(rest)
    }
}

/// A pipe that flows into a channel.
pub(super) struct Source<'a> {
    pub(super) fd: BorrowedFd<'a>,
    /// What [`Channel::next_source`] calls it.
    pub(super) index: usize,
    pub(super) overflow: Overflow,
}

/// A sink and its pipes.
///
/// The pipes are in an epoll of their own, which is in the outer one: to hold them all back is one system call, however
/// many they are. While there is a backlog that the reader doesn't take, the sink is in the outer one too.
pub(super) struct Channel {
    sink: Sink,
    /// Its own number, in the outer epoll.
    index: usize,
    sources: Sources,
    /// The pipes that are read while the others are held back, and lose what they hold.
    dropping: Option<Sources>,
    /// When partial lines are to be given out.
    due: BTreeSet<(Time, usize)>,
    held: bool,
    watched: bool,
}

impl Channel {
    /// A channel to the sink, within the epoll `outer`, which calls it `index`.
    pub(super) fn new(outer: &Epoll, index: usize, sink: Sink) -> io::Result<Self> {
        Ok(Self {
            sink,
            index,
            sources: Sources::new(outer, index)?,
            dropping: None,
            due: BTreeSet::new(),
            held: false,
            watched: false,
        })
    }

    /// Adds a pipe.
    pub(super) fn add_source(&mut self, outer: &Epoll, source: Source<'_>) -> io::Result<()> {
        let Source { fd, index, overflow } = source;
        let sources = match overflow {
            Overflow::Hold => &self.sources,
            Overflow::Drop => match &mut self.dropping {
                Some(dropping) => dropping,
                none => none.insert(Sources::new(outer, self.index)?),
            },
        };
        sources.add(fd, index)
    }

    /// Removes a pipe that was added so.
    pub(super) fn remove_source(&mut self, source: &Source<'_>) {
        let index = source.index;
        let sources = self.sources_of(source.overflow);
        // It is not there while it is read without being told of.
        let _ = sources.epoll.delete(source.fd);
        sources.ready.retain(|&ready| ready != index);
        sources.again.retain(|&again| again != index);
        sources.resting.retain(|&(_, resting)| resting != index);
    }

    /// Asks which pipes have something, unless some are still to be served.
    pub(super) fn look(&mut self, now: Time) {
        self.readable_mut().for_each(|sources| sources.look(now));
    }

    /// When pipes are to be read though nobody tells of them.
    pub(super) fn next_read(&self) -> Option<Time> {
        let sources = Some(&self.sources).filter(|_| !self.held);
        sources.into_iter().chain(&self.dropping).filter_map(Sources::next_read).min()
    }

    /// Ends the rests of all pipes.
    pub(super) fn end_rests(&mut self) {
        for sources in self.readable_mut() {
            sources.again.extend(std::mem::take(&mut sources.resting).into_iter().map(|(_, index)| index));
        }
    }

    /// Puts a pipe where it is read as was decided; before it was to be read as `old` tells. Returns when it will be:
    /// where there is no memory to be told of it, after a rest.
    pub(super) fn settle(&mut self, source: Source<'_>, (old, next): (Next, Next), now: Time) -> Next {
        let Source { fd, index, overflow } = source;
        self.sources_of(overflow).settle(fd, index, (old, next), now)
    }

    fn sources_of(&mut self, overflow: Overflow) -> &mut Sources {
        match (overflow, &mut self.dropping) {
            (Overflow::Drop, Some(dropping)) => dropping,
            (Overflow::Hold, _) | (Overflow::Drop, None) => &mut self.sources,
        }
    }

    fn readable_mut(&mut self) -> impl Iterator<Item = &mut Sources> {
        Some(&mut self.sources).filter(|_| !self.held).into_iter().chain(&mut self.dropping)
    }

    /// The next pipe to read from; `None` when the turn is over or the sink is full.
    pub(super) fn next_source(&mut self, outer: &Epoll) -> Option<usize> {
        self.write_batch();
        if self.sink.is_full() {
            self.hold(outer, true);
        }
        let held = if self.held { None } else { self.sources.ready.pop_front() };
        held.or_else(|| self.dropping.as_mut()?.ready.pop_front())
    }

    /// Writes in the middle of a turn where that is worth it.
    pub(super) fn write_batch(&mut self) {
        if self.sink.has_batch() {
            self.sink.write();
        }
    }

    /// Whether lines are dropped that may be.
    pub(super) fn is_full(&self) -> bool {
        self.sink.is_full()
    }

    /// Whether lines are dropped that nobody can be held back for.
    pub(super) fn is_overfull(&self) -> bool {
        self.sink.is_overfull()
    }

    /// Whether lines keep their form.
    pub(super) fn is_file(&self) -> bool {
        self.sink.is_file()
    }

    /// From now on what waits in the sink outlives musterd.
    pub(super) fn keep(&mut self, queue: Option<KeptQueue>) {
        if let Some(queue) = queue {
            self.sink.keep(queue);
        }
    }

    /// Copies what is new in the sink's queue to where it is kept; the place and the end that it has with it.
    pub(super) fn copy(&mut self) -> Option<(usize, u64)> {
        self.sink.copy()
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        self.sink.name()
    }

    /// Tells how much was lost there, if nothing can be written to the end.
    pub(super) fn tell_loss(&mut self) {
        self.sink.tell_loss();
    }

    /// Why what is written there is lost.
    pub(super) fn failure(&self) -> Option<LogFailure> {
        self.sink.failure()
    }

    /// Opens a log file anew.
    pub(super) fn reopen(&mut self) {
        self.sink.reopen();
    }

    /// From now on its log file is limited so.
    pub(super) fn change_file(&mut self, file: &LogFile) {
        self.sink.change_file(file);
    }

    /// The end of the sink's queue, to append whole lines to.
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        self.sink.queue()
    }

    /// Takes over musterd's own messages; those that find no room wait in the log, which is bounded itself.
    pub(super) fn take_messages(&mut self, log: &Log) {
        if !self.sink.is_full() {
            log.take(self.sink.queue());
        }
    }

    /// Writes what goes without waiting, and watches the sink while more is left. True if its pipes, which were held
    /// back, are free again.
    pub(super) fn write(&mut self, outer: &Epoll) -> bool {
        let blocked = self.sink.write() == Progress::Blocked;
        if blocked != self.watched {
            let changed = if blocked {
                outer.add(&self.sink, EpollEvent::new(EpollFlags::EPOLLOUT, self.index as u64))
            } else {
                outer.delete(&self.sink)
            };
            match changed {
                Ok(()) => self.watched = blocked,
                // What cannot be watched cannot be waited for.
                Err(errno) => self.sink.lose(errno),
            }
        }
        if self.sink.is_full() {
            self.hold(outer, true);
        }
        let free = self.held && self.sink.has_room();
        if free {
            self.hold(outer, false);
        }
        free
    }

    /// Whether its pipes are held back.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether nothing waits in it.
    pub(super) fn is_done(&self) -> bool {
        !self.held && self.sink.backlog() == 0
    }

    /// Changes when a pipe's partial line is to be given out.
    pub(super) fn set_due(&mut self, index: usize, old: Option<Time>, new: Option<Time>) {
        if let Some(old) = old {
            self.due.remove(&(old, index));
        }
        self.due.extend(new.map(|new| (new, index)));
    }

    /// When the next partial line is to be given out: not while there is no room for it.
    pub(super) fn next_due(&self) -> Option<Time> {
        if self.held { None } else { self.due.first().map(|&(time, _)| time) }
    }

    /// A pipe whose partial line is to be given out now.
    pub(super) fn next_partial(&self, now: Time) -> Option<usize> {
        let &(time, index) = self.due.first()?;
        (time <= now && !self.held && !self.sink.is_full()).then_some(index)
    }

    /// The pipes with a partial line.
    pub(super) fn partials(&self) -> Vec<usize> {
        self.due.iter().map(|&(_, index)| index).collect()
    }

    fn hold(&mut self, outer: &Epoll, held: bool) {
        let interest = if held { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
        // Fails only for descriptors that aren't open epolls, which these are (epoll_ctl(2)).
        let _ = outer.modify(&self.sources.epoll.0, &mut EpollEvent::new(interest, self.index as u64));
        self.held = held;
    }
}
