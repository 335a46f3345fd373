//! What a machine is short of, or has lost: processes, memory, descriptors, disk, users, folders. Each is told with service
//! and reason and tried again, and stops nothing else.

use std::{fs, io::Write, os::unix::net::UnixStream};

use libtest_mimic::Trial;

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, Machine, pid, way_in},
};

pub(crate) const TESTS: &[Test] = &[
    ("with_few_descriptors_some_services_wait", with_few_descriptors_some_services_wait),
    ("without_descriptors_musterd_sees_and_answers", without_descriptors_musterd_sees_and_answers),
    ("without_descriptors_output_goes_on_where_it_went", without_descriptors_output_goes_on_where_it_went),
    ("a_full_disk_keeps_the_socket_away_for_a_while", a_full_disk_keeps_the_socket_away_for_a_while),
    ("a_full_disk_keeps_the_record_away_for_a_while", a_full_disk_keeps_the_record_away_for_a_while),
    ("a_full_disk_for_notifications_fails_one_start", a_full_disk_for_notifications_fails_one_start),
    ("a_full_disk_under_the_output_stops_nothing", a_full_disk_under_the_output_stops_nothing),
    ("a_user_that_vanishes_is_told_and_awaited", a_user_that_vanishes_is_told_and_awaited),
    ("a_folder_that_is_removed_is_told_and_awaited", a_folder_that_is_removed_is_told_and_awaited),
    ("a_check_that_floods_and_forks_away_is_ended", a_check_that_floods_and_forks_away_is_ended),
    ("a_stop_command_that_hangs_is_killed", a_stop_command_that_hangs_is_killed),
    ("without_the_table_nothing_is_started_twice", without_the_table_nothing_is_started_twice),
    ("requests_sent_at_once_are_answered_in_turn", requests_sent_at_once_are_answered_in_turn),
];

/// Those that need more than a namespace.
pub(crate) fn trials(ignored: bool) -> impl Iterator<Item = Trial> {
    let no_user = way_in().is_none_or(|way| !way.is_empty());
    if !ignored && no_user {
        eprintln!("namespace: limit of processes ignored: only root can become another user");
    }
    let no_strace = std::process::Command::new("strace").arg("--version").output().is_err();
    let tests: [(&str, fn(), bool); 3] = [
        ("a_start_at_the_limit_of_processes_is_tried_again", at_the_limit_of_processes, no_user),
        ("a_start_without_memory_is_tried_again", without_memory, no_strace),
        ("what_cannot_be_read_is_not_taken_for_absent", what_cannot_be_read, no_strace),
    ];
    tests.into_iter().map(move |(name, test, lacks)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored || lacks)
    })
}

/// A machine of these services, with a short interval: so long is the longest pause.
fn machine(folder: Folder, script: &str, services: &str) -> Machine {
    let config = folder.config(&format!("[defaults]\ninterval = '500ms'\n{services}"));
    Machine::start_by(folder, script, &["--socket", "/run/musterd.sock", "-c", &config])
}

/// Waits until the service cannot be started for this reason, which the log tells, too.
fn fails(machine: &Machine, service: &str, reason: &str) {
    machine
        .wait_service(service, reason, |status| status.state == "backoff" && status.reason.contains(reason));
    let told = |line: &str| line.contains(&format!("\"{service}\": start failed: ")) && line.contains(reason);
    assert_eq!(machine.output().lines().filter(|line| told(line)).count(), 1, "{}", machine.output());
}

/// A service that runs is brought back, whatever else is wrong.
fn is_kept(machine: &Machine, service: &str) {
    let before = machine.wait_running(service);
    machine.kill("KILL", pid(&before));
    machine.wait_back(service, &before);
    // A process that it forks bears its name until it executes another program.
    wait("it is there once", || (machine.named(service).len() == 1).then_some(()));
}

fn sleeper(folder: &Folder, name: &str, keys: &str) -> String {
    format!("[services.{name}]\nstart = '{} infinity'\n{keys}\n", folder.sleeper(name))
}

