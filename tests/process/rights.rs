//! As whom a new process runs and what it may: users, groups, limits, capabilities.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, process::Command};

use musterd::{
    config::{Capability, Group, Limit, User},
    linux::spawn::Stage,
};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    sys::{
        resource::Resource,
        signal::{Signal, kill},
    },
    unistd::{Gid, Pid, Uid, getgroups, getuid, setgroups, setresgid, setresuid},
};
use rustix::process::{DumpableBehavior, dumpable_behavior};

use crate::{
    ignore,
    support::{Shell, content, field},
};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:4001:4002::/srv/app:/bin/app-shell\n";
const GROUP: &str = "root:x:0:root\napp:x:4002:\nlog:x:4003:x,app\nweb:x:4004:x\nssl:x:4005:app\n";

/// An ordinary user and group without an account.
const OTHER: u32 = 4242;

const SHOW_STATUS: &[&str] = &["/bin/cat", "/proc/self/status"];

fn needs_root() {
    if !getuid().is_root() {
        ignore("it needs root");
    }
}

/// A musterd with users of its own: the files stand in the place of the machine's in its own view only.
fn shell_with_users() -> Shell {
    needs_root();
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        ignore("it needs a mount namespace");
    }
    let shell = Shell::new();
    let mount = |arguments: &[&str]| {
        if !Command::new("mount").args(arguments).status().is_ok_and(|status| status.success()) {
            ignore("it needs to mount files");
        }
    };
    mount(&["--make-rprivate", "/"]);
    for (name, text) in [("passwd", PASSWD), ("group", GROUP)] {
        let file = shell.scratch.file(name, text, 0o644);
        mount(&["--bind", &file, &format!("/etc/{name}")]);
    }
    shell
}

fn user(name: &str) -> Option<User> {
    Some(User::Name(name.to_owned()))
}

fn group(name: &str) -> Group {
    Group::Name(name.to_owned())
}

/// The lines of the IDs: real, effective, saved and of the file system.
fn ids(shell: &mut Shell) -> (String, String, String) {
    let status = shell.output(SHOW_STATUS);
    (field(&status, "Uid:"), field(&status, "Gid:"), field(&status, "Groups:"))
}

fn four(id: u32) -> String {
    format!("{id} {id} {id} {id}")
}

/// Without root's rights from now on.
fn become_other() {
    if getuid().is_root() {
        setgroups(&[]).unwrap();
        let other = OTHER.into();
        setresgid(other, other, other).unwrap();
        setresuid(OTHER.into(), OTHER.into(), OTHER.into()).unwrap();
    }
}

pub(crate) fn a_service_runs_as_its_user_with_his_groups() {
    let mut shell = shell_with_users();
    shell.service.identity.user = user("app");
    assert_eq!(ids(&mut shell), (four(4001), four(4002), "4002 4003 4005".to_owned()));
    shell.service.identity.user = Some(User::Id(4001));
    assert_eq!(ids(&mut shell), (four(4001), four(4002), "4002 4003 4005".to_owned()));
}

pub(crate) fn groups_are_given() {
    let mut shell = shell_with_users();
    shell.service.identity.group = Some(group("web"));
    let own = field(&content("/proc/thread-self/status"), "Groups:");
    assert_eq!(ids(&mut shell), (four(0), four(4004), own));
    shell.service.identity.user = user("app");
    assert_eq!(ids(&mut shell), (four(4001), four(4004), "4003 4004 4005".to_owned()));
    shell.service.identity.groups = Some(vec![group("log"), Group::Id(9)]);
    assert_eq!(ids(&mut shell), (four(4001), four(4004), "9 4003".to_owned()));
    shell.service.identity.groups = Some(Vec::new());
    assert_eq!(ids(&mut shell), (four(4001), four(4004), String::new()));
    shell.service.identity.groups = Some(vec![group("none")]);
    assert_eq!(shell.refusal(SHOW_STATUS), "cannot set groups: no such group \"none\" in /etc/group");
    shell.service.identity.group = Some(group("none"));
    assert_eq!(shell.refusal(SHOW_STATUS), "cannot become group \"none\": no such group in /etc/group");
}

pub(crate) fn an_id_needs_no_account() {
    let mut shell = shell_with_users();
    shell.service.identity.user = Some(User::Id(OTHER));
    assert_eq!(ids(&mut shell), (four(OTHER), four(OTHER), String::new()));
    shell.service.identity.group = Some(Group::Id(7));
    assert_eq!(ids(&mut shell), (four(OTHER), four(7), String::new()));
}

pub(crate) fn a_user_may_come_and_go() {
    let mut shell = shell_with_users();
    shell.service.identity.user = user("late");
    let absent = "cannot become user \"late\": no such user in /etc/passwd";
    let error = shell.spawn(SHOW_STATUS).unwrap_err();
    assert_eq!((error.stage, error.to_string().as_str()), (Stage::User, absent));
    fs::write("/etc/passwd", format!("{PASSWD}late:x:4100:4101::/:/bin/sh\n")).unwrap();
    assert_eq!(ids(&mut shell), (four(4100), four(4101), "4101".to_owned()));
    fs::write("/etc/passwd", PASSWD).unwrap();
    assert_eq!(shell.refusal(SHOW_STATUS), absent);
}

