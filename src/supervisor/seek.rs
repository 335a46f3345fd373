//! What a look at musterd's orphans or at the whole table means for the services.

use std::{collections::HashSet, time::Duration};

use super::{
    Action, Cause, Look, ServiceId, Supervisor,
    census::Census,
    pattern::Launcher,
    presence::{self, Elsewhere, Everybody, Finding, Kin, Seeker},
    process_names::{Names, is_candidate},
    service::Aftermath,
    state::{Found, Gone, Main, Reason, State},
};
use crate::{
    config::LogLevel,
    process::{Exit, Pid, Process, ProcessId, Table},
    time::Time,
};

/// Clock ticks in a second, as /proc counts them: USER_HZ, 100 on x86-64 and arm64 (time(7)).
const TICKS_PER_SECOND: u64 = 100;

/// One of them.
pub(super) const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND);

/// How long a daemon has to take its own name: between fork and exec it bears that of its parent.
pub(super) const NAMING: Duration = Duration::from_secs(1);

/// How long a program that puts itself into the background usually takes for that, until when nobody can have
/// connected to what stays in the foreground.
pub(super) const DAEMONISING: Duration = Duration::from_secs(2);

/// How long it has where an earlier daemon has borne the name: then one that never does is what such a daemon left.
const NAMING_AGAIN: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Tells whether what ended left orphans; if it did, only the table can say whose they are.
    pub(super) fn orphans_seen(&mut self, now: Time, children: Option<Vec<Pid>>) {
        // An orphan is new to the service in whose session it is, however long it has been known.
        let (mut unknown, mut left_by) = (children.is_none(), HashSet::<ServiceId>::new());
        for pid in children.iter().flatten().filter(|pid| !self.owners.contains_key(pid)) {
            match self.orphans.get(pid) {
                Some(session) => left_by.extend(session),
                None => unknown = true,
            }
        }
        let asked: Vec<ServiceId> = self
            .looking
            .iter()
            .copied()
            .filter(|&id| self.services[id].needs() == Some(Look::Orphans))
            .collect();
        for id in asked {
            let none_new = !unknown && !left_by.contains(&id);
            let aftermath = self.services[id].aftermath.take();
            self.services[id].aftermath =
                aftermath.filter(|_| unknown).map(|aftermath| Aftermath { look: Look::Table, ..aftermath });
            match &mut self.services[id].state {
                State::Seeking(seek) => match seek.gone {
                    Some(gone) if none_new => self.restart(now, id, gone),
                    Some(_) | None => seek.needs_table = true,
                },
                State::Stopping(ending) => {
                    ending.look = if none_new { None } else { Some(Look::Table) };
                    self.ending_proceeds(now, id);
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
            if self.services[id].needs().is_none() {
                self.looking.remove(&id);
            }
        }
        if unknown {
            self.probes_left = self.probes_left.map(|_| Look::Table);
        } else {
            self.probes_left_nobody();
        }
    }

    /// Takes in the table: what is left of what ended, and who is there that was missing.
    pub(super) fn scanned(&mut self, now: Time, table: &Table) {
        let census = &Census::new(table, &self.new_orphans(table));
        self.notice_neighbours(table);
        self.doubt_the_absent(table);
        self.note_apart(now, table);
        let asked: Vec<ServiceId> = self.looking.iter().copied().collect();
        let checked = asked.clone();
        let mut seeking: Vec<(ServiceId, Option<Gone>)> = Vec::new();
        let mut stopping: Vec<(ServiceId, Option<Gone>)> = Vec::new();
        for id in asked {
            self.services[id].check_due = false;
            self.warn_of_user(id, table);
            if let Some(Aftermath { gone, .. }) = self.services[id].aftermath.take() {
                self.set_apart(id, gone, census);
            }
            match &self.services[id].state {
                State::Seeking(seek) => {
                    let mut gone = seek.gone;
                    if let Some(gone) = &mut gone {
                        gone.session = Self::late_session(*gone, census).or(gone.session);
                    }
                    if let Some(gone) = gone {
                        self.set_apart(id, gone, census);
                        if !gone.hands_over() && self.clear_session(now, id, gone, census) {
                            continue;
                        }
                    }
                    seeking.push((id, gone));
                }
                State::Starting { starter, .. } => {
                    let starter = starter.clone();
                    self.looking.remove(&id);
                    if self.answers(id, starter.id, table) {
                        self.services[id].wrapper = None;
                        self.run(now, id, starter);
                    } else if self.services[id].pattern.launcher == Some(Launcher::Wrapper) {
                        seeking.push((id, Some(starter.gone(Exit::Unknown, false, now))));
                    }
                }
                State::Readying { .. } | State::Running { .. } | State::Unhealthy { .. } => {
                    self.looking.remove(&id);
                    if self.is_let_go(now, id, table) {
                        continue;
                    }
                    self.confirm(now, id, table);
                    self.heed_announcement(now, id, table);
                }
                State::Stopping(ending) => {
                    let (starter, looked_for) =
                        (ending.starter(), ending.gone.filter(|_| ending.look.is_some()));
                    looked_for.into_iter().for_each(|gone| self.set_apart(id, gone, census));
                    stopping.push((id, starter));
                }
                State::Stopped
                | State::Waiting { .. }
                | State::Spawning
                | State::Backoff { .. }
                | State::Exited
                | State::Failed => {
                    self.looking.remove(&id);
                }
            }
        }
        self.end_what_probes_left(census);
        self.end_what_is_stopping(now, census, &stopping);
        self.look_at_guarded(now, &checked, census);
        self.measured(now, table);
        self.call_the_roll(now, census, &seeking);
        self.remember_orphans(table);
        self.end_rest(table);
    }

    /// Assigns processes to the seekers and starts those that got none.
    fn call_the_roll(&mut self, now: Time, census: &Census, seeking: &[(ServiceId, Option<Gone>)]) {
        if seeking.is_empty() {
            return;
        }
        let seekers: HashSet<ServiceId> = seeking.iter().map(|&(id, _)| id).collect();
        let mut taken = self.taken(census.table, &seekers);
        let everybody = self.everybody();
        let seekers: Vec<Seeker> =
            seeking.iter().map(|&(id, gone)| self.services[id].seeker(&everybody, gone)).collect();
        let findings = presence::assign(census, &seekers, &mut taken);
        let descendants: Vec<Vec<ProcessId>> = seekers
            .iter()
            .zip(&findings)
            .zip(seeking)
            .map(|((seeker, finding), (_, gone))| {
                let start_command = gone.is_some_and(|gone| gone.hands_over() && !gone.established);
                let is_asked = finding.is_none() && start_command;
                let found = if is_asked { presence::descendants(census, seeker, &taken) } else { Vec::new() };
                taken.extend(found.iter().map(|process| process.pid));
                found
            })
            .collect();
        for ((&(id, gone), finding), descendants) in seeking.iter().zip(findings).zip(descendants) {
            match (finding, gone) {
                (Some(finding), _) => self.found(now, id, census.table, finding, gone),
                (None, _) if matches!(self.services[id].state, State::Starting { .. }) => {}
                (None, Some(gone)) => self.not_found(now, id, census, gone, descendants),
                (None, None) => self.start(now, id),
            }
        }
    }

    /// What ended left no process of the service's name.
    fn not_found(&mut self, now: Time, id: ServiceId, census: &Census, gone: Gone, others: Vec<ProcessId>) {
        if self.await_pidfile(now, id, census.table, gone, &others) {
            return;
        }
        match others.first() {
            Some(&topmost) => self.follow(now, id, census.table, topmost, gone),
            None if self.clear_session(now, id, gone, census) => {}
            None => self.restart(now, id, gone),
        }
    }

    fn found(&mut self, now: Time, id: ServiceId, table: &Table, finding: Finding, gone: Option<Gone>) {
        let found = match gone {
            Some(gone) if finding.kin && gone.established => {
                Found::TookOver { from: gone.id.pid, exit: gone.exit }
            }
            Some(gone) if finding.kin => Found::Daemonised { by: gone.id.pid },
            Some(_) | None => Found::Adopted(finding.rule),
        };
        let handed_over = matches!(found, Found::TookOver { .. } | Found::Daemonised { .. });
        match gone {
            Some(gone) if !handed_over && gone.established => {
                self.note(now, id, Cause::Ended(gone), Some(now.since(gone.since)));
            }
            Some(_) | None => {}
        }
        let since = match gone {
            Some(gone) if handed_over => gone.since,
            Some(_) | None => started(finding.process).min(now),
        };
        self.take(
            now,
            id,
            table,
            gone,
            Main { id: finding.process, since, session: None, found, was_ready: false },
        );
        self.services[id].bore_its_name = true;
        let pid = finding.process.pid;
        self.tell(LogLevel::Info, id, Some(pid), ("main process found", found.to_string(), None));
    }

    /// Follows a daemon of another name; perhaps it has just not taken its own one yet.
    fn follow(&mut self, now: Time, id: ServiceId, table: &Table, process: ProcessId, gone: Gone) {
        let found = Found::Followed { from: gone.id.pid };
        let main = Main { id: process, since: gone.since, session: None, found, was_ready: false };
        self.take(now, id, table, Some(gone), main);
        let service = &mut self.services[id];
        service.next_check = service.next_check.min(now + NAMING);
    }

    /// A process that is followed has taken the service's name, or else people are told how to give its own.
    fn confirm(&mut self, now: Time, id: ServiceId, table: &Table) {
        let Some(main) = self.services[id].main().cloned() else { return };
        let Found::Followed { from } = main.found else { return };
        if self.answers(id, main.id, table) {
            self.services[id].bore_its_name = true;
            self.services[id].told = None;
            return self.run(now, id, Main { found: Found::Daemonised { by: from }, ..main });
        }
        if self.services[id].bore_its_name {
            if now.since(main.since) >= NAMING_AGAIN {
                let reason = Reason::NeverNamed { from };
                self.note(now, id, Cause::Failed(reason.to_string()), Some(now.since(main.since)));
                self.stop(now, id, reason);
            }
            return;
        }
        let Some(process) = table.alive(main.id) else { return };
        let (called, pid) = (called(process), main.id.pid);
        let (name, matching) = (&self.services[id].config.name, &self.services[id].config.matching);
        let cause =
            format!("start command {from} left no process that {}, but {called:?}", self.described(id));
        let remedy = if matching.is_name_only() {
            format!("write match = {called:?} in [services.{name}]")
        } else {
            format!("let match in [services.{name}] hold for it")
        };
        let next = format!("following that; if it is the service, {remedy}");
        if self.services[id].misnamed.as_ref() != Some(&called) {
            self.services[id].misnamed = Some(called);
            self.tell(LogLevel::Warn, id, Some(pid), ("daemon of another name", cause, Some(next)));
        }
    }

    /// Whether the process is there and answers to the service's name.
    pub(super) fn answers(&self, id: ServiceId, process: ProcessId, table: &Table) -> bool {
        let pattern = &self.services[id].pattern;
        table.alive(process).is_some_and(|process| {
            is_candidate(process) && pattern.admits(process, &Names::of(process), &table.named)
        })
    }

    /// Makes a process that musterd did not itself start the main process.
    pub(super) fn take(&mut self, now: Time, id: ServiceId, table: &Table, gone: Option<Gone>, main: Main) {
        let process = table.get(main.id.pid);
        let session = process.and_then(|process| self.own_session(id, process, main.found, gone, table));
        self.own(id, main.id);
        self.actions.push(Action::Watch(main.id));
        self.run(now, id, Main { session: session.or(main.session), ..main });
    }

    /// Begins to end what a crash left in its session; false where nothing is left.
    fn clear_session(&mut self, now: Time, id: ServiceId, gone: Gone, census: &Census) -> bool {
        let left = self.left_in(id, &self.sessions_of(id, gone.id, gone.session), census);
        let is_any = !left.is_empty();
        if is_any {
            self.clear(now, id, gone, left);
        }
        is_any
    }

    fn clear(&mut self, now: Time, id: ServiceId, gone: Gone, left: Vec<ProcessId>) {
        self.note(now, id, Cause::Ended(gone), Some(now.since(gone.since)));
        self.end_remains(now, id, gone, left, Reason::Remains(gone));
    }
}

impl super::service::Service {
    /// What of other sessions what ended may have handed over to.
    pub(super) fn elsewhere(&self, gone: Gone) -> Elsewhere {
        let forked_at_once = gone.ended.since(gone.since) < DAEMONISING;
        match (gone.established, self.pattern.launcher) {
            (true, _) => Elsewhere::None,
            // The pidfile tells it from all others.
            (false, _) if self.pattern.pidfile().is_some() => Elsewhere::Any,
            (false, Some(Launcher::InitScript | Launcher::Wrapper)) => Elsewhere::Any,
            (false, None) if forked_at_once => Elsewhere::Any,
            (false, None) => Elsewhere::NoConnections,
        }
    }

    /// What of the table would be this service's.
    pub(super) fn seeker<'a>(&'a self, everybody: &'a Everybody<'a>, gone: Option<Gone>) -> Seeker<'a> {
        let kin = |gone: Gone| {
            let elsewhere = self.elsewhere(gone);
            Kin { gone, elsewhere }
        };
        Seeker {
            name: self.config.name.as_str(),
            everybody,
            pattern: &self.pattern,
            recorded: self.recorded,
            kin: gone.map(kin),
        }
    }
}

/// When a process started.
pub(super) fn started(process: ProcessId) -> Time {
    let (seconds, ticks) = (process.start / TICKS_PER_SECOND, process.start % TICKS_PER_SECOND);
    Time::from_boot(Duration::new(seconds, (ticks * (1_000_000_000 / TICKS_PER_SECOND)) as u32))
}

/// What a person would call the process.
fn called(process: &Process) -> String {
    let names = Names::of(process);
    let name = names.iter().next().unwrap_or(&process.comm);
    name.to_string_lossy().into_owned()
}