fn at_the_limit_of_processes() {
    let folder = Folder::new("processes");
    let services = ["alpha", "hog", "beta"].map(|name| sleeper(&folder, name, "")).concat();
    // A user that nobody else is; that one may read what only root may here. Three processes: musterd and two more.
    let script = format!(
        "exec setpriv --reuid={} --regid=54321 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override \
         bash -c 'ulimit -u 3; exec \"$@\"' bash \"$@\"",
        100_000 + std::process::id()
    );
    let mut machine = machine(folder, &script, &services);
    // By default, root trusts no socket of another user's.
    machine.socket = Some("/run/musterd.sock");
    fails(&machine, "beta", "cannot fork: the limit of processes is reached");
    is_kept(&machine, "alpha");
    let hog = machine.wait_running("hog");
    assert!(machine.ctl(&["stop", "hog"]).status.success());
    machine.wait_running("beta");
    assert!(machine.named("hog").is_empty(), "{hog:?}");
}

fn without_memory() {
    let folder = Folder::new("memory");
    let services = ["alpha", "beta"].map(|name| sleeper(&folder, name, "")).concat();
    // The first and the third: the second start is beta's.
    let script = "exec strace -o /dev/null -e trace=clone -e inject=clone:error=ENOMEM:when=1..3+2 \"$@\"";
    let machine = machine(folder, script, &services);
    machine.wait_running("beta");
    let alpha = machine.wait_running("alpha");
    assert_eq!(alpha.restarts, 0);
    let output = machine.output();
    assert!(output.contains("\"alpha\": start failed: cannot fork: out of memory"), "{output}");
    assert!(!output.contains("\"beta\": start failed"), "{output}");
}

/// It runs already, and twice its line of facts cannot be read.
fn what_cannot_be_read() {
    let folder = Folder::new("unreadable");
    let (alpha, services) = (folder.sleeper("alpha"), sleeper(&folder, "alpha", ""));
    let script = format!(
        "{alpha} infinity &\nuntil grep -qx alpha /proc/$!/comm; do :; done\n\
         exec strace -o /dev/null -P /proc/$!/stat -e trace=read -e inject=read:error=EIO:when=1..2 \"$@\""
    );
    let machine = machine(folder, &script, &services);
    let alpha = machine.wait_running("alpha");
    assert!(alpha.reason.contains("adopted"), "{}", alpha.reason);
    assert_eq!(machine.named("alpha").len(), 1);
    assert_eq!(machine.output().matches("cannot read the process table").count(), 1, "{}", machine.output());
}

fn with_few_descriptors_some_services_wait() {
    let folder = Folder::new("few");
    let services: Vec<String> =
        (10..40).map(|number| sleeper(&folder, &format!("web-{number}"), "")).collect();
    let mut machine = machine(folder, "ulimit -n 90\nexec \"$@\"", &services.concat());
    machine.wait_running("web-10");
    fails(&machine, "web-39", "cannot make the pipes for its output: too many open files");
    let output = machine.output();
    let once = "too few file descriptors: 30 services need 182 descriptors, the limit (RLIMIT_NOFILE) is 90";
    assert_eq!(output.matches(once).count(), 1, "{output}");
    let running = |machine: &Machine| -> Vec<String> {
        let all = machine.status().into_iter().filter(|service| service.state == "running");
        all.map(|service| service.name).collect()
    };
    let before = running(&machine);
    assert!((5..25).contains(&before.len()), "{before:?}");
    for service in [&before[0], &before[before.len() - 1]] {
        is_kept(&machine, service);
    }
    assert_eq!(running(&machine), before);
    assert!(machine.ctl(&["stop", &before[0]]).status.success());
    wait("what was stopped makes room for one that waited", || {
        let now = running(&machine);
        (now.len() == before.len() && !now.contains(&before[0])).then_some(())
    });
    machine.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
}

fn without_descriptors_musterd_sees_and_answers() {
    let folder = Folder::new("none");
    let keys = "autostart = false";
    let services = sleeper(&folder, "alpha", "") + &sleeper(&folder, "late", keys);
    let hermit = format!("[services.hermit]\nstart = '{}'\n", folder.daemon("hermit"));
    let machine = machine(folder, "ulimit -n 500\nexec \"$@\"", &(services + &hermit));
    machine.wait_running("alpha");
    machine.wait_service("hermit", "is followed", |status| status.reason.contains("daemonised"));
    // Room for a process, and for its pipes none: they take four.
    leave_descriptors(&machine, 2);

    assert!(!machine.ctl(&["start", "late"]).status.success());
    fails(&machine, "late", "too many open files");
    // By the table, as its end may leave others; and by one process that must be found in it.
    is_kept(&machine, "alpha");
    let before = machine.wait_running("hermit");
    machine.kill("KILL", pid(&before));
    machine.wait_back("hermit", &before);
    assert!(!machine.output().contains("cannot read the process table"), "{}", machine.output());
    limit_descriptors(&machine, 500);
    machine.wait_running("late");
}

