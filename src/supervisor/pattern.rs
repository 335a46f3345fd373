//! Whether a process may be a certain service's: what the service's `match` demands.
//! Looks at one process and one service; who gets which is `presence`'s.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    process_names::{Names, is_init_script, is_shell_text, title},
    seek::started,
};
use crate::{
    config::{Kind, Match, Service, User},
    process::{Named, Pid, Pidfile, Process},
};

/// A process' start is told in ticks of 10 ms, rounded down; a file's time is that of the last timer interrupt, up
/// to 10 ms ago; and between the two clocks that are compared some time passes.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// The superuser's ID: what is its own was written by somebody who may signal everything.
const ROOT: u32 = 0;

/// What a service's process looks like, from its configuration.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// The argument vector of its start command.
    pub(super) argv: Vec<OsString>,
    /// What its process must have.
    given: Match,
    /// The executable that is given, or else that of the start command, where that is a whole path.
    exe: Option<PathBuf>,
    /// The script that an interpreter must run, where the name is only the interpreter's.
    script: Option<OsString>,
    /// What the start command is, if it cannot itself be the service.
    pub(super) launcher: Option<Launcher>,
    /// Whether only musterd's record can name its process: no other than the one that musterd started is it.
    pub(super) is_single_run: bool,
}

/// A start command that is not itself the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launcher {
    /// It starts the service and ends.
    InitScript,
    /// It is not what `match` describes; it may stay, or become that.
    Wrapper,
}

impl Pattern {
    pub(super) fn new(service: &Service) -> Self {
        let argv: Vec<OsString> = service.start.argv.iter().map(OsString::from).collect();
        let given = service.matching.clone();
        let own = Names::new(OsStr::new(""), &argv, None);
        let name = given.name.as_ref().map(OsStr::new);
        let script = own
            .script
            .filter(|&script| name.is_some_and(|name| !given.explicit && script != name))
            .map(OsStr::to_owned);
        let is_single_run = service.kind == Kind::Task || service.terminal;
        let launcher = match (is_init_script(&argv), is_other(&given, &own, &argv)) {
            _ if is_single_run => None,
            (true, _) => Some(Launcher::InitScript),
            (false, true) => Some(Launcher::Wrapper),
            (false, false) => None,
        };
        let first = Path::new(&argv[0]);
        let exe = given.exe.clone().or_else(|| first.is_absolute().then(|| first.to_owned()));
        Pattern { argv, given, exe, script, launcher, is_single_run }
    }

    /// Whether the process, which has these names, may be this service's: all that is given holds.
    pub(super) fn admits(&self, process: &Process, names: &Names, named: &Named) -> bool {
        let Match { name, explicit: _, cmdline, exe, user, pidfile } = &self.given;
        name.as_ref().is_none_or(|name| names.has(OsStr::new(name)))
            && self.script.as_ref().is_none_or(|script| names.script == Some(script))
            && cmdline.as_ref().is_none_or(|regex| !process.argv.is_empty() && regex.is_in(names.line()))
            && exe.as_ref().is_none_or(|exe| may_execute(process, exe, named))
            && user.as_ref().is_none_or(|user| is_of(process, user, named))
            && pidfile
                .as_ref()
                .is_none_or(|path| named.pidfiles.get(path).is_some_and(|file| is_named_by(process, file)))
    }

    /// Whether the process certainly executes the program that is given or that the start command names.
    pub(super) fn is_executed_by(&self, process: &Process, named: &Named) -> bool {
        let pair = self.exe.as_ref().zip(process.exe.as_ref());
        pair.is_some_and(|(exe, real)| exe == real || named.programs.get(exe) == Some(real))
    }

    /// The one of a process' names by which this pattern is looked up, the most telling one; `None`: any will do.
    pub(super) fn key(&self) -> Option<&OsStr> {
        self.script.as_deref().or(self.given.name.as_ref().map(OsStr::new))
    }

    /// The name by which it is looked up among those of executables, where they can be read.
    pub(super) fn executable_key<'a>(&'a self, named: &'a Named) -> Option<&'a OsStr> {
        let resolved = || {
            let exe = self.given.exe.as_ref()?;
            named.programs.get(exe).unwrap_or(exe).file_name()
        };
        self.key().or_else(resolved)
    }

    /// The name that a process shows in its arguments if it is of any name, but of a given executable.
    pub(super) fn argument_key(&self) -> Option<&OsStr> {
        self.given.exe.as_ref()?.file_name()
    }

    /// The file that names the process, where one is given: then nothing else does.
    pub(super) fn pidfile(&self) -> Option<&Path> {
        self.given.pidfile.as_deref()
    }

    /// What the pidfile, where one is given and says something, names.
    pub(super) fn named_pid(&self, named: &Named) -> Option<Pid> {
        named.pidfiles.get(self.pidfile()?).map(|file| file.pid)
    }
}

/// Whether the start command is not what `match` describes. Its user and pidfile come later, a text for a shell says
/// nothing of what it executes.
fn is_other(given: &Match, own: &Names, argv: &[OsString]) -> bool {
    let other_name = given.explicit && given.name.as_ref().is_some_and(|name| !own.has(OsStr::new(name)));
    let other_line = given.cmdline.as_ref().is_some_and(|regex| !regex.is_in(own.line()));
    let other_exe = given.exe.as_ref().is_some_and(|exe| !names_executable(&argv[0], exe));
    !is_shell_text(argv) && (other_name || other_line || other_exe)
}

/// Whether a first argument names the executable, by its whole path or, where it has none, by its name.
fn names_executable(first: &OsStr, exe: &Path) -> bool {
    let path = Path::new(first);
    if path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&b' ') {
        path == exe
    } else {
        exe.file_name() == Some(title(first))
    }
}

/// A container's root cannot read the executable of another user's process (ptrace(2), access mode checking): there
/// the first argument tells.
fn may_execute(process: &Process, exe: &Path, named: &Named) -> bool {
    let target = named.programs.get(exe).map(PathBuf::as_path);
    match &process.exe {
        Some(real) => real == exe || target == Some(real),
        None => process.argv.first().is_some_and(|first| {
            names_executable(first, exe) || target.is_some_and(|target| names_executable(first, target))
        }),
    }
}

fn is_of(process: &Process, user: &User, named: &Named) -> bool {
    let id = match user {
        User::Id(id) => Some(*id),
        User::Name(name) => named.users.get(name).copied(),
    };
    process.users.zip(id).is_some_and(|(users, id)| users.include(id))
}

/// Whether the file truly means this process, not a former one with its PID: who writes a PID does so after that
/// process was started, so an older file is a stale one. It is one of an earlier life of the container, too, though
/// the machine has not been started anew. Only root and the process' own user can name it: nobody makes musterd
/// signal what he may not signal himself.
///
/// When somebody sets the wall clock between the writing and the look, a file seems older or newer by that much: too
/// old, and the service is started once more, in vain; too new, and a stale file can name a recycled PID for as long.
fn is_named_by(process: &Process, file: &Pidfile) -> bool {
    let trusted = file.owner == ROOT || process.users.is_some_and(|users| users.include(file.owner));
    process.id.pid == file.pid && trusted && started(process.id) <= file.written + CLOCK_SLACK
}

#[cfg(test)]
mod tests;
