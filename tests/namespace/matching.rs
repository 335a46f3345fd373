//! `match` as a table: each field decides by itself which of two look-alikes is the service.

use std::{fs, os::unix::fs::symlink};

use crate::{
    Test,
    common::{Status, wait},
    machine::{Folder, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("cmdline_tells_two_programs_apart", cmdline_tells_two_programs_apart),
    ("exe_tells_two_programs_apart_through_a_link", exe_tells_two_programs_apart_through_a_link),
    ("user_tells_two_programs_apart", user_tells_two_programs_apart),
    ("pidfile_tells_two_programs_apart", pidfile_tells_two_programs_apart),
    ("all_fields_must_hold", all_fields_must_hold),
    ("a_late_pidfile_is_waited_for", a_late_pidfile_is_waited_for),
    ("a_stale_pidfile_names_nobody", a_stale_pidfile_names_nobody),
    ("a_fifo_for_a_pidfile_holds_up_nothing", a_fifo_for_a_pidfile_holds_up_nothing),
    ("a_client_with_the_words_of_a_service_is_not_it", a_client_with_the_words_of_a_service_is_not_it),
];

/// Two programs run before musterd, in this order, so that the first is the older one: `decoy` and `right`, whose
/// PIDs are in files of these names. The service's `match` is as given, its start command is `start`.
fn two(folder: Folder, decoy: &str, right: &str, matching: &str) -> Machine {
    let start = folder.script("start-app", "echo >>$folder/starts\nexec sleep infinity");
    let config = folder.config(&format!("[services.app]\nstart = '{start}'\nmatch = {matching}\n"));
    let there = "while grep -qxE 'sh|setsid|setpriv' /proc/$!/comm; do sleep 0.01; done";
    let run = |command: &str, name: &str| {
        let file = folder.path(name);
        format!("{command} &\n{there}\necho $! >{file}.new; mv {file}.new {file}")
    };
    let script = format!("{}\n{}\nexec \"$@\"", run(decoy, "decoy"), run(right, "right"));
    Machine::start_by(folder, &script, &["-c", &config])
}

/// The second program was adopted by this rule, and nothing was started.
fn assert_right(machine: &Machine, rule: &str) -> Status {
    let status = machine.wait_running("app");
    assert_eq!(machine.folder.lines("right"), [pid(&status).to_string()], "{status:?}");
    assert!(status.reason.contains(rule), "{}", status.reason);
    assert!(machine.folder.lines("starts").is_empty());
    status
}

fn cmdline_tells_two_programs_apart() {
    let folder = Folder::new("match-cmdline");
    let alpha = folder.sleeper("alpha");
    let (decoy, right) = (format!("setsid {alpha} 77777"), format!("setsid {alpha} 88888"));
    let machine = two(folder, &decoy, &right, "{ cmdline = 'alpha 8+$' }");
    assert_right(&machine, "what match demands");
}

fn exe_tells_two_programs_apart_through_a_link() {
    let folder = Folder::new("match-exe");
    fs::create_dir(folder.path("other")).expect("a folder");
    let (alpha, other) = (folder.sleeper("alpha-1.2"), folder.sleeper("other/alpha-1.2"));
    let link = folder.path("alpha");
    symlink(&alpha, &link).expect("a link");
    let (decoy, right) = (format!("setsid {other} infinity"), format!("setsid {alpha} infinity"));
    let machine = two(folder, &decoy, &right, &format!("{{ exe = '{link}' }}"));
    assert_right(&machine, "same executable");
}

fn user_tells_two_programs_apart() {
    let folder = Folder::new("match-user");
    let alpha = folder.sleeper("alpha");
    // In a user namespace there is no other user than root: then that is the right one.
    let other = crate::machine::way_in().is_some_and(|way| way.is_empty());
    let (decoy, right, user) = if other {
        let as_nobody = format!("setsid setpriv --reuid 65534 {alpha} infinity");
        fs::set_permissions(folder.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("its mode");
        (format!("setsid {alpha} infinity"), as_nobody, "nobody")
    } else {
        ("setsid sleep infinity".to_owned(), format!("setsid {alpha} infinity"), "root")
    };
    let machine = two(folder, &decoy, &right, &format!("{{ name = 'alpha', user = '{user}' }}"));
    assert_right(&machine, "same name");
}

fn pidfile_tells_two_programs_apart() {
    let folder = Folder::new("match-pidfile");
    let alpha = folder.sleeper("alpha") + " infinity";
    let pidfile = folder.path("right");
    let machine = two(
        folder,
        &format!("setsid {alpha}"),
        &format!("setsid {alpha}"),
        &format!("{{ pidfile = '{pidfile}' }}"),
    );
    let before = assert_right(&machine, "named by its pidfile");

    // The file names a dead process now: the start command is run, and is the service.
    machine.kill("KILL", pid(&before));
    machine.wait_back("app", &before);
    assert_eq!(machine.folder.lines("starts").len(), 1);
    let decoy = machine.folder.lines("decoy");
    assert!(
        machine.named("alpha").iter().any(|process| decoy == [process.pid.to_string()]),
        "the decoy lives"
    );
}

fn all_fields_must_hold() {
    // Name and pidfile hold, another field doesn't.
    for (field, value) in [("cmdline", "'no such word'"), ("exe", "'/bin/false'"), ("user", "65533")] {
        let folder = Folder::new(&format!("match-all-{field}"));
        let alpha = folder.sleeper("alpha") + " 77777";
        let pidfile = folder.path("right");
        let matching = format!("{{ name = 'alpha', pidfile = '{pidfile}', {field} = {value} }}");
        let machine = two(folder, &format!("setsid {alpha}"), &format!("setsid {alpha}"), &matching);
        wait("the start command is run", || (!machine.folder.lines("starts").is_empty()).then_some(()));
        assert_eq!(machine.named("alpha").len(), 2, "the strangers live");
    }
}

/// A start command that leaves a daemon, which does `body` and then stays.
fn daemonising(folder: &Folder, body: &str) -> String {
    let daemon = folder.script("late-daemon", &format!("{body}\nexec sleep infinity"));
    folder.script("start-late", &format!("echo >>$folder/starts\nsetsid {daemon} >/dev/null 2>&1 &"))
}

fn a_late_pidfile_is_waited_for() {
    let folder = Folder::new("match-late");
    let pidfile = folder.path("late.pid");
    let write = "until [ -e $folder/go ]; do sleep 0.01; done\necho $$ >$folder/late.pid";
    let start = daemonising(&folder, write);
    let config =
        folder.config(&format!("[services.late]\nstart = '{start}'\nmatch = {{ pidfile = '{pidfile}' }}\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    let waits = machine.wait_service("late", "waits", |status| status.reason.contains("waits for"));
    assert_eq!((waits.state.as_str(), waits.pid), ("starting", None));
    fs::write(&pidfile, "").expect("an empty pidfile");
    fs::write(machine.folder.path("go"), "").expect("a file");

    let status = machine.wait_running("late");
    assert_eq!(machine.folder.lines("late.pid"), [pid(&status).to_string()]);
    assert!(status.reason.contains("daemonised"), "{}", status.reason);
    assert_eq!((machine.folder.lines("starts").len(), status.restarts), (1, 0));
}

fn a_stale_pidfile_names_nobody() {
    let folder = Folder::new("match-stale");
    let alpha = folder.sleeper("alpha") + " infinity";
    let pidfile = folder.path("right");
    // The file is older than the process that it names, as one that was left in a container's layer is.
    let right = format!("setsid {alpha}");
    let start = folder.script("start-app", "echo >>$folder/starts\nexec sleep infinity");
    let config =
        folder.config(&format!("[services.app]\nstart = '{start}'\nmatch = {{ pidfile = '{pidfile}' }}\n"));
    let script = format!("{right} &\necho $! >{pidfile}\ntouch -d '-10 seconds' {pidfile}\nexec \"$@\"");
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    let status = machine.wait_running("app");
    assert_ne!(machine.folder.lines("right"), [pid(&status).to_string()]);
    assert_eq!(machine.folder.lines("starts").len(), 1);
    assert_eq!(machine.named("alpha").len(), 1, "the stranger lives");
}

fn a_fifo_for_a_pidfile_holds_up_nothing() {
    let folder = Folder::new("match-fifo");
    let pidfile = folder.path("fifo");
    nix::unistd::mkfifo(pidfile.as_str(), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let alpha = folder.sleeper("alpha") + " infinity";
    let config =
        folder.config(&format!("[services.alpha]\nstart = '{alpha}'\nmatch = {{ pidfile = '{pidfile}' }}\n"));
    let machine = Machine::start(folder, &["-c", &config]);
    let before = machine.wait_running("alpha");
    machine.kill("KILL", pid(&before));
    machine.wait_back("alpha", &before);
}

fn a_client_with_the_words_of_a_service_is_not_it() {
    let folder = Folder::new("match-client");
    let musterd = env!("CARGO_BIN_EXE_musterd");
    let start = folder.script("start-app", "echo >>$folder/starts\nexec sleep infinity");
    let config =
        folder.config(&format!("[services.app]\nstart = '{start}'\nmatch = {{ cmdline = 'needle' }}\n"));
    // A client that waits: its manager accepts and never answers.
    let socket = folder.path("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let client = folder.script("client", &format!("exec {musterd} ctl --socket {socket} stop needle"));
    // Not before: the arguments of the shell that is to become the client are this whole script, with its needle.
    let there =
        "until grep -qx musterd /proc/$!/comm && grep -q needle /proc/$!/cmdline; do sleep 0.01; done";
    let script =
        format!("{client} >/dev/null 2>&1 &\n{there}\necho $! >{}\nexec \"$@\"", folder.path("client.pid"));
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    wait("the start command is run", || (!machine.folder.lines("starts").is_empty()).then_some(()));
    let client = machine.folder.lines("client.pid").concat();
    let arguments =
        fs::read_to_string(machine.proc(&format!("{client}/cmdline"))).expect("the client waits still");
    assert!(arguments.contains("needle"), "{arguments}");
}
