//! What musterd has read and not yet written, where it outlives a musterd that is killed: no line is lost and none comes
//! twice. Gives lines no form and knows no service but its name.
//!
//! The end of a process comes between two system calls or while one is at work, which is done all the same. So what was
//! moved must be noted by the very call that moves it: splice(2) writes the new offset to where its argument points,
//! and that is memory of a file here. What lies between two moves is noted at once or not at all ([`Page::commit`]).

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use nix::{
    errno::Errno,
    libc::O_NOFOLLOW,
    sys::statfs::{TMPFS_MAGIC, statfs},
    unistd::read,
};
use rustix::pipe::{SpliceFlags, splice};

mod names;
mod page;
mod queue;

pub(super) use self::queue::KeptQueue;
use self::{
    names::Names,
    page::{PIPES, Page, QUEUES},
};
use super::{lines::LONGEST, paths::open_folder};

/// Where it is kept if the runtime folder is on a disk.
const SHARED: &str = "/dev/shm";

/// What is kept of all pipes and queues.
pub(super) struct Kept {
    folder: PathBuf,
    page: Rc<Page>,
    /// What was read last, until its lines are in a queue.
    inbox: File,
    /// For each pipe room for two partial lines: the old one stays until the new one counts.
    partials: File,
    pipes: Names,
    queues: Names,
}

impl Kept {
    /// What is kept of the musterd with this runtime folder; made where there is none.
    ///
    /// # Errors
    /// It cannot be made, or the disk is full.
    pub(super) fn open(runtime: &Path) -> io::Result<Self> {
        let folder = &in_memory(runtime, Path::new(SHARED))?;
        open_folder(folder, rustix::process::geteuid().as_raw(), 0o700)?;
        let page = Page::open(&open_own(&folder.join("page"))?)?;
        page.recover();
        Ok(Self {
            folder: folder.to_owned(),
            page: Rc::new(page),
            inbox: open_own(&folder.join("inbox"))?,
            partials: open_own(&folder.join("partials"))?,
            pipes: Names::open(folder.join("pipes"), PIPES)?,
            queues: Names::open(folder.join("queues"), QUEUES)?,
        })
    }

    /// The place of the pipe of this name, until [`Kept::release`]; `None`: there is no room for another.
    pub(super) fn pipe(&mut self, name: &str) -> Option<usize> {
        let (in_inbox, count) = self.page.received();
        let is_empty = |place| self.page.partial(place).1 == 0 && (in_inbox != place || count == 0);
        self.pipes.place(name, is_empty)
    }

    /// That the pipe with this place is no more: when nothing is left in it, another may get it.
    pub(super) fn release(&mut self, pipe: usize) {
        self.pipes.release(pipe);
    }

    /// The queue of this name, with what waits in it; `None`: there is no room for another.
    pub(super) fn queue(&mut self, name: &str) -> Option<KeptQueue> {
        let place = self.queues.place(name, |_| false)?;
        let path = self.folder.join(format!("queue-{place}"));
        KeptQueue::new(Rc::clone(&self.page), place, open_own(&path).ok()?, path)
    }

    /// The line that had begun in a pipe.
    pub(super) fn partial(&self, pipe: usize) -> Vec<u8> {
        let (half, length) = self.page.partial(pipe);
        let mut partial = vec![0; length.min(LONGEST)];
        match self.partials.read_exact_at(&mut partial, partial_at(pipe, half)) {
            Ok(()) => partial,
            Err(_) => Vec::new(),
        }
    }

    /// Reads from a pipe into `buffer`: until [`Kept::commit`] it is kept that this came from it.
    pub(super) fn read(&self, fd: &OwnedFd, pipe: Option<usize>, buffer: &mut [u8]) -> Result<usize, Errno> {
        let Some(pipe) = pipe else { return read(fd, buffer) };
        let moved = self.page.receive(pipe, |end| {
            splice(fd, None, &self.inbox, Some(end), buffer.len(), SpliceFlags::NONBLOCK)
        });
        match moved.map_err(|errno| Errno::from_raw(errno.raw_os_error())) {
            Ok(count) => match self.inbox.read_exact_at(&mut buffer[..count], 0) {
                Ok(()) => Ok(count),
                Err(_) => Err(Errno::EIO),
            },
            Err(errno @ (Errno::EAGAIN | Errno::EINTR)) => Err(errno),
            // No room, or no such call for this kind of file.
            Err(_) => read(fd, buffer),
        }
    }

