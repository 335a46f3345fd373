//! Random lives: services of every kind, and everything that can happen to them, from a seed. A seed that
//! fails tells its story; `MUSTERD_SEED=N cargo test --test decider random` tells it again.
//!
//! Not by proptest, as other properties are: what follows in a life depends on what came before, so that a
//! life with a choice left out is another life, and shrinking finds nothing. The story is what helps.

use std::{collections::BTreeSet, time::Duration};

use musterd::{
    config::{
        self, Check, CheckRule, Guard, Match, Probe, Ready, ReadyRule, Regex, Remedy, Restart, Service,
        StartLimit,
    },
    process::Pid,
    protocol::{Request, StateName},
    supervisor::{Notification, Probing, Stage, TRANSITIONS},
};
use nix::sys::signal::Signal::{self, SIGINT, SIGKILL, SIGTERM, SIGWINCH};

use crate::{
    judge::alive,
    program::{Image, Op, Role},
    services::{after, command, matching, service},
    sim::{Setup, Sim},
};

/// So many lives are lived in an ordinary run of the tests: some seconds.
const LIVES: u64 = 2_000;

/// How long a life goes on undisturbed before it is judged whether every client got its answer: longer than
/// all the time limits of the services below.
const REST: u64 = 60;

/// Chooses: `SplitMix64` (Steele, Lea, Flood 2014), as good as this needs and a few lines.
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Copy>(&mut self, things: &[T]) -> Option<T> {
        let count = u64::try_from(things.len()).unwrap();
        (count > 0).then(|| things[usize::try_from(self.below(count)).unwrap()])
    }

    /// Some milliseconds: an instant, a moment or a while.
    fn milliseconds(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 | 2 => 1 + self.below(30),
            3 | 4 => self.below(3_000),
            _ => self.below(40_000),
        }
    }
}

/// The kinds of services.
#[derive(Clone, Copy)]
enum Kind {
    Foreground,
    Interpreted,
    /// Two of them are of one program and name.
    Twin,
    Daemon,
    InitScript,
    Wrapper,
    /// Only its pidfile names it.
    Pidfile,
}

impl Kind {
    fn service(self, name: &str) -> Service {
        match self {
            Kind::Foreground => service(name, &format!("/srv/{name}")),
            Kind::Interpreted => service(name, &format!("python3 /srv/{name}.py")),
            Kind::Twin => service(name, &format!("/usr/bin/twin -c {name}")),
            Kind::Daemon => service(name, &format!("/usr/sbin/{name}")),
            Kind::InitScript => service(name, &format!("/etc/init.d/{name} start")),
            Kind::Wrapper => matching(service(name, &format!("/opt/run-{name}")), name),
            Kind::Pidfile => {
                let matching = Match { pidfile: Some(pidfile(name).into()), ..Match::default() };
                Service { matching, ..service(name, &format!("/opt/start-{name}")) }
            }
        }
    }

    /// The process that does the work, once it is there.
    fn main(self, name: &str, choice: &mut Choice) -> Image {
        let command = match self {
            Kind::Foreground => format!("/srv/{name}"),
            Kind::Interpreted => format!("python3 /srv/{name}.py"),
            Kind::Twin => format!("/usr/bin/twin -c {name}"),
            Kind::Daemon | Kind::InitScript | Kind::Wrapper => format!("/usr/sbin/{name}"),
            Kind::Pidfile => "/opt/java -jar app.jar".to_owned(),
        };
        let worker = Image::new("worker").role(Role::Worker);
        let worker = if choice.one_in(4) { worker.ignores(SIGTERM) } else { worker };
        let worker =
            if choice.one_in(4) { worker.forks(2, Image::new("deep").role(Role::Worker)) } else { worker };
        let mut image = Image::new(&command);
        if choice.one_in(2) {
            image = image.forks(choice.milliseconds(), worker);
        }
        match choice.below(4) {
            0 => image.ignores(SIGTERM),
            1 => image,
            _ => image.on(SIGTERM, choice.below(100), Op::Exit(0)),
        }
    }

