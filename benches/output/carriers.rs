//! What carries the lines: a bare `cat`, s6-log, supervisord, musterd; and how each is told to. Measures nothing.

use std::{
    fmt::Write,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// How many milliseconds are waited for a process to be there.
const TURNS: usize = 10_000;

/// The event listener's name, and its program's.
const LISTENER: &str = "listener";

/// One that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// One `cat` for each service; no name, no lines.
    Cat,
    /// One `s6-log` for each service, which gives each line the service's name.
    S6Log,
    /// supervisord to its own stdout, which gives lines no name.
    Supervisord,
    /// supervisord to a file for each service, which it rotates.
    Rotating,
    /// supervisord with an event listener, by which alone it gives lines a name.
    Listener,
    /// The one of this build, with names; as PID 1.
    Musterd,
    /// The same as an ordinary process, which may be killed without losing a line.
    Beside,
}

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// So many services write.
    pub(crate) services: usize,
    /// For so long.
    pub(crate) seconds: f64,
    /// So many bytes at once.
    pub(crate) at_once: usize,
    /// So often in a second; 0: as often as it can.
    pub(crate) pace: u32,
}

/// The processes of one measurement.
pub(crate) struct Running {
    /// Those that carry lines, and what they were started by.
    carriers: Vec<Child>,
    /// The PIDs of those that carry lines.
    pub(crate) pids: Vec<u32>,
    /// Those that write them, where they are ours.
    producers: Vec<Child>,
}

impl Carrier {
    pub(crate) const ALL: [Self; 7] = [
        Self::Cat,
        Self::S6Log,
        Self::Supervisord,
        Self::Rotating,
        Self::Listener,
        Self::Musterd,
        Self::Beside,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Carrier::Cat => "cat",
            Carrier::S6Log => "s6-log",
            Carrier::Supervisord => "supervisord",
            Carrier::Rotating => "supervisord, to its files",
            Carrier::Listener => "supervisord, with names",
            Carrier::Musterd => "musterd",
            Carrier::Beside => "musterd, not PID 1",
        }
    }

    /// Whether what services got rid of may never come: an event listener that is behind loses events.
    pub(crate) fn loses_lines(self) -> bool {
        self == Carrier::Listener
    }

    /// Whether it is there.
    pub(crate) fn is_installed(self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = |name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        match self {
            Carrier::Cat | Carrier::S6Log | Carrier::Supervisord => in_path(self.name()),
            Carrier::Rotating => in_path("supervisord"),
            Carrier::Listener => in_path("supervisord") && in_path("python3"),
            Carrier::Musterd => rustix::process::geteuid().is_root() && in_path("unshare"),
            Carrier::Beside => true,
        }
    }

    /// Starts it for so many services, with its output to `to`.
    pub(crate) fn start(self, folder: &Path, load: Load, to: &File) -> io::Result<Running> {
        let me = std::env::current_exe()?;
        let Load { services, seconds, at_once, pace } = load;
        let words = |number: usize| {
            [
                me.display().to_string(),
                "produce".into(),
                folder.display().to_string(),
                seconds.to_string(),
                at_once.to_string(),
                pace.to_string(),
                number.to_string(),
            ]
        };
        match self {
            Carrier::Cat => each(services, words, to, |_| Command::new("cat")),
            Carrier::S6Log => each(services, words, to, |number| {
                let mut log = Command::new("s6-log");
                log.args([&format!("pservice{number} | "), "1"]);
                log
            }),
            Carrier::Supervisord | Carrier::Rotating | Carrier::Listener => {
                let text = supervisord(folder, services, self, words);
                let config = written(folder.join("supervisord.conf"), &text)?;
                let mut running = one(Command::new("supervisord").arg("-n").arg("-c").arg(config), to)?;
                if self == Carrier::Listener {
                    running.pids.push(listener_of(running.pids[0])?);
                }
                Ok(running)
            }
            Carrier::Musterd => {
                let config = written(folder.join("musterd.toml"), &musterd(folder, services, words))?;
                let mut unshare = Command::new("unshare");
                unshare.args(["--fork", "--pid", "--mount-proc", env!("CARGO_BIN_EXE_musterd"), "-c"]);
                let mut running = one(unshare.arg(config), to)?;
                running.pids = vec![only_child(running.pids[0])?];
                Ok(running)
            }
            Carrier::Beside => {
                let config = written(folder.join("musterd.toml"), &musterd(folder, services, words))?;
                one(Command::new(env!("CARGO_BIN_EXE_musterd")).arg("-c").arg(config), to)
            }
        }
    }
}

