//! Keys of readiness that `readiness` has not: addresses and times. The machine has the network of the test, so that
//! the test itself can be who answers.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use crate::{
    Test,
    common::{now, wait},
    machine::{Folder, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("ready_tcp_waits_for_a_listener", ready_tcp_waits_for_a_listener),
    ("ready_http_waits_for_success", ready_http_waits_for_success),
    ("ready_delay_lasts", ready_delay_lasts),
    ("ready_timeout_fails_the_start", ready_timeout_fails_the_start),
];

/// A machine of one service that sleeps.
pub(super) fn alpha(test: &str, keys: &str) -> Machine {
    let folder = Folder::new(test);
    let start = folder.script("alpha", "echo $$ >>$folder/starts; exec sleep infinity");
    let config = folder.config(&format!("[services.alpha]\nstart = '{start}'\n{keys}\n"));
    Machine::start(folder, &["-c", &config])
}

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// A listener that `answer` serves, and its port.
pub(super) fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("a port").port();
    (listener, port)
}

/// Answers one who asks, if there is one; whether there was.
pub(super) fn answer(listener: &TcpListener, status: &str) -> bool {
    let Ok((mut stream, _)) = listener.accept() else { return false };
    let mut request = [0; 1024];
    // Who asks may have given up.
    let asked = stream.read(&mut request).is_ok_and(|length| request[..length].starts_with(b"GET /well "));
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    asked
}

fn ready_tcp_waits_for_a_listener() {
    let port = free_port();
    let machine = alpha("ready-tcp", &format!("ready = {{ tcp = {port} }}"));
    machine.wait_service("alpha", "says why it waits", |alpha| {
        alpha.state == "starting" && alpha.reason.contains("connection refused")
    });
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    machine.wait_running("alpha");
    assert_eq!(machine.folder.lines("starts").len(), 1);
}

fn ready_http_waits_for_success() {
    let (listener, port) = server();
    let machine = alpha("ready-http", &format!("ready = {{ http = 'http://127.0.0.1:{port}/well' }}"));
    for _ in 0..3 {
        wait("it is asked", || answer(&listener, "503 Service Unavailable").then_some(()));
    }
    let alpha = machine.wait_service("alpha", "says why it waits", |alpha| alpha.reason.contains("503"));
    assert_eq!(alpha.state, "starting");
    wait("it is asked", || answer(&listener, "204 No Content").then_some(()));
    machine.wait_running("alpha");
}

fn ready_delay_lasts() {
    let begin = now();
    let machine = alpha("ready-delay", "ready = { delay = '2s' }");
    machine.wait_service("alpha", "gets ready", |alpha| alpha.state == "starting" && alpha.pid.is_some());
    machine.wait_running("alpha");
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(machine.folder.lines("starts").len(), 1);
}

fn ready_timeout_fails_the_start() {
    let machine = alpha("ready-timeout", "ready = { log = 'never said', timeout = '300ms' }");
    wait("it is started anew", || (machine.folder.lines("starts").len() >= 2).then_some(()));
    machine.wait_service("alpha", "says why", |alpha| alpha.reason.contains("300ms"));
}
