//! Keys of what a process is: user, groups, limits, privileges. The kernel tells whether they were applied, beside a
//! service without the key.

use crate::{
    Test,
    machine::{Machine, pid},
};

use super::{beside, read, variable};

pub(crate) const TESTS: &[Test] = &[
    ("directory_is_where_it_runs", directory_is_where_it_runs),
    ("umask_is_its_own", umask_is_its_own),
    ("nice_stands_back", nice_stands_back),
    ("limits_are_its_own", limits_are_its_own),
    ("oom_score_adj_is_its_own", oom_score_adj_is_its_own),
    ("capabilities_are_all_it_keeps", capabilities_are_all_it_keeps),
    ("no_new_privileges_is_set", no_new_privileges_is_set),
];

/// Those that need another user than root.
pub(crate) const ROOT_TESTS: &[Test] = &[
    ("user_is_whom_it_runs_as", user_is_whom_it_runs_as),
    ("group_is_its_group", group_is_its_group),
    ("groups_are_its_supplementary_ones", groups_are_its_supplementary_ones),
];

/// Those that need CAP_SYS_RESOURCE, which a container's root has not.
pub(crate) const RESOURCE_TESTS: &[Test] =
    &[("limits_of_priority_are_its_own", limits_of_priority_are_its_own)];

/// Whether this test has CAP_SYS_RESOURCE, number 24 (capabilities(7)).
pub(crate) fn has_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
    let set =
        status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("a field of every process");
    u64::from_str_radix(set, 16).expect("hexadecimal digits") & (1 << 24) != 0
}

/// A field of /proc/PID/status (proc_pid_status(5)).
fn status(machine: &Machine, pid: i32, field: &str) -> String {
    let text = read(machine, pid, "status");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("a field of every process").trim().to_owned()
}

fn directory_is_where_it_runs() {
    let (machine, alpha, plain) = beside("directory", "A=1", "directory = '/usr/share'");
    let of = |pid| std::fs::read_link(machine.proc(&format!("{pid}/cwd"))).expect("it lives");
    assert_eq!(of(alpha).to_str(), Some("/usr/share"));
    assert_ne!(of(plain), of(alpha));
}

fn umask_is_its_own() {
    let (machine, alpha, plain) = beside("umask", "A=1\numask 022", "umask = '027'");
    assert_eq!(status(&machine, alpha, "Umask"), "0027");
    assert_eq!(status(&machine, plain, "Umask"), "0022");
}

