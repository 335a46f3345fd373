//! Services that a start command leaves behind: followed, whoever is their parent.

use std::time::Duration;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    assert_story,
    images::{apache2, apache2_script, login, polite, sshd, sshd_in_foreground},
    program::{Image, Op, Role},
    services::{interval, matching, service},
    sim::{Setup, Sim},
};

fn apache2_service() -> musterd::config::Service {
    service("apache2", "/etc/init.d/apache2 start")
}

#[test]
fn a_self_daemonising_service_is_followed_to_its_daemon() {
    let mut sim = Sim::start(Setup::new(vec![service("sshd", "/usr/sbin/sshd")]), |_| {});
    sim.program("sshd", sshd());
    sim.run_seconds(5);
    assert_story(&sim, "sshd-daemonises");
}

/// Trap 3: a login bears the name of the dead listener.
#[test]
fn a_login_neither_counts_as_sshd_nor_is_ended_with_it() {
    for (signal, story) in [(SIGKILL, "login-and-sigkill"), (SIGTERM, "login-and-sigterm")] {
        let mut sim = Sim::start(Setup::new(vec![service("sshd", "/usr/sbin/sshd")]), |_| {});
        sim.program("sshd", sshd());
        sim.run_seconds(5);
        let main = sim.main("sshd").unwrap();
        sim.fork(main, login());
        sim.run_seconds(1);
        sim.signal(main, signal);
        sim.run_seconds(1);
        assert_story(&sim, story);
    }
}

/// An sshd in the foreground is not established for a while, and its exit on SIGTERM is 0.
#[test]
fn a_login_is_not_what_a_young_sshd_hands_over_to() {
    let mut sim = Sim::start(Setup::new(vec![service("sshd", "/usr/sbin/sshd")]), |_| {});
    sim.program("sshd", sshd_in_foreground());
    sim.run_seconds(3);
    let main = sim.main("sshd").unwrap();
    sim.fork(main, login());
    sim.run_seconds(1);
    sim.signal(main, SIGTERM);
    sim.run_seconds(1);
    assert_story(&sim, "login-to-a-young-sshd");
}

/// What was set apart once stays so, whatever the next sshds end of.
#[test]
fn a_login_is_not_what_later_sshds_hand_over_to() {
    let mut sim = Sim::start(Setup::new(vec![service("sshd", "/usr/sbin/sshd")]), |_| {});
    sim.program("sshd", sshd_in_foreground());
    sim.run_seconds(3);
    let main = sim.main("sshd").unwrap();
    sim.fork(main, login());
    sim.run_seconds(1);
    sim.restart("sshd");
    for signal in [SIGTERM, SIGKILL, SIGTERM] {
        sim.run_seconds(12);
        let main = sim.main("sshd").unwrap();
        sim.signal(main, signal);
    }
    sim.run_seconds(1);
    assert_story(&sim, "login-to-sshds-in-a-row");
}

/// A crash that left nobody in its session is answered before anybody looks at what else it left.
#[test]
fn a_login_that_a_crash_left_is_not_what_a_later_sshd_hands_over_to() {
    let mut sim = Sim::start(Setup::new(vec![service("sshd", "/usr/sbin/sshd")]), |_| {});
    sim.program("sshd", sshd_in_foreground());
    sim.run_seconds(3);
    let main = sim.main("sshd").unwrap();
    sim.fork(main, login());
    for signal in [SIGKILL, SIGTERM] {
        sim.run_seconds(12);
        let main = sim.main("sshd").unwrap();
        sim.signal(main, signal);
    }
    sim.run_seconds(1);
    assert_story(&sim, "login-after-a-crash");
}

#[test]
fn a_login_stays_when_sshd_is_asked_to_restart() {
    let mut sim = Sim::start(Setup::new(vec![service("sshd", "/usr/sbin/sshd")]), |_| {});
    sim.program("sshd", sshd());
    sim.run_seconds(5);
    let main = sim.main("sshd").unwrap();
    sim.fork(main, login());
    sim.run_seconds(1);
    sim.restart("sshd");
    sim.run_seconds(1);
    sim.stop("sshd");
    sim.run_seconds(1);
    sim.start_again("sshd");
    sim.run_seconds(1);
    assert_story(&sim, "login-and-restart");
}

