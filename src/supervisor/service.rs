//! One service as the decider sees it: the wish, the fact, and what is remembered. Decides nothing.

use std::{
    collections::VecDeque,
    ops::{Index, IndexMut},
    rc::Rc,
    time::Duration,
};

use super::{
    Look, Recorded, ServiceId,
    guard::Guarded,
    notify::Announced,
    pattern::{Launcher, Pattern},
    probe::ProbeRun,
    reload::Reload,
    seek::{DAEMONISING, NAMING},
    state::{Asked, Found, Goal, Gone, Main, Reason, Seek, State},
    story::Story,
    usage::Measured,
};
use crate::{
    config::{Kind, Service as ServiceConfig},
    process::ProcessId,
    time::Time,
};

/// A shell needs some milliseconds to come to the `exec` at the end of a short script.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(100);

/// A service and how it fares.
pub(super) struct Service {
    pub(super) config: ServiceConfig,
    /// What it is told to be as soon as what runs has ended.
    pub(super) next: Option<Box<ServiceConfig>>,
    pub(super) pattern: Pattern,
    /// Whether the pattern is another one than that by which its process was found.
    pub(super) is_pattern_new: bool,
    pub(super) after: Vec<ServiceId>,
    /// With which reload it came: it comes after all that left with that one or before.
    pub(super) came_with: u64,
    pub(super) dependents: Vec<ServiceId>,
    pub(super) goal: Goal,
    pub(super) state: State,
    pub(super) reason: Reason,
    /// Since when people see this state.
    pub(super) since: Time,
    pub(super) restarts: u64,
    /// Ends and failed starts in a row.
    pub(super) failures: u32,
    /// No start before this.
    pub(super) not_before: Time,
    /// Why it has to be started again.
    pub(super) cause: Option<Cause>,
    /// The error that was told last, so that it is told once.
    pub(super) told: Option<String>,
    /// Whether a daemon of it has borne its name: then one of another name is not it.
    pub(super) bore_its_name: bool,
    /// The daemon's own name, of which people were told that it isn't the service's.
    pub(super) misnamed: Option<String>,
    /// Whether people were told that the user of `match` is not there.
    pub(super) told_of_user: bool,
    pub(super) next_check: Time,
    pub(super) check_due: bool,
    /// The start command that stays beside the main process.
    pub(super) wrapper: Option<ProcessId>,
    pub(super) recorded: Option<ProcessId>,
    /// When it was started, as far back as its start limit reaches.
    pub(super) starts: VecDeque<Time>,
    /// How its last process ended, or that it could not be started, as an exit code.
    pub(super) last_code: u8,
    /// The probe that runs, or is to be run.
    pub(super) probe: Option<ProbeRun>,
    /// Whether it has shown that it is ready since it was started, by a line or a message.
    pub(super) heard_ready: bool,
    /// Whether a line of its output is awaited that shows it.
    pub(super) awaits_line: bool,
    /// Failed health checks in a row.
    pub(super) failed_checks: u32,
    /// What it says of itself.
    pub(super) says: Option<String>,
    /// The process that it announced as its main process, to be looked for in the table.
    pub(super) announced: Option<Announced>,
    pub(super) guard: Guarded,
    pub(super) aftermath: Option<Aftermath>,
    /// Its reload command, while that is at work.
    pub(super) reload: Option<Reload>,
    /// Who asked for its stop, while it is not wanted for that.
    pub(super) stopped_by: Option<Asked>,
    /// The last health check.
    pub(super) checked: Option<Checked>,
    pub(super) measured: Option<Measured>,
    pub(super) story: Story,
}

/// A crash that left nobody in its session. Whether it left processes in others is looked for once the service has been
/// started again: those are on their own.
pub(super) struct Aftermath {
    pub(super) gone: Gone,
    pub(super) look: Look,
}

/// A health check that is done.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) at: Time,
    /// What was wrong.
    pub(super) failure: Option<String>,
}

/// Why a service has to be started again.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    Ended(Gone),
    Failed(String),
    /// It was ended since it was not as it should be.
    Unfit(String),
}

