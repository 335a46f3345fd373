//! Ending a service's processes: asked first, killed when the time is over, until nothing of its
//! sessions is left. What follows then is decided by the goal.

use std::{collections::HashSet, time::Duration};

use nix::sys::signal::Signal;

use super::{
    Action, Cause, Look, Purpose, ServiceId, Supervisor,
    census::Census,
    policy,
    presence::{self, Seeker},
    state::{Ending, Force, Goal, Gone, Main, Reason, Session, State},
};
use crate::{
    config::LogLevel,
    process::{Exit, ProcessId},
    time::Time,
};

/// How long what a crash left behind has after SIGTERM: nobody waits for its answers any more, and the
/// service is away until it has gone.
const REMAINS_GRACE: Duration = Duration::from_secs(1);

/// How long after SIGKILL the table is asked whether it worked, where no event tells (no pidfd).
const KILLED_PAUSE: Duration = Duration::from_secs(1);

impl Ending {
    /// When what does not listen is killed.
    pub(super) fn kill_at(&self) -> Option<Time> {
        match self.force {
            Force::Asked { kill_at } => Some(kill_at),
            Force::Killed => None,
        }
    }

    /// When something is to be done if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.kill_at().or(self.look_at)
    }

    /// The start command that ended, and may have left a daemon.
    pub(super) fn starter(&self) -> Option<Gone> {
        self.gone.filter(|gone| self.main.is_none() && !gone.established)
    }

    fn processes(&self) -> Vec<ProcessId> {
        let main = self.main.as_ref().map(|main| main.id);
        main.into_iter().chain(self.stopper).chain(self.left.iter().copied()).collect()
    }
}

impl Supervisor {
    /// Whatever the service is doing is brought to an end; the goal stays as it is.
    pub(super) fn stop(&mut self, now: Time, id: ServiceId, reason: Reason) {
        match &self.services[id].state {
            State::Readying { main, .. } | State::Running { main } | State::Unhealthy { main } => {
                let main = main.clone();
                let by_command = self.services[id].config.stop.is_some();
                self.end_main(now, id, main, reason, by_command);
            }
            State::Starting { starter, .. } => {
                let starter = starter.clone();
                self.end_main(now, id, starter, reason, false);
            }
            State::Seeking(seek) => match seek.gone {
                Some(gone) => self.end_remains(now, id, gone, Vec::new(), reason),
                None => self.set(now, id, State::Stopped, reason),
            },
            State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {
                self.set(now, id, State::Stopped, reason);
            }
            State::Stopping(_) => self.services[id].reason = reason,
            // The answer to the spawn is on its way; it heeds the goal.
            State::Spawning => {}
        }
    }

    fn end_main(&mut self, now: Time, id: ServiceId, main: Main, reason: Reason, by_command: bool) {
        let pid = main.id.pid;
        let reloader = self.services[id].reload.as_ref().and_then(|reload| reload.process);
        let mut sessions = self.sessions_of(id, main.id, main.session);
        sessions.extend(reloader.map(|process| Session::joined_by(process, process.pid)));
        let ending = Ending {
            sessions,
            main: Some(main),
            stopper: None,
            left: reloader.into_iter().collect(),
            force: self.force(now, self.services[id].config.stop_timeout),
            look: None,
            look_at: None,
            gone: None,
        };
        let signal = self.services[id].config.stop_signal;
        let killed = ending.force == Force::Killed;
        let (level, message, what) = match reason {
            Reason::StartTimeout { .. } => (LogLevel::Warn, "start failed", "start command"),
            Reason::ReadyTimeout { .. } => (LogLevel::Warn, "start failed", "main process"),
            Reason::Unfit(_) => (LogLevel::Warn, "stopping", "main process"),
            _ => (LogLevel::Info, "stopping", "main process"),
        };
        let how = match (killed, by_command) {
            (true, _) => format!("killing {what} {pid}"),
            (false, true) => "running its stop command".to_owned(),
            (false, false) => format!("sending {signal} to {what} {pid}"),
        };
        self.tell(level, id, Some(pid), (message, reason.to_string(), Some(how)));
        self.set(now, id, State::Stopping(ending), reason);
        if killed {
            self.kill(id);
        } else if by_command {
            self.actions.push(Action::Spawn { service: id, purpose: Purpose::Stop });
        } else {
            self.signal_main(id, signal);
        }
    }

    /// Ends what is left of the session of a main process that ended.
    pub(super) fn end_remains(
        &mut self,
        now: Time,
        id: ServiceId,
        gone: Gone,
        left: Vec<ProcessId>,
        reason: Reason,
    ) {
        let ending = Ending {
            main: None,
            stopper: None,
            sessions: self.sessions_of(id, gone.id, gone.session),
            look: left.is_empty().then_some(Look::Table),
            look_at: None,
            left: Vec::new(),
            force: self.force(now, REMAINS_GRACE),
            gone: Some(gone),
        };
        if !left.is_empty() {
            let next = Some(format!("ending {} of its session", count(left.len())));
            self.tell(LogLevel::Warn, id, Some(gone.id.pid), ("ended", gone.to_string(), next));
        }
        self.set(now, id, State::Stopping(ending), reason);
        self.end_left(id, left);
    }

