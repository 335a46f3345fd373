//! Drives the decider on the simulated machine, as musterd's loop does on a real one, and writes down what
//! happens, one line a happening. Judges nothing: see `judge`.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use musterd::{
    config::{Config, LogFormat, LogLevel, Manager, Service, Written},
    process::{Pid, ProcessId, Table},
    protocol::{ChangeKind, Effect, Failure, Request, Response, Status},
    supervisor::{
        Action, Caller, ClientId, Event, Look, Notice, Notification, Place, Probing, Purpose,
        Reconfiguration, Recorded, ServiceId, Stage, Supervisor, TRANSITIONS,
    },
    time::Time,
};
use nix::sys::signal::Signal;

use crate::{
    judge::Judge,
    kernel::{Kernel, MANY_PIDS},
    program::{Image, Op, Role},
};

/// The machine has been up for so long when musterd starts.
const BOOTED: Duration = Duration::from_secs(100);

/// More looks than this at one instant are a loop.
const MANY_LOOKS: usize = 200;

/// The client that the simulation itself is.
const NOBODY: ClientId = ClientId(0);

/// The first of the clients that only want to know; what they hear is kept.
const CURIOUS: u64 = 1_000_000;

/// Whose all clients are.
const CALLER: Caller = Caller { uid: 0, pid: 99, observes: false };

/// What musterd is given and what it meets.
pub(crate) struct Setup {
    pub(crate) services: Vec<Service>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) musterd: Pid,
    /// Its parent.
    pub(crate) parent: Pid,
    pub(crate) pid_max: Pid,
    pub(crate) record: HashMap<String, Recorded>,
}

impl Setup {
    pub(crate) fn new(services: Vec<Service>) -> Self {
        Setup {
            services,
            shutdown_timeout: Duration::from_secs(8),
            musterd: 1,
            parent: 0,
            pid_max: MANY_PIDS,
            record: HashMap::new(),
        }
    }
}

/// musterd on a machine.
pub(crate) struct Sim {
    pub(crate) kernel: Kernel,
    pub(crate) judge: Judge,
    /// How often musterd looked at the whole table.
    pub(crate) tables: usize,
    pub(crate) exited: Option<u8>,
    pub(crate) steps: u64,
    /// What is killed between the next look and its answer.
    pub(crate) dies_while_looking: Option<Pid>,
    /// What was told of processes whose start was known.
    pub(crate) told: Vec<Event>,
    supervisor: Supervisor,
    shutdown_timeout: Duration,
    names: Vec<String>,
    images: HashMap<(ServiceId, Purpose), Image>,
    failures: VecDeque<String>,
    /// Whose output is searched for a line.
    awaited: HashSet<ServiceId>,
    /// The services whose awaited line is written and not read yet.
    unread: HashSet<ServiceId>,
    /// The last lines of probes.
    last_words: HashMap<ProcessId, String>,
    story: Vec<(Time, String)>,
    clients: u64,
    /// So many objections have been written down.
    objections: usize,
    /// What the curious heard.
    pub(crate) heard: Vec<Response>,
    /// How often musterd looked at what the services take.
    pub(crate) measured: usize,
    /// What musterd said of its services after so many steps.
    said: Option<(u64, Vec<Status>)>,
}

impl Sim {
    /// musterd starts at zero, on a machine that does what `prepare` says.
    pub(crate) fn start(setup: Setup, prepare: impl FnOnce(&mut Kernel)) -> Self {
        let now = Time::from_boot(BOOTED);
        let mut kernel = Kernel::new(now, setup.musterd, setup.pid_max);
        prepare(&mut kernel);
        let names = setup.services.iter().map(|service| service.name.to_string()).collect();
        let judge = Judge::new(&setup.services, setup.shutdown_timeout, setup.musterd == 1, now);
        let config = config(setup.services, setup.shutdown_timeout);
        let place = Place { pid: setup.musterd, parent: setup.parent, is_init: setup.musterd == 1 };
        let supervisor = Supervisor::new(&config, place, &setup.record, now, SystemTime::UNIX_EPOCH);
        Sim {
            kernel,
            judge,
            tables: 0,
            exited: None,
            steps: 0,
            dies_while_looking: None,
            told: Vec::new(),
            supervisor,
            shutdown_timeout: setup.shutdown_timeout,
            names,
            images: HashMap::new(),
            failures: VecDeque::new(),
            awaited: HashSet::new(),
            unread: HashSet::new(),
            last_words: HashMap::new(),
            story: Vec::new(),
            clients: 0,
            objections: 0,
            heard: Vec::new(),
            measured: 0,
            said: None,
        }
    }

