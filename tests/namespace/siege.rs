//! The control socket of the real binary against clients that mean no good, and its place against others.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, MUSTERD, Machine, pid},
};

pub(crate) const TESTS: &[Test] = &[
    ("whatever_clients_do_services_are_started_again", whatever_clients_do_services_are_started_again),
    ("a_second_manager_exits_and_names_the_first", a_second_manager_exits_and_names_the_first),
    ("a_manager_beside_another_says_so", a_manager_beside_another_says_so),
    ("a_dead_managers_socket_is_taken_over", a_dead_managers_socket_is_taken_over),
];

const STATUS: &[u8] = b"{\"verb\":\"status\"}\n";

/// The most memory that musterd may have had by then, in KiB: some 4 MiB without clients, 16 MiB of answers that nobody
/// reads, and half a line of each client.
const MOST: u64 = 64 * 1024;

fn connect(machine: &Machine) -> UnixStream {
    let path = machine.proc("../run/musterd.sock");
    let stream = wait("musterd lets somebody in", || UnixStream::connect(&path).ok());
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket of our own");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a socket of our own");
    stream
}

/// What is answered to these bytes, however many of them musterd takes.
fn answer(machine: &Machine, words: &[u8]) -> String {
    let mut stream = connect(machine);
    // Who is refused early has an answer all the same.
    let _ = stream.write_all(words);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    line
}

fn peak(machine: &Machine) -> u64 {
    let status = fs::read_to_string(machine.proc("1/status")).expect("the machine runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn whatever_clients_do_services_are_started_again() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(4096)), hard).expect("ours to set");
    let folder = Folder::new("siege");
    let alpha = folder.sleeper("alpha") + " infinity";
    let machine = Machine::start(folder, &["--set", "defaults.stable-after=0s", &alpha]);
    let before = machine.wait_running("alpha");

    assert!(answer(&machine, b"GET / HTTP/1.1\r\n\r\n").contains("cannot understand the request"));
    assert!(answer(&machine, b"\0\xff\xfe\n").contains("cannot understand the request"));
    let gigabyte = vec![b'x'; 1 << 30];
    assert!(answer(&machine, &gigabyte).contains("the request is longer than 65536 bytes"));
    drop(gigabyte);

    let idle: Vec<_> = (0..1000).map(|_| connect(&machine)).collect();
    let with = |words: &[u8]| {
        let mut stream = connect(&machine);
        stream.write_all(words).expect("room in the kernel's buffer");
        stream
    };
    let half: Vec<_> = (0..60).map(|_| with(b"{\"verb\":\"sta")).collect();
    let deaf: Vec<_> = (0..60).map(|_| with(&STATUS.repeat(5000))).collect();
    let waiting: Vec<_> =
        (0..60).map(|_| with(b"{\"verb\":\"logs\",\"follow\":true,\"after\":9999}\n")).collect();
    machine.kill("KILL", pid(&before));
    machine.wait_back("alpha", &before);
    assert!(answer(&machine, STATUS).contains("\"alpha\""), "who asks is answered");
    assert!(peak(&machine) < MOST, "{} KiB", peak(&machine));
    drop((idle, half, deaf, waiting));
    assert!(answer(&machine, STATUS).contains("\"alpha\""));
}

fn second(machine: &Machine) -> (Option<i32>, String) {
    let output = machine.inside(&[MUSTERD, "/bin/true"]);
    (output.status.code(), text(&output))
}

fn a_second_manager_exits_and_names_the_first() {
    let folder = Folder::new("second");
    let alpha = folder.sleeper("alpha") + " infinity";
    let machine = Machine::start(folder, &["--set", "defaults.interval=1s", &alpha]);
    machine.wait_running("alpha");
    let refusal =
        "musterd | error: cannot begin: cannot listen on /run/musterd.sock: the musterd with pid 1 does\n";
    assert_eq!(second(&machine), (Some(2), refusal.to_owned()));

    // Nor does it begin where the file is gone.
    assert!(machine.inside(&["rm", "/run/musterd.sock"]).status.success());
    assert_eq!(second(&machine), (Some(2), refusal.to_owned()));
    wait("the file is made again", || machine.ctl(&["status"]).status.success().then_some(()));
    let told = machine.output();
    assert!(told.contains("control socket made again: somebody removed /run/musterd.sock"), "{told}");
    assert_eq!(machine.wait_running("alpha").restarts, 0);
}

fn a_dead_managers_socket_is_taken_over() {
    let folder = Folder::new("dead");
    let alpha = folder.sleeper("alpha");
    let config = folder.config(&format!("[services.alpha]\nstart = '{alpha} infinity'\n"));
    let script = format!("\"$@\" & wait $!\nexec '{MUSTERD}' -c '{config}'");
    let machine = Machine::start_by(folder, &script, &["-c", &config]);
    let before = machine.wait_running("alpha");
    let [first] = &machine.named("musterd")[..] else { panic!("one musterd") };
    machine.kill("KILL", first.pid);
    let after = wait("the next one answers", || machine.status().pop().filter(|alpha| alpha.pid.is_some()));
    assert_eq!(after.pid, before.pid, "it found its service");
}

fn a_manager_beside_another_says_so() {
    let folder = Folder::new("beside");
    let alpha = folder.sleeper("alpha") + " infinity";
    let config = folder.config("[services.once]\nstart = '/bin/true'\nkind = 'task'\n");
    let machine = Machine::start(folder, &[&alpha]);
    machine.wait_running("alpha");
    let output = machine.inside(&[MUSTERD, "--socket", "/run/other.sock", "-c", &config]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("another musterd: pid 1 manages services here, too"), "{told}");
    assert!(!machine.output().contains("another musterd"), "{}", machine.output());
}
