//! The control socket and its clients, driven by the loop: gives out requests, takes answers. Never waits, decides nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    io::ErrorKind,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollEvent, EpollFlags},
    unistd::Uid,
};

mod bind;
mod connection;
#[cfg(test)]
mod tests;

pub use bind::BindError;
use bind::{SocketFile, bind_path};
pub use connection::Peer;
use connection::{Connection, Heard};

use super::reserve::Reserve;
use crate::{
    protocol::{Request, Response},
    supervisor::ClientId,
    time::Time,
};

/// Clients at a time. Each has a descriptor, of which a process often may have no more than 1,024, and the
/// services need most of them.
const MAX_CLIENTS: usize = 256;

/// Bytes of answers that wait to be read, of all clients together: some 50 answers about 1,000 services each.
const MAX_QUEUED: usize = 16 * 1024 * 1024;

/// Clients that are heard even where services have all the descriptors: one that asks, and one that looks meanwhile.
const RESERVED: usize = 2;

/// Clients accepted at a time, so that a flood of them has one such turn among the other events.
const ACCEPTS: usize = 64;

/// How long nobody is accepted when descriptors or memory are out: the listener would wake the loop again and again.
const PAUSE: Duration = Duration::from_secs(1);

/// The listener's number among the tokens; clients count from 1.
const LISTENER: u64 = 0;

/// The tag's place in a token.
const TAG_SHIFT: u32 = 56;

/// A request that waits for its [`Control::reply`].
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// Whom to answer.
    pub client: ClientId,
    /// Who that is.
    pub peer: Peer,
    /// What it asks.
    pub request: Request,
}

/// The listening socket and its clients.
///
/// The loop hands it the events whose token has its tag, then takes and answers
/// [requests](Control::next_request) until there is none left.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    _file: SocketFile,
    tag: u8,
    clients: BTreeMap<u64, Connection>,
    last_id: u64,
    asked: VecDeque<Asked>,
    hung_up: VecDeque<ClientId>,
    paused_until: Option<Time>,
    reserve: Reserve,
}

