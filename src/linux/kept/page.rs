//! Numbers in memory that is a file's, so that they outlive a musterd that is killed. Knows their places, and moves nothing.

use std::{
    fs::File,
    io,
    num::NonZeroUsize,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use nix::{
    fcntl::posix_fallocate,
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
};

/// How many queues there may be: one for each log file.
pub(super) const QUEUES: usize = 1024;

/// How many pipes there may be: two for each service.
pub(super) const PIPES: usize = 16 * 1024;

/// The pipe that was read from last, and how many bytes of it are in the inbox.
const INBOX_PIPE: usize = 0;
const INBOX_END: usize = 1;

/// Whether what follows is to be done: a pipe with its partial line, a queue with its end.
const COMMIT: usize = 2;
const COMMIT_PIPE: usize = 3;
const COMMIT_PARTIAL: usize = 4;
const COMMIT_QUEUE: usize = 5;
const COMMIT_END: usize = 6;

/// Where the queues' numbers begin, [`OF_A_QUEUE`] for each.
const FIRST_QUEUE: usize = 8;
const OF_A_QUEUE: usize = 8;
const FIRST_PIPE: usize = FIRST_QUEUE + OF_A_QUEUE * QUEUES;
const CELLS: usize = FIRST_PIPE + PIPES;

/// In place of a pipe or a queue: none.
const NONE: u64 = u64::MAX;

/// A number of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum OfQueue {
    /// Up to where it was written.
    Begin,
    /// Up to where it counts.
    End,
    /// The `Begin` that what follows belongs to.
    NotedAt,
    /// The file that is written to, and its length before: its content tells how much of a write was done.
    Device,
    Inode,
    Before,
}

/// The numbers.
pub(super) struct Page {
    cells: NonNull<AtomicU64>,
}

impl Page {
    /// Those of this file, all zero where it is new.
    ///
    /// # Errors
    /// The disk is full, or there is no memory.
    pub(super) fn open(file: &File) -> io::Result<Self> {
        let length = NonZeroUsize::new(CELLS * size_of::<AtomicU64>()).ok_or(io::ErrorKind::InvalidInput)?;
        // What is not on the disk when it is full would end us by SIGBUS.
        posix_fallocate(file, 0, length.get() as i64)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no safe call maps a file. The mapping is new (no address is given), and it is as long as the file,
        // which only we can make shorter and don't.
        let cells = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { cells: cells.cast() })
    }

    pub(super) fn cell(&self, at: usize) -> &AtomicU64 {
        // SAFETY: no safe type is a mapping. It has so many cells from `open` to `drop`, is aligned to a page, and any
        // bytes are numbers.
        let cells = unsafe { slice::from_raw_parts(self.cells.as_ptr(), CELLS) };
        &cells[at]
    }

    fn get(&self, at: usize) -> usize {
        usize::try_from(self.cell(at).load(SeqCst)).unwrap_or(usize::MAX)
    }

    /// Lends a number to a system call that changes it.
    pub(super) fn lend<T>(&self, at: usize, call: impl FnOnce(&mut u64) -> T) -> T {
        // SAFETY: the call needs a plain number where it is kept. While it runs nobody else has it: there is one
        // thread, and `Page` isn't Sync.
        call(unsafe { &mut *self.cell(at).as_ptr() })
    }

    /// Runs `move_in`, which moves bytes of this pipe into the inbox and counts them where it is told.
    pub(super) fn receive<T>(&self, pipe: usize, move_in: impl FnOnce(&mut u64) -> T) -> T {
        self.cell(INBOX_END).store(0, SeqCst);
        self.cell(INBOX_PIPE).store(pipe as u64, SeqCst);
        self.lend(INBOX_END, move_in)
    }

    /// The pipe whose bytes are in the inbox, and how many.
    pub(super) fn received(&self) -> (usize, usize) {
        (self.get(INBOX_PIPE), self.get(INBOX_END))
    }

    /// A queue's number.
    pub(super) fn of_queue(queue: usize, number: OfQueue) -> usize {
        FIRST_QUEUE + OF_A_QUEUE * queue + number as usize
    }

    /// Where a pipe's partial line is, and how long.
    pub(super) fn partial(&self, pipe: usize) -> (usize, usize) {
        let packed = self.get(FIRST_PIPE + pipe);
        (packed >> 32 & 1, packed & 0xFFFF_FFFF)
    }

    /// Empties the inbox, and changes a pipe's partial line and a queue's end, at once: who is killed meanwhile has
    /// done all of it or nothing.
    pub(super) fn commit(&self, pipe: Option<(usize, (usize, usize))>, queue: Option<(usize, u64)>) {
        let (pipe, partial) =
            pipe.map_or((NONE, 0), |(pipe, (half, length))| (pipe as u64, (half << 32 | length) as u64));
        let (queue, end) = queue.map_or((NONE, 0), |(queue, end)| (queue as u64, end));
        let numbers =
            [(COMMIT_PIPE, pipe), (COMMIT_PARTIAL, partial), (COMMIT_QUEUE, queue), (COMMIT_END, end)];
        numbers.into_iter().for_each(|(at, number)| self.cell(at).store(number, SeqCst));
        self.cell(COMMIT).store(1, SeqCst);
        self.recover();
    }

    /// Finishes what was committed.
    pub(super) fn recover(&self) {
        if self.get(COMMIT) != 1 {
            return;
        }
        let number = |at: usize| self.cell(at).load(SeqCst);
        if self.get(COMMIT_PIPE) < PIPES {
            self.cell(FIRST_PIPE + self.get(COMMIT_PIPE)).store(number(COMMIT_PARTIAL), SeqCst);
        }
        if self.get(COMMIT_QUEUE) < QUEUES {
            let end = Self::of_queue(self.get(COMMIT_QUEUE), OfQueue::End);
            self.cell(end).store(number(COMMIT_END), SeqCst);
        }
        self.cell(INBOX_END).store(0, SeqCst);
        self.cell(COMMIT).store(0, SeqCst);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: no safe call unmaps. It was mapped in `open`, so long, and nobody has a reference any more: they
        // borrow `self`. It cannot fail for such a mapping (munmap(2)).
        let _ = unsafe { munmap(self.cells.cast(), CELLS * size_of::<AtomicU64>()) };
    }
}
