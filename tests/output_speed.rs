//! A measurement, not a test: `cargo test --release --test output_speed -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::OpenOptionsExt,
    },
    time::{Duration, Instant},
};

use musterd::{
    config::{LogFormat, LogLevel},
    linux::{log::Log, output::Output},
    time::Time,
};
use nix::{fcntl::OFlag, unistd::pipe2};
use rustix::event::{PollFd, PollFlags, poll};

const MEBIBYTES: usize = 512;

/// Lines of 80 bytes through `output`, written and read in one thread, so that the figure is of both.
fn measure(name: &str, format: LogFormat, to: &File) {
    let log = Log::new(format, LogLevel::Info);
    let mut output = Output::to(&log, to.as_fd(), to.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let path = format!("/proc/self/fd/{}", output.stdout(web).as_raw_fd());
    let mut service =
        OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).unwrap();
    let text = format!("{:079}\n", 7).repeat(800);
    let rounds = MEBIBYTES * 1024 * 1024 / text.len();
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let begin = Instant::now();
    for _ in 0..rounds {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match service.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            poll(&mut [PollFd::new(&output, PollFlags::IN)], None).unwrap();
            output.ready(Time::from_boot(Duration::ZERO));
            output.flush(Time::from_boot(Duration::ZERO));
        }
    }
    println!("{name}: {:.0} MiB/s", MEBIBYTES as f64 / begin.elapsed().as_secs_f64());
}

#[test]
#[ignore = "a measurement: it proves nothing"]
fn throughput() {
    let null = File::create("/dev/null").unwrap();
    measure("text to /dev/null", LogFormat::Text, &null);
    measure("json to /dev/null", LogFormat::Json, &null);

    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let mut cat = std::process::Command::new("cat")
        .stdin(read_end)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    measure("text to a pipe that cat reads", LogFormat::Text, &write_end.into());
    cat.wait().unwrap();
}
