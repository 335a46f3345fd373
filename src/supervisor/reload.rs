//! What clients want done to running services: their own reload, and signals. Touches no goal.

use nix::sys::signal::Signal;

use super::{
    Action, ClientId, Purpose, ServiceId, Supervisor,
    probe::Probed,
    requests::Awaited,
    state::{Asked, Reason, State},
};
use crate::{
    config::LogLevel,
    process::{Exit, ProcessId},
    protocol::Failure,
    time::Time,
};

/// A reload command.
#[derive(Clone, Debug)]
pub(super) struct Reload {
    /// Who asked for it.
    client: ClientId,
    /// `None`: it was asked for; the answer comes at once.
    pub(super) process: Option<ProcessId>,
    /// When it has failed.
    pub(super) until: Time,
}

impl Supervisor {
    /// Why the service cannot be told to reload now.
    pub(super) fn why_not_reload(&self, id: ServiceId) -> Option<String> {
        let service = &self.services[id];
        let (name, state) = (&service.config.name, service.state.name());
        if service.config.reload.is_none() && service.config.reload_signal.is_none() {
            let remedy = "it has no way to reload: configure its `reload` or `reload-signal`, or restart it";
            return Some(format!("service \"{name}\": {remedy}"));
        }
        if service.reload.is_some() {
            return Some(format!("service \"{name}\": its reload command is still at work"));
        }
        let is_there = service.state.established().is_some();
        (!is_there).then(|| format!("service \"{name}\" is {state}: {}", service.reason))
    }

    /// Why the service cannot be sent a signal now.
    pub(super) fn why_no_signal(&self, id: ServiceId) -> Option<String> {
        let service = &self.services[id];
        let (name, state) = (&service.config.name, service.state.name());
        service.main().is_none().then(|| format!("service \"{name}\" is {state}: {}", service.reason))
    }

    /// Runs the service's reload command, or sends its signal.
    pub(super) fn reload(&mut self, now: Time, id: ServiceId, client: ClientId, asked: Asked) {
        let config = &self.services[id].config;
        if config.reload.is_some() {
            let until = now + config.start_timeout;
            self.services[id].reload = Some(Reload { client, process: None, until });
            self.tell_deed(id, "reloading", asked, "running its reload command".to_owned());
            self.actions.push(Action::Spawn { service: id, purpose: Purpose::Reload });
        } else if let Some((signal, main)) = config.reload_signal.zip(self.services[id].main()) {
            let next = format!("sending {signal} to main process {}", main.id.pid);
            self.tell_deed(id, "reloading", asked, next);
            self.deliver(id, client, signal);
        }
    }

    /// Sends the main process a signal for a client.
    pub(super) fn signal(&mut self, id: ServiceId, client: ClientId, signal: Signal, asked: Asked) {
        let Some(pid) = self.services[id].main().map(|main| main.id.pid) else { return };
        self.tell_deed(id, "signalling", asked, format!("sending {signal} to main process {pid}"));
        self.deliver(id, client, signal);
    }

    fn tell_deed(&mut self, id: ServiceId, message: &'static str, asked: Asked, next: String) {
        let pid = self.services[id].main().map(|main| main.id.pid);
        self.tell(LogLevel::Info, id, pid, (message, Reason::Asked(asked).to_string(), Some(next)));
    }

    fn deliver(&mut self, service: ServiceId, client: ClientId, signal: Signal) {
        let Some(process) = self.services[service].main().map(|main| main.id) else { return };
        self.actions.push(Action::Deliver { client, service, process, signal: signal as i32 });
    }

    pub(super) fn reload_spawned(&mut self, id: ServiceId, process: ProcessId) {
        self.probed.insert(process.pid, Probed::begun(true));
        match &mut self.services[id].reload {
            Some(reload) => reload.process = Some(process),
            // It is being stopped already.
            None => self.actions.push(Action::Signal { process, signal: Signal::SIGKILL as i32 }),
        }
    }

    /// A process of the service ended: perhaps its reload command.
    pub(super) fn reload_ended(&mut self, now: Time, id: ServiceId, process: ProcessId, exit: Exit) {
        self.probed_ended(now, process);
        let reload = self.services[id].reload.as_ref();
        if reload.is_some_and(|reload| reload.process.is_some_and(|own| own.pid == process.pid)) {
            let what = format!("reload command {} {exit}", process.pid);
            self.reload_over(id, if exit.is_clean() { Ok(what) } else { Err(what) });
        }
    }

    /// Its time may be over.
    pub(super) fn reload_due(&mut self, now: Time, id: ServiceId) {
        let Some(reload) = self.services[id].reload.as_ref().filter(|reload| reload.until <= now) else {
            return;
        };
        let process = reload.process;
        let after = humantime::format_duration(self.services[id].config.start_timeout);
        let which = process.map_or_else(String::new, |process| format!(" {}", process.pid));
        let why = format!("reload command{which} was still at work after {after}");
        self.kill_reload(process);
        self.reload_over(id, Err(why));
    }

    /// The state has changed: what is being ended, or is not there, reloads nothing.
    pub(super) fn drop_unsuited_reload(&mut self, id: ServiceId) {
        let service = &self.services[id];
        let Some(reload) = &service.reload else { return };
        // What ended may have handed over, or is started again at once.
        if service.state.is_up() || matches!(service.state, State::Seeking(_) | State::Spawning) {
            return;
        }
        let (process, why) = (reload.process, format!("it is {} meanwhile", service.state.name()));
        self.kill_reload(process);
        self.reload_over(id, Err(why));
    }

    fn kill_reload(&mut self, process: Option<ProcessId>) {
        let signal = Signal::SIGKILL as i32;
        self.actions.extend(process.map(|process| Action::Signal { process, signal }));
    }

    /// The reload command ended, or could not do its work.
    pub(super) fn reload_over(&mut self, id: ServiceId, outcome: Result<String, String>) {
        let Some(reload) = self.services[id].reload.take() else { return };
        let pid = self.services[id].main().map(|main| main.id.pid);
        let error = match outcome {
            Ok(what) => {
                self.tell(LogLevel::Info, id, pid, ("reloaded", what, None));
                None
            }
            Err(why) => {
                self.tell(LogLevel::Warn, id, pid, ("reload failed", why.clone(), None));
                Some(why)
            }
        };
        self.done(reload.client, id, error);
    }

    /// What a client wanted done to a service is done, or could not be.
    pub(super) fn done(&mut self, client: ClientId, id: ServiceId, error: Option<String>) {
        let name = self.services[id].config.name.to_string();
        let Some(waiter) = self.waiters.iter_mut().find(|waiter| waiter.client == client) else { return };
        if let Awaited::Deeds { pending, failures } = &mut waiter.awaited {
            pending.retain(|&other| other != id);
            failures.extend(error.map(|reason| Failure { name, reason }));
        }
    }
}
