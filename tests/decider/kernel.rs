//! The simulated kernel: processes that fork, exec, lead sessions, die, wait as zombies; PIDs that come
//! again. Knows nothing of musterd's decisions.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    time::Duration,
};

use musterd::{
    process::{Exit, Life, Named, Pid, Pidfile, Process, ProcessId, Table, Users},
    supervisor::{Event, ServiceId},
    time::Time,
};
use nix::sys::signal::Signal;

use crate::program::{Image, Op, Role};

/// Below are musterd's own and those of the machine that nobody sees.
const FIRST_PID: Pid = 10;

/// The PIDs of a machine on which none comes again.
pub(crate) const MANY_PIDS: Pid = 1 << 20;

/// A process, with what nobody but the simulation knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    pub(crate) id: ProcessId,
    pub(crate) parent: Pid,
    pub(crate) session: Pid,
    pub(crate) image: Image,
    /// Whose it truly is.
    pub(crate) owner: Option<ServiceId>,
    mark: Option<OsString>,
    /// Whether it is a probe or was left by one.
    pub(crate) probe: bool,
    /// Whether musterd is among its ancestors.
    pub(crate) inside: bool,
    /// The parent that it lost.
    former: Option<Pid>,
    dead: Option<Exit>,
}

impl Proc {
    pub(crate) fn is_alive(&self) -> bool {
        self.dead.is_none()
    }
}

/// The end of a process, on its way to musterd.
struct Pending {
    due: Time,
    process: ProcessId,
    session: Pid,
    exit: Exit,
    reaped: bool,
}

/// The machine.
pub(crate) struct Kernel {
    pub(crate) processes: BTreeMap<Pid, Proc>,
    pub(crate) log: Vec<(Time, String)>,
    /// How long the news of an end takes to musterd.
    pub(crate) delay: Duration,
    /// Whether the ends of other processes than musterd's children reach it only when it looks or has a
    /// deadline (a kernel without pidfd).
    pub(crate) loses_ends: bool,
    /// A kernel that does not list children.
    pub(crate) hides_children: bool,
    /// Whether a free PID is given out again as soon as it can be, and not after all others.
    pub(crate) recycles: bool,
    /// The next table is torn: this process, an orphan, was read before it lost its parent.
    pub(crate) tears: Option<Pid>,
    /// Whether a table was torn.
    pub(crate) is_torn: bool,
    /// What names stand for: pidfiles that were written, users, executables.
    pub(crate) named: Named,
    /// musterd's own PID.
    pub(crate) musterd: Pid,
    pub(crate) now: Time,
    watched: HashSet<ProcessId>,
    pending: Vec<Pending>,
    agenda: BTreeMap<(Time, u64), (ProcessId, Op)>,
    freed: HashMap<Pid, u64>,
    next_pid: Pid,
    pid_max: Pid,
    sequence: u64,
}

/// By so much a file's time and a process' start may differ in order (`started` in the decider's patterns): in less time
/// no kernel has gone through all PIDs.
const CLOCKS_DIFFER: Duration = Duration::from_millis(70);

impl Kernel {
    pub(crate) fn new(now: Time, musterd: Pid, pid_max: Pid) -> Self {
        Kernel {
            processes: BTreeMap::new(),
            log: Vec::new(),
            delay: Duration::ZERO,
            loses_ends: false,
            hides_children: false,
            recycles: false,
            tears: None,
            is_torn: false,
            named: Named::default(),
            musterd,
            now,
            watched: HashSet::new(),
            pending: Vec::new(),
            agenda: BTreeMap::new(),
            freed: HashMap::new(),
            next_pid: FIRST_PID,
            pid_max,
            sequence: 0,
        }
    }

    fn is_init(&self) -> bool {
        self.musterd == 1
    }

    fn tick(&self) -> u64 {
        u64::try_from(self.now.since_boot().as_millis() / 10).unwrap()
    }

    /// The next process gets this PID if it is free.
    pub(crate) fn next_is(&mut self, pid: Pid) {
        self.next_pid = pid;
    }

