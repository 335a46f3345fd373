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
        stat::{Mode, fchmod, umask},
    },
};

/// What the socket's mode is where nobody is let in besides root and musterd's own user.
pub(super) const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// What it is where others are: who may in is then told by his user alone.
pub(super) const OPEN: Mode =
    PRIVATE.union(Mode::S_IRGRP.union(Mode::S_IWGRP)).union(Mode::S_IROTH.union(Mode::S_IWOTH));

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
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Whether clients find this one, and not another or none: while the socket is open, no other file gets its inode.
    pub(super) fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            // A file that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`, non-blocking, with this mode. Who calls this keeps others from doing it at the same time.
pub(super) fn bind_path(path: &Path, mode: Mode) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |step| move |errno| BindError::Failed { path: path.to_owned(), step, errno };
    let address = UnixAddr::new(path).map_err(failed("use this path"))?;
    let listener = new_socket().map_err(failed("make a socket"))?;
    // Linux creates the file with the mode of the socket itself less the umask, so there is no moment with another one.
    fchmod(&listener, mode).map_err(failed("set the socket's mode"))?;
    match bind_with(&listener, &address, mode) {
        Err(Errno::EADDRINUSE) => {
            remove_dead(path, &address)?;
            bind_with(&listener, &address, mode)
        }
        bound => bound,
    }
    .map_err(failed("create the socket"))?;
    let file = fs::symlink_metadata(path).map_err(|error| failed("find the socket again")(errno(&error)))?;
    let file = SocketFile { path: path.to_owned(), device: file.dev(), inode: file.ino() };
    listen(&listener, Backlog::MAXCONN).map_err(failed("listen"))?;
    Ok((UnixListener::from(listener), file))
}

/// Binds with a umask that takes nothing of the mode; musterd has one thread, so nobody else sees that one.
fn bind_with(listener: &OwnedFd, address: &UnixAddr, mode: Mode) -> nix::Result<()> {
    if mode == PRIVATE {
        return bind(listener.as_raw_fd(), address);
    }
    let before = umask(Mode::empty());
    let bound = bind(listener.as_raw_fd(), address);
    umask(before);
    bound
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn remove_dead(path: &Path, address: &UnixAddr) -> Result<(), BindError> {
    let failed = |step| move |errno| BindError::Failed { path: path.to_owned(), step, errno };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    let probe = new_socket().map_err(failed("make a socket"))?;
    match connect(probe.as_raw_fd(), address) {
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
