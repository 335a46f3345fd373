//! The one table of all keys: name, default, what is allowed, what it means. Reading, `musterd check`, the
//! suggestions for misspelt keys, `musterd schema` and the README's table come from it. Reads no file.

use std::{path::PathBuf, time::Duration};

use nix::sys::signal::Signal;

use super::{
    Capability, Command, Group, Inherit, Kind, LogFormat, LogLevel, Overflow, Regex, Remedy, Restart,
    Template, User, address, choices,
    command::Text,
    identity, limits,
    log::{self, To},
    parse,
    schema::{AnyKey, Form, Key},
    template,
    tree::Value,
};

/// Declares keys, and the table that lists them all.
macro_rules! keys {
    ($table:ident: $($key:ident: $type:ty = $name:literal, $default:expr, $form:expr, $allowed:literal, $meaning:literal, $parse:expr;)*) => {
        $(pub(crate) static $key: Key<$type> =
            Key { name: $name, default: $default, form: $form, allowed: $allowed, meaning: $meaning, parse: $parse };)*
        pub(crate) static $table: &[&dyn AnyKey] = &[$(&$key),*];
    };
}

const DURATION: fn(&Value) -> Result<Duration, String> = parse::duration;
const DESTINATIONS: Form = Form::OneOf(&["prefix", "raw", "file", "none"]);
const REMEDIES: Form = Form::OneOf(&["restart", "report"]);

