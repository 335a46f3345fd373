//! Makes the environment of a command, anew at each start: files and secrets may have changed. Starts nothing.
//!
//! From the bottom: what is inherited, what follows the user, the files, what is set, the words of the command,
//! the mark, what the caller adds. No error tells a value.

use std::{
    collections::BTreeMap,
    env,
    ffi::{CStr, CString, OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::fs::OFlags;

use super::{
    env_file,
    identity::Login,
    secret::{Entry, HoldsNul, Secret},
    small_file,
    spawn_error::{Refusal, Stage},
};
use crate::{
    config::{Command, Environment, Inherit, Service, Template, TemplatePart, Variable},
    text::{printable, reason},
};

/// What is meant for musterd itself and nobody else's business: its configuration, whom it may notify, and what it is to
/// another one.
const OWN_VARIABLES: [&str; 5] =
    ["MUSTERD_SET", PROBE_MARK, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Tells a process which service it belongs to; also the mark by which it is found again.
pub(super) const MARK: &str = "MUSTERD_SERVICE";

/// Tells a process that it probes this service: it and what it leaves are nobody's main process.
pub(super) const PROBE_MARK: &str = "MUSTERD_PROBE";

/// What a process is to its service: the variable that holds the service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It may be the service (`MUSTERD_SERVICE`).
    Service,
    /// It only looks at the service (`MUSTERD_PROBE`).
    Probe,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Mark::Service => MARK,
            Mark::Probe => PROBE_MARK,
        }
    }
}

/// Where programs are searched without a PATH, and what a service without one is given: as in a container
/// whose image sets none.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an inherited environment says of musterd's own user.
const USER_VARIABLES: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

/// Secrets are keys and passwords, files of variables some lines; more than this is another file.
const LONGEST: u64 = 1 << 20;

/// musterd's environment: each variable's name, and `NAME=value`.
#[derive(Debug)]
pub(super) struct Own(Vec<(OsString, CString)>);

/// The environment of one command.
#[derive(Debug)]
pub(super) struct Variables<'a> {
    inherited: Vec<&'a (OsString, CString)>,
    /// The variables that musterd's own environment has not, or has otherwise.
    set: BTreeMap<OsString, Entry>,
}

/// Whose environment it is.
pub(super) struct Owner<'a> {
    pub(super) service: &'a Service,
    /// What the environment says of the user, if he is another than musterd's.
    pub(super) login: Option<&'a Login>,
    pub(super) command: &'a Command,
    pub(super) mark: Mark,
    /// What the caller adds, over all else.
    pub(super) extra: &'a [(&'a str, String)],
}

impl Own {
    /// musterd's environment as it is now.
    pub(super) fn read() -> Self {
        let variables = env::vars_os().filter(|(name, _)| !OWN_VARIABLES.iter().any(|own| name == own));
        let text =
            |name: &OsStr, value: &OsStr| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat());
        Self(variables.filter_map(|(name, value)| Some((name.clone(), text(&name, &value).ok()?))).collect())
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| own == name).map(value)
    }

    /// The environment of a command.
    ///
    /// # Errors
    /// A file cannot be read or understood, or a variable has no value.
    pub(super) fn variables(&self, owner: &Owner<'_>) -> Result<Variables<'_>, Refusal> {
        let Owner { service, login, command, mark, extra } = *owner;
        let Environment { inherit, unset, files, set } = &service.environment;
        let is_unset = |name: &OsStr| unset.iter().any(|unset| name == OsStr::new(unset));
        let follows_user = |name: &OsStr| login.is_some() && USER_VARIABLES.iter().any(|own| name == *own);
        let is_inherited = |name: &OsStr| match inherit {
            Inherit::All => !is_unset(name),
            Inherit::None => false,
            Inherit::Only(names) => names.iter().any(|wanted| name == OsStr::new(wanted)) && !is_unset(name),
        };
        let mut variables = Variables {
            inherited: self.0.iter().filter(|(name, _)| is_inherited(name) && !follows_user(name)).collect(),
            set: BTreeMap::new(),
        };
        if let Some(login) = login {
            let of_user = [("HOME", Some(&login.home)), ("SHELL", Some(&login.shell))];
            let named = [("USER", login.name.as_ref()), ("LOGNAME", login.name.as_ref())];
            for (name, value) in of_user.into_iter().chain(named) {
                if let Some(value) = value.filter(|_| !is_unset(OsStr::new(name))) {
                    variables.put(name, value.as_bytes())?;
                }
            }
        }
        let from_files = read_files(files)?;
        let templates = set.iter().map(|(name, value)| {
            let entry = match value {
                Variable::Text(template) => self.expanded(name, template, &from_files),
                Variable::File(path) => secret(name, path),
            };
            Ok((OsString::from(name), entry?))
        });
        // Made before the files' variables, which they refer to, are given away.
        let templates: Vec<_> = templates.collect::<Result<_, Refusal>>()?;
        variables.set.extend(from_files);
        variables.set.extend(templates);
        for (name, value) in &command.environment {
            variables.put(name, value.as_bytes())?;
        }
        variables.put(mark.name(), service.name.as_str().as_bytes())?;
        for (name, value) in extra {
            variables.put(name, value.as_bytes())?;
        }
        if variables.get("PATH").is_none() {
            variables.put("PATH", DEFAULT_PATH.as_bytes())?;
        }
        Ok(variables)
    }

    fn expanded(
        &self,
        name: &str,
        template: &Template,
        files: &BTreeMap<OsString, Entry>,
    ) -> Result<Entry, Refusal> {
        let parts = template.parts.iter().map(|part| match part {
            TemplatePart::Text(text) => Ok(text.as_bytes()),
            TemplatePart::Variable { name: wanted, default } => {
                let found = files.get(OsStr::new(wanted)).map(Entry::value).or_else(|| self.get(wanted));
                let default = default.as_ref().map(String::as_bytes);
                found.filter(|value| !value.is_empty()).or(default).ok_or_else(|| {
                    let reason = format!("{wanted:?} is unset or empty, and has no default");
                    Refusal::new(Stage::Environment, format_args!("set variable {name:?}"), reason)
                })
            }
        });
        let parts: Vec<&[u8]> = parts.collect::<Result<_, _>>()?;
        entry(name, &parts)
    }
}

