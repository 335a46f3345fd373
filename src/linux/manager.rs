//! The loop: waits for the kernel, tells the decider what happened, does what it says. Decides nothing.
//!
//! One turn: wait until the next deadline; read the clock once; take in signals, ends of processes and
//! requests; step each, doing at once what comes out; look at the processes if the decider needs it.

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use nix::{
    libc,
    sys::epoll::{Epoll, EpollEvent, EpollTimeout},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    time::Timespec,
};

mod act;
mod begin;
mod commands;
mod descriptors;
mod ends;
mod logs;
mod look;
mod outlets;
mod record;
mod reload;
mod requests;
mod token;

use reload::Loaded;
use token::{CONTROL, NOTIFY, OUTPUT, PROBE, PROCESS, SIGNALS, pid_of, tag_of};

use super::{
    endpoint::Endpoint,
    log::Log,
    notify::Notifier,
    oom::OomKills,
    output::{Outlet, Output},
    probes::Probes,
    record::{Entry, Store},
    reserve::Reserve,
    setup::Setup,
    spawn::Spawner,
    table::Scanner,
    terminal::Lent,
    watch::Watcher,
};
use crate::{
    config::{Config, Provenance, Sources},
    process::Pid,
    supervisor::{Event, ServiceId, Supervisor},
    time::Time,
};

/// The exit code where musterd cannot begin: as for a wrong configuration, nothing was started.
const CANNOT_BEGIN: u8 = 2;

/// How long the last lines have to be read: `docker stop` gives ten seconds for everything.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the loop waits after a panic, which may come again at once.
const AFTER_PANIC: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A wait of which a millisecond would be a large part.
const SHORT_WAIT: Duration = Duration::from_millis(5);

/// How many events of the kernel are taken in one turn; what is more stays for the next one.
const BATCH: usize = 256;

/// Manages the services, as they were read from the sources, until the shutdown is done; returns the exit code.
pub fn run(config: Config, provenance: &Provenance, sources: Sources) -> u8 {
    let log = Log::new(config.manager.log_format, config.manager.log_level);
    log.set_times(config.manager.log_times);
    // Where somebody else listens already, the messages reach him.
    let _ = log.install();
    // The usual hook writes to stderr and would wait for a reader that does not read.
    panic::set_hook(Box::new(|panic| tracing::error!(cause = %panic, "bug in musterd")));
    for warning in &config.warnings {
        tracing::warn!(cause = %warning, "check the configuration");
    }
    match Manager::new(&config, Loaded::new(&config, provenance, sources), &log) {
        Ok(mut manager) => manager.run(),
        Err(error) => {
            tracing::error!(cause = %error, "cannot begin");
            CANNOT_BEGIN
        }
    }
}

struct Manager {
    setup: Setup,
    epoll: Epoll,
    spawner: Spawner,
    watcher: Watcher,
    scanner: Scanner,
    log: Log,
    output: Output,
    /// The pipes of each service that was to be started and could have them.
    outlets: Vec<Option<Outlet>>,
    /// For looking at the processes, however many descriptors services and clients have.
    reserve: Reserve,
    followers: logs::Followers,
    probes: Probes,
    oom_kills: OomKills,
    notifier: Notifier,
    /// The terminal, while a service has it.
    lent: Option<Lent>,
    /// Whether something happened since the output heard of the main processes.
    are_mains_old: bool,
    /// When the output was carried last in this turn.
    carried: Time,
    endpoint: Endpoint,
    store: Option<Store>,
    /// What the record was when it was last written.
    recorded: BTreeMap<String, Entry>,
    /// Why it could not be written then, as it was told.
    record_failed: Option<String>,
    supervisor: Supervisor,
    /// What it was told to manage.
    loaded: Loaded,
    /// Its next deadline as it was when last asked for.
    deadline: Option<Time>,
    /// Whether it was stepped since then, and since the record was last compared.
    is_deadline_old: bool,
    is_record_old: bool,
    now: Time,
    exit: Option<u8>,
}

impl Manager {
    /// Turns until the decider says that musterd ends.
    fn run(&mut self) -> u8 {
        self.survive(|manager| {
            manager.open_left();
            manager.output.resume(manager.now);
            manager.feed(Event::Tick);
            manager.look_around();
        });
        loop {
            // All may be over before anything was waited for.
            if let Some(code) = self.exit {
                self.output.finish(clock() + LAST_WORDS, clock);
                return code;
            }
            self.survive(Self::turn);
        }
    }

