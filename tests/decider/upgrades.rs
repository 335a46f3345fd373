//! A new master takes over from an old one.

use nix::sys::signal::Signal::{SIGKILL, SIGQUIT, SIGUSR2};

use crate::{
    assert_story,
    images::nginx,
    services::service,
    sim::{Setup, Sim},
};

/// Trap 13: for a while there are two masters.
#[test]
fn a_new_nginx_takes_over_when_the_old_one_quits() {
    let mut sim = Sim::start(Setup::new(vec![service("nginx", "/usr/sbin/nginx")]), |_| {});
    sim.program("nginx", nginx());
    sim.run_seconds(100);
    let old = sim.main("nginx").unwrap();
    sim.signal(old, SIGUSR2);
    sim.run_seconds(70);
    sim.end_workers(old, SIGQUIT);
    sim.signal(old, SIGQUIT);
    sim.run_seconds(2);
    let new = sim.main("nginx").unwrap();
    sim.signal(new, SIGKILL);
    sim.run_seconds(2);
    assert_story(&sim, "nginx-upgrade");
}
