//! One manager as PID 1 of a PID namespace of its own, with its services, seen from outside. Compares nothing.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    managers::{Manager, Plan, name},
    observer::{Observer, Process, Stamp, now, sleep},
};

/// After this long a start or a restart counts as one that does not come; the slowest manager needs some seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// A running machine. It ends with its value.
#[derive(Debug)]
pub(crate) struct Machine {
    plan: Plan,
    names: Vec<String>,
    folder: PathBuf,
    /// Parent of PID 1, which is killed with it.
    unshare: Child,
    /// What was given to `pause` so far.
    phase: f64,
}

impl Machine {
    /// Starts a manager with these services in an empty folder.
    ///
    /// # Errors
    /// There is no unshare(1), or no room.
    pub(crate) fn start(
        observer: &mut Observer,
        manager: Manager,
        folder: PathBuf,
        programs: &[PathBuf],
    ) -> io::Result<Self> {
        let plan = manager.prepare(&folder, programs)?;
        let output = File::create(folder.join("output"))?;
        let unshare = Command::new("unshare")
            .args(["--fork", "--pid", "--mount-proc", "--kill-child"])
            .args(&plan.argv)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        // What it has done meanwhile is taken in only after this.
        observer.follow(unshare.id().cast_signed());
        let names = programs.iter().map(|program| name(program).to_string()).collect();
        Ok(Self { plan, names, folder, unshare, phase: 0.0 })
    }

    /// Waits for all services; the time from the manager's exec to the last service's, `None` if one does not come.
    ///
    /// # Errors
    /// Events were lost.
    pub(crate) fn await_up(&self, observer: &mut Observer) -> io::Result<Option<Duration>> {
        observer.wait(LIMIT, |observer| {
            let (_, manager) = self.manager(observer)?;
            let (began, _) = manager.executed?;
            let services = self.services(observer);
            (services.len() == self.names.len())
                .then(|| services.values().map(|&(_, stamp)| stamp).max())?
                .map(|last| last.saturating_sub(began))
        })
    }

    /// Kills a service; the time from kill(2) to the exec of the next one, `None` if it does not come.
    ///
    /// # Errors
    /// Events were lost.
    pub(crate) fn restart(&mut self, observer: &mut Observer, at: usize) -> io::Result<Option<Duration>> {
        let name = self.names[at % self.names.len()].clone();
        self.pause();
        let Some(&(pid, stamp)) = self.services(observer).get(name.as_str()) else { return Ok(None) };
        sleep((stamp + self.plan.settle).saturating_sub(now()));
        let killed = now();
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        observer.wait(LIMIT, |observer| {
            let &(_, back) = self.services(observer).get(name.as_str())?;
            back.checked_sub(killed)
        })
    }

    /// Kills all services at once; the time from the first kill(2) to the exec of the last that is back, `None` if one
    /// does not come.
    ///
    /// # Errors
    /// Events were lost.
    pub(crate) fn restart_all(&self, observer: &mut Observer) -> io::Result<Option<Duration>> {
        observer.take_in()?;
        let victims: Vec<i32> = self.services(observer).values().map(|&(pid, _)| pid).collect();
        let killed = now();
        for pid in victims {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
        observer.wait(LIMIT, |observer| {
            let services = self.services(observer);
            let first = services.values().map(|&(_, back)| back).min()?;
            let last = services.values().map(|&(_, back)| back).max()?;
            (services.len() == self.names.len() && first > killed).then(|| last.saturating_sub(killed))
        })
    }

    /// Spreads what follows evenly over the interval at which the manager looks, by multiples of the golden ratio.
    fn pause(&mut self) {
        self.phase = (self.phase + 0.618).fract();
        sleep(self.plan.phase.mul_f64(self.phase));
    }

    /// What the manager and its helpers hold in memory, in KiB: the kernel's exact count, not the estimate of
    /// /proc/PID/status.
    pub(crate) fn memory(&self, observer: &Observer) -> u64 {
        self.helpers(observer).map(|pid| field(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Rss:")).sum()
    }

    /// How often the manager and its helpers have waited for something.
    pub(crate) fn waits(&self, observer: &Observer) -> u64 {
        let threads = |pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        self.helpers(observer)
            .flat_map(threads)
            .map(|thread| field(&thread.path().join("status"), "voluntary_ctxt_switches:"))
            .sum()
    }

    /// Ends everything in it.
    ///
    /// # Errors
    /// Events were lost, or it does not end.
    pub(crate) fn end(mut self, observer: &mut Observer) -> io::Result<()> {
        let root = self.root();
        self.unshare.kill()?;
        self.unshare.wait()?;
        let gone = observer.wait(LIMIT, |observer| observer.below(root).next().is_none().then_some(()))?;
        gone.ok_or_else(|| io::Error::other("a machine does not end"))?;
        fs::remove_dir_all(&self.folder)
    }

    /// The last that the manager said.
    pub(crate) fn last_words(&self) -> String {
        let output = fs::read_to_string(self.folder.join("output")).unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    fn root(&self) -> i32 {
        self.unshare.id().cast_signed()
    }

    fn manager<'a>(&self, observer: &'a Observer) -> Option<(i32, &'a Process)> {
        let root = self.root();
        observer.below(root).find(|(_, process)| process.parent == root)
    }

    /// PID and last exec of each service.
    fn services<'a>(&self, observer: &'a Observer) -> HashMap<&'a str, (i32, Stamp)> {
        let services = observer.below(self.root()).filter(|(_, process)| is_service(process));
        services
            .filter_map(|(pid, process)| Some((process.name.as_str(), (pid, process.executed?.1))))
            .collect()
    }

    fn helpers(&self, observer: &Observer) -> impl Iterator<Item = i32> {
        observer.below(self.root()).filter(|(_, process)| !is_service(process)).map(|(pid, _)| pid)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With `unshare` its child is killed too, and with that PID 1 all the others.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn is_service(process: &Process) -> bool {
    process.name.strip_prefix("svc").is_some_and(|rest| rest.len() == 4)
}

/// A number of a file of /proc; 0 of a process that is gone.
fn field(path: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
