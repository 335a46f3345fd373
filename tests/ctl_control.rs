//! The real `musterd ctl` against the real control socket, with its loop played by the test.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use musterd::{
    config::User,
    linux::control::{Asked, Control, Guests},
    protocol::{Request, Response, StateName, Status},
    time::Time,
};
use nix::{
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent},
    unistd::Uid,
};

const NOW: Time = Time::from_boot(Duration::from_secs(1));

struct House {
    folder: PathBuf,
    epoll: Epoll,
    control: Control,
}

impl House {
    fn new(test: &str) -> Self {
        Self::with(test, Guests::default())
    }

    fn with(test: &str, guests: Guests) -> Self {
        let folder = env::temp_dir().join(format!("musterd-ctl-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let mut control = Control::bind(&folder.join("socket"), guests).unwrap();
        control.register(&epoll, 1).unwrap();
        Self { folder, epoll, control }
    }

    fn ctl(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("ctl").args(arguments).arg("--socket").arg(self.folder.join("socket"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Waits for something to happen on the socket, and takes it up.
    fn turn(&mut self) {
        let mut events = [EpollEvent::empty(); 8];
        let count = self.epoll.wait(&mut events, 20_000u16).unwrap();
        assert!(count > 0, "nothing came within 20 s");
        for event in &events[..count] {
            self.control.ready(&self.epoll, event.data(), NOW);
        }
    }

    fn asked(&mut self) -> Asked {
        loop {
            if let Some(asked) = self.control.next_request() {
                return asked;
            }
            self.turn();
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Copies a program to where another user may execute it. Not by `fs::copy`: while a child of another test
/// still holds a copy of the descriptor written to, nobody can execute it (ETXTBSY).
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_musterd"))
}

fn result(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn a_start_is_answered_when_it_is_done() {
    let mut house = House::new("start");
    let mut child = house.ctl(binary(), &["start", "web"]).spawn().unwrap();
    let asked = house.asked();
    assert_eq!(asked.request, Request::Start { names: vec!["web".to_owned()], wait: true });
    assert_eq!(asked.peer.pid, child.id() as i32);
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    let web = Status {
        name: "web".to_owned(),
        state: StateName::Running,
        wanted: true,
        pid: Some(7),
        restarts: 0,
        reason: "started by ctl".to_owned(),
        since: "2026-11-21T12:00:00Z".to_owned(),
        seconds: 0.5,
        ..Status::default()
    };
    house.control.reply(&house.epoll, asked.client, &Response::Services { services: vec![web] }, NOW);
    let table = "\
NAME  STATE    PID  UPTIME  RESTARTS  REASON
web   running  7    0s      0         started by ctl
";
    assert_eq!(result(child), (Some(0), table.to_owned(), String::new()));
}

fn another_user_is_refused_even_where_the_mode_would_let_him_in() {
    let mut house = House::new("user");
    open(&house.folder, 0o755);
    open(&house.folder.join("socket"), 0o666);
    let program = house.folder.join("musterd");
    copy(binary(), &program);
    let child = house.ctl(&program, &["status"]).uid(65534).gid(65534).spawn().unwrap();
    house.turn();
    assert_eq!(house.control.next_request(), None);
    let refusal = "musterd: refused: uid 65534 is neither root nor musterd's own user\n";
    assert_eq!(result(child), (Some(4), String::new(), refusal.to_owned()));

    open(&house.folder.join("socket"), 0o600);
    let child = house.ctl(&program, &["status"]).uid(65534).gid(65534).spawn().unwrap();
    let (code, _, told) = result(child);
    assert!(told.contains("(Permission denied)"), "{told}");
    assert_eq!(code, Some(4));
}

/// The guests of the next test, who ask and never read: a process of its own, because one process has one user.
fn play_the_guests(path: OsString) {
    let guests: Vec<_> = (0..200).map_while(|_| UnixStream::connect(&path).ok()).collect();
    for mut guest in &guests {
        // Some are refused, and gone.
        let _ = guest.write_all(b"{\"verb\":\"logs\",\"follow\":true}\n");
    }
    println!("asked {}", guests.len());
    // Until the test is over.
    let _ = io::stdin().read(&mut [0]);
}

fn guests_leave_room_for_root() {
    let guests = Guests { users: Vec::new(), observers: vec![User::Id(65_534)] };
    let mut house = House::with("guests", guests);
    open(&house.folder, 0o755);
    let actor = house.folder.join("guests");
    copy(&env::current_exe().unwrap(), &actor);
    let mut guests = Command::new(actor)
        .env("GUESTS_SOCKET", house.folder.join("socket"))
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = 0;
    while asked < 128 {
        let Asked { peer, request, .. } = house.asked();
        assert_eq!((peer.uid, request.verb().as_str()), (65_534, "logs"));
        asked += 1;
    }
    let child = house.ctl(binary(), &["log-level", "info"]).spawn().unwrap();
    let asked = house.asked();
    assert_eq!(asked.peer.uid, Uid::effective().as_raw(), "no 129th guest");
    house.control.reply(&house.epoll, asked.client, &Response::Done, NOW);
    assert_eq!(result(child).0, Some(0));
    drop(guests.stdin.take());
    guests.wait().unwrap();
}

/// The stranger of the next test: a process of its own, because one process has one user.
fn play_the_stranger(path: OsString) {
    let _listener = UnixListener::bind(path).unwrap();
    println!("listening");
    // Until the test is over.
    let _ = io::stdin().read(&mut [0]);
}

fn a_strangers_socket_in_a_usual_place_is_not_trusted() {
    let house = House::new("trust");
    let run = house.folder.join("run");
    fs::create_dir(&run).unwrap();
    open(&house.folder, 0o755);
    open(&run, 0o777);
    let actor = house.folder.join("stranger");
    copy(&env::current_exe().unwrap(), &actor);
    let mut stranger = Command::new(actor)
        .env("STRANGERS_SOCKET", run.join("musterd.sock"))
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(stranger.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "listening"));

    let usual =
        Command::new(binary()).args(["ctl", "status"]).env_clear().env("XDG_RUNTIME_DIR", &run).output();
    drop(stranger.stdin.take());
    stranger.wait().unwrap();

    let usual = usual.unwrap();
    let told = String::from_utf8(usual.stderr).unwrap();
    assert!(told.contains("run/musterd.sock (not trusted: uid 65534 listens there)"), "{told}");
    assert_eq!(usual.status.code(), Some(4));
}

fn main() {
    if let Some(path) = env::var_os("GUESTS_SOCKET") {
        return play_the_guests(path);
    }
    if let Some(path) = env::var_os("STRANGERS_SOCKET") {
        return play_the_stranger(path);
    }
    let arguments = Arguments::from_args();
    let is_root = Uid::effective().is_root();
    let is_managed = UnixStream::connect("/run/musterd.sock").is_ok();
    if !is_root || is_managed {
        eprintln!(
            "ctl_control: some ignored: only root can play another user, and only where no musterd runs"
        );
    }
    let tests = [
        ("a_start_is_answered_when_it_is_done", a_start_is_answered_when_it_is_done as fn(), false),
        (
            "another_user_is_refused_even_where_the_mode_would_let_him_in",
            another_user_is_refused_even_where_the_mode_would_let_him_in as fn(),
            !is_root,
        ),
        (
            "a_strangers_socket_in_a_usual_place_is_not_trusted",
            a_strangers_socket_in_a_usual_place_is_not_trusted as fn(),
            !is_root || is_managed,
        ),
        ("guests_leave_room_for_root", guests_leave_room_for_root as fn(), !is_root),
    ];
    let trials = tests.into_iter().map(|(name, test, ignored)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
