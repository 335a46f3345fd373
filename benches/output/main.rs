//! How fast services get rid of their lines: musterd beside `cat`, s6-log and supervisord, in turn, to /dev/null, to a pipe
//! and to a file. Judges nothing. Each cell tells what services got rid of in a second, what carrying a MiB of it cost in
//! processor time, and the most memory that the carrier had.
//!
//! `cargo bench --bench output`, on a machine that does nothing else. Only figures of one run compare.

#![expect(clippy::disallowed_methods, reason = "a measurement waits for other processes")]

mod carriers;
mod producer;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use carriers::{Carrier, Load, Running};
use clap::Parser;

/// The word that makes this program a service.
const PRODUCE: &str = "produce";

/// What a pipe holds that was written and perhaps not carried (pipe(7)).
const PIPE: f64 = 65_536.0;

/// How many lines a second are written by one that doesn't write as fast as it can.
const PACE: u32 = 100;

const MEBIBYTE: f64 = 1_048_576.0;

/// Measures how fast lines are carried.
#[derive(Debug, Parser)]
#[command(name = "output")]
struct Options {
    /// How long each measurement takes
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many services write at once where there are many
    #[arg(long, default_value_t = 100)]
    services: usize,
    /// Only those whose name has this in it
    #[arg(long)]
    carrier: Option<String>,
    /// Only the rows that have this in their names
    #[arg(long)]
    row: Option<String>,
    /// Set by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Set by cargo bench: the benchmarks to run
    #[arg(hide = true)]
    filter: Option<String>,
}

/// Where lines go.
#[derive(Clone, Copy, Debug)]
enum Place {
    Null,
    Pipe,
    File,
}

/// What was measured.
struct Figures {
    /// Bytes that services got rid of, in a second.
    rate: f64,
    /// Processor time of what carries, in seconds for each of these bytes.
    cost: f64,
    /// The most memory that it had, in KiB, of all its processes.
    memory: u64,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == PRODUCE) {
        return producer::run(arguments);
    }
    let options = Options::parse();
    if options.filter.as_ref().is_some_and(|filter| !"output".contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    // As a test only its building matters.
    if !options.bench {
        println!("output: ignored: a benchmark, run by cargo bench");
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("output: cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let is_wanted = |carrier: &Carrier| {
        options.carrier.as_ref().is_none_or(|wanted| carrier.name().contains(wanted.as_str()))
    };
    let (there, missing): (Vec<_>, Vec<_>) = Carrier::ALL
        .into_iter()
        .filter(|carrier| is_wanted(carrier))
        .partition(|carrier| carrier.is_installed());
    for carrier in missing {
        println!("output: ignored: {} is not in PATH", carrier.name());
    }
    let names: Vec<_> = there.iter().map(|carrier| carrier.name()).collect();
    println!("| MiB/s · ms/MiB · MiB | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    let seconds = options.seconds;
    let is_row = |name: &str| options.row.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
    for services in [1, options.services] {
        for (at_once, how) in [(producer::BUFFER, ""), (producer::LINE, "each line by itself, ")] {
            for (place, to) in [(Place::Null, "/dev/null"), (Place::Pipe, "a pipe"), (Place::File, "a file")]
            {
                let plural = if services == 1 { "" } else { "s" };
                let name = format!("{services} service{plural}, {how}to {to}");
                if is_row(&name) {
                    let load = Load { services, seconds, at_once, pace: 0 };
                    println!("| {name}{} |", row(&there, load, place)?);
                }
            }
        }
    }
    let services = options.services;
    let name = format!("{services} services, {PACE} lines a second each, to a pipe");
    if is_row(&name) {
        let load = Load { services, seconds, at_once: producer::LINE, pace: PACE };
        println!("| {name}{} |", row(&there, load, Place::Pipe)?);
    }
    Ok(())
}

/// The figures of everyone, as the cells of a table.
fn row(carriers: &[Carrier], load: Load, place: Place) -> io::Result<String> {
    let mut row = String::new();
    for &carrier in carriers {
        if carrier.loses_lines() && matches!(place, Place::Null) {
            row += " | –";
            continue;
        }
        let Figures { rate, cost, memory } = measure(carrier, load, place)?;
        let (rate, cost) = (rate / MEBIBYTE, cost * MEBIBYTE * 1000.0);
        let digits = if rate < 10.0 { 1 } else { 0 };
        row += &format!(" | {rate:.digits$} · {cost:.2}");
        // Of what has ended nobody knows it.
        if memory > 0 {
            row += &format!(" · {:.1}", memory as f64 / 1024.0);
        }
    }
    Ok(row)
}

fn measure(carrier: Carrier, load: Load, place: Place) -> io::Result<Figures> {
    let Load { services, seconds, pace, .. } = load;
    let folder = Folder::new()?;
    let (to, reader) = match place {
        Place::Null => (File::options().write(true).open("/dev/null")?, None),
        Place::File => (File::create(folder.0.join("log"))?, None),
        Place::Pipe => {
            let (reader, writer) = io::pipe()?;
            (File::from(std::os::fd::OwnedFd::from(writer)), Some(drain(reader)))
        }
    };
    let running = carrier.start(&folder.0, load, &to)?;
    drop(to);
    await_lines(&folder.0.join("ready"), services)?;
    let (before, _) = usage(&running);
    fs::write(folder.0.join("go"), "")?;
    sleep(Duration::from_secs_f64(seconds));
    let done = await_lines(&folder.0.join("done"), services)?;
    let bytes: f64 = done.iter().filter_map(|line| line.split(' ').next()?.parse::<f64>().ok()).sum();
    let time =
        done.iter().filter_map(|line| line.split(' ').nth(1)?.parse::<f64>().ok()).fold(seconds, f64::max);
    let (processor, memory) = usage(&running);
    running.end();
    let came = match reader {
        Some(reader) => reader.join().map_err(|_| io::Error::other("the reader of the pipe failed"))?,
        None => fs::metadata(folder.0.join("log")).map_or(0, |log| log.len()),
    };
    let waiting = if pace > 0 { 0.0 } else { PIPE * services as f64 };
    let carried = if carrier.loses_lines() { came as f64 } else { bytes - waiting }.max(1.0);
    Ok(Figures { rate: carried / time, cost: (processor - before).max(0.0) / carried, memory })
}

/// Reads the pipe as fast as it can, until everybody has closed it; returns how many bytes came.
fn drain(mut reader: io::PipeReader) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let read = std::iter::repeat_with(|| reader.read(&mut buffer).unwrap_or(0));
        read.take_while(|&count| count > 0).map(|count| count as u64).sum()
    })
}

/// Waits for so many lines in a file.
fn await_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    /// supervisord takes seconds to start a hundred.
    const TURNS: usize = 120_000;
    for _ in 0..TURNS {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            return Ok(text.lines().map(str::to_owned).collect());
        }
        sleep(Duration::from_millis(1));
    }
    Err(io::Error::other(format!("{} has not its {count} lines in time", path.display())))
}

/// Processor time in seconds and most memory in KiB of what carries; a zombie still tells its time (proc_pid_stat(5)).
fn usage(running: &Running) -> (f64, u64) {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let (mut processor, mut memory) = (0.0, 0);
    for pid in &running.pids {
        let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
        processor +=
            fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / ticks;
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        memory += peak.and_then(|peak| peak.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    }
    (processor, memory)
}

/// A folder of one measurement, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("musterd-bench-output-{}", std::process::id()));
        // Of a measurement that was killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over in a temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
