//! What services say of themselves is heard, of those who may say it.

use std::{
    fs,
    io::{ErrorKind, IoSlice, Read},
    os::{
        fd::AsRawFd,
        unix::{fs::MetadataExt, net::UnixDatagram, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use musterd::{
    linux::notify::Notifier,
    supervisor::{Notification, ServiceId},
};
use nix::{
    fcntl::OFlag,
    sys::{
        epoll::{EpollEvent, EpollTimeout},
        socket::{ControlMessage, MsgFlags, sendmsg},
    },
    unistd::{Uid, pipe2},
};

use crate::support::Shell;

const WEB: ServiceId = ServiceId(7);

/// A notifier whose folder is in the scratch folder, and the path of the socket of `WEB` under the user.
fn open(shell: &Shell, user: u32) -> (Notifier, PathBuf) {
    let mut notifier = Notifier::new(Some(&shell.scratch.0.join("m.sock")));
    let path = notifier.open(&shell.epoll, WEB, "web", user, 5).unwrap().to_owned();
    (notifier, path)
}

fn sender(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::unbound().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(path).unwrap();
    socket
}

fn own() -> u32 {
    Uid::effective().as_raw()
}

pub(crate) fn a_service_tells_of_itself() {
    let shell = Shell::new();
    let (mut notifier, path) = open(&shell, own());
    assert_eq!(path, shell.scratch.0.join("m.sock.notify/web.sock"));
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(notifier.ready(WEB, "web"), []);

    let service = sender(&path);
    service.send(b"READY=1\nSTATUS=up\n").unwrap();
    service.send(&[0xFF; 5000]).unwrap();
    service.send(b"").unwrap();
    service.send(b"WATCHDOG=1").unwrap();
    let mut events = [EpollEvent::empty(); 4];
    assert_eq!(shell.epoll.wait(&mut events, EpollTimeout::ZERO), Ok(1));
    assert_eq!(events[0].data(), 5);
    let pid = std::process::id() as i32;
    assert_eq!(
        notifier.ready(WEB, "web"),
        [
            (pid, Notification::Ready),
            (pid, Notification::Status("up".to_owned())),
            (pid, Notification::Watchdog)
        ]
    );
    assert_eq!(shell.epoll.wait(&mut events, EpollTimeout::ZERO), Ok(0));

    // It is kept over a restart.
    assert_eq!(notifier.open(&shell.epoll, WEB, "web", own(), 5).unwrap(), path);
    service.send(b"READY=1").unwrap();
    assert_eq!(notifier.ready(WEB, "web").len(), 1);
}

pub(crate) fn a_stranger_is_not_heard() {
    if !Uid::effective().is_root() {
        crate::ignore("only root can be another user");
    }
    const USER: u32 = 4321;
    let shell = Shell::new();
    // The scratch folder itself is root's, and open.
    let (mut notifier, path) = open(&shell, USER);
    let file = fs::metadata(&path).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o777), (USER, 0o600));
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
                  s.sendto(b'READY=1', sys.argv[1])";
    let send = |user: u32| {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", script]).arg(&path).uid(user).gid(user);
        match python.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => crate::ignore("no /usr/bin/python3"),
            output => output.unwrap().status.success(),
        }
    };
    assert!(send(USER));
    let said = notifier.ready(WEB, "web");
    assert!(matches!(said[..], [(pid, Notification::Ready)] if pid > 1), "{said:?}");
    assert!(!send(USER + 1), "the file is not his");
    // Where everybody may write, his user ID is looked at.
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert!(send(USER + 1));
    assert_eq!(notifier.ready(WEB, "web"), []);
    assert!(send(0));
    assert_eq!(notifier.ready(WEB, "web").len(), 1);
}

/// As of `FDSTORE=1`, and of `BARRIER=1`, whose sender waits until its descriptor is closed.
pub(crate) fn descriptors_are_closed_at_once() {
    let shell = Shell::new();
    let (mut notifier, path) = open(&shell, own());
    let service = sender(&path);
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    let fds = [write_end.as_raw_fd(); 100];
    let message = [IoSlice::new(b"BARRIER=1\nREADY=1")];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(service.as_raw_fd(), &message, &rights, MsgFlags::empty(), None).unwrap();
    drop(write_end);
    let mut barrier = fs::File::from(read_end);
    let mut byte = [0];
    assert_eq!(barrier.read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock, "it is in the queue");
    assert_eq!(notifier.ready(WEB, "web"), [(std::process::id() as i32, Notification::Ready)]);
    assert_eq!(barrier.read(&mut byte).unwrap(), 0, "nobody holds the other end");
    drop(barrier);
    assert_eq!(count(), before);
}

pub(crate) fn a_flood_is_taken_in_portions() {
    let shell = Shell::new();
    let (mut notifier, path) = open(&shell, own());
    let service = sender(&path);
    let mut sent = 0;
    while service.send(b"WATCHDOG=1").is_ok() {
        sent += 1;
        if sent == 1000 {
            break;
        }
    }
    let mut portions = Vec::new();
    loop {
        let portion = notifier.ready(WEB, "web").len();
        if portion == 0 {
            break;
        }
        portions.push(portion);
    }
    assert_eq!(portions.iter().sum::<usize>(), sent);
    assert!(portions.iter().all(|&portion| portion <= 16), "{portions:?}");
}

pub(crate) fn an_old_socket_is_replaced_and_the_folder_goes() {
    let shell = Shell::new();
    let folder = shell.scratch.0.join("m.sock.notify");
    fs::create_dir(&folder).unwrap();
    let old = UnixDatagram::bind(folder.join("web.sock")).unwrap();
    let (mut notifier, path) = open(&shell, own());
    sender(&path).send(b"READY=1").unwrap();
    assert_eq!(notifier.ready(WEB, "web").len(), 1);
    old.set_nonblocking(true).unwrap();
    assert!(old.recv(&mut [0; 9]).is_err());

    // Somebody tidies up /run: the next start has a socket again.
    fs::remove_dir_all(&folder).unwrap();
    notifier.open(&shell.epoll, WEB, "web", own(), 5).unwrap();
    sender(&path).send(b"STOPPING=1").unwrap();
    assert_eq!(notifier.ready(WEB, "web").len(), 1);
    drop(notifier);
    assert!(!folder.exists());
}

pub(crate) fn without_a_folder_the_reason_is_told() {
    let shell = Shell::new();
    let mut notifier = Notifier::new(Some(&shell.scratch.0.join("none/m.sock")));
    let error = notifier.open(&shell.epoll, WEB, "web", own(), 5).unwrap_err();
    assert!(
        error.starts_with("cannot make a socket for notifications: cannot write to any folder"),
        "{error}"
    );
    let mut notifier = Notifier::new(Some(&shell.scratch.0.join("m.sock")));
    let error = notifier.open(&shell.epoll, WEB, &"x".repeat(120), own(), 5).unwrap_err();
    assert!(error.contains("cannot use this path: file name too long"), "{error}");
    // Another service of this musterd can have one all the same.
    notifier.open(&shell.epoll, WEB, "web", own(), 5).unwrap();
}
