//! The control socket with real clients, and a clock that moves only when it is told to.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::PathBuf,
};

use nix::sys::{
    epoll::EpollCreateFlags,
    resource::{Resource, getrlimit, setrlimit},
};
use nix::unistd::Uid;

use super::{connection::PATIENCE, *};
use crate::protocol::{MISUNDERSTOOD, StateName, Status};

const TAG: u8 = 7;
const STATUS: &[u8] = b"{\"verb\":\"status\"}\n";

/// A control socket with the loop around it. Time stands still unless a test moves it.
struct House {
    folder: PathBuf,
    epoll: Epoll,
    control: Control,
    now: Time,
}

impl House {
    fn new(test: &str) -> Self {
        let folder = folder(test);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let mut control = Control::bind(&folder.join("socket"), Guests::default()).unwrap();
        control.register(&epoll, TAG).unwrap();
        Self { folder, epoll, control, now: Time::from_boot(Duration::from_secs(1000)) }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.join("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn client(&mut self, words: &[u8]) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(words).unwrap();
        self.settle();
        stream
    }

    /// Takes up events until there are none; each was caused by the test before, so none is waited for.
    fn settle(&mut self) {
        let mut events = [EpollEvent::empty(); 16];
        for _ in 0..10_000 {
            let count = self.epoll.wait(&mut events, 0u8).unwrap();
            if count == 0 {
                return;
            }
            for event in &events[..count] {
                assert_eq!(event.data() >> TAG_SHIFT, u64::from(self.control.tag));
                self.control.ready(&self.epoll, event.data(), self.now);
            }
        }
        panic!("the loop spins");
    }

    fn asked(&mut self) -> Asked {
        self.control.next_request().unwrap()
    }

    fn reply(&mut self, client: ClientId, response: &Response) {
        self.control.reply(&self.epoll, client, response, self.now);
        self.settle();
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.control.expire(&self.epoll, self.now);
        self.settle();
    }

    fn is_at_service(&mut self) {
        let mut stream = self.client(STATUS);
        let asked = self.asked();
        self.reply(asked.client, &answer("well"));
        assert_eq!(line(&mut stream), answer("well"));
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("musterd-control-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn answer(reason: &str) -> Response {
    Response::Refused { reason: reason.to_owned() }
}

fn line(stream: &mut UnixStream) -> Response {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn refusal(stream: &mut UnixStream) -> String {
    match line(stream) {
        Response::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// A response too long for the kernel's buffers.
fn long_answer(services: usize) -> Response {
    let status = |name| Status {
        name,
        state: StateName::Running,
        wanted: true,
        pid: Some(1),
        restarts: 0,
        reason: "x".repeat(1000),
        since: "2026-11-21T00:00:00Z".to_owned(),
        seconds: 1.5,
        ..Status::default()
    };
    Response::Services { services: (0..services).map(|at| status(at.to_string())).collect() }
}

fn has_ended(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn requests_are_given_out_and_answered_in_order() {
    let mut house = House::new("order");
    let mut stream = house.client(b"{\"verb\":\"status\"}\n{\"verb\":\"stop\",\"names\":[\"a\"]}\n{\"verb\"");
    let first = house.asked();
    assert_eq!(first.request, Request::status(vec![]));
    assert_eq!(first.peer, Peer { uid: Uid::effective().as_raw(), pid: std::process::id() as i32 });
    assert_eq!(house.control.next_request(), None, "one at a time");

    house.reply(first.client, &answer("first"));
    let second = house.asked();
    assert_eq!(second.request, Request::Stop { names: vec!["a".to_owned()], wait: true });
    house.wait(Duration::from_secs(3600));
    house.reply(second.client, &answer("second, an hour later"));
    let mut lines = BufReader::new(&mut stream).lines();
    assert!(lines.next().unwrap().unwrap().contains("first"));
    assert!(lines.next().unwrap().unwrap().contains("an hour later"));

    stream.write_all(b":\"status\"}\n").unwrap();
    house.settle();
    assert_eq!(house.asked().client, second.client);
    drop(stream);
    house.settle();
    assert_eq!(house.control.clients.len(), 0, "who hung up is forgotten");
    assert_eq!(house.control.next_hang_up(), Some(second.client));
    assert_eq!(house.control.next_hang_up(), None, "once");
    house.reply(second.client, &answer("to nobody"));
    assert_eq!(house.control.next_deadline(), None);
}

#[test]
fn who_only_stopped_sending_is_answered() {
    let mut house = House::new("half-closed");
    let mut stream = house.client(STATUS);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    house.settle();
    let asked = house.asked();
    house.reply(asked.client, &answer("here you are"));
    assert_eq!(refusal(&mut stream), "here you are");
    assert!(has_ended(&mut stream));
    assert_eq!(house.control.clients.len(), 0);
}

#[test]
fn garbage_is_answered_and_the_connection_ends() {
    let mut house = House::new("garbage");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\xff\xfe\n", b"{\"verb\":\"fly\"}\n", b"\n"] {
        let mut stream = house.client(garbage);
        assert!(refusal(&mut stream).starts_with(MISUNDERSTOOD));
        assert!(has_ended(&mut stream));
        assert_eq!(house.control.next_request(), None);
        assert_eq!(house.control.clients.len(), 0);
    }
    house.is_at_service();
}

#[test]
fn a_line_of_a_megabyte_is_refused_at_its_64th_kibibyte() {
    let mut house = House::new("long-line");
    let mut stream = house.connect();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < 1024 * 1024 {
        match stream.write(&[b' '; 4096]) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => house.settle(),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < 1024 * 1024, "musterd took it all");
    assert_eq!(refusal(&mut stream), "the request is longer than 65536 bytes");
    assert_eq!(house.control.clients.len(), 0);

    let names = vec!["n".repeat(1000); 60];
    let longest = Request::Stop { names, wait: true };
    house.client(&longest.to_line());
    assert_eq!(house.asked().request, longest, "what is just short enough is served");
}

#[test]
fn half_a_line_is_waited_for_and_then_no_more() {
    let mut house = House::new("half-line");
    let mut stream = house.client(b"{\"verb\"");
    let deadline = house.now + PATIENCE;
    assert_eq!(house.control.next_deadline(), Some(deadline));
    house.wait(PATIENCE / 2);
    stream.write_all(b":").unwrap();
    house.settle();
    assert_eq!(house.control.next_deadline(), Some(deadline), "a trickle wins no time");
    house.wait(PATIENCE / 2 - Duration::from_nanos(1));
    assert_eq!(house.control.clients.len(), 1);
    house.wait(Duration::from_nanos(1));
    assert_eq!(house.control.clients.len(), 0);
    assert!(has_ended(&mut stream));
    house.is_at_service();
}

#[test]
fn who_does_not_read_loses_the_connection() {
    let mut house = House::new("never-reads");
    let deaf = house.client(STATUS);
    let asked = house.asked();
    house.reply(asked.client, &long_answer(1000));
    assert_eq!(house.control.next_deadline(), Some(house.now + PATIENCE));
    house.is_at_service();
    house.wait(PATIENCE);
    assert_eq!(house.control.clients.len(), 0);
    drop(deaf);
}

#[test]
fn a_long_answer_arrives_whole() {
    let mut house = House::new("long-answer");
    let mut stream = house.client(STATUS);
    stream.set_nonblocking(true).unwrap();
    let asked = house.asked();
    house.reply(asked.client, &long_answer(1000));
    let (mut text, mut chunk) = (Vec::new(), [0; 65536]);
    while text.last() != Some(&b'\n') {
        match stream.read(&mut chunk) {
            Ok(length) => text.extend_from_slice(&chunk[..length]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                house.settle();
            }
        }
    }
    assert_eq!(serde_json::from_slice::<Response>(&text).unwrap(), long_answer(1000));
    assert_eq!(house.control.next_deadline(), None);
}

#[test]
fn answers_that_nobody_reads_have_a_limit_together() {
    let mut house = House::new("all-deaf");
    let response = long_answer(4000);
    let mut deaf = Vec::new();
    for _ in 0..10 {
        deaf.push(house.client(STATUS));
        let asked = house.asked();
        house.reply(asked.client, &response);
    }
    let queued: usize = house.control.clients.values().map(Connection::queued).sum();
    assert!(queued <= MAX_QUEUED, "{queued}");
    assert!((3..6).contains(&house.control.clients.len()), "{}", house.control.clients.len());
    house.is_at_service();
}

#[test]
fn a_thousand_idle_connections_leave_room_for_one_that_asks() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(4096)), hard).unwrap();
    let mut house = House::new("idle");
    let mut waiting = house.client(STATUS);
    let asked = house.asked();
    let mut idle: Vec<UnixStream> = (0..1000).map(|_| house.client(b"")).collect();
    assert_eq!(house.control.clients.len(), MAX_CLIENTS);
    house.is_at_service();
    assert!(has_ended(&mut idle[0]), "the oldest went");
    house.reply(asked.client, &answer("patience is rewarded"));
    assert_eq!(refusal(&mut waiting), "patience is rewarded");
    idle.clear();
    house.settle();
    assert_eq!(house.control.clients.len(), 1);
}

#[test]
fn where_all_wait_for_answers_one_more_is_told_so() {
    let mut house = House::new("all-wait");
    let waiting: Vec<UnixStream> = (0..MAX_CLIENTS).map(|_| house.client(STATUS)).collect();
    assert_eq!(refusal(&mut house.client(b"")), "256 clients wait already");
    drop(waiting);
    house.settle();
    house.control.asked.clear();
    house.is_at_service();
}

#[test]
fn the_file_is_private_and_goes_with_its_owner() {
    let house = House::new("file");
    let path = house.folder.join("socket");
    let file = fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o600);
    drop(house);
    assert!(!path.exists());
}

#[test]
fn where_others_are_let_in_the_file_is_open_whatever_the_umask() {
    let folder = folder("open");
    let path = folder.join("socket");
    let guests = Guests { users: vec![], observers: vec![crate::config::User::Id(65_533)] };
    let control = Control::bind(&path, guests).unwrap();
    let file = fs::symlink_metadata(&path).unwrap();
    assert_eq!(file.permissions().mode() & 0o7777, 0o666);
    drop(control);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_living_manager_keeps_its_socket() {
    let mut house = House::new("in-use");
    let path = house.folder.join("socket");
    let error = Control::bind(&path, Guests::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {}: the musterd with pid {} does", path.display(), std::process::id())
    );
    house.settle();
    house.is_at_service();
}

#[test]
fn a_dead_managers_socket_is_replaced() {
    let folder = folder("stale");
    let path = folder.join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = Control::bind(&path, Guests::default()).unwrap();
    assert!(UnixStream::connect(&path).is_ok());

    fs::remove_file(&path).unwrap();
    let successor = Control::bind(&path, Guests::default()).unwrap();
    drop(first);
    assert!(UnixStream::connect(&path).is_ok(), "the file of a successor stays");
    drop(successor);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_not_a_socket_is_never_removed() {
    let folder = folder("not-a-socket");
    let path = folder.join("notes");
    fs::write(&path, "precious").unwrap();
    let error = Control::bind(&path, Guests::default()).unwrap_err().to_string();
    assert_eq!(error, format!("cannot listen on {}: there is a file that is not a socket", path.display()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let missing = folder.join("none/socket");
    assert_eq!(
        Control::bind(&missing, Guests::default()).unwrap_err().to_string(),
        format!(
            "cannot listen on {}: cannot create the socket: No such file or directory",
            missing.display()
        )
    );
    let long = folder.join("x".repeat(200));
    assert!(
        Control::bind(&long, Guests::default()).unwrap_err().to_string().contains("cannot use this path")
    );
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_hang_up_is_told_when_what_was_asked_was_taken() {
    let mut house = House::new("early");
    drop(house.client(STATUS));
    house.settle();
    assert!(house.control.is_asked());
    assert_eq!(house.control.next_hang_up(), None);
    let asked = house.control.next_request().unwrap();
    assert!(!house.control.is_asked());
    assert_eq!(house.control.next_hang_up(), Some(asked.client));
}
