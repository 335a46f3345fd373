//! A pseudo-terminal as a person sits at it: types, reads, resizes. Knows neither namespaces nor engines.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    process::{Child, Command},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    pty::openpty,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::common::wait;

/// A program at a terminal; killed with the test.
pub(crate) struct Screen {
    pub(crate) master: File,
    pub(crate) child: Child,
    seen: String,
    all: String,
}

impl Screen {
    /// Executes the program with the terminal as its stdin, stdout and stderr.
    pub(crate) fn execute(command: &mut Command) -> Self {
        let pty = openpty(None, None).expect("a pseudo-terminal");
        let slave = || pty.slave.try_clone().expect("a second handle of it");
        command.stdin(slave()).stdout(slave()).stderr(slave());
        let child = command.spawn().expect("the program");
        // The command keeps its handles of the terminal, whose end nobody would see then.
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        fcntl(pty.master.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a descriptor of our own");
        Self { master: File::from(pty.master), child, seen: String::new(), all: String::new() }
    }

    pub(crate) fn write(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal that takes a line");
    }

    /// Types a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.write(&format!("{line}\r"));
    }

    /// Takes in what is there; false at the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                self.seen.push_str(&text);
                self.all.push_str(&text);
                true
            }
            // EIO: nobody has the terminal any more (pty(7)).
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    /// Waits until this text was seen; goes on behind it.
    pub(crate) fn expect(&mut self, text: &str) {
        wait(&format!("{text:?} on the screen"), || {
            let lives = self.read();
            let found = self.seen.find(text).map(|at| self.seen.drain(..at + text.len()).count());
            assert!(lives || found.is_some(), "the end came instead of {text:?}");
            found
        });
    }

    /// Changes the window's size; tells the program, which may not be of the terminal's session.
    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).expect("a size");
        // Its PID is its own until it is waited for.
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGWINCH).expect("our own child");
    }

    /// Waits for the program's end: its exit code, and all that was on the screen.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let status = wait("the program at the terminal ends", || {
            self.read();
            self.child.try_wait().expect("our own child")
        });
        wait("the rest of the screen", || {
            let before = self.all.len();
            let lives = self.read();
            (!lives || self.all.len() == before).then_some(())
        });
        (status.code(), self.all.clone())
    }

    /// Control-C, which also drops what is typed until the shell asks again.
    fn interrupt(&mut self) {
        self.write("\x03");
        self.expect("prompt> ");
    }

    /// Does with `sh -i`, whose prompt is `prompt> `, what people do.
    pub(crate) fn use_a_shell(&mut self) {
        // The quotes tell what a program writes from what the terminal echoes.
        // It forks nothing that could be stopped between fork and exec.
        const STAYS: &str = "echo loo''ping; while :; do read line; done";
        self.line("");
        self.expect("prompt> ");
        self.line(&format!("sh -c \"{STAYS}\""));
        self.expect("looping");
        self.interrupt();
        self.line("echo co''de=$?");
        self.expect("code=130");

        self.line(&format!("sh -c \"trap 'echo wo''ken' CONT; {STAYS}\""));
        self.expect("looping");
        self.write("\x1a");
        self.expect("Stopped");
        self.line("fg");
        // A line for the shell that was stopped, in case that it was not reading yet.
        self.line("");
        self.expect("woken");
        self.interrupt();
        self.line("echo co''de=$?");
        self.expect("code=130");

        self.line(&format!("sh -c \"trap 'stty size' WINCH; {STAYS}\""));
        self.expect("looping");
        self.resize(33, 77);
        self.line("");
        self.expect("33 77");
        self.interrupt();
        self.line("echo co''de=$?");
        self.expect("code=130");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the screen:\n{}", self.all);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
