//! The demonstration of `examples/apache2-sshd`: two daemons of Debian's, taken away and back.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    Test,
    common::{LIMIT, Status, now, text},
    container::{Container, wait_ssh, wait_web},
    images,
};

pub(crate) const TESTS: &[Test] = &[
    ("both_services_run_and_stop_in_order", both_services_run_and_stop_in_order),
    ("apache2_is_back_after_service_stop", apache2_is_back_after_service_stop),
    ("apache2_is_back_after_a_kill", apache2_is_back_after_a_kill),
    ("sshd_is_back_after_a_kill_and_connections_live_on", sshd_is_back_after_a_kill),
    ("hundreds_of_orphans_are_reaped", hundreds_of_orphans_are_reaped),
];

/// The container of the demonstration, started as its README says, and the addresses of its web and SSH servers.
fn start() -> (Container, String, String) {
    let ports = ["-p", "127.0.0.1::80", "-p", "127.0.0.1::22"];
    let commands = ["/usr/sbin/sshd", "/etc/init.d/apache2 start"];
    let container = Container::run(&ports, images::demonstration(), &commands);
    let (web, ssh) = (container.address(80), container.address(22));
    wait_web(&web);
    wait_ssh(&ssh);
    (container, web, ssh)
}

fn pid(status: &Status) -> i32 {
    status.pid.expect("a running service has a main process")
}

/// The PIDs of the processes of this name whose parent is musterd.
fn children(container: &Container, name: &str) -> Vec<i32> {
    let table = container.must(&["ps", "-e", "-o", "pid=,ppid=,stat=,comm="]);
    let children = table.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [pid, "1", state, comm] if comm == name && !state.starts_with('Z') => pid.parse().ok(),
        _ => None,
    });
    children.collect()
}

fn both_services_run_and_stop_in_order() {
    let (container, ..) = start();
    let (apache2, sshd) = (container.wait_running("apache2"), container.wait_running("sshd"));
    assert_eq!(children(&container, "apache2"), [pid(&apache2)]);
    assert_eq!(children(&container, "sshd"), [pid(&sshd)]);

    let output = container.exec(&["musterd", "ctl", "status"]);
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output);
    for service in [&apache2, &sshd] {
        assert!(humantime::parse_rfc3339(&service.since).is_ok(), "{}", service.since);
        let line = table.lines().find(|line| line.starts_with(&service.name)).expect("a line of the service");
        assert!(line.contains("running") && line.contains(&service.reason), "{line}");
        assert!(line.contains(&pid(service).to_string()), "{line}");
    }

    // By then, or else the engine kills it and the code is another one.
    assert_eq!(container.stop(), "0", "{}", container.logs());
    assert_eq!(container.inspect("{{.State.OOMKilled}}"), "false");
}

fn apache2_is_back_after_service_stop() {
    let (container, web, _) = start();
    let before = container.wait_running("apache2");
    container.must(&["service", "apache2", "stop"]);
    container.wait_back("apache2", &before);
    wait_web(&web);
    let after = container.wait_running("apache2");
    assert_eq!(children(&container, "apache2"), [pid(&after)], "{}", container.logs());
}

fn apache2_is_back_after_a_kill() {
    let (container, web, _) = start();
    let before = container.wait_running("apache2");
    let begin = now();
    container.kill(pid(&before));
    wait_web(&web);
    let took = begin.elapsed();
    let after = container.wait_back("apache2", &before);
    assert_eq!(after.restarts, 1);
    assert!(after.reason.contains("SIGKILL"), "{}", after.reason);
    assert_eq!(children(&container, "apache2"), [pid(&after)]);
    println!("apache2 answers again {} ms after docker exec began to kill it", took.as_millis());
}

fn sshd_is_back_after_a_kill() {
    let (container, _, ssh) = start();
    let before = container.wait_running("sshd");

    let mut connection = TcpStream::connect(&ssh).expect("sshd listens");
    connection.set_read_timeout(Some(LIMIT)).expect("a limit is not zero");
    let mut banner = [0; 8];
    connection.read_exact(&mut banner).expect("a banner");
    assert_eq!(&banner, b"SSH-2.0-");

    container.kill(pid(&before));
    let after = container.wait_back("sshd", &before);
    wait_ssh(&ssh);
    assert_eq!(after.restarts, 1);

    // The old listener's child still talks: after our banner it proposes its algorithms (RFC 4253, section 7.1).
    connection.write_all(b"SSH-2.0-musterd_test\r\n").expect("the connection is open");
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while !answer.windows(10).any(|window| window == b"curve25519") {
        let length = connection.read(&mut chunk).expect("the connection is open");
        assert_ne!(length, 0, "the connection was closed with the listener");
        answer.extend_from_slice(&chunk[..length]);
    }
}

fn hundreds_of_orphans_are_reaped() {
    let (container, ..) = start();
    let before = [container.wait_running("apache2"), container.wait_running("sshd")];
    container.must(&["sh", "-c", "i=0; while [ $i -lt 400 ]; do i=$((i + 1)); (sleep 3600 &); done"]);
    crate::common::wait("the orphans have musterd as their parent", || {
        (children(&container, "sleep").len() == 400).then_some(())
    });
    container.must(&["pkill", "-KILL", "-x", "sleep"]);
    crate::common::wait("no zombie is left", || {
        let table = container.must(&["ps", "-e", "-o", "stat=,comm="]);
        (!table.contains("sleep") && !table.lines().any(|line| line.starts_with('Z'))).then_some(())
    });
    let after = [container.wait_running("apache2"), container.wait_running("sshd")];
    assert_eq!(after.map(|service| service.pid), before.map(|service| service.pid));
}
