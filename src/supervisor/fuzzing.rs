//! What must hold of every process' names, whatever the process calls itself. Makes no inputs: see
//! [`crate::fuzzing`].

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::process_names::{Names, command_lines, is_candidate};
use crate::process::{Life, Process, ProcessId};

/// Names are no paths; the command lines that may have started a process are ends of its own.
pub(crate) fn names(input: &[u8]) {
    let mut words = input.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned());
    let comm = words.next().unwrap_or_default();
    let argv: Vec<OsString> = words.collect();
    let exe = argv.first().filter(|first| Path::new(first).is_absolute()).map(PathBuf::from);
    let process = Process {
        id: ProcessId { pid: 9, start: 9 },
        parent: 1,
        session: 9,
        life: Life::Alive,
        comm,
        argv,
        exe,
        mark: None,
        users: None,
        memory: 0,
        cpu: 0,
        probe: false,
        foreign: false,
    };
    for name in Names::of(&process).iter().filter(|name| **name != *process.comm) {
        assert!(!name.as_bytes().contains(&b'/'), "{name:?} of {process:?}");
    }
    for argv in command_lines(&process) {
        assert!(!argv.is_empty() && process.argv.ends_with(argv), "{argv:?} of {process:?}");
    }
    for life in [Life::Dead, Life::Kernel] {
        assert!(!is_candidate(&Process { life, ..process.clone() }));
    }
    assert!(!is_candidate(&Process { foreign: true, ..process.clone() }));
}
