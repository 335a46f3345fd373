//! Takes the control socket's path: a dead manager's is replaced, a living one's and anybody's file are not. Accepts nobody.

use std::{
    fmt, fs,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
            sockopt,
        },
        stat::{Mode, fchmod},
    },
};
use rustix::fs::FlockOperation;

/// Why musterd cannot have its control socket.
#[derive(Debug)]
pub enum BindError {
    /// Somebody listens there: another musterd.
    InUse {
        /// The socket.
        path: PathBuf,
        /// Its PID, if it is in our PID namespace.
        pid: Option<i32>,
    },
    /// Another musterd is taking a socket in this folder at this moment.
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the path; it is left alone.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A system call failed.
    Failed {
        /// The socket.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// How it failed.
        errno: Errno,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::InUse { path, pid: Some(pid) } => {
                write!(f, "cannot listen on {}: the musterd with pid {pid} does", path.display())
            }
            BindError::InUse { path, pid: None } => {
                write!(f, "cannot listen on {}: another musterd does", path.display())
            }
            BindError::Busy { path } => {
                write!(f, "cannot listen on {}: another musterd is just starting there", path.display())
            }
            BindError::NotASocket { path } => {
                write!(f, "cannot listen on {}: there is a file that is not a socket", path.display())
            }
            BindError::Failed { path, step, errno } => {
                write!(f, "cannot listen on {}: cannot {step}: {}", path.display(), errno.desc())
            }
        }
    }
}

impl std::error::Error for BindError {}

/// The file of a socket: which one it is, so that a successor's is never removed.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            // A file that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`, mode 0600, non-blocking.
pub(super) fn bind_path(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |step| move |errno| BindError::Failed { path: path.to_owned(), step, errno };
    let address = UnixAddr::new(path).map_err(failed("use this path"))?;
    let lock = lock_folder(path);
    let listener = new_socket().map_err(failed("make a socket"))?;
    // Linux creates the file with the mode of the socket itself, so there is no moment with another one.
    fchmod(&listener, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("set the socket's mode"))?;
    match bind(listener.as_raw_fd(), &address) {
        Err(Errno::EADDRINUSE) => {
            remove_dead(path, &address, lock.is_some())?;
            bind(listener.as_raw_fd(), &address)
        }
        bound => bound,
    }
    .map_err(failed("create the socket"))?;
    let file = fs::symlink_metadata(path).map_err(|error| failed("find the socket again")(errno(&error)))?;
    let file = SocketFile { path: path.to_owned(), device: file.dev(), inode: file.ino() };
    listen(&listener, Backlog::MAXCONN).map_err(failed("listen"))?;
    Ok((UnixListener::from(listener), file))
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// Keeps two that start at once from both replacing a dead manager's socket, until it is closed; `None` where
/// somebody has the lock. A folder that cannot be locked does not matter: what is wrong with it is told by `bind`.
fn lock_folder(path: &Path) -> Option<Option<fs::File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(folder) = fs::File::open(folder) else { return Some(None) };
    // Not nix's lock, whose unlocking can panic.
    match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Some(Some(folder)),
        Err(rustix::io::Errno::WOULDBLOCK) => None,
        Err(_) => Some(None),
    }
}

fn remove_dead(path: &Path, address: &UnixAddr, alone: bool) -> Result<(), BindError> {
    let failed = |step| move |errno| BindError::Failed { path: path.to_owned(), step, errno };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    let probe = new_socket().map_err(failed("make a socket"))?;
    match connect(probe.as_raw_fd(), address) {
        Err(Errno::ECONNREFUSED) if !alone => Err(BindError::Busy { path: path.to_owned() }),
        Err(Errno::ECONNREFUSED) => fs::remove_file(path)
            .map_err(|error| failed("remove the socket that a dead musterd left")(errno(&error))),
        // EAGAIN: so many wait to be accepted that nobody else can.
        Ok(()) | Err(Errno::EAGAIN) => {
            let pid = listener_pid(&probe);
            Err(BindError::InUse { path: path.to_owned(), pid })
        }
        Err(errno) => Err(failed("find out whether another musterd listens")(errno)),
    }
}

fn listener_pid(probe: &impl AsFd) -> Option<i32> {
    getsockopt(probe, sockopt::PeerCredentials).ok().map(|peer| peer.pid()).filter(|&pid| pid > 0)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
