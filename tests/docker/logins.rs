//! sshd with people logged in, by the real client: the listener ends, in whatever way, and the logins go on.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, SystemTime},
};

use crate::{
    Test,
    common::{Status, now, wait_within},
    container::{Container, ask, wait_ssh},
    daemons::{named, pid},
    images,
};

pub(crate) const TESTS: &[Test] = &[
    ("trap_03_a_login_masks_a_killed_sshd", trap_03),
    ("a_login_survives_the_listeners_end_by_sigterm", after_sigterm),
    ("a_login_survives_ctl_restart", after_ctl_restart),
    ("a_login_survives_ends_in_a_row", after_ends_in_a_row),
    ("a_login_survives_the_ends_of_a_daemon_below_another_init", of_a_daemon),
];

/// What the issue allows until the port answers again.
const AWAY: Duration = Duration::from_secs(1);

/// How long a program may take to put itself into the background, and more than the second by which a time that is
/// told in seconds may be wrong.
const BACKGROUND: Duration = Duration::from_secs(4);

/// A login that answers what it is sent, line by line.
struct Login {
    client: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Login {
    fn new(container: &Container) -> Self {
        let mut client = Command::new("docker")
            .args(["exec", "--interactive", container.name(), "ssh", "-T", "demo@127.0.0.1", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker was there before");
        let to = client.stdin.take().expect("a pipe");
        let from = BufReader::new(client.stdout.take().expect("a pipe"));
        let mut login = Self { client, to, from };
        login.talk("first words");
        login
    }

    /// Sends a line, and has it back from there.
    fn talk(&mut self, words: &str) {
        writeln!(self.to, "{words}").expect("the login is open");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("the login is open");
        assert_eq!(answer.trim_end(), words, "the login was ended");
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // It ends with the container at the latest.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// A container with an sshd and somebody logged in; and the processes of that login.
fn logged_in(options: &[&str]) -> (Container, Login, Vec<i32>) {
    // Ends in a row are no crash loop here: without a pause after them.
    let usual = ["-p", "127.0.0.1::22", "-e", "MUSTERD_SET=services.sshd.stable-after=0s"];
    let container = Container::run(&[&usual[..], options].concat(), images::daemons(), &["/usr/sbin/sshd"]);
    wait_ssh(&container.address(22));
    let listener = container.wait_running("sshd");
    let login = Login::new(&container);
    let sessions: Vec<i32> = named(&container, "sshd")
        .iter()
        .map(|seen| seen.pid)
        .filter(|&sshd| sshd != pid(&listener))
        .collect();
    assert!(sessions.len() >= 2, "a login has a monitor and a child: {sessions:?}");
    (container, login, sessions)
}

/// Waits until sshd is older than a program can be that only puts itself into the background: what that leaves in
/// another session would be the daemon.
fn wait_grown(container: &Container) -> Status {
    container.wait_service("sshd", "has run for a while", |status| {
        let since = humantime::parse_rfc3339(&status.since).expect("a time");
        let age = wall_clock().duration_since(since).unwrap_or_default();
        status.state == "running" && age > BACKGROUND
    })
}

#[expect(clippy::disallowed_methods, reason = "a test compares with what people are told")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Ends the listener by `end`; the port answers soon, the login goes on, and is neither the service nor its child.
fn listener_ends(
    container: &Container,
    login: &mut Login,
    sessions: &[i32],
    end: impl FnOnce(&Status),
) -> Status {
    let before = wait_grown(container);
    let address = container.address(22);
    end(&before);
    let ended = now();
    wait_within(AWAY, "port 22 answers", || ask(&address, "")?.starts_with("SSH-2.0-OpenSSH").then_some(()));
    println!("port 22 answers {} ms after the listener was ended", ended.elapsed().as_millis());
    let after = container.wait_back("sshd", &before);
    login.talk("still here");
    assert!(!sessions.contains(&pid(&after)), "a login counts as the service: {after:?}");
    let alive: Vec<i32> = named(container, "sshd").iter().map(|seen| seen.pid).collect();
    assert!(sessions.iter().all(|session| alive.contains(session)), "{sessions:?} lived, now {alive:?}");
    let mut new = Login::new(container);
    new.talk("and another one");
    after
}

fn signal(container: &Container, signal: &str, status: &Status) {
    container.must(&["sh", "-c", &format!("kill -{signal} {}", pid(status))]);
}

fn trap_03() {
    let (container, mut login, sessions) = logged_in(&[]);
    let after = listener_ends(&container, &mut login, &sessions, |status| signal(&container, "KILL", status));
    assert_eq!(after.restarts, 1);
    assert!(after.reason.contains("SIGKILL"), "{}", after.reason);
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn after_sigterm() {
    let (container, mut login, sessions) = logged_in(&[]);
    let after = listener_ends(&container, &mut login, &sessions, |status| signal(&container, "TERM", status));
    assert_eq!(after.restarts, 1, "{}", after.reason);
}

fn after_ctl_restart() {
    let (container, mut login, sessions) = logged_in(&[]);
    listener_ends(&container, &mut login, &sessions, |_| {
        container.must(&["musterd", "ctl", "restart", "sshd"]);
    });
}

fn after_ends_in_a_row() {
    ends_in_a_row(&[]);
}

fn of_a_daemon() {
    // The child of another process than PID 1 puts itself into the background.
    ends_in_a_row(&["--init"]);
}

fn ends_in_a_row(options: &[&str]) {
    let (container, mut login, sessions) = logged_in(options);
    for end in ["TERM", "TERM", "KILL", "TERM"] {
        let after =
            listener_ends(&container, &mut login, &sessions, |status| signal(&container, end, status));
        assert!(after.reason.contains("started") || after.reason.contains("restarted"), "{}", after.reason);
    }
    let alive: Vec<i32> = named(&container, "sshd").iter().map(|seen| seen.pid).collect();
    assert!(sessions.iter().all(|session| alive.contains(session)), "{sessions:?} lived, now {alive:?}");
}
