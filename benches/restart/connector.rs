//! Hears from the kernel of every fork, exec and exit on the machine, with the kernel's own time stamp: its process
//! connector (Documentation/driver-api/connector.rst, include/uapi/linux/cn_proc.h). Keeps nothing.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
    netlink::{CONNECTOR, SocketAddrNetlink},
    recv, send, socket_with, sockopt,
};

use crate::observer::Stamp;

/// The connector's index and value of processes, and the group of its listeners (CN_IDX_PROC, CN_VAL_PROC).
const PROCESSES: u32 = 1;
/// PROC_CN_MCAST_LISTEN.
const LISTEN: u32 = 1;
/// A netlink message that is whole (NLMSG_DONE).
const WHOLE: u16 = 3;
/// The bytes of `struct nlmsghdr` and of `struct cn_msg`, which stand before the event.
const HEADERS: usize = 16 + 20;

// `struct proc_event`: what, the processor, the stamp; then what depends on the event.
const FORK: u32 = 1;
const EXEC: u32 = 2;
const EXIT: u32 = 0x8000_0000;
const STAMP: usize = HEADERS + 8;
const DATA: usize = HEADERS + 16;

/// Events of a thousand starts with several processes each, of some 700 bytes in the kernel's account, and as many
/// again of whatever else goes on.
const BUFFER: usize = 64 << 20;

/// What a process did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A process, not a thread, was made.
    Fork { parent: i32, child: i32 },
    /// It executes another program.
    Exec { pid: i32, stamp: Stamp },
    /// It has ended.
    Exit { pid: i32 },
}

/// A listener.
#[derive(Debug)]
pub(crate) struct Connector(OwnedFd);

impl Connector {
    /// Begins to listen.
    ///
    /// # Errors
    /// `EPERM` where not root, `EPROTONOSUPPORT` where the kernel has no connector. Inside a container there may be no
    /// error, and no event either, or with PIDs of outside.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(CONNECTOR))?;
        sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
        bind(&socket, &SocketAddrNetlink::new(0, PROCESSES))?;
        let connector = Self(socket);
        send(&connector.0, &listen(), SendFlags::empty())?;
        Ok(connector)
    }

    /// The next event; `None` if none is there.
    ///
    /// # Errors
    /// `ENOBUFS`: the kernel had more events than room, and dropped some.
    pub(crate) fn next(&self) -> io::Result<Option<Event>> {
        let mut message = [0; 256];
        loop {
            match recv(&self.0, &mut message, RecvFlags::empty()) {
                Ok((length, _)) => {
                    if let Some(event) = parse(&message[..length]) {
                        return Ok(Some(event));
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The request to be told: both headers and one word.
fn listen() -> Vec<u8> {
    let word = size_of_val(&LISTEN);
    let length = (HEADERS + word) as u32;
    let netlink = [length, u32::from(WHOLE), 0, 0];
    let connector = [PROCESSES, PROCESSES, 0, 0, word as u32];
    // Type and flags, as length and flags, share a word: the first is in its lower half.
    let halves = |word: u32| if cfg!(target_endian = "big") { word.rotate_left(16) } else { word };
    let words = [netlink[0], halves(netlink[1]), netlink[2], netlink[3]];
    let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    message.extend(connector[..4].iter().flat_map(|word| word.to_ne_bytes()));
    message.extend(halves(connector[4]).to_ne_bytes());
    message.extend(LISTEN.to_ne_bytes());
    message
}

fn parse(message: &[u8]) -> Option<Event> {
    let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
    let pid = |at: usize| i32::try_from(word(DATA + 4 * at)?).ok();
    let stamp = u64::from_ne_bytes(message.get(STAMP..STAMP + 8)?.try_into().ok()?);
    match word(HEADERS)? {
        // The parent's PID and that of its first thread, then the same of the child.
        FORK if pid(2)? == pid(3)? => Some(Event::Fork { parent: pid(1)?, child: pid(2)? }),
        EXEC => Some(Event::Exec { pid: pid(1)?, stamp: Duration::from_nanos(stamp) }),
        EXIT if pid(0)? == pid(1)? => Some(Event::Exit { pid: pid(0)? }),
        _ => None,
    }
}
