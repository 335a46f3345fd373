//! A sink's queue in a file, which outlives a musterd that is killed. Decides nothing about when to write.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::FileExt,
    },
    path::PathBuf,
    rc::Rc,
    sync::atomic::Ordering::SeqCst,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::{SFlag, fstat},
    unistd::{Whence, lseek},
};
use rustix::pipe::{SpliceFlags, splice};

use super::{
    open_own,
    page::{OfQueue, Page},
};

/// After so many bytes the file is replaced. A pipe holds pages of it until they are read, so none is written again.
const LENGTH: u64 = 256 * 1024;

/// A queue's file and its place.
pub(in crate::linux) struct KeptQueue {
    page: Rc<Page>,
    place: usize,
    file: File,
    path: PathBuf,
    /// Before this there is nothing in the file.
    base: u64,
}

impl KeptQueue {
    pub(super) fn new(page: Rc<Page>, place: usize, file: File, path: PathBuf) -> Option<Self> {
        let mut queue = Self { page, place, file, path, base: 0 };
        queue.base = queue.begin();
        // What the file has not got cannot be given out.
        if queue.file.metadata().ok()?.len() < queue.end() {
            queue.skip();
        }
        Some(queue)
    }

    /// What waits in it: what a musterd that was killed did not write to what `fd` leads to.
    pub(in crate::linux) fn pending(&self, fd: BorrowedFd<'_>) -> Vec<u8> {
        let pending = self.bytes();
        let written = self.already_written(fd, &pending).unwrap_or(0);
        self.advance(written);
        pending[written..].to_vec()
    }

    /// Its place and its end with these bytes, which do not count yet.
    ///
    /// # Errors
    /// The disk is full.
    pub(in crate::linux) fn append(&self, bytes: &[u8], after: usize) -> io::Result<(usize, u64)> {
        let at = self.begin() + after as u64;
        self.file.write_all_at(bytes, at)?;
        Ok((self.place, at + bytes.len() as u64))
    }

    /// That it counts up to here.
    pub(in crate::linux) fn extend(&self, end: u64) {
        self.page.cell(Page::of_queue(self.place, OfQueue::End)).store(end, SeqCst);
    }

    /// Writes of `bytes`, which are its first ones. `plain` does so in the usual way.
    pub(in crate::linux) fn write(
        &self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
        plain: impl FnOnce() -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFIFO {
            let moved = self.page.lend(Page::of_queue(self.place, OfQueue::Begin), |begin| {
                splice(&self.file, Some(begin), fd, None, bytes.len(), SpliceFlags::NONBLOCK)
            });
            match moved.map_err(|errno| Errno::from_raw(errno.raw_os_error())) {
                Ok(count) => return Ok(count),
                Err(errno @ (Errno::EAGAIN | Errno::EINTR | Errno::EPIPE)) => return Err(errno),
                // The call is forbidden here, or the file's system has none: a kill in between may repeat what follows.
                Err(_) => {}
            }
        }
        if kind == SFlag::S_IFREG {
            self.note(fd);
        }
        let count = plain()?;
        self.advance(count);
        Ok(count)
    }

    /// That all of it was given up.
    pub(in crate::linux) fn skip(&self) {
        self.page.cell(Page::of_queue(self.place, OfQueue::Begin)).store(self.number(OfQueue::End), SeqCst);
    }

    /// Replaces the file by one that has only these bytes, which wait, if it has become long.
    ///
    /// # Errors
    /// There is no room for another, or the folder is gone: this one would grow without end.
    pub(in crate::linux) fn renew(&mut self, pending: &[u8]) -> io::Result<()> {
        if self.begin() - self.base < LENGTH {
            return Ok(());
        }
        self.base = self.begin();
        let new = self.path.with_extension("new");
        let file = open_own(&new)?;
        file.set_len(0)?;
        file.write_all_at(pending, self.begin())?;
        file.set_len(self.end())?;
        fs::rename(&new, &self.path)?;
        self.file = file;
        Ok(())
    }

