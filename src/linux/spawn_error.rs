//! Says why a process could not be started. Decides nothing about what happens then.

use std::{fmt, path::PathBuf};

use nix::errno::Errno;

use super::missing::Missing;
use crate::config::{Capability, Limit};

/// A step of starting a process, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its environment was made ready.
    Environment,
    /// Its arguments were made ready.
    Words,
    /// It was searched in PATH.
    Search,
    /// Its descriptors were made ready.
    Descriptors,
    /// The process was made.
    Fork,
    /// It began a session of its own, or a group of processes.
    Session,
    /// It took the terminal.
    Terminal,
    /// It got its standard input.
    Stdin,
    /// It got its standard output.
    Stdout,
    /// It got its standard error.
    Stderr,
    /// It set the file mode creation mask.
    Umask,
    /// It set its nice value.
    Nice,
    /// It told the kernel how willingly to kill it.
    OomScoreAdj,
    /// It got the limit of open files back that musterd was started with.
    FilesLimit,
    /// It set a limit of its own.
    Limit(Limit),
    /// It was looked whether there is a capability to keep.
    Capability(Capability),
    /// It gave up capabilities.
    Capabilities,
    /// It got its supplementary groups.
    Groups,
    /// It got its group.
    Group,
    /// It became its user.
    User,
    /// It gave up to gain privileges.
    NoNewPrivileges,
    /// It entered its directory.
    Directory,
    /// It got the default dispositions and an empty mask.
    Signals,
    /// It executed the program.
    Execute,
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnError {
    /// The step that failed.
    pub stage: Stage,
    /// Why it failed.
    pub errno: Errno,
    /// The program, as it was to be executed.
    pub program: PathBuf,
    /// What the program itself asks for and is not there.
    pub missing: Option<Missing>,
    /// What the step was about: a user, a group, a directory, a file. Never a value of a variable.
    pub subject: Box<str>,
    /// Why it failed, where no system call did.
    pub reason: Option<Box<str>>,
}

/// Why a process is not even made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) stage: Stage,
    pub(super) subject: Box<str>,
    pub(super) reason: Box<str>,
}

impl Refusal {
    pub(super) fn new(stage: Stage, subject: impl fmt::Display, reason: impl Into<Box<str>>) -> Self {
        Refusal { stage, subject: subject.to_string().into(), reason: reason.into() }
    }
}

impl fmt::Display for SpawnError {
    /// As in `cannot execute /srv/web: permission denied`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.display();
        let reason = self.reason.as_deref().map_or_else(|| self.errno.desc().to_lowercase(), str::to_owned);
        let subject = &self.subject;
        match self.stage {
            Stage::Environment => write!(f, "cannot {subject}: {reason}"),
            Stage::Words => write!(f, "cannot execute {program}: an argument holds a NUL byte"),
            Stage::Search if self.errno == Errno::ENOENT => {
                write!(f, "cannot find {:?} in PATH", self.program)
            }
            Stage::Descriptors => write!(f, "cannot prepare the output of {program}: {reason}"),
            Stage::Fork if self.errno == Errno::EAGAIN => {
                f.write_str("cannot fork: the limit of processes is reached")
            }
            Stage::Fork => write!(f, "cannot fork: {reason}"),
            Stage::Session => write!(f, "cannot begin a session for {program}: {reason}"),
            Stage::Stdin => write!(f, "cannot set the standard input of {program}: {reason}"),
            Stage::Stdout => write!(f, "cannot set the standard output of {program}: {reason}"),
            Stage::Stderr => write!(f, "cannot set the standard error of {program}: {reason}"),
            Stage::Terminal => write!(f, "cannot give the terminal to {program}: {reason}"),
            Stage::Umask => write!(f, "cannot set umask of {program}: {reason}"),
            Stage::Nice => write!(f, "cannot set nice of {program}: {reason}"),
            Stage::OomScoreAdj => write!(f, "cannot set oom-score-adj of {program}: {reason}"),
            Stage::Limit(Limit { resource, soft, hard }) => {
                let name = format!("{resource:?}").to_lowercase();
                let name = name.strip_prefix("rlimit_").unwrap_or(&name);
                write!(f, "cannot set limit {name} to {}", Amount(soft))?;
                if hard != soft {
                    write!(f, " and {}", Amount(hard))?;
                }
                write!(f, ": {reason}")
            }
            Stage::Capability(Capability(number)) => write!(f, "cannot keep capability {number}: {reason}"),
            Stage::Capabilities => write!(f, "cannot set capabilities: {reason}"),
            Stage::Groups => write!(f, "cannot set groups: {reason}"),
            Stage::Group => write!(f, "cannot become group {subject}: {reason}"),
            Stage::User => write!(f, "cannot become user {subject}: {reason}"),
            Stage::NoNewPrivileges => write!(f, "cannot set no-new-privileges of {program}: {reason}"),
            Stage::FilesLimit => write!(f, "cannot set the limit of open files of {program}: {reason}"),
            Stage::Directory => write!(f, "cannot enter directory {subject}: {reason}"),
            Stage::Signals => write!(f, "cannot reset the signals of {program}: {reason}"),
            Stage::Search | Stage::Execute => match &self.missing {
                Some(Missing::Interpreter(path)) => {
                    write!(f, "cannot execute {program}: the interpreter {path:?} of its #! line is missing")
                }
                Some(Missing::Loader(path)) => {
                    write!(f, "cannot execute {program}: its loader {path:?} is missing")
                }
                None if self.errno == Errno::ENOEXEC => {
                    write!(f, "cannot execute {program}: it is neither a program nor a script with a #! line")
                }
                None if self.errno == Errno::EAGAIN => {
                    write!(f, "cannot execute {program}: the user's limit of processes (nproc) is exceeded")
                }
                None => write!(f, "cannot execute {program}: {reason}"),
            },
        }
    }
}