    /// What was read and never came to a queue: the pipe, and how many bytes of `buffer` it is.
    pub(super) fn left(&self, buffer: &mut [u8]) -> Option<(usize, usize)> {
        let (pipe, count) = self.page.received();
        let count = count.min(buffer.len());
        self.inbox.read_exact_at(&mut buffer[..count], 0).ok()?;
        (count > 0).then_some((pipe, count))
    }

    /// That what was read is in a queue, as far as that reaches now, and the rest is the partial line of the pipe.
    pub(super) fn commit(&self, pipe: Option<(usize, &[u8])>, queue: Option<(usize, u64)>) {
        let pipe = pipe.map(|(pipe, partial)| (pipe, self.keep_partial(pipe, partial)));
        self.page.commit(pipe, queue);
    }

    /// Where it is kept; nowhere, if the disk is full.
    fn keep_partial(&self, pipe: usize, partial: &[u8]) -> (usize, usize) {
        let half = 1 - self.page.partial(pipe).0;
        if partial.is_empty() || self.partials.write_all_at(partial, partial_at(pipe, half)).is_err() {
            return (half, 0);
        }
        (half, partial.len())
    }

    /// Removes all of it, after an orderly end.
    pub(super) fn forget(&self) {
        // What stays is given out by the next one, which does little harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder in memory: who writes much to a disk is made to wait for it. That is the runtime folder as a rule, or else
/// `shared`.
///
/// # Errors
/// Neither is in memory.
fn in_memory(runtime: &Path, shared: &Path) -> io::Result<PathBuf> {
    let is_in_memory = |path: &Path| statfs(path).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
    if is_in_memory(runtime) {
        return Ok(runtime.join("kept"));
    }
    if !is_in_memory(shared) {
        let (runtime, shared) = (runtime.display(), shared.display());
        return Err(io::Error::other(format!("neither {runtime} nor {shared} is in memory")));
    }
    let found = fs::metadata(runtime)?;
    Ok(shared.join(format!("musterd-{}-{:x}-{:x}", found.uid(), found.dev(), found.ino())))
}

fn partial_at(pipe: usize, half: usize) -> u64 {
    ((2 * pipe + half) * LONGEST) as u64
}

/// Opens a file of ours for both, and makes it where there is none.
fn open_own(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(O_NOFOLLOW)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_there_until_it_is_committed() {
        let folder = std::env::temp_dir().join(format!("musterd-kept-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = nix::unistd::pipe().unwrap();
        let mut buffer = [0; 64];
        let mut kept = Kept::open(&folder).unwrap();
        let (web, db) = (kept.pipe("web").unwrap(), kept.pipe("db").unwrap());
        nix::unistd::write(&to, b"one\ntw").unwrap();
        assert_eq!(kept.read(&from, Some(db), &mut buffer), Ok(6));
        drop(kept);
        let mut kept = Kept::open(&folder).unwrap();
        assert_eq!((kept.pipe("db"), kept.left(&mut buffer)), (Some(db), Some((db, 6))));
        assert_eq!(&buffer[..6], b"one\ntw");
        kept.commit(Some((db, b"tw")), None);
        drop(kept);
        let kept = Kept::open(&folder).unwrap();
        assert_eq!(kept.left(&mut buffer), None);
        assert_eq!((kept.partial(db), kept.partial(web)), (b"tw".to_vec(), Vec::new()));
        kept.forget();
        assert!(!in_memory(&folder, Path::new(SHARED)).unwrap().exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_in_memory() {
        let error = in_memory(Path::new("/proc"), Path::new("/sys")).unwrap_err();
        assert_eq!(error.to_string(), "neither /proc nor /sys is in memory");
    }
}
