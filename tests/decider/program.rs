//! What a simulated process is and does in its life. Data only.

use std::{fmt, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;

/// One thing that a process does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Fork(Box<Image>),
    Exec(Vec<String>),
    /// Writes its PID into this file.
    WritePid(String),
    /// As an init script does that finds its daemon there.
    ExitIfRunning(String),
    /// As `pkill NAME` does.
    SignalAll(String, Signal),
    Exit(i32),
    Crash(Signal),
}

/// What a process truly is to the service that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It does the service's work: there must be only one.
    Main,
    /// It helps the main process and must not outlive it.
    Worker,
    /// It starts or stops the service, and ends.
    Helper,
    /// It tells the main process to reload, and may be there while that is started again.
    Reloader,
    /// It has a session of its own and stays when the service ends: a login.
    Apart,
    /// It asks how the service is, and must leave nobody.
    Probe,
    /// It is nobody's.
    Stranger,
}

/// What follows how long after the beginning.
pub(crate) type Life = Vec<(Duration, Op)>;

/// A program as it is executed: it does what its life says, then stays for ever.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) comm: String,
    pub(crate) argv: Vec<String>,
    pub(crate) exe: Option<PathBuf>,
    pub(crate) role: Role,
    /// The effective user; the real one is root.
    pub(crate) user: u32,
    pub(crate) own_session: bool,
    pub(crate) keeps_environment: bool,
    /// Doesn't reap its children.
    pub(crate) careless: bool,
    /// In another container.
    pub(crate) foreign: bool,
    /// Stuck in the kernel: not even SIGKILL ends it.
    pub(crate) unkillable: bool,
    /// Its memory in bytes.
    pub(crate) memory: u64,
    /// The processor time that it takes, in percent.
    pub(crate) cpu: u64,
    /// The last line that it writes.
    pub(crate) says: Option<String>,
    pub(crate) life: Life,
    pub(crate) handlers: Vec<(Signal, Life)>,
}

impl Image {
    /// A program that runs for ever and dies of any signal.
    pub(crate) fn new(command: &str) -> Self {
        let mut image = Image {
            comm: String::new(),
            argv: Vec::new(),
            exe: None,
            role: Role::Main,
            user: 0,
            own_session: false,
            keeps_environment: true,
            careless: false,
            foreign: false,
            unkillable: false,
            memory: 0,
            cpu: 0,
            says: None,
            life: Vec::new(),
            handlers: Vec::new(),
        };
        image.execute(command.split(' ').map(str::to_owned).collect());
        image
    }

    pub(crate) fn execute(&mut self, argv: Vec<String>) {
        let path = PathBuf::from(&argv[0]);
        let base = path.file_name().map(|base| base.to_string_lossy().into_owned()).unwrap_or_default();
        self.comm = base.chars().take(15).collect();
        self.exe = path.is_absolute().then_some(path);
        self.argv = argv;
    }

    /// Shows another command line, as `setproctitle` does.
    pub(crate) fn title(mut self, title: &str) -> Self {
        self.argv = vec![title.to_owned()];
        self
    }

    pub(crate) fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// It acts for this user.
    pub(crate) fn user(mut self, user: u32) -> Self {
        self.user = user;
        self
    }

    pub(crate) fn in_own_session(mut self) -> Self {
        self.own_session = true;
        self
    }

    pub(crate) fn without_environment(mut self) -> Self {
        self.keeps_environment = false;
        self
    }

    pub(crate) fn careless(mut self) -> Self {
        self.careless = true;
        self
    }

    pub(crate) fn foreign(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// It takes so much memory, in bytes, and processor time, in percent.
    pub(crate) fn takes(mut self, memory: u64, cpu: u64) -> Self {
        (self.memory, self.cpu) = (memory, cpu);
        self
    }

    /// The last line that it writes.
    pub(crate) fn says(mut self, line: &str) -> Self {
        self.says = Some(line.to_owned());
        self
    }

    pub(crate) fn unkillable(mut self) -> Self {
        self.unkillable = true;
        self
    }

    pub(crate) fn at(mut self, milliseconds: u64, op: Op) -> Self {
        self.life.push((Duration::from_millis(milliseconds), op));
        self
    }

    pub(crate) fn forks(self, milliseconds: u64, child: Image) -> Self {
        self.at(milliseconds, Op::Fork(Box::new(child)))
    }

    pub(crate) fn exits(self, milliseconds: u64, code: i32) -> Self {
        self.at(milliseconds, Op::Exit(code))
    }

    /// What it does so long after a signal.
    pub(crate) fn on(mut self, signal: Signal, milliseconds: u64, op: Op) -> Self {
        let step = (Duration::from_millis(milliseconds), op);
        match self.handlers.iter_mut().find(|(number, _)| *number == signal) {
            Some((_, reaction)) => reaction.push(step),
            None => self.handlers.push((signal, vec![step])),
        }
        self
    }

    pub(crate) fn ignores(mut self, signal: Signal) -> Self {
        self.handlers.push((signal, Vec::new()));
        self
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.comm.fmt(f)?;
        match self.argv.first() {
            Some(title) if title.contains(": ") => write!(f, " {:?}", title),
            Some(_) | None => Ok(()),
        }
    }
}