#[test]
fn a_login_to_one_sshd_does_not_count_as_another_one() {
    let services = vec![service("sshd", "/usr/sbin/sshd"), service("sshd-2", "/usr/sbin/sshd -p 2222")];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    sim.program("sshd", sshd());
    sim.program("sshd-2", polite("/usr/sbin/sshd -p 2222"));
    sim.run_seconds(100);
    let main = sim.main("sshd").unwrap();
    sim.fork(main, login());
    sim.run_seconds(100);
    sim.stop("sshd-2");
    sim.run_seconds(1);
    sim.start_again("sshd-2");
    sim.run_seconds(1);
    assert_story(&sim, "login-and-another-sshd");
}

#[test]
fn an_init_script_brings_apache2_up_and_back() {
    let mut sim = Sim::start(Setup::new(vec![apache2_service()]), |_| {});
    sim.program("apache2", apache2_script());
    sim.run_seconds(30);
    let stop = Image::new("/bin/sh /etc/init.d/apache2 stop").role(Role::Stranger);
    sim.by_hand(stop.at(10, Op::SignalAll("apache2".to_owned(), SIGTERM)).exits(40, 0), None);
    sim.run_seconds(30);
    assert_story(&sim, "apache2-stopped-by-hand");
}

/// Trap 4: workers live on and hold the port.
#[test]
fn orphaned_workers_of_a_killed_master_are_ended_before_the_new_start() {
    let mut sim = Sim::start(Setup::new(vec![apache2_service()]), |_| {});
    sim.program("apache2", apache2_script());
    sim.run_seconds(30);
    let main = sim.main("apache2").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(2);
    assert_story(&sim, "apache2-killed");
}

#[test]
fn stubborn_workers_of_a_killed_master_are_killed_after_the_grace() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    let worker = Image::new("worker").role(Role::Worker).ignores(SIGTERM);
    sim.program("web", Image::new("/srv/web").forks(1, worker.clone().forks(1, worker)));
    sim.run_seconds(30);
    let main = sim.main("web").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(2);
    assert_story(&sim, "stubborn-workers");
}

#[test]
fn an_orphan_of_the_session_that_was_known_before_the_crash_is_ended_too() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |_| {});
    let helper = Image::new("helper").role(Role::Worker);
    let shell = Image::new("sh").role(Role::Worker).forks(1, helper).exits(2, 0);
    sim.program("web", polite("/srv/web").forks(1, shell));
    sim.run_seconds(100);
    let main = sim.main("web").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(2);
    assert_story(&sim, "known-orphan");
}

/// Trap 12: the daemon is there under its name before its start command has ended.
#[test]
fn a_look_while_the_start_command_works_does_not_disown_its_daemon() {
    let other = interval(service("other", "/srv/other"), Duration::from_millis(100));
    let mut sim = Sim::start(Setup::new(vec![apache2_service(), other]), |_| {});
    let script = Image::new("/bin/sh /etc/init.d/apache2 start").role(Role::Helper);
    sim.program("apache2", script.forks(50, apache2()).exits(1_000, 0));
    sim.program("other", polite("/srv/other"));
    sim.run_seconds(3);
    assert_story(&sim, "look-at-a-start");
}

#[test]
fn an_init_script_that_finds_its_daemon_running_is_content() {
    let mut sim = Sim::start(Setup::new(vec![apache2_service()]), |_| {});
    sim.program("apache2", apache2_script());
    sim.run_seconds(5);
    sim.stop("apache2");
    sim.run_seconds(1);
    sim.by_hand(apache2(), Some("apache2"));
    sim.run_seconds(1);
    sim.start_again("apache2");
    sim.run_seconds(1);
    assert_story(&sim, "found-running");
}

