//! The rules that musterd must never break, whatever happens. Sees the truth that musterd has to find out.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use musterd::{
    config::{Kind, Restart, Service},
    process::ProcessId,
    protocol::{Request, StateName, Status},
    supervisor::{ClientId, Event, Purpose, ServiceId},
    time::Time,
};

use crate::{
    kernel::{Kernel, Proc},
    program::Role,
};

/// What an end takes beyond what the configuration says: the grace for what a crash left, and news that
/// are late.
const SLACK: Duration = Duration::from_secs(3);

/// What is known of one service.
struct Known {
    config: Service,
    wanted: bool,
    /// Since when it is wanted and nothing was tried.
    idle_since: Option<Time>,
    /// When it was started since it was last asked for.
    starts: Vec<Time>,
    /// Whether it was seen to have ended for good since then.
    over: bool,
    /// Whether the configuration has it no more.
    gone: bool,
}

impl Known {
    fn new(config: &Service, now: Time) -> Self {
        Known {
            config: config.clone(),
            wanted: config.autostart,
            idle_since: Some(now),
            starts: Vec::new(),
            over: false,
            gone: false,
        }
    }
}

/// The judge.
pub(crate) struct Judge {
    pub(crate) objections: Vec<String>,
    services: Vec<Known>,
    ended: HashSet<ProcessId>,
    waiting: HashMap<ClientId, Time>,
    shutdown: Option<Time>,
    shutdown_timeout: Duration,
    is_init: bool,
}

impl Judge {
    pub(crate) fn new(services: &[Service], shutdown_timeout: Duration, is_init: bool, now: Time) -> Self {
        let known = |config: &Service| Known::new(config, now);
        Judge {
            objections: Vec::new(),
            services: services.iter().map(known).collect(),
            ended: HashSet::new(),
            waiting: HashMap::new(),
            shutdown: None,
            shutdown_timeout,
            is_init,
        }
    }

    pub(crate) fn object(&mut self, objection: String) {
        self.objections.push(objection);
    }

    /// The configuration is another one: what changed may be tried anew, what is in it no more is not wanted.
    pub(crate) fn reconfigured(&mut self, now: Time, configs: &[(ServiceId, Service)], changed: &[&str]) {
        for (at, known) in (0..).map(ServiceId).zip(&mut self.services) {
            if !configs.iter().any(|(id, _)| *id == at) {
                (known.gone, known.wanted) = (true, false);
            }
        }
        for (id, config) in configs {
            match self.services.get_mut(id.0 as usize) {
                None => self.services.push(Known::new(config, now)),
                Some(known) if known.gone => *known = Known::new(config, now),
                Some(known) if changed.contains(&config.name.as_str()) => {
                    let wanted = known.wanted || config.autostart && !known.config.autostart;
                    *known = Known { wanted, ..Known::new(config, now) };
                }
                Some(_) => {}
            }
        }
    }

    /// Nothing is left of what was removed, but what is on its own or was started by others and not found yet.
    pub(crate) fn forgotten(&mut self, kernel: &Kernel, service: ServiceId) {
        let left = alive(kernel, service, &[Role::Main]).into_iter().find(|process| process.inside);
        if let Some(left) = left {
            self.object(format!("{} is left of what was removed", kernel.called(left.id)));
        }
    }

    pub(crate) fn stepping(&mut self, event: &Event) {
        if let Event::Ended { process, .. } = event {
            self.ended.insert(*process);
        }
    }

    /// No process belongs to two services.
    pub(crate) fn stepped(&mut self, mains: &[(String, ProcessId)]) {
        let mut seen: HashMap<ProcessId, &str> = HashMap::new();
        for (name, main) in mains {
            if let Some(other) = seen.insert(*main, name) {
                let objection = format!("pid {} belongs to {other} and to {name}", main.pid);
                self.objections.push(objection);
            }
        }
    }

