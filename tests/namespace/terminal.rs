//! `--main`: one command has the terminal and stdin, and the machine ends with it.

use std::{io::Write, process::Stdio};

use crate::{
    Test,
    common::text,
    machine::{Folder, MUSTERD, unshare, way_in},
    screen::Screen,
};

pub(crate) const TESTS: &[Test] = &[
    ("a_shell_has_the_terminal_of_pid_1", a_shell_has_the_terminal_of_pid_1),
    ("a_shell_has_the_terminal_beside_another_shell", a_shell_has_the_terminal_beside_another_shell),
    ("from_the_background_nobody_takes_the_terminal", from_the_background_nobody_takes_the_terminal),
    ("what_is_stopped_and_nobody_continues_goes_on", what_is_stopped_and_nobody_continues_goes_on),
    ("a_shell_that_is_stopped_ends_at_once", a_shell_that_is_stopped_ends_at_once),
    ("the_terminal_is_set_as_it_was", the_terminal_is_set_as_it_was),
    ("stdin_and_the_exit_code_are_mains", stdin_and_the_exit_code_are_mains),
];

/// A machine with a terminal, whose PID 1 executes this.
fn at_a_terminal(first: &str, arguments: &[&str]) -> Screen {
    let script = format!("mount -t tmpfs tmpfs /run; {first}");
    Screen::execute(
        unshare(way_in().expect("a test that is not ignored has a way in"))
            .env("PS1", "prompt> ")
            .env_remove("ENV")
            .args(["setsid", "--ctty", "sh", "-c", &script, "sh", MUSTERD])
            .args(arguments),
    )
}

/// The same with an interactive shell, whose prompt is `outer> `.
fn beside_a_shell() -> Screen {
    let mut screen = at_a_terminal("PS1='outer> ' exec sh -i", &[]);
    screen.expect("outer> ");
    screen
}

const STOPPED: &str = "service \"steady\": stopped: ";

fn a_shell_has_the_terminal_of_pid_1() {
    let folder = Folder::new("terminal-own");
    let steady = folder.sleeper("steady") + " infinity";
    let mut screen = at_a_terminal("exec \"$@\"", &["--main", "sh -i", &steady]);
    screen.use_a_shell();
    // musterd lives in another session.
    screen.line("ps -o sess= -p $$ | grep -qw $$ && echo own''-session");
    screen.expect("own-session");
    screen.line("exit 7");
    let (code, all) = screen.end();
    assert_eq!(code, Some(7), "{all}");
    assert!(all.contains(STOPPED) && all.contains("main process") && all.contains("exited 7"), "{all}");
}

fn a_shell_has_the_terminal_beside_another_shell() {
    let folder = Folder::new("terminal-shared");
    let steady = folder.sleeper("steady") + " infinity";
    let left = folder.sleeper("left");
    let mut screen = beside_a_shell();
    screen.line(&format!("PS1='prompt> ' {MUSTERD} --main 'sh -i' '{steady}'"));
    screen.use_a_shell();
    // What it leaves in musterd's session ends with all the others, and nobody else does.
    screen.line(&format!("{left} infinity & {left} infinity & kill -KILL $$"));
    screen.expect("ending the rest: 2 processes");
    screen.expect("shutdown done");
    screen.line("echo out''er=$?");
    screen.expect("outer=137");
    screen.line(&format!("pgrep -x left || echo no''body; {MUSTERD} --main 'sh -i' '{steady}'"));
    screen.expect("nobody");
    screen.line("exit 7");
    screen.expect(STOPPED);
    screen.expect("shutdown done");
    screen.line("echo out''er=$?; exit 9");
    screen.expect("outer=7");
    assert_eq!(screen.end().0, Some(9));
}

fn from_the_background_nobody_takes_the_terminal() {
    let mut screen = beside_a_shell();
    screen.line(&format!("{MUSTERD} --main 'sh -i' &"));
    screen.expect("musterd is in the background of the terminal; it is essential");
    screen.line("wait $!; echo co''de=$?");
    screen.expect("code=127");
    screen.line("exit 9");
    assert_eq!(screen.end().0, Some(9));
}

fn what_is_stopped_and_nobody_continues_goes_on() {
    let mut screen = beside_a_shell();
    screen
        .line(&format!("{MUSTERD} --main 'sh -c \"trap \\\"echo woken\\\" CONT; echo looping; cat; cat\"'"));
    screen.expect("looping\r\n");
    screen.write("\x1a");
    // The shell hears what the terminal stopped with it go on; then `cat` reads again.
    screen.line("to be read");
    screen.expect("to be read\r\n");
    screen.expect("to be read\r\n");
    screen.write("\x04");
    screen.expect("woken\r\n");
    screen.write("\x04");
    screen.expect("shutdown done");
    screen.line("echo co''de=$?; exit 9");
    screen.expect("code=0");
    assert_eq!(screen.end().0, Some(9));
}

fn a_shell_that_is_stopped_ends_at_once() {
    let mut screen = at_a_terminal("exec \"$@\"", &["--main", "sh -i"]);
    screen.expect("prompt> ");
    screen.line("kill 1");
    screen.expect("sending SIGHUP to main process");
    let (code, all) = screen.end();
    assert_eq!(code, Some(0), "{all}");
    assert!(!all.contains("timed out"), "{all}");
}

fn the_terminal_is_set_as_it_was() {
    let mut screen = at_a_terminal("exec \"$@\"", &["--main", "sh -i"]);
    screen.expect("prompt> ");
    screen.line("stty raw -echo; kill -KILL $$");
    let (code, all) = screen.end();
    assert_eq!(code, Some(137), "{all}");
    assert!(all.ends_with("no process is left; ending\r\n"), "{all:?}");
}

fn stdin_and_the_exit_code_are_mains() {
    for (main, input, written, code) in [
        ("cat", "to be read\n", "to be read\n", 0),
        ("sh", "echo given; exit 5\n", "given\n", 5),
        ("sh -c 'kill -KILL $$'", "", "", 137),
        // It is over before anything was waited for.
        ("/nowhere/ghost", "", "", 127),
    ] {
        let mut machine = unshare(way_in().expect("a test that is not ignored has a way in"))
            .args(["sh", "-c", "mount -t tmpfs tmpfs /run; exec \"$@\"", "sh", MUSTERD, "--main", main])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare was there before");
        // Who reads nothing may have ended.
        let _ = machine.stdin.take().expect("its stdin").write_all(input.as_bytes());
        let output = machine.wait_with_output().expect("our own child");
        assert_eq!(output.status.code(), Some(code), "{main}: {}", text(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), written, "{main}");
    }
}
