//! The last lines of each service, in memory, for `ctl logs`. Reads no pipe and answers nobody.
//!
//! Lines that came together are one block: a flood costs one copy of what was read, not one entry a line.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::SystemTime,
};

use memchr::{memchr_iter, memrchr};

use super::{lines::Ending, output::Outlet};
use crate::{
    process::Pid,
    protocol::{LogLine, LogStream},
    text::lossless,
};

/// What is answered at once, in bytes of lines: made in a millisecond, and little enough for each of many clients.
const PAGE: usize = 256 * 1024;

/// Lines of one stream that came together.
#[derive(Clone, Debug)]
struct Block {
    number: u64,
    time: SystemTime,
    stream: LogStream,
    pid: Option<Pid>,
    ending: Ending,
    /// Where it begins, counted from the service's first byte ever.
    start: u64,
    length: usize,
}

/// The last lines of one service.
#[derive(Debug)]
struct Ring {
    name: String,
    limit: usize,
    bytes: VecDeque<u8>,
    /// How many bytes were there before these.
    base: u64,
    blocks: VecDeque<Block>,
}

/// The last lines of all services.
#[derive(Debug, Default)]
pub(super) struct History {
    rings: Vec<Ring>,
    last: u64,
}

/// Which lines are asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of which services.
    pub services: Vec<Outlet>,
    /// Only blocks with a higher number.
    pub after: u64,
    /// Only lines that came then or later.
    pub since: Option<SystemTime>,
    /// Only so many, the last ones.
    pub lines: Option<u64>,
}

/// Some of the lines that were asked for.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The lines, in the order in which they came.
    pub lines: Vec<LogLine>,
    /// What to ask for next: what comes after this.
    pub next: u64,
    /// Whether there is more already.
    pub more: bool,
}

impl History {
    /// Adds a service, of which so many bytes are kept, at the next place or at that of one that was removed.
    pub(super) fn add(&mut self, place: usize, name: &str, limit: usize) {
        let (bytes, blocks) = (VecDeque::new(), VecDeque::new());
        let ring = Ring { name: name.to_owned(), limit, bytes, base: 0, blocks };
        match self.rings.get_mut(place) {
            Some(former) => *former = ring,
            None => self.rings.push(ring),
        }
    }

    /// Drops all lines of a service that is no more.
    pub(super) fn remove(&mut self, place: usize) {
        if let Some(ring) = self.rings.get_mut(place) {
            *ring = Ring {
                bytes: VecDeque::new(),
                blocks: VecDeque::new(),
                base: 0,
                limit: 0,
                name: String::new(),
            };
        }
    }

    /// From now on so many bytes are kept of a service.
    pub(super) fn set_limit(&mut self, place: usize, limit: usize) {
        if let Some(ring) = self.rings.get_mut(place) {
            ring.limit = limit;
            ring.shorten();
        }
    }

    /// Keeps lines of a service, each with its newline; one that has not ended has none.
    pub(super) fn keep(
        &mut self,
        service: usize,
        (stream, pid): (LogStream, Option<Pid>),
        time: SystemTime,
        ending: Ending,
        text: &[u8],
    ) {
        let ring = &mut self.rings[service];
        let text = ring.fitting(text);
        if text.is_empty() {
            return;
        }
        self.last += 1;
        let start = ring.base + ring.bytes.len() as u64;
        let block = Block { number: self.last, time, stream, pid, ending, start, length: text.len() };
        ring.blocks.push_back(block);
        ring.bytes.extend(text);
        ring.shorten();
    }

    /// Whether these services have lines after this number.
    pub(super) fn has_after(&self, services: &[Outlet], after: u64) -> bool {
        let last = |&Outlet(at): &Outlet| self.rings.get(at).and_then(|ring| ring.blocks.back());
        services.iter().filter_map(last).any(|block| block.number > after)
    }