    /// Nothing is started before what it comes after is ready, after it ended for good, nor more often than its
    /// policy and limit allow.
    pub(crate) fn starts(&mut self, now: Time, service: ServiceId, statuses: &[Status]) {
        let known = &self.services[service.0 as usize];
        let config = known.config.clone();
        for after in &config.after {
            let at =
                self.services.iter().position(|other| !other.gone && other.config.name == *after).unwrap();
            let reached = match self.services[at].config.kind {
                Kind::Service => StateName::Running,
                Kind::Task => StateName::Exited,
            };
            let state = statuses.iter().find(|status| status.name == after.as_str()).unwrap().state;
            if state != reached {
                self.object(format!("{} is started while {after} is {state}", config.name));
            }
        }
        let known = &mut self.services[service.0 as usize];
        known.starts.push(now);
        let too_often = config.start_limit.is_some_and(|limit| {
            let recent = known.starts.iter().filter(|&&start| now.since(start) < limit.within);
            recent.count() > limit.starts as usize
        });
        let again = config.restart == Restart::Never && known.starts.len() > 1;
        let over = known.over;
        let may_be_remedy = config.check.is_some() || config.memory_max.is_some() || config.cpu_max.is_some();
        if too_often {
            self.object(format!("{} is started more often than start-limit allows", config.name));
        }
        if over || again && !may_be_remedy {
            self.object(format!("{} is started again, against its policy", config.name));
        }
    }

    /// Nothing is started twice, nor unwanted, nor after the shutdown began.
    pub(crate) fn spawned(&mut self, kernel: &Kernel, service: ServiceId, purpose: Purpose) {
        let known = &mut self.services[service.0 as usize];
        known.idle_since = None;
        let name = known.config.name.clone();
        if purpose != Purpose::Start {
            return;
        }
        if self.shutdown.is_some() {
            self.object(format!("{name} is started during the shutdown"));
        } else if !known.wanted {
            self.object(format!("{name} is started though it is not wanted"));
        }
        let there = alive(kernel, service, &[Role::Main, Role::Worker, Role::Helper]);
        if let Some(other) = there.first() {
            self.object(format!("{name} is started though {} lives", kernel.called(other.id)));
        }
    }

    /// Only what is a service's is signalled, and nothing that has been told to have ended.
    pub(crate) fn signalled(&mut self, kernel: &Kernel, process: ProcessId) {
        if self.ended.contains(&process) {
            self.object(format!("pid {} is signalled after its end was told", process.pid));
        }
        let Some(process) = kernel.alive(process) else { return };
        let rest = self.shutdown.is_some() && (self.is_init || process.inside) && !process.image.foreign;
        let strange = matches!(process.image.role, Role::Stranger | Role::Apart);
        if strange && !rest {
            self.object(format!("{} is signalled, a stranger", kernel.called(process.id)));
        }
    }

    pub(crate) fn asked(&mut self, now: Time, client: ClientId, request: &Request) {
        let (names, wanted) = match request {
            Request::Status { .. }
            | Request::Why { .. }
            | Request::Events { .. }
            | Request::Logs { .. }
            | Request::Reopen
            | Request::LogLevel { .. }
            | Request::ReloadConfiguration { .. } => {
                return;
            }
            Request::Reload { .. } | Request::Signal { .. } | Request::Check { .. } => {
                self.waiting.insert(client, now);
                return;
            }
            Request::Shutdown => {
                self.waiting.insert(client, now);
                return self.terminated(now);
            }
            Request::Start { names, .. } | Request::Restart { names, .. } => (names, self.shutdown.is_none()),
            Request::Stop { names, .. } => (names, false),
        };
        self.waiting.insert(client, now);
        for known in &mut self.services {
            if names.iter().any(|name| name == "all" || name == known.config.name.as_str()) {
                known.wanted = wanted;
                known.idle_since = Some(now);
                known.starts.clear();
                known.over = false;
            }
        }
    }

    /// Whoever asked is answered once, unless it hung up.
    pub(crate) fn replied(&mut self, client: ClientId) {
        if self.waiting.remove(&client).is_none() {
            self.object(format!("client {} is answered, which does not wait", client.0));
        }
    }

    pub(crate) fn hung_up(&mut self, client: ClientId) {
        self.waiting.remove(&client);
    }

    /// The client that has waited for longest.
    pub(crate) fn waits_longest(&self) -> Option<ClientId> {
        self.waiting.keys().min().copied()
    }

    pub(crate) fn terminated(&mut self, now: Time) {
        self.shutdown.get_or_insert(now);
        for known in &mut self.services {
            known.wanted = false;
        }
    }

