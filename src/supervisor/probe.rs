//! Probes: when one is run, and what its end means. A service has one at a time; what it is for follows from the
//! service's state. Runs none.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{
    Action, Look, Probing, Purpose, ServiceId, Supervisor,
    census::Census,
    health,
    seek::started,
    state::{Reason, State},
};
use crate::{
    config::{CheckRule, Probe as ProbeConfig, ReadyRule},
    process::{Exit, Life, Pid, Process, ProcessId},
    time::Time,
};

/// How long one probe of an address or of readiness may take: then it is asked again.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How much longer a `musterd probe` has, which ends by itself in time and says why.
const OWN_LIMIT: Duration = Duration::from_millis(500);

/// The pause after a probe that failed, at first and at most: it grows with the time that was waited.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How far a service's probe is.
#[derive(Clone, Debug)]
pub(super) enum ProbeRun {
    /// The next one is due then.
    Pause { probing: Probing, until: Time },
    /// It was asked for; the answer comes at once.
    Asked { probing: Probing },
    /// It runs; at `until` it has failed.
    Working { probing: Probing, process: ProcessId, until: Time, said: Option<String> },
    /// The service itself must say by then that it lives.
    Silence { until: Time },
}

/// The session of a probe or a reload command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    /// Whether it is a reload command.
    reloads: bool,
    /// When its end was heard of.
    ended: Option<Time>,
}

impl Probed {
    pub(super) fn begun(reloads: bool) -> Self {
        Self { reloads, ended: None }
    }

    pub(super) fn runs(self) -> bool {
        self.ended.is_none()
    }

    /// Whether it is a probe that runs.
    pub(super) fn probes(self) -> bool {
        self.runs() && !self.reloads
    }

    /// Whether this process of a session with its ID can be of the probe: who is younger than its end is not.
    pub(super) fn may_hold(self, process: &Process) -> bool {
        self.ended.is_none_or(|ended| started(process.id) <= ended)
    }
}

impl ProbeRun {
    pub(super) fn deadline(&self) -> Option<Time> {
        match self {
            ProbeRun::Pause { until, .. } | ProbeRun::Working { until, .. } | ProbeRun::Silence { until } => {
                Some(*until)
            }
            ProbeRun::Asked { .. } => Some(Time::ZERO),
        }
    }

    fn probing(&self) -> Probing {
        match self {
            ProbeRun::Pause { probing, .. }
            | ProbeRun::Asked { probing }
            | ProbeRun::Working { probing, .. } => *probing,
            ProbeRun::Silence { .. } => Probing::Health,
        }
    }

    /// Whether it tells soon whether the service is well.
    pub(super) fn checks_health(&self) -> bool {
        match self {
            ProbeRun::Asked { probing } | ProbeRun::Working { probing, .. } => *probing == Probing::Health,
            ProbeRun::Pause { .. } | ProbeRun::Silence { .. } => false,
        }
    }

    /// Whether a service in this state has such a probe.
    fn suits(&self, state: &State) -> bool {
        match (self.probing(), state) {
            (Probing::Address(at), State::Waiting { answered }) => *answered == at as usize,
            (Probing::Ready, State::Readying { .. })
            | (Probing::Health, State::Running { .. } | State::Unhealthy { .. }) => true,
            (Probing::Address(_) | Probing::Ready | Probing::Health, _) => false,
        }
    }
}

impl Supervisor {
    pub(super) fn run_probe(&mut self, id: ServiceId, probing: Probing) {
        self.services[id].probe = Some(ProbeRun::Asked { probing });
        self.actions.push(Action::Spawn { service: id, purpose: Purpose::Probe(probing) });
    }

    /// The state has changed: a probe that was for another one ends.
    pub(super) fn drop_unsuited_probe(&mut self, id: ServiceId) {
        let service = &self.services[id];
        if service.probe.as_ref().is_some_and(|probe| !probe.suits(&service.state)) {
            self.drop_probe(id);
        }
    }

    /// Nobody wants the answer of a probe any more.
    pub(super) fn drop_probe(&mut self, id: ServiceId) {
        if let Some(ProbeRun::Working { process, .. }) = self.services[id].probe.take() {
            self.actions.push(Action::Signal { process, signal: Signal::SIGKILL as i32 });
        }
    }

