//! Reads one process' line of facts, `/proc/PID/stat` (proc_pid_stat(5)). Lists no processes.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, Result},
};

use crate::process::{Life, Pid, ProcessId};

/// Room for the whole line: 52 fields of 20 digits at most, and a name of 64 bytes.
const LINE: usize = 2048;

/// `PF_KTHREAD` of the kernel's include/linux/sched.h: the process is a thread of the kernel.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What the kernel says of one process, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Which process.
    pub(super) id: ProcessId,
    /// The name; before Linux 4.18 with `\n` for a newline and `\\` for a backslash.
    pub(super) comm: OsString,
    /// Whether it lives.
    pub(super) life: Life,
    /// The parent's PID.
    pub(super) parent: Pid,
    /// The session's ID.
    pub(super) session: Pid,
    /// The processor time used, in clock ticks.
    pub(super) cpu: u64,
    /// The resident memory, in pages.
    pub(super) pages: u64,
}

/// Reads the facts of a process.
///
/// # Errors
/// `NOENT` or `SRCH` where there is no such process, `INVAL` where the line is not understood.
pub(super) fn read(pid: Pid) -> Result<Stat> {
    let file =
        rustix::fs::open(format!("/proc/{pid}/stat"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut line = [0; LINE];
    let length = rustix::io::read(&file, &mut line)?;
    parse(&line[..length]).ok_or(Errno::INVAL)
}

/// Reads the facts of a process; `None` where there is none that musterd may see.
///
/// # Errors
/// It could not be found out: there is no descriptor or memory left, or whatever else it is.
pub(super) fn find(pid: Pid) -> Result<Option<Stat>> {
    match read(pid) {
        Ok(stat) => Ok(Some(stat)),
        Err(errno) if is_absence(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether an error of reading a file of `/proc/PID` says that there is no such process, or none that musterd may see
/// (`hidepid` of proc(5), or a file that only its own user may read).
pub(super) fn is_absence(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM)
}

/// Whether this very process is there and not dead, for all that can be found out: nobody is declared dead for
/// want of a descriptor.
pub(super) fn lives(id: ProcessId) -> bool {
    id.start != 0 && find(id.pid).map_or(true, |stat| stat.is_some_and(|stat| is_alive(&stat, id)))
}

/// Whether this very process is certainly there and not dead.
pub(super) fn surely_lives(id: ProcessId) -> bool {
    id.start != 0 && read(id.pid).is_ok_and(|stat| is_alive(&stat, id))
}

fn is_alive(stat: &Stat, id: ProcessId) -> bool {
    stat.id == id && stat.life != Life::Dead
}

/// The name stands in parentheses and may hold any byte, so the fields begin after the last `)`.
pub(super) fn parse(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let fields: Vec<&str> = str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
    // Numbered as in proc_pid_stat(5), where the state is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |at: usize| field(at)?.parse::<i64>().ok();
    let life = if field(9)?.parse::<u64>().ok()? & KERNEL_THREAD != 0 {
        Life::Kernel
    } else if matches!(field(3)?, "Z" | "X" | "x") && number(20)? <= 1 {
        Life::Dead
    } else {
        Life::Alive
    };
    Some(Stat {
        id: ProcessId {
            // To kill(2) any other number means many processes.
            pid: str::from_utf8(&line[..open]).ok()?.trim_ascii_end().parse().ok().filter(|&pid| pid > 0)?,
            start: field(22)?.parse().ok()?,
        },
        comm: OsStr::from_bytes(line.get(open + 1..close)?).to_owned(),
        life,
        parent: pid_or_none(field(4)?)?,
        session: pid_or_none(field(6)?)?,
        cpu: field(14)?.parse::<u64>().ok()?.saturating_add(field(15)?.parse().ok()?),
        pages: field(24)?.parse().ok()?,
    })
}

/// The kernel says 0 of what lies outside the PID namespace, and -1 of the session of what is being reaped.
fn pid_or_none(field: &str) -> Option<Pid> {
    field.parse::<Pid>().ok().map(|pid| pid.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, state: char, flags: u64, threads: u32) -> String {
        format!(
            "173 ({name}) {state} 1 170 170 0 -1 {flags} 0 0 0 0 14 28 0 0 20 0 {threads} 0 4711 66 77 0\n"
        )
    }

    #[test]
    fn names_may_hold_anything() {
        for name in ["sh", "a) (b", ") R 1 1", "a\nb\\", ""] {
            let stat = parse(line(name, 'S', 0, 1).as_bytes()).unwrap();
            assert_eq!(stat.comm, name);
            assert_eq!(stat.id, ProcessId { pid: 173, start: 4711 });
            assert_eq!((stat.parent, stat.session), (1, 170));
            assert_eq!((stat.cpu, stat.pages), (42, 77));
        }
        let mut line = line("x", 'S', 0, 1).into_bytes();
        line[5] = 0xff;
        assert_eq!(parse(&line).unwrap().comm.as_bytes(), [0xff]);
    }

    #[test]
    fn only_absence_is_absence() {
        assert_eq!(find(Pid::MAX), Ok(None));
        for errno in [Errno::NOENT, Errno::SRCH, Errno::ACCESS, Errno::PERM] {
            assert!(is_absence(errno), "{errno}");
        }
        for errno in [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::INVAL] {
            assert!(!is_absence(errno), "{errno}");
        }
    }

    #[test]
    fn a_zombie_whose_threads_run_lives() {
        let life = |state, flags, threads| parse(line("x", state, flags, threads).as_bytes()).unwrap().life;
        assert_eq!(life('S', 0, 1), Life::Alive);
        assert_eq!(life('T', 0, 1), Life::Alive);
        assert_eq!(life('Z', 0, 1), Life::Dead);
        assert_eq!(life('Z', 0, 2), Life::Alive);
        assert_eq!(life('I', 0x0020_8040, 1), Life::Kernel);
    }

    #[test]
    fn what_is_cut_short_is_no_fact() {
        let line = line("sh", 'S', 0, 1);
        let end = line.find("77").unwrap();
        for length in 0..end {
            assert_eq!(parse(&line.as_bytes()[..length]), None, "{length} bytes");
        }
    }
}
