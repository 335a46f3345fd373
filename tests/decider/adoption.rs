//! What runs already when musterd looks for a service is adopted, by the best rule, and not started twice.

use std::collections::HashMap;

use musterd::{
    process::ProcessId,
    supervisor::{Recorded, ServiceId},
};
use nix::sys::signal::Signal::SIGKILL;

use crate::{
    assert_story,
    images::{nginx, polite},
    kernel::Kernel,
    program::{Image, Role},
    services::service,
    sim::{Setup, Sim},
};

fn running(kernel: &mut Kernel, command: &str, service: u32, mark: Option<&str>) -> ProcessId {
    kernel.spawn(0, polite(command), Some(ServiceId(service)), mark)
}

fn stranger(kernel: &mut Kernel, command: &str) -> ProcessId {
    kernel.spawn(0, Image::new(command).role(Role::Stranger), None, None)
}

#[test]
fn each_rule_finds_its_service_at_the_start() {
    let names = ["recorded", "marked", "same", "by-path", "by-name"];
    let services = names.map(|name| service(name, &format!("/srv/{name} -x"))).to_vec();
    let mut setup = Setup::new(services);
    setup.musterd = 5;
    let main = ProcessId { pid: 10, start: 10_000 };
    setup.record = HashMap::from([("recorded".to_owned(), Recorded { main, restarts: 7 })]);
    let mut sim = Sim::start(setup, |kernel| {
        running(kernel, "/opt/renamed", 0, None);
        running(kernel, "/opt/marked", 1, Some("marked"));
        running(kernel, "/srv/same -x", 2, None);
        running(kernel, "/srv/by-path -y", 3, None);
        running(kernel, "/opt/by-name", 4, None);
    });
    sim.run_seconds(1);
    assert_story(&sim, "adoption-rules");
    assert_eq!(sim.status("recorded").restarts, 7);
}

#[test]
fn two_programs_of_one_interpreter_are_never_swapped() {
    let services = || vec![service("a", "python3 /srv/a.py"), service("b", "python3 /srv/b.py")];
    let mut sim = Sim::start(Setup::new(services()), |kernel| {
        running(kernel, "python3 /srv/b.py", 1, None);
        stranger(kernel, "python3 /srv/c.py");
    });
    sim.program("a", polite("python3 /srv/a.py"));
    sim.program("b", polite("python3 /srv/b.py"));
    sim.run_seconds(5);
    for name in ["b", "a"] {
        let main = sim.main(name).unwrap();
        sim.signal(main, SIGKILL);
        sim.run_seconds(1);
    }
    assert_story(&sim, "one-interpreter");
}

#[test]
fn two_services_of_one_program_do_not_take_each_others_workers() {
    let services =
        vec![service("nginx", "/usr/sbin/nginx -c a.conf"), service("nginx-2", "/usr/sbin/nginx -c b.conf")];
    let mut sim = Sim::start(Setup::new(services), |_| {});
    sim.program("nginx", nginx());
    sim.program("nginx-2", nginx());
    sim.run_seconds(1);
    sim.stop("nginx");
    sim.run_seconds(7);
    sim.start_again("nginx");
    sim.run_seconds(1);
    assert_story(&sim, "one-program");
}

#[test]
fn arguments_editors_and_other_containers_are_no_match() {
    let mut setup = Setup::new(vec![service("apache2", "/usr/sbin/apache2 -DFOREGROUND")]);
    setup.musterd = 5;
    let mut sim = Sim::start(setup, |kernel| {
        stranger(kernel, "tail -f /var/log/apache2.log");
        stranger(kernel, "vim apache2");
        stranger(kernel, "/bin/sh /etc/init.d/apache2 status");
        let elsewhere = Image::new("/usr/sbin/apache2 -DFOREGROUND").role(Role::Stranger).foreign();
        kernel.spawn(0, elsewhere, None, Some("apache2"));
    });
    sim.program("apache2", polite("/usr/sbin/apache2 -DFOREGROUND"));
    sim.run_seconds(5);
    sim.terminate("SIGTERM");
    sim.run_seconds(9);
    assert_story(&sim, "no-match");
}

#[test]
fn another_musterd_is_told_of_once_and_one_above_never() {
    let told = |is_above: bool| {
        let mut setup = Setup::new(vec![service("a", "/srv/a")]);
        setup.musterd = 5;
        // The simulated machine counts its processes from here on.
        setup.parent = if is_above { 10 } else { 0 };
        let mut sim = Sim::start(setup, |kernel| {
            let other = stranger(kernel, "/usr/bin/musterd --socket /run/other.sock");
            assert_eq!(other.pid, 10);
            kernel.spawn(other.pid, polite("/srv/a"), None, None);
        });
        sim.program("a", polite("/srv/a"));
        sim.run_seconds(200);
        sim.transcript().matches("another musterd").count()
    };
    assert_eq!((told(false), told(true)), (1, 0));
}
