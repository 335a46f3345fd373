//! When a service whose main process is there is ready. Asks nobody itself.

use super::{
    Action, Cause, Probing, ServiceId, Supervisor,
    state::{Found, Main, Reason, State},
};
use crate::{
    config::{LogLevel, Probe, ReadyRule},
    time::Time,
};

impl Supervisor {
    /// The main process is there: it is ready, or that is awaited.
    pub(super) fn run(&mut self, now: Time, id: ServiceId, main: Main) {
        let service = &mut self.services[id];
        match &mut service.state {
            State::Readying { main: known, .. }
            | State::Running { main: known }
            | State::Unhealthy { main: known }
                if known.id == main.id =>
            {
                let found = main.found;
                *known = main;
                if !matches!(service.state, State::Readying { .. }) {
                    service.reason = service.running_reason(found);
                }
                return;
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Seeking(_)
            | State::Spawning
            | State::Starting { .. }
            | State::Readying { .. }
            | State::Running { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Exited
            | State::Failed => {}
        }
        self.await_readiness(now, id, main);
    }

    /// Awaits what shows that the service is ready, if there is such a thing.
    pub(super) fn await_readiness(&mut self, now: Time, id: ServiceId, main: Main) {
        let Some((until, awaited)) = self.awaits(now, id, &main) else {
            return self.ready(now, id, main);
        };
        let reason = Reason::Unready { main: main.id.pid, awaited, said: None };
        let by_probe = matches!(self.services[id].config.ready.rule, ReadyRule::Probe(_));
        self.set(now, id, State::Readying { main, until }, reason);
        if by_probe && self.services[id].probe.is_none() {
            self.run_probe(id, Probing::Ready);
        }
    }

    /// What shows that the service is ready, and until when that must be seen; `None`: it is ready.
    fn awaits(&self, now: Time, id: ServiceId, main: &Main) -> Option<(Time, String)> {
        let service = &self.services[id];
        let ready = &service.config.ready;
        // What was ready before another process became the main process, and what spoke before musterd could hear it.
        let (was_ready, adopted) = (
            main.was_ready || matches!(main.found, Found::TookOver { .. }),
            matches!(main.found, Found::Adopted(_)),
        );
        let timeout = now + ready.timeout;
        match &ready.rule {
            _ if was_ready => None,
            ReadyRule::Started => None,
            ReadyRule::Log(_) | ReadyRule::Notify if adopted || service.heard_ready => None,
            ReadyRule::Log(regex) => {
                Some((timeout, format!("a line of its output with {:?}", regex.as_str())))
            }
            ReadyRule::Notify => Some((timeout, "READY=1".to_owned())),
            ReadyRule::Delay(delay) => {
                let until = main.since + *delay;
                (until > now).then(|| (until, format!("{} to pass", humantime::format_duration(*delay))))
            }
            ReadyRule::Probe(Probe::Address(address)) => Some((timeout, address.clone())),
            ReadyRule::Probe(Probe::Exec(command)) => Some((timeout, command.masked().argv.join(" "))),
        }
    }

    fn ready(&mut self, now: Time, id: ServiceId, mut main: Main) {
        let service = &mut self.services[id];
        main.was_ready |= service.config.ready.rule != ReadyRule::Started;
        let reason = service.running_reason(main.found);
        service.told = None;
        self.set(now, id, State::Running { main }, reason);
        self.begin_checks(now, id);
    }

    /// What was awaited has come.
    pub(super) fn became_ready(&mut self, now: Time, id: ServiceId) {
        let State::Readying { main, .. } = &self.services[id].state else { return };
        let main = main.clone();
        let took = humantime::format_duration(std::time::Duration::from_millis(
            u64::try_from(now.since(main.since).as_millis()).unwrap_or(u64::MAX),
        ));
        let what = ("ready", format!("{} after its start", took), None);
        self.tell(LogLevel::Info, id, Some(main.id.pid), what);
        self.ready(now, id, main);
    }

    /// The service's output or a message of its says that it is ready.
    pub(super) fn heard_ready(&mut self, now: Time, id: ServiceId) {
        let service = &mut self.services[id];
        // What was said before the start.
        if matches!(service.state, State::Spawning) {
            return;
        }
        service.heard_ready = true;
        let by_word = matches!(service.config.ready.rule, ReadyRule::Log(_) | ReadyRule::Notify);
        if by_word {
            self.became_ready(now, id);
        }
    }

    /// A delay is over, or the service has never become ready.
    pub(super) fn readying_over(&mut self, now: Time, id: ServiceId) {
        let service = &self.services[id];
        if matches!(service.config.ready.rule, ReadyRule::Delay(_)) {
            return self.became_ready(now, id);
        }
        let said = match &service.reason {
            Reason::Unready { awaited, said: None, .. } => Some(format!("no {awaited}")),
            Reason::Unready { said, .. } => said.clone(),
            _ => None,
        };
        let reason = Reason::ReadyTimeout { after: service.config.ready.timeout, said };
        // It never ran as it should, however long that took.
        self.note(now, id, Cause::Failed(reason.to_string()), None);
        self.stop(now, id, reason);
    }

    /// While a service is on its way to be ready, a line of its output may show that it is.
    pub(super) fn await_line(&mut self, id: ServiceId) {
        let service = &mut self.services[id];
        let awaited = matches!(service.config.ready.rule, ReadyRule::Log(_))
            && !service.heard_ready
            && match service.state {
                State::Spawning | State::Starting { .. } | State::Readying { .. } | State::Seeking(_) => true,
                State::Stopped
                | State::Waiting { .. }
                | State::Running { .. }
                | State::Unhealthy { .. }
                | State::Stopping(_)
                | State::Backoff { .. }
                | State::Exited
                | State::Failed => false,
            };
        if awaited != service.awaits_line {
            service.awaits_line = awaited;
            self.actions.push(Action::AwaitLine { service: id, awaited });
        }
    }
}
