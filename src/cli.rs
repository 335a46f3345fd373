//! The command line: what is asked for, and by which exit code it is answered. Does none of it.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use clap::{Args, CommandFactory, Parser, error::ErrorKind};

use crate::{
    config::{self, Config, Report, Sources},
    ctl,
    linux::{manager, ordinary, plan, setup},
    probe,
};

/// Misuse, or a configuration with errors; also what clap exits with.
const MISUSE: u8 = 2;

const USAGE: &str = "musterd [OPTIONS] [COMMAND]...\n       musterd check [OPTIONS] [COMMAND]...\n       musterd plan [OPTIONS] [COMMAND]...\n       \
                     musterd ctl VERB ...\n       musterd probe URL\n       musterd schema";

const HELP: &str = "\
Subcommands (as the first word; `musterd -- check` runs a program named check):
  check   Validate; print the merged configuration, with where each value is from
  plan    Tell what would be adopted and what started, as things are now; starts nothing
  ctl     Talk to a running manager; see musterd ctl --help
  probe   Ask an address once whether somebody answers; see musterd probe --help
  schema  Print the JSON Schema of a configuration file, for editors

Environment:
  MUSTERD_CONFIG  Configuration files, separated by `:`, where --config is not given
  MUSTERD_SET     Lines of KEY=VALUE, as of --set
  MUSTERD_SOCKET  The control socket, where --socket is not given

Exit codes:
  0  The shutdown that was asked for is done; for check, the configuration is valid
  1  What check has to say could not be written
  2  Misuse, a configuration with errors, nothing to manage, or musterd could not begin (another one
     manages already); nothing was started
  With --main, the code of its command when that has ended

Example:
  musterd --set services.sshd.interval=5s \"/usr/sbin/sshd\" \"/etc/init.d/apache2 start\"";

const CHECK_HELP: &str = "\
Exit codes:
  0  The configuration is valid
  2  It is not, and every error was told

Example:
  musterd check --config web.toml --set services.web.interval=5s";

const PLAN_HELP: &str = "\
For each service: `adopt` (its process is there, by the rule told), `start`, or `leave`. Services are planned as
if all that they come after were there. Neither starts nor signals anything.

Exit codes:
  0  This is the plan
  1  The processes cannot be read, or the plan could not be written
  2  The configuration has errors, and every one was told

Example:
  musterd plan --config web.toml \"/usr/sbin/sshd\"";

const ABOUT: &str = "\
Calls the roll of a container's processes and starts whoever is missing

Each COMMAND is one service: the command and its arguments as one argument. Services come from the
configuration files too; a COMMAND named as one of those replaces its start.";

/// `musterd …`
#[derive(Debug, Parser)]
#[command(name = "musterd", version, about = ABOUT, override_usage = USAGE, after_help = HELP)]
struct Manage {
    #[command(flatten)]
    options: Options,
}

/// Validate; print the merged configuration, with where each value is from
#[derive(Debug, Parser)]
#[command(name = "musterd", bin_name = "musterd check", no_binary_name = true, version, after_help = CHECK_HELP)]
struct Check {
    #[command(flatten)]
    options: Options,
}

/// Tell what would be adopted and what started, as things are now; starts nothing
#[derive(Debug, Parser)]
#[command(name = "musterd", bin_name = "musterd plan", no_binary_name = true, version, after_help = PLAN_HELP)]
struct Plan {
    #[command(flatten)]
    options: Options,
    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
}

/// Print the JSON Schema of a configuration file, for editors
#[derive(Debug, Parser)]
#[command(name = "musterd", bin_name = "musterd schema", no_binary_name = true, version)]
struct Schema {}

/// Talk to a running manager
#[derive(Debug, Parser)]
#[command(name = "musterd", bin_name = "musterd ctl", no_binary_name = true, version)]
struct Ctl {
    #[command(flatten)]
    arguments: ctl::Arguments,
}

/// Ask an address once whether somebody answers
#[derive(Debug, Parser)]
#[command(name = "musterd", bin_name = "musterd probe", no_binary_name = true, version)]
struct Probe {
    #[command(flatten)]
    arguments: probe::Arguments,
}

