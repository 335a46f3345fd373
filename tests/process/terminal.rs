//! A service that has musterd's terminal: a shell at a pseudo-terminal, typed to and read from.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    panic,
};

use musterd::{linux::terminal, process::Exit, process::Pid};
use nix::{
    pty::openpty,
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getsid, setpgid, setsid},
};
use rustix::{
    process::ioctl_tiocsctty,
    termios::{Winsize, tcgetpgrp, tcsetpgrp, tcsetwinsize},
};

use crate::{
    ignore,
    support::{LIMIT, Shell, content, readable, until},
};

/// Where a person would sit.
struct Screen {
    master: File,
    seen: String,
}

impl Screen {
    /// Leads a session whose terminal is stdin, stdout and stderr.
    fn open() -> Self {
        let pty = openpty(None, None).unwrap();
        setsid().unwrap();
        ioctl_tiocsctty(&pty.slave).unwrap();
        let stderr: OwnedFd = io::stderr().as_fd().try_clone_to_owned().unwrap();
        panic::set_hook(Box::new(move |panic| {
            let mut stderr = File::from(stderr.try_clone().unwrap());
            let _ = writeln!(stderr, "{panic}");
        }));
        dup2_stdin(&pty.slave).unwrap();
        dup2_stdout(&pty.slave).unwrap();
        dup2_stderr(&pty.slave).unwrap();
        Screen { master: File::from(pty.master), seen: String::new() }
    }

    fn write(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until so many of this text were seen; begins anew after it.
    fn expect(&mut self, text: &str, times: usize) {
        while self.seen.matches(text).count() < times {
            let before = self.seen.clone();
            let told = panic::catch_unwind(|| readable(&self.master));
            assert!(told.is_ok(), "no {text:?} in {before:?} for {LIMIT:?}");
            let mut buffer = [0; 4096];
            let length = self.master.read(&mut buffer).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            assert!(!self.seen.contains("job control"), "{}", self.seen);
        }
        self.seen.clear();
    }

    /// Waits until a program of this name is in the foreground; until it is executed, it may still hear signals as the
    /// shell does.
    fn program(&self, name: &str) -> Pid {
        let runs = |pid: &Pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        until("the program in the foreground", || Some(self.foreground()).filter(runs))
    }

    fn foreground(&self) -> Pid {
        tcgetpgrp(&self.master).unwrap().as_raw_pid()
    }
}

/// Session and process group.
fn session_and_group(pid: Pid) -> (Pid, Pid) {
    let stat = content(format!("/proc/{pid}/stat"));
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[3].parse().unwrap(), fields[2].parse().unwrap())
}

fn shell_with_terminal() -> Shell {
    let mut shell = Shell::new();
    shell.service.terminal = true;
    shell
}

fn needs_bash() {
    if !std::path::Path::new("/bin/bash").exists() {
        ignore("it needs bash");
    }
}

/// Starts bash and does with it what people do.
fn use_a_shell(screen: &mut Screen, shell: &mut Shell) -> Pid {
    let variables = [("PS1", "prompt> "), ("TERM", "dumb"), ("HISTFILE", "/dev/null")];
    let spawned = shell.spawn_with(&["/bin/bash", "--norc", "--noprofile", "-i"], &variables).unwrap();
    let pid = spawned.id.pid;
    shell.watcher.add_child(&shell.epoll, spawned);
    screen.expect("prompt> ", 1);
    let (_, group) = session_and_group(pid);
    assert_eq!((group, screen.foreground()), (pid, pid));

    let command = |screen: &mut Screen, line: &str, expected: &str| {
        screen.write(&format!("{line}\r"));
        screen.expect(expected, 1);
        until("the shell", || (screen.foreground() == pid).then_some(()));
    };
    command(screen, "tty", "/dev/pts/");
    screen.write("sleep 1000\r");
    screen.program("sleep");
    screen.write("\x03");
    command(screen, "echo code=$?", "code=130");
    screen.write("sleep 1000\r");
    let job = screen.program("sleep");
    screen.write("\x1a");
    screen.expect("Stopped", 1);
    until("the shell", || (screen.foreground() == pid).then_some(()));
    screen.write("fg\r");
    assert_eq!(screen.program("sleep"), job);
    screen.write("\x03");
    command(screen, "echo again=$?", "again=130");
    let size = Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&screen.master, size).unwrap();
    command(screen, "stty size", "33 77");
    pid
}

