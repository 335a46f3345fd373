//! What a musterd that was killed must know to find its services again. Not the log, and no configuration.

use std::{
    collections::BTreeMap,
    fmt, fs,
    fs::OpenOptions,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::libc::O_NOFOLLOW;
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;

/// More than a record of 10,000 services needs; what is longer was not written by us.
const MAX_LENGTH: u64 = 4 * 1024 * 1024;

/// What is recorded of each service, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The services that have a main process.
    pub services: BTreeMap<String, Entry>,
}

/// One service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its main process.
    #[serde(with = "process_id")]
    pub main: ProcessId,
    /// How often it was started again.
    pub restarts: u64,
}

/// What makes a PID with its start time name one process only: ticks are counted from a boot, PIDs within a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    pub(super) boot: String,
    pub(super) pid_namespace: String,
}

#[derive(Serialize, Deserialize)]
struct Written {
    scope: Scope,
    services: BTreeMap<String, Entry>,
}

/// The record could not be written: services that run on after a kill of musterd are then found by the rules for any process.
#[derive(Debug)]
pub struct RecordError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write the record {}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for RecordError {}

/// The file `record.json` of a folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    scope: io::Result<Scope>,
}

impl Store {
    /// That of this folder, which is ours alone (see [`crate::linux::paths`]).
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("record.json"), scope: Scope::of_this_process() }
    }

    /// What the musterd before us wrote. Empty if that is missing, half-written or too long, or if it was
    /// written under another boot or in another PID namespace.
    pub fn load(&self) -> Record {
        self.read().unwrap_or_default()
    }

    fn read(&self) -> Option<Record> {
        let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(&self.path).ok()?;
        let mut text = Vec::new();
        file.take(MAX_LENGTH).read_to_end(&mut text).ok()?;
        parse(&text, self.scope.as_ref().ok()?)
    }

    /// Replaces the record by this one: readers see the old or the new one, never a part. It is not synced
    /// to a disk, because it says nothing to another boot.
    ///
    /// # Errors
    /// The folder cannot be written to (full, read-only), or /proc does not tell where we are.
    pub fn save(&self, record: &Record) -> Result<(), RecordError> {
        self.write(record).map_err(|error| RecordError { path: self.path.clone(), error })
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        let scope = match &self.scope {
            Ok(scope) => scope.clone(),
            Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
        };
        let text = render(record, scope)?;
        let new = self.path.with_extension("json.new");
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(O_NOFOLLOW)
            .open(&new)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

/// The record in a text, if that is whole and was written in this scope.
pub(super) fn parse(text: &[u8], scope: &Scope) -> Option<Record> {
    let written: Written = serde_json::from_slice(text).ok()?;
    (written.scope == *scope).then_some(Record { services: written.services })
}

/// The text of a record.
pub(super) fn render(record: &Record, scope: Scope) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Written { scope, services: record.services.clone() })?)
}

impl Scope {
    fn of_this_process() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned();
        let pid_namespace = fs::read_link("/proc/self/ns/pid")?.to_string_lossy().into_owned();
        Ok(Self { boot, pid_namespace })
    }
}

/// A process as `[pid, start]`.
mod process_id {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::process::{Pid, ProcessId};

    pub(super) fn serialize<S: Serializer>(id: &ProcessId, serializer: S) -> Result<S::Ok, S::Error> {
        (id.pid, id.start).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ProcessId, D::Error> {
        let (pid, start) = <(Pid, u64)>::deserialize(deserializer)?;
        if pid > 0 { Ok(ProcessId { pid, start }) } else { Err(D::Error::custom("must be a PID")) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("musterd-record-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn sample() -> Record {
        let main = ProcessId { pid: 42, start: 12_345_678_901 };
        let entry = Entry { main, restarts: 3 };
        Record { services: BTreeMap::from([("web".to_owned(), entry)]) }
    }

    #[test]
    fn what_was_saved_is_loaded_by_the_next() {
        let folder = Folder::new("saved");
        Store::new(&folder.0).save(&Record::default()).unwrap();
        Store::new(&folder.0).save(&sample()).unwrap();
        assert_eq!(Store::new(&folder.0).load(), sample());
        let file = fs::metadata(folder.0.join("record.json")).unwrap();
        assert_eq!(file.permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn every_part_of_a_record_is_as_good_as_none() {
        let folder = Folder::new("half");
        let store = Store::new(&folder.0);
        assert_eq!(store.load(), Record::default());
        store.save(&sample()).unwrap();
        let whole = fs::read(&store.path).unwrap();
        for length in 0..whole.len() {
            fs::write(&store.path, &whole[..length]).unwrap();
            assert_eq!(store.load(), Record::default(), "the first {length} bytes");
        }
        fs::write(&store.path, whole).unwrap();
        assert_eq!(store.load(), sample());
    }

    #[test]
    fn another_boot_or_namespace_says_nothing() {
        let folder = Folder::new("scope");
        let store = Store::new(&folder.0);
        store.save(&sample()).unwrap();
        let scope = store.scope.as_ref().unwrap();
        let text = fs::read_to_string(&store.path).unwrap();
        for known in [&scope.boot, &scope.pid_namespace] {
            fs::write(&store.path, text.replace(known.as_str(), "another")).unwrap();
            assert_eq!(store.load(), Record::default(), "{known}");
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_no_more() {
        let folder = Folder::new("gone");
        let store = Store::new(&folder.0);
        fs::remove_dir_all(&folder.0).unwrap();
        let error = store.save(&sample()).unwrap_err().to_string();
        let path = store.path.display();
        assert_eq!(error, format!("cannot write the record {path}: No such file or directory (os error 2)"));
        assert_eq!(store.load(), Record::default());
    }
}
