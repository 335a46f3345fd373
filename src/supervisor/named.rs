//! What the services' `match` names outside of the process table: what must be read for a look, and what follows
//! where a pidfile or a user is not there yet. Reads nothing itself.

use std::{collections::BTreeSet, path::Path};

use super::{
    Cause, ServiceId, Supervisor,
    ending::count,
    process_names::is_candidate,
    service::FIRST_LOOK,
    state::{Gone, Later, Reason, Seek, Session, State},
};
use crate::{
    config::{LogLevel, Match, User},
    process::{Pid, Process, ProcessId, Table},
    time::Time,
};

/// What must be known with the next table.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The pidfiles of the services that are looked for.
    pub pidfiles: BTreeSet<&'a Path>,
    /// Executables: where these paths lead to.
    pub programs: BTreeSet<&'a Path>,
    /// Users: which IDs these names have.
    pub users: BTreeSet<&'a str>,
}

/// Whether the session of what ended holds a process still. Its ID may soon be another's if it does not: it is the
/// PID of a process that is no more.
fn is_left(session: Pid, gone: Gone, table: &Table) -> bool {
    Session::joined_by(gone.id, session).is_in(table)
        && table.processes.iter().any(|process| process.session == session)
}

impl Supervisor {
    /// What the next `Event::Scanned` must tell besides the processes.
    pub fn wanted(&self) -> Wanted<'_> {
        let mut wanted = Wanted::default();
        for id in self.services.ids() {
            let Match { name: _, explicit: _, cmdline: _, exe, user, pidfile } =
                &self.services[id].config.matching;
            let looks = self.looking.contains(&id);
            wanted.pidfiles.extend(pidfile.as_deref().filter(|_| looks));
            wanted.programs.extend(exe.as_deref());
            match user {
                Some(User::Name(name)) => wanted.users.extend([name.as_str()]),
                Some(User::Id(_)) | None => {}
            }
        }
        wanted
    }

    /// Says once that a service's user is not there (yet): no process can match.
    pub(super) fn warn_of_user(&mut self, id: ServiceId, table: &Table) {
        let service = &mut self.services[id];
        let Some(User::Name(name)) = &service.config.matching.user else { return };
        if table.named.users.contains_key(name) || service.told_of_user {
            return;
        }
        service.told_of_user = true;
        let cause = format!("match.user {name:?} is not in /etc/passwd");
        let next = Some("no process is the service's until it is".to_owned());
        self.tell(LogLevel::Warn, id, None, ("no such user", cause, next));
    }

    /// A start command that exited 0 left processes, which `others` are, or orphans that may be its; its pidfile does
    /// not name any. A daemon may write it late: waits for it, as long as something lives and a start may take.
    /// False where this is not so.
    pub(super) fn await_pidfile(
        &mut self,
        now: Time,
        id: ServiceId,
        table: &Table,
        gone: Gone,
        others: &[ProcessId],
    ) -> bool {
        let service = &self.services[id];
        let Some(path) = service.pattern.pidfile().map(Path::to_owned) else { return false };
        let orphan = |process: &&Process| {
            process.parent == self.place.pid
                && process.id.start >= gone.id.start
                && is_candidate(process)
                && !self.owners.contains_key(&process.id.pid)
        };
        let orphans = table.processes.iter().filter(orphan).map(|process| process.id);
        let mut left: Vec<ProcessId> = others.iter().copied().chain(orphans).collect();
        left.sort_unstable();
        left.dedup();
        let waited = matches!(service.reason, Reason::Pidfile { .. });
        if gone.established || !gone.hands_over() || left.is_empty() && !waited {
            return false;
        }
        let (starter, ran) = (gone.id.pid, now.since(gone.since));
        let until = gone.since + service.config.start_timeout;
        if !left.is_empty() && now < until {
            let at = (now + ran.max(FIRST_LOOK)).min(until);
            let gone =
                Gone { session: gone.session.filter(|&session| is_left(session, gone, table)), ..gone };
            let is_own = left.iter().all(|process| others.contains(process));
            let seek = Seek { gone: Some(gone), needs_table: true, later: Some(Later { at, left, is_own }) };
            self.set(now, id, State::Seeking(seek), Reason::Pidfile { starter, path });
            return true;
        }
        let error = self.why_start_failed(id, gone);
        if others.is_empty() {
            self.start_failed(now, id, error, Some(ran));
        } else {
            let next = Some(format!("ending {} that it left", count(others.len())));
            self.tell(LogLevel::Warn, id, None, ("start failed", error.clone(), next));
            self.note(now, id, Cause::Failed(error), Some(ran));
            self.end_remains(now, id, gone, Vec::new(), Reason::Remains(gone));
        }
        true
    }

    /// A process that nobody owns ended: who waits for a pidfile of it looks now.
    pub(super) fn hasten_looks(&mut self, process: ProcessId) {
        for id in self.services.ids() {
            if let State::Seeking(Seek { later: later @ Some(_), .. }) = &mut self.services[id].state
                && later.take_if(|later| later.left.iter().any(|left| left.pid == process.pid)).is_some()
            {
                self.looking.insert(id);
            }
        }
    }
}