    /// What the service's start command is from now on.
    pub(crate) fn program(&mut self, service: &str, image: Image) {
        let id = self.id(service);
        self.images.insert((id, Purpose::Start), image);
    }

    /// What the service's stop command is.
    pub(crate) fn stop_program(&mut self, service: &str, image: Image) {
        let id = self.id(service);
        self.images.insert((id, Purpose::Stop), image);
    }

    /// What the service's reload command is.
    pub(crate) fn reload_program(&mut self, service: &str, image: Image) {
        let id = self.id(service);
        self.images.insert((id, Purpose::Reload), image.role(Role::Reloader));
    }

    /// What a probe of the service does from now on.
    pub(crate) fn probe_program(&mut self, service: &str, probing: Probing, image: Image) {
        let id = self.id(service);
        self.images.insert((id, Purpose::Probe(probing)), image.role(Role::Probe));
    }

    /// The service writes a line as its `ready.log` describes it.
    pub(crate) fn line(&mut self, service: &str) {
        let id = self.id(service);
        self.write(format!("{service} writes a line as in ready.log"));
        if self.awaited.contains(&id) {
            self.step(Event::LineSeen(id));
            self.settle();
        }
    }

    /// The same, and nobody reads it before its output is asked for.
    pub(crate) fn unread_line(&mut self, service: &str) {
        self.unread.insert(self.id(service));
    }

    /// The service says something of itself.
    pub(crate) fn notify(&mut self, service: &str, sender: Pid, notification: Notification) {
        let id = self.id(service);
        self.write(format!("{service} says {notification:?}"));
        self.step(Event::Notified { service: id, sender, notification });
        self.settle();
    }

    /// The next spawn fails so.
    pub(crate) fn fail_next_spawn(&mut self, error: &str) {
        self.failures.push_back(error.to_owned());
    }

    /// The service that bears the name now, or did last.
    pub(crate) fn id(&self, service: &str) -> ServiceId {
        let at = self.names.iter().rposition(|name| name == service).unwrap();
        ServiceId(u32::try_from(at).unwrap())
    }

    /// The configuration is read again. `restarts` says which of the changed services must be started anew for it; what
    /// `prepare` gives programs to are those that are new.
    pub(crate) fn reconfigure(
        &mut self,
        services: Vec<Service>,
        restarts: impl Fn(&str) -> bool,
        prepare: impl FnOnce(&mut Sim),
    ) {
        if self.exited.is_some() {
            return;
        }
        let config = Config { services, ..config(Vec::new(), self.shutdown_timeout) };
        let mut changes = self.supervisor.changes(&config, &Written::default(), &Written::default());
        for change in changes.services.iter_mut().filter(|change| !restarts(&change.name)) {
            change.effect = Effect::Applied;
        }
        let known: Vec<String> =
            self.supervisor.services().map(|(_, service)| service.name.to_string()).collect();
        let names = config.services.iter().map(|service| service.name.to_string());
        self.names.extend(names.filter(|name| !known.contains(name)));
        let configs: Vec<(ServiceId, Service)> =
            config.services.iter().map(|service| (self.id(service.name.as_str()), service.clone())).collect();
        self.write("the configuration is read again".to_owned());
        prepare(self);
        let before = self.statuses();
        let changed: Vec<&str> = changes.services.iter().map(|change| change.name.as_str()).collect();
        self.judge.reconfigured(self.kernel.now, &configs, &changed);
        let new = Reconfiguration {
            services: config.services,
            shutdown_timeout: self.shutdown_timeout,
            cause: "SIGHUP".to_owned(),
            changes: changes.clone(),
        };
        self.step(Event::Reconfigured(Box::new(new)));
        let after = self.statuses();
        let stays = |status: &&Status| {
            let change = changes.services.iter().find(|change| change.name == status.name);
            change
                .is_none_or(|change| change.change == ChangeKind::Changed && change.effect == Effect::Applied)
        };
        for status in before.iter().filter(stays).filter(|status| status.pid.is_some()) {
            let same = after.iter().find(|other| other.name == status.name);
            if same.is_none_or(|same| (same.pid, same.wanted) != (status.pid, status.wanted)) {
                self.judge.object(format!("{} loses its process by a reload", status.name));
            }
        }
        self.settle();
    }

