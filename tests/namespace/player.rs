//! Programs that no shell can be, played by this test's own binary under another name. Asserts nothing.

use std::{fs, os::unix::net::UnixDatagram, path::Path, process::exit, thread, time::Duration};

use nix::{
    libc,
    unistd::{ForkResult, fork, pause},
};

use crate::machine::Folder;

/// The first argument of a player.
const PLAY: &str = "--play";

impl Folder {
    /// A command that plays `role`; its process is called `name`.
    pub(crate) fn player(&self, name: &str, role: &str) -> String {
        let path = self.path(name);
        let own = std::env::current_exe().expect("the path of this test");
        fs::hard_link(&own, &path).or_else(|_| fs::copy(&own, &path).map(drop)).expect("this test's binary");
        format!("{path} {PLAY} {role}")
    }
}

/// Plays the role that the arguments name, if they do, and does not come back then.
pub(crate) fn play_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [_, PLAY, "idle", ..] => wait_for_ever(),
        [_, PLAY, "with-thread", name] => with_thread(name),
        [_, PLAY, "leader-ends"] => leader_ends(),
        [_, PLAY, "teller", folder] => teller(Path::new(folder)),
        [_, PLAY, "crowd", count] => crowd(count.parse().expect("a number of processes")),
        [_, PLAY, ..] => panic!("no such role: {words:?}"),
        _ => {}
    }
}

fn wait_for_ever() -> ! {
    loop {
        pause();
    }
}

/// A process with a second thread of another name.
fn with_thread(name: &str) -> ! {
    thread::Builder::new().name(name.to_owned()).spawn(|| wait_for_ever()).expect("a thread");
    wait_for_ever()
}

/// A process whose first thread ends while another one runs: the kernel shows it as a zombie, with no arguments.
fn leader_ends() -> ! {
    thread::Builder::new().spawn(|| wait_for_ever()).expect("a thread");
    // SAFETY: no safe call ends one thread from within and leaves the process; the rule (nothing that others hold is
    // on this stack) holds, as the other thread borrowed nothing.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    exit(1)
}

/// A service that tells musterd what its test puts into the file `say` (sd_notify(3)), and then removes the file.
#[expect(clippy::disallowed_methods, reason = "the interval between two looks")]
fn teller(folder: &Path) -> ! {
    let to = std::env::var_os("NOTIFY_SOCKET").expect("whom to tell");
    let socket = UnixDatagram::unbound().expect("a socket");
    loop {
        if let Ok(text) = fs::read(folder.join("say")) {
            socket.send_to(&text, &to).expect("musterd hears");
            fs::remove_file(folder.join("say")).expect("the test's file");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A process with as many children, which cost little memory.
fn crowd(count: u32) -> ! {
    for _ in 0..count {
        // SAFETY: no safe call forks without an exec; the rule (a child of a process with threads makes only
        // async-signal-safe calls) holds: there is one thread, and the child only pauses.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => wait_for_ever(),
            Ok(ForkResult::Parent { .. }) => {}
            Err(error) => panic!("cannot fork: {error}"),
        }
    }
    println!("the crowd is there");
    wait_for_ever()
}