    /// A PID for a new process, or for the leader of a new session. A session's ID that comes again before
    /// the ends of all its processes were told could be told from the former one by nobody, nor could a PID that a
    /// pidfile got just now.
    fn new_pid(&mut self, leads: bool) -> Pid {
        if self.recycles {
            self.next_pid = FIRST_PID;
        }
        for _ in 0..=self.pid_max {
            let pid = self.next_pid;
            self.next_pid = if pid >= self.pid_max { FIRST_PID } else { pid + 1 };
            let used = self.processes.contains_key(&pid)
                || self.processes.values().any(|process| process.session == pid)
                || self.freed.get(&pid) == Some(&self.tick())
                || self
                    .named
                    .pidfiles
                    .values()
                    .any(|file| file.pid == pid && self.now.since(file.written) < CLOCKS_DIFFER)
                || self.recycles && leads && self.pending.iter().any(|end| end.session == pid);
            if !used {
                return pid;
            }
        }
        panic!("no PID is left: something goes round and round at one instant");
    }

    /// Forks and executes; `parent` 0 is what lies outside (`docker exec`).
    pub(crate) fn spawn(
        &mut self,
        parent: Pid,
        image: Image,
        owner: Option<ServiceId>,
        mark: Option<&str>,
    ) -> ProcessId {
        let forker = self.processes.get(&parent).filter(|_| !image.own_session);
        let session = forker.map(|forker| forker.session);
        let pid = self.new_pid(session.is_none());
        let id = ProcessId { pid, start: self.tick() };
        let session = session.unwrap_or(pid);
        let forker = self.processes.get(&parent);
        let inside = parent == self.musterd || forker.is_some_and(|forker| forker.inside);
        let probe = image.role == Role::Probe || forker.is_some_and(|forker| forker.probe);
        for (after, op) in image.life.clone() {
            self.plan(id, after, op);
        }
        let mark = mark.map(OsString::from).filter(|_| image.keeps_environment);
        let process =
            Proc { id, parent, session, image, owner, mark, probe, inside, former: None, dead: None };
        self.processes.insert(pid, process);
        id
    }

    fn plan(&mut self, id: ProcessId, after: Duration, op: Op) {
        self.sequence += 1;
        self.agenda.insert((self.now + after, self.sequence), (id, op));
    }

    /// When something happens next by itself.
    pub(crate) fn next_event(&self) -> Option<Time> {
        let planned = self.agenda.keys().next().map(|&(due, _)| due);
        let told =
            self.pending.iter().filter(|end| end.reaped || !self.loses_ends).map(|pending| pending.due).min();
        planned.into_iter().chain(told).min()
    }

    /// Lets everything happen that is due.
    pub(crate) fn advance(&mut self, now: Time) {
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= now
        {
            self.now = self.now.max(entry.key().0);
            let (id, op) = entry.remove();
            if self.alive(id).is_some() {
                self.perform(id, op);
            }
        }
        self.now = now;
    }

    pub(crate) fn perform(&mut self, id: ProcessId, op: Op) {
        match op {
            Op::Fork(image) => {
                let Some(parent) = self.alive(id).cloned() else { return };
                let mark = parent.mark.as_ref().and_then(|mark| mark.to_str().map(str::to_owned));
                let owner = if image.role == Role::Stranger { None } else { parent.owner };
                let what = image.to_string();
                let child = self.spawn(id.pid, *image, owner, mark.as_deref());
                self.note(format!("{} forks pid {} ({what})", self.called(id), child.pid));
            }
            Op::Exec(argv) => {
                self.note(format!("{} executes {}", self.called(id), argv.join(" ")));
                if let Some(process) = self.processes.get_mut(&id.pid) {
                    process.image.execute(argv);
                }
            }
            Op::ExitIfRunning(name) => {
                let runs =
                    |process: &&Proc| process.is_alive() && process.image.comm == name && process.id != id;
                if self.processes.values().find(runs).is_some() {
                    self.note(format!("{} finds {name} running", self.called(id)));
                    self.die(id, Exit::Code(0));
                }
            }
            Op::SignalAll(name, signal) => {
                let named: Vec<ProcessId> = self
                    .processes
                    .values()
                    .filter(|process| process.is_alive() && process.image.comm == name && process.id != id)
                    .map(|process| process.id)
                    .collect();
                for process in named {
                    self.signal(process, signal);
                }
            }
            Op::WritePid(path) => {
                self.note(format!("{} writes {path}", self.called(id)));
                self.write_pid(&path, id.pid);
            }
            Op::Exit(code) => self.die(id, Exit::Code(code)),
            Op::Crash(number) => self.die(id, Exit::Signal { number: number as i32, core: false }),
        }
    }

