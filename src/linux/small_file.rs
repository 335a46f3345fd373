//! Reads files that somebody else writes, without ever waiting for him: a FIFO, a terminal or a huge file in the
//! place of a small one is an error. Understands nothing of what it reads.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustix::fs::{FileType, Mode, OFlags, Stat};

/// Bytes more than the file has, so that its end is found without growing.
const ROOM: u64 = 64;

/// Reads a regular file of `limit` bytes at most; `flags` are those of open(2) besides what is needed here.
///
/// # Errors
/// It cannot be opened or read, is no regular file, or is longer.
pub(super) fn read(path: &Path, limit: u64, flags: OFlags) -> io::Result<(Vec<u8>, Stat)> {
    // Opening a device can do something by itself, so it is only opened for good once it is known to be a file.
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    let plain = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | flags;
    let file = File::from(rustix::fs::open(path, plain, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    // All at once: what grows leaves copies behind, and the file may hold a secret.
    let size = u64::try_from(stat.st_size).unwrap_or(0).min(limit) + ROOM;
    let mut text = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(limit + 1).read_to_end(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")));
    }
    Ok((text, stat))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = std::env::temp_dir().join(format!("musterd-small-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link, fifo) = (folder.join("file"), folder.join("link"), folder.join("fifo"));
        fs::write(&file, "12345").unwrap();
        symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();

        let text = |path: &Path, limit, flags| read(path, limit, flags).map(|(text, _)| text).ok();
        assert_eq!(text(&file, 5, OFlags::empty()), Some(b"12345".to_vec()));
        assert_eq!(text(&link, 5, OFlags::empty()), Some(b"12345".to_vec()));
        assert_eq!(text(&link, 5, OFlags::NOFOLLOW), None);
        assert_eq!(text(&file, 4, OFlags::empty()), None);
        for path in [&fifo, &folder, &folder.join("absent"), Path::new("/dev/null")] {
            assert_eq!(text(path, 5, OFlags::empty()), None, "{}", path.display());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
