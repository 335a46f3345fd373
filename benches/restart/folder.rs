//! The files of a benchmark: the services' programs, the managers' configurations. Removed at its end.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A folder of this run alone.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Creates it below the temporary folder: the path of a socket must be short.
    ///
    /// # Errors
    /// It cannot be created.
    pub(crate) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("musterd-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Makes the services' programs, each a copy of `sleep` of its own name: `svc0001` and so on.
    ///
    /// # Errors
    /// There is no `sleep`, or no room.
    pub(crate) fn programs(&self, count: usize) -> io::Result<Vec<PathBuf>> {
        let sleep = find("sleep").ok_or_else(|| io::Error::other("there is no sleep in PATH"))?;
        let programs: Vec<PathBuf> = (1..=count).map(|at| self.0.join(format!("svc{at:04}"))).collect();
        for program in &programs {
            fs::copy(&sleep, program)?;
        }
        Ok(programs)
    }

    /// Creates a folder in it, empty.
    ///
    /// # Errors
    /// It is there already.
    pub(crate) fn sub(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over in a temporary folder does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a file, and the folders that it is in.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A program of PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
