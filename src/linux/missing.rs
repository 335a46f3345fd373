//! Finds out what else a program needs in order to be executed, and whether that is there. Executes nothing.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::libc;

/// What a program needs in order to be executed (execve(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The interpreter of a script's `#!` line.
    Interpreter(PathBuf),
    /// The dynamic loader of an ELF file.
    Loader(PathBuf),
}

/// What the program at `path` asks for, where that does not exist; `path` has its `..` and links as
/// the new process would see them.
pub(super) fn missing(path: &Path) -> Option<Missing> {
    // Opening a device can do something by itself.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    // BINPRM_BUF_SIZE of the kernel: so much of a #! line counts.
    let mut head = [0; 256];
    // A FIFO that took the file's place just now would block the opening for ever.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    let length = file.read_at(&mut head, 0).ok()?;
    let head = &head[..length];
    let wanted = match head.strip_prefix(b"#!") {
        Some(line) => Missing::Interpreter(interpreter(line)?),
        None => Missing::Loader(loader(&file, head)?),
    };
    let (Missing::Interpreter(needed) | Missing::Loader(needed)) = &wanted;
    (!needed.exists()).then_some(wanted)
}

/// The first word after `#!`; a carriage return of a file from Windows belongs to it.
fn interpreter(line: &[u8]) -> Option<PathBuf> {
    let line = line.split(|&byte| byte == b'\n').next()?.trim_ascii_start();
    let word = line.split(|&byte| matches!(byte, b' ' | b'\t')).next()?;
    let word = if word.is_empty() { line } else { word };
    Some(PathBuf::from(OsStr::from_bytes(word)))
}

/// The path in an ELF file's PT_INTERP segment (elf(5)).
fn loader(file: &File, head: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    // Offsets of e_phoff, e_phentsize, e_phnum; in a segment those of p_offset, p_filesz; their size.
    let (table, size, count, start, length, word) =
        if *head.get(4)? == 2 { (32, 54, 56, 8, 32, 8) } else { (28, 42, 44, 4, 16, 4) };
    let entry = number(head, size, 2)?;
    for at in 0..number(head, count, 2)? {
        let mut segment = [0; 64];
        let read = file.read_at(&mut segment, number(head, table, word)?.checked_add(at * entry)?).ok()?;
        let segment = &segment[..read];
        if number(segment, 0, 4)? == PT_INTERP {
            let mut path = vec![0; usize::try_from(number(segment, length, word)?.min(4096)).ok()?];
            file.read_exact_at(&mut path, number(segment, start, word)?).ok()?;
            return Some(PathBuf::from(OsStr::from_bytes(path.split(|&byte| byte == 0).next()?)));
        }
    }
    None
}

/// The number of `size` bytes at `at`: little-endian, as every machine that musterd is built for is.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    Some(bytes.get(at..at + size)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_interpreter() {
        for (line, path) in [("/bin/sh -e\n", "/bin/sh"), (" /bin/sh\r\nx", "/bin/sh\r"), ("", "")] {
            assert_eq!(interpreter(line.as_bytes()), Some(PathBuf::from(path)));
        }
    }

    #[test]
    fn a_dynamic_program_names_its_loader() {
        let program = std::env::current_exe().unwrap();
        let file = File::open(&program).unwrap();
        let mut head = [0; 256];
        file.read_exact_at(&mut head, 0).unwrap();
        let loader = loader(&file, &head);
        assert!(loader.is_none_or(|path| path.is_absolute() && path.exists()));
        assert_eq!(missing(&program), None);
    }
}