impl Variables<'_> {
    fn put(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        self.set.insert(OsString::from(name), entry(name, &[value])?);
        Ok(())
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let inherited = || self.inherited.iter().find(|(own, _)| own == name).map(|&own| value(own));
        self.set.get(OsStr::new(name)).map(Entry::value).or_else(inherited)
    }

    /// All of them, as execve(2) takes them.
    pub(super) fn texts(&self) -> Vec<&CStr> {
        let inherited = self.inherited.iter().filter(|(name, _)| !self.set.contains_key(name));
        inherited.map(|(_, text)| text.as_c_str()).chain(self.set.values().map(Entry::text)).collect()
    }
}

fn value((name, text): &(OsString, CString)) -> &[u8] {
    text.to_bytes().get(name.len() + 1..).unwrap_or_default()
}

fn entry(name: &str, value: &[&[u8]]) -> Result<Entry, Refusal> {
    Entry::new(name.as_bytes(), value).map_err(|HoldsNul| {
        Refusal::new(Stage::Environment, format_args!("set variable {name:?}"), "it holds a NUL byte")
    })
}

fn read_files(paths: &[impl AsRef<Path>]) -> Result<BTreeMap<OsString, Entry>, Refusal> {
    let mut variables = BTreeMap::new();
    for path in paths.iter().map(AsRef::as_ref) {
        let shown = printable(&path.to_string_lossy());
        let text = read(path).map_err(|reason| {
            Refusal::new(Stage::Environment, format_args!("read variables from {shown}"), reason)
        })?;
        let read = env_file::parse(&text).map_err(|env_file::BadLine { number, reason }| {
            Refusal::new(Stage::Environment, format_args!("read variables from {shown}:{number}"), reason)
        })?;
        variables.extend(read);
    }
    Ok(variables)
}

/// The content of a file, without one newline at its end.
fn secret(name: &str, path: &Path) -> Result<Entry, Refusal> {
    let refusal = |reason: String| {
        let shown = printable(&path.to_string_lossy());
        let subject = format_args!("read {shown} for variable {name:?}").to_string();
        Refusal::new(Stage::Environment, subject, reason)
    };
    let text = read(path).map_err(refusal)?;
    let value = text.strip_suffix(b"\n").unwrap_or(&text);
    Entry::new(name.as_bytes(), &[value]).map_err(|HoldsNul| refusal("it holds a NUL byte".to_owned()))
}

fn read(path: &Path) -> Result<Secret, String> {
    match small_file::read(path, LONGEST, OFlags::empty()) {
        Ok((text, _)) => Ok(Secret::new(text)),
        Err(error) => Err(reason(&error)),
    }
}
