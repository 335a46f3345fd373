//! One manager for each runtime folder, whatever becomes of its socket's file. Knows no socket.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// A lock that ends with the process, however that ends: no child inherits it (fcntl(2), record locks).
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

/// Why the lock cannot be had.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it: its PID, if it is in our PID namespace.
    Held(Option<i32>),
    /// A system call failed.
    Failed(io::Error),
}

impl Lock {
    /// Takes that of this folder, which is ours alone (see [`super::paths`]).
    pub(super) fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(LockError::Failed)?;
        match fcntl(&file, FcntlArg::F_SETLK(&whole())) {
            Ok(_) => Ok(Self { path, file }),
            Err(Errno::EAGAIN | Errno::EACCES) => Err(LockError::Held(holder(&file))),
            Err(errno) => Err(LockError::Failed(errno.into())),
        }
    }

    /// Whether the file that another manager would try to lock is still this one.
    pub(super) fn is_in_place(&self) -> bool {
        let ours = self.file.metadata();
        let there = fs::symlink_metadata(&self.path);
        ours.and_then(|ours| Ok((ours, there?)))
            .is_ok_and(|(ours, there)| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }
}

/// An exclusive lock on all of a file.
fn whole() -> libc::flock {
    // Both constants are 0 or 1 on Linux.
    let (kind, whence) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type: kind, l_whence: whence, l_start: 0, l_len: 0, l_pid: 0 }
}

fn holder(file: &File) -> Option<i32> {
    let mut lock = whole();
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).ok()?;
    Some(lock.l_pid).filter(|&pid| pid > 0)
}
