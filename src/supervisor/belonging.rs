//! Whose the processes of a table are besides the main processes: sessions, orphans, and what is on its own.
//! Starts and ends nothing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    Action, ServiceId, Supervisor,
    census::Census,
    presence::{Elsewhere, Everybody, ancestors, has_title_of_connection},
    process_names::{Names, is_candidate},
    seek::{TICK, started},
    state::{Found, Gone, Main, Rule, Session, State},
};
use crate::{
    process::{Exit, Life, Pid, Process, ProcessId, Table},
    time::Time,
};

/// A login that is younger when its sshd ends may be taken for the daemon: a program that puts itself into the
/// background ends within this time after it forked.
const LOGIN: Duration = Duration::from_secs(1);

/// Whose a process is that was spawned or is watched.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) service: ServiceId,
    start: u64,
}

impl Owner {
    /// The process that is meant, if it is certainly another one than this, which has its PID.
    pub(super) fn other_than(self, process: ProcessId) -> Option<ProcessId> {
        let is_other = self.start != 0 && process.start != 0 && self.start != process.start;
        is_other.then_some(ProcessId { pid: process.pid, start: self.start })
    }

    /// Whether this is the process, not a former one with its PID: an orphan whose end is told late, for one.
    /// The start of what was spawned may not be known; then it is 0.
    pub(super) fn is_of(self, process: ProcessId) -> bool {
        self.start == 0 || self.start == process.start
    }
}

impl Supervisor {
    /// The service has this process; false where that was known.
    pub(super) fn own(&mut self, service: ServiceId, process: ProcessId) -> bool {
        let before = self.owners.insert(process.pid, Owner { service, start: process.start });
        before.is_none_or(|owner| owner.service != service || owner.start != process.start)
    }

    /// The processes that nobody but the services given can be looking for.
    pub(super) fn taken(&self, table: &Table, seeking: &HashSet<ServiceId>) -> HashSet<Pid> {
        let mut sessions = self.sessions_held(table);
        sessions.retain(|_, service| !seeking.contains(service));
        let is_probes = |process: &Process| {
            self.probed.get(&process.session).is_some_and(|probed| probed.may_hold(process))
        };
        let held = table
            .processes
            .iter()
            .filter(|process| sessions.contains_key(&process.session) || is_probes(process));
        let apart = self.apart.keys().map(|process| process.pid);
        self.owners.keys().copied().chain(apart).chain(held.map(|process| process.id.pid)).collect()
    }

