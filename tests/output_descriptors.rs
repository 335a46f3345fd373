//! A service's output that is to go elsewhere when file descriptors are out. A program of its own: the limit is the whole
//! process'.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "common/pipes.rs"]
mod pipes;

use std::{
    fs::{self, File},
    io::Write,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
};

use musterd::{
    config::{Destination, LogFile, Logging, Overflow},
    linux::output::Output,
};
use nix::{
    libc::EMFILE,
    sys::resource::{Resource, getrlimit, setrlimit},
};
use pipes::{at, log, pipe, take, turn, writer};

/// What a log file takes before anything is written there.
const OF_A_FILE: u64 = 2;

fn file(path: &Path) -> Destination {
    Destination::File(LogFile { path: path.to_owned(), max_size: 1 << 20, keep: 1 })
}

fn write(mut to: &File, text: &str) {
    to.write_all(text.as_bytes()).unwrap();
}

#[test]
fn without_descriptors_a_pipe_flows_where_it_did_until_it_can_be_led_elsewhere() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let [one, two] = ["one", "two"].map(|name| folder.join(format!("few-{name}-{}", std::process::id())));
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let usual = Logging::default();
    let web = output.add_service_as("web", &usual).unwrap();
    let (service, errors) = (&writer(output.stdout(web)), &writer(output.stderr(web)));
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd() as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let limit = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
    let say = |output: &mut Output, text: &str| {
        write(service, &format!("{text}\n"));
        turn(output);
        write(errors, &format!("{text}, an error\n"));
        turn(output);
    };

    let dropping = Logging { overflow: Overflow::Drop, ..usual.clone() };
    let to_file = Logging { stdout: file(&one), ..usual.clone() };
    limit(lowest_free);
    for logging in [&dropping, &to_file] {
        write(service, "begun ");
        turn(&mut output);
        let error = output.change_service(web, "web", logging, at(0)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EMFILE));
        say(&mut output, "and ended");
        assert_eq!(take(&read_end), "web     | begun and ended\nweb     | and ended, an error\n");
    }

    let to_both = Logging { stdout: file(&one), stderr: file(&two), ..usual.clone() };
    limit(lowest_free + OF_A_FILE);
    assert!(output.change_service(web, "web", &to_both, at(0)).is_err(), "there is room for one");
    limit(soft);
    say(&mut output, "half way");
    assert_eq!(take(&read_end), "web     | half way, an error\n");
    output.change_service(web, "web", &usual, at(0)).unwrap();
    say(&mut output, "as before");
    assert_eq!(take(&read_end), "web     | as before\nweb     | as before, an error\n");
    output.change_service(web, "web", &to_both, at(0)).unwrap();
    say(&mut output, "elsewhere");
    let [in_one, in_two] = [&one, &two].map(|path| fs::read_to_string(path).unwrap());
    assert_eq!((in_one.as_str(), in_two.as_str()), ("half way\nelsewhere\n", "elsewhere, an error\n"));
    assert_eq!(take(&read_end), "");
    [one, two].iter().for_each(|path| fs::remove_file(path).unwrap());
}
