//! Where a service's output goes but to musterd's own: files, nowhere, memory, a FIFO that outlives musterd; and what is
//! done while nobody reads. Time is made up.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "common/pipes.rs"]
mod pipes;

use std::{
    fs::{self, File},
    io::Write,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use musterd::{
    config::{Destination, LogFile, Logging, Overflow},
    linux::output::{Output, Wanted},
    protocol::LogFailure,
    time::Time,
};
use pipes::{at, is_ready, log, pipe, take, turn, writer};
use rustix::event::PollFlags;

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("places-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn file(&self, max_size: u64, keep: u32) -> Logging {
        let file = Destination::File(LogFile { path: self.0.join("log"), max_size, keep });
        Logging { stdout: file.clone(), stderr: file, ..Logging::default() }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_gets_lines_as_they_are_and_is_rotated_between_them() {
    let folder = Folder::new("rotation");
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service_as("web", &folder.file(100, 2)).unwrap();
    let mut service = writer(output.stdout(web));
    for number in 0..50 {
        writeln!(service, "line {number:04}").unwrap();
        if number % 7 == 0 {
            turn(&mut output);
        }
    }
    turn(&mut output);
    let lines = |from: usize, to: usize| (from..to).map(|number| format!("line {number:04}\n")).collect();
    let [newest, middle, oldest]: [String; 3] = [lines(40, 50), lines(30, 40), lines(20, 30)];
    assert_eq!(folder.read("log"), newest);
    assert_eq!((folder.read("log.1"), folder.read("log.2")), (middle, oldest));
    assert_eq!(folder.read("log.3"), "", "no more than two old ones are kept");
    assert_eq!(fs::metadata(folder.0.join("log")).unwrap().mode() & 0o777, 0o640);
    writeln!(service, "{}", "x".repeat(500)).unwrap();
    turn(&mut output);
    assert_eq!((folder.read("log").len(), folder.read("log.1").len()), (501, 100), "a long line is alone");
    assert_eq!(take(&read_end), "");
}

#[test]
fn both_streams_share_a_file_and_a_last_line_is_ended() {
    let folder = Folder::new("shared");
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service_as("web", &folder.file(1 << 20, 1)).unwrap();
    writer(output.stdout(web)).write_all(b"half ").unwrap();
    turn(&mut output);
    writer(output.stderr(web)).write_all(b"an error\n").unwrap();
    turn(&mut output);
    writer(output.stdout(web)).write_all(b"and half").unwrap();
    output.flush(at(5000));
    assert_eq!(folder.read("log"), "an error\n", "nobody waits for a prompt in a file");
    output.flush_lines(web, true, at(5000));
    output.flush(at(5000));
    assert_eq!(folder.read("log"), "an error\nhalf and half\n");
}

#[test]
fn a_file_that_is_open_is_limited_as_was_changed() {
    let (_read_end, write_end) = pipe();
    let folder = Folder::new("limits");
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let limited = |max_size, keep| Logging {
        stdout: Destination::File(LogFile { path: folder.0.join("log"), max_size, keep }),
        ..Logging::default()
    };
    let web = output.add_service_as("web", &limited(1 << 20, 1)).unwrap();
    let mut service = writer(output.stdout(web));
    service.write_all(b"one\ntwo\n").unwrap();
    turn(&mut output);
    output.change_service(web, "web", &limited(8, 2), at(0)).unwrap();
    for line in [b"three\n", b"four.\n", b"five.\n"] {
        service.write_all(line).unwrap();
        turn(&mut output);
    }
    let files = ["log", "log.1", "log.2"].map(|name| folder.read(name));
    assert_eq!(files, ["five.\n", "four.\n", "three\n"]);
}

#[test]
fn a_pipe_is_read_on_where_it_goes_from_now_on() {
    let (read_end, write_end) = pipe();
    let folder = Folder::new("redirected");
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let usual = Logging::default();
    let web = output.add_service_as("web", &usual).unwrap();
    let mut service = writer(output.stdout(web));
    let log_file = LogFile { path: folder.0.join("log"), max_size: 1 << 20, keep: 1 };
    let dropping = Logging { overflow: Overflow::Drop, ..usual.clone() };
    let to_file = Logging { stdout: Destination::File(log_file), ..usual.clone() };
    for (number, logging) in
        [&dropping, &usual, &to_file, &dropping, &to_file, &usual].into_iter().enumerate()
    {
        output.change_service(web, "web", logging, at(0)).unwrap();
        writeln!(service, "{number}").unwrap();
        turn(&mut output);
    }
    assert_eq!(take(&read_end), "web     | 0\nweb     | 1\nweb     | 3\nweb     | 5\n");
    assert_eq!(folder.read("log"), "2\n4\n");
}

#[test]
fn a_file_that_was_renamed_is_opened_anew() {
    let folder = Folder::new("reopen");
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service_as("web", &folder.file(1 << 20, 1)).unwrap();
    let mut service = writer(output.stdout(web));
    let mut say = |output: &mut Output, text: &str| {
        service.write_all(text.as_bytes()).unwrap();
        turn(output);
    };
    say(&mut output, "one\n");
    fs::rename(folder.0.join("log"), folder.0.join("moved")).unwrap();
    say(&mut output, "two\n");
    output.reopen();
    say(&mut output, "three\n");
    assert_eq!((folder.read("moved"), folder.read("log")), ("one\ntwo\n".into(), "three\n".into()));
}

#[test]
fn a_file_that_cannot_be_opened_costs_lines_that_are_counted_until_it_can() {
    let folder = Folder::new("missing");
    let place = folder.0.join("later");
    let (read_end, write_end) = pipe();
    let log = log();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let file = Destination::File(LogFile { path: place.join("log"), max_size: 1000, keep: 1 });
    let logging = Logging { stdout: file, ..Logging::default() };
    let web = output.add_service_as("web", &logging).unwrap();
    let other = output.add_service("other").unwrap();
    tracing::subscriber::with_default(log, || {
        for _ in 0..3 {
            writer(output.stdout(web)).write_all(b"lost\n").unwrap();
            turn(&mut output);
        }
        let told = take(&read_end);
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(&format!("cannot write to {}", place.join("log").display())), "{told}");
        assert!(told.contains("no such file or directory"), "{told}");
        let failure = LogFailure {
            to: place.join("log").display().to_string(),
            cause: "no such file or directory".to_owned(),
            lost_lines: 3,
        };
        assert_eq!(output.log_failures(web), [failure]);
        assert_eq!(output.log_failures(other), [], "it writes elsewhere");
        fs::create_dir(&place).unwrap();
        writer(output.stdout(web)).write_all(b"kept\n").unwrap();
        turn(&mut output);
    });
    assert_eq!(fs::read_to_string(place.join("log")).unwrap(), "kept\n");
    assert_eq!(output.log_failures(web), []);
    assert!(take(&read_end).contains("can be written again lost_lines=3"));
}

#[test]
fn no_link_and_no_device_is_taken_for_a_file() {
    let folder = Folder::new("link");
    let secret = folder.0.join("secret");
    fs::write(&secret, "mine\n").unwrap();
    std::os::unix::fs::symlink(&secret, folder.0.join("log")).unwrap();
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service_as("web", &folder.file(1000, 1)).unwrap();
    writer(output.stdout(web)).write_all(b"forged\n").unwrap();
    turn(&mut output);
    assert_eq!(folder.read("secret"), "mine\n");
}

#[test]
fn raw_is_our_own_stdout_and_none_is_nowhere() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let logging = Logging { stdout: Destination::Raw, stderr: Destination::None, ..Logging::default() };
    let web = output.add_service_as("web", &logging).unwrap();
    nix::unistd::write(output.stdout(web), b"no line").unwrap();
    nix::unistd::write(output.stderr(web), b"nothing\n").unwrap();
    output.flush_lines(web, true, at(0));
    turn(&mut output);
    assert_eq!(take(&read_end), "no line");
}

