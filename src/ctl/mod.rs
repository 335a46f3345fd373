//! The client: asks a running manager and shows the answer. Knows no service but what it is told.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    config::{LogLevel, parse_signal},
    protocol::{ALL, Request},
};

mod answer;
mod ask;
mod changes;
mod client;
mod detail;
mod events;
mod glob;
mod logs;
mod names;
mod pages;
mod screen;
mod table;
mod watch;
mod why;

use answer::Form;
use ask::{Limit, Patience};
use table::Look;

/// The exit code where no manager answers or no service has the name.
const NO_ANSWER: u8 = 4;

/// The exit code of misuse, and of a configuration with errors; also what clap exits with.
const MISUSE: u8 = 2;

/// The exit code where the answer came and could not be written.
const UNWRITTEN: u8 = 1;

/// How long a manager may take to tell the state of its services, which it knows without waiting for anything.
const STATUS_LIMIT: Duration = Duration::from_secs(10);

/// How long a manager may take to read its configuration again.
const RELOAD_LIMIT: Duration = Duration::from_secs(60);

const NOTES: &str = "\
Exit status:
  0  what was asked is done; of `status` and `check`: every service that is wanted runs (of those named)
  1  the answer could not be written; of `health`: whatever is wrong
  2  misuse
  3  what was asked is not done, or not within --timeout; of `status` and `check`: a service that is wanted
     does not run
  4  nothing was done: no manager answers, it refuses, or no service has that name

The manager's socket is the first of: --socket, MUSTERD_SOCKET, `manager.socket` as the manager reads it
(MUSTERD_SET, then the files of MUSTERD_CONFIG or /etc/musterd.toml with their drop-ins); else the one of
these that a manager listens on:
/run/musterd.sock, $XDG_RUNTIME_DIR/musterd.sock, /tmp/musterd-UID/musterd.sock.";

const HEALTH_NOTES: &str = "\
Exit status:
  0  every service that is wanted runs and is ready, and its check, if it has one, does not fail
  1  one does not, each on a line of its own; or no manager answers
  2  misuse