    /// The lines that are wanted, as many as fit into one answer.
    pub(super) fn page(&self, wanted: &Wanted) -> Page {
        let (mut first, mut skip) = (wanted.after + 1, 0);
        if let Some(lines) = wanted.lines {
            (first, skip) = self.last_lines(wanted, lines);
        }
        let mut heads = BinaryHeap::new();
        for &Outlet(at) in &wanted.services {
            let Some(ring) = self.rings.get(at) else { continue };
            let place = ring.first(first, wanted.since);
            heads.extend(ring.blocks.get(place).map(|block| Reverse((block.number, at, place))));
        }
        let mut page = Page { lines: Vec::new(), next: wanted.after.max(self.last), more: false };
        let mut size = 0;
        while let Some(Reverse((number, at, place))) = heads.pop() {
            if size >= PAGE {
                page.more = true;
                break;
            }
            let ring = &self.rings[at];
            let skipped = if number == first { std::mem::take(&mut skip) } else { 0 };
            size += ring.render(&ring.blocks[place], skipped, &mut page.lines);
            page.next = number;
            heads.extend(ring.blocks.get(place + 1).map(|block| Reverse((block.number, at, place + 1))));
        }
        if !page.more {
            page.next = page.next.max(self.last);
        }
        page
    }

    /// The block that the last so many lines begin in, and how many of its lines are before them.
    fn last_lines(&self, wanted: &Wanted, lines: u64) -> (u64, usize) {
        let mut heads = BinaryHeap::new();
        for &Outlet(at) in &wanted.services {
            let Some(ring) = self.rings.get(at) else { continue };
            let first = ring.first(wanted.after + 1, wanted.since);
            if let Some(last) = ring.blocks.len().checked_sub(1).filter(|&last| last >= first) {
                heads.push((ring.blocks[last].number, at, last, first));
            }
        }
        let (mut begin, mut missing) = (self.last + 1, lines);
        while missing > 0
            && let Some((number, at, place, first)) = heads.pop()
        {
            let ring = &self.rings[at];
            begin = number;
            let count = ring.count(&ring.blocks[place]) as u64;
            if count > missing {
                return (begin, usize::try_from(count - missing).unwrap_or(usize::MAX));
            }
            missing -= count;
            if place > first {
                heads.push((ring.blocks[place - 1].number, at, place - 1, first));
            }
        }
        (begin, 0)
    }
}

impl Ring {
    /// As many of the last lines as there is room for at all.
    fn fitting<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let room = self.limit.saturating_sub(size_of::<Block>());
        let Some(over) = text.len().checked_sub(room).filter(|&over| over > 0) else { return text };
        match memchr::memchr(b'\n', &text[over - 1..]) {
            Some(at) => &text[over + at..],
            None => &[],
        }
    }

    /// Drops the oldest lines until what is left keeps to the limit.
    fn shorten(&mut self) {
        loop {
            let used = self.bytes.len() + self.blocks.len() * size_of::<Block>();
            let Some(over) = used.checked_sub(self.limit).filter(|&over| over > 0) else { return };
            let Some(block) = self.blocks.front_mut() else { return };
            let end = block.length.min(over) - 1;
            let newline = self.bytes.range(end..block.length).position(|&byte| byte == b'\n');
            let gone = newline.map_or(block.length, |at| end + at + 1);
            self.bytes.drain(..gone);
            self.base += gone as u64;
            block.start += gone as u64;
            block.length -= gone;
            if block.length == 0 {
                self.blocks.pop_front();
            }
        }
    }

    /// The place of the first block with this number or a higher one that came then or later.
    fn first(&self, number: u64, since: Option<SystemTime>) -> usize {
        let by_number = self.blocks.partition_point(|block| block.number < number);
        let by_time = since.map_or(0, |since| self.blocks.partition_point(|block| block.time < since));
        by_number.max(by_time)
    }

    fn text(&self, block: &Block) -> Vec<u8> {
        let begin = usize::try_from(block.start - self.base).unwrap_or(usize::MAX);
        self.bytes.range(begin..begin + block.length).copied().collect()
    }

    fn count(&self, block: &Block) -> usize {
        match block.ending {
            Ending::Whole => memchr_iter(b'\n', &self.text(block)).count(),
            Ending::Paused | Ending::Split => 1,
        }
    }

    /// Adds a block's lines but the first ones; returns how many bytes they are.
    fn render(&self, block: &Block, skipped: usize, lines: &mut Vec<LogLine>) -> usize {
        let text = self.text(block);
        let end = if text.ends_with(b"\n") { text.len() - 1 } else { text.len() };
        let time = humantime::format_rfc3339_micros(block.time).to_string();
        let partial = block.ending != Ending::Whole;
        lines.extend(text[..end].split(|&byte| byte == b'\n').skip(skipped).map(|line| LogLine {
            time: time.clone(),
            service: self.name.clone(),
            stream: block.stream,
            pid: block.pid,
            message: lossless(line),
            partial,
        }));
        text.len()
    }
}

