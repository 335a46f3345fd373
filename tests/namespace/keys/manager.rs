//! Keys of the manager itself.

use std::fs;

use crate::{
    Test,
    common::wait,
    machine::{Folder, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("include_brings_drop_ins", include_brings_drop_ins),
    ("socket_is_where_it_is_said", socket_is_where_it_is_said),
    ("log_level_leaves_out_what_is_less_important", log_level_leaves_out_what_is_less_important),
];

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
