//! What `match` holds: how a service's process is told from all others. Looks at no process.

use std::{fmt, path::PathBuf};

/// Which process is the service's: all that is given must hold, and what is not given is not demanded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// The process' name (see `supervisor::matching`). Where nothing at all is given it is the basename of the
    /// start command; where only other fields are given, any name will do.
    pub name: Option<String>,
    /// Whether the name was given, not taken from the start command.
    pub explicit: bool,
    /// What is found in the arguments, joined by single blanks.
    pub cmdline: Option<Regex>,
    /// The executable's path; a symbolic link stands for what it leads to.
    pub exe: Option<PathBuf>,
    /// The real or effective user.
    pub user: Option<User>,
    /// The file that holds the PID. It must have been written when the process had been started already.
    pub pidfile: Option<PathBuf>,
}

impl Match {
    /// A match that was given as this name alone.
    pub fn named(name: impl Into<String>) -> Self {
        Match { name: Some(name.into()), explicit: true, ..Match::default() }
    }

    /// The match of a service that gives none: the basename of its start command.
    pub fn by_default(name: impl Into<String>) -> Self {
        Match { explicit: false, ..Match::named(name) }
    }

    /// Whether the users of processes must be known: the user is given, or a pidfile, which must be of that user.
    pub fn needs_users(&self) -> bool {
        self.user.is_some() || self.pidfile.is_some()
    }

    /// Whether nothing but a name is demanded.
    pub fn is_name_only(&self) -> bool {
        let Match { name: _, explicit: _, cmdline, exe, user, pidfile } = self;
        cmdline.is_none() && exe.is_none() && user.is_none() && pidfile.is_none()
    }
}

impl fmt::Display for Match {
    /// The name, or what is given as in the configuration: `{ name = "java", user = "app" }`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Match { name, explicit: _, cmdline, exe, user, pidfile } = self;
        if let (Some(name), true) = (name, self.is_name_only()) {
            return write!(f, "{name:?}");
        }
        let fields: Vec<String> = [
            name.as_ref().map(|name| format!("name = {name:?}")),
            cmdline.as_ref().map(|cmdline| format!("cmdline = {:?}", cmdline.as_str())),
            exe.as_ref().map(|exe| format!("exe = {exe:?}")),
            user.as_ref().map(|user| format!("user = {user}")),
            pidfile.as_ref().map(|pidfile| format!("pidfile = {pidfile:?}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        write!(f, "{{ {} }}", fields.join(", "))
    }
}

/// A user, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// By name: looked up in /etc/passwd when it is needed, since a service may make its user itself.
    Name(String),
    /// By user ID.
    Id(u32),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Name(name) => write!(f, "{name:?}"),
            User::Id(id) => write!(f, "{id}"),
        }
    }
}

/// A regular expression, with the syntax of the `regex` crate; its classes (`\w`) are those of ASCII. A search
/// takes time in proportion to the text.
#[derive(Clone, Debug)]
pub struct Regex(regex_lite::Regex);

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        regex_lite::Regex::new(text).map(Self).map_err(|error| error.to_string())
    }

    /// Whether it is found anywhere in the text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_shown_as_it_is_written() {
        assert_eq!(Match::named("java").to_string(), "\"java\"");
        let all = Match {
            cmdline: Regex::parse("-jar \\S+").ok(),
            exe: Some("/usr/bin/java".into()),
            user: Some(User::Id(1000)),
            pidfile: Some("/run/app.pid".into()),
            ..Match::named("java")
        };
        assert_eq!(
            all.to_string(),
            "{ name = \"java\", cmdline = \"-jar \\\\S+\", exe = \"/usr/bin/java\", user = 1000, pidfile = \"/run/app.pid\" }"
        );
        let user = Match { user: Some(User::Name("app".to_owned())), ..Match::default() };
        assert_eq!(user.to_string(), "{ user = \"app\" }");
    }

    #[test]
    fn an_expression_is_searched_for_and_compared_as_text() {
        let regex = Regex::parse("b+").unwrap();
        assert!(regex.is_in("abbc") && !regex.is_in("ac"));
        assert_eq!(Regex::parse("b+"), Ok(regex));
        assert!(Regex::parse("(").is_err());
    }
}