/// Run in a small environment, see `main`.
pub(crate) fn the_environment_follows_the_user() {
    let mut shell = shell_with_users();
    let variables = |shell: &mut Shell| {
        let written = shell.output(&["/usr/bin/env"]);
        let names = ["HOME=", "USER=", "LOGNAME=", "SHELL="];
        let mut lines: Vec<String> = written
            .lines()
            .filter(|line| names.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(variables(&mut shell), [""; 0]);
    shell.service.identity.user = user("app");
    let expected = ["HOME=/srv/app", "LOGNAME=app", "SHELL=/bin/app-shell", "USER=app"];
    assert_eq!(variables(&mut shell), expected);
    let home = musterd::config::Variable::Text(musterd::config::Template::plain("/data"));
    shell.service.environment.set.insert("HOME".to_owned(), home);
    assert_eq!(variables(&mut shell)[0], "HOME=/data");
    shell.service.environment = Default::default();
    shell.service.identity.user = Some(User::Id(OTHER));
    assert_eq!(variables(&mut shell), ["HOME=/", "SHELL=/bin/sh"]);
}

pub(crate) fn a_change_of_user_leaves_musterd_as_it_was() {
    needs_root();
    let mut shell = Shell::new();
    let own = |name| field(&content("/proc/thread-self/status"), name);
    let before = ["Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:"].map(own);
    assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable));
    shell.service.identity.user = Some(User::Id(OTHER));
    shell.service.capabilities = Some(vec![Capability(10)]);
    shell.service.no_new_privileges = true;
    shell.output(&["/bin/true"]);
    assert_eq!(shell.spawn(&["/no/such"]).unwrap_err().stage, Stage::Execute);
    assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::Dumpable));
    assert_eq!(["Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:"].map(own), before);
}

pub(crate) fn the_umask_is_set() {
    let mut shell = Shell::new();
    let own = field(&content("/proc/thread-self/status"), "Umask:");
    shell.service.umask = Some(0o137);
    assert_eq!(field(&shell.output(SHOW_STATUS), "Umask:"), "0137");
    assert_eq!(field(&content("/proc/thread-self/status"), "Umask:"), own);
    shell.service.umask = None;
    assert_eq!(field(&shell.output(SHOW_STATUS), "Umask:"), own);
}

pub(crate) fn nice_and_oom_score_adj_are_the_services_own() {
    let mut shell = Shell::new();
    let nice = |stat: &str| stat.rsplit(' ').nth(52 - 19).unwrap().to_owned();
    let own = || (nice(&content("/proc/self/stat")), content("/proc/self/oom_score_adj"));
    let before = own();
    shell.service.nice = Some(7);
    shell.service.oom_score_adj = Some(900);
    assert_eq!(nice(&shell.output(&["/bin/cat", "/proc/self/stat"])), "7");
    assert_eq!(shell.output(&["/bin/cat", "/proc/self/oom_score_adj"]), "900\n");
    assert_eq!(own(), before);
    shell.service.oom_score_adj = Some(1001);
    let error = shell.spawn(&["/bin/true"]).unwrap_err();
    assert_eq!((error.stage, error.errno), (Stage::OomScoreAdj, Errno::EINVAL));
}

pub(crate) fn limits_are_set() {
    let mut shell = Shell::new();
    let limit = |resource, soft, hard| Limit { resource, soft, hard };
    shell.service.limits = vec![
        limit(Resource::RLIMIT_NOFILE, 55, 66),
        limit(Resource::RLIMIT_CORE, 0, 4096),
        limit(Resource::RLIMIT_CPU, 77, 77),
    ];
    let limits = shell.output(&["/bin/cat", "/proc/self/limits"]);
    let line = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let mut words = line.split_whitespace();
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    };
    assert_eq!(line("Max open files"), ("55".to_owned(), "66".to_owned()));
    assert_eq!(line("Max core file size"), ("0".to_owned(), "4096".to_owned()));
    assert_eq!(line("Max cpu time"), ("77".to_owned(), "77".to_owned()));
    shell.service.limits = vec![limit(Resource::RLIMIT_NOFILE, u64::MAX, u64::MAX)];
    let told = shell.refusal(&["/bin/true"]);
    assert_eq!(told, "cannot set limit nofile to unlimited: operation not permitted");
}

