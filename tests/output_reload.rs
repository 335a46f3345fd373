//! Services that a reload removes, or whose output it leads elsewhere, while nobody reads musterd's own: no line is lost
//! but what is counted. Time is made up.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "common/pipes.rs"]
mod pipes;

use std::{
    fs::{self, File},
    io::Write,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::PathBuf,
};

use musterd::{
    config::{Destination, LogFile, Logging, Overflow},
    linux::output::{Outlet, Output},
};
use nix::fcntl::{FcntlArg, fcntl};
use pipes::{at, is_ready, log, pipe, take, turn, writer};
use rustix::event::PollFlags;

/// What waits at most in musterd: the queue, what closed pipes add, and a share of a pipe, doubled by the names in front.
const BOUND: usize = (256 + 512 + 2 * 64) * 1024;

/// Half as many as there are places where it is kept what was read of a pipe, and one.
const MANY: usize = 8 * 1024 + 1;

/// Writes numbered lines until the pipe is full; returns how many.
fn fill(mut to: &File) -> usize {
    let lines = (0..).take_while(|number| {
        is_ready(to.as_fd(), PollFlags::OUT)
            && to.write_all(format!("line {number:040}\n").as_bytes()).is_ok()
    });
    lines.count()
}

/// Lets another service write until nobody is read any more, as the reader of musterd's output reads nothing.
fn hold_back(output: &mut Output) {
    let flood = output.add_service("flood").unwrap();
    let service = writer(output.stdout(flood));
    for _ in 0..100 {
        fill(&service);
        turn(output);
    }
    assert!(output.is_held(flood));
}

/// Reads all that comes, for so long that dropped lines are told.
fn read_all(output: &mut Output, reader: &File) -> String {
    let mut text = String::new();
    for now in (1000..6000).step_by(5) {
        text += &take(reader);
        output.ready(at(now));
        output.flush(at(now));
    }
    text
}

