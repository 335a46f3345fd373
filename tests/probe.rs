//! `musterd probe` as a manager, an image or a person runs it: the real binary against real listeners.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "common/mod.rs"]
mod common;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use common::{now, wait};

const MUSTERD: &str = env!("CARGO_BIN_EXE_musterd");

/// A listener on a free port.
fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(MUSTERD);
    command.arg("probe").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The exit code and what is on stderr, without its newline.
fn outcome(output: &Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap().trim_end().to_owned())
}

fn probe(arguments: &[&str]) -> (i32, String) {
    outcome(&command(arguments).output().unwrap())
}

fn failed(why: &str) -> (i32, String) {
    (1, why.to_owned())
}

fn success() -> (i32, String) {
    (0, String::new())
}

/// What was asked, up to the empty line.
fn request(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(common::LIMIT)).unwrap();
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Probes `http://127.0.0.1:PORT/PATH` while one client is answered so; gives what it asked, too.
fn answered(path: &str, arguments: &[&str], answer: &[u8]) -> (String, (i32, String)) {
    let (listener, port) = listener();
    let url = format!("http://127.0.0.1:{port}{path}");
    let child = command(arguments).arg(&url).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let asked = request(&stream);
    // The probe hangs up when it knows enough.
    let _ = stream.write_all(answer);
    drop(stream);
    let (code, told) = outcome(&child.wait_with_output().unwrap());
    (asked.replace(&port.to_string(), "PORT"), (code, told.replace(&port.to_string(), "PORT")))
}

#[test]
fn a_port_is_open_or_not() {
    let (listener, port) = listener();
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(probe(&[&format!("tcp://{host}:{port}")]), success(), "{host}");
    }
    drop(listener);
    let url = format!("tcp://127.0.0.1:{port}");
    assert_eq!(probe(&[&url]), failed(&format!("cannot connect to {url}: connection refused")));
}

#[test]
fn ipv6_is_in_brackets() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("ignored: no IPv6 here");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    assert_eq!(probe(&[&format!("tcp://[::1]:{port}")]), success());
    assert_eq!(probe(&[&format!("tcp://::1:{port}")]).0, 2);
}

#[test]
fn a_request_is_whole_and_its_status_counts() {
    let (asked, outcome) = answered("/health?deep=1", &[], b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfine");
    assert_eq!(
        asked,
        format!(
            "GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nUser-Agent: musterd/{}\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    assert_eq!(outcome, success());
    let told = |arguments: &[&str], answer: &str| answered("", arguments, answer.as_bytes()).1;
    assert_eq!(told(&[], "HTTP/1.1 302 Found\r\n\r\n"), success());
    assert_eq!(told(&[], "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204\r\n\r\n"), success());
    assert_eq!(told(&["--status", "200-299"], "HTTP/1.1 204 No Content\r\n\r\n"), success());
    assert_eq!(
        told(&["--status", "200-299"], "HTTP/1.1 302 Found\r\n\r\n"),
        failed("http://127.0.0.1:PORT/ answers 302 Found")
    );
    assert_eq!(told(&["--status", "401"], "HTTP/1.1 401 Unauthorized\r\n\r\n"), success());
    assert_eq!(
        told(&[], "HTTP/1.1 503 Service Unavailable\r\n\r\n"),
        failed("http://127.0.0.1:PORT/ answers 503 Service Unavailable")
    );
}

#[test]
fn a_strange_answer_is_told() {
    let why = |answer: &[u8]| {
        let (code, told) = answered("/", &[], answer).1;
        assert_eq!(code, 1);
        told.strip_prefix("cannot get an answer from http://127.0.0.1:PORT/: ").unwrap().to_owned()
    };
    assert_eq!(why(b""), "it hung up without a word");
    assert_eq!(why(b"HTTP/1.1 20"), "it hung up before the end of the status");
    assert_eq!(
        why(b"SSH-2.0-\x1b[2J\r\n"),
        "its answer is not HTTP/1: it begins with \"SSH-2.0-\\u{1b}[2J\\r\""
    );
    assert_eq!(why(&[b'H'; 100_000]), "its answer is not HTTP/1: it begins with \"HHHHHHHHHHHHHHHHHHHH\"");
    let endless = [b"HTTP/1.1 200 ".as_slice(), &[b'x'; 100_000]].concat();
    assert_eq!(why(&endless), "its status line does not end");
    let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
    assert_eq!(why(&hints), "no status within 8192 bytes");
}

#[test]
fn silence_ends_in_time() {
    let (listener, port) = listener();
    let url = format!("http://127.0.0.1:{port}/");
    let begin = now();
    assert_eq!(
        probe(&["--timeout", "200ms", &url]),
        failed(&format!("cannot get an answer from {url}: still waiting for the answer after 200ms"))
    );
    // A byte now and then is no answer either.
    let trickle = thread_writing(listener);
    assert_eq!(probe(&["--timeout", "300ms", &url]).0, 1);
    assert!(begin.elapsed() < common::LIMIT, "{:?}", begin.elapsed());
    trickle.join().unwrap();
}

/// Accepts clients, and sends a byte of a status line for ever to the last one.
#[expect(clippy::disallowed_methods, reason = "a slow server takes its time")]
fn thread_writing(listener: TcpListener) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        drop(listener.accept());
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 ");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn root_becomes_nobody_before_it_asks() {
    let (listener, port) = listener();
    let mut child = command(&[&format!("http://127.0.0.1:{port}/")]).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    request(&stream);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    if nix::unistd::Uid::effective().is_root() {
        assert_eq!(field("Uid:"), ["65534"; 4]);
        assert_eq!(field("Gid:"), ["65534"; 4]);
        assert_eq!(field("Groups:"), [""; 0]);
        assert_eq!(field("CapEff:"), ["0000000000000000"]);
    } else {
        println!("ignored: root's part, as an ordinary user");
    }
    drop(stream);
    let ended = wait("the probe ends", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(1));
}

#[test]
fn misuse_is_told() {
    for (arguments, told) in [
        (&["tcp://db"][..], "must name a port"),
        (&["https://web/"], "https is not spoken"),
        (&["db:5432"], "must be tcp://HOST:PORT or http://"),
        (&["--timeout", "0s", "tcp://db:1"], "must be more than 0s"),
        (&["--timeout", "5", "tcp://db:1"], "time unit needed"),
        (&["--status", "2xx", "http://web/"], "codes from 200 to 599"),
        (&[], "<URL>"),
        (&["tcp://a:1", "tcp://b:1"], "unexpected argument"),
    ] {
        let (code, stderr) = probe(arguments);
        assert!(code == 2 && stderr.contains(told), "{arguments:?}: {code} {stderr}");
    }
}

#[test]
fn a_name_that_is_nowhere_is_told() {
    let (code, told) = probe(&["tcp://no-such-host.invalid:80"]);
    assert_eq!(code, 1);
    assert!(told.starts_with("cannot connect to tcp://no-such-host.invalid:80: "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