pub(crate) fn the_limit_of_processes_counts_for_the_user() {
    needs_root();
    let mut shell = Shell::new();
    shell.service.identity.user = Some(User::Id(OTHER + 1));
    shell.service.limits = vec![Limit { resource: Resource::RLIMIT_NPROC, soft: 1, hard: 1 }];
    // One more is let through: the kernel counts before the user changes.
    let sleeping = [(); 2].map(|()| shell.spawn(&["/bin/sleep", "1000"]).unwrap().id.pid);
    let told = shell.refusal(&["/bin/true"]);
    for pid in sleeping {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    shell.ends(2);
    assert_eq!(told, "cannot execute /bin/true: the user's limit of processes (nproc) is exceeded");
}

/// The lines of the capabilities.
fn capabilities(shell: &mut Shell) -> [String; 5] {
    let status = shell.output(SHOW_STATUS);
    ["CapEff:", "CapPrm:", "CapInh:", "CapBnd:", "CapAmb:"].map(|name| field(&status, name))
}

pub(crate) fn a_user_keeps_capabilities() {
    needs_root();
    let mut shell = Shell::new();
    shell.service.identity.user = Some(User::Id(OTHER));
    let [effective, permitted, _, bounding, ambient] = capabilities(&mut shell);
    let none = "0000000000000000";
    assert_eq!([&effective, &permitted, &ambient], [none; 3]);
    assert_ne!(bounding, none);
    // NET_BIND_SERVICE and KILL (linux/capability.h).
    shell.service.capabilities = Some(vec![Capability(10), Capability(5)]);
    assert_eq!(capabilities(&mut shell), ["0000000000000420"; 5]);
    shell.service.capabilities = Some(Vec::new());
    assert_eq!(capabilities(&mut shell), [none; 5]);
}

pub(crate) fn root_gives_up_capabilities() {
    needs_root();
    let mut shell = Shell::new();
    shell.service.capabilities = Some(vec![Capability(5)]);
    assert_eq!(capabilities(&mut shell), ["0000000000000020"; 5]);
    shell.service.capabilities = Some(vec![Capability(63)]);
    assert_eq!(shell.refusal(SHOW_STATUS), "cannot keep capability 63: invalid argument");
}

pub(crate) fn new_privileges_are_refused() {
    let mut shell = Shell::new();
    let own = field(&content("/proc/thread-self/status"), "NoNewPrivs:");
    assert_eq!(field(&shell.output(SHOW_STATUS), "NoNewPrivs:"), own);
    shell.service.no_new_privileges = true;
    assert_eq!(field(&shell.output(SHOW_STATUS), "NoNewPrivs:"), "1");
}

pub(crate) fn the_directory_is_entered_as_the_user() {
    needs_root();
    let mut shell = Shell::new();
    let closed = shell.scratch.0.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(fs::metadata(&closed).unwrap().uid(), 0);
    shell.service.directory = Some(closed.clone());
    assert_eq!(shell.output(&["/bin/pwd"]), format!("{}\n", closed.display()));
    shell.service.identity.user = Some(User::Id(OTHER));
    assert_eq!(shell.refusal(&["/bin/pwd"]), format!("cannot enter directory {closed:?}: permission denied"));
    fs::remove_dir(&closed).unwrap();
    assert_eq!(
        shell.refusal(&["/bin/pwd"]),
        format!("cannot enter directory {closed:?}: no such file or directory")
    );
}

pub(crate) fn what_needs_root_is_refused_to_others() {
    become_other();
    let mut shell = Shell::new();
    let fresh = shell.service.clone();
    let own_groups: Vec<Group> = getgroups().unwrap().into_iter().map(|id| Group::Id(id.as_raw())).collect();
    let own_group = Group::Id(Gid::current().as_raw());
    let mut told = |change: &dyn Fn(&mut musterd::config::Service)| {
        shell.service = fresh.clone();
        change(&mut shell.service);
        shell.refusal(&["/bin/true"])
    };
    assert_eq!(
        told(&|service| {
            service.identity.user = Some(User::Id(OTHER + 1));
            service.identity.groups = Some(own_groups.clone());
            service.identity.group = Some(own_group.clone());
        }),
        format!("cannot become user {}: operation not permitted", OTHER + 1)
    );
    assert_eq!(
        told(&|service| service.identity.group = Some(Group::Id(0))),
        "cannot become group 0: operation not permitted"
    );
    assert_eq!(
        told(&|service| service.identity.groups = Some(vec![Group::Id(0)])),
        "cannot set groups: operation not permitted"
    );
    assert_eq!(told(&|service| service.nice = Some(-5)), "cannot set nice of /bin/true: permission denied");
    assert_eq!(
        told(&|service| service.oom_score_adj = Some(-900)),
        "cannot set oom-score-adj of /bin/true: permission denied"
    );
    assert_eq!(
        told(&|service| service.capabilities = Some(Vec::new())),
        "cannot set capabilities: operation not permitted"
    );
}

pub(crate) fn a_user_may_become_himself() {
    become_other();
    let mut shell = Shell::new();
    shell.service.identity.user = Some(User::Id(Uid::current().as_raw()));
    let own = content("/proc/thread-self/status");
    let expected = (field(&own, "Uid:"), field(&own, "Gid:"), field(&own, "Groups:"));
    if Uid::current().as_raw() != OTHER {
        ignore("this user has an account, with groups that may have changed");
    }
    assert_eq!(ids(&mut shell), expected);
    shell.service.directory = Some(PathBuf::from("/"));
    assert_eq!(shell.output(&["/bin/pwd"]), "/\n");
}