fn end_the_shell(screen: &mut Screen, shell: &mut Shell, pid: Pid) {
    screen.write("exit 7\r");
    let ended = shell.ends(1);
    assert_eq!(
        ended.iter().map(|ended| (ended.id.pid, ended.exit)).collect::<Vec<_>>(),
        [(pid, Exit::Code(7))]
    );
}

/// As PID 1 of a container with a terminal.
pub(crate) fn a_shell_has_the_terminal_in_a_session_of_its_own() {
    needs_bash();
    let mut screen = Screen::open();
    let mut shell = shell_with_terminal();
    for _ in 0..2 {
        let pid = use_a_shell(&mut screen, &mut shell);
        assert_eq!(session_and_group(pid), (pid, pid));
        let hangup = nix::libc::SIGHUP;
        assert!(!shell.setup.signals().contains(&hangup), "the terminal's SIGHUP was not kept from musterd");
        end_the_shell(&mut screen, &mut shell, pid);
        terminal::take_back().unwrap();
        // musterd's own lines still reach the screen.
        println!("musterd is here");
        screen.expect("musterd is here", 1);
    }
}

/// Runs the test in a child of the session's leader, in the foreground, as a shell runs a program.
fn in_the_foreground_of_a_shell(test: impl FnOnce(Screen)) {
    let screen = Screen::open();
    // SAFETY: no safe call forks; the rule (only async-signal-safe calls where there are other threads) holds, as
    // this is the only one.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            setpgid(getpid(), getpid()).unwrap();
            let own = getpid().as_raw();
            until("the foreground", || (screen.foreground() == own).then_some(()));
            test(screen);
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            // One of the two is the first; the other's may fail.
            let _ = setpgid(child, child);
            tcsetpgrp(io::stdin(), rustix::process::Pid::from_raw(child.as_raw()).unwrap()).unwrap();
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
            // Closing the screen would hang up on this session.
            std::process::exit(0);
        }
    }
}

pub(crate) fn a_shell_has_the_terminal_that_musterd_shares() {
    needs_bash();
    in_the_foreground_of_a_shell(|mut screen| {
        let mut shell = shell_with_terminal();
        for _ in 0..2 {
            let pid = use_a_shell(&mut screen, &mut shell);
            assert_eq!(session_and_group(pid), (getsid(None).unwrap().as_raw(), pid));
            end_the_shell(&mut screen, &mut shell, pid);
            terminal::take_back().unwrap();
            assert_eq!(screen.foreground(), getpid().as_raw());
        }
    });
}

pub(crate) fn what_is_stopped_goes_on() {
    in_the_foreground_of_a_shell(|mut screen| {
        let mut shell = shell_with_terminal();
        let spawned = shell.spawn(&["/bin/cat"]).unwrap();
        assert!(!spawned.leads_session);
        let pid = spawned.id.pid;
        shell.watcher.add_child(&shell.epoll, spawned);
        assert_eq!(terminal::go_on(pid).ok(), Some(false));
        screen.write("\x1a");
        until("a stopped child", || terminal::go_on(pid).unwrap().then_some(()));
        screen.write("line\r");
        // The terminal's echo, and what the program makes of it.
        screen.expect("line", 2);
        screen.write("\x04");
        assert_eq!(shell.ends(1)[0].exit, Exit::Code(0));
        terminal::take_back().unwrap();
    });
}

pub(crate) fn without_a_terminal_stdin_is_musterds() {
    let mut shell = shell_with_terminal();
    let input = shell.scratch.file("input", "from musterd's stdin\n", 0o644);
    let written = shell.scratch.0.join("written");
    dup2_stdin(File::open(input).unwrap()).unwrap();
    let stdout = io::stdout().as_fd().try_clone_to_owned().unwrap();
    dup2_stdout(File::create(&written).unwrap()).unwrap();
    let spawned = shell.spawn(&["/bin/cat"]).unwrap();
    let pid = spawned.id.pid;
    assert!(spawned.leads_session);
    shell.watcher.add_child(&shell.epoll, spawned);
    assert_eq!(shell.ends(1).iter().map(|ended| ended.id.pid).collect::<Vec<_>>(), [pid]);
    dup2_stdout(stdout).unwrap();
    assert_eq!(content(written), "from musterd's stdin\n");
}
