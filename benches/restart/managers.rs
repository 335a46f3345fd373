//! The managers, and how each is told to keep the same services running, as fast as it can. Runs none.

use std::{
    ffi::OsString,
    fmt::Write,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;

use crate::{
    BARE,
    folder::{find, write},
};

/// s6-supervise starts a service again at once only a second after its last start.
const S6_SETTLE: Duration = Duration::from_millis(1100);

/// Long enough for a manager to have come to rest.
const SETTLE: Duration = Duration::from_millis(20);

/// supervisord looks once a second.
const SUPERVISORD_PHASE: Duration = Duration::from_secs(1);

/// A manager that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manager {
    /// The least that can be done; no manager.
    Bare,
    /// The one of this build.
    Musterd,
    /// supervisord, from PATH.
    Supervisord,
    /// s6-svscan, from PATH.
    S6,
}

/// How to run a manager, and how to treat it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its command line, as PID 1.
    pub(crate) argv: Vec<OsString>,
    /// How long a service must have run before it is killed, for its restart to be immediate.
    pub(crate) settle: Duration,
    /// How long the interval is at which it looks: kills are spread over that.
    pub(crate) phase: Duration,
}

impl Manager {
    /// Those that are installed, of the chosen ones (none chosen: all); the bare loop comes first, as the measure of
    /// the others.
    pub(crate) fn installed(chosen: &[Self]) -> Vec<Self> {
        let is_chosen =
            |manager: &Self| *manager == Self::Bare || chosen.is_empty() || chosen.contains(manager);
        let managers = Self::value_variants().iter().filter(|manager| is_chosen(manager));
        let (there, missing): (Vec<Self>, Vec<Self>) =
            managers.partition(|manager| manager.program().is_some());
        for manager in missing {
            println!("restart: ignored: {} is not in PATH", manager.name());
        }
        there
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Manager::Bare => "bare loop",
            Manager::Musterd => "musterd",
            Manager::Supervisord => "supervisord",
            Manager::S6 => "s6",
        }
    }

    fn program(self) -> Option<PathBuf> {
        match self {
            Manager::Bare => std::env::current_exe().ok(),
            Manager::Musterd => Some(PathBuf::from(env!("CARGO_BIN_EXE_musterd"))),
            Manager::Supervisord => find("supervisord"),
            Manager::S6 => find("s6-svscan"),
        }
    }

    /// Writes its configuration into an empty folder.
    ///
    /// # Errors
    /// A file cannot be written, or the manager is gone.
    pub(crate) fn prepare(self, folder: &Path, programs: &[PathBuf]) -> io::Result<Plan> {
        let program = self.program().ok_or(io::ErrorKind::NotFound)?.into_os_string();
        let (settle, phase) = match self {
            Manager::Bare | Manager::Musterd => (SETTLE, Duration::ZERO),
            Manager::Supervisord => (SETTLE, SUPERVISORD_PHASE),
            Manager::S6 => (S6_SETTLE, Duration::ZERO),
        };
        let arguments: Vec<OsString> = match self {
            Manager::Bare => {
                [BARE.into()].into_iter().chain(programs.iter().map(|program| program.into())).collect()
            }
            Manager::Musterd => vec!["--config".into(), musterd(folder, programs)?],
            Manager::Supervisord => vec!["-n".into(), "-c".into(), supervisord(folder, programs)?],
            // Twice the services that are asked for: its own limit is lower.
            Manager::S6 => {
                vec!["-c".into(), (2 * programs.len()).max(10).to_string().into(), s6(folder, programs)?]
            }
        };
        Ok(Plan { argv: [program].into_iter().chain(arguments).collect(), settle, phase })
    }
}

/// Every restart is immediate, as with the others' fastest settings.
fn musterd(folder: &Path, programs: &[PathBuf]) -> io::Result<OsString> {
    let socket = folder.join("socket");
    let mut text = format!("[manager]\nsocket = {socket:?}\n[defaults]\nstable-after = \"0s\"\n");
    for program in programs {
        let _ = write!(text, "[services.{}]\nstart = [{program:?}, \"infinity\"]\n", name(program));
    }
    written(folder.join("musterd.toml"), &text)
}

fn supervisord(folder: &Path, programs: &[PathBuf]) -> io::Result<OsString> {
    let place = folder.display();
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nminfds=16384\nloglevel=critical\nlogfile_maxbytes=0\n\
         logfile={place}/log\npidfile={place}/pid\nchildlogdir={place}\n"
    );
    for program in programs {
        let _ = write!(
            text,
            "[program:{}]\ncommand={} infinity\nautorestart=true\nstartsecs=0\n\
             stdout_logfile=NONE\nstderr_logfile=NONE\n",
            name(program),
            program.display(),
        );
    }
    written(folder.join("supervisord.conf"), &text)
}

/// With readiness notification: one that is not ready yet is started again after a pause of a second.
fn s6(folder: &Path, programs: &[PathBuf]) -> io::Result<OsString> {
    let services = folder.join("services");
    for program in programs {
        let service = services.join(name(program).to_string());
        write(&service.join("notification-fd"), "3\n", 0o644)?;
        let run = format!("#!/bin/sh\necho >&3\nexec 3>&-\nexec {} infinity\n", program.display());
        write(&service.join("run"), &run, 0o755)?;
    }
    Ok(services.into())
}

fn written(path: PathBuf, text: &str) -> io::Result<OsString> {
    write(&path, text, 0o644)?;
    Ok(path.into())
}

/// A service has the name of its program.
pub(crate) fn name(program: &Path) -> std::path::Display<'_> {
    program.file_name().map_or(program, Path::new).display()
}
