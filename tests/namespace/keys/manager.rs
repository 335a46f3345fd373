//! Keys of the manager itself.

use std::fs;

use crate::{
    Test,
    common::{text, wait},
    machine::{Folder, MUSTERD, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("include_brings_drop_ins", include_brings_drop_ins),
    ("socket_is_where_it_is_said", socket_is_where_it_is_said),
    ("log_level_leaves_out_what_is_less_important", log_level_leaves_out_what_is_less_important),
];

pub(crate) const ROOT_TESTS: &[Test] =
    &[("allow_users_may_do_all_and_observers_may_look", allow_users_may_do_all_and_observers_may_look)];

fn allow_users_may_do_all_and_observers_may_look() {
    let folder = Folder::new("guests");
    let alpha = folder.sleeper("alpha");
    let config = folder.config(&format!(
        "[manager]\nallow-users = 'daemon'\nobservers = [65533, 'ghost']\n[services.alpha]\nstart = 'KEY=geheim {alpha} infinity'\n\
         stop = 'KEY=geheim exec kill $(pidof alpha)'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("alpha");
    assert!(machine.output().contains("user \"ghost\" is not in /etc/passwd"), "{}", machine.output());
    let found = machine.inside(&["find", "/run/musterd.sock", "-perm", "666"]);
    assert_eq!(text(&found), "/run/musterd.sock\n");
    // A program that any user can execute.
    assert!(machine.inside(&["install", "-m", "755", MUSTERD, "/run/program"]).status.success());
    let by = |uid: &str, words: &[&str]| {
        let start = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "/run/program", "ctl"];
        let output = machine.inside(&[&start, words].concat());
        (output.status.code(), text(&output))
    };
    for uid in ["1", "65533"] {
        let (code, told) = by(uid, &["status"]);
        assert!(code == Some(0) && told.contains("alpha"), "{uid}: {code:?} {told}");
    }
    for uid in ["0", "1", "65533"] {
        for detail in [&["status", "alpha"][..], &["status", "--json", "alpha"]] {
            let (_, told) = by(uid, detail);
            let (whole, masked) = (told.matches("KEY=geheim ").count(), told.matches("KEY=… ").count());
            assert_eq!((whole, masked), if uid == "65533" { (0, 2) } else { (2, 0) }, "{uid}: {told}");
        }
    }
    let refusal = |why: &str| (Some(4), format!("musterd: refused: {why}\n"));
    let may_look = "uid 65533 may only look (manager.observers), not stop";
    assert_eq!(by("65533", &["stop", "alpha"]), refusal(may_look));
    let stranger = "uid 65534 is neither root nor musterd's own user, and not among those who are let in";
    assert_eq!(by("65534", &["status"]), refusal(stranger));
    machine.wait_running("alpha");
    let (code, told) = by("1", &["stop", "alpha"]);
    assert!(code == Some(0) && told.contains("stopped"), "{code:?} {told}");
}

fn include_brings_drop_ins() {
    let folder = Folder::new("include");
    let (alpha, beta) = (folder.sleeper("alpha"), folder.sleeper("beta"));
    fs::create_dir(folder.path("more")).expect("a folder");
    fs::write(folder.path("more/1.toml"), format!("[services.beta]\nstart = '{beta} 1'\n")).expect("a file");
    // The later one wins.
    fs::write(folder.path("more/2.toml"), format!("[services.beta]\nstart = '{beta} infinity'\n"))
        .expect("a file");
    fs::write(folder.path("more/3.off"), "no TOML").expect("a file");
    let config = folder.config(&format!(
        "[manager]\ninclude = ['{}']\n[services.alpha]\nstart = '{alpha} infinity'\n",
        folder.path("more/*.toml")
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    machine.wait_running("alpha");
    let beta = machine.wait_running("beta");
    let arguments = super::read(&machine, crate::machine::pid(&beta), "cmdline");
    assert!(arguments.ends_with("beta\0infinity\0"), "{arguments:?}");
}

fn socket_is_where_it_is_said() {
    let folder = Folder::new("socket");
    let alpha = folder.sleeper("alpha");
    let config = folder.config(&format!(
        "[manager]\nsocket = '/run/elsewhere.sock'\n[services.alpha]\nstart = '{alpha} infinity'\n"
    ));
    let machine = Machine::start(folder, &["-c", &config]);
    wait("it answers there", || {
        machine.ctl(&["--socket", "/run/elsewhere.sock", "status"]).status.success().then_some(())
    });
    assert_eq!(machine.ctl(&["--socket", "/run/musterd.sock", "status"]).status.code(), Some(4));
    let sockets = machine.inside(&["find", "/run", "-name", "*.sock", "-perm", "600"]);
    assert_eq!(String::from_utf8_lossy(&sockets.stdout), "/run/elsewhere.sock\n");
}

fn log_level_leaves_out_what_is_less_important() {
    for (level, told) in [("info", true), ("error", false)] {
        let folder = Folder::new(&format!("log-level-{level}"));
        let alpha = folder.script("alpha", "echo I am here; exec sleep 3600");
        let config = folder
            .config(&format!("[manager]\nlog-level = '{level}'\n[services.alpha]\nstart = '{alpha}'\n"));
        let machine = Machine::start(folder, &["-c", &config]);
        machine.wait_running("alpha");
        wait("what the service says", || machine.output().contains("I am here").then_some(()));
        assert_eq!(machine.output().contains("started pid="), told, "{level}: {}", machine.output());
    }
}