#[test]
fn a_service_that_may_lose_lines_is_never_held_back_and_the_others_lose_none() {
    let (read_end, write_end) = pipe();
    let log = log();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let hold = output.add_service("hold").unwrap();
    let drop =
        output.add_service_as("drop", &Logging { overflow: Overflow::Drop, ..Logging::default() }).unwrap();
    let (held, dropped) = (writer(output.stdout(hold)), writer(output.stdout(drop)));
    let (mut numbers, mut now) = ([0, 0], 0);
    let mut told = String::new();
    tracing::subscriber::with_default(log, || {
        for _ in 0..2000 {
            for (at, mut service) in [&held, &dropped].into_iter().enumerate() {
                while is_ready(service.as_fd(), PollFlags::OUT)
                    && service.write_all(format!("line {:07}\n", numbers[at]).as_bytes()).is_ok()
                {
                    numbers[at] += 1;
                    if numbers[at] % 100 == 0 {
                        break;
                    }
                }
            }
            turn(&mut output);
        }
        assert_eq!(numbers[1], 200_000, "it was held back");
        assert!(numbers[0] < 100_000, "{numbers:?}");
        loop {
            let got = take(&read_end);
            if got.is_empty() && now > 10_000 {
                break;
            }
            told += &got;
            now += 500;
            output.ready(at(now));
            output.flush(at(now));
        }
    });
    let of = |name: &str| {
        let prefix = format!("{name:7} | line ");
        told.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect::<Vec<usize>>()
    };
    assert!(of("hold").into_iter().eq(0..numbers[0]), "lines were lost");
    let kept = of("drop");
    assert!(kept.is_sorted_by(|one, next| one < next), "lines were doubled");
    let counted: usize = told
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("service \"drop\": lines were dropped dropped_lines=")?;
            rest.split(':').next()?.parse::<usize>().ok()
        })
        .sum();
    assert_eq!(kept.len() + counted, numbers[1]);
}

