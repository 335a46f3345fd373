//! Where the socket and the record live, and where `ctl` looks for a manager. Binds and connects nothing.

use std::{
    env, fmt, fs,
    fs::{DirBuilder, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

/// Where one musterd keeps what concerns this run of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The control socket.
    pub socket: PathBuf,
    /// The folder of the record, of mode 0700.
    pub folder: PathBuf,
}

/// What the rules depend on.
#[derive(Clone, Debug)]
pub struct Roots {
    /// /run.
    pub run: PathBuf,
    /// $XDG_RUNTIME_DIR, where that is set and absolute (XDG Base Directory Specification).
    pub user_run: Option<PathBuf>,
    /// /tmp.
    pub tmp: PathBuf,
    /// Our effective user ID.
    pub uid: u32,
}

impl Roots {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self {
            run: PathBuf::from("/run"),
            user_run: env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()),
            tmp: PathBuf::from("/tmp"),
            uid: Uid::effective().as_raw(),
        }
    }

    /// The places where a manager may be that was not told one, the preferred first.
    pub fn places(&self) -> Vec<Place> {
        let shared = self.tmp.join(format!("musterd-{}", self.uid));
        [Some(&self.run), self.user_run.as_ref()]
            .into_iter()
            .flatten()
            .map(|root| Place { socket: root.join("musterd.sock"), folder: root.join("musterd") })
            .chain([Place { socket: shared.join("musterd.sock"), folder: shared }])
            .collect()
    }

    /// Makes the folder of the first place that we may write to; with a configured socket, the folder of that
    /// one (`/run/app.sock.d` for `/run/app.sock`, so that two managers never share a record).
    ///
    /// # Errors
    /// None can be had: each that was tried, with its reason.
    pub fn prepare(&self, configured: Option<&Path>) -> Result<Place, NoPlace> {
        let mut tried = Vec::new();
        for place in self.candidates(configured) {
            match self.claim(&place) {
                Ok(()) => return Ok(place),
                Err((path, error)) => tried.push((path, error)),
            }
        }
        Err(NoPlace { tried })
    }

    /// The places that come into question, best first.
    pub fn candidates(&self, configured: Option<&Path>) -> Vec<Place> {
        let places = self.places();
        match configured {
            Some(socket) => {
                vec![
                    places.into_iter().find(|place| place.socket == socket).unwrap_or_else(|| beside(socket)),
                ]
            }
            None => places,
        }
    }

    fn claim(&self, place: &Place) -> Result<(), (PathBuf, io::Error)> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |error| (path, error)
        };
        private_folder(&place.folder, self.uid).map_err(at(&place.folder))?;
        probe(&place.folder).map_err(at(&place.folder))?;
        let parent = place.socket.parent().filter(|parent| *parent != place.folder);
        parent.map_or(Ok(()), |parent| probe(parent).map_err(at(parent)))
    }
}

