//! Reads pidfiles. Whether a PID in one is (still) meant is not judged here.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::OFlags;

use super::{log::wall_clock, small_file};
use crate::{
    process::{Pid, Pidfile},
    time::Time,
};

/// Far more than a PID takes: some daemons write further lines (postmaster.pid), none of them a book.
const LONGEST: u64 = 4096;

/// A daemon that writes its PID in two pieces does so within this time. Until then a number that no newline ends may
/// be the half of one.
const SETTLED: Duration = Duration::from_millis(100);

/// What the file says; `None` where it says nothing: absent, no regular file, a link (whoever may write in its folder
/// could let it lead to another service's), no PID in its first line, perhaps half written, or from the future (the
/// wall clock was set back, so that its age cannot be told). `clock` is read after the wall clock: what passes
/// between the two makes a file seem newer, not older.
pub fn read(path: &Path, clock: impl Fn() -> Time) -> Option<Pidfile> {
    let (text, stat) = small_file::read(path, LONGEST, OFlags::NOFOLLOW).ok()?;
    let changed = UNIX_EPOCH
        + Duration::new(u64::try_from(stat.st_mtime).ok()?, u32::try_from(stat.st_mtime_nsec).ok()?);
    let age = wall_clock().duration_since(changed).ok()?;
    let pid = parse(&text, age >= SETTLED)?;
    Some(Pidfile { pid, written: clock() - age + coarseness(changed), owner: stat.st_uid })
}

/// Some file systems keep whole seconds only.
fn coarseness(changed: SystemTime) -> Duration {
    let whole = changed.duration_since(UNIX_EPOCH).is_ok_and(|since| since.subsec_nanos() == 0);
    if whole { Duration::from_secs(1) } else { Duration::ZERO }
}

/// The PID in the first line, with or without blanks around it; without a newline behind it only where the file is
/// `settled`. Neither 0 nor 1 is a service's.
pub fn parse(text: &[u8], settled: bool) -> Option<Pid> {
    let end = text.iter().position(|&byte| byte == b'\n');
    let line = match end {
        Some(end) => &text[..end],
        None if settled => text,
        None => return None,
    };
    let digits = str::from_utf8(line.trim_ascii()).ok()?;
    let pid: Pid = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (pid > 1).then_some(pid)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_line_holds_a_pid() {
        for text in ["1234\n", " 1234 \n", "1234\r\n", "001234\n", "1234\n/var/lib/data\n5432\n"] {
            assert_eq!(parse(text.as_bytes(), false), Some(1234), "{text:?}");
        }
        let wrong: [&[u8]; 12] = [
            b"",
            b"\n",
            b"\n1234\n",
            b"0\n",
            b"1\n",
            b"-5\n",
            b"+5\n",
            b"12 34\n",
            b"x\n",
            b"99999999999\n",
            b"\xff\n",
            b"12\0\n",
        ];
        for text in wrong {
            assert_eq!(parse(text, true), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_without_a_newline_may_be_half_of_one() {
        assert_eq!(parse(b"12", false), None);
        assert_eq!(parse(b"12", true), Some(12));
    }

    #[test]
    fn a_file_is_as_old_as_its_last_change() {
        let path = std::env::temp_dir().join(format!("musterd-pidfile-{}", std::process::id()));
        let now = Time::from_boot(Duration::from_secs(1_000_000_000));
        let written = |changed: SystemTime| {
            fs::File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
            read(&path, || now).map(|file| now.since(file.written))
        };
        fs::write(&path, "1234\n").unwrap();
        let wall = wall_clock();
        let (hour, fraction) = (Duration::from_secs(3600), Duration::from_nanos(1));
        let at_fraction =
            UNIX_EPOCH + Duration::from_secs(wall.duration_since(UNIX_EPOCH).unwrap().as_secs()) + fraction;
        let age = written(at_fraction - hour).unwrap();
        assert!(age >= hour - Duration::from_secs(1) && age < hour + Duration::from_secs(60), "{age:?}");
        let coarse = written(at_fraction - fraction - hour).unwrap();
        assert!(coarse < age, "a whole second may have been any moment of it: {coarse:?}, not {age:?}");
        assert_eq!(written(wall + hour), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, || now), None);
    }
}