#[test]
fn times_and_colours_are_before_the_line() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut settings = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
    nix::sys::termios::cfmakeraw(&mut settings);
    nix::sys::termios::tcsetattr(&pty.slave, nix::sys::termios::SetArg::TCSANOW, &settings).unwrap();
    let log = log();
    log.set_times(true);
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log, pty.slave.as_fd(), write_end.as_fd()).unwrap();
    output.allow_colours();
    let web = output.add_service("web").unwrap();
    writer(output.stdout(web)).write_all(b"coloured\n").unwrap();
    writer(output.stderr(web)).write_all(b"plain\n").unwrap();
    turn(&mut output);
    let got = take(File::from(pty.master));
    let (time, rest) = got.split_once(' ').unwrap();
    assert!(humantime::parse_rfc3339(time).is_ok(), "{got:?}");
    assert_eq!(rest, "\x1b[36mweb     |\x1b[0m coloured\n");
    let got = take(&read_end);
    let (time, rest) = got.split_once(' ').unwrap();
    assert!(humantime::parse_rfc3339(time).is_ok(), "{got:?}");
    assert_eq!(rest, "web     | plain\n");
}

#[test]
fn what_is_remembered_is_what_came_however_it_came() {
    let (_read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut service = writer(output.stdout(web));
    for piece in ["one\ntw", "o", "\nthree\nfo", "ur", "\n\nfive\u{c3}\n"] {
        let bytes: Vec<u8> = piece.chars().map(|c| c as u8).collect();
        service.write_all(&bytes).unwrap();
        output.ready(at(0));
    }
    output.mark(web, Some(7), "ended: \x1b[2J");
    service.write_all(b"password: ").unwrap();
    output.ready(at(0));
    output.flush(at(1000));
    let page = output.page(&Wanted { services: vec![web], after: 0, since: None, lines: None });
    let got: Vec<_> = page.lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(got, ["one", "two", "three", "four", "", "five\\xc3", "ended: \\u{1b}[2J", "password: "]);
    assert!(page.lines[7].partial && !page.lines[1].partial);
}

#[test]
fn what_is_written_while_there_is_no_musterd_is_read_by_the_next_one() {
    let folder = Folder::new("fifo");
    let begin = || {
        let (read_end, write_end) = pipe();
        let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
        output.keep_fifos(&folder.0, ["web"].into_iter()).unwrap();
        let web = output.add_service("web").unwrap();
        (read_end, output, web)
    };
    let (read_end, mut output, web) = begin();
    // What a process gets: a copy of this descriptor.
    let mut service = File::from(output.stdout(web).try_clone_to_owned().unwrap());
    service.write_all(b"before\n").unwrap();
    turn(&mut output);
    assert_eq!(take(&read_end), "web     | before\n");
    drop(output);
    service.write_all(b"meanwhile\n").unwrap();
    fs::write(folder.0.join("output/old.stdout"), "").unwrap();
    let (read_end, mut output, _) = begin();
    assert!(!folder.0.join("output/old.stdout").exists(), "what no service has is removed");
    turn(&mut output);
    service.write_all(b"after\n").unwrap();
    turn(&mut output);
    assert_eq!(take(&read_end), "web     | meanwhile\nweb     | after\n");
}

#[test]
fn a_pipe_that_is_written_to_all_the_time_rests() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut service = writer(output.stdout(web));
    let after = |microseconds| Time::from_boot(Duration::from_micros(microseconds));
    let is_told = |output: &Output| is_ready(output.as_fd(), PollFlags::IN);
    for time in [10_000, 10_100] {
        service.write_all(b"line\n").unwrap();
        assert!(is_told(&output), "a lone line waits for nothing");
        output.ready(after(time));
    }
    service.write_all(b"line\n").unwrap();
    assert!(!is_told(&output) && !output.is_due(after(11_000)), "it is not watched");
    assert_eq!(output.next_deadline(), Some(after(11_100)));
    assert_eq!(output.ready(after(11_100)), 5);
    // Nothing comes any more.
    (12..14).for_each(|time| assert_eq!(output.ready(after(time * 1000 + 500)), 0));
    assert_eq!(output.next_deadline(), None);
    service.write_all(b"line\n").unwrap();
    assert!(is_told(&output), "it is watched again");
    output.ready(after(20_000));
    output.flush(after(20_000));
    assert_eq!(take(&read_end), "web     | line\n".repeat(4));
}

