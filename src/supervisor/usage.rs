//! What services take, by what a table shows of main process, session and descendants. Measures nothing itself.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    Action, ClientId, Look, ServiceId, Supervisor, census,
    seek::{TICK, started},
    status::Depth,
};
use crate::{
    process::{Life, Pid, Process, ProcessId, Table},
    protocol,
    time::Time,
};

/// For so long what was measured is told to whoever asks: however many clients there are, the table is read once in this
/// time for them. Processor time over less than this is a matter of chance, as it is counted in ticks of 10 ms.
const FRESH: Duration = Duration::from_secs(1);

/// What a service takes now.
#[derive(Debug)]
pub(super) struct Usage {
    /// Resident memory, in bytes.
    pub(super) memory: u64,
    /// The processor time of each of its processes since their start.
    pub(super) ticks: HashMap<ProcessId, u64>,
}

impl Usage {
    /// The processor time used since an earlier look, in percent of one processor.
    pub(super) fn percent_since(&self, before: &HashMap<ProcessId, u64>, passed: Duration) -> f64 {
        let used =
            |(id, &ticks): (&ProcessId, &u64)| ticks.saturating_sub(before.get(id).copied().unwrap_or(0));
        percent(self.ticks.iter().map(used).sum(), passed)
    }

    fn percent_since_start(&self, now: Time) -> (f64, Duration) {
        let oldest = self.ticks.keys().map(|&id| started(id)).min().unwrap_or(now);
        let passed = now.since(oldest);
        (percent(self.ticks.values().sum(), passed), passed)
    }
}

fn percent(ticks: u64, passed: Duration) -> f64 {
    if passed.is_zero() {
        return 0.0;
    }
    100.0 * TICK.as_secs_f64() * ticks as f64 / passed.as_secs_f64()
}

/// Who descends from whom, of those who live.
pub(super) struct Families<'a>(HashMap<Pid, Vec<&'a Process>>);

impl<'a> Families<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        let mut children: HashMap<Pid, Vec<&Process>> = HashMap::new();
        for process in table.processes.iter().filter(|process| process.life == Life::Alive) {
            children.entry(process.parent).or_default().push(process);
        }
        Families(children)
    }
}

/// What was measured of a service.
#[derive(Debug)]
pub(super) struct Measured {
    ticks: HashMap<ProcessId, u64>,
    words: protocol::Usage,
}

/// Who wants to know what services take, and when that was last measured.
#[derive(Debug, Default)]
pub(super) struct Measuring {
    at: Option<Time>,
    askers: Vec<Asker>,
}

#[derive(Debug)]
struct Asker {
    client: ClientId,
    services: Vec<ServiceId>,
    depth: Depth,
}

impl Measuring {
    /// The service is no more.
    pub(super) fn forget(&mut self, id: ServiceId) {
        self.askers.iter_mut().for_each(|asker| asker.services.retain(|&service| service != id));
    }

    pub(super) fn needs(&self) -> Option<Look> {
        (!self.askers.is_empty()).then_some(Look::Usage)
    }
}

impl Supervisor {
    /// Answers with the states, and with what the services take: as of now, if that was not measured just before.
    pub(super) fn asked_measured(
        &mut self,
        now: Time,
        client: ClientId,
        services: Vec<ServiceId>,
        depth: Depth,
    ) {
        self.measuring.askers.push(Asker { client, services, depth });
        if self.is_measured(now) || self.blind_until.is_some() {
            self.answer_askers(now);
        }
    }

    /// Whether it is known what services take, as far as anybody can ask for it.
    pub(super) fn is_measured(&self, now: Time) -> bool {
        self.measuring.at.is_some_and(|at| now.since(at) < FRESH)
    }

    /// Answers with what is known.
    pub(super) fn answer_askers(&mut self, now: Time) {
        for Asker { client, services, depth } in std::mem::take(&mut self.measuring.askers) {
            let response = self.statuses(now, &services, depth);
            self.actions.push(Action::Reply { client, response });
        }
    }

    /// Nobody is there to be answered.
    pub(super) fn unask(&mut self, client: ClientId) {
        self.measuring.askers.retain(|asker| asker.client != client);
    }

    /// Takes in a table for those who asked.
    pub(super) fn measured(&mut self, now: Time, table: &Table) {
        if self.measuring.askers.is_empty() {
            return;
        }
        let families = Families::new(table);
        let sessions = census::by_session(table);
        let passed = self.measuring.at.replace(now).map(|at| now.since(at));
        for id in self.services.ids() {
            let usage = self.usage(id, table, &sessions, &families);
            let before = self.services[id].measured.take();
            self.services[id].measured = usage.map(|usage| {
                let since_before = before
                    .zip(passed)
                    .map(|(before, passed)| (usage.percent_since(&before.ticks, passed), passed));
                let (cpu, over) = since_before.unwrap_or_else(|| usage.percent_since_start(now));
                let children = usage.ticks.len().saturating_sub(1) as u64;
                let words =
                    protocol::Usage { cpu, cpu_over: over.as_secs_f64(), memory: usage.memory, children };
                Measured { ticks: usage.ticks, words }
            });
        }
        self.answer_askers(now);
    }

    /// What main process, session and descendants take together; `None` without a main process in the table.
    pub(super) fn usage(
        &self,
        id: ServiceId,
        table: &Table,
        sessions: &HashMap<Pid, Vec<&Process>>,
        families: &Families,
    ) -> Option<Usage> {
        let main = self.services[id].main()?;
        let in_sessions = main.sessions().filter_map(|session| sessions.get(&session)).flatten().copied();
        let mut agenda: Vec<&Process> = in_sessions.chain(table.get(main.id.pid)).collect();
        let (mut usage, mut counted) = (Usage { memory: 0, ticks: HashMap::new() }, HashSet::new());
        while let Some(process) = agenda.pop() {
            if process.life == Life::Alive && counted.insert(process.id.pid) {
                usage.memory = usage.memory.saturating_add(process.memory);
                usage.ticks.insert(process.id, process.cpu);
                agenda.extend(families.0.get(&process.id.pid).into_iter().flatten());
            }
        }
        (!usage.ticks.is_empty()).then_some(usage)
    }
}

impl Measured {
    pub(super) fn words(&self) -> protocol::Usage {
        self.words.clone()
    }
}