fn numbers(text: &str, name: &str) -> Vec<usize> {
    let prefix = format!("{name:7} | line ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect()
}

/// How many lines of it are told to be dropped.
fn dropped(text: &str, name: &str) -> usize {
    let told = format!("service \"{name}\": lines were dropped dropped_lines=");
    let count = |line: &str| line.split_once(&told)?.1.split(':').next()?.parse::<usize>().ok();
    text.lines().filter_map(count).sum()
}

#[test]
fn what_a_removed_service_has_written_comes_when_the_reader_reads() {
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut errors = writer(output.stderr(web));
    errors.write_all(b"begun ").unwrap();
    turn(&mut output);
    hold_back(&mut output);
    let service = writer(output.stdout(web));
    // A service may make its pipe larger than musterd does.
    fcntl(&service, FcntlArg::F_SETPIPE_SZ(256 * 1024)).unwrap();
    let count = fill(&service);
    assert!(count * 46 > 200 * 1024, "{count}");
    errors.write_all(b"and ended\nno end").unwrap();
    turn(&mut output);
    output.remove_service(web, at(0));
    let text = read_all(&mut output, &read_end);
    assert!(numbers(&text, "web").into_iter().eq(0..count), "lines were lost");
    assert!(text.contains("web     | begun and ended\nweb     | no end\n"));
}

#[test]
fn what_many_removed_services_have_written_is_counted_beyond_a_bound() {
    let (read_end, write_end) = pipe();
    let log = log();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let names: Vec<String> = (0..50).map(|number| format!("web-{number:02}")).collect();
    let web: Vec<Outlet> = names.iter().map(|name| output.add_service(name).unwrap()).collect();
    tracing::subscriber::with_default(log, || {
        hold_back(&mut output);
        let counts: Vec<usize> = web.iter().map(|&web| fill(&writer(output.stdout(web)))).collect();
        web.iter().for_each(|&web| output.remove_service(web, at(0)));
        assert_eq!(output.next_deadline(), None, "nothing is to be told later");
        let text = read_all(&mut output, &read_end);
        let kept: Vec<Vec<usize>> = names.iter().map(|name| numbers(&text, name)).collect();
        for ((name, kept), count) in names.iter().zip(&kept).zip(counts) {
            assert!(kept.iter().copied().eq(0..kept.len()), "{name}: its first lines");
            assert_eq!(kept.len() + dropped(&text, name), count, "{name}");
        }
        assert!(!kept[0].is_empty() && kept[49].is_empty());
        let waited: usize = kept.iter().map(|kept| kept.len() * ("web-00  | line \n".len() + 40)).sum();
        assert!(waited < BOUND, "{waited} bytes waited");
    });
}

#[test]
fn what_was_dropped_of_a_removed_service_is_told() {
    let (read_end, write_end) = pipe();
    let log = log();
    let mut output = Output::to(&log, write_end.as_fd(), write_end.as_fd()).unwrap();
    let dropping = Logging { overflow: Overflow::Drop, ..Logging::default() };
    let web = output.add_service_as("web", &dropping).unwrap();
    tracing::subscriber::with_default(log, || {
        hold_back(&mut output);
        let mut service = writer(output.stdout(web));
        service.write_all(b"read\nand dropped\n").unwrap();
        turn(&mut output);
        service.write_all(b"not read\n").unwrap();
        output.remove_service(web, at(0));
        let text = read_all(&mut output, &read_end);
        assert_eq!(dropped(&text, "web"), 3, "{text}");
        assert_eq!(output.next_deadline(), None, "the loop would spin");
    });
}

#[test]
fn what_waits_to_be_read_goes_where_a_reload_leads_it() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("redirected-{}", std::process::id()));
    let (read_end, write_end) = pipe();
    let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
    let web = output.add_service("web").unwrap();
    let mut service = writer(output.stdout(web));
    service.write_all(b"begun ").unwrap();
    turn(&mut output);
    hold_back(&mut output);
    service.write_all(b"and ended\nwhole\nlast ").unwrap();
    let file = Destination::File(LogFile { path: path.clone(), max_size: 1 << 20, keep: 1 });
    let to_file = Logging { stdout: file, ..Logging::default() };
    output.change_service(web, "web", &to_file, at(0)).unwrap();
    turn(&mut output);
    assert_eq!(fs::read_to_string(&path).unwrap(), "begun and ended\nwhole\n");

    output.change_service(web, "web", &Logging::default(), at(0)).unwrap();
    service.write_all(b"line\nto nobody\n").unwrap();
    // Its process has ended, and the next one is to write without musterd.
    let raw = Logging { stdout: Destination::Raw, ..Logging::default() };
    output.change_service(web, "web", &raw, at(0)).unwrap();
    let text = read_all(&mut output, &read_end);
    assert!(text.contains("web     | last line\nweb     | to nobody\n"));
    fs::remove_file(path).unwrap();
}

#[test]
fn what_is_read_is_kept_after_any_number_of_other_services() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("names-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let (read_end, write_end) = pipe();
    let begin = || {
        let mut output = Output::to(&log(), write_end.as_fd(), write_end.as_fd()).unwrap();
        output.keep_fifos(&folder, ["web"].into_iter()).unwrap();
        output
    };
    let mut output = begin();
    // More of them than there are places for pipes.
    for number in 0..MANY {
        let other = output.add_service(&format!("other-{number}")).unwrap();
        output.remove_service(other, at(0));
    }
    let web = output.add_service("web").unwrap();
    let mut service = File::from(output.stdout(web).try_clone_to_owned().unwrap());
    service.write_all(b"begun ").unwrap();
    turn(&mut output);
    // This one is killed.
    drop(output);
    output = begin();
    output.add_service("web").unwrap();
    output.resume(at(0));
    service.write_all(b"and ended\n").unwrap();
    turn(&mut output);
    assert_eq!(take(&read_end), "web     | begun and ended\n");
    output.finish(at(0), || at(0));
    fs::remove_dir_all(&folder).unwrap();
}