    pub(crate) fn now(&self) -> Time {
        self.kernel.now
    }

    /// The ways that services went from state to state.
    pub(crate) fn passed(&self) -> &BTreeSet<(Stage, Stage)> {
        self.supervisor.passed()
    }

    /// Those that the table of transitions does not know.
    pub(crate) fn unknown_ways(&self) -> impl Iterator<Item = &(Stage, Stage)> {
        let known = |way: &(Stage, Stage)| TRANSITIONS.iter().any(|&(from, to, _)| (from, to) == *way);
        self.passed().iter().filter(move |way| !known(way))
    }

    /// What happened so far.
    pub(crate) fn transcript(&self) -> String {
        let line = |(at, what): &(Time, String)| {
            let passed = Time::from_boot(at.since_boot().saturating_sub(BOOTED));
            format!("{passed} {what}\n")
        };
        self.story.iter().map(line).collect()
    }

    fn write(&mut self, line: String) {
        self.gather();
        self.story.push((self.kernel.now, line));
    }

    fn gather(&mut self) {
        self.story.append(&mut self.kernel.log);
        while let Some(objection) = self.judge.objections.get(self.objections) {
            self.story.push((self.kernel.now, format!("RULE BROKEN: {objection}")));
            self.objections += 1;
        }
    }