    /// A panic in one turn is told, and the next turn is made: PID 1 does not die of it.
    fn survive(&mut self, turn: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| turn(self))).is_err() {
            tracing::error!(consequence = "going on", "one turn of the loop was cut short");
            let signals = PollFd::new(&self.setup, PollFlags::IN);
            // An interrupted wait is a shorter one.
            let _ = poll(&mut [signals], Some(&AFTER_PANIC));
        }
    }

    fn turn(&mut self) {
        self.tell_mains();
        self.output.flush(self.now);
        self.tell_lines();
        self.serve_followers();
        let mut events = [EpollEvent::empty(); BATCH];
        let came = self.wait(&mut events);
        self.now = clock();
        self.carried = self.now;
        self.take_in(&events[..came]);
        self.look_around();
        if self.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.sweep();
            self.feed(Event::Tick);
            self.look_around();
        }
        self.answer_requests();
        if self.watcher.pidfd_missing() {
            let consequence = "ends of processes that musterd did not start are found by the scan";
            tracing::warn!(consequence, "this kernel or its system call filter gives no pidfd");
        }
        if self.is_record_old {
            self.save_record();
            self.is_record_old = false;
        }
    }

    /// When the decider is to be stepped. A turn that only carries lines doesn't ask it again: that goes through
    /// all services.
    fn next_deadline(&mut self) -> Option<Time> {
        if self.is_deadline_old {
            self.deadline = self.supervisor.next_deadline();
            self.is_deadline_old = false;
        }
        self.deadline
    }

    /// Waits until something happens or is due; how many events came.
    fn wait(&mut self, events: &mut [EpollEvent]) -> usize {
        let timeout = match self.next_due().map(|due| due.since(clock())) {
            None => EpollTimeout::NONE,
            Some(Duration::ZERO) => EpollTimeout::ZERO,
            Some(wait) if wait < SHORT_WAIT => {
                let wait = Timespec::try_from(wait).unwrap_or_default();
                // epoll_wait(2) counts milliseconds.
                let _ = poll(&mut [PollFd::new(&self.epoll.0, PollFlags::IN)], Some(&wait));
                EpollTimeout::ZERO
            }
            // Rounded up: a wait that ends before it is due would only be followed by another.
            Some(wait) => {
                let milliseconds = i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
                EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
            }
        };
        // An interrupted wait is one without events.
        self.epoll.wait(events, timeout).unwrap_or(0)
    }

    /// When something is to be done though nothing happens.
    fn next_due(&mut self) -> Option<Time> {
        if self.supervisor.look().is_some()
            || self.endpoint.control().is_some_and(|control| control.is_asked())
        {
            return Some(Time::ZERO);
        }
        let due = [
            self.next_deadline(),
            self.output.next_deadline(),
            self.endpoint.next_deadline(),
            self.probes.next_deadline(),
        ];
        due.into_iter().flatten().min()
    }

    /// What ended first, by the pidfds, then all that SIGCHLD may mean: lines and clients can wait until
    /// what ended is started again.
    fn take_in(&mut self, events: &[EpollEvent]) {
        let tagged = |tag: u8| events.iter().map(EpollEvent::data).filter(move |&data| tag_of(data) == tag);
        let ended = tagged(PROCESS).filter_map(pid_of).filter_map(|pid| self.watcher.collect(pid)).collect();
        self.tell_ended(ended);
        self.look_around();
        if tagged(SIGNALS).next().is_some() {
            for signal in self.setup.signals() {
                self.hear(signal);
            }
            self.reap();
            self.look_around();
            if let Some(lent) = &self.lent {
                lent.go_on();
            }
        }
        for pid in tagged(PROBE).filter_map(pid_of) {
            self.probes.ready(&self.epoll, pid, self.now);
        }
        self.probes.tick(&self.epoll, self.now);
        for data in tagged(NOTIFY) {
            self.take_notifications(data);
        }
        for data in tagged(CONTROL) {
            if let Some(control) = self.endpoint.control() {
                control.ready(&self.epoll, data, self.now);
            }
        }
        if tagged(OUTPUT).next().is_some() || self.output.is_due(self.now) {
            self.tell_mains();
            self.output.ready(self.now);
            self.tell_lines();
        }
        if let Some(folder) = self.endpoint.tick(&self.epoll, self.now)
            && !self.setup.is_init
        {
            self.store = Some(Store::new(&folder));
        }
    }

    fn hear(&mut self, signal: i32) {
        let name = match signal {
            libc::SIGTERM => "SIGTERM",
            libc::SIGINT => "SIGINT",
            libc::SIGQUIT => "SIGQUIT",
            libc::SIGCHLD => return,
            libc::SIGUSR1 => return self.reopen("SIGUSR1"),
            libc::SIGHUP => return self.reload_by_signal("SIGHUP"),
            _ => return tracing::debug!(signal, "signal without a meaning here"),
        };
        self.feed(Event::Terminate { cause: name.to_owned() });
    }

    fn take_notifications(&mut self, data: u64) {
        // The token holds a service's ID, which is a `u32`.
        let service = ServiceId(data as u32);
        if !self.supervisor.has(service) {
            return;
        }
        let name = self.supervisor.config(service).name.clone();
        for (sender, notification) in self.notifier.ready(service, name.as_str()) {
            self.feed(Event::Notified { service, sender, notification });
        }
        self.look_around();
    }
}

/// The only clock that decisions depend on (clock_gettime(2), CLOCK_BOOTTIME).
pub(super) fn clock() -> Time {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither is negative: the clock counts from the boot on.
    Time::from_boot(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
}

/// The parent's; 0 where that lies outside the PID namespace.
pub(super) fn parent_pid() -> Pid {
    rustix::process::getppid().map_or(0, |parent| parent.as_raw_pid())
}
