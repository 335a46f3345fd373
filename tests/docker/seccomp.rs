//! Engines that forbid what musterd likes to use: pidfds and newer system calls, more processes, other users' /proc.

use std::{fs, path::Path};

use crate::{
    Test,
    common::{run, text, wait},
    container::Container,
    daemons::{named, pid},
    images,
};

pub(crate) const TESTS: &[Test] = &[
    ("trap_25_pidfd_open_answers_eperm", || without("eperm", &["pidfd_open"], EPERM)),
    ("trap_25_pidfd_open_answers_enosys", || without("enosys", &["pidfd_open"], ENOSYS)),
    ("trap_25_no_newer_system_call_is_allowed_at_all", || without("old", &NEWER, EPERM)),
    ("trap_20_a_fork_that_fails_is_tried_again", trap_20),
    ("trap_09_the_program_of_another_user_cannot_be_read", trap_09),
    ("hidepid_2_hides_nothing_that_counts_from_root", || hidepid("")),
    ("hidepid_2_hides_nothing_that_counts_from_an_ordinary_user", || {
        hidepid("setpriv --reuid 1000 --regid 1000 --clear-groups");
    }),
];

// errno(3), as seccomp profiles number them.
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// What an engine of before 2020 does not know.
const NEWER: [&str; 6] =
    ["pidfd_open", "pidfd_send_signal", "pidfd_getfd", "close_range", "clone3", "openat2"];

/// A profile that refuses these system calls.
fn profile(name: &str, calls: &[&str], errno: u32) -> String {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seccomp-{name}-{}.json", std::process::id()));
    let text = format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":{calls:?},"action":"SCMP_ACT_ERRNO","errnoRet":{errno}}}]}}"#
    );
    fs::write(&path, text).expect("a profile");
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn without(name: &str, calls: &[&str], errno: u32) {
    let profile = profile(name, calls, errno);
    let security = format!("seccomp={profile}");
    let set = "MUSTERD_SET=defaults.interval=1h\nservices.tail.interval=1s\nservices.tail.autostart=false";
    let commands = ["sleep infinity", "tail -f /dev/null"];
    let container = Container::run(&["--security-opt", &security, "-e", set], images::daemons(), &commands);
    fs::remove_file(profile).expect("the profile");

    // musterd's own child is missed at once, with an interval of an hour.
    let before = container.wait_running("sleep");
    container.kill(pid(&before));
    container.wait_back("sleep", &before);

    // Nobody tells of the end of what is no child of musterd's: the scan finds it.
    let started = run("docker", &["exec", "--detach", container.name(), "tail", "-f", "/dev/null"]);
    assert!(started.status.success(), "{}", text(&started));
    let stranger = wait("a tail that musterd did not start", || named(&container, "tail").pop());
    container.must(&["musterd", "ctl", "start", "tail"]);
    let adopted = container.wait_running("tail");
    assert_eq!((adopted.pid, stranger.parent), (Some(stranger.pid), 0));
    assert!(adopted.reason.contains("adopted"), "{}", adopted.reason);
    container.kill(stranger.pid);
    let after = container.wait_back("tail", &adopted);
    assert_eq!(after.restarts, 1);

    let logs = container.logs();
    assert_eq!(logs.matches("gives no pidfd").count(), 1, "{logs}");
    assert_eq!(container.stop(), "0", "{}", container.logs());
    let logs = container.logs();
    let told = |line: &&str| line.contains(": stopped") && line.contains("killed by SIGTERM");
    assert_eq!(logs.lines().filter(told).count(), 2, "its services were not told to end: {logs}");
}

fn trap_20() {
    let set = "MUSTERD_SET=defaults.stable-after=0s\ndefaults.interval=1h\n\
               defaults.backoff={ initial = '100ms', factor = 1.0, max = '100ms' }";
    let container = Container::run(&["-e", set], images::daemons(), &["sleep 2", "tail -f /dev/null"]);
    let tail = container.wait_running("tail");
    let limit = |limit: &str| {
        let output = run("docker", &["update", "--pids-limit", limit, container.name()]);
        assert!(output.status.success(), "{}", text(&output));
    };
    // musterd and tail are two already; so sleep cannot be started again when it has ended.
    limit("2");
    wait("it is told", || container.logs().contains("start failed").then_some(()));
    limit("100");
    container.wait_running("sleep");
    let logs = container.logs();
    assert!(logs.contains("cannot fork: the limit of processes is reached"), "{logs}");
    assert_eq!(logs.matches("start failed").count(), 1, "{logs}");
    assert_eq!(container.wait_running("tail").pid, tail.pid);
}

fn trap_09() {
    // The container's root has no CAP_SYS_PTRACE.
    let script = "setpriv --reuid 1000 --regid 1000 --clear-groups sleep infinity &\n\
                  until grep -qsx sleep /proc/$!/comm; do :; done\nexec musterd \"sleep infinity\"";
    let container = Container::run(&["--entrypoint", "sh"], images::daemons(), &["-c", script]);
    let adopted = container.wait_running("sleep");
    assert!(adopted.reason.contains("adopted"), "{}", adopted.reason);
    let exe = container.exec(&["readlink", &format!("/proc/{}/exe", pid(&adopted))]);
    assert!(!exe.status.success(), "root may read it here, so nothing was tried: {}", text(&exe));
    assert_eq!(named(&container, "sleep").len(), 1);
    container.kill(pid(&adopted));
    container.wait_back("sleep", &adopted);
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn hidepid(by: &str) {
    let daemon = "#!/bin/sh\\nif [ \"$1\" = --daemon ]; then >/tmp/begun; while :; do sleep 3600; done; fi\\nrm -f /tmp/begun\\nsetsid \"$0\" --daemon &\\nuntil [ -e /tmp/begun ]; do sleep 0.01; done\\n";
    let script = format!(
        "mount -o remount,hidepid=2 /proc && printf '{daemon}' >/hermit && chmod 755 /hermit && \
         exec {by} musterd 'sleep infinity' /hermit"
    );
    let options = [
        "--cap-add=SYS_ADMIN",
        "--security-opt=apparmor=unconfined",
        "-e",
        "MUSTERD_SOCKET=/tmp/musterd-test.sock",
        "--entrypoint",
        "sh",
    ];
    let container = Container::run(&options, images::daemons(), &["-c", &script]);
    container.wait_running("sleep");
    // With a group of its own: hidepid spares those of gid 0.
    let looks = ["exec", "--user", "1001:1001", container.name(), "test", "-e", "/proc/1"];
    assert!(!run("docker", &looks).status.success(), "/proc hides nothing, so nothing was tried");
    let hermit =
        container.wait_service("hermit", "is followed", |status| status.reason.contains("daemonised"));
    let sleep = container.wait_running("sleep");
    for before in [&sleep, &hermit] {
        container.kill(pid(before));
        let after = container.wait_back(&before.name, before);
        assert_eq!(after.restarts, 1);
    }
    container.wait_service("hermit", "is followed", |status| status.reason.contains("daemonised"));
    let logs = container.logs();
    assert!(!logs.contains("cannot"), "{logs}");
    assert_eq!(container.stop(), "0", "{}", container.logs());
}