/// A value of a limit.
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("unlimited"),
            amount => amount.fmt(f),
        }
    }
}

impl std::error::Error for SpawnError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(stage: Stage, errno: Errno) -> SpawnError {
        let program = PathBuf::from("/srv/web");
        let subject = "\"app\"".into();
        SpawnError { stage, errno, program, missing: None, subject, reason: None }
    }

    fn limit(soft: u64, hard: u64) -> Stage {
        Stage::Limit(Limit { resource: nix::sys::resource::Resource::RLIMIT_NOFILE, soft, hard })
    }

    #[test]
    fn every_stage_has_its_sentence() {
        let told: Vec<String> = [
            SpawnError {
                subject: "read /run/db for variable \"DB\"".into(),
                reason: Some("not a regular file".into()),
                ..error(Stage::Environment, Errno::EINVAL)
            },
            error(Stage::Words, Errno::EINVAL),
            SpawnError { program: PathBuf::from("web"), ..error(Stage::Search, Errno::ENOENT) },
            error(Stage::Search, Errno::EACCES),
            error(Stage::Descriptors, Errno::EMFILE),
            error(Stage::Fork, Errno::EAGAIN),
            error(Stage::Fork, Errno::ENOMEM),
            error(Stage::Session, Errno::EPERM),
            error(Stage::Stdin, Errno::EBADF),
            error(Stage::Stdout, Errno::EBADF),
            error(Stage::Stderr, Errno::EBADF),
            error(Stage::FilesLimit, Errno::EPERM),
            error(Stage::Terminal, Errno::EPERM),
            error(Stage::Umask, Errno::EINVAL),
            error(Stage::Nice, Errno::EACCES),
            error(Stage::OomScoreAdj, Errno::EACCES),
            error(limit(1_048_576, 1_048_576), Errno::EPERM),
            error(limit(1024, u64::MAX), Errno::EPERM),
            error(Stage::Capability(Capability(12)), Errno::EPERM),
            error(Stage::Capabilities, Errno::EPERM),
            error(Stage::Groups, Errno::EPERM),
            error(Stage::Group, Errno::EPERM),
            error(Stage::User, Errno::EPERM),
            error(Stage::NoNewPrivileges, Errno::EINVAL),
            SpawnError { subject: "\"/srv\"".into(), ..error(Stage::Directory, Errno::ENOENT) },
            error(Stage::Execute, Errno::EAGAIN),
            error(Stage::Signals, Errno::EINVAL),
            error(Stage::Execute, Errno::EACCES),
            error(Stage::Execute, Errno::ENOEXEC),
            SpawnError {
                missing: Some(Missing::Interpreter(PathBuf::from("/bin/sh\r"))),
                ..error(Stage::Execute, Errno::ENOENT)
            },
            SpawnError {
                missing: Some(Missing::Loader(PathBuf::from("/lib/ld.so"))),
                ..error(Stage::Execute, Errno::ENOENT)
            },
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            told,
            [
                "cannot read /run/db for variable \"DB\": not a regular file",
                "cannot execute /srv/web: an argument holds a NUL byte",
                "cannot find \"web\" in PATH",
                "cannot execute /srv/web: permission denied",
                "cannot prepare the output of /srv/web: too many open files",
                "cannot fork: the limit of processes is reached",
                "cannot fork: out of memory",
                "cannot begin a session for /srv/web: operation not permitted",
                "cannot set the standard input of /srv/web: bad file number",
                "cannot set the standard output of /srv/web: bad file number",
                "cannot set the standard error of /srv/web: bad file number",
                "cannot set the limit of open files of /srv/web: operation not permitted",
                "cannot give the terminal to /srv/web: operation not permitted",
                "cannot set umask of /srv/web: invalid argument",
                "cannot set nice of /srv/web: permission denied",
                "cannot set oom-score-adj of /srv/web: permission denied",
                "cannot set limit nofile to 1048576: operation not permitted",
                "cannot set limit nofile to 1024 and unlimited: operation not permitted",
                "cannot keep capability 12: operation not permitted",
                "cannot set capabilities: operation not permitted",
                "cannot set groups: operation not permitted",
                "cannot become group \"app\": operation not permitted",
                "cannot become user \"app\": operation not permitted",
                "cannot set no-new-privileges of /srv/web: invalid argument",
                "cannot enter directory \"/srv\": no such file or directory",
                "cannot execute /srv/web: the user's limit of processes (nproc) is exceeded",
                "cannot reset the signals of /srv/web: invalid argument",
                "cannot execute /srv/web: permission denied",
                "cannot execute /srv/web: it is neither a program nor a script with a #! line",
                "cannot execute /srv/web: the interpreter \"/bin/sh\\r\" of its #! line is missing",
                "cannot execute /srv/web: its loader \"/lib/ld.so\" is missing",
            ]
        );
    }
}