    pub(super) fn probe_spawned(&mut self, now: Time, id: ServiceId, probing: Probing, process: ProcessId) {
        self.probed.insert(process.pid, Probed::begun(false));
        match self.services[id].probe {
            Some(ProbeRun::Asked { probing: asked }) if asked == probing => {
                let until = now + self.probe_patience(id, probing);
                self.services[id].probe = Some(ProbeRun::Working { probing, process, until, said: None });
            }
            // Nobody wants its answer any more.
            Some(
                ProbeRun::Asked { .. }
                | ProbeRun::Pause { .. }
                | ProbeRun::Working { .. }
                | ProbeRun::Silence { .. },
            )
            | None => {
                self.actions.push(Action::Signal { process, signal: Signal::SIGKILL as i32 });
            }
        }
    }

    fn probe_patience(&self, id: ServiceId, probing: Probing) -> Duration {
        let config = &self.services[id].config;
        let (patience, probe) = match (probing, &config.check) {
            (Probing::Health, Some(check)) => match &check.rule {
                CheckRule::Probe(probe) => (check.timeout, Some(probe)),
                CheckRule::Notify => (check.timeout, None),
            },
            (Probing::Ready, _) => match &config.ready.rule {
                ReadyRule::Probe(probe) => (PATIENCE, Some(probe)),
                ReadyRule::Started | ReadyRule::Log(_) | ReadyRule::Notify | ReadyRule::Delay(_) => {
                    (PATIENCE, None)
                }
            },
            (Probing::Address(_), _) | (Probing::Health, None) => (PATIENCE + OWN_LIMIT, None),
        };
        match probe {
            Some(ProbeConfig::Address(_)) => patience + OWN_LIMIT,
            Some(ProbeConfig::Exec(_)) | None => patience,
        }
    }

    pub(super) fn probe_said(&mut self, process: ProcessId, line: String) {
        let Some(owner) = self.owners.get(&process.pid).filter(|owner| owner.is_of(process)) else { return };
        if let Some(ProbeRun::Working { process: working, said, .. }) =
            &mut self.services[owner.service].probe
            && *working == process
        {
            *said = Some(line);
        }
    }

    /// A probe's process ended. Whoever it left is looked for.
    pub(super) fn probe_ended(&mut self, now: Time, id: ServiceId, process: ProcessId, exit: Exit) {
        self.probed_ended(now, process);
        let service = &mut self.services[id];
        if let Some(ProbeRun::Working { probing, process: working, said, .. }) = &service.probe
            && working.pid == process.pid
        {
            let (probing, said) = (*probing, said.clone());
            let outcome =
                if exit.is_clean() { Ok(()) } else { Err(said.unwrap_or_else(|| exit.to_string())) };
            service.probe = None;
            self.probe_answered(now, id, probing, outcome);
        }
    }

    /// Whoever a probe or a reload command left is looked for.
    pub(super) fn probed_ended(&mut self, now: Time, process: ProcessId) {
        if let Some(probed) = self.probed.get_mut(&process.pid) {
            probed.ended = Some(now);
            self.probes_left = self.probes_left.max(Some(Look::Orphans));
        }
    }

    pub(super) fn probe_failed_to_start(
        &mut self,
        now: Time,
        id: ServiceId,
        probing: Probing,
        error: String,
    ) {
        if matches!(self.services[id].probe, Some(ProbeRun::Asked { probing: asked }) if asked == probing) {
            self.services[id].probe = None;
            match probing {
                Probing::Health => self.health_unknown(now, id, error),
                Probing::Address(_) | Probing::Ready => self.probe_answered(now, id, probing, Err(error)),
            }
        }
    }

