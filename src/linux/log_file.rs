//! A service's log file: opens it, and begins a new one when it is full. Writes nothing and reports nothing.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::PathBuf,
};

use memchr::memrchr;
use nix::fcntl::OFlag;

use crate::config::LogFile;

/// A file that is appended to, of which old ones are kept.
#[derive(Debug)]
pub(super) struct Rotated {
    file: LogFile,
    size: u64,
}

impl Rotated {
    /// The file, which is not opened yet.
    pub(super) fn new(file: &LogFile) -> Self {
        Self { file: file.clone(), size: 0 }
    }

    /// Opens the file of this path, and makes it where there is none. Never waits, and follows no link that
    /// somebody else may have put there.
    ///
    /// # Errors
    /// Those of open(2); what is there is no file.
    pub(super) fn open(&mut self) -> io::Result<OwnedFd> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(flags.bits())
            .open(&self.file.path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("is not a file"));
        }
        self.size = found.size();
        Ok(file.into())
    }

    /// From now on it takes so much, and so many old ones are kept; the path is the same.
    pub(super) fn change(&mut self, file: &LogFile) {
        self.file.clone_from(file);
    }

    /// How many of these bytes, which are whole lines, the file still takes; 0: a new one is to be begun. A line that
    /// is larger than a file has one alone.
    pub(super) fn room(&self, bytes: &[u8]) -> usize {
        let left = usize::try_from(self.file.max_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if bytes.len() <= left {
            return bytes.len();
        }
        match memrchr(b'\n', &bytes[..left]) {
            Some(at) => at + 1,
            None if self.size == 0 => memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1),
            None => 0,
        }
    }

    /// That so many bytes were written.
    pub(super) fn grow(&mut self, count: usize) {
        self.size += count as u64;
    }

    /// Renames the file, and the older ones before it, and opens a new one. The oldest is gone.
    ///
    /// # Errors
    /// Those of rename(2) and open(2): the file is as it was.
    pub(super) fn rotate(&mut self) -> io::Result<OwnedFd> {
        let newest = if self.file.keep == 0 { fs::remove_file(&self.file.path) } else { self.shift() };
        newest?;
        self.open()
    }

    /// Gives the file more room, because no new one can be begun.
    pub(super) fn forgive(&mut self) {
        self.size = 0;
    }

    fn shift(&self) -> io::Result<()> {
        for number in (1..self.file.keep).rev() {
            match fs::rename(self.old(number), self.old(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.file.path, self.old(1))
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut path = OsString::from(&self.file.path);
        path.push(format!(".{number}"));
        PathBuf::from(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotated(max_size: u64, size: u64) -> Rotated {
        Rotated { file: LogFile { path: PathBuf::from("/nonexistent/log"), max_size, keep: 1 }, size }
    }

    #[test]
    fn a_file_takes_whole_lines_as_far_as_they_fit() {
        assert_eq!(rotated(10, 0).room(b"one\ntwo\n"), 8);
        assert_eq!(rotated(10, 3).room(b"one\ntwo\n"), 4);
        assert_eq!(rotated(10, 7).room(b"one\ntwo\n"), 0, "a new one is begun");
        assert_eq!(rotated(10, 6).room(b"one\ntwo\n"), 4);
        assert_eq!(rotated(10, 99).room(b"one\n"), 0);
        assert_eq!(rotated(2, 0).room(b"one\ntwo\n"), 4, "a long line has a file alone");
    }
}