impl Service {
    pub(super) fn new(config: &ServiceConfig, recorded: Option<&Recorded>, now: Time) -> Self {
        Service {
            next: None,
            pattern: Pattern::new(config),
            is_pattern_new: false,
            after: Vec::new(),
            came_with: 0,
            dependents: Vec::new(),
            goal: if config.autostart { Goal::Up } else { Goal::Down },
            state: State::Stopped,
            reason: if config.autostart { Reason::NotStartedYet } else { Reason::NoAutostart },
            since: now,
            restarts: recorded.map_or(0, |recorded| recorded.restarts),
            failures: 0,
            not_before: now,
            cause: None,
            told: None,
            bore_its_name: false,
            misnamed: None,
            told_of_user: false,
            next_check: now + config.interval,
            check_due: false,
            wrapper: None,
            recorded: recorded.map(|recorded| recorded.main),
            starts: VecDeque::new(),
            last_code: 0,
            probe: None,
            heard_ready: false,
            awaits_line: false,
            failed_checks: 0,
            says: None,
            announced: None,
            guard: Guarded::default(),
            aftermath: None,
            reload: None,
            stopped_by: None,
            checked: None,
            measured: None,
            story: Story::default(),
            config: config.clone(),
        }
    }

    /// What must be looked at for this service.
    pub(super) fn needs(&self) -> Option<Look> {
        let needed = match &self.state {
            State::Seeking(Seek { later: Some(_), .. }) => None,
            State::Seeking(seek) if seek.needs_table => Some(Look::Table),
            State::Seeking(_) => Some(Look::Orphans),
            State::Stopping(ending) => ending.look,
            State::Stopped
            | State::Waiting { .. }
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => None,
        };
        let aftermath = self.aftermath.as_ref().map(|aftermath| aftermath.look);
        needed.max(aftermath).max(self.check_due.then_some(Look::Table))
    }

    /// Of two crashes before a look, the first reaches further back.
    pub(super) fn crashed(&mut self, gone: Gone) {
        self.aftermath.get_or_insert(Aftermath { gone, look: Look::Orphans });
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let check = self.is_checked().then_some(self.next_check);
        let own = match &self.state {
            State::Backoff { until } | State::Starting { until, .. } | State::Readying { until, .. } => {
                Some(*until)
            }
            State::Stopping(ending) => ending.deadline(),
            State::Seeking(seek) => seek.later.as_ref().map(|later| later.at),
            State::Stopped
            | State::Waiting { .. }
            | State::Spawning
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Exited
            | State::Failed => None,
        };
        let probe = self.probe.as_ref().and_then(ProbeRun::deadline);
        let reload = self.reload.as_ref().map(|reload| reload.until);
        check.into_iter().chain(own).chain(probe).chain(reload).min()
    }

    /// Whether there are processes whose end no event may have told of.
    pub(super) fn has_processes(&self) -> bool {
        self.state.is_up() || matches!(self.state, State::Stopping(_))
    }

    /// Whether the main process is certainly the service, and not what may yet become it.
    pub(super) fn is_certain(&self) -> bool {
        match &self.state {
            State::Starting { .. } => false,
            state => state.established().is_none_or(|main| !matches!(main.found, Found::Followed { .. })),
        }
    }

    /// When to look again whether a wrapper has become the service, or has started it: no event tells of an
    /// exec. After 100 ms, and ever more rarely.
    pub(super) fn next_look(&self, now: Time) -> Time {
        match &self.state {
            State::Starting { starter, .. } if self.pattern.launcher == Some(Launcher::Wrapper) => {
                now + now.since(starter.since).max(FIRST_LOOK)
            }
            state => match state.established() {
                Some(main) if self.bore_its_name && matches!(main.found, Found::Followed { .. }) => {
                    now + now.since(main.since).max(NAMING)
                }
                Some(_) => self.guard.next_look(&self.config, now),
                None => Time::MAX,
            },
        }
    }

    pub(super) fn is_checked(&self) -> bool {
        self.goal == Goal::Up && !self.state.is_at_rest() || self.has_processes()
    }

    /// Whether the process that musterd starts is the whole of the service: nobody else starts it, and it hands over
    /// to nobody.
    pub(super) fn is_single_run(&self) -> bool {
        self.pattern.is_single_run
    }

