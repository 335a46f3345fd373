//! Processes that musterd sees and that are not its container's: those of the machine under `--pid=host`, those of a
//! shared PID namespace. They live on, whatever musterd does.

use crate::{
    Test,
    container::Container,
    daemons::{named, pid},
    images,
};

pub(crate) const TESTS: &[Test] = &[
    ("trap_24_under_pid_host_other_containers_are_foreign", || foreign("host", "0")),
    ("trap_24_under_pid_host_an_ordinary_user_knows_them_too", || foreign("host", "1000")),
    ("trap_24_in_a_shared_pid_namespace_others_are_foreign", || foreign("container", "0")),
    ("trap_24_in_a_shared_pid_namespace_an_ordinary_user_knows_them_too", || foreign("container", "1000")),
    ("trap_10_kernel_threads_are_no_services", trap_10),
];

/// Makes programs of these names, then goes on as `"$@"`.
fn with_programs(names: &[&str]) -> String {
    let copies: String = names.iter().map(|name| format!("cp /bin/sleep /tmp/{name} && ")).collect();
    format!("{copies}exec \"$@\"")
}

/// Another container's process has the service's command line, its name, and its user.
fn foreign(place: &str, user: &str) {
    let script = with_programs(&["webd"]);
    let base = ["--user", user, "--entrypoint", "sh"];
    let command = ["-c", &script, "sh", "/tmp/webd", "infinity"];
    let other = Container::run(&base, images::daemons(), &command);
    let shared = format!("container:{}", other.name());
    let options = [&base[..], &["--pid", if place == "host" { "host" } else { &shared }]].concat();
    let command = ["-c", &script, "sh", "musterd", "/tmp/webd infinity"];
    let container = Container::run(&options, images::daemons(), &command);

    let before = container.wait_running("webd");
    assert!(before.reason.starts_with("started"), "{}", before.reason);
    let seen: Vec<i32> = named(&container, "webd").iter().map(|seen| seen.pid).collect();
    assert!(seen.len() >= 2 && seen.contains(&pid(&before)), "it sees the other one, too: {seen:?}");
    let theirs: Vec<i32> = seen.into_iter().filter(|&seen| seen != pid(&before)).collect();

    container.kill(pid(&before));
    let after = container.wait_back("webd", &before);
    assert!(!theirs.contains(&pid(&after)), "{after:?} is another container's");
    assert!(container.exec(&["musterd", "ctl", "restart", "webd"]).status.success());
    container.wait_back("webd", &after);
    assert_eq!(container.stop(), "0", "{}", container.logs());
    assert_eq!(other.inspect("{{.State.Running}} {{.RestartCount}}"), "true 0", "the other one was ended");
}

fn trap_10() {
    let names = ["kthreadd", "rcu_sched", "ksoftirqd"];
    let script = with_programs(&names);
    let commands = names.map(|name| format!("/tmp/{name} infinity"));
    let mut command = vec!["-c", &script, "sh", "musterd"];
    command.extend(commands.iter().map(String::as_str));
    let container = Container::run(&["--pid=host", "--entrypoint", "sh"], images::daemons(), &command);
    for name in names {
        let before = container.wait_running(name);
        assert!(before.reason.starts_with("started"), "{}", before.reason);
        container.kill(pid(&before));
        let after = container.wait_back(name, &before);
        let threads: Vec<_> =
            named(&container, name).into_iter().filter(|seen| seen.parent == 0 || seen.parent == 2).collect();
        assert!(threads.iter().all(|thread| thread.pid != pid(&after)), "{after:?} is the kernel's");
    }
    assert_eq!(container.stop(), "0", "{}", container.logs());
}