keys! { MANAGER:
    INCLUDE: Vec<String> = "include", Some(r#"["/etc/musterd.d/*.toml"]"#), Form::Strings, "paths, `*` and `?` in the file's name",
        "drop-ins, in lexical order, after this file; the default is for the default file only", parse::strings;
    SHUTDOWN_TIMEOUT: Duration = "shutdown-timeout", Some("\"8s\""), Form::Duration, "duration, more than 0s",
        "all of the shutdown; must end inside the 10 s of `docker stop`", parse::positive_duration;
    SOCKET: PathBuf = "socket", None, Form::Text, "path of 107 bytes at most",
        "the control socket, in a file relative to the file; default: `musterd.sock` in the first writable of /run, $XDG_RUNTIME_DIR, /tmp", parse::path;
    ALLOW_USERS: Vec<User> = "allow-users", Some("[]"), Form::NamesOrNumbers, "user, or list of users",
        "who may ask everything of `ctl`, besides root and musterd's own user", identity::users;
    OBSERVERS: Vec<User> = "observers", Some("[]"), Form::NamesOrNumbers, "user, or list of users",
        "who may ask what changes nothing", identity::users;
    LOG_FORMAT: LogFormat = "log-format", Some("\"text\""), Form::OneOf(&["text", "json"]), "`text`, `json`",
        "the form of the output", choices::log_format;
    LOG_LEVEL: LogLevel = "log-level", Some("\"info\""), Form::OneOf(&["error", "warn", "info", "debug", "trace"]), "`error`, `warn`, `info`, `debug`, `trace`",
        "the least important of musterd's own messages that is told", choices::log_level;
    LOG_TIMES: bool = "log-times", Some("false"), Form::Boolean, "`true`, `false`",
        "whether each line of text begins with its time (RFC 3339, UTC); JSON always has it", parse::boolean;
}

keys! { SERVICE:
    KIND: Kind = "kind", Some("\"service\""), Form::OneOf(&["service", "task"]), "`service`, `task`",
        "a service is there as long as it is wanted; a task runs once to completion, before what comes after it", choices::kind;
    START: Text = "start", None, Form::Command, "command, or list of its words",
        "what starts the service; the only key without a default", parse::command;
    STOP: Text = "stop", None, Form::Command, "command, or list of its words",
        "what stops the service; default: `stop-signal`", parse::command;
    RELOAD: Text = "reload", None, Form::Command, "command, or list of its words",
        "what makes the service read its own configuration anew (`ctl reload NAME`); default: `reload-signal`", parse::command;
    SHELL: bool = "shell", None, Form::Boolean, "`true`, `false`",
        "whether `start`, `stop` and `reload`, where written as one string, are run by `/bin/sh -c`; default: where they need it",
        parse::boolean;
    MATCH_NAME: String = "match.name", None, Form::Text, "name of a process",
        "the name that its process answers to; `match = \"NAME\"` for short; default: the basename of `start`, or any where \
        another key of `match` is given (all that are given must hold)", parse::match_name;
    MATCH_CMDLINE: Regex = "match.cmdline", None, Form::Text, "regular expression",
        "is found in its process' arguments, joined by single blanks", parse::regex;
    MATCH_EXE: PathBuf = "match.exe", None, Form::Text, "absolute path",
        "its process' executable (through links); where that may not be read, the first argument", parse::absolute_path;
    MATCH_USER: User = "match.user", None, Form::NameOrNumber, "name in /etc/passwd, or user ID",
        "its process' real or effective user", identity::user;
    MATCH_PIDFILE: PathBuf = "match.pidfile", None, Form::Text, "absolute path",
        "holds its process' PID; written later than that was started, by root or by the process' user", parse::absolute_path;
    INTERVAL: Duration = "interval", Some("\"60s\""), Form::Duration, "duration, 100ms at least",
        "how long an absence that no event told of may last", parse::interval;
    AFTER: Vec<String> = "after", Some("[]"), Form::Strings, "service or address (`tcp://HOST:PORT`, `http://HOST/…`), or list of them",
        "starts once those are ready (a task: done; an address: it answers), stops before them", parse::strings;
    AUTOSTART: bool = "autostart", Some("true"), Form::Boolean, "`true`, `false`",
        "whether it is wanted from the beginning", parse::boolean;
    RESTART: Restart = "restart", Some("\"always\""), Form::OneOf(&["always", "on-failure", "never"]), "`always`, `on-failure`, `never`",
        "whether it is started again when it ended; a task runs again until it succeeds, but for `never`", choices::restart;
    SUCCESS_CODES: Vec<u8> = "success-exit-codes", Some("[0]"), Form::Integers(0, 255), "exit code from 0 to 255, or list of them",
        "what is no failure", parse::exit_codes;
    BACKOFF_INITIAL: Duration = "backoff.initial", Some("\"250ms\""), Form::Duration, "duration",
        "the pause before the second restart in a row (the first is immediate)", DURATION;
    BACKOFF_FACTOR: f64 = "backoff.factor", Some("2"), Form::Number(1.0), "number, 1 at least",
        "what each further pause is multiplied by", parse::factor;
    BACKOFF_MAX: Duration = "backoff.max", Some("\"1m\""), Form::Duration, "duration",
        "the longest pause; never more than `interval`", DURATION;
    STABLE_AFTER: Duration = "stable-after", Some("\"10s\""), Form::Duration, "duration",
        "after how long a run the back-off begins anew; `0s`: every restart is immediate", DURATION;
    START_LIMIT_STARTS: u32 = "start-limit.starts", None, Form::Integer(1, 4_294_967_295), "number, 1 at least",
        "after so many starts it is given up (`failed`); default: never", parse::count;
    START_LIMIT_WITHIN: Duration = "start-limit.within", Some("\"1m\""), Form::Duration, "duration, more than 0s",
        "the time in which these starts count", parse::positive_duration;
    ESSENTIAL: bool = "essential", Some("false"), Form::Boolean, "`true`, `false`",
        "whether the container ends, in order and with its exit code, when it ends for good", parse::boolean;
    START_TIMEOUT: Duration = "start-timeout", Some("\"90s\""), Form::Duration, "duration, more than 0s",
        "how long a start command or `reload` may work", parse::positive_duration;
    READY_EXEC: Command = "ready.exec", None, Form::Command, "command, or list of its words",
        "ready when this, run as the service, exits 0 within 5s (it is asked again until then); default of `ready`: when its main process exists", parse::probe_command;
    READY_TCP: String = "ready.tcp", None, Form::NameOrNumber, "`HOST:PORT`, or a port of 127.0.0.1",
        "ready when this accepts a connection", address::tcp;
    READY_HTTP: String = "ready.http", None, Form::Text, "`http://HOST[:PORT]/…`",
        "ready when this answers with a status of success", address::http;
    READY_LOG: Regex = "ready.log", None, Form::Text, "regular expression",
        "ready when this is found in a line of its output", parse::regex;
    READY_NOTIFY: bool = "ready.notify", None, Form::True, "`true`",
        "ready when it says so itself: `READY=1`, sd_notify(3)", parse::yes;
    READY_DELAY: Duration = "ready.delay", None, Form::Duration, "duration, more than 0s",
        "ready when its main process has existed for so long", parse::positive_duration;
    READY_TIMEOUT: Duration = "ready.timeout", Some("\"90s\""), Form::Duration, "duration, more than 0s",
        "how long that may take; then the start has failed", parse::positive_duration;
    LOG_TO: To = "log.to", Some("\"prefix\""), DESTINATIONS, "`prefix`, `raw`, `file`, `none`",
        "where its output goes: to musterd's own line by line with its name, the same with nothing in between, to `log.path`, \
        nowhere; `log = \"raw\"` for short", choices::destination;
    LOG_STDERR: To = "log.stderr", None, DESTINATIONS, "`prefix`, `raw`, `file`, `none`",
        "where its stderr goes; default: as `log.to`", choices::destination;
    LOG_PATH: PathBuf = "log.path", None, Form::Text, "path, in a file relative to the file",
        "the file of `file`", parse::path;
    LOG_STDERR_PATH: PathBuf = "log.stderr-path", None, Form::Text, "path, in a file relative to the file",
        "the file of its stderr; default: `log.path`", parse::path;
    LOG_MAX_SIZE: u64 = "log.max-size", Some("\"10MiB\""), Form::Size, "size (`10MiB`), or bytes",
        "a file that would become larger is renamed, and a new one begun", limits::size;
    LOG_KEEP: u32 = "log.keep", Some("5"), Form::Integer(0, 1000), "number from 0 to 1000",
        "how many old files are kept: `PATH.1`, the latest, and so on", log::keep;
    LOG_OVERFLOW: Overflow = "log.overflow", Some("\"hold\""), Form::OneOf(&["hold", "drop"]), "`hold`, `drop`",
        "while nobody reads musterd's output, the service waits, or its lines are dropped and counted", choices::overflow;
    LOG_MEMORY: u64 = "log.memory", Some("\"64KiB\""), Form::Size, "size, 64MiB at most, or bytes",
        "how much of its last lines is kept for `ctl logs`", log::memory;
    CHECK_EXEC: Command = "check.exec", None, Form::Command, "command, or list of its words",
        "healthy while this, run as the service, exits 0; default: nothing is checked", parse::probe_command;
    CHECK_TCP: String = "check.tcp", None, Form::NameOrNumber, "`HOST:PORT`, or a port of 127.0.0.1",
        "healthy while this accepts connections", address::tcp;
    CHECK_HTTP: String = "check.http", None, Form::Text, "`http://HOST[:PORT]/…`",
        "healthy while this answers with a status of success", address::http;
    CHECK_NOTIFY: bool = "check.notify", None, Form::True, "`true`",
        "healthy while it says so itself: `WATCHDOG=1`, sd_notify(3)", parse::yes;
    CHECK_EVERY: Duration = "check.every", Some("\"30s\""), Form::Duration, "duration, more than 0s",
        "the pause between two checks; with `check.notify` the longest silence", parse::positive_duration;
    CHECK_TIMEOUT: Duration = "check.timeout", Some("\"5s\""), Form::Duration, "duration, more than 0s",
        "how long a check may take; then it failed", parse::positive_duration;
    CHECK_RETRIES: u32 = "check.retries", Some("3"), Form::Integer(1, 4_294_967_295), "number, 1 at least",
        "so many failures in a row make it unhealthy", parse::count;
    CHECK_ON_FAILURE: Remedy = "check.on-failure", Some("\"restart\""), REMEDIES, "`restart`, `report`",
        "what is done then", choices::remedy;
    STOP_SIGNAL: Signal = "stop-signal", Some("\"TERM\""), Form::NameOrNumber, "signal from 1 to 31 (`TERM`, `SIGTERM`, `15`), no real-time one",
        "what asks the service to stop", choices::signal;
    STOP_TIMEOUT: Duration = "stop-timeout", Some("\"5s\""), Form::Duration, "duration",
        "how long it has to stop before it is killed", DURATION;
    RELOAD_SIGNAL: Signal = "reload-signal", None, Form::NameOrNumber, "signal as for `stop-signal`",
        "what tells its main process to read its configuration anew; default: none, then it cannot be told to", choices::signal;
    MEMORY_MAX: u64 = "memory-max.size", None, Form::Size, "size (`512MiB`, `1GiB`), or bytes",
        "the most memory of its main process and descendants together; `memory-max = \"512MiB\"` for short; default: no limit", limits::size;
    MEMORY_FOR: Duration = "memory-max.for", Some("\"0s\""), Form::Duration, "duration",
        "for so long it may be more", DURATION;
    MEMORY_ON_EXCESS: Remedy = "memory-max.on-excess", Some("\"restart\""), REMEDIES, "`restart`, `report`",
        "what is done then", choices::remedy;
    CPU_MAX: f64 = "cpu-max.percent", None, Form::Percentage, "percentage of one processor (`80%`, `250%`)",
        "the most processor time of its main process and descendants together; `cpu-max = \"80%\"` for short; default: no limit", limits::percentage;
    CPU_FOR: Duration = "cpu-max.for", Some("\"30s\""), Form::Duration, "duration",
        "for so long it may be more", DURATION;
    CPU_ON_EXCESS: Remedy = "cpu-max.on-excess", Some("\"restart\""), REMEDIES, "`restart`, `report`",
        "what is done then", choices::remedy;
    DIRECTORY: PathBuf = "directory", None, Form::Text, "absolute path",
        "where its commands run; default: musterd's own directory", parse::absolute_path;
    USER: User = "user", None, Form::NameOrNumber, "name in /etc/passwd, or user ID",
        "as whom its commands run; default: as musterd", identity::user;
    GROUP: Group = "group", None, Form::NameOrNumber, "name in /etc/group, or group ID",
        "the group that they run with; default: that of `user`", identity::group;
    GROUPS: Vec<Group> = "groups", None, Form::NamesOrNumbers, "group, or list of groups",
        "their supplementary groups; default: those of `user` in /etc/group", identity::groups;
    UMASK: u32 = "umask", None, Form::Octal, "octal digits in quotes (`\"027\"`)",
        "the permissions that files made by it do not get; default: musterd's own", identity::umask;
    NICE: i32 = "nice", None, Form::Integer(-20, 19), "number from -20 to 19",
        "how far it stands back for other processes; default: musterd's own", identity::nice;
    LIMIT: () = "limits.NAME", None, Form::Limit, "number, size (`1GiB`), `unlimited`, or `SOFT:HARD` of these",
        "a limit of getrlimit(2): `as`, `core`, `cpu` (s), `data`, `fsize`, `locks`, `memlock`, `msgqueue`, `nice`, `nofile`, \
        `nproc`, `rss`, `rtprio`, `rttime` (µs), `sigpending`, `stack`; sizes in bytes; default: the container's own", limits::any;
    OOM_SCORE_ADJ: i32 = "oom-score-adj", None, Form::Integer(-1000, 1000), "number from -1000 to 1000",
        "how willingly the kernel kills it when memory is out; default: as musterd", identity::oom_score_adj;
    CAPABILITIES: Vec<Capability> = "capabilities", None, Form::Strings, "list of names (`NET_BIND_SERVICE`)",
        "the capabilities that it keeps, `[]`: none; default: what its user has", identity::capabilities;
    NO_NEW_PRIVILEGES: bool = "no-new-privileges", Some("false"), Form::Boolean, "`true`, `false`",
        "whether its programs can gain none (set-user-ID bits, file capabilities)", parse::boolean;
    INHERIT_ENVIRONMENT: Inherit = "inherit-environment", Some("true"), Form::BooleanOrStrings, "`true`, `false`, or list of names",
        "which of musterd's own variables it gets", parse::inherit;
    UNSET_ENVIRONMENT: Vec<String> = "unset-environment", Some("[]"), Form::Strings, "name, or list of names",
        "of these variables none", parse::variable_names;
    ENV_FILE: Vec<PathBuf> = "env-file", Some("[]"), Form::Strings, "path, or list of paths",
        "files of `NAME=value` lines, read at each start; in a file relative to the file", parse::paths;
    ENVIRONMENT: Template = "environment.NAME", None, Form::Scalar, "text, integer or boolean",
        "a variable of its environment; `${OTHER}` and `${OTHER:-default}` stand for variables of musterd's or of `env-file`, `$${` for `${`", template::value;
    ENVIRONMENT_FILE: PathBuf = "environment.NAME.file", None, Form::Text, "absolute path",
        "a secret: what this file holds at each start, without the newline at its end; never shown", parse::absolute_path;
}
