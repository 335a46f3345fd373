//! Gives out the lines of what was read, and musterd's messages among them, as far as nobody has to wait. Reads no pipe.

use std::time::Duration;

use memchr::memchr;

use super::{End, Outlet, Output, PAUSE};
use crate::{
    config::{Overflow, Regex},
    linux::{
        history::whole_lines,
        lines::Ending,
        log::wall_clock,
        render::{self, Origin},
    },
    time::Time,
};

/// How often it is told at most that lines were dropped: who is slow need not be told so at every line.
const DROPS_TOLD: Duration = Duration::from_secs(1);

/// What of a stream is given out.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The lines in the first `count` bytes of the buffer.
    Read { count: usize, now: Time },
    /// The line that has begun, as one that ended so.
    Rest(Ending),
}

impl Output {
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
    /// are told of in one turn. Call it after each message and each start.
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

    pub(super) fn give_out(&mut self, index: usize, part: Part) {
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

    pub(super) fn tell_drops_of(&mut self, at: usize) {
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

    pub(super) fn take_messages(&mut self) {
        self.channels[self.own[1].channel].take_messages(&self.log);
    }
}