    /// Whether what comes after it may be started.
    pub(super) fn is_reached(&self) -> bool {
        match self.config.kind {
            Kind::Task => matches!(self.state, State::Exited),
            Kind::Service => matches!(self.state, State::Running { .. }),
        }
    }

    pub(super) fn main(&self) -> Option<&Main> {
        self.state.main()
    }

    /// Whether a clean exit of this process is the end of the service and not of its start command.
    pub(super) fn is_established(&self, main: &Main, now: Time) -> bool {
        match main.found {
            Found::Started => {
                // What is ready may still put itself into the background.
                let (ran, was_ready) = (now.since(main.since), main.was_ready);
                self.pattern.launcher.is_none()
                    && (was_ready && ran >= DAEMONISING || ran >= self.config.start_timeout)
            }
            Found::Daemonised { .. }
            | Found::TookOver { .. }
            | Found::Adopted(_)
            | Found::Announced { .. }
            | Found::Followed { .. } => true,
        }
    }

    /// Why it is being started: somebody asked for that, or this.
    pub(super) fn asked_or(&self, other: Reason) -> Reason {
        if matches!(self.reason, Reason::Asked(_)) { self.reason.clone() } else { other }
    }

    /// Why it has to be started.
    pub(super) fn cause_text(&self) -> String {
        match &self.cause {
            Some(Cause::Ended(gone)) => gone.to_string(),
            Some(Cause::Failed(why) | Cause::Unfit(why)) => why.clone(),
            None => "it was not running".to_owned(),
        }
    }

    /// Why it runs.
    pub(super) fn running_reason(&self, found: Found) -> Reason {
        match &self.cause {
            Some(Cause::Ended(gone)) => Reason::Restarted { gone: *gone, found },
            Some(Cause::Unfit(why)) => Reason::Remedied { why: why.clone(), found },
            Some(Cause::Failed(error)) => Reason::Recovered { error: error.clone(), found },
            None => Reason::Found(found),
        }
    }
}

/// All the services. Their IDs are never used again: each service that there ever was takes a pointer's room.
pub(super) struct Services {
    slots: Vec<Option<Box<Service>>>,
    /// In the order of the configuration; then those that are in it no more.
    order: Rc<[ServiceId]>,
}

impl Services {
    pub(super) fn new(services: impl Iterator<Item = Service>) -> Self {
        let mut all = Services { slots: Vec::new(), order: Rc::new([]) };
        let order = services.map(|service| all.add(service)).collect();
        all.order = order;
        all
    }

    /// Adds one, which has no place in the order yet.
    pub(super) fn add(&mut self, service: Service) -> ServiceId {
        self.slots.push(Some(Box::new(service)));
        // A service takes more than a byte: there is no memory for so many.
        ServiceId((self.slots.len() - 1) as u32)
    }

    pub(super) fn set_order(&mut self, order: impl Iterator<Item = ServiceId>) {
        self.order = order.collect();
    }

    pub(super) fn remove(&mut self, id: ServiceId) {
        self.slots[id.0 as usize] = None;
        self.set_order(self.ids().filter(|&other| other != id));
    }

    pub(super) fn has(&self, id: ServiceId) -> bool {
        self.slots.get(id.0 as usize).is_some_and(Option::is_some)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        let order = self.order.clone();
        (0..order.len()).map(move |at| order[at])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Service> {
        self.order.iter().map(|&id| &self[id])
    }
}

impl Index<ServiceId> for Services {
    type Output = Service;
    fn index(&self, id: ServiceId) -> &Service {
        match &self.slots[id.0 as usize] {
            Some(service) => service,
            None => {
                unreachable!("whoever holds an ID has it from the order, or it was asked whether it is there")
            }
        }
    }
}

impl IndexMut<ServiceId> for Services {
    fn index_mut(&mut self, id: ServiceId) -> &mut Service {
        match &mut self.slots[id.0 as usize] {
            Some(service) => service,
            None => {
                unreachable!("whoever holds an ID has it from the order, or it was asked whether it is there")
            }
        }
    }
}
