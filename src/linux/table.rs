//! Reads the process table. Keeps nothing of it, and matches nothing.
//!
//! Who is there is read from `/proc/PID/stat`, a tenth of what sysinfo reads to list processes; it also
//! keeps the start to itself. The costly rest is asked of sysinfo, only for those whose it is not known.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{
    spawn::{MARK, PROBE_MARK},
    stat::{self, Stat},
};
use crate::process::{Life, Named, Pid, Process, Table, Users};

/// What the scan compares others with: musterd's own place.
#[derive(Debug)]
pub struct Scanner {
    own: Pid,
    /// `None` as PID 1: no other container's process has a number in its PID namespace.
    home: Option<Home>,
    users: bool,
}

/// Where musterd's own container is.
#[derive(Debug)]
struct Home {
    mounts: Option<PathBuf>,
    cgroup: Option<Vec<u8>>,
}

impl Scanner {
    /// Looks where musterd is.
    ///
    /// # Errors
    /// /proc is not mounted, or shows the processes of another PID namespace than musterd's.
    pub fn new() -> io::Result<Self> {
        let own = rustix::process::getpid();
        if fs::read_link("/proc/self")?.as_os_str() != OsStr::new(&own.as_raw_pid().to_string()) {
            return Err(io::Error::other("/proc belongs to another PID namespace"));
        }
        let home = || Ok::<_, io::Error>(Home { mounts: mounts("self")?, cgroup: cgroup("self")? });
        let home = if own.is_init() { None } else { Some(home()?) };
        Ok(Self { own: own.as_raw_pid(), home, users: false })
    }

    /// Whether the users of processes are read, too: it takes another file for each.
    pub fn with_users(mut self, users: bool) -> Self {
        self.set_users(users);
        self
    }

    /// The same from now on.
    pub fn set_users(&mut self, users: bool) {
        self.users = users;
    }

    fn is_foreign(&self, pid: Pid) -> io::Result<bool> {
        let Some(home) = &self.home else { return Ok(false) };
        let pid = pid.to_string();
        match (mounts(&pid)?, &home.mounts) {
            (Some(its), Some(own)) => Ok(its != *own),
            (Some(_) | None, _) => Ok(cgroup(&pid)? != home.cgroup),
        }
    }
}

/// Reads the table, with arguments, executable, mark and whether it is foreign for those processes that
/// `is_stranger` names. A process that ends meanwhile is left out.
///
/// # Errors
/// /proc cannot be read.
pub fn scan(scanner: &Scanner, is_stranger: impl Fn(Pid) -> bool) -> io::Result<Table> {
    let mut processes = list(scanner)?;
    let asked = |process: &Process| process.life == Life::Alive && is_stranger(process.id.pid);
    let pids: Vec<_> = processes.iter().filter(|process| asked(process)).map(sysinfo_pid).collect();
    if !pids.is_empty() {
        let system = details(&pids, scanner)?;
        let mut gone = Vec::new();
        for process in processes.iter_mut().filter(|process| asked(process)) {
            if !complete(process, system.process(sysinfo_pid(process)), scanner)? {
                gone.push(process.id);
            }
        }
        processes.retain(|process| gone.binary_search(&process.id).is_err());
    }
    Ok(Table { processes, named: Named::default() })
}

fn sysinfo_pid(process: &Process) -> sysinfo::Pid {
    sysinfo::Pid::from_u32(process.id.pid.unsigned_abs())
}

/// Who is there but musterd, by ascending PID.
fn list(scanner: &Scanner) -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // A list that breaks off here would lack processes that live.
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            processes.extend(stat::find(pid)?.map(brief));
        }
    }
    processes.sort_unstable_by_key(|process| process.id.pid);
    match processes.binary_search_by_key(&scanner.own, |process| process.id.pid) {
        Ok(at) => processes.remove(at),
        Err(_) => return Err(io::Error::other("/proc does not list musterd itself")),
    };
    Ok(processes)
}

/// What sysinfo reads of these, anew each time: nothing stale, and the memory is given back.
fn details(pids: &[sysinfo::Pid], scanner: &Scanner) -> io::Result<System> {
    let mut system = System::new().map_err(io::Error::other)?;
    let wanted = ProcessRefreshKind::nothing()
        .without_tasks()
        .with_exe(UpdateKind::Always)
        .with_environ(UpdateKind::Always);
    let wanted = if scanner.users { wanted.with_user(UpdateKind::Always) } else { wanted };
    system.refresh_processes_specifics(ProcessesToUpdate::Some(pids), false, wanted);
    Ok(system)
}

