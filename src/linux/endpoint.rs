//! The control socket, as soon as it can be had: services are managed all the same without it. Serves nobody itself.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::epoll::Epoll;

use super::{
    control::{BindError, Control, Guests},
    lock::{Lock, LockError},
    paths::{Place, Roots},
};
use crate::time::Time;

/// How long after the first failure it is tried again: a full disk may be cleaned up, a folder made writable.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause, each being twice the one before: a root that stays read-only should not wake an idle musterd.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// How often it is looked whether the socket's file is there still, when something else wakes musterd: a scan at the
/// latest.
const LOOK: Duration = Duration::from_secs(5);

/// Where clients reach musterd, or when that is tried again.
#[derive(Debug)]
pub(super) struct Endpoint {
    configured: Option<PathBuf>,
    guests: Guests,
    tag: u8,
    state: Result<Open, Retry>,
}

/// There is a socket.
#[derive(Debug)]
struct Open {
    control: Control,
    place: Place,
    /// `None`: the file system has no locks, or no room for one.
    lock: Option<Lock>,
    next_look: Time,
    /// Why its file cannot be made again, as it was told.
    told: Option<String>,
}

/// There is no socket yet.
#[derive(Debug)]
struct Retry {
    at: Time,
    pause: Duration,
    /// Whether it was told that another manager has the socket by now.
    told: bool,
}

impl Endpoint {
    /// Opens the socket, with tokens of this tag; returns also the folder of the record beside it.
    ///
    /// # Errors
    /// Another manager listens there, or is about to: both would manage the same services. No other failure is a
    /// reason not to begin.
    pub(super) fn open(
        configured: Option<&Path>,
        guests: Guests,
        epoll: &Epoll,
        tag: u8,
        now: Time,
    ) -> io::Result<(Self, Option<PathBuf>)> {
        let configured = configured.map(Path::to_owned);
        for user in guests.unknown() {
            let cause = format!("user {user} is not in /etc/passwd");
            tracing::warn!(
                cause,
                consequence = "nobody is let in by this name yet",
                "users of the control socket"
            );
        }
        match bind(configured.as_deref(), &guests, epoll, tag, now) {
            Ok(open) => {
                let folder = open.place.folder.clone();
                Ok((Self { configured, guests, tag, state: Ok(open) }, Some(folder)))
            }
            Err(error) => {
                if is_taken(&*error) {
                    return Err(io::Error::other(error.to_string()));
                }
                let consequence =
                    "musterd ctl cannot reach this manager; trying again in 5s, then less and less often";
                tracing::warn!(cause = %error, consequence, "no control socket");
                let retry = Retry { at: now + FIRST_PAUSE, pause: FIRST_PAUSE, told: false };
                Ok((Self { configured, guests, tag, state: Err(retry) }, None))
            }
        }
    }

    /// The socket, where there is one.
    pub(super) fn control(&mut self) -> Option<&mut Control> {
        self.state.as_mut().ok().map(|open| &mut open.control)
    }

    /// When to call [`Endpoint::tick`] next.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match &self.state {
            Ok(open) => open.control.next_deadline(),
            Err(retry) => Some(retry.at),
        }
    }

    /// Drops clients that are late, and makes the socket's file again if somebody has removed it; tries to open the socket
    /// if there is none, and returns the folder of the record then.
    pub(super) fn tick(&mut self, epoll: &Epoll, now: Time) -> Option<PathBuf> {
        match &mut self.state {
            Ok(open) => {
                open.control.expire(epoll, now);
                open.look(epoll, now);
            }
            Err(retry) if retry.at <= now => {
                match bind(self.configured.as_deref(), &self.guests, epoll, self.tag, now) {
                    Ok(open) => {
                        tracing::info!("control socket open");
                        let folder = open.place.folder.clone();
                        self.state = Ok(open);
                        return Some(folder);
                    }
                    Err(error) => retry.put_off(&*error, now),
                }
            }
            Err(_) => {}
        }
        None
    }
}

impl Retry {
    fn put_off(&mut self, error: &(dyn Error + 'static), now: Time) {
        if is_taken(error) && !self.told {
            let consequence = "musterd ctl reaches that one; both go on, and may start the same services";
            tracing::error!(cause = %error, consequence, "still no control socket");
            self.told = true;
        }
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        self.at = now + self.pause;
    }
}

impl Open {
    fn look(&mut self, epoll: &Epoll, now: Time) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        if self.control.is_in_place() {
            return;
        }
        let gone = format!("somebody removed {}", self.place.socket.display());
        match self.listen_again(epoll) {
            Ok(()) => {
                self.told = None;
                tracing::warn!(cause = gone, "control socket made again");
            }
            Err(error) => {
                let cause = format!("{gone}; {error}");
                if self.told.as_ref() != Some(&cause) {
                    let consequence = "musterd ctl cannot reach this manager; trying again";
                    tracing::error!(cause, consequence, "control socket lost");
                }
                self.told = Some(cause);
            }
        }
    }

    fn listen_again(&mut self, epoll: &Epoll) -> Result<(), Box<dyn Error>> {
        Roots::of_this_process().prepare(Some(&self.place.socket))?;
        if !self.lock.as_ref().is_some_and(Lock::is_in_place) {
            self.lock = lock(&self.place)?;
        }
        Ok(self.control.listen_again(epoll)?)
    }
}

