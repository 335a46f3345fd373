//! Builds the services from the merged tree, and checks what their values mean to each other. What is wrong
//! with a single value was reported before; such a value is passed over here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Backoff, Command, Environment, Manager, Match, Service, ServiceName, Template, Variable, after,
    command::Text,
    origin::Origin,
    report::Report,
    schema::{self, Key},
    tree::{Entry, Tree, Value},
};
use crate::text::printable;

/// One section of the tree, with what stands behind its keys where it says nothing itself.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    tree: &'a Tree,
    /// The service's name; `None`: the manager.
    service: Option<&'a str>,
}

impl<'a> View<'a> {
    /// A service: its own values, then `[defaults]`. A service's own value beats `[defaults]`, whichever
    /// layer either is in: who writes a value for one service means it.
    pub(crate) fn service(tree: &'a Tree, name: &'a str) -> Self {
        Self { tree, service: Some(name) }
    }

    /// The manager.
    pub(crate) fn manager(tree: &'a Tree) -> Self {
        Self { tree, service: None }
    }

    /// What a key holds.
    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        let (table, field) = key.split_once('.').map_or((None, key), |(table, field)| (Some(table), field));
        self.entry_at(table, field)
    }

    fn entry_at(&self, table: Option<&str>, field: &str) -> Option<&'a Entry> {
        let at = |section: &[&str]| {
            let path: Vec<&str> = section.iter().copied().chain(table).chain([field]).collect();
            self.tree.get(&path).filter(|entry| !matches!(entry.value, Value::Table))
        };
        match self.service {
            Some(name) => at(&["services", name]).or_else(|| {
                at(&["defaults"]).filter(|_| !schema::OWN_KEYS.contains(&table.unwrap_or(field)))
            }),
            None => at(&["manager"]),
        }
    }

    fn get<T>(&self, key: &Key<T>) -> Option<T> {
        self.entry(key.name).and_then(|entry| (key.parse)(&entry.value).ok())
    }

    /// The names of the variables of the environment, those of `[defaults]` first.
    pub(crate) fn variables(&self) -> Vec<&'a str> {
        let mut names = self.tree.fields(&["defaults", "environment"]);
        if let Some(service) = self.service {
            let own = self.tree.fields(&["services", service, "environment"]);
            let own: Vec<_> = own.into_iter().filter(|name| !names.contains(name)).collect();
            names.extend(own);
        }
        names
    }

    /// What a variable of the environment holds.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a Entry> {
        self.entry_at(Some("environment"), name)
    }

    fn command(&self, key: &Key<Text>) -> Option<Result<(Command, String), String>> {
        Some(self.get(key)?.parse(self.get(&schema::SHELL)))
    }

    /// The name that the service's process is known by, if that can be told.
    pub(crate) fn match_name(&self) -> Option<String> {
        self.get(&schema::MATCH_NAME).or_else(|| Some(self.command(&schema::START)?.ok()?.1))
    }

    /// Which process is the service's, whose start command has this basename.
    fn matching(&self, basename: String) -> Match {
        let name = self.get(&schema::MATCH_NAME);
        let given = Match {
            explicit: name.is_some(),
            name,
            cmdline: self.get(&schema::MATCH_CMDLINE),
            exe: self.get(&schema::MATCH_EXE),
            user: self.get(&schema::MATCH_USER),
            pidfile: self.get(&schema::MATCH_PIDFILE),
        };
        if given.name.is_none() && given.is_name_only() { Match::by_default(basename) } else { given }
    }
}

/// The control socket that is configured: in a file relative to the file, else to the directory.
pub(crate) fn socket(tree: &Tree, directory: &Path) -> Option<PathBuf> {
    let view = View::manager(tree);
    let path = view.get(&schema::SOCKET)?;
    Some(match &view.entry(schema::SOCKET.name)?.origin {
        Origin::File { file, span: _ } => directory.join(file.folder()).join(path),
        Origin::BuiltIn
        | Origin::Derived(_)
        | Origin::Variable { .. }
        | Origin::Argument(_)
        | Origin::Command { .. }
        | Origin::Whole => directory.join(path),
    })
}