impl Control {
    /// Listens on `path`, with mode 0600 from the first moment. The file goes when this value is dropped.
    ///
    /// # Errors
    /// [`BindError::InUse`] if a manager listens there; a dead one's socket is replaced.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let (listener, file) = bind_path(path)?;
        let reserve = Reserve::new(RESERVED).map_err(|error| BindError::Failed {
            path: path.to_owned(),
            step: "reserve descriptors for clients",
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        })?;
        Ok(Self {
            reserve,
            listener,
            _file: file,
            tag: 0,
            clients: BTreeMap::new(),
            last_id: LISTENER,
            asked: VecDeque::new(),
            hung_up: VecDeque::new(),
            paused_until: None,
        })
    }

    /// From here on epoll tells of the socket and its clients, with tokens whose highest byte is `tag`.
    pub fn register(&mut self, epoll: &Epoll, tag: u8) -> nix::Result<()> {
        self.tag = tag;
        epoll.add(&self.listener, EpollEvent::new(EpollFlags::EPOLLIN, self.token(LISTENER)))
    }

    /// Takes up what epoll saw.
    pub fn ready(&mut self, epoll: &Epoll, token: u64, now: Time) {
        let id = token & !(u64::MAX << TAG_SHIFT);
        if id == LISTENER {
            self.accept(epoll, now);
        } else if let Some(client) = self.clients.get_mut(&id) {
            let heard = client.ready(now);
            self.settle(epoll, id, heard);
        }
    }

    /// The next request that nobody has taken yet.
    pub fn next_request(&mut self) -> Option<Asked> {
        self.asked.pop_front()
    }

    /// The next client that went, or was dropped, without having been answered; to be asked for when no request is left.
    pub fn next_hang_up(&mut self) -> Option<ClientId> {
        self.hung_up.pop_front()
    }

    /// Answers a client's request, whenever that can be; nothing happens if it has hung up.
    pub fn reply(&mut self, epoll: &Epoll, client: ClientId, response: &Response, now: Time) {
        if let Some(connection) = self.clients.get_mut(&client.0) {
            let heard = connection.answer(response, now);
            self.settle(epoll, client.0, heard);
            self.shed(epoll, client.0);
        }
    }

    /// When to call [`Control::expire`] next.
    pub fn next_deadline(&self) -> Option<Time> {
        self.clients.values().filter_map(Connection::deadline).chain(self.paused_until).min()
    }

    /// Drops the clients that keep us waiting; accepts again after a pause.
    pub fn expire(&mut self, epoll: &Epoll, now: Time) {
        let due = |time: Time| time <= now;
        let late = self.clients.iter().filter(|(_, client)| client.deadline().is_some_and(due));
        for id in late.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.close(epoll, id);
        }
        if self.paused_until.is_some_and(due) {
            self.listen(epoll, true);
            self.paused_until = None;
        }
    }

    fn accept(&mut self, epoll: &Epoll, now: Time) {
        // Who comes now has not been heard yet.
        let known = self.last_id;
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(epoll, stream, now),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ if self.close_idle(epoll, known) || self.reserve.release_one() => {}
                    _ => {
                        self.listen(epoll, false);
                        self.paused_until = Some(now + PAUSE);
                        break;
                    }
                },
            }
        }
        // Without descriptors, accept(2) fails before it looks whether somebody waits: one may have been given up in vain.
        self.reserve.refill();
    }

    fn admit(&mut self, epoll: &Epoll, stream: UnixStream, now: Time) {
        let Ok(peer) = Peer::of(&stream) else { return };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut client = Connection::new(stream, peer, now);
        if !(Uid::from_raw(peer.uid).is_root() || peer.uid == Uid::effective().as_raw()) {
            client.refuse(format!("uid {} is neither root nor musterd's own user", peer.uid), now);
            return;
        }
        if self.clients.len() >= MAX_CLIENTS && !self.close_idle(epoll, self.last_id) {
            client.refuse(format!("{MAX_CLIENTS} clients wait already"), now);
            return;
        }
        let id = self.last_id + 1;
        client.watched = client.interest();
        if epoll.add(&client.stream, EpollEvent::new(client.watched, self.token(id))).is_ok() {
            self.last_id = id;
            self.clients.insert(id, client);
        }
    }

    fn settle(&mut self, epoll: &Epoll, id: u64, heard: Heard) {
        let token = self.token(id);
        let Some(client) = self.clients.get_mut(&id) else { return };
        match heard {
            Heard::Nothing => {}
            Heard::Request(request) => {
                self.asked.push_back(Asked { client: ClientId(id), peer: client.peer, request });
            }
            Heard::End => return self.close(epoll, id),
        }
        let interest = client.interest();
        if interest != client.watched {
            client.watched = interest;
            if epoll.modify(&client.stream, &mut EpollEvent::new(interest, token)).is_err() {
                self.close(epoll, id);
            }
        }
    }

    /// Gives up on the client that was just answered if all together let too much wait.
    fn shed(&mut self, epoll: &Epoll, id: u64) {
        let waits = self.clients.get(&id).is_some_and(|client| client.queued() > 0);
        if waits && self.clients.values().map(Connection::queued).sum::<usize>() > MAX_QUEUED {
            self.close(epoll, id);
        }
    }

    /// Makes room: drops the client that has been idle for longest, of those up to `newest`; false if none is.
    fn close_idle(&mut self, epoll: &Epoll, newest: u64) -> bool {
        let known = self.clients.range(..=newest);
        let idle = known.filter_map(|(&id, client)| Some((client.idle_since()?, id)));
        let Some((_, id)) = idle.min() else { return false };
        self.close(epoll, id);
        true
    }

    fn close(&mut self, epoll: &Epoll, id: u64) {
        if let Some(client) = self.clients.remove(&id) {
            if client.awaits_answer() {
                self.hung_up.push_back(ClientId(id));
            }
            // Closing alone would not do while a child that has not executed yet holds a copy.
            let _ = epoll.delete(&client.stream);
        }
        // Only now is its descriptor free.
        self.reserve.refill();
    }

    fn listen(&self, epoll: &Epoll, on: bool) {
        let flags = if on { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        // Cannot fail: the listener is registered, and changing that takes no memory (epoll_ctl(2)).
        let _ = epoll.modify(&self.listener, &mut EpollEvent::new(flags, self.token(LISTENER)));
    }

    fn token(&self, id: u64) -> u64 {
        u64::from(self.tag) << TAG_SHIFT | id
    }
}
