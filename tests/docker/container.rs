//! A container for one test, removed at its end. Asserts nothing about services.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::common::{Status, run, text, wait};

/// Longer than an answer on this machine takes, shorter than what a person would wait.
const ANSWER: Duration = Duration::from_secs(5);

/// A running container.
pub(crate) struct Container {
    name: String,
}

impl Container {
    /// `docker run -d OPTIONS IMAGE COMMANDS`.
    pub(crate) fn run(options: &[&str], image: &str, commands: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let container = Self { name: format!("musterd-test-{}-{number}", std::process::id()) };
        let output =
            run("docker", &[&["run", "-d", "--name", &container.name], options, &[image], commands].concat());
        assert!(output.status.success(), "{}", text(&output));
        container
    }

    /// By which the engine knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `docker exec CONTAINER COMMAND`.
    pub(crate) fn exec(&self, command: &[&str]) -> Output {
        run("docker", &[&["exec", self.name.as_str()], command].concat())
    }

    /// As `exec`, for a command that must succeed: what it wrote to stdout.
    pub(crate) fn must(&self, command: &[&str]) -> String {
        let output = self.exec(command);
        assert!(output.status.success(), "{command:?}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The services' states; none before musterd answers.
    pub(crate) fn status(&self) -> Vec<Status> {
        Status::parse(&self.exec(&["musterd", "ctl", "status", "--json"]))
    }

    /// Waits until the service is in a state that `condition` accepts.
    pub(crate) fn wait_service(&self, name: &str, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        wait(&format!("{name} {what}"), || {
            self.status().into_iter().find(|status| status.name == name && condition(status))
        })
    }

    /// Waits until the service runs.
    pub(crate) fn wait_running(&self, name: &str) -> Status {
        self.wait_service(name, "runs", |status| status.state == "running" && status.pid.is_some())
    }

    /// Waits until the service runs with another main process than `before`.
    pub(crate) fn wait_back(&self, name: &str, before: &Status) -> Status {
        let back =
            |status: &Status| status.state == "running" && status.pid.is_some() && status.pid != before.pid;
        self.wait_service(name, "is back", back)
    }

    /// Sends KILL to a process, by its PID inside.
    pub(crate) fn kill(&self, pid: i32) {
        self.must(&["sh", "-c", &format!("kill -KILL {pid}")]);
    }

    /// What the container wrote.
    pub(crate) fn logs(&self) -> String {
        text(&run("docker", &["logs", &self.name]))
    }

    /// The address on this machine of a published port.
    pub(crate) fn address(&self, port: u16) -> String {
        let output = text(&run("docker", &["port", &self.name, &port.to_string()]));
        output.lines().next().expect("a port that was published").to_owned()
    }

    /// A line that `docker inspect` gives for a template.
    pub(crate) fn inspect(&self, template: &str) -> String {
        text(&run("docker", &["inspect", "--format", template, &self.name])).trim().to_owned()
    }

    /// Ends it at once, and waits for that; its files stay.
    pub(crate) fn kill_all(&self) {
        let output = run("docker", &["kill", &self.name]);
        assert!(output.status.success(), "{}", text(&output));
        wait("it has ended", || (self.inspect("{{.State.Running}}") == "false").then_some(()));
    }

    /// `docker start`.
    pub(crate) fn start_again(&self) {
        let output = run("docker", &["start", &self.name]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// `docker stop`, with its ten seconds: the exit code.
    pub(crate) fn stop(&self) -> String {
        let output = run("docker", &["stop", &self.name]);
        assert!(output.status.success(), "{}", text(&output));
        self.inspect("{{.State.ExitCode}}")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the container's output:\n{}", self.logs());
        }
        run("docker", &["rm", "--force", "--volumes", &self.name]);
    }
}

/// What a server answers to `request`, as far as the first read goes; `None` where it does not.
pub(crate) fn ask(address: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Waits until the web server answers 200.
pub(crate) fn wait_web(address: &str) {
    let request = "GET / HTTP/1.0\r\n\r\n";
    wait("apache2 answers", || ask(address, request)?.starts_with("HTTP/1.1 200 OK\r\n").then_some(()));
}

/// Waits until the SSH server answers with its banner (RFC 4253, section 4.2).
pub(crate) fn wait_ssh(address: &str) {
    wait("sshd answers", || ask(address, "")?.starts_with("SSH-2.0-OpenSSH").then_some(()));
}
