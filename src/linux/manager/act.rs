//! Steps the decider and does what it says. Decides nothing.

use std::{collections::VecDeque, time::Duration};

use super::{Manager, clock};
use crate::{
    config::{LogLevel, ReadyRule},
    linux::watch::SignalError,
    supervisor::{Action, Event, Notice},
};

/// A turn in which the services' lines would come late.
const LONG_TURN: Duration = Duration::from_millis(5);

impl Manager {
    /// Steps an event, and what its actions lead to, before anything else.
    pub(super) fn feed(&mut self, event: Event) {
        (self.is_deadline_old, self.is_record_old) = (true, true);
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.are_mains_old = true;
            for action in self.supervisor.step(self.now, event) {
                events.extend(self.act(action));
            }
        }
    }

    /// Does it; returns what comes of it, to be stepped after what waits already.
    fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Spawn { service, purpose } => {
                let event = self.spawn(service, purpose);
                self.carry_on();
                return vec![event];
            }
            Action::Watch(process) => return self.watch(process),
            Action::Signal { process, signal } => match self.watcher.signal(process, signal) {
                Ok(()) | Err(SignalError::Gone) => {}
                Err(error @ (SignalError::Forbidden | SignalError::Failed(_))) => {
                    tracing::warn!(pid = process.pid, signal, cause = %error, "cannot signal");
                }
            },
            Action::Deliver { client, service, process, signal } => {
                let error = self.watcher.signal(process, signal).err().map(|error| error.to_string());
                return vec![Event::Delivered { client, service, error }];
            }
            Action::Reply { client, response } => {
                let response = self.complete(response);
                self.answer(client, &response);
            }
            Action::Tell(notice) => {
                tell(&notice);
                self.mark(&notice);
                self.carry_on();
            }
            Action::AwaitLine { service, awaited } => {
                let rule = &self.supervisor.config(service).ready.rule;
                let regex = if let ReadyRule::Log(regex) = rule { Some(regex.clone()) } else { None };
                // This comes before the first start, which fails, too, where there are no pipes to be had.
                let outlet = if awaited { self.open_outlet(service).ok() } else { self.outlet(service) };
                if let Some(outlet) = outlet {
                    self.output.await_line(outlet, regex.filter(|_| awaited));
                }
            }
            Action::FlushOutput { service, is_last } => {
                if let Some(outlet) = self.outlet(service) {
                    self.output.flush_lines(outlet, is_last, self.now);
                    return self.lines_seen();
                }
            }
            Action::Forget(service) => {
                self.forget(service);
                return vec![Event::Forgotten(service)];
            }
            Action::Exit(code) => self.exit = Some(code),
        }
        Vec::new()
    }

    /// Carries the output in the middle of a turn that takes long: a thousand services may start or crash in one.
    fn carry_on(&mut self) {
        let now = clock();
        if now.since(self.carried) < LONG_TURN {
            return self.output.relieve(now);
        }
        self.tell_mains();
        self.output.ready(now);
        self.output.flush(now);
        self.carried = clock();
    }
}

fn tell(notice: &Notice) {
    let Notice { level, service, pid, message, cause, consequence } = notice;
    let service = service.as_ref().map(|name| name.as_str());
    let (cause, consequence) = (cause.as_str(), consequence.as_deref());
    match level {
        LogLevel::Error => tracing::error!(service, pid, cause, consequence, "{message}"),
        LogLevel::Warn => tracing::warn!(service, pid, cause, consequence, "{message}"),
        LogLevel::Info => tracing::info!(service, pid, cause, consequence, "{message}"),
        LogLevel::Debug => tracing::debug!(service, pid, cause, consequence, "{message}"),
        LogLevel::Trace => tracing::trace!(service, pid, cause, consequence, "{message}"),
    }
}
