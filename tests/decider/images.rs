//! The programs of the scenarios: how real daemons behave, as far as a process table shows it.

use nix::sys::signal::Signal::{SIGQUIT, SIGTERM, SIGUSR2};

use crate::program::{Image, Op, Role};

/// `sshd`, which leaves a listener in a session of its own; it exits 0 on SIGTERM.
pub(crate) fn sshd() -> Image {
    Image::new("/usr/sbin/sshd").role(Role::Helper).forks(20, listener()).exits(21, 0)
}

fn listener() -> Image {
    Image::new("/usr/sbin/sshd")
        .title("sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups")
        .in_own_session()
        .on(SIGTERM, 1, Op::Exit(0))
}

/// `sshd` as a child of PID 1, which is for it a sign to stay in the foreground.
pub(crate) fn sshd_in_foreground() -> Image {
    let title = "sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups";
    Image::new("/usr/sbin/sshd").title(title).on(SIGTERM, 1, Op::Exit(0))
}

/// A login: a child of the listener in a session of its own, and its unprivileged half.
pub(crate) fn login() -> Image {
    let half = Image::new("/usr/sbin/sshd").title("sshd: kim@pts/0").role(Role::Apart);
    let shell = Image::new("-bash").role(Role::Stranger).in_own_session();
    Image::new("/usr/sbin/sshd")
        .title("sshd: kim [priv]")
        .role(Role::Apart)
        .in_own_session()
        .forks(1, half.forks(1, shell))
}

/// Debian's init script of apache2: it clears the environment, works for a while, and does nothing if
/// apache2 runs.
pub(crate) fn apache2_script() -> Image {
    Image::new("/bin/sh /etc/init.d/apache2 start")
        .role(Role::Helper)
        .at(5, Op::ExitIfRunning("apache2".to_owned()))
        .forks(50, apache2())
        .exits(100, 0)
}

/// apache2 with two workers in its session, which outlive a master that is killed.
pub(crate) fn apache2() -> Image {
    let worker = Image::new("/usr/sbin/apache2 -k start").role(Role::Worker).on(SIGTERM, 10, Op::Exit(0));
    Image::new("/usr/sbin/apache2 -k start")
        .in_own_session()
        .without_environment()
        .forks(1, worker.clone())
        .forks(1, worker)
        .on(SIGTERM, 5, Op::SignalAll("apache2".to_owned(), SIGTERM))
        .on(SIGTERM, 20, Op::Exit(0))
}

/// nginx in the foreground: SIGUSR2 forks a new master into the session, SIGQUIT ends the old one.
pub(crate) fn nginx() -> Image {
    let worker = Image::new("nginx").title("nginx: worker process").role(Role::Worker);
    let next = Image::new("/usr/sbin/nginx").title("nginx: master process /usr/sbin/nginx");
    let master = Image::new("/usr/sbin/nginx").title("nginx: master process /usr/sbin/nginx");
    master
        .forks(1, worker.clone().on(SIGTERM, 1, Op::Exit(0)).on(SIGQUIT, 1, Op::Exit(0)))
        .on(SIGUSR2, 1, Op::Fork(Box::new(next.on(SIGTERM, 1, Op::Exit(0)))))
        .on(SIGQUIT, 5, Op::Exit(0))
}

/// A program in the foreground that exits 0 on SIGTERM.
pub(crate) fn polite(command: &str) -> Image {
    Image::new(command).on(SIGTERM, 10, Op::Exit(0))
}

/// A program in the foreground that ends of nothing but SIGKILL, and so does its child.
pub(crate) fn stubborn(command: &str) -> Image {
    let child = Image::new("helper").role(Role::Worker).ignores(SIGTERM);
    Image::new(command).ignores(SIGTERM).forks(1, child)
}