    /// Its time is over, or the next one's has come.
    pub(super) fn probe_due(&mut self, now: Time, id: ServiceId) {
        match self.services[id].probe.clone() {
            Some(ProbeRun::Pause { probing, until }) if until <= now => match self.lingering_probe(id) {
                // What hangs in the kernel would become more and more, until no process is left for anybody.
                Some(pid) => {
                    let why = format!("probe {pid} was killed and has not ended");
                    self.probe_answered(now, id, probing, Err(why));
                }
                None => self.run_probe(id, probing),
            },
            // The answer comes at once: it was lost.
            Some(ProbeRun::Asked { probing }) if !self.asks_for(id, Purpose::Probe(probing)) => {
                self.run_probe(id, probing);
            }
            Some(ProbeRun::Working { probing, process, until, .. }) if until <= now => {
                self.actions.push(Action::Signal { process, signal: Signal::SIGKILL as i32 });
                self.services[id].probe = None;
                let patience = humantime::format_duration(self.probe_patience(id, probing)).to_string();
                self.probe_answered(now, id, probing, Err(format!("no answer within {patience}")));
            }
            Some(ProbeRun::Silence { until }) if until <= now => self.fell_silent(now, id),
            Some(
                ProbeRun::Pause { .. }
                | ProbeRun::Asked { .. }
                | ProbeRun::Working { .. }
                | ProbeRun::Silence { .. },
            )
            | None => {}
        }
    }

    /// A process of an earlier probe that has not ended yet.
    fn lingering_probe(&self, id: ServiceId) -> Option<Pid> {
        let is_ours = |pid: &Pid| self.owners.get(pid).is_some_and(|owner| owner.service == id);
        let mut running = self.probed.iter().filter(|(_, probed)| probed.probes()).map(|(&pid, _)| pid);
        running.find(is_ours)
    }

    fn probe_answered(&mut self, now: Time, id: ServiceId, probing: Probing, outcome: Result<(), String>) {
        match (probing, outcome) {
            (Probing::Address(_), Ok(())) => self.address_answered(now, id),
            (Probing::Address(at), Err(why)) => {
                if let Some(address) = self.services[id].config.after_addresses.get(at as usize) {
                    self.services[id].reason = Reason::Address { address: address.clone(), said: Some(why) };
                    self.probe_again(now, id, probing, self.services[id].since);
                }
            }
            (Probing::Ready, Ok(())) => self.became_ready(now, id),
            (Probing::Ready, Err(why)) => {
                if let Reason::Unready { said, .. } = &mut self.services[id].reason {
                    *said = Some(why);
                }
                self.probe_again(now, id, probing, self.services[id].since);
            }
            (Probing::Health, Ok(())) => self.health_checked(now, id, None),
            (Probing::Health, Err(why)) => self.health_checked(now, id, Some(why)),
        }
    }

    /// Asks again, ever more rarely.
    fn probe_again(&mut self, now: Time, id: ServiceId, probing: Probing, since: Time) {
        let pause = (now.since(since) / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.services[id].probe = Some(ProbeRun::Pause { probing, until: now + pause });
    }

    /// Nobody new is musterd's child: no probe left any.
    pub(super) fn probes_left_nobody(&mut self) {
        self.probes_left = None;
        self.probed.retain(|_, probed| probed.runs());
    }

    /// Kills what probes that ended have left: in their sessions, and by their mark those that left these.
    pub(super) fn end_what_probes_left(&mut self, census: &Census) {
        self.probes_left = None;
        let ended = self.probed.iter().filter(|(_, probed)| !probed.runs());
        let in_sessions: Vec<ProcessId> = ended
            .flat_map(|(leader, probed)| {
                census.in_session(*leader).iter().filter(|process| probed.may_hold(process))
            })
            .filter(|process| process.life == Life::Alive && !process.foreign)
            .map(|process| process.id)
            .collect();
        let strays = census.table.processes.iter().filter(|process| {
            process.probe
                && process.life == Life::Alive
                && !process.foreign
                && process.parent == self.place.pid
                && !self.owners.contains_key(&process.id.pid)
        });
        let strays: Vec<ProcessId> = strays.map(|process| process.id).collect();
        let signal = Signal::SIGKILL as i32;
        let left = in_sessions.iter().chain(strays.iter().filter(|stray| !in_sessions.contains(stray)));
        self.actions.extend(left.map(|&process| Action::Signal { process, signal }));
        self.probed.retain(|leader, probed| probed.runs() || !census.in_session(*leader).is_empty());
    }

    /// The first probe of a service that has just become ready, or the time within which it must say something.
    pub(super) fn begin_checks(&mut self, now: Time, id: ServiceId) {
        let service = &mut self.services[id];
        (service.failed_checks, service.checked) = (0, None);
        service.probe = service.config.check.as_ref().map(|check| health::next_check(check, now));
    }
}
