//! What carries the lines: a bare `cat`, s6-log, supervisord, musterd; and how each is told to. Measures nothing.

use std::{
    fmt::Write,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// One that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// One `cat` for each service; no name, no lines.
    Cat,
    /// One `s6-log` for each service, which gives each line the service's name.
    S6Log,
    /// supervisord to its own stdout, which gives lines no name.
    Supervisord,
    /// The one of this build, with names.
    Musterd,
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
}

/// The processes of one measurement.
pub(crate) struct Running {
    /// Those that carry lines.
    pub(crate) carriers: Vec<Child>,
    /// Those that write them, where they are ours.
    producers: Vec<Child>,
}

impl Carrier {
    pub(crate) const ALL: [Self; 4] = [Self::Cat, Self::S6Log, Self::Supervisord, Self::Musterd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Carrier::Cat => "cat",
            Carrier::S6Log => "s6-log",
            Carrier::Supervisord => "supervisord",
            Carrier::Musterd => "musterd",
        }
    }

    /// Whether it is there.
    pub(crate) fn is_installed(self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = |name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
        self == Carrier::Musterd || in_path(self.name())
    }

    /// Starts it for so many services, with its output to `to`.
    pub(crate) fn start(self, folder: &Path, load: Load, to: &File) -> io::Result<Running> {
        let me = std::env::current_exe()?;
        let Load { services, seconds, at_once } = load;
        let words = |number: usize| {
            [
                me.display().to_string(),
                "produce".into(),
                folder.display().to_string(),
                seconds.to_string(),
                at_once.to_string(),
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
            Carrier::Supervisord => {
                let config = written(folder.join("supervisord.conf"), &supervisord(folder, services, words))?;
                one(Command::new("supervisord").arg("-n").arg("-c").arg(config), to)
            }
            Carrier::Musterd => {
                let config = written(folder.join("musterd.toml"), &musterd(folder, services, words))?;
                one(Command::new(env!("CARGO_BIN_EXE_musterd")).arg("-c").arg(config), to)
            }
        }
    }
}

impl Running {
    /// Ends all of it.
    pub(crate) fn end(mut self) {
        for child in &mut self.carriers {
            // By its own PID, which is ours until it is waited for.
            if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
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
    let mut running = Running { carriers: Vec::new(), producers: Vec::new() };
    for number in 1..=services {
        let words = words(number);
        let mut producer = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::piped()).spawn()?;
        let from = producer.stdout.take().ok_or(io::ErrorKind::NotFound)?;
        running.producers.push(producer);
        running.carriers.push(carrier(number).stdin(from).stdout(to.try_clone()?).spawn()?);
    }
    Ok(running)
}

fn one(command: &mut Command, to: &File) -> io::Result<Running> {
    let command = command.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(Stdio::null());
    Ok(Running { carriers: vec![command.spawn()?], producers: Vec::new() })
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
    words: impl Fn(usize) -> [String; N],
) -> String {
    let place = folder.display();
    let mut text = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nloglevel=critical\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
         pidfile={place}/pid\nchildlogdir={place}\n"
    );
    for number in 1..=services {
        let _ = write!(
            text,
            "[program:service{number}]\ncommand={}\nautorestart=false\nstartsecs=0\n\
             stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nstderr_logfile=NONE\n",
            words(number).join(" "),
        );
    }
    text
}
