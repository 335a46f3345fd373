//! Decides when a pipe is read again: at once, after a rest, or when the kernel tells that it has something. Reads nothing.
//!
//! A reader that is told of every line costs its writer a wake-up each time, and itself a turn of the loop. So a pipe
//! that is written to all the time isn't watched: it is read after a rest in which it doesn't fill.

use std::time::Duration;

use crate::time::Time;

/// How long a pipe rests: nobody who reads along notices it.
pub(super) const REST: Duration = Duration::from_millis(1);

/// What a pipe usually holds (pipe(7)).
pub(super) const USUAL: usize = 64 * 1024;

/// What a pipe holds that would be full before its rest is over: more than lines of 64 bytes, each written by itself,
/// come to in a rest and its delay.
pub(super) const LARGE: usize = 256 * 1024;

/// After so many reads that found nothing, the kernel watches a pipe again.
const IDLE: u8 = 2;

/// After a rest in which the pipe filled, and its writer waited, there is none for so many reads of little.
const WAKEFUL: u16 = 1024;

/// Less than this is not worth a wake-up each time: it is a few lines, not a block.
const BLOCK: usize = 1024;

/// When a pipe is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// When the kernel tells that it has something.
    Told,
    /// In the next turn of the loop.
    Again,
    /// After a rest.
    Rest,
}

/// How fast a pipe is written to.
#[derive(Debug)]
pub(super) struct Pace {
    /// When something was last read; `None`: never.
    last: Option<Time>,
    next: Next,
    /// How many reads in a row found nothing.
    idle: u8,
    /// What the pipe holds.
    room: usize,
    /// How many bytes were read since the last rest.
    burst: usize,
    /// How many reads of little there are until it rests again.
    wakeful: u16,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last: None, next: Next::Told, idle: 0, room: USUAL, burst: 0, wakeful: 0 }
    }
}

impl Pace {
    /// When the pipe is read next, as was decided last.
    pub(super) fn next(&self) -> Next {
        self.next
    }

    /// What the pipe holds.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// That the kernel tells of the pipe from now on.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { room: self.room, ..Self::default() };
    }

    /// That the pipe holds so much from now on.
    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// Decides after a read of so many bytes.
    pub(super) fn decide(&mut self, count: usize, now: Time) -> Next {
        let since = self.last.map_or(Duration::MAX, |last| now.since(last));
        if count > 0 {
            self.last = Some(now);
        }
        self.idle = if count > 0 { 0 } else { self.idle.saturating_add(1) };
        self.next = match self.next {
            Next::Told if since >= REST => Next::Told,
            Next::Again | Next::Rest if self.idle >= IDLE => Next::Told,
            Next::Told | Next::Again | Next::Rest => self.busy(count, since),
        };
        self.next
    }

    /// Where there may be more, or it would be half full in much less than a rest, it does not rest.
    fn busy(&mut self, count: usize, since: Duration) -> Next {
        self.burst += count;
        let half = (self.room / 2) as u128;
        if count >= USUAL || count as u128 * REST.as_nanos() > 4 * half * since.as_nanos().max(1) {
            return Next::Again;
        }
        if std::mem::take(&mut self.burst) >= self.room {
            self.wakeful = WAKEFUL;
        }
        self.wakeful = self.wakeful.saturating_sub(1);
        if self.wakeful > 0 && count >= BLOCK { Next::Told } else { Next::Rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decided after reads of so many bytes, each so many microseconds after the one before it.
    fn decided(reads: &[(u64, usize)]) -> Vec<Next> {
        let (mut pace, mut now) = (Pace::default(), Time::from_boot(Duration::from_secs(1)));
        let decide = |&(after, count): &(u64, usize)| {
            now += Duration::from_micros(after);
            pace.decide(count, now)
        };
        reads.iter().map(decide).collect()
    }

    #[test]
    fn lone_lines_are_told_of() {
        assert_eq!(decided(&[(0, 64), (1000, 64), (5000, 9000), (1_000_000, 64)]), [Next::Told; 4]);
    }

    #[test]
    fn a_row_of_lines_rests_until_it_is_over() {
        let reads = [(0, 64), (10, 64), (1000, 9000), (1000, 0), (1000, 64), (1000, 0), (1000, 0), (9, 64)];
        let [rest, told] = [Next::Rest, Next::Told];
        // The last one comes long after the one before it.
        assert_eq!(decided(&reads), [told, rest, rest, rest, rest, rest, told, told]);
    }

    #[test]
    fn what_would_fill_the_pipe_does_not_rest() {
        let reads = [(0, USUAL), (50, USUAL), (900, USUAL), (900, 9000), (500, 60)];
        let [told, again] = [Next::Told, Next::Again];
        // After it was full, a block is worth a wake-up; a line isn't.
        assert_eq!(decided(&reads), [told, again, again, told, Next::Rest]);
        let mut pace = Pace::default();
        pace.set_room(LARGE);
        let now = Time::from_boot(Duration::from_secs(1));
        pace.decide(1, now);
        let next = pace.decide(7000, now + Duration::from_micros(45));
        assert_eq!(next, Next::Rest, "150 MB/s do not fill it in a millisecond");
    }
}
