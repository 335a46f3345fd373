//! Decides when a pipe is read again: at once, after a rest, or when the kernel tells that it has something. Reads nothing.
//!
//! A reader that is told of every line costs its writer a wake-up each time, and itself a turn of the loop. So a pipe
//! that is written to all the time isn't watched: it is read after a rest in which it doesn't fill.

use std::time::Duration;

use crate::time::Time;

/// How long a pipe rests at most: nobody who reads along notices it.
pub(super) const LONGEST_REST: Duration = Duration::from_millis(1);

/// A shorter rest is not worth its wake-up.
const SHORTEST_REST: Duration = Duration::from_micros(100);

/// What a pipe usually holds (pipe(7)).
pub(super) const USUAL: usize = 64 * 1024;

/// What a pipe holds that would soon be full.
pub(super) const LARGE: usize = 256 * 1024;

/// After so many reads that found nothing, the kernel watches a pipe again.
const IDLE: u8 = 2;

/// The same for one that was half full: its writer perhaps waits for a processor, and is slower where each write is told.
const IDLE_AFTER_MUCH: u8 = 32;

/// How long that counts, in reads: it may be followed by a few lines now and then.
const MUCH: u16 = 1000;

/// When a pipe is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// When the kernel tells that it has something.
    Told,
    /// In the next turn of the loop.
    Again,
    /// After this rest.
    Rest(Duration),
}

/// How fast a pipe is written to.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it was last read; `None`: never.
    last: Option<Time>,
    next: Next,
    /// How many reads in a row found nothing.
    idle: u8,
    /// For how many reads it counts that it was half full.
    much: u16,
    /// What the pipe holds.
    room: usize,
    /// Whether the kernel refused to let it hold something else.
    fixed: bool,
}

