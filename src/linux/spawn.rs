//! Starts commands: prepares all that a new process needs. Decides neither when nor what, and does
//! not wait for its end.

use std::{
    env,
    ffi::{CString, NulError, OsStr},
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

pub use super::environment::Mark;
pub(super) use super::environment::{MARK, PROBE_MARK};
pub use super::missing::Missing;
pub use super::spawn_error::{SpawnError, Stage};
use super::{
    child::{Failure, Order, Session},
    environment::{self, DEFAULT_PATH, Variables},
    identity::{self, Account},
    missing,
    reserve::Reserve,
    setup::Setup,
    spawn_error::Refusal,
    stat, terminal,
    vfork::Maker,
};
use crate::{
    config::{Capability, Command, Service},
    process::{Pid, ProcessId},
    text::{cannot, reason},
};

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
    environment: environment::Own,
    maker: Maker,
    /// To find out the start of a process that took the last descriptor.
    reserve: Reserve,
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
    /// Whether it has musterd's terminal, stdin, stdout and stderr instead of these and /dev/null.
    pub terminal: bool,
    /// Variables for this process only, over all others.
    pub extra: &'a [(&'a str, String)],
    /// What it is to the service.
    pub mark: Mark,
}

/// A process that executes its program.
#[derive(Debug)]
pub struct Spawned {
    /// Which process.
    pub id: ProcessId,
    /// A descriptor of it; `None` where the kernel gives none.
    pub pidfd: Option<OwnedFd>,
    /// Whether it leads a session; otherwise (it has a terminal that musterd shares with others) only a process group.
    pub leads_session: bool,
}

/// The words of a command as execve(2) takes them, and those of the order.
struct Words {
    program: CString,
    directory: Option<CString>,
    argv: Vec<CString>,
    oom_score_adj: Option<CString>,
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
            environment: environment::Own::read(),
            maker: Maker::new().map_err(cannot("make a stack for new processes"))?,
            reserve: Reserve::new(1).map_err(cannot("reserve descriptors for new processes"))?,
        })
    }

    /// Starts a command in a session of its own, as its service's user, with all that the service is given.
    ///
    /// # Errors
    /// The step that failed; no process is left then.
    pub fn spawn(
        &mut self,
        command: &Command,
        surroundings: &Surroundings<'_>,
    ) -> Result<Spawned, SpawnError> {
        let service = surroundings.service;
        let directory = service.directory.as_deref();
        let program = Path::new(command.argv.first().map_or("", String::as_str));
        let failed = |program: &Path, (stage, errno)| SpawnError {
            stage,
            errno,
            program: program.to_owned(),
            missing: None,
            subject: Box::default(),
            reason: None,
        };
        let refused = |Refusal { stage, subject, reason }| SpawnError {
            subject,
            reason: Some(reason),
            ..failed(program, (stage, Errno::EINVAL))
        };
        let account = identity::look_up(&service.identity).map_err(refused)?;
        let owner = environment::Owner {
            service,
            login: account.login.as_ref(),
            command,
            mark: surroundings.mark,
            extra: surroundings.extra,
        };
        let variables = self.environment.variables(&owner).map_err(refused)?;
        let found = search(program, directory, &variables)
            .map_err(|errno| failed(program, (Stage::Search, errno)))?;
        let words =
            words(command, &found, service).map_err(|_| failed(program, (Stage::Words, Errno::EINVAL)))?;
        let session = match surroundings.terminal {
            true => terminal::hand_over()
                .map_err(|error| refused(Refusal::new(Stage::Terminal, "", reason(&error))))?,
            false => Session::Own,
        };
        if session == Session::Foreground && !self.ignored.contains(&libc::SIGTTOU) {
            self.ignored.push(libc::SIGTTOU);
        }
        let environment = variables.texts();
        let own = surroundings.terminal.then(|| (io::stdin(), io::stdout(), io::stderr()));
        let made = prepare_output(&mut self.stdout, &mut self.stderr, surroundings).and_then(|()| {
            let argv: Vec<_> = words.argv.iter().map(CString::as_c_str).collect();
            self.maker.spawn(&Order {
                session,
                last: self.stderr.as_fd(),
                stdin: own.as_ref().map_or(self.null.as_fd(), |own| own.0.as_fd()),
                stdout: own.as_ref().map_or(self.stdout.as_fd(), |own| own.1.as_fd()),
                stderr: own.as_ref().map_or(self.stderr.as_fd(), |own| own.2.as_fd()),
                umask: service.umask,
                nice: service.nice,
                oom_score_adj: words.oom_score_adj.as_deref(),
                files_limit: self.files_limit,
                limits: &service.limits,
                groups: account.groups.as_deref(),
                group: account.group,
                user: account.user,
                capabilities: service.capabilities.as_deref().map(mask),
                no_new_privileges: service.no_new_privileges,
                directory: words.directory.as_deref(),
                ignored: &self.ignored,
                program: &words.program,
                argv: &argv,
                environment: &environment,
            })
        });
        let (pid, pidfd) = made.map_err(|failure| {
            let mut error = failed(&found, failure);
            error.subject = subject(failure.0, service, &account);
            if failure == (Stage::Execute, Errno::ENOENT) {
                error.missing = missing::missing(&within(directory, &found));
            }
            error
        })?;
        Ok(spawned(pid, pidfd, session, &mut self.reserve))
    }
}