/// The whole lines at the beginning of what was read, with their newlines.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    memrchr(b'\n', bytes).map_or(&[], |at| &bytes[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4096;

    fn history(services: &[&str]) -> History {
        let mut history = History::default();
        (0..).zip(services).for_each(|(place, name)| history.add(place, name, LIMIT));
        history
    }

    fn keep(history: &mut History, service: usize, text: &str) {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(history.last);
        history.keep(service, (LogStream::Stdout, Some(7)), time, Ending::Whole, text.as_bytes());
    }

    fn wanted(services: &[usize]) -> Wanted {
        Wanted {
            services: services.iter().map(|&at| Outlet(at)).collect(),
            after: 0,
            since: None,
            lines: None,
        }
    }

    fn shown(page: &Page) -> Vec<String> {
        page.lines.iter().map(|line| format!("{} {}", line.service, line.message)).collect()
    }

    #[test]
    fn lines_of_services_come_in_the_order_they_came_in() {
        let mut history = history(&["web", "db"]);
        keep(&mut history, 0, "one\ntwo\n");
        keep(&mut history, 1, "three\n");
        keep(&mut history, 0, "four\n");
        assert_eq!(shown(&history.page(&wanted(&[0, 1]))), ["web one", "web two", "db three", "web four"]);
        assert_eq!(shown(&history.page(&wanted(&[1]))), ["db three"]);
        let last = |lines| shown(&history.page(&Wanted { lines: Some(lines), ..wanted(&[0, 1]) }));
        assert_eq!(last(1), ["web four"]);
        assert_eq!(last(3), ["web two", "db three", "web four"]);
        assert_eq!(last(99).len(), 4);
        assert!(last(0).is_empty());
        let since = Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1));
        assert_eq!(shown(&history.page(&Wanted { since, ..wanted(&[0, 1]) })), ["db three", "web four"]);
    }

    #[test]
    fn who_follows_gets_every_line_once() {
        let mut history = history(&["web", "db"]);
        keep(&mut history, 0, "one\n");
        let page = history.page(&wanted(&[0]));
        keep(&mut history, 1, "not asked for\n");
        assert!(!history.has_after(&[Outlet(0)], page.next) && history.has_after(&[Outlet(1)], page.next));
        keep(&mut history, 0, "two\n");
        assert!(history.has_after(&[Outlet(0)], page.next));
        let page = history.page(&Wanted { after: page.next, ..wanted(&[0]) });
        assert_eq!((shown(&page), page.more), (vec!["web two".to_owned()], false));
        assert!(!history.has_after(&[Outlet(0), Outlet(1)], page.next));
    }

    #[test]
    fn a_long_answer_comes_in_pages() {
        let mut history = History::default();
        history.add(0, "web", 8 * PAGE);
        let text: String = (0..1000).map(|number| format!("{number:0100}\n")).collect();
        (0..10).for_each(|_| keep(&mut history, 0, &text));
        let (mut after, mut count, mut pages) = (0, 0, 0);
        loop {
            let page = history.page(&Wanted { after, ..wanted(&[0]) });
            (after, count, pages) = (page.next, count + page.lines.len(), pages + 1);
            if !page.more {
                break;
            }
        }
        assert_eq!((count, pages), (10_000, 4));
    }

    #[test]
    fn the_limit_holds_and_whole_lines_are_dropped() {
        let mut history = history(&["web"]);
        for number in 0..10_000 {
            keep(&mut history, 0, &format!("line {number:04}\nand another\n"));
            let ring = &history.rings[0];
            assert!(ring.bytes.len() + ring.blocks.len() * size_of::<Block>() <= LIMIT);
        }
        let page = history.page(&wanted(&[0]));
        assert_eq!(page.lines.last().unwrap().message, "and another");
        assert!(page.lines.iter().all(|line| line.message.len() >= 9), "{page:?}");
        let big: String = (0..1000).map(|number| format!("line {number:04}\n")).collect();
        keep(&mut history, 0, &big);
        let page = history.page(&wanted(&[0]));
        assert!(page.lines.len() > 300 && page.lines.iter().all(|line| line.message.len() == 9));
        assert_eq!(page.lines.last().unwrap().message, "line 0999");
        keep(&mut history, 0, &("x".repeat(LIMIT) + "\n"));
        assert!(history.rings[0].bytes.capacity() <= 2 * LIMIT);
    }
}
