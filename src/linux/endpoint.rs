//! The control socket, as soon as it can be had: services are managed all the same without it. Serves nobody itself.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::epoll::Epoll;

use super::{
    control::{BindError, Control},
    paths::Roots,
};
use crate::time::Time;

/// How long after the first failure it is tried again: a full disk may be cleaned up, a folder made writable.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause, each being twice the one before: a root that stays read-only should not wake an idle musterd.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Where clients reach musterd, or when that is tried again.
#[derive(Debug)]
pub(super) struct Endpoint {
    configured: Option<PathBuf>,
    tag: u8,
    state: Result<Control, Retry>,
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
        epoll: &Epoll,
        tag: u8,
        now: Time,
    ) -> io::Result<(Self, Option<PathBuf>)> {
        let configured = configured.map(Path::to_owned);
        match bind(configured.as_deref(), epoll, tag) {
            Ok((control, folder)) => Ok((Self { configured, tag, state: Ok(control) }, Some(folder))),
            Err(error) => {
                if is_taken(&*error) {
                    return Err(io::Error::other(error.to_string()));
                }
                let consequence =
                    "musterd ctl cannot reach this manager; trying again in 5s, then less and less often";
                tracing::warn!(cause = %error, consequence, "no control socket");
                let retry = Retry { at: now + FIRST_PAUSE, pause: FIRST_PAUSE, told: false };
                Ok((Self { configured, tag, state: Err(retry) }, None))
            }
        }
    }

    /// The socket, where there is one.
    pub(super) fn control(&mut self) -> Option<&mut Control> {
        self.state.as_mut().ok()
    }

    /// When to call [`Endpoint::tick`] next.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match &self.state {
            Ok(control) => control.next_deadline(),
            Err(retry) => Some(retry.at),
        }
    }

    /// Drops clients that are late; tries to open the socket again, and returns the folder of the record then.
    pub(super) fn tick(&mut self, epoll: &Epoll, now: Time) -> Option<PathBuf> {
        match &mut self.state {
            Ok(control) => control.expire(epoll, now),
            Err(retry) if retry.at <= now => match bind(self.configured.as_deref(), epoll, self.tag) {
                Ok((control, folder)) => {
                    tracing::info!("control socket open");
                    self.state = Ok(control);
                    return Some(folder);
                }
                Err(error) => {
                    if is_taken(&*error) && !retry.told {
                        let consequence =
                            "musterd ctl reaches that one; both go on, and may start the same services";
                        tracing::error!(cause = %error, consequence, "still no control socket");
                        retry.told = true;
                    }
                    retry.pause = LONGEST_PAUSE.min(retry.pause * 2);
                    retry.at = now + retry.pause;
                }
            },
            Err(_) => {}
        }
        None
    }
}

fn bind(configured: Option<&Path>, epoll: &Epoll, tag: u8) -> Result<(Control, PathBuf), Box<dyn Error>> {
    let place = Roots::of_this_process().prepare(configured)?;
    let mut control = Control::bind(&place.socket)?;
    control.register(epoll, tag)?;
    Ok((control, place.folder))
}

/// Whether another manager is why there is no socket.
fn is_taken(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<BindError>() {
        Some(BindError::InUse { .. } | BindError::Busy { .. }) => true,
        Some(BindError::NotASocket { .. } | BindError::Failed { .. }) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::net::UnixListener, path::PathBuf, time::Duration};

    use nix::sys::epoll::{Epoll, EpollCreateFlags};
    use rustix::fs::FlockOperation;

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

    #[test]
    fn a_second_manager_does_not_begin() {
        let house = House::new("second");
        let socket = house.0.join("socket");
        let open = || Endpoint::open(Some(&socket), &epoll(), 1, at(0)).map(drop);
        let first = Control::bind(&socket).unwrap();
        assert!(open().unwrap_err().to_string().contains("the musterd with pid"));
        drop(first);

        // A dead one's socket, which another one is replacing at this moment.
        drop(UnixListener::bind(&socket).unwrap());
        let folder = fs::File::open(&house.0).unwrap();
        rustix::fs::flock(&folder, FlockOperation::LockExclusive).unwrap();
        assert!(open().unwrap_err().to_string().contains("another musterd is just starting there"));
        drop(folder);
        open().unwrap();
    }

    #[test]
    fn without_a_place_it_is_tried_less_and_less_often() {
        let house = House::new("pause");
        let socket = house.0.join("later/socket");
        let epoll = epoll();
        let (mut endpoint, folder) = Endpoint::open(Some(&socket), &epoll, 1, at(0)).unwrap();
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
        let (mut endpoint, _) = Endpoint::open(Some(&socket), &epoll, 1, at(0)).unwrap();
        fs::create_dir(house.0.join("later")).unwrap();
        let _other = Control::bind(&socket).unwrap();
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
