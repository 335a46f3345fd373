//! Runs what the decider asks for: a service's commands, and its probes. Chooses nothing but the words.

use std::{os::fd::AsFd, time::Duration};

use super::{
    Manager,
    token::{NOTIFY, PROBE, token},
};
use crate::{
    config::{CheckRule, Command, Inherit, Probe, ReadyRule, Service, ServiceName},
    linux::{
        accounts,
        probes::Probes,
        spawn::{Mark, Surroundings},
        terminal::Lent,
    },
    process::ProcessId,
    supervisor::{Event, PATIENCE, Probing, Purpose, ServiceId},
    text::cannot,
};

/// A new process, and whether it leads a session.
type Made = (ProcessId, bool);

impl Manager {
    /// Starts a service's command; tells what came of it.
    pub(super) fn spawn(&mut self, service: ServiceId, purpose: Purpose) -> Event {
        let spawned = match purpose {
            Purpose::Start => self.spawn_start(service),
            Purpose::Stop => self.spawn_beside(service, |config| &config.stop),
            Purpose::Reload => self.spawn_beside(service, |config| &config.reload),
            Purpose::Probe(probing) => self.spawn_probe(service, probing),
        };
        match spawned {
            Ok((process, leads_session)) => Event::Spawned { service, purpose, process, leads_session },
            Err(error) => Event::SpawnFailed { service, purpose, error },
        }
    }

    /// Runs the start command, with a socket to notify where that is asked for.
    fn spawn_start(&mut self, service: ServiceId) -> Result<Made, String> {
        let config = self.supervisor.config(service);
        let command = config.start.clone();
        let mut extra = Vec::new();
        let watchdog = config.check.as_ref().filter(|check| check.rule == CheckRule::Notify);
        if watchdog.is_some() || config.ready.rule == ReadyRule::Notify {
            // A user that there is not yet is told by the start itself.
            let user = config.identity.user.as_ref().and_then(accounts::user_id).unwrap_or_else(own_uid);
            let token = token(NOTIFY, u64::from(service.0));
            let path = self.notifier.open(&self.epoll, service, config.name.as_str(), user, token)?;
            extra.push(("NOTIFY_SOCKET", path.display().to_string()));
        }
        if let Some(check) = watchdog {
            extra.push(("WATCHDOG_USEC", check.every.as_micros().to_string()));
        }
        let terminal = config.terminal;
        self.spawn_for(service, &command, terminal, &extra)
    }

    /// Runs a command that is not the service itself. It takes the terminal from nobody.
    fn spawn_beside(
        &mut self,
        service: ServiceId,
        command: impl Fn(&Service) -> &Option<Command>,
    ) -> Result<Made, String> {
        let command = command(self.supervisor.config(service)).clone();
        let command = command.ok_or("cannot run the command: none is configured")?;
        self.spawn_for(service, &command, false, &[])
    }

    /// Runs a command as the service, with its output.
    fn spawn_for(
        &mut self,
        service: ServiceId,
        command: &Command,
        terminal: bool,
        extra: &[(&str, String)],
    ) -> Result<Made, String> {
        let outlet = self.open_outlet(service)?;
        let (stdout, stderr) = (self.output.stdout(outlet), self.output.stderr(outlet));
        let config = self.supervisor.config(service);
        let surroundings =
            Surroundings { service: config, stdout, stderr, mark: Mark::Service, terminal, extra };
        let mut lent = terminal.then(Lent::begin);
        let spawned = match self.spawner.spawn(command, &surroundings) {
            Ok(spawned) => spawned,
            Err(error) => {
                lent.into_iter().for_each(Lent::take_back);
                return Err(error.to_string());
            }
        };
        if let Some(lent) = &mut lent {
            lent.to(&spawned);
        }
        self.lent = lent.or_else(|| self.lent.take());
        let made = (spawned.id, spawned.leads_session);
        self.watcher.add_child(&self.epoll, spawned);
        Ok(made)
    }

    /// Runs a probe: a command as the service, an address as a helper of musterd's own. What it says goes into a pipe.
    fn spawn_probe(&mut self, service: ServiceId, probing: Probing) -> Result<Made, String> {
        let config = self.supervisor.config(service);
        let helper;
        let (command, owner) = match probe_of(config, probing).ok_or("cannot probe: nothing is configured")? {
            (Asks::Command(command), _) => (command, config),
            (Asks::Address(address), timeout) => {
                helper = prober(&config.name, address, timeout);
                (&helper.start, &helper)
            }
        };
        let (read_end, write_end) =
            Probes::pipe().map_err(|error| cannot("make a pipe for a probe's output")(error).to_string())?;
        let (stdout, stderr) = (write_end.as_fd(), write_end.as_fd());
        let surroundings =
            Surroundings { service: owner, stdout, stderr, mark: Mark::Probe, terminal: false, extra: &[] };
        let spawned = self.spawner.spawn(command, &surroundings).map_err(|error| error.to_string())?;
        let (process, leads_session) = (spawned.id, spawned.leads_session);
        self.watcher.add_child(&self.epoll, spawned);
        let token = token(PROBE, u64::from(process.pid.unsigned_abs()));
        self.probes.add(&self.epoll, process, read_end, token);
        Ok((process, leads_session))
    }
}

/// What a probe asks.
enum Asks<'a> {
    Command(&'a Command),
    Address(&'a str),
}

/// What a service's probe asks, and how long that may take.
fn probe_of(config: &Service, probing: Probing) -> Option<(Asks<'_>, Duration)> {
    let (probe, timeout) = match probing {
        Probing::Address(at) => {
            let address = config.after_addresses.get(at as usize)?;
            return Some((Asks::Address(address), PATIENCE));
        }
        Probing::Ready => match &config.ready.rule {
            ReadyRule::Probe(probe) => (probe, config.ready.timeout.min(PATIENCE)),
            ReadyRule::Started | ReadyRule::Log(_) | ReadyRule::Notify | ReadyRule::Delay(_) => return None,
        },
        Probing::Health => match config.check.as_ref().map(|check| (&check.rule, check.timeout))? {
            (CheckRule::Probe(probe), timeout) => (probe, timeout),
            (CheckRule::Notify, _) => return None,
        },
    };
    let asks = match probe {
        Probe::Exec(command) => Asks::Command(command),
        Probe::Address(address) => Asks::Address(address),
    };
    Some((asks, timeout))
}

/// `musterd probe` by the same binary, even where its file was replaced. It gets nothing of the service but its name,
/// and nothing of musterd's environment.
fn prober(name: &ServiceName, address: &str, timeout: Duration) -> Service {
    let timeout = humantime::format_duration(timeout).to_string();
    let argv = ["/proc/self/exe", "probe", "--timeout", &timeout, "--", address];
    let command = Command { argv: argv.map(str::to_owned).to_vec(), environment: Vec::new() };
    let mut prober = Service::new(name.clone(), command);
    prober.environment.inherit = Inherit::None;
    prober
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