    /// Somebody with root's rights writes a pidfile.
    pub(crate) fn write_pid(&mut self, path: &str, pid: Pid) {
        let file = Pidfile { pid, written: self.now, owner: 0 };
        self.named.pidfiles.insert(path.into(), file);
    }

    pub(crate) fn alive(&self, id: ProcessId) -> Option<&Proc> {
        self.processes.get(&id.pid).filter(|process| process.id == id && process.is_alive())
    }

    /// Whether a process descends from another one.
    pub(crate) fn descends(&self, pid: Pid, ancestor: Pid) -> bool {
        let parent = self.processes.get(&pid).map(|process| process.parent);
        parent.is_some_and(|parent| parent == ancestor || parent != pid && self.descends(parent, ancestor))
    }

    /// The process, as transcripts call it.
    pub(crate) fn called(&self, id: ProcessId) -> String {
        let name = self.processes.get(&id.pid).map(|process| process.image.to_string());
        format!("pid {} ({})", id.pid, name.unwrap_or_default())
    }

    pub(crate) fn note(&mut self, happening: String) {
        self.log.push((self.now, happening));
    }

    /// Sends a signal; false where exactly this process is no more.
    pub(crate) fn signal(&mut self, id: ProcessId, signal: Signal) -> bool {
        let Some(process) = self.alive(id) else { return false };
        let handled = process.image.handlers.iter().find(|(number, _)| *number == signal);
        match handled.map(|(_, reaction)| reaction.clone()) {
            Some(reaction) if signal != Signal::SIGKILL => {
                for (after, op) in reaction {
                    self.plan(id, after, op);
                }
                self.advance(self.now);
            }
            // As by default (signal(7)).
            None if signal == Signal::SIGWINCH => {}
            Some(_) | None if process.image.unkillable => {}
            Some(_) | None => self.die(id, Exit::Signal { number: signal as i32, core: false }),
        }
        true
    }

    fn die(&mut self, id: ProcessId, exit: Exit) {
        self.note(format!("{} {exit}", self.called(id)));
        let Some(process) = self.processes.get_mut(&id.pid) else { return };
        process.dead = Some(exit);
        let (parent, watched) = (process.parent, self.watched.remove(&id));
        let children: Vec<Pid> = self
            .processes
            .values()
            .filter(|child| child.parent == id.pid && child.id.pid != id.pid)
            .map(|child| child.id.pid)
            .collect();
        for child in children {
            self.adopt_orphan(child);
        }
        let careless = self.processes.get(&parent).is_some_and(|parent| parent.image.careless);
        if parent == self.musterd {
            self.end(id, exit, true);
        } else {
            if watched {
                self.end(id, Exit::Unknown, false);
            }
            if !careless {
                self.free(id.pid);
            }
        }
    }

    fn adopt_orphan(&mut self, pid: Pid) {
        let (musterd, is_init) = (self.musterd, self.is_init());
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let comes_home = is_init || process.inside;
        process.former = Some(process.parent);
        process.parent = if comes_home { musterd } else { 0 };
        let (id, dead) = (process.id, process.dead);
        match dead {
            Some(exit) if comes_home => self.end(ProcessId { pid: id.pid, start: 0 }, exit, true),
            Some(_) => self.free(pid),
            None => {}
        }
    }