/// No folder can be had.
#[derive(Debug)]
pub struct NoPlace {
    /// What was tried, with the reason.
    pub tried: Vec<(PathBuf, io::Error)>,
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write to any folder for the control socket and the record: ")?;
        for (at, (path, error)) in self.tried.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{} ({error})", path.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for NoPlace {}

fn beside(socket: &Path) -> Place {
    let mut folder = socket.as_os_str().to_owned();
    folder.push(".d");
    Place { socket: socket.to_owned(), folder: PathBuf::from(folder) }
}

/// Makes a folder that only we may write to, and others may enter as `mode` says, whatever the umask.
///
/// # Errors
/// It cannot be made, or somebody else's is there.
pub(super) fn open_folder(path: &Path, uid: u32, mode: u32) -> io::Result<()> {
    private_folder(path, uid)?;
    // Nobody can have changed what has this name: it is ours, and so, or sticky, is the folder above.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// A folder that is ours alone. In /tmp anybody may have made it before us, or a symbolic link of its name.
fn private_folder(path: &Path, uid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::symlink_metadata(path)?;
    let wrong = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if !found.is_dir() {
        return wrong("is not a folder".to_owned());
    }
    if found.uid() != uid {
        return wrong(format!("belongs to uid {}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return wrong(format!("others may write to it (mode {:04o})", found.mode() & 0o7777));
    }
    Ok(())
}

/// Whether a file can be made there. access(2) would not tell of a read-only mount's or a quota's refusal in
/// every case; only doing it does.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".musterd-probe-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        // Left by a musterd that was killed between these lines and had our PID.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => drop(made?),
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of the test's own, gone with it, with `run`, `user` and `tmp` inside.
    struct Machine {
        root: PathBuf,
        roots: Roots,
    }

    impl Machine {
        fn new(test: &str) -> Self {
            let root = env::temp_dir().join(format!("musterd-paths-{test}-{}", std::process::id()));
            for folder in ["run", "user", "tmp"] {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            let roots = Roots {
                run: root.join("run"),
                user_run: Some(root.join("user")),
                tmp: root.join("tmp"),
                uid: Uid::effective().as_raw(),
            };
            Self { root, roots }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.root.join(path)
        }

        fn prepared(&self) -> PathBuf {
            self.roots.prepare(None).unwrap().folder.strip_prefix(&self.root).unwrap().to_owned()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    #[test]
    fn the_first_writable_root_is_taken() {
        let machine = Machine::new("order");
        let place = machine.roots.prepare(None).unwrap();
        assert_eq!(place.socket, machine.path("run/musterd.sock"));
        assert_eq!(place.folder, machine.path("run/musterd"));
        assert_eq!(fs::metadata(&place.folder).unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_dir(&place.folder).unwrap().count(), 0, "the probe is gone");

        fs::remove_dir_all(machine.path("run")).unwrap();
        assert_eq!(machine.prepared(), Path::new("user/musterd"));
        fs::remove_dir_all(machine.path("user")).unwrap();
        let uid = machine.roots.uid;
        assert_eq!(machine.prepared(), PathBuf::from(format!("tmp/musterd-{uid}")));
        assert_eq!(machine.prepared(), PathBuf::from(format!("tmp/musterd-{uid}")), "and again");
    }

    #[test]
    fn a_trap_in_tmp_is_not_stepped_into() {
        let mut machine = Machine::new("trap");
        machine.roots.run = machine.path("none");
        machine.roots.user_run = None;
        let ours = machine.path(&format!("tmp/musterd-{}", machine.roots.uid));
        let refusal = |machine: &Machine| machine.roots.prepare(None).unwrap_err().to_string();

        fs::create_dir(machine.path("elsewhere")).unwrap();
        symlink(machine.path("elsewhere"), &ours).unwrap();
        assert!(refusal(&machine).contains("is not a folder"), "{}", refusal(&machine));
        fs::remove_file(&ours).unwrap();

        fs::create_dir(&ours).unwrap();
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refusal(&machine).contains("others may write to it (mode 0777)"), "{}", refusal(&machine));
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o700)).unwrap();

        let owner = machine.roots.uid;
        machine.roots.uid = owner + 1;
        fs::rename(&ours, machine.path(&format!("tmp/musterd-{}", owner + 1))).unwrap();
        assert!(refusal(&machine).contains(&format!("belongs to uid {owner}")), "{}", refusal(&machine));
        assert!(refusal(&machine).contains("none/musterd (No such file"), "{}", refusal(&machine));
    }

    #[test]
    fn a_configured_socket_has_a_folder_of_its_own() {
        let machine = Machine::new("configured");
        let place = machine.roots.prepare(Some(&machine.path("tmp/app.sock"))).unwrap();
        assert_eq!(place.folder, machine.path("tmp/app.sock.d"));
        let place = machine.roots.prepare(Some(&machine.path("run/musterd.sock"))).unwrap();
        assert_eq!(place.folder, machine.path("run/musterd"), "the same as if it had not been named");
        assert!(machine.roots.prepare(Some(&machine.path("none/app.sock"))).is_err());
    }
}
