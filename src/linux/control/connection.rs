//! One client of the control socket: its bytes, its limits, whose turn it is. Waits for nothing and knows no other client.

use std::{
    io::{ErrorKind, Read},
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::EpollFlags,
        socket::{MsgFlags, getsockopt, send, sockopt},
    },
};

use super::guests::Right;
use crate::{
    protocol::{MAX_REQUEST, Request, Response},
    time::Time,
};

/// How long the rest of a line may take once it has begun, and how long an answer may take to be read: far
/// more than any program on the same machine needs, and soon enough to give the place to another.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes read at a time, so that a client that floods has one such turn among the other events.
const CHUNK: usize = 16 * 1024;

/// Who a client is, as the kernel recorded it at `connect` (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The effective user ID.
    pub uid: u32,
    /// The PID; 0 where it lies outside musterd's PID namespace.
    pub pid: i32,
}

impl Peer {
    /// Who is at the other end.
    pub fn of(stream: &UnixStream) -> nix::Result<Self> {
        let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
        Ok(Self { uid: credentials.uid(), pid: credentials.pid() })
    }
}

/// Whose turn it is. One request at a time: what a client sends meanwhile stays in its own socket's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client's; it has said nothing.
    Idle { since: Time },
    /// The client's; half a line is there.
    Line { until: Time },
    /// The manager's: it has the request.
    Asked,
    /// The client's: it has to read the answer, after which comes nothing more if it is the last.
    Answer { until: Time, last: bool },
}

/// What came of a turn.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// Nothing to do for anybody.
    Nothing,
    /// The client asks this, and gets no further turn before it is answered.
    Request(Request),
    /// The connection is to be closed.
    End,
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) peer: Peer,
    pub(super) right: Right,
    /// What epoll was last told to look for.
    pub(super) watched: EpollFlags,
    phase: Phase,
    input: Vec<u8>,
    /// How many bytes of the input are known to hold no newline.
    scanned: usize,
    /// Whether the client will send nothing more (it may still read: `echo … | socat - UNIX:…`).
    ended: bool,
    output: Vec<u8>,
}

impl Connection {
    /// A client that has said nothing yet; the stream must not block.
    pub(super) fn new(stream: UnixStream, peer: Peer, right: Right, now: Time) -> Self {
        Self {
            stream,
            peer,
            right,
            watched: EpollFlags::empty(),
            phase: Phase::Idle { since: now },
            input: Vec::new(),
            scanned: 0,
            ended: false,
            output: Vec::new(),
        }
    }

    /// What epoll should look for. Hanging up is told in any case.
    pub(super) fn interest(&self) -> EpollFlags {
        match self.phase {
            Phase::Idle { .. } | Phase::Line { .. } => EpollFlags::EPOLLIN,
            Phase::Asked => EpollFlags::empty(),
            Phase::Answer { .. } => EpollFlags::EPOLLOUT,
        }
    }

    /// Since when the client has had nothing to say, if that is so.
    pub(super) fn idle_since(&self) -> Option<Time> {
        match self.phase {
            Phase::Idle { since } => Some(since),
            Phase::Line { .. } | Phase::Asked | Phase::Answer { .. } => None,
        }
    }

    /// Whether it has asked and was not answered.
    pub(super) fn awaits_answer(&self) -> bool {
        match self.phase {
            Phase::Asked => true,
            Phase::Idle { .. } | Phase::Line { .. } | Phase::Answer { .. } => false,
        }
    }

    /// When the client's patience with us, or ours with it, is over.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Line { until } | Phase::Answer { until, .. } => Some(until),
            Phase::Idle { .. } | Phase::Asked => None,
        }
    }

    /// How many bytes wait for the client to read.
    pub(super) fn queued(&self) -> usize {
        self.output.len()
    }

    /// Takes up what epoll saw.
    pub(super) fn ready(&mut self, now: Time) -> Heard {
        match self.phase {
            Phase::Idle { .. } | Phase::Line { .. } => self.read(now),
            // Only a hang-up is watched for meanwhile.
            Phase::Asked => Heard::End,
            Phase::Answer { .. } => self.write(now),
        }
    }

    /// Sends the answer that the manager was asked for; without a request it is dropped.
    pub(super) fn answer(&mut self, response: &Response, now: Time) -> Heard {
        match self.phase {
            Phase::Asked => self.send(response, false, now),
            Phase::Idle { .. } | Phase::Line { .. } | Phase::Answer { .. } => Heard::Nothing,
        }
    }

    /// Says why there is nothing to be had here; the connection ends with that.
    pub(super) fn refuse(&mut self, reason: String, now: Time) -> Heard {
        self.send(&Response::Refused { reason }, true, now)
    }

    fn read(&mut self, now: Time) -> Heard {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(length) => self.input.extend_from_slice(&chunk[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Heard::End,
        }
        self.next_line(now)
    }

    fn next_line(&mut self, now: Time) -> Heard {
        let newline = self.input[self.scanned..].iter().position(|&byte| byte == b'\n');
        let length = newline.map_or(self.input.len(), |at| self.scanned + at + 1);
        self.scanned = if newline.is_some() { 0 } else { length };
        if length > MAX_REQUEST {
            return self.refuse(format!("the request is longer than {MAX_REQUEST} bytes"), now);
        }
        if newline.is_some() {
            let line: Vec<u8> = self.input.drain(..length).collect();
            self.phase = Phase::Asked;
            return match Request::parse(&line) {
                Ok(request) => Heard::Request(request),
                Err(reason) => self.refuse(reason, now),
            };
        }
        if self.ended {
            return Heard::End;
        }
        self.phase = match self.phase {
            Phase::Line { until } => Phase::Line { until },
            Phase::Idle { .. } | Phase::Asked | Phase::Answer { .. } if length > 0 => {
                Phase::Line { until: now + PATIENCE }
            }
            Phase::Idle { since } => Phase::Idle { since },
            Phase::Asked | Phase::Answer { .. } => Phase::Idle { since: now },
        };
        Heard::Nothing
    }

    fn send(&mut self, response: &Response, last: bool, now: Time) -> Heard {
        self.output = response.to_line();
        self.phase = Phase::Answer { until: now + PATIENCE, last };
        self.write(now)
    }

    fn write(&mut self, now: Time) -> Heard {
        while !self.output.is_empty() {
            // `send`, because a `write` to a client that is gone would raise SIGPIPE.
            match send(self.stream.as_raw_fd(), &self.output, MsgFlags::MSG_NOSIGNAL) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(Errno::EAGAIN) => return Heard::Nothing,
                Err(Errno::EINTR) => {}
                Err(_) => return Heard::End,
            }
        }
        self.output = Vec::new();
        match self.phase {
            Phase::Answer { last: true, .. } => Heard::End,
            Phase::Answer { last: false, .. } | Phase::Idle { .. } | Phase::Line { .. } | Phase::Asked => {
                self.next_line(now)
            }
        }
    }
}
