//! Whether a service takes more memory or processor time than it may, by what the table shows of its main process,
//! the session of it and all their descendants. Measures nothing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{ServiceId, Supervisor, census::Census, seek::TICK, state::State};
use crate::{
    config::{Guard, LogLevel, Remedy, Service as ServiceConfig},
    process::{Life, Pid, Process, ProcessId},
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

/// What a service takes now.
struct Usage {
    memory: u64,
    ticks: HashMap<ProcessId, u64>,
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
                && matches!(
                    service.state,
                    State::Readying { .. } | State::Running { .. } | State::Unhealthy { .. }
                )
        };
        let guarded: Vec<ServiceId> = asked.iter().filter(is_guarded).copied().collect();
        if guarded.is_empty() {
            return;
        }
        let mut children: HashMap<Pid, Vec<&Process>> = HashMap::new();
        for process in census.table.processes.iter().filter(|process| process.life == Life::Alive) {
            children.entry(process.parent).or_default().push(process);
        }
        for id in guarded {
            self.look_at_usage(now, id, census, &children);
        }
    }

    fn look_at_usage(
        &mut self,
        now: Time,
        id: ServiceId,
        census: &Census,
        children: &HashMap<Pid, Vec<&Process>>,
    ) {
        let Some(usage) = self.usage(id, census, children) else { return };
        let service = &mut self.services[id];
        let (config, guarded) = (&service.config, &mut service.guard);
        let mut complaints: Vec<(Remedy, String)> = Vec::new();
        if let Some(Guard { max, lasting, on_excess }) = config.memory_max
            && guarded.memory.look(usage.memory > max, now, lasting, now)
        {
            let why = format!("takes {} of memory, more than memory-max = {}", size(usage.memory), size(max));
            complaints.push((on_excess, why));
        }
        let percent = guarded.seen.as_ref().and_then(|(at, before)| percent(*at, now, before, &usage.ticks));
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

    /// What main process, session and descendants take together.
    fn usage(&self, id: ServiceId, census: &Census, children: &HashMap<Pid, Vec<&Process>>) -> Option<Usage> {
        let main = self.services[id].main()?;
        let in_sessions = main.sessions().flat_map(|session| census.in_session(session)).copied();
        let mut agenda: Vec<&Process> = in_sessions.chain(census.table.get(main.id.pid)).collect();
        let (mut usage, mut counted) = (Usage { memory: 0, ticks: HashMap::new() }, HashSet::new());
        while let Some(process) = agenda.pop() {
            if process.life == Life::Alive && counted.insert(process.id.pid) {
                usage.memory = usage.memory.saturating_add(process.memory);
                usage.ticks.insert(process.id, process.cpu);
                agenda.extend(children.get(&process.id.pid).into_iter().flatten());
            }
        }
        Some(usage)
    }

    /// What was seen of former processes says nothing of the next ones.
    pub(super) fn forget_usage(&mut self, id: ServiceId) {
        self.services[id].guard = Guarded::default();
    }
}

/// The processor time between two looks, in percent of one processor, and since when; `None`: too short a time.
fn percent(
    at: Time,
    now: Time,
    before: &HashMap<ProcessId, u64>,
    ticks: &HashMap<ProcessId, u64>,
) -> Option<(f64, Time)> {
    let passed = now.since(at);
    let used = ticks.iter().map(|(id, &ticks)| ticks.saturating_sub(before.get(id).copied().unwrap_or(0)));
    let used = TICK.as_secs_f64() * used.sum::<u64>() as f64;
    (passed >= SHORTEST_MEASURE).then(|| (100.0 * used / passed.as_secs_f64(), at))
}

/// `512 MiB`, `1.5 GiB`.
fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), units[unit])
}
