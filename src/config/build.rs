//! Builds manager and services from the merged tree, and checks what their values mean to each other. What is
//! wrong with a single value was reported before; such a value is passed over here.

use std::path::{Path, PathBuf};

use super::{
    Backoff, Command, Guard, Identity, Kind, Limit, Manager, Service, ServiceName, StartLimit,
    after::{self, After},
    command::Text,
    environment, keys, limits, log,
    origin::Origin,
    readiness,
    report::Report,
    schema::Key,
    tree::{Tree, Value},
    view::View,
};
use crate::text::printable;

/// What a path is relative to: in a file to its folder, else to the directory.
pub(crate) fn base(origin: &Origin, directory: &Path) -> PathBuf {
    match origin {
        Origin::File { file, span: _ } => directory.join(file.folder()),
        Origin::BuiltIn
        | Origin::Derived(_)
        | Origin::Variable { .. }
        | Origin::Argument(_)
        | Origin::Command { .. }
        | Origin::Whole => directory.to_owned(),
    }
}

/// The control socket that is configured.
pub(crate) fn socket(tree: &Tree, directory: &Path) -> Option<PathBuf> {
    let view = View::manager(tree);
    let path = view.get(&keys::SOCKET)?;
    Some(base(&view.entry(keys::SOCKET.name)?.origin, directory).join(path))
}

/// The manager; `None` where a value is wrong.
pub(crate) fn manager(tree: &Tree, directory: &Path, report: &mut Report) -> Option<Manager> {
    /// sockaddr_un's `sun_path` has 108 bytes (unix(7)), the last of them a NUL.
    const LONGEST_SOCKET: usize = 107;
    let view = View::manager(tree);
    let socket = socket(tree, directory);
    if let Some((path, entry)) = socket.as_ref().zip(view.entry(keys::SOCKET.name))
        && path.as_os_str().len() > LONGEST_SOCKET
    {
        let message =
            format!("[manager]: cannot use socket \"{}\": must be at most 107 bytes", path.display());
        report.add(&entry.origin, message);
    }
    Some(Manager {
        shutdown_timeout: view.get(&keys::SHUTDOWN_TIMEOUT)?,
        socket,
        allow_users: view.get(&keys::ALLOW_USERS)?,
        observers: view.get(&keys::OBSERVERS)?,
        log_format: view.get(&keys::LOG_FORMAT)?,
        log_level: view.get(&keys::LOG_LEVEL)?,
        log_times: view.get(&keys::LOG_TIMES)?,
    })
}

/// The services, in the order of their first appearance; those with a wrong value are left out. `main` is the
/// name of the one of `--main`.
pub(crate) fn services(
    tree: &Tree,
    main: Option<&str>,
    directory: &Path,
    report: &mut Report,
) -> Vec<Service> {
    let names = tree.fields(&["services"]);
    let mut after = after::resolve(tree, &names, report);
    let build = |name| {
        let after = after.remove(name)?;
        let built = service(tree, name, after, directory, report)?;
        Some(Service { terminal: main == Some(name), ..built })
    };
    names.into_iter().filter_map(build).collect()
}

fn service(tree: &Tree, name: &str, after: After, directory: &Path, report: &mut Report) -> Option<Service> {
    let view = View::service(tree, name);
    let start = command(&view, name, &keys::START, report);
    let stop = command(&view, name, &keys::STOP, report);
    let reload = command(&view, name, &keys::RELOAD, report);
    let table = tree.get(&["services", name]).filter(|entry| matches!(entry.value, Value::Table));
    if let Some(table) = table
        && view.entry(keys::START.name).is_none()
        && !report.is_incomplete()
    {
        let nearest = misnamed(tree, name).unwrap_or_default();
        let reason = "no start is given, the only key without a default";
        report.add(&table.key, format!("service \"{}\": {reason}{nearest}", printable(name)));
    }
    let ready = readiness::ready(&view);
    let kind = view.get(&keys::KIND);
    if let (Some(Kind::Task), Some(entry)) = (kind, readiness::rule(&view)) {
        let reason = "it is ready when it is done";
        report.add(
            &entry.key,
            format!("service \"{}\": cannot use ready for a task: {reason}", printable(name)),
        );
    }
    let logging = log::logging(&view, name, ready.as_ref(), directory, report);
    let (start, basename) = start?;
    let interval = view.get(&keys::INTERVAL)?;
    let max = view.get(&keys::BACKOFF_MAX)?.min(interval);
    Some(Service {
        kind: kind?,
        stop: stop.map(|(command, _)| command),
        reload: reload.map(|(command, _)| command),
        matching: view.matching(basename),
        interval,
        after: after.services,
        after_addresses: after.addresses,
        autostart: view.get(&keys::AUTOSTART)?,
        restart: view.get(&keys::RESTART)?,
        success_codes: view.get(&keys::SUCCESS_CODES)?,
        backoff: Backoff {
            initial: view.get(&keys::BACKOFF_INITIAL)?.min(max),
            factor: view.get(&keys::BACKOFF_FACTOR)?,
            max,
        },
        stable_after: view.get(&keys::STABLE_AFTER)?,
        start_limit: match view.get(&keys::START_LIMIT_STARTS) {
            Some(starts) => Some(StartLimit { starts, within: view.get(&keys::START_LIMIT_WITHIN)? }),
            None => None,
        },
        essential: view.get(&keys::ESSENTIAL)?,
        start_timeout: view.get(&keys::START_TIMEOUT)?,
        ready: ready?,
        log: logging?,
        check: readiness::check(&view),
        stop_signal: view.get(&keys::STOP_SIGNAL)?,
        stop_timeout: view.get(&keys::STOP_TIMEOUT)?,
        reload_signal: view.get(&keys::RELOAD_SIGNAL),
        memory_max: match view.get(&keys::MEMORY_MAX) {
            Some(max) => {
                let lasting = view.get(&keys::MEMORY_FOR)?;
                Some(Guard { max, lasting, on_excess: view.get(&keys::MEMORY_ON_EXCESS)? })
            }
            None => None,
        },
        cpu_max: match view.get(&keys::CPU_MAX) {
            Some(max) => {
                let lasting = view.get(&keys::CPU_FOR)?;
                Some(Guard { max, lasting, on_excess: view.get(&keys::CPU_ON_EXCESS)? })
            }
            None => None,
        },
        directory: view.get(&keys::DIRECTORY),
        identity: Identity {
            user: view.get(&keys::USER),
            group: view.get(&keys::GROUP),
            groups: view.get(&keys::GROUPS),
        },
        environment: environment::of(&view, directory)?,
        umask: view.get(&keys::UMASK),
        nice: view.get(&keys::NICE),
        limits: resource_limits(&view),
        oom_score_adj: view.get(&keys::OOM_SCORE_ADJ),
        capabilities: view.get(&keys::CAPABILITIES),
        no_new_privileges: view.get(&keys::NO_NEW_PRIVILEGES)?,
        ..Service::new(ServiceName::parse(name).ok()?, start)
    })
}

/// The limits, by the names of their resources.
fn resource_limits(view: &View<'_>) -> Vec<Limit> {
    let mut names = view.names("limits");
    names.sort_unstable();
    names.iter().filter_map(|name| limits::limit(name, &view.named("limits", name)?.value).ok()).collect()
}

fn command(view: &View<'_>, name: &str, key: &Key<Text>, report: &mut Report) -> Option<(Command, String)> {
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
