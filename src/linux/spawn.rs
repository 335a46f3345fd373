//! Starts commands: prepares all that a new process needs. Decides neither when nor what, and does
//! not wait for its end.

use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, NulError, OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    libc,
    unistd::{AccessFlags, access},
};
use rustix::io::DupFlags;

pub use super::spawn_error::{Missing, SpawnError, Stage};
use super::{
    setup::Setup,
    stat,
    vfork::{Maker, Order},
};
use crate::{
    config::{Command, Service, Template, TemplatePart, Variable},
    process::ProcessId,
    text::cannot,
};

/// What is meant for musterd itself and nobody else's business: its configuration, whom it may notify, and what it is to
/// another one.
const OWN_VARIABLES: [&str; 5] =
    ["MUSTERD_SET", PROBE_MARK, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Tells a process which service it belongs to; also the mark by which it is found again.
pub(super) const MARK: &str = "MUSTERD_SERVICE";

/// Tells a process that it probes this service: it and what it leaves are nobody's main process.
pub(super) const PROBE_MARK: &str = "MUSTERD_PROBE";

/// Where programs are searched without a PATH, as in execvp(3) of glibc.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Starts processes.
#[derive(Debug)]
pub struct Spawner {
    null: File,
    /// Where a new process finds its stdout and stderr: descriptors with low numbers, after `null`, so
    /// that it can leave all others behind.
    stdout: OwnedFd,
    stderr: OwnedFd,
    ignored: Vec<i32>,
    files_limit: Option<libc::rlimit>,
    /// musterd's environment: each variable's name, and `NAME=value`.
    environment: Vec<(OsString, CString)>,
    maker: Maker,
}

/// What a command runs in.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The service that it belongs to.
    pub service: &'a Service,
    /// Its standard output.
    pub stdout: BorrowedFd<'a>,
    /// Its standard error.
    pub stderr: BorrowedFd<'a>,
    /// What it is to the service.
    pub mark: Mark,
}

/// What a process is to its service: the variable that holds the service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It may be the service (`MUSTERD_SERVICE`).
    Service,
    /// It only looks at the service (`MUSTERD_PROBE`).
    Probe,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Mark::Service => MARK,
            Mark::Probe => PROBE_MARK,
        }
    }
}

/// A process that executes its program.
#[derive(Debug)]
pub struct Spawned {
    /// Which process.
    pub id: ProcessId,
    /// A descriptor of it; `None` where the kernel gives none.
    pub pidfd: Option<OwnedFd>,
}

/// The words of a command as execve(2) takes them.
struct Words {
    program: CString,
    directory: Option<CString>,
    argv: Vec<CString>,
    /// The variables that musterd's own environment has not, or has otherwise.
    environment: BTreeMap<OsString, CString>,
}

