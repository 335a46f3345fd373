//! The table shows what runs, as it is.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use musterd::{
    linux::table::{Scanner, scan},
    process::{Life, Process, ProcessId, Table},
};

use crate::support::{Shell, until};

/// The process in a table in which it executes `exe`.
fn full(id: ProcessId) -> Process {
    let scanner = Scanner::new().unwrap();
    scan(&scanner, |_| true).unwrap().alive(id).unwrap().clone()
}

pub(crate) fn a_process_is_shown_in_full_or_in_brief() {
    let mut shell = Shell::new();
    let spawned = shell.spawn(&["/bin/sh", "-c", "read x < /dev/zero # $0", "", "a b"]).unwrap();
    let id = spawned.id;
    let process = full(id);
    assert_eq!(process.argv, ["/bin/sh", "-c", "read x < /dev/zero # $0", "", "a b"]);
    assert_eq!(process.exe, Some(fs::canonicalize("/bin/sh").unwrap()));
    assert_eq!(process.mark.as_deref(), Some(OsStr::new("web")));
    assert_eq!(process.comm, "sh");
    assert_eq!((process.parent, process.session), (std::process::id() as i32, id.pid));
    assert!(!process.foreign);

    let table = scan(&Scanner::new().unwrap(), |_| false).unwrap();
    let brief = table.alive(id).unwrap();
    assert_eq!(brief.comm, "sh");
    assert_eq!((brief.parent, brief.session), (process.parent, process.session));
    assert!(brief.argv.is_empty() && brief.exe.is_none() && brief.mark.is_none());
    assert!(table.get(std::process::id() as i32).is_none(), "musterd itself is listed");
    assert!(table.processes.is_sorted_by_key(|process| process.id.pid));
    shell.watcher.add_child(&shell.epoll, spawned);
    shell.watcher.signal(id, nix::libc::SIGKILL).unwrap();
    shell.ends(1);
}

pub(crate) fn names_are_what_they_are() {
    let mut shell = Shell::new();
    for name in [&b") R (1 \\n"[..], b"new\nline\\", b"\xff\xfe(", b"a-name-of-more-than-fifteen"] {
        let path = shell.scratch.0.join(OsStr::from_bytes(name));
        symlink("/bin/sleep", &path).unwrap();
        // A script's words are UTF-8, a name on the disk need not be: the shell's glob finds it.
        let script = format!(
            "cd {}; for f in *; do [ -L \"$f\" ] && exec ./\"$f\" 1000; done",
            shell.scratch.0.display()
        );
        let spawned = shell.spawn(&["/bin/sh", "-c", &script]).unwrap();
        let id = spawned.id;
        shell.watcher.add_child(&shell.epoll, spawned);
        let sleep = Some(fs::canonicalize("/bin/sleep").unwrap());
        let process = until("exec", || Some(full(id)).filter(|process| process.exe == sleep));
        assert_eq!(process.comm.as_bytes(), &name[..name.len().min(15)]);
        assert_eq!(process.argv[0].as_bytes(), [b"./", name].concat());
        shell.watcher.signal(id, nix::libc::SIGKILL).unwrap();
        shell.ends(1);
        fs::remove_file(path).unwrap();
    }
}

pub(crate) fn a_zombie_is_dead_and_a_deleted_program_keeps_its_name() {
    let mut shell = Shell::new();
    let copy = shell.scratch.0.join("copy");
    fs::copy("/bin/sleep", &copy).unwrap();
    let spawned = shell.spawn(&[copy.to_str().unwrap(), "1000"]).unwrap();
    let id = spawned.id;
    fs::remove_file(&copy).unwrap();
    assert_eq!(full(id).exe, Some(copy));

    shell.watcher.add_child(&shell.epoll, spawned);
    shell.watcher.signal(id, nix::libc::SIGKILL).unwrap();
    let scanner = Scanner::new().unwrap();
    let seen = || scan(&scanner, |_| true).unwrap();
    let table: Table = until("its death", || Some(seen()).filter(|table| table.alive(id).is_none()));
    let zombie = table.get(id.pid).unwrap();
    assert_eq!((zombie.life, zombie.id), (Life::Dead, id));
    assert!(zombie.argv.is_empty());
    shell.ends(1);
    assert!(seen().get(id.pid).is_none());
}

pub(crate) fn a_process_lives_while_a_thread_runs() {
    if let Err(error) = std::process::Command::new("python3").arg("--version").output() {
        crate::ignore(&format!("cannot execute python3: {error}"));
    }
    let mut shell = Shell::new();
    let script = format!(
        "import ctypes,threading,time\n\
         threading.Thread(target=time.sleep,args=(1000,)).start()\n\
         ctypes.CDLL(None).syscall({}, 0)\n",
        nix::libc::SYS_exit
    );
    let spawned = shell.spawn(&["python3", "-c", &script]).unwrap();
    let id = spawned.id;
    shell.watcher.add_child(&shell.epoll, spawned);
    let state = || fs::read_to_string(format!("/proc/{}/stat", id.pid)).unwrap();
    until("the first thread's end", || state().contains(") Z ").then_some(()));
    let scanner = Scanner::new().unwrap();
    let table = scan(&scanner, |_| true).unwrap();
    assert_eq!(table.alive(id).unwrap().life, Life::Alive);
    let epoll = nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::empty()).unwrap();
    assert_ne!(shell.watcher.watch(&epoll, id), musterd::linux::watch::WatchResult::Ended);
    shell.watcher.signal(id, nix::libc::SIGKILL).unwrap();
    shell.ends(1);
}

pub(crate) fn kernel_threads_are_told_apart() {
    let table = scan(&Scanner::new().unwrap(), |_| true).unwrap();
    for process in &table.processes {
        assert_eq!(process.life == Life::Kernel, process.id.pid == 2 || process.parent == 2, "{process:?}");
    }
}

/// Run by name only, best inside a PID namespace: `cargo test --test process -- alone table::scan_times`.
#[expect(clippy::disallowed_methods, reason = "it tells how long a scan takes")]
pub(crate) fn scan_times() {
    let mut shell = Shell::new();
    let scanner = Scanner::new().unwrap();
    for total in [1000, 5000] {
        while scan(&scanner, |_| false).unwrap().processes.len() < total {
            let more = total - scan(&scanner, |_| false).unwrap().processes.len();
            for _ in 0..more {
                let spawned = shell.spawn(&["/bin/sleep", "1000"]).unwrap();
                shell.watcher.add_child(&shell.epoll, spawned);
            }
        }
        for described in [false, true] {
            let best = (0..5).map(|_| {
                let begin = std::time::Instant::now();
                scan(&scanner, |_| described).unwrap();
                begin.elapsed()
            });
            println!("{total} processes, described: {described}: {:?}", best.min().unwrap());
        }
    }
    let ids: Vec<ProcessId> = scan(&scanner, |_| true)
        .unwrap()
        .processes
        .iter()
        .filter(|process| process.mark.is_some() && process.comm == "sleep")
        .map(|process| process.id)
        .collect();
    for id in ids {
        let _ = shell.watcher.signal(id, nix::libc::SIGKILL);
    }
}
