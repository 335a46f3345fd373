//! The words of the control socket: one JSON object a line, a request and then its response. Moves no bytes.
//! docs/protocol.md tells of them to whoever writes a client.

use std::{collections::BTreeSet, fmt};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::LogLevel;

mod changes;
mod status;
mod story;

pub use changes::{ChangeKind, Changes, Effect, KeyChange, ServiceChange};
pub use status::{Fact, Health, LogFailure, Status, Usage};
pub use story::{Cause, EVENTS_VERSION, ExitWords, Happening, LastExit, What};

/// The version of these words. One that only adds verbs, fields and results stays the same; where a word means something
/// else than before, it is another one.
pub const VERSION: u32 = 1;

/// How the refusal of a request that is not understood begins.
pub const MISUNDERSTOOD: &str = "cannot understand the request";

/// The longest request, in bytes with its newline: room for the names of a thousand services, and little
/// enough for each client to have one.
pub const MAX_REQUEST: usize = 64 * 1024;

/// As a name: every service.
pub const ALL: &str = "all";

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The state of the named services, of all without a name.
    Status {
        /// The services' names.
        #[serde(default)]
        names: Vec<String>,
        /// With what they take, as measured within the last second.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        measured: bool,
        /// With their `detail`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        detail: bool,
    },
    /// The story of one service.
    Why {
        /// The service's name.
        name: String,
    },
    /// What happened to the named services, to all and to musterd itself without a name, as much as fits into one answer.
    Events {
        /// The services' names.
        #[serde(default)]
        names: Vec<String>,
        /// Only what came after the answer whose `next` this is.
        #[serde(default)]
        after: u64,
        /// Where there is nothing: answers when there is, or when these services were removed: `no-such-service`.
        #[serde(default)]
        follow: bool,
    },
    /// The named services are wanted: answers when each runs or cannot be started.
    Start {
        /// The services' names.
        names: Vec<String>,
        /// False: answers at once.
        #[serde(default = "usual", skip_serializing_if = "is_usual")]
        wait: bool,
    },
    /// The named services are not wanted: answers when each has stopped, first those that come after others.
    Stop {
        /// The services' names.
        names: Vec<String>,
        /// False: answers at once.
        #[serde(default = "usual", skip_serializing_if = "is_usual")]
        wait: bool,
    },
    /// Stops and starts the named services: answers when each runs or cannot be started.
    Restart {
        /// The services' names.
        names: Vec<String>,
        /// False: answers at once.
        #[serde(default = "usual", skip_serializing_if = "is_usual")]
        wait: bool,
    },
    /// The named services read their own configuration anew, each as its `reload` or `reload-signal` says: answers when
    /// that is done. Refused, and nothing is done, where one of them cannot do it now.
    Reload {
        /// The services' names.
        names: Vec<String>,
        /// False: answers at once.
        #[serde(default = "usual", skip_serializing_if = "is_usual")]
        wait: bool,
    },
    /// Sends a signal to the main process of each named service. Refused, and none is sent, where one of them has none.
    Signal {
        /// The signal: `HUP`, `SIGHUP` or `1`.
        #[serde(with = "signal_words")]
        signal: Signal,
        /// The services' names.
        names: Vec<String>,
    },
    /// Looks at the process table and runs the health checks of the named services, of all without a name, now: answers
    /// with their states when that is done.
    Check {
        /// The services' names.
        #[serde(default)]
        names: Vec<String>,
    },
    /// Stops all services in order and ends musterd, as SIGTERM does: answers before that.
    Shutdown,
    /// The last lines of the named services, of all without a name, as many as fit into one answer.
    Logs {
        /// The services' names.
        #[serde(default)]
        names: Vec<String>,
        /// Only what came after the answer whose `next` this is.
        #[serde(default)]
        after: u64,
        /// Only so many lines, the last ones.
        #[serde(default)]
        lines: Option<u64>,
        /// Only lines that came then or later, RFC 3339 in UTC.
        #[serde(default)]
        since: Option<String>,
        /// Where there is nothing: answers when there is, or when these services were removed: `no-such-service`.
        #[serde(default)]
        follow: bool,
    },
    /// Opens the log files anew, after somebody has renamed them.
    Reopen,
    /// From now on messages of musterd's own are told that are at least so important.
    LogLevel {
        /// How important.
        level: LogLevel,
    },
    /// Reads the configuration again and does what it changes: answers when all is under way.
    #[serde(rename_all = "kebab-case")]
    ReloadConfiguration {
        /// Only tells what would change.
        #[serde(default)]
        dry_run: bool,
    },
}