fn limit_descriptors(machine: &Machine, limit: usize) {
    let output = machine.inside(&["prlimit", "--pid", "1", &format!("--nofile={limit}:")]);
    assert!(output.status.success(), "{}", text(&output));
}

/// Limits musterd's descriptors so that so many are free.
fn leave_descriptors(machine: &Machine, wanted: usize) {
    let entries = fs::read_dir(machine.proc("1/fd")).expect("musterd's descriptors");
    let open: Vec<usize> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let free = |limit: usize| (0..limit).filter(|number| !open.contains(number)).count();
    let limit = (0..500).rev().find(|&limit| free(limit) <= wanted);
    limit_descriptors(machine, limit.expect("few are free below a low limit"));
}

fn without_descriptors_output_goes_on_where_it_went() {
    let folder = Folder::new("redirected");
    let talker = folder.script("talker", "n=0; while :; do n=$((n+1)); echo \"line $n\"; sleep 0.05; done");
    let (log, start) = (folder.path("log"), format!("[services.talker]\nstart = '{talker}'\n"));
    let machine = machine(folder, "ulimit -n 500\nexec \"$@\"", &start);
    let before = machine.wait_running("talker");
    // Room to read the configuration, and for a log file none: it takes three.
    leave_descriptors(&machine, 1);
    machine.folder.config(&format!("{start}log = {{ to = 'file', path = '{log}' }}\n"));
    machine.signal(nix::sys::signal::Signal::SIGHUP);
    wait("it is told", || {
        let told = "\"talker\": cannot change where its output goes: ";
        machine
            .output()
            .lines()
            .any(|line| line.contains(told) && line.contains("too many open files"))
            .then_some(())
    });
    let lines = || machine.output().matches("| line ").count();
    let count = lines();
    wait("lines come where they came", || (lines() > count + 3).then_some(()));
    limit_descriptors(&machine, 500);
    machine.kill("KILL", pid(&before));
    machine.wait_back("talker", &before);
    wait("lines are in the file", || (machine.folder.lines("log").len() > 3).then_some(()));
}

/// A folder with room for some files, in which nothing can be created once it is filled.
const SMALL: &str = "mount -t tmpfs -o nr_inodes=20 tmpfs /mnt";
const FILL: &str = "n=0; while echo >/mnt/filler$n; do n=$((n+1)); done 2>/dev/null; true";

fn clean_up(machine: &Machine) {
    let output = machine.inside(&["sh", "-c", "rm /mnt/filler*"]);
    assert!(output.status.success(), "{}", text(&output));
}

fn a_full_disk_keeps_the_socket_away_for_a_while() {
    let folder = Folder::new("full-socket");
    let config = folder.config(&sleeper(&folder, "alpha", ""));
    let script = format!("{SMALL}\n{FILL}\nexec \"$@\"");
    let mut machine = Machine::start_by(folder, &script, &["--socket", "/mnt/socket", "-c", &config]);
    machine.socket = Some("/mnt/socket");
    let alpha = wait("alpha is started", || machine.named("alpha").pop());
    let told = wait("it is told", || {
        machine.output().lines().find(|line| line.contains("no control socket")).map(str::to_owned)
    });
    assert!(told.contains("/mnt/socket") && told.to_lowercase().contains("no space left"), "{told}");
    machine.kill("KILL", alpha.pid);
    wait("alpha is back", || machine.named("alpha").pop().filter(|new| new.pid != alpha.pid));
    clean_up(&machine);
    machine.wait_running("alpha");
}

fn a_full_disk_keeps_the_record_away_for_a_while() {
    let folder = Folder::new("full-record");
    let services = sleeper(&folder, "alpha", "");
    // One page, which is taken. Not as PID 1, which keeps no record.
    let script = "mount -t tmpfs -o size=4k tmpfs /run && head -c 4096 /dev/zero >/run/filler\n\"$@\"";
    let machine = machine(folder, script, &services);
    is_kept(&machine, "alpha");
    is_kept(&machine, "alpha");
    let output = machine.output();
    let told: Vec<_> = output.lines().filter(|line| line.contains("cannot keep the record")).collect();
    assert!(matches!(told[..], [line] if line.contains("No space left")), "{output}");
    assert!(machine.inside(&["rm", "/run/filler"]).status.success());
    let alpha = pid(&machine.wait_running("alpha"));
    wait("the record is written", || {
        let record = machine.inside(&["cat", "/run/musterd/record.json"]);
        text(&record).contains(&format!("[{alpha},")).then_some(())
    });
}