fn brief(stat: Stat) -> Process {
    Process {
        id: stat.id,
        parent: stat.parent,
        session: stat.session,
        life: stat.life,
        comm: stat.comm,
        argv: Vec::new(),
        exe: None,
        mark: None,
        users: None,
        memory: stat.pages.saturating_mul(rustix::param::page_size() as u64),
        cpu: stat.cpu,
        probe: false,
        foreign: false,
    }
}

/// Adds the rest of a process; false if it has ended. The identity is read once more at the end: with the
/// first reading it vouches for what was read between.
fn complete(process: &mut Process, seen: Option<&sysinfo::Process>, scanner: &Scanner) -> io::Result<bool> {
    let pid = process.id.pid;
    let Some(seen) = seen else {
        // sysinfo leaves out what has ended, but also what it could not read.
        return match stat::find(pid)? {
            Some(now) if now.id == process.id => {
                Err(io::Error::other(format!("cannot describe process {pid}")))
            }
            Some(_) | None => Ok(false),
        };
    };
    process.argv = argv(pid)?;
    process.foreign = scanner.is_foreign(pid)?;
    process.exe = seen.exe().map(Path::to_owned);
    process.mark = mark(seen.environ());
    process.probe = variable(seen.environ(), PROBE_MARK).is_some();
    process.users = seen
        .user_id()
        .zip(seen.effective_user_id())
        .map(|(real, effective)| Users { real: **real, effective: **effective });
    match stat::find(pid)? {
        Some(now) if now.id == process.id => {
            // It may have executed another program between the readings: its newest name is the right one.
            process.comm = now.comm;
            (process.parent, process.session, process.life) = (now.parent, now.session, now.life);
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

/// The argument vector. Empty arguments at its end are left out: a program that writes a shorter title
/// over its arguments (nginx) leaves as many as it had bytes.
fn argv(pid: Pid) -> io::Result<Vec<OsString>> {
    Ok(split(&readable(fs::read(format!("/proc/{pid}/cmdline")))?.unwrap_or_default()))
}

/// The words of a `/proc/PID/cmdline`.
pub(super) fn split(cmdline: &[u8]) -> Vec<OsString> {
    let Some(last) = cmdline.iter().rposition(|&byte| byte != 0) else { return Vec::new() };
    cmdline[..=last].split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

/// The value of musterd's own variable in an environment.
pub(super) fn mark(environment: &[OsString]) -> Option<OsString> {
    variable(environment, MARK)
}

fn variable(environment: &[OsString], name: &str) -> Option<OsString> {
    let value = |variable: &OsString| {
        let value = variable.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(OsString::from_vec(value.to_owned()))
    };
    environment.iter().find_map(value)
}

/// The mount namespace, named by the kernel (proc_pid_ns(5)).
fn mounts(pid: &str) -> io::Result<Option<PathBuf>> {
    readable(fs::read_link(format!("/proc/{pid}/ns/mnt")))
}

fn cgroup(pid: &str) -> io::Result<Option<Vec<u8>>> {
    readable(fs::read(format!("/proc/{pid}/cgroup")))
}

/// What a file of a process says; `None` where there is none that musterd may read. A want of descriptors or memory is
/// no fact about a process.
fn readable<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.raw_os_error().map(Errno::from_raw_os_error).is_some_and(stat::is_absence) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_arguments_count_but_at_the_end() {
        assert_eq!(split(b"sh\0-c\0\0x\0"), ["sh", "-c", "", "x"]);
        assert_eq!(split(b"nginx: master process\0\0\0\0"), ["nginx: master process"]);
        assert_eq!(split(b"no end"), ["no end"]);
        assert!(split(b"").is_empty() && split(b"\0\0").is_empty());
        assert_eq!(split(b"\xff\0"), [OsStr::from_bytes(b"\xff")]);
    }

    #[test]
    fn the_mark_is_a_whole_variable() {
        let mark = |variables: &[&str]| mark(&variables.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(mark(&["A=1", "MUSTERD_SERVICE=web"]), Some(OsString::from("web")));
        assert_eq!(mark(&["MUSTERD_SERVICE_X=web", "XMUSTERD_SERVICE=web"]), None);
    }
}
