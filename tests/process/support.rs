//! What the tests of real processes share.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use musterd::{
    config::{Command, Service, ServiceName},
    linux::{
        setup::Setup,
        spawn::{Mark, SpawnError, Spawned, Spawner, Surroundings},
        watch::{Ended, Watcher},
    },
    process::Exit,
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::epoll::{Epoll, EpollCreateFlags},
};

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A directory for one test, removed at its end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("musterd-test-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub(crate) fn file(&self, name: &str, content: &str, mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A musterd without its decider.
pub(crate) struct Shell {
    pub(crate) setup: Setup,
    pub(crate) spawner: Spawner,
    pub(crate) watcher: Watcher,
    pub(crate) epoll: Epoll,
    pub(crate) service: Service,
    /// Variables besides the service's.
    pub(crate) extra: Vec<(&'static str, String)>,
    pub(crate) scratch: Scratch,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let setup = Setup::new().unwrap();
        let spawner = Spawner::new(&setup).unwrap();
        let watcher = Watcher::new(|pid| pid as u64);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        Self {
            setup,
            spawner,
            watcher,
            epoll,
            service: service(),
            extra: Vec::new(),
            scratch: Scratch::new(),
        }
    }

    /// Starts a command whose output goes to the scratch file `out`.
    pub(crate) fn spawn(&mut self, argv: &[&str]) -> Result<Spawned, SpawnError> {
        self.spawn_with(argv, &[])
    }

    pub(crate) fn spawn_with(
        &mut self,
        argv: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Spawned, SpawnError> {
        let out = File::create(self.scratch.0.join("out")).unwrap();
        let command = Command {
            argv: argv.iter().map(ToString::to_string).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        };
        let surroundings = Surroundings {
            service: &self.service,
            stdout: out.as_fd(),
            stderr: out.as_fd(),
            terminal: self.service.terminal,
            extra: &self.extra,
            mark: Mark::Service,
        };
        self.spawner.spawn(&command, &surroundings)
    }

    /// Why a command cannot be started.
    pub(crate) fn refusal(&mut self, argv: &[&str]) -> String {
        self.spawn(argv).unwrap_err().to_string()
    }

    /// Starts a command, waits for its end, returns what it wrote.
    pub(crate) fn output(&mut self, argv: &[&str]) -> String {
        let spawned = self.spawn(argv).unwrap();
        let id = spawned.id;
        self.watcher.add_child(&self.epoll, spawned);
        let ended = self.ends(1);
        assert_eq!(
            ended,
            [Ended { id, exit: Exit::Code(0), watched: true, session_empty: true }],
            "{}",
            self.written()
        );
        self.written()
    }

    pub(crate) fn written(&self) -> String {
        fs::read_to_string(self.scratch.0.join("out")).unwrap()
    }

    /// Waits until so many processes were reaped.
    pub(crate) fn ends(&mut self, number: usize) -> Vec<Ended> {
        let mut ended = Vec::new();
        self.watcher.reap(&mut ended);
        while ended.len() < number {
            readable(&self.setup);
            self.setup.signals();
            self.watcher.reap(&mut ended);
        }
        ended
    }
}

/// Waits until a descriptor is readable.
pub(crate) fn readable(fd: &impl AsFd) {
    let limit = PollTimeout::try_from(LIMIT).unwrap();
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, limit), Ok(1), "nothing came for {LIMIT:?}");
}

/// Waits until a condition holds that no descriptor tells.
#[expect(clippy::disallowed_methods, reason = "a test waits for other processes")]
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begin = std::time::Instant::now();
    loop {
        if let Some(result) = condition() {
            return result;
        }
        assert!(begin.elapsed() < LIMIT, "{what}: not for {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The value of a line of `/proc/PID/status`, its blanks single ones.
pub(crate) fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn content(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn service() -> Service {
    let start = Command { argv: vec!["true".to_owned()], environment: Vec::new() };
    Service::new(ServiceName::parse("web").unwrap(), start)
}