#[test]
fn what_was_read_and_not_written_is_written_by_the_next_one() {
    let folder = Folder::new("kept");
    let (read_end, write_end) = pipe();
    let log_file = Destination::File(LogFile { path: folder.0.join("log"), max_size: 1 << 20, keep: 1 });
    let logging = Logging { stderr: log_file, ..Logging::default() };
    let begin = || {
        let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
        output.keep_fifos(&folder.0, ["web"].into_iter()).unwrap();
        let web = output.add_service_as("web", &logging).unwrap();
        output.resume(at(0));
        (output, web)
    };
    let (mut output, web) = begin();
    let mut service = File::from(output.stdout(web).try_clone_to_owned().unwrap());
    let mut errors = File::from(output.stderr(web).try_clone_to_owned().unwrap());
    // More than the pipe to the reader holds.
    let count = 3000;
    let mut text = String::new();
    for number in 0..count {
        writeln!(service, "line {number:060}").unwrap();
        if number % 100 == 0 {
            write!(errors, "{number} ").unwrap();
            turn(&mut output);
        }
        // One after the other is killed; each stops where it is.
        if number % 500 == 250 {
            service.write_all(b"line").unwrap();
            turn(&mut output);
            (output, _) = begin();
            service.write_all(b" of two\n").unwrap();
        }
        if number % 1000 == 999 {
            text += &take(&read_end);
        }
    }
    writeln!(errors).unwrap();
    for _ in 0..50 {
        turn(&mut output);
        text += &take(&read_end);
    }
    let (halves, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains("of two"));
    assert_eq!(halves, ["web     | line of two"; 6]);
    let wanted = (0..count).map(|number| format!("web     | line {number:060}"));
    assert!(lines.into_iter().map(str::to_owned).eq(wanted), "{text}");
    let wanted: String = (0..30).map(|number| format!("{} ", 100 * number)).collect();
    assert_eq!(folder.read("log"), wanted + "\n");
}
