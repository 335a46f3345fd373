//! Where a service's output goes, as types that cannot be wrong, and how the keys of `log` say so. Opens nothing.

use std::path::{Path, PathBuf};

use super::{
    Ready, ReadyRule, build, keys, limits, parse, report::Report, schema::Key, tree::Value, view::View,
};
use crate::text::printable;

/// The most that is kept in memory of one service: more belongs in a file.
const LARGEST_MEMORY: u64 = 64 * 1024 * 1024;

/// What becomes of a service's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Where its stdout goes.
    pub stdout: Destination,
    /// Where its stderr goes.
    pub stderr: Destination,
    /// What is done while nobody reads musterd's own output.
    pub overflow: Overflow,
    /// How many bytes of its last lines are kept in memory.
    pub memory: usize,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            stdout: Destination::Prefix,
            stderr: Destination::Prefix,
            overflow: Overflow::Hold,
            memory: 64 * 1024,
        }
    }
}

impl Logging {
    /// Whether what writes as `other` says may go on: musterd is between it and both places, or they are the same.
    pub(crate) fn can_follow(&self, other: &Logging) -> bool {
        let can = |new: &Destination, old: &Destination| new == old || new.has_lines() && old.has_lines();
        can(&self.stdout, &other.stdout) && can(&self.stderr, &other.stderr)
    }

    /// Whether musterd sees lines of it.
    pub fn has_lines(&self) -> bool {
        self.stdout.has_lines() || self.stderr.has_lines()
    }
}

/// Where one stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To musterd's own, line by line, with the service's name (or as JSON).
    Prefix,
    /// To musterd's own, which the service itself has.
    Raw,
    /// To a file, as it is.
    File(LogFile),
    /// Nowhere.
    None,
}

impl Destination {
    pub(crate) fn has_lines(&self) -> bool {
        match self {
            Destination::Prefix | Destination::File(_) => true,
            Destination::Raw | Destination::None => false,
        }
    }
}

/// A file that is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// Before it has more bytes than this, a new one is begun.
    pub max_size: u64,
    /// How many old ones are kept: `PATH.1` (the latest) to `PATH.N`.
    pub keep: u32,
}

/// What is done while nobody reads musterd's own output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The service waits when it writes.
    #[default]
    Hold,
    /// Its lines are dropped and counted.
    Drop,
}

/// The word for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Prefix,
    Raw,
    File,
    None,
}

/// A size of what is kept in memory.
pub(crate) fn memory(value: &Value) -> Result<u64, String> {
    let size = limits::size(value)?;
    if size > LARGEST_MEMORY { Err("must be 64MiB at most".to_owned()) } else { Ok(size) }
}

/// How many old files are kept.
pub(crate) fn keep(value: &Value) -> Result<u32, String> {
    let count = parse::integer(value, 0, 1000).and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| "must be a whole number from 0 to 1000".to_owned())
}

/// Where the service's output goes; `None` where a value is wrong or missing.
pub(crate) fn logging(
    view: &View<'_>,
    name: &str,
    ready: Option<&Ready>,
    directory: &Path,
    report: &mut Report,
) -> Option<Logging> {
    let (to, stderr) = (view.get(&keys::LOG_TO)?, view.get(&keys::LOG_STDERR));
    let max_size = view.get(&keys::LOG_MAX_SIZE)?;
    let keep = view.get(&keys::LOG_KEEP)?;
    let path = |key: &Key<PathBuf>| {
        let path = view.get(key)?;
        Some(build::base(&view.entry(key.name)?.origin, directory).join(path))
    };
    let own = path(&keys::LOG_PATH);
    let destination = |to: To, path: Option<PathBuf>| match to {
        To::Prefix => Some(Destination::Prefix),
        To::Raw => Some(Destination::Raw),
        To::None => Some(Destination::None),
        To::File => path.map(|path| Destination::File(LogFile { path, max_size, keep })),
    };
    let stdout = destination(to, own.clone());
    let stderr = destination(stderr.unwrap_or(to), path(&keys::LOG_STDERR_PATH).or(own));
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        if let Some(entry) = view.entry(keys::LOG_STDERR.name).or(view.entry(keys::LOG_TO.name)) {
            let message = "cannot log to a file without log.path";
            report.add(&entry.origin, format!("service \"{}\": {message}", printable(name)));
        }
        return None;
    };
    let memory = usize::try_from(view.get(&keys::LOG_MEMORY)?).ok()?;
    let logging = Logging { stdout, stderr, overflow: view.get(&keys::LOG_OVERFLOW)?, memory };
    if let (Some(Ready { rule: ReadyRule::Log(_), .. }), false) = (ready, logging.has_lines())
        && let Some(entry) = view.entry(keys::READY_LOG.name)
    {
        let reason = "musterd sees no line where log is \"raw\" or \"none\"";
        report.add(&entry.key, format!("service \"{}\": cannot use ready.log: {reason}", printable(name)));
    }
    Some(logging)
}