    /// Lets so much time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        while self.exited.is_none() {
            let due = self.kernel.next_event().into_iter().chain(self.supervisor.next_deadline()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            let due = due.max(self.kernel.now);
            self.kernel.advance(due);
            self.settle();
        }
        if self.exited.is_none() {
            self.kernel.advance(end);
        }
    }

    pub(crate) fn run_seconds(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    /// musterd's loop at one instant: events, deadlines, looks, until it would sleep.
    fn settle(&mut self) {
        for turn in 0.. {
            if turn > MANY_LOOKS {
                self.judge.object("musterd does not come to rest".to_owned());
                self.exited = Some(255);
                return;
            }
            let due = self.supervisor.next_deadline().is_some_and(|due| due <= self.now());
            let mut events = self.kernel.ends(due);
            if self.steps == 0 || due {
                events.push(Event::Tick);
            }
            if events.is_empty() && self.supervisor.look().is_none() {
                break;
            }
            for event in events {
                self.step(event);
            }
            self.look();
            if self.exited.is_some() {
                return;
            }
            let deadline = self.supervisor.next_deadline();
            if deadline.is_some_and(|due| due <= self.now()) {
                self.judge.object(format!("the next deadline, {deadline:?}, is not in the future"));
                self.exited = Some(255);
                return;
            }
        }
        self.gather();
        let statuses = match self.said.take() {
            Some((steps, statuses)) if steps == self.steps => statuses,
            Some(_) | None => self.statuses(),
        };
        self.judge.settled(&self.kernel, &statuses);
        self.said = Some((self.steps, statuses));
        self.gather();
    }

    fn look(&mut self) {
        for _ in 0..MANY_LOOKS {
            if self.exited.is_some() {
                return;
            }
            let Some(look) = self.supervisor.look() else { return };
            let seen = match look {
                Look::Orphans => Event::Orphans(self.kernel.children()),
                Look::Usage => {
                    self.measured += 1;
                    Event::Measured(self.table())
                }
                Look::Table => {
                    self.tables += 1;
                    Event::Scanned(self.table())
                }
            };
            if let Some(pid) = self.dies_while_looking.take() {
                self.signal(pid, Signal::SIGKILL);
            }
            for event in self.kernel.ends(true) {
                self.step(event);
            }
            self.step(seen);
        }
        self.judge.object("musterd looks without end".to_owned());
        self.exited = Some(255);
    }

    /// What the table shows, and of names what is asked for.
    fn table(&mut self) -> Table {
        let (mut table, wanted) = (self.kernel.table(), self.supervisor.wanted());
        table.named.pidfiles.retain(|path, _| wanted.pidfiles.contains(path.as_path()));
        table.named.programs.retain(|path, _| wanted.programs.contains(path.as_path()));
        table.named.users.retain(|name, _| wanted.users.contains(name.as_str()));
        table
    }

    pub(crate) fn step(&mut self, event: Event) {
        if self.exited.is_some() {
            return;
        }
        self.steps += 1;
        self.judge.stepping(&event);
        if let Event::Ended { process, .. } = &event
            && let Some(line) = self.last_words.remove(process)
        {
            self.step(Event::Said { process: *process, line });
        }
        if let Event::Ended { process: ProcessId { start: 1.., .. }, .. } = event {
            self.told.push(event.clone());
        }
        let actions = self.supervisor.step(self.kernel.now, event);
        let results: Vec<Event> = actions.into_iter().filter_map(|action| self.act(action)).collect();
        let mains: Vec<(String, ProcessId)> =
            self.supervisor.mains().map(|(name, recorded)| (name.to_owned(), recorded.main)).collect();
        self.judge.stepped(&mains);
        for result in results {
            self.step(result);
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { service, purpose } => Some(self.spawn(service, purpose)),
            Action::Watch(process) => self.kernel.watch(process),
            Action::Signal { process, signal } => {
                let signal = Signal::try_from(signal).unwrap();
                self.write(format!("{signal} to {}", self.kernel.called(process)));
                self.judge.signalled(&self.kernel, process);
                self.kernel.signal(process, signal);
                None
            }
            Action::Deliver { client, service, process, signal } => {
                self.act(Action::Signal { process, signal });
                Some(Event::Delivered { client, service, error: None })
            }
            Action::Reply { client, response } => {
                if client.0 >= CURIOUS {
                    self.heard.push(response);
                } else if client != NOBODY {
                    self.judge.replied(client);
                    self.write(format!("client {} hears: {}", client.0, shown(&response)));
                }
                None
            }
            Action::Tell(notice) => {
                if notice.message == "shutting down" {
                    self.judge.shuts_down(self.kernel.now);
                }
                self.write(told(&notice));
                None
            }
            Action::AwaitLine { service, awaited: true } => {
                self.awaited.insert(service);
                None
            }
            Action::AwaitLine { service, awaited: false } => {
                self.awaited.remove(&service);
                None
            }
            Action::FlushOutput { service, .. } => {
                let is_seen = self.unread.remove(&service) && self.awaited.remove(&service);
                is_seen.then_some(Event::LineSeen(service))
            }
            Action::Forget(service) => {
                self.judge.forgotten(&self.kernel, service);
                Some(Event::Forgotten(service))
            }
            Action::Exit(code) => {
                self.write(format!("musterd exits {code}"));
                self.exited = Some(code);
                self.judge.exited(&self.kernel);
                self.gather();
                None
            }
        }
    }

    fn spawn(&mut self, service: ServiceId, purpose: Purpose) -> Event {
        let name = self.names[service.0 as usize].clone();
        if purpose == Purpose::Start {
            let statuses = self.statuses();
            self.judge.starts(self.kernel.now, service, &statuses);
        }
        self.judge.spawned(&self.kernel, service, purpose);
        if let Some(error) = self.failures.pop_front() {
            self.write(format!("{name} fails to start"));
            return Event::SpawnFailed { service, purpose, error };
        }
        let image = match (self.images.get(&(service, purpose)), purpose) {
            (Some(image), _) => image.clone(),
            (None, Purpose::Probe(_)) => Image::new("probe").role(Role::Probe).exits(2, 0),
            (None, Purpose::Start | Purpose::Stop | Purpose::Reload) => panic!("{name} has no program"),
        };
        let (image, says) = (image.clone().in_own_session(), image.says);
        let process = self.kernel.spawn(self.kernel.musterd, image, Some(service), Some(&name));
        self.last_words.extend(says.map(|says| (process, says)));
        let beside = match purpose {
            Purpose::Stop => Some("stop"),
            Purpose::Reload => Some("reload"),
            Purpose::Start | Purpose::Probe(_) => None,
        };
        if let Some(what) = beside {
            self.write(format!("{} is the {what} command of {name}", self.kernel.called(process)));
        }
        Event::Spawned { service, purpose, process, leads_session: true }
    }

    /// musterd hears something once more, or of itself.
    pub(crate) fn hear(&mut self, event: Event) {
        self.write(format!("musterd hears: {}", heard(&event)));
        self.step(event);
        self.settle();
    }

    /// Somebody else sends a signal.
    pub(crate) fn signal(&mut self, pid: Pid, signal: Signal) {
        let Some(id) = self.kernel.processes.get(&pid).map(|process| process.id) else { return };
        if signal != Signal::SIGKILL {
            self.write(format!("somebody sends {signal} to {}", self.kernel.called(id)));
        }
        self.kernel.signal(id, signal);
    }

    /// Somebody runs a program by hand, from outside (`docker exec`).
    pub(crate) fn by_hand(&mut self, image: Image, service: Option<&str>) -> ProcessId {
        let owner = service.map(|service| self.id(service)).filter(|_| image.role != Role::Stranger);
        let id = self.kernel.spawn(0, image.in_own_session(), owner, None);
        self.write(format!("somebody starts {}", self.kernel.called(id)));
        id
    }

    /// A client asks; it hears the answer when the time has come.
    pub(crate) fn ask(&mut self, request: Request) {
        if self.exited.is_some() {
            return;
        }
        self.clients += 1;
        let client = ClientId(self.clients);
        self.write(format!("client {} asks: {}", self.clients, asked(&request)));
        self.judge.asked(self.kernel.now, client, &request);
        self.step(Event::Asked { client, caller: CALLER, request });
        self.settle();
    }

    /// A client wants to know something; what it hears, now or later, is kept.
    pub(crate) fn wonder(&mut self, request: Request) -> ClientId {
        self.clients += 1;
        let client = ClientId(CURIOUS + self.clients);
        self.step(Event::Asked { client, caller: CALLER, request });
        self.settle();
        client
    }

    /// A client that waits hangs up, if there is one.
    pub(crate) fn hang_up(&mut self) {
        let Some(client) = self.judge.waits_longest() else { return };
        self.write(format!("client {} hangs up", client.0));
        self.judge.hung_up(client);
        self.step(Event::HungUp { client });
        self.settle();
    }

    pub(crate) fn start_again(&mut self, service: &str) {
        self.ask(Request::Start { names: vec![service.to_owned()], wait: true });
    }

    pub(crate) fn stop(&mut self, service: &str) {
        self.ask(Request::Stop { names: vec![service.to_owned()], wait: true });
    }

    pub(crate) fn restart(&mut self, service: &str) {
        self.ask(Request::Restart { names: vec![service.to_owned()], wait: true });
    }

    pub(crate) fn reload(&mut self, service: &str) {
        self.ask(Request::Reload { names: vec![service.to_owned()], wait: true });
    }

    pub(crate) fn check(&mut self, service: &str) {
        self.ask(Request::Check { names: vec![service.to_owned()] });
    }

    /// A process forks.
    pub(crate) fn fork(&mut self, parent: Pid, image: Image) {
        let id = self.kernel.processes[&parent].id;
        self.kernel.perform(id, Op::Fork(Box::new(image)));
    }

    /// The children of a process that have its session get a signal.
    pub(crate) fn end_workers(&mut self, parent: Pid, signal: Signal) {
        let workers = self.kernel.processes.values().filter(|process| {
            process.parent == parent && process.session == parent && process.image.role == Role::Worker
        });
        let workers: Vec<Pid> = workers.map(|process| process.id.pid).collect();
        for worker in workers {
            self.signal(worker, signal);
        }
    }

    pub(crate) fn terminate(&mut self, cause: &str) {
        self.judge.terminated(self.kernel.now);
        self.step(Event::Terminate { cause: cause.to_owned() });
        self.settle();
    }

    pub(crate) fn statuses(&mut self) -> Vec<Status> {
        let request = Request::status(Vec::new());
        let asked = Event::Asked { client: NOBODY, caller: CALLER, request };
        let actions = self.supervisor.step(self.kernel.now, asked);
        let mut actions = actions.into_iter();
        let answer = actions.next();
        assert_eq!(actions.next(), None, "a question changes nothing");
        match answer {
            Some(Action::Reply { response: Response::Services { services }, .. }) => services,
            other => panic!("the answer to a question is {other:?}"),
        }
    }

    /// The state of one service.
    pub(crate) fn status(&mut self, service: &str) -> Status {
        self.statuses().into_iter().find(|status| status.name == service).unwrap()
    }

    /// The main process of a service.
    pub(crate) fn main(&mut self, service: &str) -> Option<Pid> {
        self.status(service).pid
    }
}

