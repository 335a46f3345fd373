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
    sys::{
        epoll::{Epoll, EpollEvent, EpollFlags},
        stat::Mode,
    },
};

mod bind;
mod connection;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guests;
#[cfg(test)]
mod tests;

pub use bind::BindError;
use bind::{OPEN, PRIVATE, SocketFile, bind_path};
pub use connection::Peer;
use connection::{Connection, Heard};
pub use guests::Guests;
use guests::Right;

use super::reserve::Reserve;
use crate::{
    protocol::{Request, Response},
    supervisor::ClientId,
    time::Time,
};

/// Clients at a time. Each has a descriptor, of which a process often may have no more than 1,024, and the
/// services need most of them.
const MAX_CLIENTS: usize = 256;

/// Of these, clients of other users than root and musterd's own: however many they are, there is room for an operator.
const MAX_GUESTS: usize = MAX_CLIENTS / 2;

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
    /// Whether it may only look.
    pub observes: bool,
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
    file: SocketFile,
    guests: Guests,
    tag: u8,
    clients: BTreeMap<u64, Connection>,
    last_id: u64,
    asked: VecDeque<Asked>,
    hung_up: VecDeque<ClientId>,
    paused_until: Option<Time>,
    reserve: Reserve,
}

impl Control {
    /// Listens on `path`, with mode 0600 from the first moment, or 0666 where there are guests. The file goes when this
    /// value is dropped.
    ///
    /// # Errors
    /// [`BindError::InUse`] if a manager listens there; a dead one's socket is replaced.
    pub fn bind(path: &Path, guests: Guests) -> Result<Self, BindError> {
        let (listener, file) = bind_path(path, mode_for(&guests))?;
        let reserve = Reserve::new(RESERVED).map_err(|error| BindError::Failed {
            path: path.to_owned(),
            step: "reserve descriptors for clients",
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        })?;
        Ok(Self {
            reserve,
            listener,
            file,
            guests,
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

    /// Whether clients that come now reach this manager: nobody has removed or replaced the socket's file.
    pub fn is_in_place(&self) -> bool {
        self.file.is_in_place()
    }

    /// Makes the file again; the clients that are there stay.
    ///
    /// # Errors
    /// As of [`Control::bind`], and what epoll says.
    pub fn listen_again(&mut self, epoll: &Epoll) -> Result<(), BindError> {
        let path = self.file.path.clone();
        let (listener, file) = bind_path(&path, mode_for(&self.guests))?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.token(LISTENER));
        let told = epoll.add(&listener, event);
        told.map_err(|errno| BindError::Failed { path, step: "listen to clients", errno })?;
        // Who connected to the old one and was not accepted yet is hung up on.
        let _ = epoll.delete(&self.listener);
        (self.listener, self.file, self.paused_until) = (listener, file, None);
        Ok(())
    }

    /// Takes up what epoll saw.
    pub fn ready(&mut self, epoll: &Epoll, token: u64, now: Time) {
        let id = token & !(u64::MAX << TAG_SHIFT);
        if id == LISTENER {
            self.accept(epoll, now);
        } else if let Some(client) = self.clients.get_mut(&id) {
            let heard = client.ready(now);
            self.settle(epoll, id, heard, now);
        }
    }

    /// The next request that nobody has taken yet.
    pub fn next_request(&mut self) -> Option<Asked> {
        self.asked.pop_front()
    }

    /// Whether there is one.
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether the client is still there.
    pub fn has(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client.0)
    }

    /// The next client that went, or was dropped, without having been answered, and whose request was taken.
    pub fn next_hang_up(&mut self) -> Option<ClientId> {
        let is_taken = |client: &ClientId| !self.asked.iter().any(|asked| asked.client == *client);
        let at = self.hung_up.iter().position(is_taken)?;
        self.hung_up.remove(at)
    }

    /// Answers a client's request, whenever that can be; nothing happens if it has hung up.
    pub fn reply(&mut self, epoll: &Epoll, client: ClientId, response: &Response, now: Time) {
        if let Some(connection) = self.clients.get_mut(&client.0) {
            let heard = connection.answer(response, now);
            self.settle(epoll, client.0, heard, now);
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
                    _ if self.close_idle(epoll, known, Right::Host) || self.reserve.release_one() => {}
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
        let right = self.guests.right_of(peer.uid);
        let mut client = Connection::new(stream, peer, right, now);
        if right == Right::Nothing {
            let them = if self.guests.is_empty() { "" } else { ", and not among those who are let in" };
            client.refuse(format!("uid {} is neither root nor musterd's own user{them}", peer.uid), now);
            return;
        }
        if let Some(limit) = self.full_for(right)
            && !self.close_idle(epoll, self.last_id, right)
        {
            client.refuse(format!("{limit} clients wait already"), now);
            return;
        }
        let id = self.last_id + 1;
        client.watched = client.interest();
        if epoll.add(&client.stream, EpollEvent::new(client.watched, self.token(id))).is_ok() {
            self.last_id = id;
            self.clients.insert(id, client);
        }
    }

    /// How many clients there can be, if there are as many and this is one more.
    fn full_for(&self, right: Right) -> Option<usize> {
        let guests = || self.clients.values().filter(|client| client.right != Right::Host).count();
        if right != Right::Host && guests() >= MAX_GUESTS {
            return Some(MAX_GUESTS);
        }
        (self.clients.len() >= MAX_CLIENTS).then_some(MAX_CLIENTS)
    }

    fn settle(&mut self, epoll: &Epoll, id: u64, heard: Heard, now: Time) {
        let token = self.token(id);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let heard = match heard {
            Heard::Request(request) if !client.right.allows(&request) => {
                let (uid, verb) = (client.peer.uid, request.verb());
                client.refuse(format!("uid {uid} may only look (manager.observers), not {verb}"), now)
            }
            heard => heard,
        };
        match heard {
            Heard::Nothing => {}
            Heard::Request(request) => {
                let (peer, observes) = (client.peer, client.right == Right::Look);
                self.asked.push_back(Asked { client: ClientId(id), peer, observes, request });
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

    /// Gives up on a client that does not read if all together let too much wait: on guests first, then on who lets most
    /// wait.
    fn shed(&mut self, epoll: &Epoll, id: u64) {
        let waits = self.clients.get(&id).is_some_and(|client| client.queued() > 0);
        if waits && self.clients.values().map(Connection::queued).sum::<usize>() > MAX_QUEUED {
            let queue = |client: &Connection| (client.right != Right::Host, client.queued());
            let waiting = self.clients.iter().filter(|(_, client)| client.queued() > 0);
            if let Some(id) = waiting.max_by_key(|(_, client)| queue(client)).map(|(&id, _)| id) {
                self.close(epoll, id);
            }
        }
    }

    /// Makes room for a client of this right: drops the one that has been idle for longest, of those up to `newest`;
    /// false if none is. For a guest no other has to go.
    fn close_idle(&mut self, epoll: &Epoll, newest: u64, right: Right) -> bool {
        let known = self.clients.range(..=newest);
        let below = known.filter(|(_, client)| right == Right::Host || client.right != Right::Host);
        let idle = below.filter_map(|(&id, client)| Some((client.idle_since()?, id)));
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

fn mode_for(guests: &Guests) -> Mode {
    if guests.is_empty() { PRIVATE } else { OPEN }
}