    /// What its start command does.
    fn program(self, name: &str, choice: &mut Choice, healthy: bool) -> Image {
        let main = self.main(name, choice);
        let main = match choice.below(4) {
            _ if healthy => main,
            0 => main.at(1_000 + choice.milliseconds(), Op::Crash(SIGKILL)),
            1 => main.exits(1_000 + choice.milliseconds(), i32::from(choice.one_in(2))),
            _ => main,
        };
        let longest = if choice.one_in(5) && !healthy { 8_000 } else { 100 };
        let work = 1 + choice.below(longest);
        match self {
            Kind::Foreground | Kind::Interpreted | Kind::Twin => main,
            Kind::Daemon => {
                let start = Image::new(&format!("/usr/sbin/{name}")).role(Role::Helper);
                let work = work.min(500);
                start.forks(work, main.in_own_session()).exits(work, 0)
            }
            Kind::Pidfile => {
                let start = Image::new(&format!("/opt/start-{name}")).role(Role::Helper);
                let late = if choice.one_in(3) && !healthy { 4_000 } else { 100 };
                let daemon = main.in_own_session().at(choice.below(late), Op::WritePid(pidfile(name)));
                let work = work.min(500);
                start.forks(work, daemon).exits(work + choice.below(30), 0)
            }
            Kind::InitScript => {
                let script = Image::new(&format!("/bin/sh /etc/init.d/{name} start")).role(Role::Helper);
                let daemon = main.in_own_session();
                let daemon = if choice.one_in(2) { daemon.without_environment() } else { daemon };
                let script = script.at(1, Op::ExitIfRunning(name.to_owned()));
                match choice.below(6) {
                    _ if healthy => script.forks(50, daemon).exits(60, 0),
                    0 => script.forks(2, Image::new("sleep").role(Role::Helper)),
                    1 => script.exits(work, 1),
                    2 => script.exits(work, 0),
                    3 => script.forks(work, daemon).exits(work + 50, 1),
                    _ => script.forks(work, daemon).exits(work + 50, 0),
                }
            }
            Kind::Wrapper => {
                let wrapper = Image::new(&format!("/opt/run-{name}")).role(Role::Helper);
                let wrapper = if choice.one_in(3) { wrapper.ignores(SIGTERM) } else { wrapper };
                wrapper.forks(work, main)
            }
        }
    }
}

fn pidfile(name: &str) -> String {
    format!("/run/{name}.pid")
}

/// What a greedy process takes, in bytes.
const MEMORY: u64 = 1 << 20;

/// What becomes of a service, and what shows that it is well.
fn choose_life(mut service: Service, kind: Kind, choice: &mut Choice) -> Service {
    let seconds = |choice: &mut Choice, bound| Duration::from_secs(1 + choice.below(bound));
    if choice.one_in(5) && matches!(kind, Kind::Foreground) {
        service.kind = config::Kind::Task;
    }
    service.restart = match choice.below(8) {
        0 => Restart::Never,
        1 | 2 => Restart::OnFailure,
        _ => Restart::Always,
    };
    if choice.one_in(5) {
        let starts = 1 + u32::try_from(choice.below(4)).unwrap();
        service.start_limit = Some(StartLimit { starts, within: seconds(choice, 20) });
    }
    service.essential = choice.one_in(20);
    let probe = Probe::Address("tcp://127.0.0.1:80".to_owned());
    if choice.one_in(3) && service.kind == config::Kind::Service {
        let rule = match choice.below(4) {
            0 => ReadyRule::Delay(Duration::from_millis(choice.below(3_000))),
            1 => ReadyRule::Log(Regex::parse("ready").unwrap()),
            2 => ReadyRule::Notify,
            _ => ReadyRule::Probe(probe.clone()),
        };
        service.ready = Ready { rule, timeout: seconds(choice, 5) };
    }
    let remedy = |choice: &mut Choice| if choice.one_in(2) { Remedy::Restart } else { Remedy::Report };
    if choice.one_in(3) && service.kind == config::Kind::Service {
        let rule = if choice.one_in(4) { CheckRule::Notify } else { CheckRule::Probe(probe) };
        let (every, timeout) = (seconds(choice, 4), seconds(choice, 2));
        let retries = 1 + u32::try_from(choice.below(2)).unwrap();
        service.check = Some(Check { rule, every, timeout, retries, on_failure: remedy(choice) });
    }
    if choice.one_in(8) {
        service.after_addresses = vec!["tcp://db:5432".to_owned()];
    }
    if choice.one_in(6) {
        let lasting = Duration::from_secs(choice.below(3));
        service.memory_max = Some(Guard { max: MEMORY, lasting, on_excess: remedy(choice) });
        service.cpu_max = Some(Guard { max: 100.0, lasting, on_excess: remedy(choice) });
    }
    match choice.below(3) {
        0 => service.reload = Some(command("/opt/reload")),
        1 => service.reload_signal = Some(SIGWINCH),
        _ => {}
    }
    service
}

