//! Decides: what happened goes in, what is to be done comes out. Reads no clock and no /proc and makes
//! no system call, so that a test runs a day of it in a millisecond.
//!
//! The states and the ways between them are in [`TRANSITIONS`].

mod backoff;
mod belonging;
mod census;
mod changes;
mod detail;
mod ending;
mod event;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guard;
mod health;
mod life;
mod named;
mod neighbours;
mod notify;
mod order;
mod pattern;
mod policy;
mod presence;
mod probe;
mod process_names;
#[cfg(test)]
mod properties;
mod readiness;
mod reload;
mod renewal;
mod requests;
mod seek;
mod service;
mod shutdown;
mod state;
mod status;
mod story;
mod transitions;
mod turns;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

pub use event::{
    Action, Caller, ClientId, Event, Look, Notice, Notification, Probing, Purpose, Reconfiguration, ServiceId,
};
pub use named::Wanted;
pub use transitions::{Stage, TRANSITIONS};

use crate::{
    config::{Config, Kind, LogLevel, Service as ServiceConfig},
    process::{Pid, ProcessId},
    time::Time,
};
use belonging::Owner;
pub use probe::PATIENCE;
use probe::Probed;
use requests::Waiter;
use service::{Cause, Service, Services};
use shutdown::Phase;
use state::{Goal, Reason, State};
use story::{Chronicle, Tale};
use turns::Turn;
use usage::Measuring;

/// How long after a table that could not be read the next one is asked for: a want of descriptors or memory
/// passes, and messages more often than this help nobody.
const SCAN_PAUSE: Duration = Duration::from_secs(1);

/// What the decider must know of the place that it decides for.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// musterd's own PID.
    pub pid: Pid,
    /// Its parent's; 0 where that lies outside the PID namespace.
    pub parent: Pid,
    /// Whether it is PID 1: then every process of the PID namespace is its own in the end.
    pub is_init: bool,
}

/// What an earlier musterd knew of a service.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Its main process.
    pub main: ProcessId,
    /// How often it had been restarted.
    pub restarts: u64,
}

/// The decider.
pub struct Supervisor {
    services: Services,
    /// Whose the processes are that were spawned or are watched.
    owners: HashMap<Pid, Owner>,
    /// Children of musterd that are nobody's, as the last table showed them, and in whose session. The PID is enough:
    /// it is not free before musterd has reaped the child, and that is told.
    orphans: HashMap<Pid, Option<ServiceId>>,
    /// Processes of a service's name that left its session: on their own.
    apart: HashMap<ProcessId, ServiceId>,
    /// The sessions of probes and reload commands that run, or that may have left processes there, by their leaders' PIDs.
    probed: HashMap<Pid, Probed>,
    /// What must be looked at to know whether probes that ended left anybody.
    probes_left: Option<Look>,
    /// Whether all that is managed are tasks: then musterd ends with the last of them.
    has_tasks_only: bool,
    /// An essential service ended in this step: with what code musterd ends, and why.
    essential_end: Option<(u8, String)>,
    /// What musterd exits with once it is asked to end.
    exit_code: u8,
    /// The services that need a look.
    looking: BTreeSet<ServiceId>,
    /// How many ends were told, and how many of them before the last look was asked for.
    ends: u64,
    ends_before_look: u64,
    waiters: Vec<Waiter>,
    /// The services that the configuration has no more, until nothing of them is left, and with which reload they left.
    leaving: BTreeMap<ServiceId, u64>,
    /// Those of them that are being forgotten.
    forgetting: BTreeSet<ServiceId>,
    /// How many configurations have followed the first.
    reloads: u64,
    /// What is to be stopped once those that come after it have been.
    turns: BTreeMap<ServiceId, Turn>,
    chronicle: Chronicle,
    measuring: Measuring,
    phase: Phase,
    place: Place,
    /// Whether it was looked for other musterds.
    knows_neighbours: bool,
    /// Until then no table is asked for, since the last one could not be read.
    blind_until: Option<Time>,
    /// Why the last one could not be read, as it was told.
    blind_told: Option<String>,
    shutdown_timeout: Duration,
    /// Checks are due at multiples of the interval from here, so that services share them.
    epoch: Time,
    /// What the wall clock showed at boot, for people.
    boot: SystemTime,
    actions: Vec<Action>,
    /// Which ways services went from state to state.
    passed: BTreeSet<(Stage, Stage)>,
}

