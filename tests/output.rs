//! The output on real pipes, files, sockets and terminals: every line whole, nothing ever waits, nothing is lost
//! unless it is counted. Time is made up.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "common/pipes.rs"]
mod pipes;

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::PathBuf,
};

use musterd::{
    config::{LogFormat, LogLevel, Regex},
    linux::{
        log::Log,
        output::{Outlet, Output},
    },
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::Mode,
    unistd::mkfifo,
};
use pipes::{at, is_ready, log, pipe, take, turn, writer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the queue holds at most, and one share of a pipe more, here doubled by the prefixes.
const BOUND: usize = (256 + 2 * 64) * 1024;
/// A pipe's usual capacity.
const PIPE: usize = 64 * 1024;

fn wants_a_turn(output: &Output) -> bool {
    is_ready(output.as_fd(), PollFlags::IN)
}

/// Writes numbered lines until the pipe is full; returns the next number.
fn fill(mut to: &File, mut number: usize) -> usize {
    while to.write_all(format!("line {number:04000}\n").as_bytes()).is_ok() {
        number += 1;
        if !is_ready(to.as_fd(), PollFlags::OUT) {
            break;
        }
    }
    number
}

fn is_shared_blocking(fd: impl AsFd) -> bool {
    !OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

fn scratch(name: &str) -> PathBuf {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("output-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Lets the service flood `stdout`, which nobody reads, and then reads it all: nothing is lost or doubled, and
/// meanwhile nothing waited and nothing grew.
fn floods(output: &mut Output, web: Outlet, reader: impl AsFd, capacity: usize) {
    let service = writer(output.stdout(web));
    let mut number = 0;
    for _ in 0..1000 {
        number = fill(&service, number);
        turn(output);
    }
    assert!(number * 4006 < BOUND + PIPE + capacity, "{number} lines were taken");
    assert!(!wants_a_turn(output), "the loop would spin");

    let mut got = String::new();
    while got.matches('\n').count() < number {
        let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
        let waited = poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(waited, 1, "{} of {number} lines came", got.lines().count());
        got += &take(&reader);
        for _ in 0..50 {
            turn(output);
        }
    }
    for (number, line) in got.lines().enumerate() {
        assert!(line == format!("web     | line {number:04000}"), "line {number} is {} bytes", line.len());
    }
}

#[test]
fn lines_come_whole_with_names_in_a_column() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let database = output.add_service("postgresql").unwrap();
    let mut out = writer(output.stdout(web));
    let mut err = writer(output.stderr(database));

    out.write_all(b"GET /").unwrap();
    turn(&mut output);
    err.write_all(b"ready\n\nto serve\n").unwrap();
    turn(&mut output);
    out.write_all(b" 200\nGET /a").unwrap();
    turn(&mut output);

    assert_eq!(
        take(&read_end),
        "postgresql | ready\n\
         postgresql | \n\
         postgresql | to serve\n\
         web        | GET / 200\n"
    );
}

#[test]
fn a_partial_line_comes_after_a_pause_or_at_the_end_of_its_process() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut out = writer(output.stdout(web));
    assert_eq!(output.next_deadline(), None);

    out.write_all(b"pass").unwrap();
    output.ready(at(0));
    out.write_all(b"word: ").unwrap();
    output.ready(at(200));
    assert_eq!(output.next_deadline(), Some(at(1200)));
    output.flush(at(1199));
    assert_eq!(take(&read_end), "");
    output.flush(at(1200));
    assert_eq!(take(&read_end), "web     | password: \n");
    assert_eq!(output.next_deadline(), None);

    out.write_all(b"killed in the mid").unwrap();
    output.flush_lines(web, true, at(1500));
    output.flush(at(1500));
    assert_eq!(take(&read_end), "web     | killed in the mid\n");
    assert_eq!(output.next_deadline(), None);
}

#[test]
fn a_line_that_another_process_goes_on_with_is_not_torn() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut worker = writer(output.stdout(web));
    let line = "x".repeat(1023) + "\n";
    // A pipe takes this in two pieces; its writer waits for the first one to be read.
    let text = line.repeat(65).split_off(512);
    let (first, second) = text.as_bytes().split_at(PIPE);
    assert_eq!(worker.write(first).unwrap(), PIPE);
    output.flush_lines(web, false, at(0));
    worker.write_all(second).unwrap();
    output.flush_lines(web, false, at(0));
    let mut lines = String::new();
    while lines.lines().count() < 65 {
        output.flush(at(0));
        lines += &take(&read_end);
    }
    let lengths: Vec<_> = lines.lines().map(|line| line.len() - "web     | ".len()).collect();
    assert_eq!(lengths, [&[511][..], &[1023; 64]].concat());

    worker.write_all(b"last words").unwrap();
    output.flush_lines(web, false, at(1));
    worker.write_all(b"first line\n").unwrap();
    output.ready(at(2));
    output.flush(at(2));
    assert_eq!(take(&read_end), "web     | last words\nweb     | first line\n", "nobody went on with it");
}

#[test]
fn last_words_while_nobody_reads_are_not_the_beginning_of_the_next_line() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let (web, flood) = (output.add_service("web").unwrap(), output.add_service("flood").unwrap());
    let (mut service, flooding) = (writer(output.stdout(web)), writer(output.stdout(flood)));
    for _ in 0..20 {
        fill(&flooding, 0);
        turn(&mut output);
    }
    service.write_all(b"last words").unwrap();
    output.flush_lines(web, true, at(100));
    service.write_all(b"first line\n").unwrap();
    let mut text = String::new();
    while !text.contains("first line") {
        turn(&mut output);
        text += &take(&read_end);
    }
    assert!(text.contains("\nweb     | last words\n"), "{text}");
}