impl Spawner {
    /// Takes what children need from the set-up and from musterd's environment.
    ///
    /// # Errors
    /// /dev/null cannot be opened, or there is no memory for a stack.
    pub fn new(setup: &Setup) -> io::Result<Self> {
        let null =
            File::options().read(true).write(true).open("/dev/null").map_err(cannot("open /dev/null"))?;
        let beyond = |fd: BorrowedFd<'_>| {
            rustix::io::fcntl_dupfd_cloexec(&null, fd.as_raw_fd() + 1)
                .map_err(cannot("reserve descriptors for new processes"))
        };
        let stdout = beyond(null.as_fd())?;
        let stderr = beyond(stdout.as_fd())?;
        Ok(Self {
            stdout,
            stderr,
            null,
            ignored: setup.ignored.clone(),
            files_limit: setup
                .files_limit
                .map(|(soft, hard)| libc::rlimit { rlim_cur: soft, rlim_max: hard }),
            environment: env::vars_os()
                .filter(|(name, _)| !OWN_VARIABLES.iter().any(|own| name == own))
                .filter_map(|(name, value)| Some((name.clone(), variable(&name, &value).ok()?)))
                .collect(),
            maker: Maker::new().map_err(cannot("make a stack for new processes"))?,
        })
    }

    /// Starts a command in a session of its own.
    ///
    /// # Errors
    /// The step that failed; no process is left then.
    pub fn spawn(
        &mut self,
        command: &Command,
        surroundings: &Surroundings<'_>,
    ) -> Result<Spawned, SpawnError> {
        let directory = surroundings.service.directory.as_deref();
        let program = Path::new(command.argv.first().map_or("", String::as_str));
        let failed = |program: &Path, (stage, errno)| SpawnError {
            stage,
            errno,
            program: program.to_owned(),
            directory: directory.map(Path::to_owned),
            missing: None,
        };
        let environment = variables(command, surroundings.service, surroundings.mark)
            .map_err(|_| failed(program, (Stage::Words, Errno::EINVAL)))?;
        let found = self
            .search(program, directory, &environment)
            .map_err(|errno| failed(program, (Stage::Search, errno)))?;
        let words = words(command, &found, directory, environment)
            .map_err(|_| failed(program, (Stage::Words, Errno::EINVAL)))?;
        let (pid, pidfd) = self.execute(&words, surroundings).map_err(|failure| {
            let mut error = failed(&found, failure);
            if failure == (Stage::Execute, Errno::ENOENT) {
                error.missing = super::spawn_error::missing(&within(directory, &found));
            }
            error
        })?;
        // A child that has ended by now is a zombie until musterd reaps it, and still there to read.
        let start = stat::read(pid).map_or(0, |stat| stat.id.start);
        let pidfd = pidfd.or_else(|| {
            rustix::process::pidfd_open(
                rustix::process::Pid::from_raw(pid)?,
                rustix::process::PidfdFlags::empty(),
            )
            .ok()
        });
        Ok(Spawned { id: ProcessId { pid, start }, pidfd })
    }

    fn execute(
        &mut self,
        words: &Words,
        surroundings: &Surroundings<'_>,
    ) -> Result<(crate::process::Pid, Option<OwnedFd>), (Stage, Errno)> {
        let put = |fd: BorrowedFd<'_>, place: &mut OwnedFd| {
            rustix::io::dup3(fd, place, DupFlags::CLOEXEC)
                .map_err(|errno| (Stage::Descriptors, Errno::from_raw(errno.raw_os_error())))
        };
        put(surroundings.stdout, &mut self.stdout)?;
        put(surroundings.stderr, &mut self.stderr)?;
        let argv: Vec<_> = words.argv.iter().map(CString::as_c_str).collect();
        let inherited = self.environment.iter().filter(|(name, _)| !words.environment.contains_key(name));
        let environment: Vec<_> = inherited
            .map(|(_, variable)| variable.as_c_str())
            .chain(words.environment.values().map(CString::as_c_str))
            .collect();
        self.maker.spawn(&Order {
            stdin: self.null.as_fd(),
            stdout: self.stdout.as_fd(),
            stderr: self.stderr.as_fd(),
            last: self.stderr.as_fd(),
            files_limit: self.files_limit,
            directory: words.directory.as_deref(),
            ignored: &self.ignored,
            program: &words.program,
            argv: &argv,
            environment: &environment,
        })
    }

    /// The path to execute: a name without a slash is searched in the PATH of the environment to be,
    /// as execvp(3) does: a file that may not be executed is passed over, but not forgotten.
    fn search(
        &self,
        program: &Path,
        directory: Option<&Path>,
        environment: &BTreeMap<OsString, CString>,
    ) -> Result<PathBuf, Errno> {
        if program.as_os_str().as_bytes().contains(&b'/') {
            return Ok(program.to_owned());
        }
        if program.as_os_str().is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut refused = Errno::ENOENT;
        for place in env::split_paths(self.path(environment)) {
            // An empty entry is the current directory, which needs a slash to be no name again.
            let place = if place.as_os_str().is_empty() { PathBuf::from(".") } else { place };
            let candidate = place.join(program);
            let seen = within(directory, &candidate);
            match access(&seen, AccessFlags::X_OK) {
                Ok(()) if seen.is_file() => return Ok(candidate),
                Ok(()) | Err(Errno::EACCES) => refused = Errno::EACCES,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// The value of PATH in the environment to be.
    fn path<'a>(&'a self, environment: &'a BTreeMap<OsString, CString>) -> &'a OsStr {
        let own = || self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, variable)| variable);
        let path = environment.get(OsStr::new("PATH")).or_else(own);
        path.and_then(|path| path.to_bytes().strip_prefix(b"PATH="))
            .map_or(OsStr::new(DEFAULT_PATH), OsStr::from_bytes)
    }
}

/// What the service and the command add to musterd's environment, the latter over the former.
fn variables(
    command: &Command,
    service: &Service,
    mark: Mark,
) -> Result<BTreeMap<OsString, CString>, NulError> {
    let texts: Vec<(&str, String)> = service
        .environment
        .set
        .iter()
        .filter_map(|(name, value)| match value {
            Variable::Text(template) => Some((name.as_str(), plain(template))),
            Variable::File(_) => None,
        })
        .collect();
    let of_service = texts.iter().map(|(name, value)| (*name, value.as_str()));
    let of_command = command.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    of_service
        .chain(of_command)
        .chain([(mark.name(), service.name.as_str())])
        .map(|(name, value)| Ok((OsString::from(name), variable(OsStr::new(name), OsStr::new(value))?)))
        .collect()
}

fn plain(template: &Template) -> String {
    let text = |part: &TemplatePart| match part {
        TemplatePart::Text(text) => text.clone(),
        TemplatePart::Variable { default, .. } => default.clone().unwrap_or_default(),
    };
    template.parts.iter().map(text).collect()
}

fn variable(name: &OsStr, value: &OsStr) -> Result<CString, NulError> {
    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
}

fn words(
    command: &Command,
    program: &Path,
    directory: Option<&Path>,
    environment: BTreeMap<OsString, CString>,
) -> Result<Words, NulError> {
    let path = |path: &Path| CString::new(path.as_os_str().to_owned().into_vec());
    Ok(Words {
        program: path(program)?,
        directory: directory.map(path).transpose()?,
        argv: command.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?,
        environment,
    })
}

/// A path as it will be seen from the directory.
fn within(directory: Option<&Path>, path: &Path) -> PathBuf {
    directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
}