    /// musterd ends unasked only if something essential may have ended, or all tasks.
    pub(crate) fn shuts_down(&mut self, now: Time) {
        let mut services = self.services.iter().map(|known| &known.config);
        let may = services.clone().any(|config| config.essential)
            || services.all(|config| config.kind == Kind::Task);
        if self.shutdown.is_none() && !may {
            self.object("musterd shuts down unasked".to_owned());
        }
        self.terminated(now);
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    /// Whether somebody still waits for an answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The shutdown ends in time and leaves nothing that could be killed.
    pub(crate) fn exited(&mut self, kernel: &Kernel) {
        let Some(began) = self.shutdown else { return self.object("musterd ends unasked".to_owned()) };
        let took = kernel.now.since(began);
        if took > self.shutdown_timeout {
            self.object(format!("the shutdown took {took:?}"));
        }
        let left = kernel.processes.values().filter(|process| {
            let ours = self.is_init || process.inside;
            process.is_alive() && ours && !process.image.foreign && !process.image.unkillable
        });
        let left: Vec<String> = left.map(|process| kernel.called(process.id)).collect();
        if !left.is_empty() {
            self.object(format!("the shutdown left {}", left.join(", ")));
        }
    }

    /// What musterd believes is so: the main processes live and are the right ones; who is missing is sought.
    pub(crate) fn settled(&mut self, kernel: &Kernel, statuses: &[Status]) {
        let now = kernel.now;
        for status in statuses {
            let of_name = |known: &Known| known.config.name.as_str() == status.name;
            let at = ServiceId(u32::try_from(self.services.iter().rposition(of_name).unwrap()).unwrap());
            if let Some(objection) = self.wrong_main(kernel, status) {
                self.object(objection);
            }
            let known = &mut self.services[at.0 as usize];
            known.over = matches!(status.state, StateName::Exited | StateName::Failed);
            let busy = match status.state {
                StateName::Running
                | StateName::Unhealthy
                | StateName::Starting
                | StateName::Stopping
                | StateName::Waiting
                | StateName::Exited
                | StateName::Failed => true,
                StateName::Stopped | StateName::Backoff => false,
            };
            if busy || !known.wanted {
                known.idle_since = None;
                continue;
            }
            let since = *known.idle_since.get_or_insert(now);
            let longest = known.config.interval + known.config.backoff.max.min(known.config.interval) + SLACK;
            if now.since(since) > longest {
                self.object(format!("{} is missing since {since}", status.name));
            }
        }
        if self.shutdown.is_some_and(|began| now.since(began) > self.shutdown_timeout) {
            self.object("the shutdown doesn't end".to_owned());
        }
    }

    fn wrong_main(&self, kernel: &Kernel, status: &Status) -> Option<String> {
        if status.state != StateName::Running {
            return None;
        }
        let name = &status.name;
        let Some(pid) = status.pid else { return Some(format!("{name} runs without a main process")) };
        let Some(process) = kernel.processes.get(&pid) else {
            return (!kernel.is_late()).then(|| format!("{name} runs as pid {pid}, which is no more"));
        };
        // A start command that exits 0 is followed to whatever it left.
        let followed = process.image.role == Role::Worker && status.reason.contains("descends from");
        // What somebody started for a service that was removed may be found when that is back.
        let of_name = |owner: ServiceId| self.services[owner.0 as usize].config.name.as_str() == name;
        // Nor is it anybody's meanwhile: it may be found by another whose process it could be.
        let was_of_removed = |owner: ServiceId| self.services[owner.0 as usize].gone;
        let found = !process.inside && status.reason.contains("adopted");
        let right = process.owner.is_some_and(|owner| of_name(owner) || found && was_of_removed(owner))
            && (followed || matches!(process.image.role, Role::Main | Role::Helper))
            && process.is_alive();
        (!right && !kernel.is_late()).then(|| {
            format!(
                "{name} runs as {}, which is {:?} of {:?}",
                kernel.called(process.id),
                process.image.role,
                process.owner
            )
        })
    }
}

/// The living processes that truly are a service's.
pub(crate) fn alive<'a>(kernel: &'a Kernel, service: ServiceId, roles: &[Role]) -> Vec<&'a Proc> {
    kernel
        .processes
        .values()
        .filter(|process| process.is_alive() && process.owner == Some(service))
        .filter(|process| roles.contains(&process.image.role))
        .collect()
}
