//! The configuration: parsed once, into types that cannot be wrong. Starts nothing.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

mod address;
mod after;
mod build;
mod choices;
mod command;
mod commands;
mod environment;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod identity;
mod json_schema;
mod keys;
mod limits;
mod load;
mod log;
mod matching;
mod ordinary;
mod origin;
mod overrides;
mod parse;
#[cfg(test)]
mod properties;
mod provenance;
mod reach;
mod readiness;
mod report;
mod schema;
mod service;
mod shell;
mod surroundings;
mod template;
mod tree;
mod unquoted;
mod validate;
mod value;
mod view;
mod warnings;
mod words;
mod written;

pub use choices::parse_signal;
pub use json_schema::json_schema;
pub(crate) use limits::{resource_name, resources};
pub use load::{Sources, Variables, load, socket};
pub use log::{Destination, LogFile, Logging, Overflow};
pub use matching::{Match, Regex, User};
pub use ordinary::Ordinary;
pub use origin::{Origin, SourceFile};
pub use provenance::Provenance;
pub use reach::{Reach, manager_reach, service_reach};
pub use report::{Problem, Report};
pub use schema::markdown;
pub use service::{
    Backoff, Check, CheckRule, Command, Guard, Kind, Probe, Ready, ReadyRule, Remedy, Restart, Service,
    StartLimit,
};
pub(crate) use shell::MASK;
pub use surroundings::{
    Capability, Environment, Group, Identity, Inherit, Limit, Template, TemplatePart, Variable,
};
pub(crate) use words::quote;
pub use written::{Difference, Written};

/// Everything that musterd was told, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// What concerns musterd itself.
    pub manager: Manager,
    /// The services that were chosen, in the order of the files, then of the commands.
    pub services: Vec<Service>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
}

/// The `[manager]` table.
#[derive(Clone, Debug)]
pub struct Manager {
    /// How long all of the shutdown may take.
    pub shutdown_timeout: Duration,
    /// The control socket; `None`: `musterd.sock` in the first writable of /run, $XDG_RUNTIME_DIR, /tmp.
    pub socket: Option<PathBuf>,
    /// Who may ask everything over the control socket, besides root and musterd's own user.
    pub allow_users: Vec<User>,
    /// Who may ask there what changes nothing.
    pub observers: Vec<User>,
    /// The form of the output.
    pub log_format: LogFormat,
    /// Which of musterd's own messages are told.
    pub log_level: LogLevel,
    /// Whether each line of text begins with its time.
    pub log_times: bool,
}

/// The form of musterd's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important message that is still told.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What went wrong and needs somebody.
    Error,
    /// What went wrong and was dealt with.
    Warn,
    /// Every decision.
    #[default]
    Info,
    /// What led to the decisions.
    Debug,
    /// Every event.
    Trace,
}

/// A service's name: not empty, printable, without blanks, `/`, `=`, `,`, `*` or a leading `-`, and not `all`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// What stands for every service in the words of `ctl`.
    pub const ALL: &str = "all";

    /// The name, if services can have it.
    ///
    /// # Errors
    ///
    /// What a name must be.
    pub fn parse(name: &str) -> Result<Self, String> {
        if name == Self::ALL {
            return Err("must be another one: `ctl` takes it for every service".to_owned());
        }
        if !name.is_empty() && !name.starts_with('-') && name.chars().all(Self::allows) {
            Ok(Self(name.into()))
        } else {
            Err("must be printable, without blanks, `/`, `=`, `,`, `*` or a leading `-`".to_owned())
        }
    }

    /// Whether names can have this character.
    pub(crate) fn allows(c: char) -> bool {
        !c.is_control() && !c.is_whitespace() && !"/=,*".contains(c)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