impl Request {
    /// Asks for the states, as known without a look at the processes.
    pub fn status(names: Vec<String>) -> Self {
        Request::Status { names, measured: false, detail: false }
    }

    /// Reads one line; the error says what is wrong with it, for the one who sent it. Who does not say which version of
    /// the protocol he speaks is taken to speak this one.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let us = concat!("this is musterd ", env!("CARGO_PKG_VERSION"));
        let told = |error| format!("{MISUNDERSTOOD}: {error}; {us}, protocol {VERSION}");
        let mut fields: Map<String, Value> = serde_json::from_slice(line).map_err(told)?;
        if let Some(protocol) = fields.remove(PROTOCOL).filter(|protocol| *protocol != VERSION) {
            return Err(format!("{MISUNDERSTOOD}: it is of protocol {protocol}; {us}, protocol {VERSION}"));
        }
        serde_json::from_value(Value::Object(fields)).map_err(told)
    }

    /// The request as a line of JSON, with the version of the protocol.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }

    /// Whether it does more than to tell: what `manager.observers` may not ask.
    pub fn changes(&self) -> bool {
        match self {
            Request::Status { .. } | Request::Why { .. } | Request::Events { .. } | Request::Logs { .. } => {
                false
            }
            Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Signal { .. }
            | Request::Check { .. }
            | Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. }
            | Request::Shutdown => true,
        }
    }

    /// The verb, as it is written.
    pub fn verb(&self) -> String {
        let written = serde_json::to_value(self).unwrap_or_default();
        written["verb"].as_str().unwrap_or_default().to_owned()
    }

    /// The names as they were given.
    pub fn names(&self) -> &[String] {
        match self {
            Request::Status { names, .. }
            | Request::Start { names, .. }
            | Request::Stop { names, .. }
            | Request::Restart { names, .. }
            | Request::Reload { names, .. }
            | Request::Signal { names, .. }
            | Request::Check { names }
            | Request::Logs { names, .. }
            | Request::Events { names, .. } => names,
            Request::Why { name } => std::slice::from_ref(name),
            Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. }
            | Request::Shutdown => &[],
        }
    }

    /// The same request for services of these names.
    #[must_use]
    pub fn with_names(mut self, new: Vec<String>) -> Self {
        match &mut self {
            Request::Status { names, .. }
            | Request::Start { names, .. }
            | Request::Stop { names, .. }
            | Request::Restart { names, .. }
            | Request::Reload { names, .. }
            | Request::Signal { names, .. }
            | Request::Check { names }
            | Request::Logs { names, .. }
            | Request::Events { names, .. } => *names = new,
            // A story is of one service.
            Request::Why { name } => {
                if let Ok([one]) = <[String; 1]>::try_from(new) {
                    *name = one;
                }
            }
            Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. }
            | Request::Shutdown => {}
        }
        self
    }

    /// Which of the services in `known` are meant: their positions, each once, in ascending order.
    ///
    /// # Errors
    /// The response for the one who asked: a name that no service has, or no name where one is needed.
    pub fn choose(&self, known: &[&str]) -> Result<Vec<usize>, Response> {
        let names = self.names();
        let by_default = match self {
            Request::Status { .. }
            | Request::Check { .. }
            | Request::Logs { .. }
            | Request::Events { .. } => names.is_empty(),
            Request::Why { .. }
            | Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Signal { .. } => {
                if names.is_empty() {
                    return Err(Response::Refused { reason: "the request names no service".to_owned() });
                }
                false
            }
            Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. }
            | Request::Shutdown => false,
        };
        // As many as fit into a request are looked for among thousands of services: not each by each.
        let asked: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let all = by_default || asked.contains(ALL);
        let found: BTreeSet<&str> = known.iter().copied().filter(|name| asked.contains(name)).collect();
        let missing = names.iter().filter(|name| *name != ALL && !found.contains(name.as_str()));
        let missing: Vec<String> = missing.cloned().collect();
        if !missing.is_empty() {
            let known = known.iter().map(|&name| name.to_owned()).collect();
            return Err(Response::NoSuchService { names: missing, known });
        }
        Ok((0..known.len()).filter(|&at| all || found.contains(known[at])).collect())
    }
}