#[test]
fn json_tells_a_piece_of_a_line_from_a_whole_one() {
    let (read_end, write_end) = pipe();
    let log = Log::new(LogFormat::Json, LogLevel::Info);
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut out = writer(output.stdout(web));
    out.write_all(b"migrating ...").unwrap();
    output.ready(at(0));
    output.flush(at(1000));
    out.write_all(b" done\nend").unwrap();
    output.ready(at(1100));
    output.flush_lines(web, true, at(1200));
    output.flush(at(1200));
    let told: Vec<_> = take(&read_end)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["message"].as_str().unwrap().to_owned(), line.get("partial").is_some()))
        .collect();
    let expected = [("migrating ...", true), (" done", false), ("end", false)];
    assert_eq!(told, expected.map(|(message, partial)| (message.to_owned(), partial)));
}

#[test]
fn a_partial_line_that_was_held_back_gets_a_new_pause() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let service = writer(output.stdout(web));
    writer(output.stderr(web)).write_all(b"half").unwrap();
    for _ in 0..20 {
        turn(&mut output);
        fill(&service, 0);
    }
    assert_eq!(output.next_deadline(), None, "the loop would spin");
    output.flush(at(1000));
    while output.next_deadline().is_none() {
        assert!(!take(&read_end).is_empty());
        output.flush(at(1000));
    }
    let mut text = String::new();
    loop {
        output.ready(at(1000));
        output.flush(at(1000));
        match take(&read_end) {
            got if got.is_empty() => break,
            got => text += &got,
        }
    }
    output.flush(at(1999));
    assert!(!text.contains("half") && take(&read_end).is_empty());
    output.flush(at(2000));
    assert_eq!(take(&read_end), "web     | half\n");
}

#[test]
fn a_pipe_that_nobody_reads_holds_only_its_own_services_back() {
    let (out, out_end) = pipe();
    let (err, err_end) = pipe();
    let mut output = Output::to(&log(), out_end.as_fd(), err_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let service = writer(output.stdout(web));
    for _ in 0..100 {
        fill(&service, 0);
        turn(&mut output);
    }
    writer(output.stderr(web)).write_all(b"still here\n").unwrap();
    assert!(wants_a_turn(&output));
    turn(&mut output);
    assert_eq!(take(&err), "web     | still here\n");
    assert!(is_shared_blocking(&out_end) && is_shared_blocking(&err_end));
    drop(out);
}

#[test]
fn nothing_is_lost_when_the_reader_of_a_pipe_was_slow() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    floods(&mut output, web, &read_end, PIPE);
    assert!(is_shared_blocking(&write_end));
}

#[test]
fn a_socket_works_as_a_pipe_does() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut output = Output::to(&log(), near.as_fd(), near.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    floods(&mut output, web, &far, 1024 * 1024);
    assert!(is_shared_blocking(&near));
}