#[test]
fn an_init_script_that_fails_though_its_daemon_is_there_is_not_run_for_ever() {
    let mut sim = Sim::start(Setup::new(vec![apache2_service()]), |_| {});
    let script = Image::new("/bin/sh /etc/init.d/apache2 start").role(Role::Helper);
    sim.program("apache2", script.forks(50, apache2()).exits(100, 1));
    sim.run_seconds(5);
    assert_story(&sim, "script-exits-1");
}

#[test]
fn a_daemon_of_another_name_is_followed_with_one_warning() {
    let mut sim = Sim::start(Setup::new(vec![service("mysql", "/etc/init.d/mysql start")]), |_| {});
    let daemon = Image::new("/usr/sbin/mariadbd").in_own_session().on(SIGTERM, 10, Op::Exit(0));
    let script = Image::new("/bin/sh /etc/init.d/mysql start").role(Role::Helper);
    sim.program("mysql", script.forks(50, daemon).exits(100, 0));
    sim.run_seconds(30);
    let main = sim.main("mysql").unwrap();
    sim.signal(main, SIGTERM);
    sim.run_seconds(5);
    assert_story(&sim, "another-name");
}

#[test]
fn a_start_command_that_leaves_nothing_has_failed() {
    let mut sim = Sim::start(Setup::new(vec![apache2_service()]), |_| {});
    sim.program("apache2", Image::new("/bin/sh /etc/init.d/apache2 start").role(Role::Helper).exits(50, 0));
    sim.run_seconds(2);
    assert_story(&sim, "leaves-nothing");
}

#[test]
fn an_init_script_that_hangs_is_ended_after_start_timeout() {
    let service = interval(apache2_service(), Duration::from_secs(1));
    let mut sim = Sim::start(Setup::new(vec![service]), |_| {});
    let child = Image::new("sleep").role(Role::Helper);
    sim.program(
        "apache2",
        Image::new("/bin/sh /etc/init.d/apache2 start").role(Role::Helper).forks(1, child),
    );
    sim.run_seconds(91);
    sim.program("apache2", apache2_script());
    sim.run_seconds(5);
    assert_story(&sim, "start-timeout");
}

#[test]
fn a_wrapper_that_stays_is_not_the_service() {
    let service = interval(matching(service("app", "/opt/run-app"), "app-server"), Duration::from_secs(2));
    let mut sim = Sim::start(Setup::new(vec![service]), |_| {});
    let server = Image::new("/opt/app-server").on(SIGTERM, 10, Op::Exit(0));
    sim.program("app", Image::new("/opt/run-app").role(Role::Helper).forks(10, server));
    sim.run_seconds(5);
    let main = sim.main("app").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(5);
    sim.stop("app");
    sim.run_seconds(5);
    assert_story(&sim, "wrapper");
    assert!(sim.kernel.processes.is_empty(), "the wrapper ends with the service");
}

/// Trap 6: a zombie bears the name.
#[test]
fn a_zombie_is_not_the_service() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/web")]), |kernel| {
        let zombie = Image::new("/srv/web").role(Role::Stranger).exits(1, 0);
        kernel.spawn(0, Image::new("careless").role(Role::Stranger).careless().forks(0, zombie), None, None);
        kernel.advance(kernel.now + Duration::from_millis(5));
    });
    sim.program("web", Image::new("/srv/web").exits(5, 1));
    sim.run_for(Duration::from_millis(300));
    assert_story(&sim, "zombie");
}

#[test]
fn a_start_command_that_executes_another_program_stays_the_service() {
    let mut sim = Sim::start(Setup::new(vec![service("web", "/srv/run-web")]), |_| {});
    let next = vec!["/opt/java".to_owned(), "-jar".to_owned(), "web.jar".to_owned()];
    sim.program("web", Image::new("/srv/run-web").at(10, Op::Exec(next)));
    sim.run_seconds(100);
    let main = sim.main("web").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(1);
    assert_story(&sim, "exec");
}
