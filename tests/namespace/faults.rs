//! Each system call of musterd fails once, at several places: what cannot begin says so before anything was
//! started, what has begun goes on. The failures are strace's; services and clients are not traced.

use libtest_mimic::Trial;

use crate::{
    common::wait,
    machine::{Folder, Machine, pid},
    shutdown,
};

/// The calls, each with the error that is likeliest in a container that is short of something. Left out are those
/// that cannot fail, and those of memory: Rust's runtime ends a program that gets none.
const CALLS: [(&str, &str); 41] = [
    ("accept4", "EMFILE"),
    ("bind", "ENOSPC"),
    ("clone", "EAGAIN"),
    ("dup3", "EBUSY"),
    ("epoll_create1", "EMFILE"),
    ("epoll_ctl", "ENOSPC"),
    ("epoll_wait", "EINTR"),
    ("fallocate", "ENOSPC"),
    ("fchmod", "EPERM"),
    ("fcntl", "EMFILE"),
    ("getdents64", "ENOMEM"),
    ("getsockopt", "ENOMEM"),
    ("ioctl", "ENOTTY"),
    ("listen", "EOPNOTSUPP"),
    ("lseek", "EINVAL"),
    ("mkdir", "ENOSPC"),
    ("newfstatat", "EACCES"),
    ("open", "EMFILE"),
    ("openat", "EMFILE"),
    ("pidfd_open", "EPERM"),
    ("pidfd_send_signal", "EPERM"),
    ("mknodat", "ENOSPC"),
    ("poll", "EINTR"),
    ("prctl", "EINVAL"),
    ("prlimit64", "EPERM"),
    ("pwrite64", "ENOSPC"),
    ("read", "EIO"),
    ("readlink", "EACCES"),
    ("readlinkat", "EACCES"),
    ("recvfrom", "ECONNRESET"),
    ("rename", "ENOSPC"),
    ("sendto", "ENOBUFS"),
    ("signalfd4", "EMFILE"),
    ("socket", "EMFILE"),
    ("splice", "EINVAL"),
    ("statfs", "EACCES"),
    ("statx", "EACCES"),
    ("unlink", "EACCES"),
    ("wait4", "EINTR"),
    ("waitid", "EINTR"),
    ("write", "ENOSPC"),
];

/// The calls in whose place arm64, or musl, has others (`openat`, `ppoll`, `epoll_pwait`, …). Where musterd is tested,
/// on x86-64 with glibc, it makes every call of the list.
const MAY_BE_MISSING: [&str; 9] =
    ["epoll_wait", "ioctl", "mkdir", "open", "poll", "readlink", "recvfrom", "rename", "unlink"];

fn may_be_missing(call: &str) -> bool {
    !cfg!(all(target_arch = "x86_64", target_env = "gnu")) && MAY_BE_MISSING.contains(&call)
}

/// Which of the calls of one name fails, in runs of their own: those of the set-up, of starts, of restarts.
const PLACES: [u32; 7] = [1, 2, 4, 7, 12, 20, 33];

/// One trial for each call, and those that look at calls besides, all ignored where there is no strace.
pub(crate) fn trials(ignored: bool) -> impl Iterator<Item = Trial> {
    let no_strace = !ignored && std::process::Command::new("strace").arg("--version").output().is_err();
    if no_strace {
        eprintln!("namespace: faults ignored: strace is not installed");
    }
    let early = || {
        shutdown::signals_are_kept_before_the_configuration_is_read();
        Ok(())
    };
    let early = Trial::test("signals_are_kept_before_the_configuration_is_read", early);
    let faults = CALLS.into_iter().map(move |(call, error)| {
        let run = move || {
            fails_once(call, error);
            Ok(())
        };
        Trial::test(format!("{}_fails_once", call), run)
    });
    faults.chain([early]).map(move |trial| trial.with_ignored_flag(ignored || no_strace))
}

fn fails_once(call: &str, error: &str) {
    for place in PLACES {
        let folder = Folder::new(&format!("fault-{call}-{place}"));
        let log = folder.path("calls");
        let (alpha, hermit) =
            (folder.sleeper("alpha") + " infinity", folder.daemon_after("hermit", "echo begun"));
        // With `?`, strace takes the name of a call that the architecture has not.
        let traced = if may_be_missing(call) { format!("?{call}") } else { call.to_owned() };
        let inject = format!("inject={traced}:error={error}:when={place}");
        let script = format!("exec strace -o {log} -e trace={traced} -e {inject} \"$@\"");
        let mut machine =
            Machine::start_by(folder, &script, &["--socket", "/run/musterd.sock", &alpha, &hermit]);
        let begun = lives(&mut machine);
        let calls = std::fs::read_to_string(&log).unwrap_or_default();
        // Whether it failed is in the log, not in what musterd makes of it.
        if !calls.contains("INJECTED") {
            assert!(begun, "nothing was made to fail: {}", machine.output());
            let missing_well = place > PLACES[0] || may_be_missing(call);
            assert!(missing_well, "musterd made no {call}: nothing was tested");
            return;
        }
    }
}

/// The life of a musterd that something fails for; false where it could not begin.
fn lives(machine: &mut Machine) -> bool {
    let both = |machine: &Machine| {
        let services = machine.status();
        let ready = services.len() == 2 && services.iter().all(|service| service.state == "running");
        ready.then_some(services)
    };
    let begun = wait("musterd runs both, or does not begin", || match machine.ended() {
        Some(code) => Some(Err(code)),
        None => both(machine).map(Ok),
    });
    let services = match begun {
        Ok(services) => services,
        Err(code) => {
            let output = machine.output();
            // The dynamic loader's own calls fail, too.
            let refused = code == Some(2) && output.contains("cannot") || output.contains("shared libraries");
            assert!(refused, "exit code {code:?}: {output}");
            assert!(!output.contains("started pid="), "something was started: {output}");
            return false;
        }
    };
    let alpha = services.iter().find(|service| service.name == "alpha").expect("both are there");
    machine.kill("KILL", pid(alpha));
    machine.wait_back("alpha", alpha);
    assert_eq!(machine.named("alpha").len(), 1);
    let managers = machine.named("musterd");
    let manager = managers.iter().find(|process| process.parent == 1).expect("strace's child");
    machine.terminate(manager.pid);
    assert_eq!(machine.wait_end(), Some(0), "{}", machine.output());
    true
}
