//! `docker run -it IMAGE --main COMMAND`: the prompt, the signals of the keyboard, detaching, the exit code.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    Test,
    common::{run, text, wait},
    images,
    screen::Screen,
};

pub(crate) const TESTS: &[Test] = &[
    ("a_shell_at_dockers_terminal", a_shell_at_dockers_terminal),
    ("a_shell_below_dockers_own_init", a_shell_below_dockers_own_init),
    ("stdin_without_a_terminal", stdin_without_a_terminal),
    ("docker_stop_beside_a_shell", docker_stop_beside_a_shell),
    ("who_detaches_may_come_back", who_detaches_may_come_back),
    ("a_lone_shell_is_told_of_main", a_lone_shell_is_told_of_main),
];

/// A container's name; removed with the test.
struct Named(String);

impl Named {
    fn new(test: &str) -> Self {
        Self(format!("musterd-test-{}-{test}", std::process::id()))
    }

    /// `docker run -it OPTIONS IMAGE ARGUMENTS`.
    fn run(&self, options: &[&str], arguments: &[&str]) -> Screen {
        Screen::execute(
            Command::new("docker")
                .args(["run", "-it", "--name", &self.0, "-e", "PS1=prompt> "])
                .args(options)
                .arg(images::plain())
                .args(arguments),
        )
    }

    fn inspect(&self, template: &str) -> String {
        text(&run("docker", &["inspect", "--format", template, &self.0])).trim().to_owned()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        run("docker", &["rm", "--force", "--volumes", &self.0]);
    }
}

const SHELL: [&str; 3] = ["--main", "sh -i", "sleep infinity"];

fn a_shell_at_dockers_terminal() {
    let named = Named::new("shell");
    let mut screen = named.run(&[], &SHELL);
    screen.use_a_shell();
    screen.line("exit 7");
    let (code, all) = screen.end();
    assert_eq!(code, Some(7), "{all}");
    assert!(all.contains("service \"sleep\": stopped: ") && !all.contains("timed out"), "{all}");
    assert_eq!(named.inspect("{{.State.ExitCode}}"), "7");
}

fn a_shell_below_dockers_own_init() {
    let named = Named::new("init");
    let mut screen = named.run(&["--init"], &SHELL);
    screen.use_a_shell();
    screen.line("kill -KILL $$");
    let (code, all) = screen.end();
    assert_eq!(code, Some(137), "{all}");
}

fn stdin_without_a_terminal() {
    for (main, input, written, code) in
        [("cat", "to be read\n", "to be read\n", 0), ("sh", "echo given; exit 5\n", "given\n", 5)]
    {
        let mut docker = Command::new("docker")
            .args(["run", "--rm", "-i", images::plain(), "--main", main, "sleep infinity"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker");
        let mut stdin = docker.stdin.take().expect("its stdin");
        stdin.write_all(input.as_bytes()).expect("it reads its stdin");
        drop(stdin);
        let output = docker.wait_with_output().expect("our own child");
        assert_eq!(output.status.code(), Some(code), "{main}: {}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), written, "{main}");
    }
}

fn docker_stop_beside_a_shell() {
    let named = Named::new("stop");
    let mut screen = named.run(&[], &SHELL);
    screen.expect("prompt> ");
    let output = run("docker", &["stop", &named.0]);
    assert!(output.status.success(), "{}", text(&output));
    let (code, all) = screen.end();
    assert_eq!(code, Some(0), "{all}");
    assert!(all.contains("shutdown done") && !all.contains("timed out"), "{all}");
}

fn who_detaches_may_come_back() {
    let named = Named::new("detach");
    let mut screen = named.run(&[], &SHELL);
    screen.expect("prompt> ");
    // Control-P, Control-Q.
    screen.write("\x10\x11");
    assert_eq!(screen.end().0, Some(0));
    assert_eq!(named.inspect("{{.State.Running}}"), "true");

    let mut screen = Screen::execute(Command::new("docker").args(["attach", &named.0]));
    screen.line("echo he''re");
    screen.expect("here");
    screen.line("exit 5");
    assert_eq!(screen.end().0, Some(5));
    wait("it has ended", || (named.inspect("{{.State.Running}}") == "false").then_some(()));
    assert_eq!(named.inspect("{{.State.ExitCode}}"), "5");
}

fn a_lone_shell_is_told_of_main() {
    let named = Named::new("hint");
    let mut screen = named.run(&[], &["bash"]);
    screen.expect("has no terminal; for a prompt write: musterd --main bash");
    screen.write("\x03");
    assert_eq!(screen.end().0, Some(0));
}
