//! What musterd hears and sees at the wrong time: twice, too late, of a PID that has come again, or torn.

use std::time::Duration;

use musterd::{
    process::{Exit, ProcessId},
    supervisor::Event,
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    assert_story,
    images::{login, polite, sshd},
    program::{Image, Role},
    services::service,
    sim::{Setup, Sim},
};

/// A service that has been running for some seconds, and its main process.
fn running(name: &str, image: Image) -> (Sim, ProcessId) {
    let mut sim = Sim::start(Setup::new(vec![service(name, &format!("/usr/sbin/{name}"))]), |_| {});
    sim.program(name, image);
    sim.run_seconds(3);
    let main = sim.main(name).unwrap();
    let id = sim.kernel.processes[&main].id;
    (sim, id)
}

#[test]
fn an_end_that_is_told_twice_ends_nothing_more() {
    let (mut sim, main) = running("web", polite("/usr/sbin/web"));
    sim.signal(main.pid, SIGKILL);
    sim.run_seconds(1);
    sim.hear(Event::Ended { process: main, exit: Exit::Unknown, session_empty: false });
    sim.run_seconds(1);
    assert_story(&sim, "told-twice");
    assert_eq!(sim.status("web").restarts, 1);
}

#[test]
fn a_late_end_is_not_that_of_the_next_process_with_its_pid() {
    let (mut sim, main) = running("web", polite("/usr/sbin/web"));
    sim.signal(main.pid, SIGKILL);
    sim.run_for(Duration::from_millis(10));
    let second = sim.main("web").unwrap();
    sim.signal(second, SIGKILL);
    sim.run_for(Duration::from_millis(10));
    sim.kernel.next_is(main.pid);
    sim.run_seconds(1);
    assert_eq!(sim.main("web"), Some(main.pid), "the PID has come again");
    sim.hear(Event::Ended { process: main, exit: Exit::Unknown, session_empty: false });
    // An orphan's start is not known when it is reaped.
    sim.hear(Event::Ended {
        process: ProcessId { start: 0, ..main },
        exit: Exit::Code(0),
        session_empty: false,
    });
    sim.run_seconds(1);
    assert_story(&sim, "told-late");
    assert_eq!(sim.status("web").restarts, 2);
}

/// The session's ID is free as soon as its last process has ended; then a stranger's shell gets it.
#[test]
fn a_session_whose_id_came_again_is_not_the_services() {
    let (mut sim, main) = running("web", polite("/usr/sbin/web"));
    sim.kernel.delay = Duration::from_millis(500);
    let worker = Image::new("worker").role(Role::Worker).ignores(SIGTERM);
    sim.fork(main.pid, worker);
    sim.end_workers(main.pid, SIGKILL);
    sim.signal(main.pid, SIGKILL);
    sim.run_for(Duration::from_millis(100));
    sim.kernel.processes.remove(&main.pid);
    sim.kernel.next_is(main.pid);
    let shell = sim.by_hand(Image::new("bash").role(Role::Stranger), None);
    assert_eq!(shell.pid, main.pid, "the session's ID has come again");
    sim.run_seconds(2);
    assert_story(&sim, "session-came-again");
}

/// A table is not read in one moment: a login may seem to descend from what bears the PID of its former parent, here
/// from one of its own descendants, and then the parents make a circle. It is an orphan nevertheless.
#[test]
fn a_circle_of_parents_is_no_endless_way() {
    let (mut sim, main) = running("sshd", sshd());
    sim.fork(main.pid, login());
    sim.run_seconds(1);
    let named = |process: &&crate::kernel::Proc| process.image.role == Role::Apart;
    let first = sim.kernel.processes.values().find(named).map(|process| process.id.pid).unwrap();
    sim.fork(first, Image::new("sleep").role(Role::Stranger));
    sim.kernel.tears = Some(first);
    sim.signal(main.pid, SIGKILL);
    sim.run_seconds(1);
    assert!(sim.kernel.tears.is_none() && sim.kernel.is_torn, "the table was torn");
    assert_story(&sim, "torn-table");
}

/// musterd looks; a service dies and that is told; only then what was seen arrives, with the dead one alive.
#[test]
fn a_table_older_than_an_end_brings_nothing_back() {
    let (mut sim, main) = running("web", polite("/usr/sbin/web"));
    let worker = Image::new("worker").role(Role::Worker);
    sim.fork(main.pid, worker);
    let looks = sim.tables;
    sim.dies_while_looking = Some(main.pid);
    sim.run_seconds(60);
    assert!(sim.tables > looks + 1, "the look at the interval, and another one after the end");
    assert_story(&sim, "old-table");
}