    /// Notes the state of a file before a write.
    fn note(&self, fd: BorrowedFd<'_>) {
        let set = |number, value| self.page.cell(Page::of_queue(self.place, number)).store(value, SeqCst);
        set(OfQueue::NotedAt, u64::MAX);
        let (Some((device, inode)), Some(before)) = (file_of(fd), end_of(fd)) else { return };
        set(OfQueue::Device, device);
        set(OfQueue::Inode, inode);
        set(OfQueue::Before, before);
        set(OfQueue::NotedAt, self.begin());
    }

    /// How many of the bytes are in the file that was written to when musterd was killed.
    fn already_written(&self, fd: BorrowedFd<'_>, pending: &[u8]) -> Option<usize> {
        let noted = (self.number(OfQueue::Device), self.number(OfQueue::Inode));
        if self.number(OfQueue::NotedAt) != self.begin() || file_of(fd)? != noted {
            return Some(0);
        }
        let file = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        let before = self.number(OfQueue::Before);
        let length = usize::try_from(file.metadata().ok()?.len().saturating_sub(before)).ok()?;
        let mut there = vec![0; length.min(pending.len())];
        file.read_exact_at(&mut there, before).ok()?;
        Some(there.iter().zip(pending).take_while(|(there, pending)| there == pending).count())
    }

    fn bytes(&self) -> Vec<u8> {
        let length = usize::try_from(self.end().saturating_sub(self.begin())).unwrap_or(0);
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, self.begin()) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    fn advance(&self, count: usize) {
        self.page.cell(Page::of_queue(self.place, OfQueue::Begin)).fetch_add(count as u64, SeqCst);
    }

    fn begin(&self) -> u64 {
        self.number(OfQueue::Begin)
    }

    fn end(&self) -> u64 {
        self.number(OfQueue::End)
    }

    fn number(&self, number: OfQueue) -> u64 {
        self.page.cell(Page::of_queue(self.place, number)).load(SeqCst)
    }
}

/// Where the next write goes.
fn end_of(fd: BorrowedFd<'_>) -> Option<u64> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL).ok()?);
    if flags.contains(OFlag::O_APPEND) {
        return u64::try_from(fstat(fd.as_fd()).ok()?.st_size).ok();
    }
    u64::try_from(lseek(fd, 0, Whence::SeekCur).ok()?).ok()
}

/// The device and inode of a regular file.
fn file_of(fd: impl AsFd) -> Option<(u64, u64)> {
    let found = fstat(fd).ok()?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    (kind == SFlag::S_IFREG).then_some((found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use super::{super::Kept, *};

    #[test]
    fn what_cannot_be_spliced_is_written_all_the_same() {
        let folder = std::env::temp_dir().join(format!("musterd-queue-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut kept = Kept::open(&folder).unwrap();
        let mut queue = kept.queue("stdout").unwrap();
        // What cannot be read cannot be spliced: EBADF.
        queue.file = File::options().write(true).open(&queue.path).unwrap();
        let (from, to) = nix::unistd::pipe().unwrap();
        let (_, end) = queue.append(b"one\n", 0).unwrap();
        queue.extend(end);
        assert_eq!(queue.write(to.as_fd(), b"one\n", || nix::unistd::write(&to, b"one\n")), Ok(4));
        assert_eq!((queue.begin(), queue.end()), (4, 4));
        let mut there = [0; 8];
        assert_eq!(nix::unistd::read(&from, &mut there), Ok(4));
        kept.forget();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_told_of() {
        let folder = std::env::temp_dir().join(format!("musterd-renew-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut kept = Kept::open(&folder).unwrap();
        let mut queue = kept.queue("stdout").unwrap();
        kept.forget();
        let step = vec![b'x'; LENGTH as usize - 1];
        let mut fill = |bytes: &[u8]| {
            let (_, end) = queue.append(bytes, 0).unwrap();
            queue.extend(end);
            queue.skip();
            queue.renew(&[])
        };
        assert!(fill(&step).is_ok(), "it is not long yet");
        assert_eq!(fill(b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(&folder).unwrap();
    }
}
