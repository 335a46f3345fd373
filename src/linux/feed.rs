//! What a service writes into and musterd reads from: a pipe, or a FIFO that outlives musterd. Reads nothing.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    sys::stat::{Mode, fchmod},
    unistd::{mkfifo, pipe2},
};

use super::{paths::open_folder, render::Stream};

/// Both ends: musterd's, which never waits, and what services get.
pub(super) struct Feed {
    pub(super) read_end: OwnedFd,
    pub(super) write_end: OwnedFd,
}

impl Feed {
    /// A pipe, gone with musterd.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn pipe() -> io::Result<Self> {
        let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&read_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Self { read_end, write_end }.open_to_services()
    }

    /// The FIFO of this path, which is made where there is none. Services get it open for reading and writing, so
    /// that one always has a reader, itself: while there is no musterd it does not die of SIGPIPE, and what it writes
    /// stays there (fifo(7)).
    ///
    /// # Errors
    /// It cannot be made, or something else is there.
    fn fifo(path: &Path) -> io::Result<Self> {
        match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let read_end = open(path, OFlag::O_RDONLY | flags, Mode::empty())?;
        let found = fs::File::from(read_end.try_clone()?).metadata()?;
        if !found.file_type().is_fifo() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("is no FIFO of musterd's"));
        }
        let write_end = open(path, OFlag::O_RDWR | flags, Mode::empty())?;
        // Services wait when it is full.
        fcntl(&write_end, FcntlArg::F_SETFL(OFlag::empty()))?;
        Self { read_end, write_end }.open_to_services()
    }

    /// A service under its own user may open /dev/stdout, that is this, by its name.
    fn open_to_services(self) -> io::Result<Self> {
        fchmod(&self.write_end, Mode::from_bits_truncate(0o622))?;
        Ok(self)
    }
}

/// Where FIFOs are: a folder of musterd's own.
#[derive(Debug)]
pub(super) struct Fifos {
    folder: PathBuf,
    /// Those that were there before.
    left: HashSet<OsString>,
}

impl Fifos {
    /// Those in the folder of musterd's record; those of other services than these are removed.
    ///
    /// # Errors
    /// There can be no folder.
    pub(super) fn open<'a>(folder: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<Self> {
        let folder = folder.join("output");
        open_folder(&folder, rustix::process::geteuid().as_raw(), 0o700)?;
        let both =
            |name| [Stream::Stdout, Stream::Stderr].map(|stream| OsString::from(file_name(name, stream)));
        let known: HashSet<OsString> = names.flat_map(both).collect();
        let found = fs::read_dir(&folder)?.flatten().map(|entry| entry.file_name());
        let (left, old): (HashSet<OsString>, HashSet<OsString>) =
            found.partition(|name| known.contains(name));
        for name in old {
            // What stays does no harm.
            let _ = fs::remove_file(folder.join(name));
        }
        Ok(Self { folder, left })
    }

    /// Whether a service's were there before.
    pub(super) fn has_left(&self, service: &str) -> bool {
        [Stream::Stdout, Stream::Stderr]
            .iter()
            .any(|&stream| self.left.contains(OsStr::new(&file_name(service, stream))))
    }

    /// That of a service's stream.
    ///
    /// # Errors
    /// It cannot be made: the name may be too long for a file.
    pub(super) fn feed(&mut self, service: &str, stream: Stream) -> io::Result<Feed> {
        Feed::fifo(&self.folder.join(file_name(service, stream)))
    }
}

/// What a service's stream is called where several are kept.
pub(super) fn file_name(service: &str, stream: Stream) -> String {
    format!("{service}.{}", stream.name())
}
