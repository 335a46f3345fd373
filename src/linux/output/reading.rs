//! Reads the pipes by turns, from each its share. Gives lines no form.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::epoll::{EpollEvent, EpollTimeout},
    unistd::read,
};
use rustix::io::ioctl_fionread;

use super::{End, Outlet, Output, writing::Part};
use crate::{
    linux::{
        channel::{Channel, Source},
        kept::Kept,
        lines::Ending,
    },
    time::Time,
};

/// After so much a turn is over, a third of a millisecond: what ended is to be started again.
const TURN: usize = 512 * 1024;

/// So many pipes at a time are made larger: what is in them is in the kernel's memory.
const LARGE_PIPES: usize = 16;

/// How many channels are served in one turn of the loop: there are two, and one for each log file.
const CHANNELS_A_TURN: usize = 64;

impl Output {
    /// Gives out what the service's processes have written. A line that has begun is given out too, if it `is_last` for
    /// certain, or else if nobody seems to go on with it: who writes more than a pipe holds fills it each time that it is read.
    ///
    /// While nobody reads musterd's output, that is queued as far as there is room.
    pub fn flush_lines(&mut self, outlet: Outlet, is_last: bool, now: Time) {
        self.take_messages();
        for index in [2 * outlet.0, 2 * outlet.0 + 1] {
            let End::Pipe(pipe) = &self.pipes[index] else { continue };
            if self.channels[pipe.channel].is_overfull() {
                continue;
            }
            let room = pipe.pace.room();
            let left = self.left_in(index);
            let may_go_on = !is_last && left >= room / 2;
            self.read_left(index, left, now);
            if !may_go_on && self.has_begun(index) && (is_last || self.left_in(index) == 0) {
                self.give_out(index, Part::Rest(Ending::Whole));
            }
        }
    }

    /// Gives out what is left in the pipes, until `deadline` by `clock` at the latest; for the end, when no service runs.
    pub fn finish(&mut self, deadline: Time, mut clock: impl FnMut() -> Time) {
        loop {
            let now = clock();
            self.channels.iter_mut().for_each(Channel::end_rests);
            let has_read = self.ready(now) > 0 || self.is_due(now);
            if !has_read && !self.channels.iter().any(Channel::is_held) {
                (0..self.pipes.len()).for_each(|pipe| self.give_out(pipe, Part::Rest(Ending::Whole)));
                self.drops_due = self.drops_due.map(|_| now);
            }
            self.flush(now);
            let left = deadline.since(now);
            if left.is_zero() || (!has_read && self.channels.iter().all(Channel::is_done)) {
                self.channels.iter_mut().for_each(Channel::tell_loss);
                self.flush(now);
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

    /// Reads from the pipes that have something, from each its share; the rest is for the next turn. Returns how many
    /// bytes that were.
    pub fn ready(&mut self, now: Time) -> usize {
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
        if let Some(room) = pipe.pace.wanted_room(self.large < LARGE_PIPES) {
            self.large -= usize::from(pipe.pace.is_large());
            // The kernel refuses it to an ordinary user who has many (pipe(7)).
            pipe.pace.set_room(set_room(&pipe.feed.read_end, room).ok());
            self.large += usize::from(pipe.pace.is_large());
        }
        let source = Source { fd: pipe.feed.read_end.as_fd(), index, overflow: pipe.overflow };
        let settled = self.channels[pipe.channel].settle(source, (old, next), now);
        pipe.pace.set_next(settled);
    }

    /// Reads what a pipe holds now: one who writes on does not hold anybody up for longer.
    pub(super) fn empty(&mut self, index: usize, now: Time) {
        self.read_left(index, self.left_in(index), now);
    }

    fn read_left(&mut self, index: usize, mut left: usize, now: Time) {
        let End::Pipe(pipe) = &self.pipes[index] else { return };
        let channel = pipe.channel;
        while left > 0 {
            self.channels[channel].write_batch();
            match self.read_share(index, now) {
                0 => return,
                count => left = left.saturating_sub(count),
            }
        }
    }

    /// Whether a line has begun that was read from a pipe.
    fn has_begun(&self, index: usize) -> bool {
        matches!(&self.pipes[index], End::Pipe(pipe) if !pipe.lines.is_empty())
    }

    /// How many bytes wait in a pipe.
    fn left_in(&self, index: usize) -> usize {
        let End::Pipe(pipe) = &self.pipes[index] else { return 0 };
        // Cannot fail for a pipe (ioctl_fionread(2)).
        ioctl_fionread(&pipe.feed.read_end).ok().and_then(|left| usize::try_from(left).ok()).unwrap_or(0)
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
}

/// Makes a pipe hold so many bytes at least, and tells how many.
fn set_room(pipe: &OwnedFd, room: usize) -> Result<usize, Errno> {
    let room = i32::try_from(room).map_err(|_| Errno::EINVAL)?;
    let given = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(room))?;
    usize::try_from(given).map_err(|_| Errno::EINVAL)
}

/// How many bytes a pipe holds.
pub(super) fn room(pipe: &OwnedFd) -> Result<usize, Errno> {
    let room = fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?;
    usize::try_from(room).map_err(|_| Errno::EINVAL)
}