impl Pace {
    /// Of a pipe that holds so many bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { last: None, next: Next::Told, idle: 0, much: 0, room, fixed: false }
    }

    /// When the pipe is read next, as was decided last.
    pub(super) fn next(&self) -> Next {
        self.next
    }

    /// That it is read then instead.
    pub(super) fn set_next(&mut self, next: Next) {
        self.next = next;
    }

    /// What the pipe holds.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Whether it holds more than usual.
    pub(super) fn is_large(&self) -> bool {
        self.room > USUAL
    }

    /// What it should hold, if that is something else: where half of it is filled in less than a longest rest, more, if
    /// it `may_grow`.
    pub(super) fn wanted_room(&self, may_grow: bool) -> Option<usize> {
        match self.next {
            Next::Told => self.is_large().then_some(USUAL),
            Next::Rest(rest) if rest >= LONGEST_REST => None,
            Next::Again | Next::Rest(_) => (may_grow && !self.fixed && self.room < LARGE).then_some(LARGE),
        }
    }

    /// That the kernel tells of the pipe from now on.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.room);
    }

    /// What the kernel has answered to the wish for another room.
    pub(super) fn set_room(&mut self, room: Option<usize>) {
        self.room = room.unwrap_or(self.room);
        self.fixed = room.is_none();
    }

    /// Decides after a read of so many bytes.
    pub(super) fn decide(&mut self, count: usize, now: Time) -> Next {
        let since = self.last.replace(now).map_or(Duration::MAX, |last| now.since(last));
        self.much = if count >= self.room / 2 { MUCH } else { self.much.saturating_sub(1) };
        self.next = if count == 0 {
            self.after_nothing()
        } else {
            self.idle = 0;
            self.after_some(count, since)
        };
        self.next
    }

    fn after_nothing(&mut self) -> Next {
        self.idle += 1;
        if self.idle < if self.much > 0 { IDLE_AFTER_MUCH } else { IDLE } {
            return Next::Rest(LONGEST_REST);
        }
        self.begin_anew();
        Next::Told
    }

    /// Where there may be more it is read at once, or else when it may be half full.
    fn after_some(&self, count: usize, since: Duration) -> Next {
        if count >= USUAL.min(self.room) {
            return Next::Again;
        }
        if self.next == Next::Told && self.much == 0 && since >= LONGEST_REST {
            return Next::Told;
        }
        let filling = since.as_nanos() * (self.room / 2) as u128 / count as u128;
        match Duration::from_nanos(u64::try_from(filling).unwrap_or(u64::MAX)).min(LONGEST_REST) {
            rest if rest < SHORTEST_REST => Next::Again,
            rest => Next::Rest(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Next = Next::Told;
    const AGAIN: Next = Next::Again;
    const LONGEST: Next = Next::Rest(LONGEST_REST);

    /// What is decided after reads of so many bytes, each so many microseconds after the one before it, and how much the
    /// pipe is to hold then.
    fn told(pace: &mut Pace, reads: &[(u64, usize)]) -> Vec<(Next, usize)> {
        let mut now = Time::from_boot(Duration::from_secs(1));
        let decide = |&(after, count): &(u64, usize)| {
            now += Duration::from_micros(after);
            let next = pace.decide(count, now);
            if let Some(room) = pace.wanted_room(true) {
                pace.set_room(Some(room));
            }
            (next, pace.room())
        };
        reads.iter().map(decide).collect()
    }

    fn decided(pace: &mut Pace, reads: &[(u64, usize)]) -> Vec<Next> {
        told(pace, reads).into_iter().map(|(next, _)| next).collect()
    }

    fn usual() -> Pace {
        Pace::new(USUAL)
    }

    fn rest(microseconds: u64) -> Next {
        Next::Rest(Duration::from_micros(microseconds))
    }

    #[test]
    fn lone_lines_are_told_of() {
        let reads = [(0, 64), (1000, 64), (5000, 9000), (1_000_000, 64)];
        assert_eq!(decided(&mut usual(), &reads), [TOLD; 4]);
    }

    #[test]
    fn a_row_of_lines_rests_until_it_is_over() {
        let reads = [(0, 64), (10, 64), (1000, 9000), (1000, 0), (1000, 64), (1000, 0), (1000, 0), (9, 64)];
        let told = [TOLD, LONGEST, LONGEST, LONGEST, LONGEST, LONGEST, TOLD, TOLD];
        assert_eq!(decided(&mut usual(), &reads), told);
    }

    #[test]
    fn the_rest_ends_when_the_pipe_is_half_full_and_a_short_one_makes_it_larger() {
        // Slowly; 64, 128 and 1600 MB/s; 64 MB/s again, for which it is large enough.
        let reads = [(0, USUAL / 2), (5000, 64), (250, 16_000), (250, 32_000), (20, 32_000), (250, 16_000)];
        let large = [(rest(512), LARGE), (LONGEST, LARGE), (AGAIN, LARGE), (LONGEST, LARGE)];
        let slow = [(LONGEST, USUAL); 2];
        let mut pace = usual();
        assert_eq!(told(&mut pace, &reads), [&slow[..], &large[..]].concat());
        let idle = told(&mut pace, &[(1000, 0); IDLE_AFTER_MUCH as usize]);
        assert_eq!(idle.last(), Some(&(TOLD, USUAL)));
        assert!(idle[..idle.len() - 1].iter().all(|&idle| idle == (LONGEST, LARGE)));
    }

    #[test]
    fn there_may_be_more_where_a_whole_share_was() {
        let reads = [(0, USUAL), (5000, USUAL), (5000, 64)];
        assert_eq!(decided(&mut usual(), &reads), [AGAIN, AGAIN, LONGEST]);
    }

    #[test]
    fn what_was_idle_after_much_is_as_any_other() {
        let mut pace = usual();
        let reads = [&[(0, USUAL)][..], &[(1000, 0); IDLE_AFTER_MUCH as usize]].concat();
        assert_eq!(decided(&mut pace, &reads).last(), Some(&TOLD));
        assert_eq!(
            decided(&mut pace, &[(0, 64), (10, 64), (1000, 0), (1000, 0)]),
            [TOLD, LONGEST, LONGEST, TOLD]
        );
    }

    #[test]
    fn a_few_lines_after_much_do_not_keep_it_from_being_watched_for_long() {
        let mut pace = usual();
        let lines = [&[(1000, 64)][..], &[(1000, 0); 24]].concat().repeat(60);
        let reads = [&[(0, USUAL)][..], &lines].concat();
        let told = decided(&mut pace, &reads).iter().position(|&next| next == TOLD);
        assert!(
            told.is_some_and(|at| at > usize::from(IDLE_AFTER_MUCH) && at <= usize::from(MUCH) + 2),
            "{told:?}"
        );
    }

    #[test]
    fn a_pipe_that_the_kernel_keeps_small_is_read_the_sooner() {
        let mut pace = Pace::new(8192);
        pace.set_room(None);
        let reads = [(0, 8192), (1000, 2048), (200, 2048)];
        assert_eq!(told(&mut pace, &reads), [(AGAIN, 8192), (LONGEST, 8192), (rest(400), 8192)]);
        assert_eq!(decided(&mut pace, &[(1000, 0); IDLE_AFTER_MUCH as usize]).last(), Some(&TOLD));
        assert_eq!(pace.wanted_room(true), None, "it is small enough");
    }
}
