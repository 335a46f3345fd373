//! Follows the processes of the machines under test. Looks only now and then, as not to disturb what it measures:
//! every time comes from the kernel's stamps, so that no interval of looking is in a figure.

use std::{collections::HashMap, fs, io, process::Command, time::Duration};

use crate::connector::{Connector, Event};

/// A time of the monotonic clock, which the kernel stamps its events with.
pub(crate) type Stamp = Duration;

/// Between two looks: rare enough to leave the processors to the manager, short beside a benchmark.
const STEP: Duration = Duration::from_millis(3);

/// How long the end of a process may take to be told: it is told at once, or never.
const HEARING: Duration = Duration::from_secs(1);

/// A process of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// The process that it descends from and that was followed first.
    pub(crate) root: i32,
    /// Whose child it was at first.
    pub(crate) parent: i32,
    /// Its name; empty before its first exec.
    pub(crate) name: String,
    /// When it executed its first program, and its last.
    pub(crate) executed: Option<(Stamp, Stamp)>,
}

/// Knows the processes below those that it was told to follow.
#[derive(Debug)]
pub(crate) struct Observer {
    connector: Connector,
    processes: HashMap<i32, Process>,
}

impl Observer {
    /// Begins to listen.
    ///
    /// # Errors
    /// Why nothing can be measured here, for people.
    pub(crate) fn new() -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err(
                "needs root, to make PID namespaces and to hear of processes from the kernel".to_owned()
            );
        }
        let why = |error| format!("the kernel's process connector does not tell of processes here: {error}");
        let mut observer = Self { connector: Connector::new().map_err(why)?, processes: HashMap::new() };
        match observer.hears() {
            Ok(true) => Ok(observer),
            Ok(false) => Err(why(io::Error::other("not outside of the first PID namespace"))),
            Err(error) => Err(why(error)),
        }
    }

    /// Whether the kernel tells of a child, by the PID that it has here.
    fn hears(&mut self) -> io::Result<bool> {
        let mut child = Command::new("true").spawn()?;
        let pid = child.id().cast_signed();
        self.follow(pid);
        child.wait()?;
        let is_gone = |observer: &Observer| (!observer.processes.contains_key(&pid)).then_some(());
        Ok(self.wait(HEARING, is_gone)?.is_some())
    }

    /// Follows a child of this process and all that descends from it from now on.
    pub(crate) fn follow(&mut self, root: i32) {
        let parent = nix::unistd::getpid().as_raw();
        self.processes.insert(root, Process { root, parent, name: String::new(), executed: None });
    }

    /// The living processes below a root, without it.
    pub(crate) fn below(&self, root: i32) -> impl Iterator<Item = (i32, &Process)> {
        let below = move |&(&pid, process): &(&i32, &Process)| process.root == root && pid != root;
        self.processes.iter().filter(below).map(|(&pid, process)| (pid, process))
    }

    /// Waits until `condition` has something to say, at most until `limit` is over.
    ///
    /// # Errors
    /// Events were lost.
    pub(crate) fn wait<T>(
        &mut self,
        limit: Duration,
        condition: impl Fn(&Observer) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let end = now() + limit;
        while now() < end {
            sleep(STEP);
            self.take_in()?;
            if condition(self).is_some() {
                // Another exec of the same process, on its way to what it shall be, corrects the stamp.
                sleep(STEP);
                self.take_in()?;
                return Ok(condition(self));
            }
        }
        Ok(None)
    }

    /// Takes in what has happened.
    ///
    /// # Errors
    /// Events were lost.
    pub(crate) fn take_in(&mut self) -> io::Result<()> {
        let own = nix::unistd::getpid().as_raw();
        while let Some(event) = self.connector.next()? {
            match event {
                // Our own children are entered by `follow`.
                Event::Fork { parent, .. } if parent == own => {}
                Event::Fork { parent, child } => {
                    self.processes.remove(&child);
                    if let Some(root) = self.processes.get(&parent).map(|process| process.root) {
                        let process = Process { root, parent, name: String::new(), executed: None };
                        self.processes.insert(child, process);
                    }
                }
                Event::Exec { pid, stamp } => {
                    if let Some(process) = self.processes.get_mut(&pid) {
                        process.executed = Some((process.executed.map_or(stamp, |(first, _)| first), stamp));
                        // Of one that has ended meanwhile the exit follows.
                        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                        name.trim_end().clone_into(&mut process.name);
                    }
                }
                Event::Exit { pid } => {
                    self.processes.remove(&pid);
                }
            }
        }
        Ok(())
    }
}

/// The monotonic clock.
pub(crate) fn now() -> Stamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Leaves the processors to the managers.
#[expect(
    clippy::disallowed_methods,
    reason = "the observer sleeps while the manager works: no figure holds it"
)]
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}