    fn force(&self, now: Time, patience: Duration) -> Force {
        let kill_at = (now + patience).min(self.phase.kill_at());
        if kill_at <= now { Force::Killed } else { Force::Asked { kill_at } }
    }

    /// Adds processes to what is being ended.
    fn end_left(&mut self, id: ServiceId, left: Vec<ProcessId>) {
        let State::Stopping(ending) = &mut self.services[id].state else { return };
        let signal = match ending.force {
            Force::Asked { .. } => Signal::SIGTERM,
            Force::Killed => Signal::SIGKILL,
        };
        ending.left.extend(&left);
        for process in left {
            if self.own(id, process) {
                self.actions.push(Action::Watch(process));
            }
            self.actions.push(Action::Signal { process, signal: signal as i32 });
        }
    }

    fn signal_main(&mut self, id: ServiceId, signal: Signal) {
        if let Some(process) = self.services[id].main().map(|main| main.id) {
            self.actions.push(Action::Signal { process, signal: signal as i32 });
        }
    }

    pub(super) fn stopper_spawned(&mut self, id: ServiceId, process: ProcessId) {
        if let State::Stopping(ending) = &mut self.services[id].state {
            ending.stopper = Some(process);
            ending.sessions.push(Session::joined_by(process, process.pid));
        }
    }

    pub(super) fn stopper_failed(&mut self, id: ServiceId, error: String) {
        let signal = self.services[id].config.stop_signal;
        let pid = self.services[id].main().map(|main| main.id.pid);
        let next = Some(format!("sending {signal} instead"));
        self.tell(LogLevel::Warn, id, pid, ("stop command failed", error, next));
        self.signal_main(id, signal);
    }

    pub(super) fn ended_while_stopping(&mut self, now: Time, id: ServiceId, process: ProcessId, exit: Exit) {
        let is_init = self.place.is_init;
        let stays = self.services[id].wrapper.is_some();
        let main = self.services[id].main().filter(|main| main.id.pid == process.pid);
        let gone = main.map(|main| main.gone(exit, self.services[id].is_established(main, now), now));
        let mut last_code = None;
        let State::Stopping(ending) = &mut self.services[id].state else { return };
        if let Some(gone) = gone {
            last_code = Some(policy::exit_code(exit));
            ending.main = None;
            // A start command may have left its daemon just now; orphans come to musterd only if it was
            // the parent or is PID 1.
            let by_table = stays || !gone.established && exit.is_clean() || exit == Exit::Unknown && !is_init;
            ending.look = Some(if by_table { Look::Table } else { Look::Orphans });
            ending.gone = Some(gone);
        }
        let stopper = ending.stopper.take_if(|stopper| stopper.pid == process.pid);
        let failed = stopper.is_some() && !exit.is_clean() && ending.force != Force::Killed;
        ending.left.retain(|left| left.pid != process.pid);
        if ending.left.is_empty() && ending.main.is_none() && ending.look.is_none() {
            ending.look = Some(Look::Orphans);
        }
        let stays_main = ending.main.is_some();
        self.services[id].last_code = last_code.unwrap_or(self.services[id].last_code);
        if failed && stays_main {
            self.stopper_failed(id, format!("stop command {} {exit}", process.pid));
        }
        self.ending_proceeds(now, id);
    }

    /// Ends what else the table shows of the services: what is left in their sessions, and the daemons that their
    /// start commands (each beside its service) left just now.
    pub(super) fn end_what_is_stopping(
        &mut self,
        now: Time,
        census: &Census,
        stopping: &[(ServiceId, Option<Gone>)],
    ) {
        let daemons = self.daemons_of(census, stopping);
        for (&(id, _), daemon) in stopping.iter().zip(daemons) {
            let State::Stopping(ending) = &mut self.services[id].state else { continue };
            ending.look = None;
            let late = ending.gone.and_then(|gone| Some((gone, Self::late_session(gone, census)?)));
            ending.sessions.extend(late.map(|(gone, leader)| Session::joined_by(gone.id, leader)));
            // A session that nobody is in is over, and its ID may come again.
            let in_use = |leader| !census.in_session(leader).is_empty();
            ending.sessions.retain(|session| in_use(session.leader) && session.is_in(census.table));
            if let Some(starter) = ending.gone.as_mut().filter(|gone| !gone.established) {
                starter.session.take_if(|leader| !in_use(*leader));
            }
            let (sessions, known) = (ending.sessions.clone(), ending.processes());
            if let Some(daemon) = daemon {
                // What it forked ends with it, if it leads a session of its own.
                let leads = census.in_session(daemon.pid).iter().any(|process| process.id == daemon);
                ending.sessions.extend(leads.then(|| Session::joined_by(daemon, daemon.pid)));
            }
            let mut left = self.left_in(id, &sessions, census);
            left.extend(daemon.filter(|daemon| !left.contains(daemon)));
            left.retain(|process| !known.contains(process));
            self.end_left(id, left);
            self.ending_proceeds(now, id);
        }
    }