/// What a configuration is made of.
#[derive(Debug, Args)]
struct Options {
    /// Read this file; repeatable, later files win [default: /etc/musterd.toml]
    #[arg(short, long, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// Manage these of the configured services only
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Manage the configured services without these
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    without: Vec<String>,
    /// Override one value, as services.web.interval=5s; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The control socket [default: musterd.sock in /run, $XDG_RUNTIME_DIR or /tmp]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// The least important message told: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Besides the services, run this with the terminal and stdin; all ends when it ends
    #[arg(long, value_name = "COMMAND")]
    main: Option<String>,
    /// A service: the command and its arguments as one argument
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    commands: Vec<String>,
}

/// Does what the arguments (the first is the program's name) ask for; returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    match parse(arguments.into_iter().collect()) {
        Ok(Asked::Manage(options)) => {
            setup::keep_signals();
            let sources = sources(options);
            match config::load(&sources) {
                Ok((config, provenance)) => manager::run(config, &provenance, sources),
                Err(report) => refuse(&report, "; nothing was started"),
            }
        }
        Ok(Asked::Check(options)) => match config::load(&sources(options)) {
            Ok((config, provenance)) => {
                warn(&config);
                print(&provenance.to_string())
            }
            Err(report) => refuse(&report, ""),
        },
        Ok(Asked::Plan { options, json }) => match config::load(&sources(options)) {
            Ok((config, _)) => {
                warn(&config);
                plan(&config, json)
            }
            Err(report) => refuse(&report, ""),
        },
        Ok(Asked::Schema) => print(&config::json_schema()),
        Ok(Asked::Ctl(arguments)) => ctl::run(&arguments),
        Ok(Asked::Probe(arguments)) => probe::run(arguments),
        Err(error) => {
            // Where the message cannot be written, the exit code still tells.
            let _ = error.print();
            u8::try_from(error.exit_code()).unwrap_or(MISUSE)
        }
    }
}

#[derive(Debug)]
enum Asked {
    Manage(Options),
    Check(Options),
    Plan { options: Options, json: bool },
    Ctl(ctl::Arguments),
    Probe(probe::Arguments),
    Schema,
}

/// The first word that is no option says what is asked for. clap's own subcommands would also be found
/// behind a COMMAND, and would not take the options before them.
fn parse(arguments: Vec<OsString>) -> Result<Asked, clap::Error> {
    let subcommand = |at: usize, name: &str| arguments.get(at).is_some_and(|word| word == name);
    if subcommand(1, "ctl") {
        return Ctl::try_parse_from(&arguments[2..]).map(|ctl| Asked::Ctl(ctl.arguments));
    }
    if subcommand(1, "probe") {
        return Probe::try_parse_from(&arguments[2..]).map(|probe| Asked::Probe(probe.arguments));
    }
    if subcommand(1, "check") {
        return parse_check(arguments, 1);
    }
    if subcommand(1, "plan") {
        return parse_plan(arguments, 1);
    }
    if subcommand(1, "schema") {
        return Schema::try_parse_from(&arguments[2..]).map(|Schema {}| Asked::Schema);
    }
    let options = Manage::try_parse_from(&arguments)?.options;
    let first = arguments.len() - options.commands.len();
    let escaped = arguments.get(first.saturating_sub(1)).is_some_and(|word| word == "--");
    match options.commands.first().map(String::as_str) {
        Some("check") if !escaped => parse_check(arguments, first),
        Some("plan") if !escaped => parse_plan(arguments, first),
        Some("ctl") if !escaped => {
            let message = "options of `ctl` come after it: musterd ctl --socket PATH status\n";
            Err(clap::Error::raw(ErrorKind::ArgumentConflict, message))
        }
        Some("probe") if !escaped => {
            let message = "options of `probe` come after it: musterd probe --timeout 5s URL\n";
            Err(clap::Error::raw(ErrorKind::ArgumentConflict, message))
        }
        Some("schema") if !escaped => {
            let message = "`schema` comes first and takes no options of others: musterd schema\n";
            Err(clap::Error::raw(ErrorKind::ArgumentConflict, message))
        }
        Some(_) | None => Ok(Asked::Manage(options)),
    }
}

/// Options before and behind the word `check` are its own.
fn parse_check(mut arguments: Vec<OsString>, at: usize) -> Result<Asked, clap::Error> {
    arguments.remove(at);
    Check::try_parse_from(&arguments[1..]).map(|check| Asked::Check(check.options))
}

/// As with `check`.
fn parse_plan(mut arguments: Vec<OsString>, at: usize) -> Result<Asked, clap::Error> {
    arguments.remove(at);
    Plan::try_parse_from(&arguments[1..]).map(|Plan { options, json }| Asked::Plan { options, json })
}