/// One life.
struct Life {
    choice: Choice,
    kinds: Vec<(String, Kind)>,
    configs: Vec<Service>,
    /// Which of them the configuration has now.
    present: Vec<bool>,
    is_init: bool,
    sim: Sim,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut choice = Choice(seed);
        let all = [
            Kind::Foreground,
            Kind::Interpreted,
            Kind::Twin,
            Kind::Daemon,
            Kind::InitScript,
            Kind::Wrapper,
            Kind::Pidfile,
        ];
        let count = 1 + choice.below(4);
        let kinds: Vec<(String, Kind)> =
            (0..count).map(|at| (format!("s{at}"), choice.of(&all).unwrap_or(Kind::Foreground))).collect();
        let mut services: Vec<Service> = Vec::new();
        for (name, kind) in &kinds {
            let before: Vec<String> = services.iter().map(|service| service.name.to_string()).collect();
            let mut service = kind.service(name);
            service.interval = Duration::from_millis(800 + choice.below(5) * 3_000);
            service.backoff.max = service.interval;
            service.stable_after = Duration::from_secs(5 * choice.below(3));
            service.start_timeout = Duration::from_secs(1 + choice.below(5));
            service.stop_timeout = Duration::from_millis(choice.below(3) * 2_000);
            service.autostart = !choice.one_in(6);
            if choice.one_in(3) && !before.is_empty() {
                let at = usize::try_from(choice.below(before.len() as u64)).unwrap();
                service = after(service, &[&before[at]]);
            }
            services.push(choose_life(service, *kind, &mut choice));
        }
        let configs = services.clone();
        let mut setup = Setup::new(services);
        let is_init = !choice.one_in(4);
        setup.musterd = if is_init { 1 } else { 5 };
        if choice.one_in(2) {
            setup.pid_max = 150;
        }
        let mut sim = Sim::start(setup, |_| {});
        sim.kernel.loses_ends = choice.one_in(10);
        sim.kernel.hides_children = choice.one_in(6);
        sim.kernel.recycles = choice.one_in(4);
        let present = vec![true; kinds.len()];
        let mut life = Life { choice, kinds, configs, present, is_init, sim };
        for at in 0..life.kinds.len() {
            life.program(at, false);
            life.probes(at, false);
        }
        life.sim.run_for(Duration::ZERO);
        life
    }

    /// The configuration is read again: services come and go and change.
    fn reconfigure(&mut self) {
        let mut restarts = Vec::new();
        let mut came = Vec::new();
        for at in 0..self.kinds.len() {
            if self.choice.one_in(4) {
                let is_last = self.present.iter().filter(|present| **present).count() == 1;
                self.present[at] = !self.present[at] || is_last;
                came.push(at);
            }
            let config = &mut self.configs[at];
            match self.choice.below(6) {
                0 | 1 => {
                    config.nice = Some(1 + config.nice.unwrap_or_default());
                    restarts.push(config.name.to_string());
                }
                2 => config.stop_timeout = Duration::from_millis(self.choice.below(3) * 2_000),
                3 => {
                    let (config, kind) = (config.clone(), self.kinds[at].1);
                    let is_task = config.kind;
                    let changed = choose_life(config, kind, &mut self.choice);
                    let was = self.configs[at].clone();
                    // Another kind is another service; what is essential stays so.
                    self.configs[at] = Service { kind: is_task, essential: was.essential, ..changed };
                    if is_task == config::Kind::Task {
                        self.configs[at] =
                            Service { ready: was.ready, check: was.check, ..self.configs[at].clone() };
                    }
                    if self.choice.one_in(2) {
                        restarts.push(self.kinds[at].0.clone());
                    }
                }
                _ => {}
            }
        }
        let present: Vec<String> = (0..)
            .zip(&self.kinds)
            .filter(|(at, _)| self.present[*at])
            .map(|(_, (name, _))| name.clone())
            .collect();
        let is_present = |name: &config::ServiceName| present.iter().any(|other| other == name.as_str());
        let mut services: Vec<Service> =
            self.configs.iter().filter(|config| is_present(&config.name)).cloned().collect();
        services.iter_mut().for_each(|service| service.after.retain(is_present));
        let programs: Vec<(String, Image)> =
            came.iter().map(|&at| (self.kinds[at].0.clone(), self.image(at, false))).collect();
        let is_restarted = |name: &str| restarts.iter().any(|other| other == name);
        self.sim.reconfigure(services, is_restarted, |sim| {
            programs.into_iter().for_each(|(name, image)| sim.program(&name, image));
        });
    }

    fn program(&mut self, at: usize, healthy: bool) {
        let image = self.image(at, healthy);
        let name = self.kinds[at].0.clone();
        self.sim.program(&name, image);
    }

    fn image(&mut self, at: usize, healthy: bool) -> Image {
        let (name, kind) = self.kinds[at].clone();
        let image = if self.configs[at].kind == config::Kind::Task {
            let code = if healthy { 0 } else { self.choice.below(2) as i32 };
            let command = kind.main(&name, &mut self.choice).argv.join(" ");
            let work = self.choice.milliseconds();
            Image::new(&command).exits(10 + if healthy { work.min(1_000) } else { work }, code)
        } else {
            kind.program(&name, &mut self.choice, healthy)
        };
        let greed = if healthy { 0 } else { self.choice.below(3) };
        image.takes(greed * MEMORY, greed * 60)
    }

    /// What the probes of a service do from now on.
    fn probes(&mut self, at: usize, healthy: bool) {
        let name = self.kinds[at].0.clone();
        for probing in [Probing::Address(0), Probing::Ready, Probing::Health] {
            let image = Image::new("probe").says("refused");
            let milliseconds = self.choice.milliseconds();
            let image = match self.choice.below(8) {
                _ if healthy => image.exits(10, 0),
                0 => image,
                1 => image.forks(1, Image::new("child").role(Role::Probe)).exits(milliseconds, 1),
                2 => image.forks(1, Image::new("stray").role(Role::Probe).in_own_session()).exits(20, 0),
                3 | 4 => image.exits(milliseconds, 1),
                _ => image.exits(milliseconds, 0),
            };
            self.sim.probe_program(&name, probing, image);
        }
    }

    /// The service says something of itself.
    fn says(&mut self, at: usize) {
        let name = self.kinds[at].0.clone();
        let Some(main) = self.sim.main(&name) else { return };
        let pids: Vec<Pid> = self.sim.kernel.processes.keys().copied().collect();
        let notification = match self.choice.below(7) {
            0 | 1 => Notification::Ready,
            2 => Notification::Watchdog,
            3 => Notification::Unwell,
            4 => Notification::Reloading,
            5 => Notification::Status("at work".to_owned()),
            // A worker that is announced is the main process from then on; only strangers tell.
            _ => match self.choice.of(&pids).filter(|pid| {
                let process = &self.sim.kernel.processes[pid];
                matches!(process.image.role, Role::Stranger | Role::Apart) || process.owner.is_none()
            }) {
                Some(pid) if !self.sim.kernel.descends(pid, main) => Notification::MainPid(pid),
                Some(_) | None => Notification::Stopping,
            },
        };
        self.sim.notify(&name, main, notification);
    }

    /// Lives it; `None` if all went well.
    fn live(&mut self) -> Option<String> {
        for _ in 0..10 + self.choice.below(50) {
            self.happen();
            if self.choice.one_in(10) {
                self.sim.kernel.delay = Duration::from_millis(self.choice.below(2) * self.choice.below(300));
            }
            let milliseconds = self.choice.milliseconds();
            self.sim.run_for(Duration::from_millis(milliseconds));
            if !self.sim.judge.objections.is_empty() {
                break;
            }
        }
        if self.sim.judge.objections.is_empty() && self.choice.one_in(2) {
            self.rest();
        }
        if self.sim.judge.objections.is_empty() {
            self.end();
        }
        let strange: Vec<_> = self.sim.unknown_ways().copied().collect();
        if !strange.is_empty() {
            self.sim.judge.object(format!("the table of transitions lacks {strange:?}"));
        }
        (!self.sim.judge.objections.is_empty())
            .then(|| format!("{}\n{:#?}", self.sim.transcript(), self.sim.judge.objections))
    }

    /// With healthy programs everybody gets an answer.
    fn rest(&mut self) {
        self.sim.kernel.delay = Duration::ZERO;
        for at in 0..self.kinds.len() {
            self.program(at, true);
            self.probes(at, true);
        }
        for _ in 0..REST {
            self.sim.run_seconds(1);
            for at in 0..self.kinds.len() {
                let name = self.kinds[at].0.clone();
                if self.sim.exited.is_none()
                    && self.present[at]
                    && self.sim.status(&name).state != StateName::Running
                    && let Some(main) = self.sim.main(&name)
                {
                    self.sim.line(&name);
                    self.sim.notify(&name, main, Notification::Ready);
                }
            }
        }
        if self.sim.judge.is_waited_for() {
            self.sim.judge.object("a client waits for ever".to_owned());
        }
    }

    fn end(&mut self) {
        self.sim.terminate("SIGTERM");
        while self.sim.exited.is_none() && self.sim.judge.objections.is_empty() {
            if self.choice.one_in(5) {
                self.sim.terminate("SIGINT");
            } else if self.sim.exited.is_none() {
                self.happen();
            }
            let milliseconds = self.choice.below(1_000);
            self.sim.run_for(Duration::from_millis(milliseconds));
        }
    }

    /// Something happens.
    fn happen(&mut self) {
        let at = usize::try_from(self.choice.below(self.kinds.len() as u64)).unwrap();
        let (name, kind) = self.kinds[at].clone();
        if self.choice.one_in(12) && !self.sim.judge.is_shutting_down() {
            return self.reconfigure();
        }
        if !self.present[at] {
            return;
        }
        match self.choice.below(24) {
            20 => self.all(),
            21 => self.sim.check(&name),
            22 | 23 => self.reload(&name),
            0..=3 => self.kill(at, SIGKILL),
            4 => self.kill(at, SIGTERM),
            5 => self.kill(at, SIGINT),
            6 => self.program(at, false),
            16 => self.sim.line(&name),
            17 => self.says(at),
            18 => self.probes(at, false),
            7 => self.sim.stop(&name),
            8 => self.sim.start_again(&name),
            9 => self.sim.restart(&name),
            // Whoever comes during the shutdown may come too late to be ended.
            10..=12 if self.sim.judge.is_shutting_down() => {}
            10 => self.log_in(at, kind),
            11 => self.start_by_hand(at, &name, kind),
            12 => self.come_and_go(&name),
            13 if self.choice.one_in(4) => self.sim.hang_up(),
            13 => {
                let victim = self.victim(at);
                self.sim.dies_while_looking = victim;
            }
            14 if self.choice.one_in(3) => {
                if let Some(at) = self.choice.of(&(0..self.sim.told.len()).collect::<Vec<_>>()) {
                    self.sim.hear(self.sim.told[at].clone());
                }
            }
            14 if self.choice.one_in(3) && !self.sim.judge.is_shutting_down() => {
                let pids: Vec<Pid> = self.sim.kernel.processes.keys().copied().collect();
                self.sim.kernel.tears = self.choice.of(&pids);
            }
            14 if self.choice.one_in(2) => {
                self.sim.fail_next_spawn("cannot fork: resource temporarily unavailable")
            }
            _ => {}
        }
    }

    /// Somebody asks for something to be done to all services.
    fn all(&mut self) {
        let (names, wait) = (vec!["all".to_owned()], self.choice.one_in(2));
        self.sim.ask(match self.choice.below(5) {
            0 | 1 => Request::Stop { names, wait },
            2 | 3 => Request::Restart { names, wait },
            _ => Request::Start { names, wait },
        });
    }

    fn reload(&mut self, name: &str) {
        let (code, milliseconds) = (self.choice.below(2) as i32, self.choice.milliseconds());
        let image = Image::new("/opt/reload");
        let image = match self.choice.below(4) {
            0 => image,
            1 => image.forks(1, Image::new("child").role(Role::Reloader)).exits(milliseconds, code),
            _ => image.exits(milliseconds, code),
        };
        self.sim.reload_program(name, image);
        self.sim.reload(name);
    }

    fn victim(&mut self, at: usize) -> Option<Pid> {
        let id = self.sim.id(&self.kinds[at].0);
        // What is left of a service that dies before its start command has ended is nobody's to judge.
        let name = self.kinds[at].0.clone();
        if self.sim.status(&name).state == StateName::Starting {
            return None;
        }
        let roles = [Role::Main, Role::Worker];
        let processes = alive(&self.sim.kernel, id, &roles);
        let pids: Vec<Pid> = processes.iter().map(|process| process.id.pid).collect();
        self.choice.of(&pids)
    }

    fn kill(&mut self, at: usize, signal: Signal) {
        if let Some(victim) = self.victim(at) {
            self.sim.signal(victim, signal);
        }
    }

    /// A login to a daemon that has settled.
    fn log_in(&mut self, at: usize, kind: Kind) {
        let id = self.sim.id(&self.kinds[at].0);
        let mains = alive(&self.sim.kernel, id, &[Role::Main]);
        let (Some(main), Kind::Daemon) = (mains.first(), kind) else { return };
        let (pid, image) = (main.id.pid, main.image.clone());
        let status = self.sim.status(&self.kinds[at].0.clone());
        if status.state != StateName::Running
            || status.pid != Some(pid)
            || !self.is_init
            || self.sim.kernel.processes.len() > 40
        {
            return;
        }
        let mut login =
            image.title(&format!("{}: kim [priv]", self.kinds[at].0)).role(Role::Apart).in_own_session();
        login.life.clear();
        let half = login.clone().title(&format!("{}: kim@pts/0", self.kinds[at].0));
        let half = Image { own_session: false, ..half };
        let shell = Image::new("bash").role(Role::Stranger).in_own_session();
        self.sim.fork(pid, login.forks(0, half.forks(0, shell)));
    }

    /// Somebody starts the service by hand while it is away.
    fn start_by_hand(&mut self, at: usize, name: &str, kind: Kind) {
        let id = self.sim.id(name);
        if self.configs[at].kind == config::Kind::Task {
            return;
        }
        let away = matches!(self.sim.status(name).state, StateName::Stopped | StateName::Backoff);
        let all = [Role::Main, Role::Worker, Role::Helper, Role::Apart];
        if away && alive(&self.sim.kernel, id, &all).is_empty() && self.sim.exited.is_none() {
            let mut main = kind.main(name, &mut self.choice);
            // Nobody ends what it leaves if it dies before musterd has found it.
            main.life.clear();
            if matches!(kind, Kind::Pidfile) {
                main = main.at(0, Op::WritePid(pidfile(name)));
            }
            self.sim.by_hand(main, Some(name));
        }
    }

    /// Programs that have nothing to do with the service but its name.
    fn come_and_go(&mut self, name: &str) {
        let command = match self.choice.below(4) {
            0 => format!("vim {name}"),
            1 => format!("tail -f /var/log/{name}"),
            2 => format!("/bin/sh /etc/init.d/{name} status"),
            _ => "true".to_owned(),
        };
        let image = Image::new(&command).role(Role::Stranger);
        let image = if self.choice.one_in(3) { image.ignores(SIGTERM) } else { image };
        let image = match self.choice.below(3) {
            0 => image,
            1 => image.exits(self.choice.milliseconds(), 0),
            _ => image.forks(1, Image::new("orphan").role(Role::Stranger)).exits(5, 0),
        };
        if self.sim.kernel.processes.len() < 40 {
            self.sim.by_hand(image, None);
        }
    }
}