    fn daemons_of(&self, census: &Census, stopping: &[(ServiceId, Option<Gone>)]) -> Vec<Option<ProcessId>> {
        let starters: HashSet<ServiceId> =
            stopping.iter().filter(|(_, starter)| starter.is_some()).map(|&(id, _)| id).collect();
        if starters.is_empty() {
            return vec![None; stopping.len()];
        }
        let mut taken = self.taken(census.table, &starters);
        let everybody = self.everybody();
        let asked: Vec<_> = stopping.iter().filter(|(id, _)| starters.contains(id)).collect();
        let seekers: Vec<Seeker> =
            asked.iter().map(|&&(id, starter)| self.services[id].seeker(&everybody, starter)).collect();
        let findings = presence::assign(census, &seekers, &mut taken);
        let mut daemons = asked.iter().zip(&seekers).zip(findings).map(|((&&(id, _), seeker), finding)| {
            let kin = finding.filter(|finding| finding.kin).map(|finding| finding.process);
            // Perhaps its pidfile has not been written yet.
            let awaits = self.services[id].pattern.pidfile().is_some();
            kin.or_else(|| presence::descendants(census, seeker, &taken).first().copied().filter(|_| awaits))
        });
        stopping.iter().map(|(_, starter)| starter.and_then(|_| daemons.next().flatten())).collect()
    }

    /// Looks on, or goes where the goal leads once nothing is left.
    pub(super) fn ending_proceeds(&mut self, now: Time, id: ServiceId) {
        let State::Stopping(ending) = &mut self.services[id].state else { return };
        if ending.look.is_some() {
            self.looking.insert(id);
            return;
        }
        let (gone, over) = (ending.gone, ending.processes().is_empty());
        if !over && ending.force == Force::Killed {
            ending.look_at.get_or_insert(now + KILLED_PAUSE);
        }
        self.looking.remove(&id);
        if !over {
            return;
        }
        self.take_up_next(id);
        match self.services[id].goal {
            Goal::Up => self.go_on(now, id),
            Goal::Down => {
                let why = self.services[id].reason.clone();
                let reason = match gone {
                    Some(gone) => Reason::Ended { why: Box::new(why), gone },
                    None => why,
                };
                let cause = gone.map_or_else(|| reason.to_string(), |gone| gone.to_string());
                self.tell(LogLevel::Info, id, None, ("stopped", cause, None));
                self.set(now, id, State::Stopped, reason);
            }
        }
    }

    pub(super) fn kill_if_late(&mut self, now: Time, id: ServiceId) {
        let State::Stopping(ending) = &mut self.services[id].state else { return };
        if ending.look_at.take_if(|look_at| *look_at <= now).is_some() {
            ending.look = Some(Look::Table);
            self.looking.insert(id);
        }
        let latest = self.phase.kill_at();
        if ending.kill_at().is_some_and(|kill_at| kill_at.min(latest) <= now) {
            let left = ending.processes().len();
            let cause = format!("{} did not end in time", count(left));
            let next = Some("killing all of its session".to_owned());
            self.tell(LogLevel::Warn, id, None, ("stop timed out", cause, next));
            self.kill(id);
        }
    }

    fn kill(&mut self, id: ServiceId) {
        let State::Stopping(ending) = &mut self.services[id].state else { return };
        ending.force = Force::Killed;
        ending.look = Some(Look::Table);
        for process in ending.processes() {
            self.actions.push(Action::Signal { process, signal: Signal::SIGKILL as i32 });
        }
        self.looking.insert(id);
    }

    /// A start command works for too long: it is ended, and the start counts as failed.
    pub(super) fn start_timed_out(&mut self, now: Time, id: ServiceId) {
        let State::Starting { starter, .. } = &self.services[id].state else { return };
        let starter = starter.clone();
        let after = self.services[id].config.start_timeout;
        let reason = Reason::StartTimeout { starter: starter.id.pid, after };
        let ran = now.since(starter.since);
        self.note(now, id, Cause::Failed(reason.to_string()), Some(ran));
        self.end_main(now, id, starter, reason, false);
    }
}

/// `1 process`, `2 processes`.
pub(super) fn count(processes: usize) -> String {
    format!("{processes} process{}", if processes == 1 { "" } else { "es" })
}
