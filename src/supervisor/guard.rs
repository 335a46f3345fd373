//! Whether a service takes more memory or processor time than it may. Measures nothing.

use std::{collections::HashMap, time::Duration};

use super::{ServiceId, Supervisor, census::Census, usage::Families};
use crate::{
    config::{Guard, LogLevel, Remedy, Service as ServiceConfig},
    process::ProcessId,
    text::size,
    time::Time,
};

/// The shortest time over which processor time is measured: one tick of 10 ms is little of it.
const SHORTEST_MEASURE: Duration = Duration::from_secs(1);

/// What was seen of a service that is guarded.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    /// When it was last looked at, and the ticks that each of its processes had used by then.
    seen: Option<(Time, HashMap<ProcessId, u64>)>,
    memory: Excess,
    cpu: Excess,
}

/// How long a service has taken too much of one thing.
#[derive(Debug, Default)]
struct Excess {
    since: Option<Time>,
    told: bool,
}

impl Guarded {
    /// When the next look is due for the guards' sake.
    pub(super) fn next_look(&self, config: &ServiceConfig, now: Time) -> Time {
        let of = |lasting: Duration, excess: &Excess| {
            let pause = if lasting.is_zero() { config.interval } else { lasting.max(SHORTEST_MEASURE) };
            let over = excess.since.filter(|_| !excess.told).map(|since| since + lasting);
            over.filter(|&over| over > now).unwrap_or(now + pause)
        };
        let memory = config.memory_max.map(|guard| of(guard.lasting, &self.memory));
        let cpu = config.cpu_max.map(|guard| of(guard.lasting, &self.cpu));
        memory.into_iter().chain(cpu).min().unwrap_or(Time::MAX)
    }

    /// What people see of it beside the state.
    pub(super) fn excess(&self) -> Option<&'static str> {
        match (self.memory.told, self.cpu.told) {
            (true, true) => Some("takes more than memory-max and cpu-max"),
            (true, false) => Some("takes more than memory-max"),
            (false, true) => Some("takes more than cpu-max"),
            (false, false) => None,
        }
    }
}

impl Excess {
    /// Takes in a look; true when it has lasted for too long, once.
    fn look(&mut self, is_too_much: bool, since: Time, lasting: Duration, now: Time) -> bool {
        if !is_too_much {
            *self = Excess::default();
            return false;
        }
        let began = *self.since.get_or_insert(since);
        let is_over = !self.told && now.since(began) >= lasting;
        self.told |= is_over;
        is_over
    }
}

impl Supervisor {
    /// Looks at the services given, of which the table is asked for.
    pub(super) fn look_at_guarded(&mut self, now: Time, asked: &[ServiceId], census: &Census) {
        let is_guarded = |id: &&ServiceId| {
            let service = &self.services[**id];
            (service.config.memory_max.is_some() || service.config.cpu_max.is_some())
                && service.state.established().is_some()
        };
        let guarded: Vec<ServiceId> = asked.iter().filter(is_guarded).copied().collect();
        if guarded.is_empty() {
            return;
        }
        let families = Families::new(census.table);
        for id in guarded {
            self.look_at_usage(now, id, census, &families);
        }
    }

    fn look_at_usage(&mut self, now: Time, id: ServiceId, census: &Census, families: &Families) {
        let Some(usage) = self.usage(id, census.table, &census.sessions, families) else { return };
        let service = &mut self.services[id];
        let (config, guarded) = (&service.config, &mut service.guard);
        let mut complaints: Vec<(Remedy, String)> = Vec::new();
        if let Some(Guard { max, lasting, on_excess }) = config.memory_max
            && guarded.memory.look(usage.memory > max, now, lasting, now)
        {
            let why = format!("takes {} of memory, more than memory-max = {}", size(usage.memory), size(max));
            complaints.push((on_excess, why));
        }
        let percent = guarded
            .seen
            .as_ref()
            .filter(|(at, _)| now.since(*at) >= SHORTEST_MEASURE)
            .map(|(at, before)| (usage.percent_since(before, now.since(*at)), *at));
        if let Some(Guard { max, lasting, on_excess }) = config.cpu_max
            && let Some((percent, since)) = percent
            && guarded.cpu.look(percent > max, since, lasting, now)
        {
            complaints
                .push((on_excess, format!("takes {percent:.0}% of a processor, more than cpu-max = {max}%")));
        }
        if percent.is_some() || guarded.seen.is_none() {
            guarded.seen = Some((now, usage.ticks));
        }
        let next = service.guard.next_look(&service.config, now);
        service.next_check = service.next_check.min(next);
        for (remedy, why) in complaints {
            match remedy {
                Remedy::Restart => return self.remedy(now, id, why),
                Remedy::Report => {
                    let pid = self.services[id].main().map(|main| main.id.pid);
                    self.tell(LogLevel::Warn, id, pid, ("excess", why, None));
                }
            }
        }
    }

    /// What was seen of former processes says nothing of the next ones.
    pub(super) fn forget_usage(&mut self, id: ServiceId) {
        self.services[id].guard = Guarded::default();
    }
}
