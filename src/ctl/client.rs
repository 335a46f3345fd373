//! Finds a manager's socket, asks one request and reads the answer. Shows nothing.

use std::{
    fmt,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt},
        time::TimeVal,
    },
    unistd::Uid,
};

use crate::{
    config::{self, Sources},
    linux::{control::Peer, paths::Roots},
    protocol::{Request, Response},
};

/// How long a manager may take to let us in and to take the request: its loop never waits for anybody.
const SEND_LIMIT: i64 = 10;

/// The longest answer: ten times what 10,000 services need.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Where a manager is looked for.
#[derive(Debug)]
pub(super) enum Where {
    /// There and nowhere else. Who named the socket vouches for it.
    Named(PathBuf),
    /// The usual places. One is under /tmp, where anybody can listen: the peer must be root or our own user.
    Usual(Vec<PathBuf>),
}

impl Where {
    /// The socket that was named, else the configured one, else the usual ones.
    pub(super) fn find(named: Option<PathBuf>) -> Self {
        let usual = || Roots::of_this_process().places().into_iter().map(|place| place.socket).collect();
        named
            .or_else(|| config::socket(&Sources::of_this_process()))
            .map_or_else(|| Where::Usual(usual()), Where::Named)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody listens on any of these sockets, each with the reason.
    Nobody(Vec<(PathBuf, String)>),
    /// A manager was asked, and this came of it.
    Lost(PathBuf, String),
    /// A manager was asked, and did not answer within this time.
    Late(PathBuf, Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Nobody(tried) => {
                let tried: Vec<String> =
                    tried.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect();
                let tried = tried.join(", ");
                write!(f, "cannot reach a manager: tried {tried}; ")?;
                write!(f, "is it running? name its socket with --socket or MUSTERD_SOCKET")
            }
            Failure::Lost(path, what) => write!(f, "cannot get an answer from {}: {what}", path.display()),
            Failure::Late(path, limit) => {
                let limit = humantime::format_duration(*limit);
                write!(f, "cannot get an answer from {}: nothing came within {limit}", path.display())
            }
        }
    }
}

/// A connection to one manager, for requests one after another.
pub(super) struct Conversation {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Conversation {
    /// Connects to the manager.
    pub(super) fn open(place: &Where) -> Result<Self, Failure> {
        let (path, stream) = reach(place)?;
        Ok(Self { path, stream: BufReader::new(stream) })
    }

    /// Asks it; without a limit the answer may take any time.
    pub(super) fn ask(&mut self, request: &Request, limit: Option<Duration>) -> Result<Response, Failure> {
        // Who is refused is told so and cut off, so a failed write may have an answer all the same.
        let sent = self.send(request);
        self.receive(limit).map_err(|lost| sent.err().unwrap_or(lost))
    }

    /// Sends a request, whose answer is to be received.
    pub(super) fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let sent = self.stream.get_mut().write_all(&request.to_line());
        sent.map_err(|error| Failure::Lost(self.path.clone(), told(&error)))
    }

    /// Receives an answer; without a limit it may take any time.
    pub(super) fn receive(&mut self, limit: Option<Duration>) -> Result<Response, Failure> {
        receive(&mut self.stream, limit).map_err(|why| match why {
            Why::Late(limit) => Failure::Late(self.path.clone(), limit),
            Why::Other(what) => Failure::Lost(self.path.clone(), what),
        })
    }
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}

fn reach(place: &Where) -> Result<(PathBuf, UnixStream), Failure> {
    let (paths, any_user) = match place {
        Where::Named(path) => (std::slice::from_ref(path), true),
        Where::Usual(paths) => (paths.as_slice(), false),
    };
    let mut tried = Vec::new();
    for path in paths {
        let reached = dial(path).map_err(|errno| match errno {
            Errno::EAGAIN => "it lets nobody in".to_owned(),
            errno => errno.desc().to_owned(),
        });
        match reached.and_then(|stream| if any_user { Ok(stream) } else { vouch(stream) }) {
            Ok(stream) => return Ok((path.clone(), stream)),
            Err(why) => tried.push((path.clone(), why)),
        }
    }
    Err(Failure::Nobody(tried))
}

/// As `UnixStream::connect`, which would wait for ever where too many wait already.
fn dial(path: &Path) -> nix::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(SEND_LIMIT, 0))?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn vouch(stream: UnixStream) -> Result<UnixStream, String> {
    let peer = Peer::of(&stream).map_err(|errno: Errno| errno.desc().to_owned())?;
    if peer.uid == 0 || peer.uid == Uid::effective().as_raw() {
        Ok(stream)
    } else {
        Err(format!("not trusted: uid {} listens there", peer.uid))
    }
}

/// Why an exchange came to nothing.
enum Why {
    /// So much time has passed.
    Late(Duration),
    /// It is told.
    Other(String),
}

fn receive(stream: &mut BufReader<UnixStream>, limit: Option<Duration>) -> Result<Response, Why> {
    let mut line = Vec::new();
    let read = stream
        .get_mut()
        .set_read_timeout(limit)
        .and_then(|()| stream.take(MAX_ANSWER).read_until(b'\n', &mut line));
    if line.last() == Some(&b'\n') {
        let is_musterd = line.starts_with(b"{");
        let remedy = || if is_musterd { remedy(stream.get_ref()) } else { String::new() };
        return Response::parse(&line).map_err(|what| Why::Other(what + &remedy()));
    }
    match read {
        Ok(_) => Err(Why::Other("it hung up".to_owned())),
        Err(error) => Err(why(&error, limit)),
    }
}

/// How a manager of another version is asked in its own words.
fn remedy(stream: &UnixStream) -> String {
    match Peer::of(stream) {
        Ok(Peer { pid, .. }) if pid > 0 => {
            format!("; its own program speaks as it does: /proc/{pid}/exe ctl")
        }
        Ok(_) | Err(_) => String::new(),
    }
}

fn why(error: &io::Error, limit: Option<Duration>) -> Why {
    match (error.kind(), limit) {
        (ErrorKind::WouldBlock, Some(limit)) => Why::Late(limit),
        _ => Why::Other(told(error)),
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => "it hung up".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::net::UnixListener};

    use super::*;

    #[test]
    fn a_manager_that_says_nothing_is_not_waited_for() {
        let path = env::temp_dir().join(format!("musterd-client-silent-{}", std::process::id()));
        let _listener = UnixListener::bind(&path).unwrap();
        let request = Request::status(vec![]);
        let limit = Some(Duration::from_millis(20));
        let mut conversation = Conversation::open(&Where::Named(path.clone())).unwrap();
        let failure = conversation.ask(&request, limit).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert_eq!(
            failure.to_string(),
            format!("cannot get an answer from {}: nothing came within 20ms", path.display())
        );
    }

    #[test]
    fn our_own_manager_is_trusted_in_the_usual_places_and_the_first_is_taken() {
        let path = env::temp_dir().join(format!("musterd-client-usual-{}", std::process::id()));
        let _listener = UnixListener::bind(&path).unwrap();
        let usual = Where::Usual(vec![PathBuf::from("/nonexistent/musterd.sock"), path.clone()]);
        let reached = reach(&usual).map(|(path, _)| path);
        fs::remove_file(&path).unwrap();
        assert_eq!(reached.unwrap(), path);
        assert_eq!(
            reach(&usual).unwrap_err().to_string(),
            format!(
                "cannot reach a manager: tried /nonexistent/musterd.sock (No such file or directory), {} \
                 (No such file or directory); is it running? name its socket with --socket or MUSTERD_SOCKET",
                path.display()
            )
        );
    }
}
