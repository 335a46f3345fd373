//! `match` as a table: all that is given must hold; and a pidfile that is late, stale, or names a recycled PID.

use std::time::Duration;

use musterd::{
    config::{Match, Regex, Service, User},
    supervisor::ServiceId,
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    assert_story,
    images::polite,
    kernel::Kernel,
    program::{Image, Op, Role},
    services::{interval, service},
    sim::{Setup, Sim},
};

const PIDFILE: &str = "/run/app.pid";

fn with(mut service: Service, matching: Match) -> Service {
    service.matching = matching;
    service
}

/// A service that only its pidfile names.
fn app() -> Service {
    let matching = Match { pidfile: Some(PIDFILE.into()), ..Match::default() };
    Service { start_timeout: Duration::from_secs(20), ..with(service("app", "/opt/start-app"), matching) }
}

/// A start command that leaves a daemon, which writes its pidfile so late.
fn start_app(written_after: u64) -> Image {
    start(daemon().at(written_after, Op::WritePid(PIDFILE.to_owned())))
}

fn daemon() -> Image {
    Image::new("/opt/java -jar app.jar").in_own_session().without_environment().on(SIGTERM, 10, Op::Exit(0))
}

fn start(daemon: Image) -> Image {
    Image::new("/opt/start-app").role(Role::Helper).forks(20, daemon).exits(30, 0)
}

fn stranger(kernel: &mut Kernel, command: &str) {
    kernel.spawn(0, Image::new(command).role(Role::Stranger), None, None);
}

/// Each service matches by one field, and beside it there is what all but that field would take for it.
#[test]
fn every_field_of_match_finds_its_process() {
    let start = |name: &str| service(name, &format!("/opt/start-{name}"));
    let services = vec![
        with(
            start("cmdline"),
            Match { cmdline: Regex::parse("-jar \\S+/a[.]jar$").ok(), ..Match::named("java") },
        ),
        with(start("any-name"), Match { cmdline: Regex::parse("-m http").ok(), ..Match::default() }),
        with(start("exe"), Match { exe: Some("/usr/bin/app".into()), ..Match::default() }),
        with(start("user"), Match { user: Some(User::Name("app".to_owned())), ..Match::named("worker") }),
        with(start("uid"), Match { user: Some(User::Id(1001)), ..Match::named("worker") }),
        with(start("pidfile"), Match { pidfile: Some(PIDFILE.into()), ..Match::named("twin") }),
    ];
    let mut setup = Setup::new(services);
    setup.musterd = 5;
    let mut sim = Sim::start(setup, |kernel| {
        kernel.named.users.insert("app".to_owned(), 1000);
        kernel.named.programs.insert("/usr/bin/app".into(), "/usr/lib/app/app-2.1".into());
        for command in ["/opt/java -jar /srv/b.jar", "vim -jar /srv/a.jar", "/usr/bin/python3 -c http"] {
            stranger(kernel, command);
        }
        for command in ["/opt/app/app-2.1", "/srv/worker", "/srv/twin"] {
            stranger(kernel, command);
        }
        let mut run = |image: Image, service| kernel.spawn(0, image, Some(ServiceId(service)), None).pid;
        run(polite("/opt/java -jar /srv/a.jar"), 0);
        run(polite("/usr/bin/python3 -m http.server"), 1);
        run(polite("/usr/lib/app/app-2.1"), 2);
        run(polite("/srv/worker").user(1000), 3);
        run(polite("/srv/worker").user(1001), 4);
        let twin = run(polite("/srv/twin"), 5);
        kernel.write_pid(PIDFILE, twin);
    });
    sim.run_seconds(1);
    assert_story(&sim, "match-fields");
}

#[test]
fn a_daemon_is_known_by_its_pidfile_alone() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    sim.program("app", start_app(5));
    sim.run_seconds(5);
    let main = sim.main("app").unwrap();
    sim.signal(main, SIGKILL);
    sim.run_seconds(5);
    sim.terminate("SIGTERM");
    sim.run_seconds(5);
    assert_story(&sim, "pidfile");
}

#[test]
fn a_pidfile_that_is_written_late_is_waited_for() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    sim.program("app", start_app(3_000));
    sim.run_seconds(1);
    let status = sim.status("app");
    assert_eq!((format!("{:?}", status.state).as_str(), status.pid), ("Starting", None));
    assert_eq!(status.reason, "start command 10 exited 0; waits for /run/app.pid");
    sim.run_seconds(9);
    assert_story(&sim, "pidfile-late");
}

#[test]
fn a_daemon_that_dies_before_it_writes_its_pidfile_is_started_again_at_once() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    sim.program("app", start(daemon().exits(5_100, 1)));
    sim.run_seconds(6);
    assert_story(&sim, "pidfile-dies");
}

#[test]
fn a_daemon_that_never_writes_its_pidfile_is_a_failed_start() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    let image = Image::new("/opt/java").in_own_session().on(SIGTERM, 10, Op::Exit(0));
    sim.program("app", start(image));
    sim.run_for(Duration::from_millis(20_100));
    assert_story(&sim, "pidfile-never");
}