/// What the manager answers. A client ignores fields that it does not know, so that some can be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Response {
    /// The services asked for, in the order of the configuration.
    Services {
        /// Their states.
        services: Vec<Status>,
    },
    /// Names that no service has; nothing was done.
    NoSuchService {
        /// The names.
        names: Vec<String>,
        /// All the names there are, for a suggestion.
        known: Vec<String>,
    },
    /// Lines of the services asked for, in the order in which they came.
    Lines {
        /// The lines.
        lines: Vec<LogLine>,
        /// What to ask for next: what comes after this.
        next: u64,
        /// Whether there is more already.
        more: bool,
    },
    /// The story of a service.
    Story {
        /// How it is now.
        service: Box<Status>,
        /// What happened to it, in order, as far back as it is remembered.
        events: Vec<Happening>,
        /// How many earlier events are forgotten.
        forgotten: u64,
    },
    /// What happened, in order.
    Events {
        /// The version of their words.
        version: u32,
        /// The events.
        events: Vec<Happening>,
        /// What to ask for next: what comes after this.
        next: u64,
        /// How many events after the `after` of the request, of all services, are forgotten already.
        missed: u64,
        /// Whether there is more already.
        more: bool,
    },
    /// What the new configuration changes.
    Changes(Changes),
    /// The new configuration cannot be used; everything is as it was.
    WrongConfiguration {
        /// Every error with its place, as `musterd check` tells it.
        report: String,
        /// How many: `3 errors`.
        count: String,
    },
    /// It is done, and there is nothing to tell.
    Done,
    /// It was tried, and failed for these services.
    Failed {
        /// Each with the reason.
        failures: Vec<Failure>,
    },
    /// The request was not understood or cannot be served now.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Response {
    /// Reads one line.
    ///
    /// # Errors
    /// It is not in the words of this version: the manager is another musterd than this.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Spoken {
            protocol: Option<u32>,
        }
        let us = concat!("this musterd ", env!("CARGO_PKG_VERSION"));
        match serde_json::from_slice(line) {
            Ok(Spoken { protocol: Some(protocol) }) if protocol != VERSION => {
                Err(format!("it speaks protocol {protocol}, and {us} protocol {VERSION}"))
            }
            _ => serde_json::from_slice(line)
                .map_err(|error| format!("it speaks otherwise than {us}: {error}")),
        }
    }

    /// The response as a line of JSON, with the version of the protocol.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }
}

/// What could not be done for a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The service's name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A service's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateName {
    /// Not wanted.
    #[default]
    Stopped,
    /// Wanted, waits for what it comes after.
    Waiting,
    /// Start command running, or not ready yet.
    Starting,
    /// Main process there, and ready.
    Running,
    /// Running, its health check fails.
    Unhealthy,
    /// Stop signal or stop command given, or what a crash left behind is being ended.
    Stopping,
    /// Missing; started again when the back-off is over.
    Backoff,
    /// Ended, and not to be started again.
    Exited,
    /// Given up.
    Failed,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            StateName::Stopped => "stopped",
            StateName::Waiting => "waiting",
            StateName::Starting => "starting",
            StateName::Running => "running",
            StateName::Unhealthy => "unhealthy",
            StateName::Stopping => "stopping",
            StateName::Backoff => "backoff",
            StateName::Exited => "exited",
            StateName::Failed => "failed",
        })
    }
}

/// Where a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// The service's stdout.
    Stdout,
    /// The service's stderr.
    Stderr,
    /// musterd itself: what it decided about the service.
    Musterd,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it came, RFC 3339 in UTC.
    pub time: String,
    /// Whose it is.
    pub service: String,
    /// Where it is from.
    pub stream: LogStream,
    /// The service's main process then.
    pub pid: Option<i32>,
    /// The line without its newline; bytes that are not UTF-8 as `\xHH`.
    pub message: String,
    /// Whether the next line of the stream goes on with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// Whether a request waits, where it does not say.
