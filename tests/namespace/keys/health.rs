//! Keys of the health check that `readiness` has not.

use std::{fs, net::TcpListener, time::Duration};

use crate::{
    Test,
    common::{now, wait},
    machine::{Folder, Machine, pid},
};

use super::ready::{alpha, answer, free_port, server};

pub(crate) const TESTS: &[Test] = &[
    ("check_tcp_sees_the_listener_go", check_tcp_sees_the_listener_go),
    ("check_http_sees_the_status", check_http_sees_the_status),
    ("check_every_and_retries_are_counted", check_every_and_retries_are_counted),
    ("check_timeout_ends_what_hangs", check_timeout_ends_what_hangs),
    ("check_on_failure_restarts_or_reports", check_on_failure_restarts_or_reports),
];

fn check_tcp_sees_the_listener_go() {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    listener.set_nonblocking(true).expect("a socket");
    let keys = format!("check = {{ tcp = {port}, every = '50ms', retries = 2, on-failure = 'report' }}");
    let machine = alpha("check-tcp", &keys);
    wait("it is asked", || listener.accept().ok());
    machine.wait_running("alpha");
    drop(listener);
    let ill = machine.wait_service("alpha", "is ill", |alpha| alpha.state == "unhealthy");
    assert!(ill.reason.contains("connection refused"), "{}", ill.reason);
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    machine.wait_running("alpha");
    assert_eq!(machine.folder.lines("starts").len(), 1);
}

fn check_http_sees_the_status() {
    let (listener, port) = server();
    let keys = format!(
        "check = {{ http = 'http://127.0.0.1:{port}/well', every = '50ms', retries = 1, on-failure = 'report' }}"
    );
    let machine = alpha("check-http", &keys);
    let state = |expected: &str, status: &str| {
        wait(expected, || {
            answer(&listener, status);
            machine.status().into_iter().find(|alpha| alpha.state == expected)
        })
    };
    wait("it is asked", || answer(&listener, "200 OK").then_some(()));
    state("running", "200 OK");
    let ill = state("unhealthy", "500 Internal Server Error");
    assert!(ill.reason.contains("500"), "{}", ill.reason);
    state("running", "200 OK");
}

fn check_every_and_retries_are_counted() {
    let folder = Folder::new("check-retries");
    let sleeper = folder.sleeper("alpha");
    let check = folder.script("check", "date +%s%N >>$folder/asked; exit 1");
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{sleeper} infinity'\n\
         check = {{ exec = '{check}', every = '700ms', retries = 4, on-failure = 'report' }}\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let ill = machine.wait_service("alpha", "is ill", |alpha| alpha.state == "unhealthy");
    assert!(ill.reason.contains("failed 4 times in a row"), "{}", ill.reason);
    let asked: Vec<u64> =
        machine.folder.lines("asked").iter().map(|line| line.parse().expect("a time")).collect();
    assert!(asked.len() >= 4, "{asked:?}");
    let pauses = asked.windows(2).map(|pair| Duration::from_nanos(pair[1] - pair[0]));
    assert!(pauses.clone().all(|pause| pause >= Duration::from_millis(690)), "{asked:?}");
}

fn check_timeout_ends_what_hangs() {
    let begin = now();
    let keys = "check = { exec = 'sleep 1000', every = '50ms', timeout = '300ms', retries = 1, on-failure = 'report' }";
    let machine = alpha("check-timeout", keys);
    let ill = machine.wait_service("alpha", "is ill", |alpha| alpha.state == "unhealthy");
    assert!(ill.reason.contains("300ms"), "{}", ill.reason);
    assert!(begin.elapsed() < Duration::from_millis(4900), "the usual limit is 5 s");
}

fn check_on_failure_restarts_or_reports() {
    let folder = Folder::new("check-remedy");
    let (alpha, beta) = (folder.sleeper("alpha"), folder.sleeper("beta"));
    let check = folder.script("check", "test ! -e $folder/ill || { echo no disk; exit 1; }");
    let check = |remedy| {
        format!("check = {{ exec = '{check}', every = '50ms', retries = 2, on-failure = '{remedy}' }}")
    };
    let config = folder.config(&format!(
        "[services.alpha]\nstart = '{alpha} infinity'\n{}\n[services.beta]\nstart = '{beta} infinity'\n{}\n",
        check("restart"),
        check("report")
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    let (alpha, beta) = (machine.wait_running("alpha"), machine.wait_running("beta"));
    fs::write(machine.folder.path("ill"), "").expect("a file");
    let again = machine
        .wait_service("alpha", "is started anew", |status| status.pid.is_some_and(|new| new != pid(&alpha)));
    assert!(again.reason.contains("health check failed") && again.reason.contains("no disk"), "{again:?}");
    let ill = machine.wait_service("beta", "is ill", |beta| beta.state == "unhealthy");
    assert_eq!((ill.pid, ill.restarts), (beta.pid, 0));
    fs::remove_file(machine.folder.path("ill")).expect("our file");
    machine.wait_running("alpha");
    machine.wait_running("beta");
}
