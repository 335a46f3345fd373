//! What a container may be given: another PID 1, a root that cannot be written, an ordinary user, wrong commands.

use crate::{
    Test,
    common::{run, text, wait},
    container::Container,
    images,
};

pub(crate) const TESTS: &[Test] = &[
    ("below_dockers_own_init", below_dockers_own_init),
    ("with_a_root_that_cannot_be_written", with_a_root_that_cannot_be_written),
    ("with_nothing_that_can_be_written", with_nothing_that_can_be_written),
    ("as_an_ordinary_user", as_an_ordinary_user),
    ("a_hang_up_reads_the_configuration_again", a_hang_up_reads_the_configuration_again),
    ("a_wrong_command_is_told_once", a_wrong_command_is_told_once),
    ("errors_exit_2_before_anything_is_started", errors_exit_2),
    ("the_binary_is_small_and_needs_no_library", the_binary_is_small_and_needs_no_library),
];

/// A service that lives, is brought back, is seen by `ctl` and stopped.
fn lives(container: &Container) {
    let before = container.wait_running("sleep");
    container.kill(before.pid.expect("it runs"));
    container.wait_back("sleep", &before);
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn below_dockers_own_init() {
    let container = Container::run(&["--init"], images::plain(), &["sleep infinity"]);
    container.wait_running("sleep");
    assert_ne!(container.must(&["cat", "/proc/1/comm"]).trim(), "musterd");
    lives(&container);
}

fn with_a_root_that_cannot_be_written() {
    let container = Container::run(&["--read-only", "--tmpfs", "/tmp"], images::plain(), &["sleep infinity"]);
    lives(&container);
}

fn with_nothing_that_can_be_written() {
    let container = Container::run(&["--read-only"], images::plain(), &["echo alive", "sleep infinity"]);
    wait("its services run", || container.logs().contains("alive").then_some(()));
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn as_an_ordinary_user() {
    let container = Container::run(&["--user", "1000"], images::plain(), &["sleep infinity"]);
    lives(&container);
}

fn a_hang_up_reads_the_configuration_again() {
    let container = Container::run(&[], images::plain(), &["sleep infinity"]);
    let sleep = container.wait_running("sleep");
    let drop_in = "mkdir -p /etc/musterd.d && echo 'services.tail.start = \"tail -f /dev/null\"' >/etc/musterd.d/tail.toml";
    container.must(&["sh", "-c", drop_in]);
    let killed = run("docker", &["kill", "-s", "HUP", container.name()]);
    assert!(killed.status.success(), "{}", text(&killed));
    container.wait_running("tail");
    assert_eq!(container.wait_running("sleep").pid, sleep.pid);
    container.must(&["sh", "-c", "echo 'oops = 1' >>/etc/musterd.d/tail.toml"]);
    run("docker", &["kill", "-s", "HUP", container.name()]);
    wait("the error is told", || container.logs().contains("/etc/musterd.d/tail.toml:2:1").then_some(()));
    container.must(&["rm", "/etc/musterd.d/tail.toml"]);
    container.must(&["musterd", "ctl", "reload"]);
    wait("what was removed is stopped", || (container.status().len() == 1).then_some(()));
    assert_eq!(container.stop(), "0", "{}", container.logs());
}

fn a_wrong_command_is_told_once() {
    let set = "MUSTERD_SET=defaults.backoff={ initial = '10ms', factor = 1.0, max = '10ms' }";
    let container = Container::run(&["-e", set], images::plain(), &["/nowhere/ghost", "sleep infinity"]);
    // There is no pause before the second try, so it was tried twice.
    let ghost = container.wait_service("ghost", "waits", |status| status.state == "backoff");
    assert!(ghost.reason.contains("/nowhere/ghost"), "{}", ghost.reason);
    assert_eq!(container.exec(&["musterd", "ctl", "status"]).status.code(), Some(3));
    assert_eq!(container.logs().matches("/nowhere/ghost").count(), 1, "{}", container.logs());
}

fn errors_exit_2() {
    let misspelt = ["--set", "services.web.intervall=5s", "touch /started"];
    let unquoted = ["nginx", "-g", "daemon off;"];
    for (arguments, hint) in
        [(misspelt.as_slice(), "interval"), (unquoted.as_slice(), "'nginx -g \"daemon off;\"'")]
    {
        let output = run("docker", &[&["run", "--rm", images::plain()], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(hint), "{}", text(&output));
    }
}

fn the_binary_is_small_and_needs_no_library() {
    let image = images::binary();
    let output = run("docker", &["run", "--rm", image, "--version"]);
    assert!(text(&output).starts_with("musterd "), "{}", text(&output));
    let size = text(&run("docker", &["image", "inspect", "--format", "{{.Size}}", image]));
    let size: u64 = size.trim().parse().expect("a size in bytes");
    assert!(size <= 4 << 20, "{size} bytes are more than 4 MiB");
}
