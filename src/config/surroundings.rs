//! As whom, with which limits and in which environment a service's commands run, as types that cannot be wrong.
//! Reads nothing.

use std::{collections::BTreeMap, path::PathBuf};

use nix::sys::resource::Resource;

use super::User;

/// As whom commands run; what is not given is as musterd's own, or follows the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: Option<User>,
    /// The group; `None`: the user's own.
    pub group: Option<Group>,
    /// The supplementary groups; `None`: those of the user in /etc/group.
    pub groups: Option<Vec<Group>>,
}

/// A group, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// By name: looked up in /etc/group at each start.
    Name(String),
    /// By group ID.
    Id(u32),
}

/// What commands find in their environment: what is inherited, then the files, then what is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Which of musterd's own variables.
    pub inherit: Inherit,
    /// Of these none.
    pub unset: Vec<String>,
    /// Files of `NAME=value` lines, read at each start.
    pub files: Vec<PathBuf>,
    /// The variables that are set.
    pub set: BTreeMap<String, Variable>,
}

/// Which of musterd's own variables a service inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Inherit {
    /// Every one.
    #[default]
    All,
    /// None; PATH is still set to a default.
    None,
    /// Those of these names.
    Only(Vec<String>),
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Text, perhaps with references to other variables.
    Text(Template),
    /// A secret: what this file holds at each start, without a newline at its end. Never shown.
    File(PathBuf),
}

/// Text with references to variables: `${NAME}`, `${NAME:-default}`; `$${` stands for `${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What it is made of, in order.
    pub parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text as it is.
    Text(String),
    /// The value of a variable of musterd's environment or of the files.
    Variable {
        /// Its name.
        name: String,
        /// What stands for it where it is unset or empty; `None`: then the start fails.
        default: Option<String>,
    },
}

impl Template {
    /// Text without references.
    pub fn plain(text: impl Into<String>) -> Self {
        Template { parts: vec![TemplatePart::Text(text.into())] }
    }
}

/// A resource limit (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub resource: Resource,
    /// What counts now; `u64::MAX`: unlimited.
    pub soft: u64,
    /// How far it can be raised; `u64::MAX`: unlimited.
    pub hard: u64,
}

/// A capability by its number (capabilities(7), linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(pub u8);
