//! The client: asks a running manager and shows the answer. Knows no service but what it is told.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

use crate::{config::LogLevel, protocol::Request};

mod answer;
mod changes;
mod client;
mod logs;
mod names;
mod table;

use answer::{Form, Shown};
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
  0  every service that is wanted runs (of those named); after `stop`: all have stopped
  1  the answer could not be written; of `health`: whatever is wrong
  2  misuse
  3  a service that is wanted does not run; after `stop`: one has not stopped
  4  no manager answers, or no service has that name

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
All layers are read again: files and drop-ins; the environment, options and COMMANDs stay as musterd was
started with them. A service with nothing changed keeps its process. Of a changed one each key tells what
follows: `applied` (it counts from now on, the process stays) or `restarts`. An error changes nothing.

Exit status:
  0  what is shown is under way; with --dry-run: is what would be done
  1  the answer could not be written
  2  misuse, or the configuration has errors; everything is as it was
  4  no manager answers, or it is shutting down";

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
        /// The services; without a name all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print an array of JSON objects
        #[arg(long)]
        json: bool,
    },
    /// Tell whether all that is wanted runs and is well, for HEALTHCHECK
    #[command(after_help = HEALTH_NOTES)]
    Health,
    /// Start services, and wait until they run or cannot be started
    #[command(after_help = NOTES)]
    Start(Names),
    /// Stop services and leave them so; wait until they have stopped
    #[command(after_help = NOTES)]
    Stop(Names),
    /// Stop services and start them, and wait until they run or cannot be started
    #[command(after_help = NOTES)]
    Restart(Names),
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
    /// Read the configuration again, and touch only what it changes (also: SIGHUP)
    #[command(after_help = RELOAD_NOTES)]
    Reload {
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
}

fn level(text: &str) -> Result<LogLevel, String> {
    // As the key has it.
    let known = serde_json::from_value(text.into());
    known.map_err(|_| "must be one of error, warn, info, debug, trace".to_owned())
}

#[derive(Debug, clap::Args)]
struct Names {
    /// The services; `all` for every one
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Verb {
    fn request(&self) -> Request {
        match self {
            Verb::Health | Verb::Names => Request::status(Vec::new()),
            Verb::Status { names, json: _ } => {
                Request::Status { names: names.clone(), measured: true, detail: names.len() == 1 }
            }
            Verb::Start(Names { names }) => Request::Start { names: names.clone() },
            Verb::Stop(Names { names }) => Request::Stop { names: names.clone() },
            Verb::Restart(Names { names }) => Request::Restart { names: names.clone() },
            Verb::Logs(options) => options.request(),
            Verb::Reopen => Request::Reopen,
            Verb::LogLevel { level } => Request::LogLevel { level: *level },
            Verb::Reload { dry_run, json: _ } => Request::ReloadConfiguration { dry_run: *dry_run },
        }
    }

    /// How long the answer may take: starting and stopping take as long as the services do.
    fn limit(&self) -> Option<Duration> {
        match self {
            Verb::Status { .. }
            | Verb::Health
            | Verb::Names
            | Verb::Logs(_)
            | Verb::Reopen
            | Verb::LogLevel { .. } => Some(STATUS_LIMIT),
            Verb::Reload { .. } => Some(RELOAD_LIMIT),
            Verb::Start(_) | Verb::Stop(_) | Verb::Restart(_) => None,
        }
    }

    fn form(&self) -> Form {
        match self {
            Verb::Status { json: true, .. }
            | Verb::Logs(_)
            | Verb::Names
            | Verb::Reopen
            | Verb::LogLevel { .. }
            | Verb::Reload { json: true, .. } => Form::Json,
            Verb::Health => Form::Health,
            Verb::Status { json: false, .. }
            | Verb::Reload { json: false, .. }
            | Verb::Start(_)
            | Verb::Stop(_)
            | Verb::Restart(_) => Form::Table(look()),
        }
    }
}

/// Runs one verb; returns the exit code.
pub fn run(arguments: &Arguments) -> u8 {
    // Not read by clap, whose usage lines would ask for `--socket` wherever the variable is set.
    let variable = || env::var_os("MUSTERD_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = arguments.socket.clone().or_else(variable);
    let request = arguments.verb.request();
    let form = arguments.verb.form();
    let place = client::Where::find(named);
    let shown = match &arguments.verb {
        Verb::Logs(options) => logs::run(&place, options, &mut io::stdout()),
        Verb::Names => names::run(&place),
        Verb::Status { .. }
        | Verb::Health
        | Verb::Start(_)
        | Verb::Stop(_)
        | Verb::Restart(_)
        | Verb::Reopen
        | Verb::LogLevel { .. }
        | Verb::Reload { .. } => match client::ask(&place, &request, arguments.verb.limit()) {
            Ok(response) => answer::show(&request, &response, form),
            Err(failure) => {
                let code = answer::unanswered(form);
                Shown { errors: vec![failure.to_string()], code, ..Shown::default() }
            }
        },
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