/// The whole command line as one tree, for manual pages and completions: nothing is parsed by it (see `parse`).
pub fn tree() -> clap::Command {
    Manage::command().subcommands([
        Check::command().name("check"),
        Plan::command().name("plan"),
        Ctl::command().name("ctl").subcommand_value_name("VERB"),
        Probe::command().name("probe"),
        Schema::command().name("schema"),
    ])
}

fn sources(options: Options) -> Sources {
    Sources {
        files: options.config,
        set: options.set,
        only: options.only,
        without: options.without,
        socket: options.socket,
        log_level: options.log_level,
        commands: options.commands,
        main: options.main,
        ordinary: ordinary::of_this_process(),
        is_interactive: io::stdin().is_terminal(),
        ..Sources::of_this_process()
    }
}

/// Tells all that is wrong.
fn refuse(report: &Report, consequence: &str) -> u8 {
    let text = format!("{report}musterd: {}{consequence}\n", report.count());
    // Where the report cannot be written, the exit code still tells.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    MISUSE
}

/// Tells what would be done.
fn plan(config: &Config, json: bool) -> u8 {
    match plan::plan(config) {
        Ok(plan) => {
            let warnings: String =
                plan.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            // Where they cannot be written, the plan still can.
            let _ = io::stderr().lock().write_all(warnings.as_bytes());
            print(&if json { plan.json() } else { plan.table() })
        }
        Err(error) => {
            // Where it cannot be told, the exit code still tells.
            let _ = writeln!(io::stderr(), "musterd: {error}");
            1
        }
    }
}

/// Tells what is probably not meant.
fn warn(config: &Config) {
    let text: String = config.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    // Where it cannot be written, what was asked for still can.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Prints to stdout; a reader that has enough (`musterd check | head`) is no error.
fn print(text: &str) -> u8 {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            // Where nothing can be written at all, the exit code still tells.
            let _ = writeln!(io::stderr(), "musterd: cannot write to stdout: {error}");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked, clap::Error> {
        parse(std::iter::once("musterd").chain(words.iter().copied()).map(OsString::from).collect())
    }

    fn managed(words: &[&str]) -> Options {
        match asked(words) {
            Ok(Asked::Manage(options)) => options,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn options_come_before_commands() {
        let options = managed(&["--set", "a=b", "-c", "x", "/usr/sbin/sshd", "--only", "web"]);
        assert_eq!(options.set, ["a=b"]);
        assert_eq!(options.commands, ["/usr/sbin/sshd", "--only", "web"]);
        assert_eq!(managed(&["nginx", "-g", "daemon off;"]).commands, ["nginx", "-g", "daemon off;"]);
        assert_eq!(managed(&["--", "check"]).commands, ["check"]);
        assert_eq!(managed(&["sshd", "check"]).commands, ["sshd", "check"]);
        assert_eq!(managed(&["check this"]).commands, ["check this"]);
        assert_eq!(managed(&["--only", "a,b", "--only", "c"]).only, ["a", "b", "c"]);
    }

    #[test]
    fn check_is_the_first_word_only() {
        for words in [&["check", "-c", "x", "cmd"][..], &["-c", "x", "check", "cmd"]] {
            match asked(words) {
                Ok(Asked::Check(options)) => {
                    assert_eq!(options.config, [PathBuf::from("x")]);
                    assert_eq!(options.commands, ["cmd"]);
                }
                other => panic!("{words:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_schema_is_asked_for_alone() {
        assert!(matches!(asked(&["schema"]), Ok(Asked::Schema)));
        assert!(asked(&["schema", "x"]).is_err() && asked(&["-c", "x", "schema"]).is_err());
        assert_eq!(managed(&["--", "schema"]).commands, ["schema"]);
        assert_eq!(managed(&["--main", "bash -l", "sshd"]).main.as_deref(), Some("bash -l"));
        assert!(asked(&["--main", "a", "--main", "b"]).is_err());
    }

    #[test]
    fn misuse_exits_with_two() {
        for words in [
            &["--intervall=5"][..],
            &["--set"],
            &["--socket", "x", "ctl"],
            &["check", "--nope"],
            &["plan", "--nope"],
            &["probe"],
            &["probe", "https://web/"],
            &["--socket", "x", "probe", "tcp://web:80"],
        ] {
            assert_eq!(asked(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
        assert_eq!(asked(&["--version"]).unwrap_err().exit_code(), 0);
    }
}
