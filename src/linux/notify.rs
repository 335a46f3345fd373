//! Hears what services say of themselves by sd_notify(3): a datagram socket for each, as long as it is configured.
//! Knows who may say it, and not what follows.

use std::{
    collections::BTreeMap,
    fs,
    mem::{self, MaybeUninit},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::chown,
    },
    path::{Path, PathBuf},
    ptr,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        epoll::{Epoll, EpollEvent, EpollFlags},
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt},
        stat::{Mode, fchmod},
    },
    unistd::Uid,
};

use super::paths::{Roots, open_folder};
use crate::{
    process::Pid,
    supervisor::{Notification, ServiceId},
    text::{printable, reason},
};

/// The longest message: systemd's own limit for what it reads (`NOTIFY_BUFFER_MAX`, a page).
const LONGEST: usize = 4096;

/// The longest `STATUS=` that is kept, in bytes.
const LONGEST_STATUS: usize = 256;

/// Datagrams of one service that are taken in one turn of the loop, so that a flood of them has one such turn among
/// the other events.
const MESSAGES: usize = 16;

/// The sockets.
#[derive(Debug)]
pub struct Notifier {
    configured: Option<PathBuf>,
    folder: Option<PathBuf>,
    sockets: BTreeMap<ServiceId, Socket>,
}

#[derive(Debug)]
struct Socket {
    fd: OwnedFd,
    path: PathBuf,
    /// The service's user.
    user: u32,
    /// Whether it was told that somebody else sends.
    told: bool,
}

/// A message and who sent it.
#[derive(Debug)]
struct Message {
    length: usize,
    pid: Pid,
    user: u32,
}

impl Notifier {
    /// No socket yet; `configured` is the control socket's path, where there is one: the folder will be beside it.
    pub fn new(configured: Option<&Path>) -> Self {
        Self { configured: configured.map(Path::to_owned), folder: None, sockets: BTreeMap::new() }
    }

    /// The path of a service's socket, for `NOTIFY_SOCKET`; it is made where there is none yet. Root, musterd's own user
    /// and `user` may send.
    ///
    /// # Errors
    /// `cannot …`: what failed and why.
    pub fn open(
        &mut self,
        epoll: &Epoll,
        service: ServiceId,
        name: &str,
        user: u32,
        token: u64,
    ) -> Result<&Path, String> {
        let is_there = self
            .sockets
            .get(&service)
            // A folder that was cleaned up is made again.
            .is_some_and(|socket| socket.user == user && fs::symlink_metadata(&socket.path).is_ok());
        if !is_there {
            self.sockets.remove(&service);
            let path = self.folder()?.join(format!("{name}.sock"));
            let fd = listen(&path, user)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
            epoll.add(&fd, event).map_err(|errno| failed(&path, "listen to it", errno))?;
            self.sockets.insert(service, Socket { fd, path, user, told: false });
        }
        self.sockets
            .get(&service)
            .map(|socket| socket.path.as_path())
            .ok_or_else(|| "cannot make a socket for notifications: bug in musterd".to_owned())
    }

    /// The service is no more.
    pub fn close(&mut self, service: ServiceId) {
        self.sockets.remove(&service);
    }

    /// Takes some of what came for a service, each with its sender's PID.
    pub fn ready(&mut self, service: ServiceId, name: &str) -> Vec<(Pid, Notification)> {
        let Some(socket) = self.sockets.get_mut(&service) else { return Vec::new() };
        let mut said = Vec::new();
        let mut buffer = [0; LONGEST + 1];
        for _ in 0..MESSAGES {
            let message = match receive(&socket.fd, &mut buffer) {
                Ok(message) => message,
                Err(Errno::EINTR) => continue,
                Err(_) => break,
            };
            let Message { length, pid, user } = message;
            if ![0, Uid::effective().as_raw(), socket.user].contains(&user) {
                if !mem::replace(&mut socket.told, true) {
                    let cause = format!("uid {user} is neither root nor the service's or musterd's own user");
                    tracing::warn!(service = name, pid, cause, "notification ignored");
                }
                continue;
            }
            // The kernel tells no PID of a sender outside the PID namespace.
            if pid > 0 && length <= LONGEST {
                said.extend(parse(&buffer[..length]).into_iter().map(|one| (pid, one)));
            }
        }
        said
    }

    fn folder(&mut self) -> Result<&Path, String> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => {
                let place = Roots::of_this_process()
                    .prepare(self.configured.as_deref())
                    .map_err(|error| format!("cannot make a socket for notifications: {error}"))?;
                place.folder.with_extension("notify")
            }
        };
        // Services under their own users must get through it.
        open_folder(&folder, Uid::effective().as_raw(), 0o711)
            .map_err(|error| format!("cannot make the folder {}: {}", folder.display(), reason(&error)))?;
        Ok(self.folder.insert(folder))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A file that stays is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.sockets.clear();
        if let Some(folder) = &self.folder {
            // Not where there is more in it.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn failed(path: &Path, step: &str, errno: Errno) -> String {
    let why = errno.desc().to_lowercase();
    format!("cannot make the socket {} for notifications: cannot {step}: {why}", path.display())
}