fn a_full_disk_for_notifications_fails_one_start() {
    let folder = Folder::new("full-notify");
    let alpha = folder.player("alpha", &format!("teller {}", folder.path("")));
    let config = folder.config(&format!(
        "[defaults]\ninterval = '500ms'\n\
         [services.alpha]\nstart = '{alpha}'\nready = {{ notify = true }}\nautostart = false\n{}",
        sleeper(&folder, "beta", "")
    ));
    let script = format!("{SMALL}\nexec \"$@\"");
    let mut machine = Machine::start_by(folder, &script, &["--socket", "/mnt/socket", "-c", &config]);
    machine.socket = Some("/mnt/socket");
    machine.wait_running("beta");
    assert!(machine.inside(&["sh", "-c", FILL]).status.success());
    assert!(!machine.ctl(&["start", "alpha"]).status.success());
    fails(&machine, "alpha", "No space left on device");
    is_kept(&machine, "beta");
    clean_up(&machine);
    machine.wait_service("alpha", "is started", |alpha| alpha.pid.is_some());
}

fn a_full_disk_under_the_output_stops_nothing() {
    let folder = Folder::new("full-output");
    let loud = folder.script("loud", "while :; do echo here; sleep 0.01; done");
    let services = format!("[services.loud]\nstart = '{loud}'\n{}", sleeper(&folder, "alpha", ""));
    let machine = machine(folder, "exec \"$@\" >/dev/full 2>&1", &services);
    machine.wait_running("loud");
    is_kept(&machine, "alpha");
    is_kept(&machine, "loud");
    let told = text(&machine.ctl(&["status", "loud"]));
    assert!(told.contains("cannot write to stdout and stderr: no space left on device, "), "{told}");
    let json = text(&machine.ctl(&["status", "--json", "loud"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json[0]["log_failures"][0]["lost_lines"].as_u64() > Some(0), "{json}");
}

fn a_user_that_vanishes_is_told_and_awaited() {
    let folder = Folder::new("user");
    let passwd = folder.path("passwd");
    // With the ID of root, as that is the only one in a user namespace.
    let with_app = "root:x:0:0::/:/bin/sh\napp:x:0:0::/:/bin/sh\n";
    fs::write(&passwd, with_app).expect("a file of users");
    let services = sleeper(&folder, "alpha", "user = 'app'") + &sleeper(&folder, "beta", "");
    let script = format!("mount --bind {passwd} /etc/passwd\nexec \"$@\"");
    let machine = machine(folder, &script, &services);
    let alpha = machine.wait_running("alpha");
    fs::write(&passwd, "root:x:0:0::/:/bin/sh\n").expect("our file");
    machine.kill("KILL", pid(&alpha));
    fails(&machine, "alpha", "no such user in /etc/passwd");
    is_kept(&machine, "beta");
    fs::write(&passwd, with_app).expect("our file");
    machine.wait_running("alpha");
}

fn a_folder_that_is_removed_is_told_and_awaited() {
    let folder = Folder::new("removed");
    let home = folder.path("home");
    fs::create_dir(&home).expect("a folder");
    let services =
        sleeper(&folder, "alpha", &format!("directory = '{home}'")) + &sleeper(&folder, "beta", "");
    let machine = machine(folder, "exec \"$@\"", &services);
    let alpha = machine.wait_running("alpha");
    fs::remove_dir(&home).expect("our folder");
    machine.kill("KILL", pid(&alpha));
    fails(&machine, "alpha", &format!("cannot enter directory \"{home}\": no such file or directory"));
    is_kept(&machine, "beta");
    fs::create_dir(&home).expect("a folder again");
    machine.wait_running("alpha");
}

/// A check that leaves its session twice over, and floods: it fails in its time, and nothing of it is left.
fn a_check_that_floods_and_forks_away_is_ended() {
    let folder = Folder::new("away");
    let stray = folder.script("stray", "echo $$ >>$folder/strays\nwhile :; do echo flood; done");
    let check =
        folder.script("check", &format!("setsid setsid --fork {stray} &\nwhile :; do echo flood; done"));
    let keys = format!(
        "check = {{ exec = '{check}', every = '100ms', timeout = '300ms', retries = 2, on-failure = 'report' }}"
    );
    let services = sleeper(&folder, "alpha", &keys) + &sleeper(&folder, "beta", "");
    let machine = machine(folder, "exec \"$@\"", &services);
    let alpha = machine.wait_service("alpha", "fails its check", |alpha| alpha.state == "unhealthy");
    assert!(alpha.reason.contains("no answer within 300ms"), "{}", alpha.reason);
    is_kept(&machine, "beta");
    wait("some checks", || (machine.folder.lines("strays").len() > 5).then_some(()));
    // One check at a time, and what the one before left is looked for at once.
    wait("few are left", || (machine.named("stray").len() <= 2).then_some(()));
    assert!(machine.ctl(&["stop", "alpha"]).status.success());
    wait("none is left", || {
        (machine.named("stray").is_empty() && machine.named("check").is_empty()).then_some(())
    });
    assert!(!machine.output().contains("flood"), "what a check says is no output of a service");
}

fn a_stop_command_that_hangs_is_killed() {
    let folder = Folder::new("halt");
    let halt = folder.script("halt", "trap '' TERM\nsleep infinity");
    let keys = format!("stop = '{halt}'\nstop-timeout = '300ms'");
    let services = sleeper(&folder, "alpha", &keys) + &sleeper(&folder, "beta", "");
    let mut machine = machine(folder, "exec \"$@\"", &services);
    machine.wait_running("alpha");
    let output = machine.ctl(&["stop", "alpha"]);
    assert!(output.status.success(), "{}", text(&output));
    for name in ["alpha", "halt", "sleep"] {
        wait("nothing of it is left", || machine.named(name).is_empty().then_some(()));
    }
    is_kept(&machine, "beta");
    assert!(machine.ctl(&["start", "alpha"]).status.success());
    machine.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(machine.wait_end(), Some(0));
}

/// /proc is hidden for a while.
fn without_the_table_nothing_is_started_twice() {
    let folder = Folder::new("no-table");
    let hermit = folder.daemon("hermit");
    let machine = machine(folder, "exec \"$@\"", &format!("[services.hermit]\nstart = '{hermit}'\n"));
    let before = machine.wait_service("hermit", "is followed", |status| status.reason.contains("daemonised"));
    let mount = |words: &[&str]| assert!(machine.inside(words).status.success(), "{words:?}");
    mount(&["mount", "-t", "tmpfs", "tmpfs", "/proc"]);
    machine.kill("KILL", pid(&before));
    let told = || machine.output().matches("cannot read the process table").count();
    wait("it is told", || (told() > 0).then_some(()));
    // Time for some more looks, which are a second apart.
    let begin = crate::common::now();
    wait("some time", || (begin.elapsed().as_millis() > 2500).then_some(()));
    assert_eq!(machine.output().matches("\"hermit\": started").count(), 1, "{}", machine.output());
    mount(&["umount", "/proc"]);
    machine.wait_back("hermit", &before);
    wait("it has daemonised again", || (machine.folder.lines("starts").len() == 2).then_some(()));
    assert_eq!(told(), 1, "{}", machine.output());
}

/// The second request is there before the first one can be answered.
fn requests_sent_at_once_are_answered_in_turn() {
    let folder = Folder::new("at-once");
    let body = "trap 'sleep 0.3; exit 0' TERM\necho ready\nwhile :; do sleep 3600 & wait; done";
    let alpha = folder.script("alpha", body);
    let (config, socket) =
        (folder.config(&format!("[services.alpha]\nstart = '{alpha}'\n")), folder.path("s"));
    let machine = Machine::start(folder, &["--socket", &socket, "-c", &config]);
    wait("alpha hears", || machine.output().contains("ready\n").then_some(()));

    let mut client = UnixStream::connect(&socket).expect("musterd listens");
    client
        .write_all(b"{\"verb\":\"stop\",\"names\":[\"alpha\"]}\n{\"verb\":\"status\"}\n")
        .expect("it takes requests");
    // No other event comes: the interval is a minute.
    client.set_read_timeout(Some(crate::common::LIMIT)).expect("a limit");
    let answers: Vec<String> = std::io::BufRead::lines(std::io::BufReader::new(client))
        .take(2)
        .map(|line| line.expect("an answer in time"))
        .collect();
    assert_eq!(answers.len(), 2);
    assert!(answers[1].contains("\"stopped\""), "{answers:?}");
}
