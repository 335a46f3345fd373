//! A small machine for one test: musterd as PID 1 (or below a shell) of its own PID and mount namespace, seen
//! from outside. Asserts nothing about services.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::common::{Status, run, text, wait};

pub(crate) const MUSTERD: &str = env!("CARGO_BIN_EXE_musterd");

/// How a namespace can be made here: as root, else as root of a user namespace; `None`: neither.
pub(crate) fn way_in() -> Option<&'static [&'static str]> {
    static WAY: OnceLock<Option<&[&str]>> = OnceLock::new();
    *WAY.get_or_init(|| {
        let ways: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
        ways.into_iter().find(|way| {
            unshare(way)
                .args(["mount", "-t", "tmpfs", "tmpfs", "/run"])
                .status()
                .is_ok_and(|status| status.success())
        })
    })
}

/// Starts what follows as PID 1 of such a namespace.
pub(crate) fn unshare(way: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).args(["--fork", "--pid", "--mount-proc", "--kill-child"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Makes a program of a file, or of `text` for `/dev/stdin`. By another process: were it written here, a child that
/// another test starts meanwhile would hold a copy of the descriptor, and nobody could execute it (ETXTBSY).
fn install(from: &str, text: &str, to: &str) {
    let mut install = Command::new("install")
        .args(["-m", "755", from, to])
        .stdin(Stdio::piped())
        .spawn()
        .expect("coreutils' install");
    install.stdin.take().expect("its stdin").write_all(text.as_bytes()).expect("it reads its stdin");
    assert!(install.wait().expect("our own child").success(), "cannot install {to}");
}

/// The files of one test: programs, configuration, what they write. Removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// A program of this name that sleeps for as many seconds as its argument says.
    pub(crate) fn sleeper(&self, name: &str) -> String {
        let path = self.path(name);
        install("/bin/sleep", "", &path);
        path
    }

    /// A shell script of this name, with `$folder` set.
    pub(crate) fn script(&self, name: &str, body: &str) -> String {
        let path = self.path(name);
        install("/dev/stdin", &format!("#!/bin/sh\nfolder='{}'\n{body}\n", self.0.display()), &path);
        path
    }

    /// A script of this name that daemonises: the first process leaves one in a session of its own, which writes
    /// its PID to `starts` once its own child is there: from then on it forks no other one of its name. As daemons
    /// do, the first one ends when the other is in its place.
    pub(crate) fn daemon(&self, name: &str) -> String {
        self.daemon_after(name, ":")
    }

    /// The same, whose start command does this first.
    pub(crate) fn daemon_after(&self, name: &str, first: &str) -> String {
        let body = "if [ \"$1\" = --daemon ]; then sleep infinity &\n\
                    until grep -qsx sleep /proc/$!/comm; do sleep 0.01; done\n\
                    echo $$ >>$folder/starts; wait; fi\n\
                    setsid \"$0\" --daemon &\n\
                    until grep -qx $! $folder/starts; do sleep 0.01; done 2>/dev/null";
        self.script(name, &format!("{first}\n{body}"))
    }

    /// A configuration file.
    pub(crate) fn config(&self, text: &str) -> String {
        let path = self.path("musterd.toml");
        fs::write(&path, text).expect("a configuration");
        path
    }

    /// A file's lines; none where there is no such file yet.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over here is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One line of the machine's process table.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) comm: String,
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) session: i32,
}

impl Process {
    /// Reads `/proc/PID/stat` (proc_pid_stat(5)): a name may hold blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (head, tail) = stat.rsplit_once(')')?;
        let (pid, comm) = head.split_once('(')?;
        let mut fields = tail.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let numbers: Vec<i32> = fields.take(3).filter_map(|field| field.parse().ok()).collect();
        let &[parent, _group, session] = numbers.as_slice() else { return None };
        Some(Self { pid: pid.trim().parse().ok()?, comm: comm.to_owned(), state, parent, session })
    }
}

/// A running machine. It ends with the test.
pub(crate) struct Machine {
    pub(crate) folder: Folder,
    unshare: Child,
    /// The first process, by its PID outside; `None` if it was so short-lived that nobody saw it.
    init: Option<i32>,
    /// Where `ctl` is sent; otherwise it looks itself.
    pub(crate) socket: Option<&'static str>,
}

impl Machine {
    /// musterd is PID 1.
    pub(crate) fn start(folder: Folder, arguments: &[&str]) -> Self {
        Self::start_by(folder, "exec \"$@\"", arguments)
    }

