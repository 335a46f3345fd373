//! The Compose file of `examples/compose`: a database, the task that prepares it, a web service, and their health.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use libtest_mimic::Trial;

use crate::{
    common::{LIMIT, run, text, wait},
    images,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/compose/compose.yaml");

/// How Compose is called here: Docker's plugin, else the program of its own; `None`: neither.
fn compose() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    ways.into_iter().find(|way| {
        let mut command = std::process::Command::new(way[0]);
        command.args(&way[1..]).arg("version").output().is_ok_and(|output| output.status.success())
    })
}

/// The one test, ignored where there is no Compose.
pub(crate) fn trials(ignored: bool) -> impl Iterator<Item = Trial> {
    let no_compose = !ignored && compose().is_none();
    if no_compose {
        eprintln!("docker: compose ignored: neither `docker compose` nor `docker-compose` is there");
    }
    let test = Trial::test("a_composed_site_is_healthy_and_not", || {
        a_composed_site_is_healthy_and_not();
        Ok(())
    });
    [test.with_ignored_flag(ignored || no_compose)].into_iter()
}

/// A project of its own, taken down at the end with its volumes.
struct Project(String);

impl Project {
    fn up() -> Self {
        let project = Self(format!("musterd-test-{}", std::process::id()));
        project.must(&["up", "-d", "--no-build"]);
        project
    }

    /// `docker compose ARGUMENTS`: whether it succeeded, and what it wrote.
    fn compose(&self, arguments: &[&str]) -> (bool, String) {
        let way = compose().expect("a test that is not ignored has Compose");
        // The image is that of this test, the port one that is free.
        let image = format!("SITE_IMAGE={}", images::compose());
        let fixed = [&[image.as_str(), "PORT=0"], way, &["-p", &self.0, "-f", FILE]].concat();
        let output = run("env", &[&fixed, arguments].concat());
        (output.status.success(), text(&output))
    }

    fn must(&self, arguments: &[&str]) -> String {
        let (succeeded, told) = self.compose(arguments);
        assert!(succeeded, "{arguments:?}: {told}");
        told
    }

    /// `musterd ctl` inside.
    fn ctl(&self, arguments: &[&str]) -> (bool, String) {
        self.compose(&[&["exec", "-T", "site", "musterd", "ctl"], arguments].concat())
    }

    fn id(&self) -> String {
        self.must(&["ps", "-q", "site"]).trim().to_owned()
    }

    /// Waits until the engine says so of the container's health.
    fn wait_health(&self, expected: &str) {
        let id = self.id();
        let health = || text(&run("docker", &["inspect", "--format", "{{.State.Health.Status}}", &id]));
        wait(&format!("the container is {expected}"), || (health().trim() == expected).then_some(()));
    }

    /// What the web service answers, headers and all; `None`: nobody answers.
    fn page(&self) -> Option<String> {
        let mut stream = TcpStream::connect(self.must(&["port", "site", "8000"]).trim()).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer).filter(|answer| !answer.is_empty())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the site's output:\n{}", self.compose(&["logs", "--no-color"]).1);
        }
        self.compose(&["down", "--volumes", "--timeout", "1"]);
    }
}

fn a_composed_site_is_healthy_and_not() {
    let project = Project::up();
    project.wait_health("healthy");
    let (all_runs, status) = project.ctl(&["status"]);
    assert!(all_runs, "{status}");
    for (name, state) in [("db", "running"), ("prepare", "exited"), ("web", "running")] {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a line of each service");
        assert!(line.contains(state), "{line}");
    }
    let page = wait("the page", || project.page());
    assert!(page.starts_with("HTTP/1.0 200 OK") && page.ends_with("\r\n\r\nvisits: 1\n"), "{page}");

    let (_, told) = project.ctl(&["stop", "db"]);
    project.wait_health("unhealthy");
    let (well, health) = project.ctl(&["health"]);
    assert!(
        !well && health.contains("service \"web\" is unhealthy") && health.contains("503"),
        "{told}{health}"
    );
    let page = wait("the page", || project.page());
    assert!(page.starts_with("HTTP/1.0 503"), "{page}");

    project.ctl(&["start", "db"]);
    project.wait_health("healthy");
    let logs = project.must(&["logs", "--no-color"]);
    assert!(logs.contains("prepare") && !logs.contains("change-me"), "{logs}");

    let id = project.id();
    project.must(&["stop"]);
    let code = text(&run("docker", &["inspect", "--format", "{{.State.ExitCode}}", &id]));
    assert_eq!(code.trim(), "0", "all stopped by themselves, in time");
    // What was counted is in the volume.
    project.must(&["up", "-d", "--no-build"]);
    project.wait_health("healthy");
    let page = wait("the page", || project.page());
    assert!(page.ends_with("\r\n\r\nvisits: 2\n"), "{page}");
}
