//! The service of the benchmark: writes short lines as fast as it can for a while. Reads nothing.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

/// What a program writes at once that does not write to a terminal: the buffer of the C library.
pub(crate) const BUFFER: usize = 4096;

/// A line with its newline, in bytes.
pub(crate) const LINE: usize = 64;

/// `FOLDER SECONDS BYTES PACE NUMBER`, where BYTES are written at once, PACE times a second (0: without a pause): says in
/// FOLDER/ready that it is there, waits for FOLDER/go, and says in FOLDER/done how many bytes it got rid of.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut next = || arguments.next().and_then(|word| word.into_string().ok()).unwrap_or_default();
    let (folder, seconds, bytes, pace, number) = (next(), next(), next(), next(), next());
    let (bytes, pace) = (bytes.parse().unwrap_or(BUFFER), pace.parse().unwrap_or(0));
    match produce(Path::new(&folder), seconds.parse().unwrap_or(1.0), bytes, pace, &number) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("producer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn produce(folder: &Path, seconds: f64, at_once: usize, pace: u32, number: &str) -> io::Result<()> {
    let line = format!("{:.<1$}\n", format!("a line of producer {number} "), LINE - 1);
    let buffer = line.repeat(at_once / LINE);
    tell(&folder.join("ready"), "1\n")?;
    while !folder.join("go").exists() {
        sleep(Duration::from_millis(1));
    }
    let mut stdout = File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
    let begin = Instant::now();
    let mut bytes = 0;
    while begin.elapsed().as_secs_f64() < seconds {
        stdout.write_all(buffer.as_bytes())?;
        bytes += buffer.len();
        if let Some(pause) = Duration::from_secs(1).checked_div(pace) {
            sleep(pause);
        }
    }
    tell(&folder.join("done"), &format!("{bytes} {}\n", begin.elapsed().as_secs_f64()))
}

fn tell(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}