    /// What tells a process of one service from one of another.
    pub(super) fn everybody(&self) -> Everybody<'_> {
        Everybody {
            patterns: self
                .services
                .iter()
                .map(|service| (service.config.name.as_str(), &service.pattern))
                .collect(),
            commands: self.services.iter().map(|service| service.pattern.argv.as_slice()).collect(),
        }
    }

    /// The sessions that are a service's alone.
    fn sessions_held(&self, table: &Table) -> HashMap<Pid, ServiceId> {
        let mut held = HashMap::new();
        for id in self.services.ids() {
            let service = &self.services[id];
            match &service.state {
                State::Stopping(ending) => {
                    let sessions = ending.sessions.iter().filter(|session| session.is_in(table));
                    held.extend(sessions.map(|session| (session.leader, id)));
                }
                State::Seeking(seek) => {
                    let sessions = seek.gone.iter().flat_map(|gone| {
                        gone.session
                            .into_iter()
                            .filter(|&leader| Session::joined_by(gone.id, leader).is_in(table))
                    });
                    held.extend(sessions.map(|leader| (leader, id)));
                }
                State::Starting { starter: main, .. }
                | State::Readying { main, .. }
                | State::Running { main }
                | State::Unhealthy { main } => {
                    held.extend(main.sessions().map(|session| (session, id)));
                }
                State::Stopped
                | State::Waiting { .. }
                | State::Spawning
                | State::Backoff { .. }
                | State::Exited
                | State::Failed => {}
            }
            held.extend(service.wrapper.map(|wrapper| (wrapper.pid, id)));
        }
        held
    }

    /// The sessions that end with a main process.
    pub(super) fn sessions_of(&self, id: ServiceId, main: ProcessId, session: Option<Pid>) -> Vec<Session> {
        let wrapper = self.services[id].wrapper.filter(|wrapper| Some(wrapper.pid) != session);
        let own = session.map(|leader| Session::joined_by(main, leader));
        own.into_iter().chain(wrapper.map(|wrapper| Session::joined_by(wrapper, wrapper.pid))).collect()
    }

    /// The session of a process, where it is the service's alone: the process leads it, or what leads or led it is
    /// the service's too. Not where somebody started it by hand, and has other things in his session.
    pub(super) fn own_session(
        &self,
        id: ServiceId,
        process: &Process,
        found: Found,
        gone: Option<Gone>,
        table: &Table,
    ) -> Option<Pid> {
        let session = process.session;
        let leader = table.get(session).filter(|leader| leader.life == Life::Alive);
        let leads = session == process.id.pid;
        let led_by_service = self.owners.get(&session).is_some_and(|owner| owner.service == id);
        let led_by_descendant = match (found, gone) {
            (Found::Daemonised { .. } | Found::TookOver { .. } | Found::Followed { .. }, Some(gone)) => {
                let began_since = |leader: &Process| leader.id.start >= gone.id.start;
                gone.session == Some(session) || leader.is_none_or(began_since)
            }
            (Found::Adopted(Rule::Record | Rule::Mark) | Found::Announced { .. }, _) => leader.is_none(),
            (Found::Daemonised { .. } | Found::TookOver { .. } | Found::Followed { .. }, None)
            | (Found::Adopted(_) | Found::Started, _) => false,
        };
        (session > 0 && (leads || led_by_service || led_by_descendant)).then_some(session)
    }

    /// Where a process of a service is not in the table, its end may have been lost: the shell looks.
    pub(super) fn doubt_the_absent(&mut self, table: &Table) {
        let is_there = |id: ProcessId| table.get(id.pid).is_some_and(|process| process.id.start == id.start);
        let owned = self.owners.iter().map(|(&pid, owner)| ProcessId { pid, start: owner.start });
        let absent = owned.filter(|&process| process.start != 0 && !is_there(process));
        self.actions.extend(absent.map(Action::Watch));
    }

    /// The session that bears the PID of a process that ended: a daemon may have been seen before it called setsid(2).
    /// It is another's if that PID has come again since musterd reaped it, and then all in it are younger than that;
    /// where it was not musterd's to reap, nothing tells.
    pub(super) fn late_session(gone: Gone, census: &Census) -> Option<Pid> {
        let is_older = |process: &&Process| started(process.id) + TICK <= gone.ended;
        let is_late = gone.exit != Exit::Unknown && gone.session.is_some_and(|seen| seen != gone.id.pid);
        (is_late && census.in_session(gone.id.pid).iter().any(is_older)).then_some(gone.id.pid)
    }

    /// The living processes of sessions that belong to no other service.
    pub(super) fn left_in(&self, id: ServiceId, sessions: &[Session], census: &Census) -> Vec<ProcessId> {
        let ours = sessions.iter().filter(|one| one.is_in(census.table));
        ours.flat_map(|one| census.in_session(one.leader))
            .filter(|process| process.life == Life::Alive && !process.foreign)
            .filter(|process| self.owners.get(&process.id.pid).is_none_or(|owner| owner.service == id))
            .map(|process| process.id)
            .collect()
    }

    /// musterd's children that are nobody's and that the last table did not show. A table is not read in one moment:
    /// what was read before it lost its parent shows that one, which is not there or whose PID has come again, and it
    /// is PID 1's child by now.
    pub(super) fn new_orphans(&self, table: &Table) -> HashSet<Pid> {
        let lost_its_parent = |process: &Process| {
            self.place.is_init && process.parent != 0 && ancestors(table, process).next().is_none()
        };
        let is_orphan = |process: &&Process| process.parent == self.place.pid || lost_its_parent(process);
        let pids = table.processes.iter().filter(is_orphan).map(|process| process.id.pid);
        pids.filter(|pid| !self.owners.contains_key(pid) && !self.orphans.contains_key(pid)).collect()
    }

    /// Remembers musterd's children that are nobody's, and in whose session they are.
    pub(super) fn remember_orphans(&mut self, table: &Table) {
        let sessions = self.sessions_held(table);
        let children = table.processes.iter().filter(|process| process.parent == self.place.pid);
        self.orphans = children
            .filter(|process| !self.owners.contains_key(&process.id.pid))
            .map(|process| (process.id.pid, sessions.get(&process.session).copied()))
            .collect();
    }

    /// Notes the descendants of established main processes that have a session of their own and the name; where a
    /// pidfile names the service they need no note.
    pub(super) fn note_apart(&mut self, now: Time, table: &Table) {
        self.apart.retain(|process, _| table.alive(*process).is_some());
        let mains: HashMap<Pid, (ServiceId, &Main)> = self
            .services
            .ids()
            .filter_map(|id| self.services[id].main().map(|main| (id, main)))
            .filter(|(id, main)| self.services[*id].is_established(main, now))
            .map(|(id, main)| (main.id.pid, (id, main)))
            .collect();
        let mut apart = Vec::new();
        for process in table.processes.iter().filter(|process| is_candidate(process)) {
            let left = ancestors(table, process).find_map(|ancestor| match mains.get(&ancestor.id.pid) {
                Some(&(id, main)) => {
                    Some((id, main.session.is_some() && !main.sessions().any(|own| own == process.session)))
                }
                None => self.apart.get(&ancestor.id).map(|&id| (id, true)),
            });
            if let Some((id, true)) = left
                && !self.owners.contains_key(&process.id.pid)
                && self.services.has(id)
                && self.services[id].pattern.pidfile().is_none()
                && self.services[id].pattern.admits(process, &Names::of(process), &table.named)
            {
                apart.push((process.id, id));
            }
        }
        self.apart.extend(apart);
    }

    /// What left the session of a main process stays on its own when that ends, but for what may be its daemon.
    pub(super) fn set_apart(&mut self, id: ServiceId, gone: Gone, census: &Census) {
        let (service, pattern) = (&self.services[id], &self.services[id].pattern);
        // A program that daemonises exits 0; what a launcher leaves is the daemon, however it ends.
        let elsewhere = if pattern.launcher.is_some() || gone.hands_over() {
            service.elsewhere(gone)
        } else {
            Elsewhere::None
        };
        let may_be_daemon = |process: &Process| match elsewhere {
            Elsewhere::Any => true,
            // For a daemon with such a title that was slow to be there, see `DAEMONISING`: it is found later.
            Elsewhere::NoConnections => {
                gone.ended.since(started(process.id)) < LOGIN || !has_title_of_connection(process, pattern)
            }
            Elsewhere::None => false,
        };
        if gone.session.is_none() || pattern.pidfile().is_some() {
            return;
        }
        // The service may have been started again since, and have children of its own: within a tick they have the
        // higher PIDs.
        let is_older = |process: ProcessId| {
            let main = service.main().map(|main| (main.id.start, main.id.pid));
            main.is_none_or(|main| (process.start, process.pid) < main)
        };
        let left = census.adrift.iter().filter(|process| {
            gone.session != Some(process.session)
                && process.id.start >= gone.id.start
                && is_older(process.id)
                && !may_be_daemon(process)
                && pattern.admits(process, &Names::of(process), &census.table.named)
        });
        self.apart.extend(left.map(|process| (process.id, id)));
    }
}