fn bind(
    configured: Option<&Path>,
    guests: &Guests,
    epoll: &Epoll,
    tag: u8,
    now: Time,
) -> Result<Open, Box<dyn Error>> {
    let place = Roots::of_this_process().prepare(configured)?;
    let lock = lock(&place)?;
    let mut control = Control::bind(&place.socket, guests.clone())?;
    control.register(epoll, tag)?;
    Ok(Open { control, place, lock, next_look: now + LOOK, told: None })
}

/// Keeps others from taking the place: also where the socket's file is gone, and while two begin at once.
fn lock(place: &Place) -> Result<Option<Lock>, BindError> {
    match Lock::take(&place.folder) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held(pid)) => Err(BindError::InUse { path: place.socket.clone(), pid }),
        Err(LockError::Failed(error)) => {
            tracing::debug!(cause = %error, "no lock");
            Ok(None)
        }
    }
}

/// Whether another manager is why there is no socket.
fn is_taken(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<BindError>() {
        Some(BindError::InUse { .. }) => true,
        Some(BindError::NotASocket { .. } | BindError::Failed { .. }) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::net::UnixStream, path::PathBuf, time::Duration};

    use nix::sys::epoll::{Epoll, EpollCreateFlags};

    use super::*;
    use crate::{
        config::{LogFormat, LogLevel},
        linux::log::Log,
    };

    /// A folder of the test's own, gone with it.
    struct House(PathBuf);

    impl House {
        fn new(test: &str) -> Self {
            let path = env::temp_dir().join(format!("musterd-endpoint-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for House {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn epoll() -> Epoll {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap()
    }

    fn at(seconds: u64) -> Time {
        Time::from_boot(Duration::from_secs(seconds))
    }

    fn open(socket: &Path, epoll: &Epoll) -> io::Result<(Endpoint, Option<PathBuf>)> {
        Endpoint::open(Some(socket), Guests::default(), epoll, 1, at(0))
    }

    #[test]
    fn a_second_manager_does_not_begin() {
        let house = House::new("second");
        let socket = house.0.join("socket");
        let first = Control::bind(&socket, Guests::default()).unwrap();
        let refusal = open(&socket, &epoll()).unwrap_err().to_string();
        assert!(refusal.contains("the musterd with pid"), "{refusal}");
        drop(first);
        open(&socket, &epoll()).unwrap();
    }

    #[test]
    fn a_socket_that_somebody_removed_is_made_again() {
        let house = House::new("removed");
        let (socket, folder) = (house.0.join("socket"), house.0.join("socket.d"));
        let epoll = epoll();
        let (mut endpoint, _) = open(&socket, &epoll).unwrap();
        let is_there = || UnixStream::connect(&socket).is_ok();
        fs::remove_file(&socket).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(endpoint.next_deadline(), None, "nothing wakes musterd for this alone");
        endpoint.tick(&epoll, at(4));
        assert!(!is_there(), "not at each turn");
        endpoint.tick(&epoll, at(5));
        assert!(is_there() && folder.join("lock").exists());

        fs::remove_file(&socket).unwrap();
        fs::write(&socket, "precious").unwrap();
        endpoint.tick(&epoll, at(10));
        assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
        fs::remove_file(&socket).unwrap();
        endpoint.tick(&epoll, at(15));
        assert!(is_there());
        drop(endpoint);
        assert!(!socket.exists());
    }

    #[test]
    fn without_a_place_it_is_tried_less_and_less_often() {
        let house = House::new("pause");
        let socket = house.0.join("later/socket");
        let epoll = epoll();
        let (mut endpoint, folder) = open(&socket, &epoll).unwrap();
        assert_eq!(folder, None);
        let mut tried = Vec::new();
        for _ in 0..9 {
            let due = endpoint.next_deadline().unwrap();
            tried.push(due.since(at(0)).as_secs());
            assert_eq!(endpoint.tick(&epoll, due), None);
        }
        assert_eq!(tried, [5, 15, 35, 75, 155, 315, 615, 915, 1215]);
        fs::create_dir(house.0.join("later")).unwrap();
        assert_eq!(endpoint.tick(&epoll, at(1514)), None, "not yet");
        assert_eq!(endpoint.tick(&epoll, at(1515)), Some(house.0.join("later/socket.d")));
    }

    #[test]
    fn a_manager_that_was_faster_is_told_once() {
        let house = House::new("faster");
        let socket = house.0.join("later/socket");
        let (epoll, log) = (epoll(), Log::new(LogFormat::Text, LogLevel::Error));
        log.attach();
        let (mut endpoint, _) = open(&socket, &epoll).unwrap();
        fs::create_dir(house.0.join("later")).unwrap();
        let _other = Control::bind(&socket, Guests::default()).unwrap();
        let mut told = Vec::new();
        tracing::subscriber::with_default(log.clone(), || {
            for seconds in [5, 100, 1000] {
                assert_eq!(endpoint.tick(&epoll, at(seconds)), None);
            }
        });
        log.take(&mut told);
        let told = String::from_utf8(told).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(
            told.contains("the musterd with pid") && told.contains("musterd ctl reaches that one"),
            "{told}"
        );
    }
}