#[test]
fn a_terminal_works_as_a_pipe_does() {
    let log = log();
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut settings = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
    nix::sys::termios::cfmakeraw(&mut settings);
    nix::sys::termios::tcsetattr(&pty.slave, nix::sys::termios::SetArg::TCSANOW, &settings).unwrap();
    let mut output = Output::to(&log, pty.slave.as_fd(), pty.slave.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    floods(&mut output, web, &pty.master, PIPE);
    assert!(is_shared_blocking(&pty.slave));
}

#[test]
fn what_cannot_be_opened_again_is_written_as_far_as_it_takes() {
    let log = log();
    let path = scratch("fifo-polled");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let reader = || OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
    let first = reader();
    let write_end = OpenOptions::new().write(true).open(&path).unwrap();
    drop(first);
    // Without a reader, opening for writing without waiting fails with ENXIO (fifo(7)).
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let second = reader();
    floods(&mut output, web, &second, PIPE);
    assert!(is_shared_blocking(&write_end));
}

#[test]
fn a_file_is_written_where_its_description_stands() {
    let log = log();
    let path = scratch("file");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"before\n").unwrap();
    let mut output = Output::to(&log, file.as_fd(), file.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    writer(output.stdout(web)).write_all(b"out\n").unwrap();
    writer(output.stderr(web)).write_all(b"err\n").unwrap();
    turn(&mut output);
    file.write_all(b"after\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nweb     | out\nweb     | err\nafter\n");
}

#[test]
fn a_flood_takes_its_share_and_no_more() {
    let log = log();
    let path = scratch("flood");
    let file = File::create(&path).unwrap();
    let mut output = Output::to(&log, file.as_fd(), file.as_fd()).unwrap();
    let flood = output.add_service("flood").unwrap();
    let quiet = output.add_service("quiet").unwrap();
    let flooding = writer(output.stdout(flood));
    let mut speaking = writer(output.stdout(quiet));
    for turns in 1..=20 {
        fill(&flooding, 0);
        speaking.write_all(b"a word\n").unwrap();
        turn(&mut output);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("quiet   | a word\n").count(), turns);
        assert!(text.matches("flood   | ").count() * 4006 <= turns * PIPE);
    }
}

#[test]
fn services_that_wait_for_a_slow_reader_take_turns() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let outlets: Vec<_> = (0..40).map(|at| output.add_service(&format!("s{at}")).unwrap()).collect();
    let services: Vec<_> = outlets.iter().map(|&outlet| writer(output.stdout(outlet))).collect();
    let mut text = String::new();
    for _ in 0..200 {
        for service in &services {
            fill(service, 0);
        }
        turn(&mut output);
        text += &take(&read_end);
    }
    let counts: Vec<_> = (0..40).map(|at| text.matches(&format!("s{at:<6} | ")).count()).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 2 * PIPE / 4006, "{counts:?}");
}

#[test]
fn a_reader_that_is_gone_costs_lines_that_are_counted() {
    let log = log();
    let path = scratch("fifo-gone");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let reader = || OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
    let first = reader();
    let write_end = OpenOptions::new().write(true).open(&path).unwrap();
    let (err, err_end) = pipe();
    let mut output = Output::to(&log, write_end.as_fd(), err_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut service = writer(output.stdout(web));
    tracing::subscriber::with_default(log.clone(), || {
        drop(first);
        service.write_all(b"1\n2\n").unwrap();
        turn(&mut output);
        service.write_all(b"3\n").unwrap();
        turn(&mut output);
        assert!(!wants_a_turn(&output), "the loop would spin");
        let second = reader();
        service.write_all(b"4\n").unwrap();
        turn(&mut output);
        assert_eq!(take(&second), "web     | 4\n");
    });
    assert_eq!(
        take(&err),
        "musterd | warning: cannot write to stdout: broken pipe; what services write there is lost and counted until \
         it can be written again\n\
         musterd | warning: stdout can be written again lost_lines=3\n"
    );
}

#[test]
fn a_line_that_was_torn_by_an_error_is_ended_before_the_next() {
    let log = log();
    let path = scratch("fifo-torn");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let reader = || OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
    let first = reader();
    let write_end = OpenOptions::new().write(true).open(&path).unwrap();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut service = writer(output.stdout(web));
    fill(&service, 0);
    fill(&writer(output.stderr(web)), 0);
    turn(&mut output);
    drop(first);
    turn(&mut output);
    let second = reader();
    let before = take(&second);
    assert!(before.starts_with("web     | line ") && !before.ends_with('\n'));
    service.write_all(b"anew\n").unwrap();
    turn(&mut output);
    assert_eq!(take(&second), "\nweb     | anew\n");
}

#[test]
fn a_full_disk_harms_nobody() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (err, err_end) = pipe();
    let log = log();
    let mut output = Output::to(&log, full.as_fd(), err_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let service = writer(output.stdout(web));
    tracing::subscriber::with_default(log.clone(), || {
        for _ in 0..100 {
            fill(&service, 0);
            turn(&mut output);
            assert!(!wants_a_turn(&output), "the loop would spin");
        }
    });
    assert_eq!(
        take(&err),
        "musterd | warning: cannot write to stdout: no space left on device; what services write there is lost and \
         counted until it can be written again\n"
    );
    tracing::subscriber::with_default(log, || output.finish(at(1_000_000), || at(999_999)));
    let told = take(&err);
    assert!(
        told.starts_with("musterd | warning: stdout could not be written to the end lost_lines="),
        "{told}"
    );
    assert!(told.ends_with(": no space left on device\n") && !told.contains("=0"), "{told}");
}

#[test]
fn at_the_end_everything_is_given_out() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    writer(output.stdout(web)).write_all(b"bye\nno newl").unwrap();
    output.finish(at(1000), || at(0));
    assert_eq!(take(&read_end), "web     | bye\nweb     | no newl\n");
}

