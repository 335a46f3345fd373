//! nginx and apache2 of Debian: masters that are killed, upgraded and replaced on disk. The logins of sshd are in
//! `logins`.

use crate::{
    Test,
    common::{Status, now, wait},
    container::{Container, wait_web},
    images,
};

pub(crate) const TESTS: &[Test] = &[
    ("trap_04_workers_outlive_a_killed_nginx", trap_04),
    ("trap_09_a_program_replaced_on_disk_is_still_the_service", trap_09),
    ("trap_13_nginx_is_upgraded_in_place", trap_13),
    ("apache2_workers_end_before_a_new_master_starts", apache2_workers_end_first),
    ("trap_07_a_pidfile_outlives_its_container", trap_07),
];

/// A process inside, as `ps` shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) arguments: String,
}

/// The living processes of this name.
pub(crate) fn named(container: &Container, comm: &str) -> Vec<Seen> {
    let table = container.must(&["ps", "-e", "-o", "pid=,ppid=,stat=,comm=,args="]);
    let processes = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (state, name) = (words.next()?, words.next()?);
        let arguments = words.collect::<Vec<_>>().join(" ");
        (name == comm && !state.starts_with('Z')).then_some(Seen { pid, parent, arguments })
    });
    processes.collect()
}

fn masters(container: &Container) -> Vec<i32> {
    let masters =
        named(container, "nginx").into_iter().filter(|seen| seen.arguments.contains("master process"));
    masters.map(|seen| seen.pid).collect()
}

pub(crate) fn pid(status: &Status) -> i32 {
    status.pid.expect("a running service has a main process")
}

/// A container with one web server that answers.
fn web(options: &[&str], commands: &[&str]) -> (Container, String) {
    let container =
        Container::run(&[&["-p", "127.0.0.1::80"], options].concat(), images::daemons(), commands);
    let address = container.address(80);
    wait_web(&address);
    (container, address)
}

/// Waits until a daemon is followed: before that its start command is the main process.
pub(crate) fn wait_daemon(container: &Container, name: &str) -> Status {
    container.wait_service(name, "is the daemon", |status| {
        status.state == "running" && status.reason.contains("daemonised by")
    })
}

/// The main process is killed: its workers hold the port until they are ended, then there are new ones only.
fn master_is_killed(container: &Container, address: &str, name: &str) {
    let before = wait_daemon(container, name);
    let old: Vec<i32> = named(container, name).iter().map(|seen| seen.pid).collect();
    assert!(old.len() > 1, "{name} has workers: {old:?}");
    let begin = now();
    container.kill(pid(&before));
    let after = container.wait_back(name, &before);
    wait_web(address);
    println!("{name} answers {} ms after docker exec began to kill its master", begin.elapsed().as_millis());
    let followed = wait_daemon(container, name);
    assert_eq!(followed.restarts, 1);
    assert!(after.reason.contains("SIGKILL"), "{}", after.reason);
    let new = named(container, name);
    assert!(new.iter().all(|seen| !old.contains(&seen.pid)), "an old worker lives: {old:?} {new:?}");
    for seen in &new {
        let is_kin = seen.pid == pid(&followed) || seen.parent == pid(&followed);
        assert!(is_kin, "{seen:?} is of another master than {followed:?}");
    }
    let logs = container.logs();
    assert!(!logs.contains("Address already in use"), "{logs}");
}