fn spawned(pid: Pid, pidfd: Option<OwnedFd>, session: Session, reserve: &mut Reserve) -> Spawned {
    // A child that has ended by now is a zombie until musterd reaps it, and still there to read.
    let read = stat::read(pid).or_else(|_| {
        reserve.release();
        let read = stat::read(pid);
        reserve.refill();
        read
    });
    let start = read.map_or(0, |stat| stat.id.start);
    let pidfd = pidfd.or_else(|| {
        rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(pid)?,
            rustix::process::PidfdFlags::empty(),
        )
        .ok()
    });
    Spawned { id: ProcessId { pid, start }, pidfd, leads_session: session != Session::Foreground }
}

/// Puts the output where a new process finds it.
fn prepare_output(
    stdout: &mut OwnedFd,
    stderr: &mut OwnedFd,
    surroundings: &Surroundings<'_>,
) -> Result<(), Failure> {
    if surroundings.terminal {
        return Ok(());
    }
    let put = |fd: BorrowedFd<'_>, place: &mut OwnedFd| {
        rustix::io::dup3(fd, place, DupFlags::CLOEXEC)
            .map_err(|errno| (Stage::Descriptors, Errno::from_raw(errno.raw_os_error())))
    };
    put(surroundings.stdout, stdout)?;
    put(surroundings.stderr, stderr)
}

/// What a step of the new process is about.
fn subject(stage: Stage, service: &Service, account: &Account) -> Box<str> {
    let told = match stage {
        Stage::User => service.identity.user.as_ref().map(ToString::to_string),
        Stage::Group => {
            let group = service.identity.group.as_ref().map(identity::shown);
            group.or(account.group.map(|id| id.to_string()))
        }
        Stage::Directory => service.directory.as_deref().map(|directory| format!("{directory:?}")),
        // What the others are about, they know or it is the program.
        _ => None,
    };
    told.unwrap_or_default().into()
}

/// Capability N as bit N.
fn mask(capabilities: &[Capability]) -> u64 {
    capabilities
        .iter()
        .filter_map(|&Capability(number)| 1u64.checked_shl(number.into()))
        .fold(0, |all, bit| all | bit)
}

/// The path to execute: a name without a slash is searched in the PATH of the environment to be,
/// as execvp(3) does: a file that may not be executed is passed over, but not forgotten.
fn search(program: &Path, directory: Option<&Path>, variables: &Variables<'_>) -> Result<PathBuf, Errno> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    if program.as_os_str().is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut refused = Errno::ENOENT;
    let path = variables.get("PATH").unwrap_or(DEFAULT_PATH.as_bytes());
    for place in env::split_paths(OsStr::from_bytes(path)) {
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

fn words(command: &Command, program: &Path, service: &Service) -> Result<Words, NulError> {
    let path = |path: &Path| CString::new(path.as_os_str().to_owned().into_vec());
    Ok(Words {
        program: path(program)?,
        directory: service.directory.as_deref().map(path).transpose()?,
        argv: command.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?,
        oom_score_adj: service.oom_score_adj.map(|score| CString::new(score.to_string())).transpose()?,
    })
}

/// A path as it will be seen from the directory.
fn within(directory: Option<&Path>, path: &Path) -> PathBuf {
    directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
}