fn nice_stands_back() {
    let (machine, alpha, plain) = beside("nice", "A=1", "nice = 7");
    // Field 19 of proc_pid_stat(5); the first after the name is the third.
    let of = |pid| -> i32 {
        let stat = read(&machine, pid, "stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        fields.split_whitespace().nth(16).and_then(|field| field.parse().ok()).expect("a number")
    };
    assert_eq!((of(alpha), of(plain)), (7, of(1)));
    assert_ne!(of(1), 7);
}

/// Each key of `limits`, what it is given, and its name and values in /proc/PID/limits (proc_pid_limits(5)).
fn assert_limits(limits: &[(&str, &str, &str, [&str; 2])]) {
    let keys: String = limits.iter().map(|(key, value, ..)| format!("limits.{key} = {value}\n")).collect();
    let (machine, alpha, plain) = beside(&format!("limits-{}", limits[0].0), "A=1", &keys);
    let of = |pid, name: &str| {
        let limits = read(&machine, pid, "limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit");
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    for (key, _, name, values) in limits {
        assert_eq!(of(alpha, name), values, "{key}");
        assert_ne!(of(plain, name), values, "{key}");
    }
}

fn limits_are_its_own() {
    assert_limits(&[
        ("as", "'1GiB:2GiB'", "Max address space", ["1073741824", "2147483648"]),
        ("core", "0", "Max core file size", ["0", "0"]),
        ("cpu", "'1000:2000'", "Max cpu time", ["1000", "2000"]),
        ("data", "'1GiB'", "Max data size", ["1073741824", "1073741824"]),
        ("fsize", "'1MiB'", "Max file size", ["1048576", "1048576"]),
        ("locks", "101", "Max file locks", ["101", "101"]),
        ("memlock", "'4KiB'", "Max locked memory", ["4096", "4096"]),
        ("msgqueue", "4097", "Max msgqueue size", ["4097", "4097"]),
        ("nofile", "'77:99'", "Max open files", ["77", "99"]),
        ("nproc", "'50:1000'", "Max processes", ["50", "1000"]),
        ("rss", "'1GiB'", "Max resident set", ["1073741824", "1073741824"]),
        ("rttime", "5000000", "Max realtime timeout", ["5000000", "5000000"]),
        ("sigpending", "44", "Max pending signals", ["44", "44"]),
        ("stack", "'2MiB:4MiB'", "Max stack size", ["2097152", "4194304"]),
    ]);
}

/// The kernel gives an ordinary user none of these.
fn limits_of_priority_are_its_own() {
    assert_limits(&[
        ("nice", "11", "Max nice priority", ["11", "11"]),
        ("rtprio", "12", "Max realtime priority", ["12", "12"]),
    ]);
}

fn oom_score_adj_is_its_own() {
    let (machine, alpha, plain) = beside("oom-score-adj", "A=1", "oom-score-adj = 789");
    assert_eq!(read(&machine, alpha, "oom_score_adj").trim(), "789");
    assert_eq!(read(&machine, plain, "oom_score_adj"), read(&machine, 1, "oom_score_adj"));
}

fn capabilities_are_all_it_keeps() {
    let (machine, alpha, plain) = beside("capabilities", "A=1", "capabilities = ['NET_BIND_SERVICE']");
    // CAP_NET_BIND_SERVICE is 10 (capabilities(7)).
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status(&machine, alpha, set), "0000000000000400", "{set}");
        assert_ne!(status(&machine, plain, set), "0000000000000400", "{set}");
    }
}

fn no_new_privileges_is_set() {
    let (machine, alpha, plain) = beside("no-new-privileges", "A=1", "no-new-privileges = true");
    assert_eq!(status(&machine, alpha, "NoNewPrivs"), "1");
    assert_eq!(status(&machine, plain, "NoNewPrivs"), "0");
}

fn user_is_whom_it_runs_as() {
    let (machine, alpha, plain) = beside("user", "USER=root HOME=/root", "user = 'nobody'");
    let of = |pid| (status(&machine, pid, "Uid"), status(&machine, pid, "Gid"));
    assert_eq!(of(alpha), ("65534\t65534\t65534\t65534".to_owned(), "65534\t65534\t65534\t65534".to_owned()));
    assert_eq!(of(plain).0, "0\t0\t0\t0");
    assert_eq!(variable(&machine, alpha, "USER").as_deref(), Some("nobody"));
    assert_eq!(variable(&machine, alpha, "HOME").as_deref(), Some("/nonexistent"));
    assert_eq!(variable(&machine, plain, "USER").as_deref(), Some("root"));
    assert_eq!(status(&machine, alpha, "CapEff"), "0000000000000000");
    // And so it is after a restart.
    let before = machine.wait_running("alpha");
    machine.kill("KILL", pid(&before));
    assert_eq!(of(pid(&machine.wait_back("alpha", &before))), of_nobody());
}

fn of_nobody() -> (String, String) {
    let four = ["65534"; 4].join("\t");
    (four.clone(), four)
}

fn group_is_its_group() {
    let (machine, alpha, plain) = beside("group", "A=1", "user = 'nobody'\ngroup = 'daemon'");
    assert_eq!(status(&machine, alpha, "Uid"), of_nobody().0);
    assert_eq!(status(&machine, alpha, "Gid"), "1\t1\t1\t1");
    assert_eq!(status(&machine, plain, "Gid"), "0\t0\t0\t0");
    assert!(!status(&machine, alpha, "Groups").split(' ').any(|group| group == "0"), "root's group is kept");
}

fn groups_are_its_supplementary_ones() {
    let (machine, alpha, plain) = beside("groups", "A=1", "user = 'nobody'\ngroups = ['adm', 4242]");
    assert_eq!(status(&machine, alpha, "Groups"), "4 4242");
    assert_ne!(status(&machine, plain, "Groups"), "4 4242");
}