#[test]
fn a_stop_while_the_pidfile_is_awaited_ends_the_daemon() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    let image = Image::new("/opt/java").in_own_session().on(SIGTERM, 10, Op::Exit(0));
    sim.program("app", start(image));
    sim.run_seconds(1);
    sim.stop("app");
    sim.run_seconds(1);
    assert_story(&sim, "pidfile-stop");
    assert!(sim.kernel.processes.is_empty());
}

/// A daemon that only its pidfile tells from strangers, and that is there once it is stopped, would be a second one.
#[test]
fn a_change_while_the_pidfile_is_awaited_restarts_what_it_names() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    sim.program("app", start_app(3_000));
    sim.run_seconds(1);
    sim.program("app", start_app(100));
    sim.reconfigure(vec![Service { nice: Some(5), ..app() }], |_| true, |_| {});
    sim.run_seconds(9);
    assert_story(&sim, "pidfile-reload");
    assert_eq!(sim.kernel.processes.len(), 1, "the new daemon alone");
}

#[test]
fn a_change_while_a_pidfile_that_never_comes_is_awaited_counts_for_the_next_start() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    sim.program("app", start(daemon().exits(4_000, 1)));
    sim.run_seconds(1);
    sim.program("app", start_app(100));
    sim.reconfigure(vec![Service { nice: Some(5), ..app() }], |_| true, |_| {});
    sim.restart("app");
    sim.run_seconds(9);
    assert_story(&sim, "pidfile-reload-dies");
}

/// What bears its mark needs no pidfile to be told from strangers.
#[test]
fn a_restart_while_the_pidfile_is_awaited_ends_the_daemon_that_is_known() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    let image = Image::new("/opt/java").in_own_session().on(SIGTERM, 10, Op::Exit(0));
    sim.program("app", start(image));
    sim.run_seconds(1);
    sim.program("app", start_app(100));
    sim.restart("app");
    sim.run_seconds(1);
    assert_story(&sim, "pidfile-restart");
    assert_eq!(sim.kernel.processes.len(), 1, "the new daemon alone");
}

/// A container that was restarted keeps its files: the pidfile in its layer names a PID that is another's now.
#[test]
fn a_stale_pidfile_that_names_a_recycled_pid_fools_nobody() {
    let mut sim = Sim::start(Setup::new(vec![interval(app(), Duration::from_secs(1))]), |kernel| {
        kernel.write_pid(PIDFILE, 10);
        kernel.advance(kernel.now + Duration::from_secs(2));
        stranger(kernel, "/usr/bin/editor");
    });
    assert!(sim.kernel.processes[&10].is_alive());
    sim.program("app", start_app(300));
    sim.run_seconds(5);
    sim.terminate("SIGTERM");
    sim.run_seconds(1);
    assert_story(&sim, "pidfile-stale");
}

/// The daemon and its pidfile are as fresh as can be, but the file names somebody else.
#[test]
fn a_pidfile_with_a_strangers_pid_is_refused_where_the_name_says_so() {
    let named = Match { pidfile: Some(PIDFILE.into()), ..Match::named("java") };
    let mut sim = Sim::start(Setup::new(vec![with(app(), named)]), |kernel| {
        stranger(kernel, "/usr/bin/editor");
        kernel.write_pid(PIDFILE, 10);
    });
    sim.program("app", start_app(300));
    sim.run_seconds(5);
    assert_story(&sim, "pidfile-of-a-stranger");
}

/// The new master leaves the session of the old one: the pidfile says that it is the service all the same.
#[test]
fn what_the_pidfile_names_takes_over_from_another_session() {
    let mut sim = Sim::start(Setup::new(vec![app()]), |_| {});
    sim.program("app", start_app(1));
    sim.run_seconds(5);
    let main = sim.main("app").unwrap();
    sim.fork(main, daemon().at(1, Op::WritePid(PIDFILE.to_owned())));
    sim.run_seconds(61);
    sim.signal(main, SIGTERM);
    sim.run_seconds(5);
    assert_story(&sim, "pidfile-takes-over");
}

#[test]
fn a_wrapper_is_told_by_its_command_line() {
    let matching = Match { cmdline: Regex::parse("-jar app[.]jar").ok(), ..Match::default() };
    let mut sim = Sim::start(Setup::new(vec![with(service("app", "/opt/run-app"), matching)]), |_| {});
    let java = Image::new("/opt/java -jar app.jar").on(SIGTERM, 10, Op::Exit(0));
    sim.program("app", Image::new("/opt/run-app").role(Role::Helper).forks(10, java));
    sim.run_seconds(5);
    sim.stop("app");
    sim.run_seconds(1);
    assert_story(&sim, "match-wrapper");
    assert!(sim.kernel.processes.is_empty());
}

#[test]
fn a_user_that_is_not_there_is_told_once() {
    let matching = Match { user: Some(User::Name("app".to_owned())), ..Match::named("app") };
    let service = interval(with(service("app", "/opt/app"), matching), Duration::from_secs(1));
    let mut sim = Sim::start(Setup::new(vec![service]), |_| {});
    sim.program("app", polite("/opt/app").user(1000));
    sim.run_seconds(3);
    sim.kernel.named.users.insert("app".to_owned(), 1000);
    sim.run_seconds(3);
    assert_story(&sim, "match-user");
}