/// Ways that need too much of a coincidence: a story walks each of them (`policy`, `health`).
const RARE: [(Stage, Stage); 2] = [(Stage::Spawning, Stage::Stopped), (Stage::Unhealthy, Stage::Exited)];

/// What lives came to.
#[derive(Default)]
struct Lived {
    steps: u64,
    passed: BTreeSet<(Stage, Stage)>,
}

impl Lived {
    fn and(mut self, other: Lived) -> Lived {
        self.steps += other.steps;
        self.passed.extend(other.passed);
        self
    }

    /// Services went every way that is in the table of transitions, but for the rare ones; each life sees that they
    /// went no other.
    fn walk_the_table(&self) {
        let told = TRANSITIONS.iter().map(|&(from, to, _)| (from, to));
        let table: BTreeSet<(Stage, Stage)> = told.clone().collect();
        assert_eq!(table.len(), told.count(), "each way stands there once");
        let missing: Vec<_> = table.difference(&self.passed).filter(|way| !RARE.contains(way)).collect();
        assert!(missing.is_empty(), "nobody went {missing:?}");
    }
}

/// Lives the life of this seed.
fn live(seed: u64) -> Lived {
    let mut life = Life::new(seed);
    let story = life.live();
    assert!(
        story.is_none(),
        "{}\nMUSTERD_SEED={seed} cargo test --test decider random",
        story.unwrap_or_default()
    );
    Lived { steps: life.sim.steps, passed: life.sim.passed().clone() }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn random_lives_break_no_rule() {
    match number("MUSTERD_SEED") {
        Some(seed) => {
            live(seed);
        }
        None => {
            let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
            let share =
                |first| (first..LIVES).step_by(threads as usize).map(live).fold(Lived::default(), Lived::and);
            let lived = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).fold(Lived::default(), Lived::and)
            });
            lived.walk_the_table();
        }
    }
}

#[test]
#[ignore = "a long run: MUSTERD_STEPS=10000000 cargo test --release --test decider -- --ignored long"]
fn long_random_lives_break_no_rule() {
    let wanted = number("MUSTERD_STEPS").unwrap_or(1_000_000);
    let (mut seed, mut lived) = (LIVES, Lived::default());
    while lived.steps < wanted {
        lived = lived.and(live(seed));
        seed += 1;
    }
    lived.walk_the_table();
    println!("{} steps of {} lives without a violation", lived.steps, seed - LIVES);
}