fn usual() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_usual(wait: &bool) -> bool {
    *wait
}

/// A signal by its name or number.
mod signal_words {
    use nix::sys::signal::Signal;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::config::parse_signal;

    pub(super) fn serialize<S: Serializer>(signal: &Signal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(signal.as_str().trim_start_matches("SIG"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Signal, D::Error> {
        parse_signal(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The name of the version of the protocol among the fields.
const PROTOCOL: &str = "protocol";

/// Words with the version of the protocol behind them.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(flatten)]
    words: &'a T,
    protocol: u32,
}

fn to_line(words: &impl Serialize) -> Vec<u8> {
    // Cannot fail: serde_json refuses only foreign `Serialize` code and map keys that are not text.
    let mut line = serde_json::to_vec(&Line { words, protocol: VERSION }).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn status(given: &[&str]) -> Request {
        Request::status(names(given))
    }

    #[test]
    fn words_survive_the_way_there_and_back() {
        let request = Request::Restart { names: names(&["web", "db"]), wait: true };
        assert_eq!(request.to_line(), b"{\"verb\":\"restart\",\"names\":[\"web\",\"db\"],\"protocol\":1}\n");
        assert_eq!(Request::parse(&request.to_line()), Ok(request));
        assert_eq!(Request::parse(br#"{"verb":"status"}"#), Ok(status(&[])));
    }

    #[test]
    fn what_is_not_a_request_is_named() {
        for (line, told) in [
            (&br#"{"verb":"stauts"}"#[..], "unknown variant `stauts`"),
            (br#"{"verb":"stop","names":["a"],"force":true}"#, "unknown field `force`"),
            (br#"{"verb":"stop"}"#, "missing field `names`"),
            (br#"{"names":[]}"#, "missing field `verb`"),
            (br#"{"verb":"stop","names":"a"}"#, "invalid type: string \"a\""),
            (br#"{"verb":"status","protocol":2}"#, "it is of protocol 2; this is musterd 0.1.0, protocol 1"),
            (b"GET / HTTP/1.1", "expected value at line 1 column 1"),
            (b"\xff\xfe", "cannot understand the request"),
            (b"", "EOF while parsing"),
        ] {
            let error = Request::parse(line).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let deep = format!("{{\"names\":{}", "[".repeat(MAX_REQUEST));
        assert!(Request::parse(deep.as_bytes()).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn an_answer_of_another_version_is_not_taken_for_one_of_this() {
        let done = Response::Done.to_line();
        assert_eq!(done, b"{\"result\":\"done\",\"protocol\":1}\n");
        assert_eq!(Response::parse(&done), Ok(Response::Done));
        for (line, told) in [
            (
                &br#"{"result":"done","protocol":2}"#[..],
                "it speaks protocol 2, and this musterd 0.1.0 protocol 1",
            ),
            (br#"{"poem":true,"protocol":3}"#, "it speaks protocol 3, and"),
            (
                br#"{"result":"poem","protocol":1}"#,
                "it speaks otherwise than this musterd 0.1.0: unknown variant",
            ),
            (b"HTTP/1.1 400 Bad Request", "it speaks otherwise than this musterd 0.1.0: expected value"),
        ] {
            let error = Response::parse(line).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn names_are_chosen_in_the_order_of_the_configuration() {
        let known = ["db", "web", "mail"];
        let stop = |given: &[&str]| Request::Stop { names: names(given), wait: true }.choose(&known);
        assert_eq!(stop(&["web", "db", "web"]), Ok(vec![0, 1]));
        assert_eq!(stop(&["all"]), Ok(vec![0, 1, 2]));
        assert_eq!(status(&[]).choose(&known), Ok(vec![0, 1, 2]));
        assert_eq!(
            stop(&["all", "wbe"]),
            Err(Response::NoSuchService { names: names(&["wbe"]), known: names(&known) })
        );
        assert_eq!(stop(&[]), Err(Response::Refused { reason: "the request names no service".to_owned() }));
    }
}