#[test]
fn the_end_does_not_wait_for_a_reader_for_ever() {
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let service = writer(output.stdout(web));
    for _ in 0..20 {
        fill(&service, 0);
        turn(&mut output);
    }
    let mut now = 0;
    output.finish(at(50), || {
        now += 10;
        at(now)
    });
    assert!(now >= 50, "it gave up at {now} ms");
}

#[test]
fn a_service_under_its_own_user_may_open_its_stdout_by_name() {
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    for fd in [output.stdout(web), output.stderr(web)] {
        let mode = nix::sys::stat::fstat(fd).unwrap().st_mode;
        assert_eq!(mode & 0o777, 0o622);
    }
}

#[test]
fn messages_wait_for_a_slow_reader_and_are_counted_when_they_are_too_many() {
    let log = log();
    let (out, out_end) = pipe();
    let (mut err, err_end) = pipe();
    let mut output = Output::to(&log, out_end.as_fd(), err_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    writer(output.stdout(web)).write_all(b"beside\n").unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        for number in 0..40_000 {
            tracing::info!(service = "web", number, "restarted");
            if number % 10 == 0 {
                turn(&mut output);
            }
        }
    });
    assert_eq!(take(&out), "web     | beside\n");
    drop(out);

    let mut text = String::new();
    for _ in 0..100 {
        text += &take(&err);
        turn(&mut output);
    }
    let told = text.lines().filter(|line| line.contains(": restarted number=")).count();
    let (last, first) = (text.lines().last().unwrap(), text.lines().next().unwrap());
    assert_eq!(first, "musterd | service \"web\": restarted number=0");
    assert_eq!(
        last,
        format!(
            "musterd | warning: {} of musterd's own messages were dropped: more came than stderr took",
            40_000 - told
        )
    );
    assert!(text.len() < BOUND + PIPE + PIPE, "{} bytes were kept", text.len());
    drop(output);
    drop(OwnedFd::from(err_end));
    assert_eq!(err.read_to_string(&mut String::new()).unwrap(), 0);
}

#[test]
fn an_awaited_line_is_told_once_and_only_of_its_service() {
    let log = log();
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let [web, db] = ["web", "db"].map(|name| output.add_service(name).unwrap());
    let say = |output: &mut Output, outlet: Outlet, text: &[u8]| {
        writer(output.stderr(outlet)).write_all(text).unwrap();
        turn(output);
        output.take_seen()
    };
    let ready = || Regex::parse("^Listening on .*:[0-9]+$").ok();
    assert_eq!(say(&mut output, web, b"Listening on x:1\n"), [], "nothing is awaited");

    output.await_line(web, ready());
    assert_eq!(say(&mut output, db, b"Listening on x:1\n"), [], "another service");
    assert_eq!(say(&mut output, web, b"not Listening on x:1\nListening on"), []);
    assert_eq!(say(&mut output, web, b" \xFF:80"), [], "not whole yet");
    assert_eq!(say(&mut output, web, b"\nListening on x:2\n"), [web]);
    assert_eq!(say(&mut output, web, b"Listening on x:1\n"), [], "once");

    output.await_line(web, ready());
    output.await_line(web, None);
    assert_eq!(say(&mut output, web, b"Listening on x:1\n"), [], "no longer");

    // The last line of a start command has no newline.
    output.await_line(db, ready());
    writer(output.stdout(db)).write_all(b"Listening on x:1").unwrap();
    output.flush_lines(db, true, at(0));
    assert_eq!(output.take_seen(), [db]);
}