fn trap_04() {
    let (container, address) = web(&[], &["/usr/sbin/nginx"]);
    master_is_killed(&container, &address, "nginx");
    assert_eq!(masters(&container).len(), 1);
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn apache2_workers_end_first() {
    let (container, address) = web(&[], &["/etc/init.d/apache2 start"]);
    master_is_killed(&container, &address, "apache2");
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

/// `kill -USR2`, then `-QUIT`: the new master, its answers from beginning to end.
fn upgrade(container: &Container, address: &str, before: &Status) -> i32 {
    let old = pid(before);
    container.must(&["sh", "-c", &format!("kill -USR2 {old}")]);
    let new = wait("a second master with its workers", || {
        let masters = masters(container);
        let new = masters.iter().copied().find(|&pid| pid != old).filter(|_| masters.len() == 2)?;
        named(container, "nginx").iter().any(|seen| seen.parent == new).then_some(new)
    });
    assert_eq!(container.wait_running("nginx").pid, before.pid, "two masters are no reason to change");
    container.must(&["sh", "-c", &format!("kill -QUIT {old}")]);
    let after = container.wait_back("nginx", before);
    assert_eq!((after.pid, after.restarts), (Some(new), 0));
    wait_web(address);
    assert_eq!(masters(container), [new]);
    new
}

fn trap_13() {
    let (container, address) = web(&[], &["/usr/sbin/nginx"]);
    let before = wait_daemon(&container, "nginx");
    let new = upgrade(&container, &address, &before);
    let after = container.wait_running("nginx");
    let told = format!("took over from {}, which exited 0", pid(&before));
    assert!(after.reason.contains(&told), "{}", after.reason);
    assert!(container.logs().contains(&told), "{}", container.logs());

    // The new one is watched as the old one was.
    container.kill(new);
    let last = container.wait_back("nginx", &after);
    wait_web(&address);
    assert_eq!(last.restarts, 1);
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn trap_09() {
    // Not PID 1, so that it can be killed and come back; then it knows nothing but what the table says.
    let again = "while :; do musterd \"$@\"; rm -f /run/musterd/record.json; done";
    let options = ["-p", "127.0.0.1::80", "--entrypoint", "sh"];
    let command = ["-c", again, "sh", "/usr/sbin/nginx"];
    let container = Container::run(&options, images::daemons(), &command);
    let address = container.address(80);
    wait_web(&address);
    let before = wait_daemon(&container, "nginx");
    container.must(&[
        "sh",
        "-c",
        "cp /usr/sbin/nginx /usr/sbin/nginx.new && mv /usr/sbin/nginx.new /usr/sbin/nginx",
    ]);
    let exe = container.exec(&["readlink", &format!("/proc/{}/exe", pid(&before))]);
    assert_eq!(String::from_utf8_lossy(&exe.stdout).trim(), "/usr/sbin/nginx (deleted)");

    let manager = named(&container, "musterd").pop().expect("musterd runs");
    container.kill(manager.pid);
    wait("a new musterd", || named(&container, "musterd").into_iter().find(|seen| seen.pid != manager.pid));
    let adopted = container.wait_running("nginx");
    assert_eq!(adopted.pid, before.pid);
    assert!(adopted.reason.contains("adopted"), "{}", adopted.reason);
    assert_eq!(masters(&container), [pid(&before)]);

    container.kill(pid(&adopted));
    let after = container.wait_back("nginx", &adopted);
    wait_web(&address);
    wait_daemon(&container, "nginx");
    let exe = container.must(&["readlink", &format!("/proc/{}/exe", pid(&container.wait_running("nginx")))]);
    assert_eq!(exe.trim(), "/usr/sbin/nginx", "{after:?}");
}

fn trap_07() {
    let (container, _) = web(&[], &["/etc/init.d/apache2 start"]);
    let before = wait_daemon(&container, "apache2");
    let recorded = container.must(&["cat", "/run/apache2/apache2.pid"]);
    assert_eq!(recorded.trim(), pid(&before).to_string());
    container.kill_all();
    // Other processes have the PIDs of before now; the file is still there.
    container.start_again();
    wait_web(&container.address(80));
    let after = wait_daemon(&container, "apache2");
    let top: Vec<i32> =
        named(&container, "apache2").iter().filter(|seen| seen.parent == 1).map(|seen| seen.pid).collect();
    assert_eq!((top, after.restarts), (vec![pid(&after)], 0));
}