impl Running {
    /// Ends all of it.
    pub(crate) fn end(mut self) {
        for &pid in &self.pids {
            // It is not waited for before, by us or by its parent.
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for child in self.carriers.iter_mut().chain(&mut self.producers) {
            let _ = child.wait();
        }
    }
}

fn each<const N: usize>(
    services: usize,
    words: impl Fn(usize) -> [String; N],
    to: &File,
    carrier: impl Fn(usize) -> Command,
) -> io::Result<Running> {
    let mut running = Running { carriers: Vec::new(), pids: Vec::new(), producers: Vec::new() };
    for number in 1..=services {
        let words = words(number);
        let mut producer = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::piped()).spawn()?;
        let from = producer.stdout.take().ok_or(io::ErrorKind::NotFound)?;
        running.producers.push(producer);
        let carrier = carrier(number).stdin(from).stdout(to.try_clone()?).spawn()?;
        running.pids.push(carrier.id());
        running.carriers.push(carrier);
    }
    Ok(running)
}

fn one(command: &mut Command, to: &File) -> io::Result<Running> {
    let command = command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(Stdio::null());
    let carrier = command.spawn()?;
    Ok(Running { pids: vec![carrier.id()], carriers: vec![carrier], producers: Vec::new() })
}

/// The child of unshare(1), once it is there.
fn only_child(parent: u32) -> io::Result<u32> {
    for _ in 0..TURNS {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        if let Some(child) = children.split(' ').next().and_then(|child| child.parse().ok()) {
            return Ok(child);
        }
        sleep(Duration::from_millis(1));
    }
    Err(io::Error::other("unshare starts nothing"))
}

fn written(path: PathBuf, text: &str) -> io::Result<PathBuf> {
    fs::write(&path, text)?;
    Ok(path)
}

fn musterd<const N: usize>(folder: &Path, services: usize, words: impl Fn(usize) -> [String; N]) -> String {
    let mut text =
        format!("[manager]\nsocket = {:?}\n[defaults]\nrestart = \"never\"\n", folder.join("socket"));
    for number in 1..=services {
        let words = words(number);
        let _ = write!(
            text,
            "[services.service{number}]\nstart = {words:?}\nmatch = {{ cmdline = {:?} }}\n",
            format!("produce .* {number}$"),
        );
    }
    text
}

fn supervisord<const N: usize>(
    folder: &Path,
    services: usize,
    carrier: Carrier,
    words: impl Fn(usize) -> [String; N],
) -> String {
    let place = folder.display();
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nloglevel=critical\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
         pidfile={place}/pid\nchildlogdir={place}\n"
    );
    for number in 1..=services {
        let log = match carrier {
            // Rotated at 50 MB, as by default.
            Carrier::Rotating => format!("{place}/service{number}.log"),
            Carrier::Listener => "NONE\nstdout_events_enabled=true".to_owned(),
            _ => "/dev/stdout\nstdout_logfile_maxbytes=0".to_owned(),
        };
        let _ = write!(
            text,
            "[program:service{number}]\ncommand={}\nautorestart=false\nstartsecs=0\n\
             stdout_logfile={log}\nstderr_logfile=NONE\n",
            words(number).join(" "),
        );
    }
    if carrier == Carrier::Listener {
        let _ = write!(
            text,
            "[eventlistener:{LISTENER}]\ncommand=python3 {}/benches/output/{LISTENER}.py\n\
             events=PROCESS_LOG_STDOUT\nstderr_logfile=/dev/stdout\nstderr_logfile_maxbytes=0\n",
            env!("CARGO_MANIFEST_DIR"),
        );
    }
    text
}

/// The child of supervisord that is its event listener, once it is there.
fn listener_of(supervisord: u32) -> io::Result<u32> {
    for _ in 0..TURNS {
        let children = fs::read_to_string(format!("/proc/{supervisord}/task/{supervisord}/children"));
        let is_it = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.contains(LISTENER))
        };
        let found = children?.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).find(is_it);
        if let Some(pid) = found {
            return Ok(pid);
        }
        sleep(Duration::from_millis(1));
    }
    Err(io::Error::other("supervisord starts no event listener"))
}