fn listen(path: &Path, user: u32) -> Result<OwnedFd, String> {
    let failed = |step| move |errno| failed(path, step, errno);
    let address = UnixAddr::new(path).map_err(failed("use this path"))?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None).map_err(failed("make a socket"))?;
    setsockopt(&fd, sockopt::PassCred, &true).map_err(failed("ask for the senders"))?;
    // Linux creates the file with the mode of the socket itself, so there is no moment with another one.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("set its mode"))?;
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed("remove an old one")(Errno::from_raw(error.raw_os_error().unwrap_or_default())));
    }
    bind(fd.as_raw_fd(), &address).map_err(failed("create it"))?;
    // The file is the service's user's alone, so that nobody else can fill the queue; without the right to give it
    // away, everybody may write, and is dropped by his user ID.
    if user != Uid::effective().as_raw() && chown(path, Some(user), None).is_err() {
        let everybody = Mode::from_bits_truncate(0o622);
        nix::sys::stat::fchmodat(
            nix::fcntl::AT_FDCWD,
            path,
            everybody,
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )
        .map_err(failed("let others write to it"))?;
    }
    Ok(fd)
}

/// Takes one datagram, cut at the buffer's end.
///
/// There is room for the sender's credentials and none for descriptors: the kernel closes those that come at once
/// (unix(7)), which is also what a sender waits for by `BARRIER=1`.
fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> nix::Result<Message> {
    const CREDENTIALS: usize = mem::size_of::<libc::ucred>();
    // A cmsghdr and a ucred are aligned to eight bytes at most, and need 32 with the padding.
    let mut control = [0u64; 4];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: a msghdr has no constructor (musl's has private padding); the rule (all-zero bytes are a value of it)
    // holds: numbers and null pointers.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = mem::size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: nix withholds the credentials where descriptors were cut off, and rustix's type of them cannot hold the
    // PID 0 of a stranger; the rule (the pointers in the header are to memory of these sizes) holds, as above.
    let count = Errno::result(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) })?;
    let length = usize::try_from(count).unwrap_or(0);
    // SAFETY: as above; the rule (the header is as recvmsg(2) left it) holds. The kernel puts the credentials first.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    if first.is_null() {
        return Err(Errno::EBADMSG);
    }
    // SAFETY: as above; the rule (it points into the control buffer, aligned) holds, as it is not null.
    let (level, kind, size) = unsafe { ((*first).cmsg_level, (*first).cmsg_type, (*first).cmsg_len) };
    // SAFETY: it only calculates.
    let least = unsafe { libc::CMSG_LEN(CREDENTIALS as libc::c_uint) };
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) || size < least as _ {
        return Err(Errno::EBADMSG);
    }
    // SAFETY: as above; the rule (a whole ucred lies there, whatever its alignment) holds, as its length was checked.
    let sender = unsafe { ptr::read_unaligned(libc::CMSG_DATA(first).cast::<libc::ucred>()) };
    Ok(Message { length, pid: sender.pid, user: sender.uid })
}

/// The assignments of a message that mean something to a service manager, in their order; of several of one kind the
/// last one counts.
pub(super) fn parse(message: &[u8]) -> Vec<Notification> {
    let mut said: Vec<Notification> = Vec::new();
    for line in message.split(|&byte| byte == b'\n') {
        if let Some(one) = assignment(line) {
            said.retain(|other| mem::discriminant(other) != mem::discriminant(&one));
            said.push(one);
        }
    }
    said
}

fn assignment(line: &[u8]) -> Option<Notification> {
    let at = line.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (&line[..at], &line[at + 1..]);
    match (name, value) {
        (b"READY", b"1") => Some(Notification::Ready),
        (b"RELOADING", b"1") => Some(Notification::Reloading),
        (b"STOPPING", b"1") => Some(Notification::Stopping),
        (b"WATCHDOG", b"1") => Some(Notification::Watchdog),
        (b"WATCHDOG", b"trigger") => Some(Notification::Unwell),
        (b"STATUS", text) => {
            let mut text = printable(String::from_utf8_lossy(text).trim());
            text.truncate(text.floor_char_boundary(LONGEST_STATUS));
            Some(Notification::Status(text))
        }
        // PID 1 is no service.
        (b"MAINPID", digits) => {
            let pid = str::from_utf8(digits).ok()?.parse().ok()?;
            (pid > 1).then_some(Notification::MainPid(pid))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_others_passed_over() {
        assert_eq!(
            parse(b"X=1\nREADY=1\nSTATUS= Serving \xff\x1b\nMAINPID=42\nFDSTORE=1\nREADY=0\n=\n\nREADY"),
            [
                Notification::Ready,
                Notification::Status("Serving \u{fffd}\\u{1b}".to_owned()),
                Notification::MainPid(42)
            ]
        );
        assert_eq!(parse(b"WATCHDOG=1\nWATCHDOG=trigger"), [Notification::Watchdog, Notification::Unwell]);
        assert_eq!(parse(b"RELOADING=1\nMONOTONIC_USEC=5"), [Notification::Reloading]);
        assert_eq!(parse(b"STOPPING=1\nREADY=1"), [Notification::Stopping, Notification::Ready]);
        assert_eq!(parse(b"STATUS=a\nSTATUS=b"), [Notification::Status("b".to_owned())]);
        for wrong in ["MAINPID=1", "MAINPID=-5", "MAINPID=0", "MAINPID=99999999999", "MAINPID= 7", "READY=1 "]
        {
            assert_eq!(parse(wrong.as_bytes()), [], "{wrong}");
        }
    }

    #[test]
    fn a_long_status_is_cut() {
        let [Notification::Status(text)] = &parse(format!("STATUS={}", "é".repeat(2000)).as_bytes())[..]
        else {
            panic!("no status")
        };
        assert_eq!(text.len(), LONGEST_STATUS);
    }
}