    fn end(&mut self, process: ProcessId, exit: Exit, reaped: bool) {
        let session = self.processes.get(&process.pid).map_or(process.pid, |process| process.session);
        self.pending.push(Pending { due: self.now + self.delay, process, session, exit, reaped });
    }

    fn free(&mut self, pid: Pid) {
        self.processes.remove(&pid);
        self.freed.insert(pid, self.tick());
    }

    /// musterd wants to hear of the end; if the process is no more, it hears that now.
    pub(crate) fn watch(&mut self, id: ProcessId) -> Option<Event> {
        if self.alive(id).is_some() {
            self.watched.insert(id);
            return None;
        }
        let on_its_way = self.pending.iter().any(|pending| pending.process == id);
        let session_empty = false;
        (!on_its_way).then_some(Event::Ended { process: id, exit: Exit::Unknown, session_empty })
    }

    /// Whether ends are on their way.
    pub(crate) fn is_late(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The ends that reach musterd now; all of them where it looks.
    pub(crate) fn ends(&mut self, looks: bool) -> Vec<Event> {
        let (now, loses) = (self.now, self.loses_ends);
        let due: Vec<Pending> =
            self.pending.extract_if(.., |end| looks || end.due <= now && (end.reaped || !loses)).collect();
        for pending in &due {
            if pending.reaped {
                self.free(pending.process.pid);
            }
        }
        let is_empty = |end: &Pending| {
            let pid = end.process.pid;
            end.reaped
                && self.processes.values().all(|process| process.id.pid != pid && process.session != pid)
        };
        due.into_iter()
            .map(|end| {
                let session_empty = is_empty(&end);
                Event::Ended { process: end.process, exit: end.exit, session_empty }
            })
            .collect()
    }

    /// The children of musterd, where the kernel lists them.
    pub(crate) fn children(&self) -> Option<Vec<Pid>> {
        let children = self.processes.values().filter(|process| process.parent == self.musterd);
        (!self.hides_children).then(|| children.map(|process| process.id.pid).collect())
    }

    /// What a torn table shows as the parent of an orphan: the PID of the one that it lost. It may have come again, and
    /// then hardest for musterd to one of the orphan's own descendants, but never within a tick.
    fn torn_parent(&self, orphan: Pid) -> Option<Pid> {
        let process = self.processes.get(&orphan)?;
        let lost = process.former?;
        let younger = |pid: &Pid| self.processes[pid].id.start > process.id.start;
        let again = self.descendant(orphan).filter(younger);
        again.or(Some(lost).filter(|pid| self.processes.get(pid).is_none_or(|_| younger(pid))))
    }

    /// The last descendant of a process, if it has any.
    fn descendant(&self, pid: Pid) -> Option<Pid> {
        let child =
            self.processes.values().rfind(|process| process.parent == pid && process.id.pid != pid)?;
        Some(self.descendant(child.id.pid).unwrap_or(child.id.pid))
    }

    /// What /proc shows.
    pub(crate) fn table(&mut self) -> Table {
        let torn = self.tears.take().and_then(|pid| Some((pid, self.torn_parent(pid)?)));
        self.is_torn |= torn.is_some();
        let processes = self.processes.values().map(|process| Process {
            id: process.id,
            parent: match torn {
                Some((orphan, lost)) if orphan == process.id.pid => lost,
                Some(_) | None => process.parent,
            },
            session: process.session,
            life: if process.is_alive() { Life::Alive } else { Life::Dead },
            comm: OsString::from(&process.image.comm),
            argv: match process.dead {
                None => process.image.argv.iter().map(OsString::from).collect(),
                Some(_) => Vec::new(),
            },
            exe: process.image.exe.clone().filter(|_| process.is_alive()),
            mark: process.mark.clone().filter(|_| process.is_alive()),
            users: Some(Users { real: 0, effective: process.image.user }),
            memory: process.image.memory,
            cpu: process.image.cpu * (self.tick() - process.id.start) / 100,
            probe: process.probe,
            foreign: process.image.foreign,
        });
        Table { processes: processes.collect(), named: self.named.clone() }
    }
}