fn config(services: Vec<Service>, shutdown_timeout: Duration) -> Config {
    let manager = Manager {
        shutdown_timeout,
        socket: None,
        allow_users: Vec::new(),
        observers: Vec::new(),
        log_format: LogFormat::Text,
        log_level: LogLevel::Info,
        log_times: false,
    };
    Config { manager, services, warnings: Vec::new() }
}

fn heard(event: &Event) -> String {
    match event {
        Event::Ended { process, exit, .. } => format!("pid {} {exit}", process.pid),
        Event::Orphans(_) => "the children".to_owned(),
        Event::Measured(_) => "the processes".to_owned(),
        Event::Scanned(_) => "the table".to_owned(),
        other => format!("{other:?}"),
    }
}

fn told(notice: &Notice) -> String {
    let pid = notice.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
    let of = notice.service.as_ref().map_or("musterd", |name| name.as_str());
    let warning = if notice.level <= LogLevel::Warn { "warning: " } else { "" };
    let next = notice.consequence.as_ref().map_or(String::new(), |next| format!("; {next}"));
    format!("{of}{pid}: {warning}{}: {}{next}", notice.message, notice.cause)
}

fn asked(request: &Request) -> String {
    let (verb, names) = match request {
        Request::Status { names, .. } => ("status", names),
        Request::Events { names, .. } => ("events", names),
        Request::Why { name } => return format!("why {name}"),
        Request::Start { names, .. } => ("start", names),
        Request::Stop { names, .. } => ("stop", names),
        Request::Restart { names, .. } => ("restart", names),
        Request::Reload { names, .. } => ("reload", names),
        Request::Signal { signal, names } => return format!("signal {signal} {}", names.join(" ")),
        Request::Check { names } => ("check", names),
        Request::Shutdown => return "shutdown".to_owned(),
        Request::Logs { .. }
        | Request::Reopen
        | Request::LogLevel { .. }
        | Request::ReloadConfiguration { .. } => {
            unreachable!("the shell answers this itself")
        }
    };
    format!("{verb} {}", names.join(" "))
}

fn shown(response: &Response) -> String {
    match response {
        Response::Services { services } => {
            let state = |status: &Status| {
                let state = format!("{:?}", status.state).to_lowercase();
                let pid = status.pid.map_or(String::new(), |pid| format!(" as pid {pid}"));
                format!("{} {state}{pid} ({})", status.name, status.reason)
            };
            services.iter().map(state).collect::<Vec<_>>().join(", ")
        }
        Response::NoSuchService { names, .. } => format!("no such service {}", names.join(" ")),
        Response::Refused { reason } => format!("refused: {reason}"),
        Response::Story { events, .. } | Response::Events { events, .. } => {
            format!("{} events", events.len())
        }
        Response::Done => "done".to_owned(),
        Response::Failed { failures } => {
            let failure = |Failure { name, reason }: &Failure| format!("{name}: {reason}");
            format!("failed: {}", failures.iter().map(failure).collect::<Vec<_>>().join(", "))
        }
        Response::Lines { .. } | Response::Changes(_) | Response::WrongConfiguration { .. } => {
            unreachable!("the decider answers this to nobody")
        }
    }
}