/// A message, its cause and its consequence.
type What = (&'static str, String, Option<String>);

impl Supervisor {
    /// Nothing is started before the first event. `boot` is what the wall clock showed at time zero.
    pub fn new(
        config: &Config,
        place: Place,
        record: &HashMap<String, Recorded>,
        now: Time,
        boot: SystemTime,
    ) -> Self {
        let services = config
            .services
            .iter()
            .map(|service| Service::new(service, record.get(service.name.as_str()), now));
        let mut supervisor = Supervisor {
            services: Services::new(services),
            owners: HashMap::new(),
            orphans: HashMap::new(),
            apart: HashMap::new(),
            probed: HashMap::new(),
            probes_left: None,
            has_tasks_only: config.services.iter().all(|service| service.kind == Kind::Task),
            essential_end: None,
            exit_code: 0,
            looking: BTreeSet::new(),
            ends: 0,
            ends_before_look: 0,
            waiters: Vec::new(),
            leaving: BTreeMap::new(),
            forgetting: BTreeSet::new(),
            reloads: 0,
            turns: BTreeMap::new(),
            chronicle: Chronicle::default(),
            measuring: Measuring::default(),
            phase: Phase::Beginning,
            place,
            knows_neighbours: false,
            blind_until: None,
            blind_told: None,
            shutdown_timeout: config.manager.shutdown_timeout,
            epoch: now,
            boot,
            actions: Vec::new(),
            passed: BTreeSet::new(),
        };
        supervisor.relate(config.services.iter());
        supervisor
    }

    /// Pursues all that is wanted.
    fn begin(&mut self, now: Time) {
        self.phase = Phase::Managing;
        self.epoch = now;
        for id in self.services.ids() {
            self.services[id].next_check = now + self.services[id].config.interval;
            if self.services[id].goal == Goal::Up {
                self.pursue(now, id);
            }
        }
    }

    /// Takes in one event; returns what is to be done, in order.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.chronicle.now = now;
        let begins = matches!(self.phase, Phase::Beginning);
        if begins {
            self.begin(now);
        }
        match event {
            event if !self.is_timely(&event) => {}
            Event::Tick if begins => {}
            Event::Tick => self.deadlines(now),
            Event::Spawned { service, purpose, process, leads_session } => {
                self.spawned(now, service, purpose, process, leads_session);
            }
            Event::SpawnFailed { service, purpose, error } => self.spawn_failed(now, service, purpose, error),
            Event::Ended { process, exit, session_empty } => {
                self.ended(now, process, exit, session_empty);
            }
            Event::Said { process, line } => self.probe_said(process, line),
            Event::LineSeen(service) => self.heard_ready(now, service),
            Event::Notified { service, sender, notification } => {
                self.notified(now, service, sender, notification);
            }
            Event::Orphans(_) | Event::Scanned(_) if self.ends != self.ends_before_look => {}
            Event::Orphans(children) => self.orphans_seen(now, children),
            Event::Scanned(table) => {
                self.blind_told = None;
                self.scanned(now, &table);
            }
            Event::Measured(table) => self.measured(now, &table),
            Event::ScanFailed { error } => self.scan_failed(now, error),
            Event::Asked { client, caller, request } => self.asked(now, client, caller, request),
            Event::Delivered { client, service, error } => self.done(client, service, error),
            Event::HungUp { client } => self.hung_up(client),
            Event::Reconfigured(new) => self.reconfigure(now, *new),
            Event::Forgotten(service) => self.forget(now, service),
            Event::Terminate { cause } => self.terminate(now, &cause),
        }
        if let Some((code, cause)) = self.essential_end.take() {
            self.end_with(now, code, &cause);
        }
        self.end_when_tasks_are_done(now);
        self.take_turns(now);
        self.proceed_shutdown(now);
        self.forget_what_has_left();
        self.answer_waiters(now);
        self.answer_followers();
        std::mem::take(&mut self.actions)
    }

    /// What must be looked at, now that no event is left to be stepped. What is seen before a later end is
    /// told says nothing of what that end left, and is asked for again.
    pub fn look(&mut self) -> Option<Look> {
        self.ends_before_look = self.ends;
        if self.blind_until.is_some() {
            return None;
        }
        let services = self.looking.iter().filter_map(|&id| self.services[id].needs());
        services.chain(self.phase.needs()).chain(self.probes_left).chain(self.measuring.needs()).max()
    }

    /// When to step again, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        let services = self.services.iter().filter_map(Service::next_deadline);
        services.chain(self.phase.next_deadline()).chain(self.blind_until).min()
    }

    /// The services, in the order of the configuration; last those that it has no more and that are being stopped.
    pub fn services(&self) -> impl Iterator<Item = (ServiceId, &ServiceConfig)> {
        self.services.ids().map(|id| (id, &self.services[id].config))
    }

    /// Whether services are managed, and not on their way to the end.
    pub fn is_managing(&self) -> bool {
        self.phase.is_managing()
    }

    /// Whether there is such a service still.
    pub fn has(&self, id: ServiceId) -> bool {
        self.services.has(id)
    }

    /// The configuration of a service, which must be there.
    pub fn config(&self, id: ServiceId) -> &ServiceConfig {
        &self.services[id].config
    }

    /// Whether it is known whose the process with this PID is, so that a table need not describe it.
    pub fn knows(&self, pid: Pid) -> bool {
        self.owners.get(&pid).is_some_and(|owner| self.services[owner.service].is_certain())
    }

    /// The PID of a service's main process, if it has one.
    pub fn main_pid(&self, id: ServiceId) -> Option<Pid> {
        self.services[id].main().map(|main| main.id.pid)
    }

    /// Whether nothing of a service runs and nothing is about to.
    pub fn is_at_rest(&self, id: ServiceId) -> bool {
        self.services[id].state.is_at_rest()
    }

    /// The main process of each service that has one, and its restarts: what a record must hold.
    pub fn mains(&self) -> impl Iterator<Item = (&str, Recorded)> {
        self.services.iter().filter_map(|service| {
            let main = service.state.main()?;
            Some((service.config.name.as_str(), Recorded { main: main.id, restarts: service.restarts }))
        })
    }

    /// The ways that services have gone so far from state to state, each once.
    pub fn passed(&self) -> &BTreeSet<(Stage, Stage)> {
        &self.passed
    }

    /// Without the table nothing can be started safely: what seeks a process waits and looks again.
    fn scan_failed(&mut self, now: Time, error: String) {
        self.blind_until = Some(now + SCAN_PAUSE);
        self.answer_askers(now);
        if self.blind_told.as_ref() == Some(&error) {
            return;
        }
        self.blind_told = Some(error.clone());
        let consequence = Some("looking again".to_owned());
        let message = "cannot read the process table";
        let notice =
            Notice { level: LogLevel::Error, service: None, pid: None, message, cause: error, consequence };
        self.actions.push(Action::Tell(notice));
    }

    fn deadlines(&mut self, now: Time) {
        self.blind_until.take_if(|until| *until <= now);
        for id in self.services.ids() {
            let service = &mut self.services[id];
            if service.is_checked() && service.next_check <= now {
                service.next_check =
                    next_multiple(self.epoch, service.config.interval, now).min(service.next_look(now));
                service.check_due = service.has_processes();
                if service.check_due {
                    self.looking.insert(id);
                }
            }
            let is_asked_for =
                matches!(self.services[id].state, State::Spawning) && self.asks_for(id, Purpose::Start);
            match &mut self.services[id].state {
                State::Seeking(seek) => {
                    if seek.later.take_if(|later| later.at <= now).is_some() {
                        self.looking.insert(id);
                    }
                }
                State::Backoff { until } if *until <= now => self.pursue(now, id),
                State::Starting { until, .. } if *until <= now => self.start_timed_out(now, id),
                State::Readying { until, .. } if *until <= now => self.readying_over(now, id),
                State::Stopping(_) => self.kill_if_late(now, id),
                // The answer comes at once: it was lost.
                State::Spawning if !is_asked_for => {
                    self.take_up_next(id);
                    self.pursue(now, id);
                }
                State::Stopped
                | State::Waiting { .. }
                | State::Spawning
                | State::Starting { .. }
                | State::Readying { .. }
                | State::Running { .. }
                | State::Unhealthy { .. }
                | State::Backoff { .. }
                | State::Exited
                | State::Failed => {}
            }
            self.probe_due(now, id);
            self.reload_due(now, id);
        }
    }

    /// Whether this very step asks for the command.
    fn asks_for(&self, service: ServiceId, purpose: Purpose) -> bool {
        self.actions.contains(&Action::Spawn { service, purpose })
    }

    /// Changes the state; `since` is kept while people see the same one.
    fn set(&mut self, now: Time, id: ServiceId, state: State, reason: Reason) {
        let service = &mut self.services[id];
        let shown = (service.state.name(), state.name());
        let (from, to) = (Stage::from(&service.state), Stage::from(&state));
        if from != to {
            self.passed.insert((from, to));
        }
        let is_new = shown.0 != shown.1;
        service.state = state;
        service.reason = reason;
        if is_new {
            service.since = now;
            // A guard may be more impatient than the interval.
            service.next_check = service.next_check.min(service.next_look(now));
        }
        if service.needs().is_some() {
            self.looking.insert(id);
        } else {
            self.looking.remove(&id);
        }
        self.drop_unsuited_probe(id);
        self.drop_unsuited_reload(id);
        self.await_line(id);
        if is_new {
            let service = &self.services[id];
            let (pid, reason) = (service.main().map(|main| main.id.pid), service.reason.clone());
            if service.state.is_over() {
                self.actions.push(Action::FlushOutput { service: id, is_last: false });
            }
            self.remember(Some(id), pid, Tale::State { from: shown.0, to: shown.1, reason });
            self.reconsider_dependents(now, id);
        }
    }

    fn tell(&mut self, level: LogLevel, id: ServiceId, pid: Option<Pid>, what: What) {
        let (message, cause, consequence) = what;
        let tale = Tale::Message { level, message, cause: cause.clone(), consequence: consequence.clone() };
        self.remember(Some(id), pid, tale);
        let service = Some(self.services[id].config.name.clone());
        self.actions.push(Action::Tell(Notice { level, service, pid, message, cause, consequence }));
    }
}

/// The next point after `now` that lies a multiple of `interval` from `epoch`.
fn next_multiple(epoch: Time, interval: Duration, now: Time) -> Time {
    let passed = now.since(epoch).as_nanos();
    let interval = interval.as_nanos().max(1);
    let next = (passed / interval + 1) * interval;
    epoch + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX))
}