/// The manager; `None` where a value is wrong.
pub(crate) fn manager(tree: &Tree, directory: &Path, report: &mut Report) -> Option<Manager> {
    /// sockaddr_un's `sun_path` has 108 bytes (unix(7)), the last of them a NUL.
    const LONGEST_SOCKET: usize = 107;
    let view = View::manager(tree);
    let socket = socket(tree, directory);
    if let Some((path, entry)) = socket.as_ref().zip(view.entry(schema::SOCKET.name))
        && path.as_os_str().len() > LONGEST_SOCKET
    {
        let message =
            format!("[manager]: cannot use socket \"{}\": must be at most 107 bytes", path.display());
        report.add(&entry.origin, message);
    }
    Some(Manager {
        shutdown_timeout: view.get(&schema::SHUTDOWN_TIMEOUT)?,
        socket,
        log_format: view.get(&schema::LOG_FORMAT)?,
        log_level: view.get(&schema::LOG_LEVEL)?,
    })
}

/// The services, in the order of their first appearance; those with a wrong value are left out.
pub(crate) fn services(tree: &Tree, report: &mut Report) -> Vec<Service> {
    let names = tree.fields(&["services"]);
    let after = after::resolve(tree, &names, report);
    names.iter().filter_map(|name| service(tree, name, after.get(name)?.clone(), report)).collect()
}

fn service(tree: &Tree, name: &str, after: Vec<ServiceName>, report: &mut Report) -> Option<Service> {
    let view = View::service(tree, name);
    let start = command(view, name, &schema::START, report);
    let stop = command(view, name, &schema::STOP, report);
    let table = tree.get(&["services", name]).filter(|entry| matches!(entry.value, Value::Table));
    if let Some(table) = table
        && view.entry(schema::START.name).is_none()
        && !report.is_incomplete()
    {
        let nearest = misnamed(tree, name).unwrap_or_default();
        let reason = "no start is given, the only key without a default";
        report.add(&table.key, format!("service \"{}\": {reason}{nearest}", printable(name)));
    }
    let (start, basename) = start?;
    let interval = view.get(&schema::INTERVAL)?;
    let max = view.get(&schema::BACKOFF_MAX)?.min(interval);
    let variables = view.variables().into_iter();
    let set: BTreeMap<String, Variable> = variables
        .filter_map(|name| {
            let text = (schema::ENVIRONMENT.parse)(&view.variable(name)?.value).ok()?;
            Some((name.to_owned(), Variable::Text(Template::plain(text))))
        })
        .collect();
    Some(Service {
        stop: stop.map(|(command, _)| command),
        matching: view.matching(basename),
        interval,
        after,
        autostart: view.get(&schema::AUTOSTART)?,
        backoff: Backoff {
            initial: view.get(&schema::BACKOFF_INITIAL)?.min(max),
            factor: view.get(&schema::BACKOFF_FACTOR)?,
            max,
        },
        stable_after: view.get(&schema::STABLE_AFTER)?,
        start_timeout: view.get(&schema::START_TIMEOUT)?,
        stop_signal: view.get(&schema::STOP_SIGNAL)?,
        stop_timeout: view.get(&schema::STOP_TIMEOUT)?,
        directory: view.get(&schema::DIRECTORY),
        environment: Environment { set, ..Environment::default() },
        ..Service::new(ServiceName::parse(name).ok()?, start)
    })
}

fn command(view: View<'_>, name: &str, key: &Key<Text>, report: &mut Report) -> Option<(Command, String)> {
    let entry = view.entry(key.name)?;
    match view.command(key)? {
        Ok(command) => Some(command),
        Err(reason) => {
            let subject = format!("service \"{}\"", printable(name));
            report
                .add(&entry.origin, format!("{subject}: cannot use {} {}: {reason}", key.name, entry.value));
            None
        }
    }
}

/// A service without `start` may be another's name misspelt (`--set services.wbe.interval=5s`).
fn misnamed(tree: &Tree, name: &str) -> Option<String> {
    let complete = tree
        .fields(&["services"])
        .into_iter()
        .filter(|other| tree.get(&["services", other, "start"]).is_some());
    super::report::did_you_mean(name, complete)
}