    /// A shell is PID 1 and runs `script`, in which `"$@"` is musterd.
    pub(crate) fn start_by(folder: Folder, script: &str, arguments: &[&str]) -> Self {
        let output = fs::File::create(folder.path("output")).expect("a file for musterd's output");
        let mut unshare = unshare(way_in().expect("a test that is not ignored has a way in"))
            // A /run of its own: neither the socket nor the record are another test's.
            .args(["sh", "-c", &format!("mount -t tmpfs tmpfs /run\n{script}"), "sh", MUSTERD])
            .args(arguments)
            .stdout(output.try_clone().expect("a second handle of it"))
            .stderr(output)
            .spawn()
            .expect("unshare was there before");
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        // Until it has another name than its parent it is still in the /proc of the machine outside.
        let init = wait("unshare has made the machine", || {
            if unshare.try_wait().expect("our own child").is_some() {
                return Some(None);
            }
            let init: i32 = fs::read_to_string(&children).ok()?.trim().parse().ok()?;
            let comm = fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            (comm.trim_end() != "unshare").then_some(Some(init))
        });
        Self { folder, unshare, init, socket: None }
    }

    fn init(&self) -> i32 {
        self.init.expect("the machine was seen running")
    }

    /// A path of the machine's /proc, seen from outside.
    pub(crate) fn proc(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/proc/{path}", self.init()))
    }

    /// All its processes, zombies too.
    pub(crate) fn table(&self) -> Vec<Process> {
        let entries = fs::read_dir(self.proc("")).expect("the machine runs");
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        numbers
            .filter_map(|pid| Process::parse(&fs::read_to_string(self.proc(&format!("{pid}/stat"))).ok()?))
            .collect()
    }

    /// Its living processes of this name.
    pub(crate) fn named(&self, comm: &str) -> Vec<Process> {
        self.table().into_iter().filter(|process| process.comm == comm && process.state != 'Z').collect()
    }

    /// Runs a command inside, to its end, as `docker exec` does.
    pub(crate) fn inside(&self, command: &[&str]) -> Output {
        let target = self.init().to_string();
        let mut arguments = vec!["--target", &target, "--pid", "--mount"];
        if way_in().is_some_and(|way| !way.is_empty()) {
            arguments.extend(["--user", "--preserve-credentials"]);
        }
        arguments.extend(command);
        run("nsenter", &arguments)
    }

    /// `musterd ctl …` inside.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Output {
        let mut words = [&[MUSTERD, "ctl"], arguments].concat();
        if let Some(socket) = self.socket {
            words.extend(["--socket", socket]);
        }
        self.inside(&words)
    }

    /// Sends a signal to a process, by its PID inside.
    pub(crate) fn kill(&self, signal: &str, pid: i32) {
        let output = self.inside(&["kill", &format!("-{signal}"), &pid.to_string()]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Asks a musterd below PID 1 to end, for `wait_end` to see. With PID 1 everything in the machine is killed, and
    /// on a busy one that may be `kill` itself before it has said that it succeeded.
    pub(crate) fn terminate(&self, manager: i32) {
        self.inside(&["kill", "-TERM", &manager.to_string()]);
    }

    /// Sends a signal to PID 1 from outside, as an engine does.
    pub(crate) fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(self.init()), signal).expect("the machine runs");
    }

    /// All that musterd and its services have written.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.folder.path("output")).unwrap_or_default()
    }

    /// The services' states; none before musterd answers.
    pub(crate) fn status(&self) -> Vec<Status> {
        Status::parse(&self.ctl(&["status", "--json"]))
    }

    /// Waits until the service is in a state that `condition` accepts.
    pub(crate) fn wait_service(&self, name: &str, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        wait(&format!("{name} {what}"), || {
            self.status().into_iter().find(|status| status.name == name && condition(status))
        })
    }

    /// Waits until the service runs.
    pub(crate) fn wait_running(&self, name: &str) -> Status {
        self.wait_service(name, "runs", |status| status.state == "running")
    }

    /// Waits until the service runs with another main process than `before`.
    pub(crate) fn wait_back(&self, name: &str, before: &Status) -> Status {
        self.wait_service(name, "is back", |status| status.state == "running" && status.pid != before.pid)
    }

    /// The exit code, where it has ended.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        Some(self.unshare.try_wait().expect("our own child")?.code())
    }

    /// Waits for its end: its exit code.
    pub(crate) fn wait_end(&mut self) -> Option<i32> {
        let status: ExitStatus = wait("the machine ends", || self.unshare.try_wait().expect("our own child"));
        assert_eq!(status.signal(), None, "PID 1 was killed");
        status.code()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("musterd's output:\n{}", self.output());
        }
        // With `unshare` its child is killed too, and with that PID 1 all the others; but not a child that has become
        // another user (PR_SET_PDEATHSIG(2const)). As long as `unshare` runs, the PID is its child's.
        if let (Some(init), Ok(None)) = (self.init, self.unshare.try_wait()) {
            let _ = nix::sys::signal::kill(Pid::from_raw(init), Signal::SIGKILL);
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The main process' PID.
pub(crate) fn pid(status: &Status) -> i32 {
    status.pid.unwrap_or_else(|| panic!("{} has no PID: {status:?}", status.name))
}