In a Dockerfile:
  HEALTHCHECK --interval=10s --start-period=60s CMD [\"musterd\", \"ctl\", \"health\"]";

const RELOAD_NOTES: &str = "\
With names: each of these services reads its own configuration anew, as its keys `reload` or `reload-signal`
say, and it is waited for its `reload` to end. Nothing is done if one of them cannot do that now.

Without names musterd does: all layers are read again: files and drop-ins; the environment, options and COMMANDs stay as musterd was
started with them. A service with nothing changed keeps its process. Of a changed one each key tells what
follows: `applied` (it counts from now on, the process stays) or `restarts`. An error changes nothing.

Exit status:
  0  what is shown is under way; with --dry-run: is what would be done; with names: it is done
  1  the answer could not be written
  2  misuse, or the configuration has errors; everything is as it was
  3  with names: it has failed, or was not done within --timeout
  4  nothing was done: no manager answers, it refuses, or no service has that name";

/// The arguments of `musterd ctl`.
#[derive(Debug, clap::Args)]
#[command(about = "Talk to a running manager", after_help = NOTES)]
pub struct Arguments {
    /// The manager's socket [env: MUSTERD_SOCKET]
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the state of services, and why they are in it
    #[command(after_help = NOTES)]
    Status {
        /// The services: names, or patterns such as 'web*'; without any all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print an array of JSON objects
        #[arg(long, conflicts_with = "watch")]
        json: bool,
        /// Show them in place, anew each second, until `q` is pressed
        #[arg(long, short)]
        watch: bool,
    },
    /// Tell the story of a service: what happened to it and what was decided, with times and causes
    #[command(after_help = NOTES)]
    Why {
        /// The service
        name: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show what happened to services: each change of state with its cause
    #[command(after_help = NOTES)]
    Events(events::Options),
    /// Tell whether all that is wanted runs and is well, for HEALTHCHECK
    #[command(after_help = HEALTH_NOTES)]
    Health,
    /// Start services, and wait until they run or cannot be started
    #[command(after_help = NOTES)]
    Start(Change),
    /// Stop services and leave them so; wait until they have stopped
    #[command(after_help = NOTES)]
    Stop(Change),
    /// Stop services and start them, and wait until they run or cannot be started
    #[command(after_help = NOTES)]
    Restart(Change),
    /// Make services read their own configuration anew; without names musterd its one (also: SIGHUP)
    #[command(after_help = RELOAD_NOTES)]
    Reload {
        /// The services: names, patterns such as 'web*', or `all`
        #[arg(value_name = "NAME", conflicts_with_all = ["dry_run", "json"])]
        names: Vec<String>,
        #[command(flatten)]
        patience: Patience,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Send a signal to the main process of services
    #[command(after_help = NOTES)]
    Signal {
        /// The signal: HUP, SIGHUP or 1
        #[arg(value_name = "SIGNAL", value_parser = parse_signal)]
        signal: Signal,
        #[command(flatten)]
        names: Names,
    },
    /// Look at the processes and run the health checks now (a failure counts as any other), and show the state of services then
    #[command(after_help = NOTES)]
    Check {
        /// The services: names, or patterns such as 'web*'; without any all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Wait no longer than this, 30s for example
        #[arg(long, value_name = "DURATION", value_parser = ask::duration)]
        timeout: Option<Duration>,
        /// Print an array of JSON objects
        #[arg(long)]
        json: bool,
    },
    /// Show the last lines of services, with what musterd decided about them
    #[command(after_help = NOTES)]
    Logs(logs::Options),
    /// Open the log files anew, after somebody has renamed them (also: SIGUSR1)
    #[command(after_help = NOTES)]
    Reopen,
    /// Change the least important of musterd's own messages that is told
    #[command(after_help = NOTES)]
    LogLevel {
        /// error, warn, info, debug or trace
        #[arg(value_name = "LEVEL", value_parser = level)]
        level: LogLevel,
    },
    /// Print the services' names, for completions
    #[command(hide = true)]
    Names,
    /// Stop all services in order, and end musterd (also: SIGTERM); a second time: kill what still runs
    #[command(after_help = NOTES)]
    Shutdown,
}

fn level(text: &str) -> Result<LogLevel, String> {
    // As the key has it.
    let known = serde_json::from_value(text.into());
    known.map_err(|_| "must be one of error, warn, info, debug, trace".to_owned())
}

#[derive(Debug, clap::Args)]
struct Names {
    /// The services: names, patterns such as 'web*', or `all`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// What takes as long as the services do.
#[derive(Debug, clap::Args)]
struct Change {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    patience: Patience,
}

impl Change {
    fn parts(&self) -> (Vec<String>, bool) {
        (self.names.names.clone(), self.patience.waits())
    }
}

impl Verb {
    fn request(&self) -> Request {
        match self {
            Verb::Health | Verb::Names => Request::status(Vec::new()),
            Verb::Status { names, watch, json: _ } => {
                let detail =
                    !watch && matches!(names.as_slice(), [name] if name != ALL && !glob::is_pattern(name));
                Request::Status { names: names.clone(), measured: true, detail }
            }
            Verb::Why { name, json: _ } => Request::Why { name: name.clone() },
            Verb::Events(options) => options.request(),
            Verb::Start(change) => {
                let (names, wait) = change.parts();
                Request::Start { names, wait }
            }
            Verb::Stop(change) => {
                let (names, wait) = change.parts();
                Request::Stop { names, wait }
            }
            Verb::Restart(change) => {
                let (names, wait) = change.parts();
                Request::Restart { names, wait }
            }
            Verb::Reload { names, dry_run, .. } if names.is_empty() => {
                Request::ReloadConfiguration { dry_run: *dry_run }
            }
            Verb::Reload { names, patience, .. } => {
                Request::Reload { names: names.clone(), wait: patience.waits() }
            }
            Verb::Signal { signal, names } => Request::Signal { signal: *signal, names: names.names.clone() },
            Verb::Check { names, .. } => Request::Check { names: names.clone() },
            Verb::Logs(options) => options.request(),
            Verb::Reopen => Request::Reopen,
            Verb::LogLevel { level } => Request::LogLevel { level: *level },
            Verb::Shutdown => Request::Shutdown,
        }
    }

    /// How long the answer may take: starting and stopping take as long as the services do.
    fn limit(&self) -> Limit {
        match self {
            Verb::Status { .. }
            | Verb::Why { .. }
            | Verb::Events(_)
            | Verb::Health
            | Verb::Names
            | Verb::Signal { .. }
            | Verb::Logs(_)
            | Verb::Reopen
            | Verb::LogLevel { .. }
            | Verb::Shutdown => Limit::Answer(STATUS_LIMIT),
            Verb::Reload { names, .. } if names.is_empty() => Limit::Answer(RELOAD_LIMIT),
            Verb::Start(Change { patience: Patience { timeout, .. }, .. })
            | Verb::Stop(Change { patience: Patience { timeout, .. }, .. })
            | Verb::Restart(Change { patience: Patience { timeout, .. }, .. })
            | Verb::Reload { patience: Patience { timeout, .. }, .. }
            | Verb::Check { timeout, .. } => timeout.map_or(Limit::None, Limit::Patience),
        }
    }

    fn form(&self) -> Form {
        match self {
            Verb::Status { json, .. }
            | Verb::Why { json, .. }
            | Verb::Check { json, .. }
            | Verb::Reload { json, .. }
            | Verb::Events(events::Options { json, .. })
            | Verb::Logs(logs::Options { json, .. }) => Form::of(*json),
            Verb::Health => Form::Health,
            Verb::Signal { .. }
            | Verb::Start(_)
            | Verb::Stop(_)
            | Verb::Restart(_)
            | Verb::Names
            | Verb::Reopen
            | Verb::LogLevel { .. }
            | Verb::Shutdown => Form::of(false),
        }
    }
}

/// Runs one verb; returns the exit code.
pub fn run(arguments: &Arguments) -> u8 {
    // Not read by clap, whose usage lines would ask for `--socket` wherever the variable is set.
    let variable = || env::var_os("MUSTERD_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = arguments.socket.clone().or_else(variable);
    let place = client::Where::find(named);
    let shown = match &arguments.verb {
        Verb::Logs(options) => logs::run(&place, options, &mut io::stdout()),
        Verb::Names => names::run(&place),
        Verb::Events(options) => events::run(&place, options, &mut io::stdout()),
        Verb::Status { watch: true, .. } => watch::run(&place, arguments.verb.request(), look()),
        verb => ask::ask(&place, verb.request(), verb.limit(), verb.form()),
    };
    // A reader that has seen enough (`| head`) is no error; for what fails on stderr there is nobody to tell.
    let mut stderr = io::stderr();
    let mut code = shown.code;
    if let Err(error) = io::stdout().write_all(shown.output.as_bytes())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = writeln!(stderr, "musterd: cannot write the answer: {error}");
        code = UNWRITTEN;
    }
    let _ = stderr.write_all(shown.report.as_bytes());
    for error in shown.errors {
        let _ = writeln!(stderr, "musterd: {error}");
    }
    code
}

fn look() -> Look {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return Look { width: None, colour: false };
    }
    let width = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    // https://no-color.org: any value but the empty one.
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    Look { width: width.filter(|&width| width > 0), colour: !plain }
}
