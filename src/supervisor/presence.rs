//! Which process is which service's, in one table: the cost is its size plus the number of services.
//! Knows nothing of states and starts nothing.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use super::{
    census::Census,
    pattern::Pattern,
    process_names::{Names, command_lines},
    state::{Gone, Rule},
};
use crate::process::{Named, Pid, Process, ProcessId, Table};

/// A service whose main process is not known.
pub(super) struct Seeker<'a> {
    pub(super) name: &'a str,
    /// What tells a process of another service.
    pub(super) everybody: &'a Everybody<'a>,
    pub(super) pattern: &'a Pattern,
    /// The process of musterd's record.
    pub(super) recorded: Option<ProcessId>,
    /// What it must descend from to be preferred: the start command or main process that ended.
    pub(super) kin: Option<Kin>,
}

impl<'a> Seeker<'a> {
    /// By what its process is looked up under a rule; `None`: that rule does not find it.
    fn key(&self, rule: Rule, table: &'a Table) -> Option<Key<'a>> {
        let (pattern, named) = (self.pattern, &table.named);
        match rule {
            Rule::Record => self.recorded.map(Key::Process),
            _ if pattern.is_single_run => None,
            Rule::Pidfile => pattern.named_pid(named).map(Key::Pid),
            // Only the pidfile names it.
            Rule::Mark | Rule::CommandLine | Rule::Executable | Rule::Name | Rule::Match
                if pattern.pidfile().is_some() =>
            {
                None
            }
            Rule::Mark => Some(Key::Mark(OsStr::new(self.name))),
            Rule::CommandLine => Some(Key::CommandLine(&pattern.argv)),
            Rule::Executable => pattern.executable_key(named).map(Key::Name),
            Rule::Name => pattern.key().map(Key::Name),
            Rule::Match if pattern.key().is_some() => None,
            Rule::Match => Some(pattern.argument_key().map_or(Key::Anything, Key::Name)),
        }
    }

    /// Whether the mark in the process' environment names another service that it can be; what another service
    /// started, but is not, bears its mark as well.
    fn is_marked_for_another(&self, process: &Process, names: &Names, named: &Named) -> bool {
        let mark = process.mark.as_ref().and_then(|mark| mark.to_str()).filter(|mark| *mark != self.name);
        let other = mark.and_then(|mark| self.everybody.patterns.get(mark));
        other.is_some_and(|pattern| pattern.admits(process, names, named))
    }

    /// Whether another service's start command is the process' command line.
    fn is_started_by_another(&self, process: &Process) -> bool {
        command_lines(process).any(|argv| argv != self.pattern.argv && self.everybody.commands.contains(argv))
    }
}

/// All services.
pub(super) struct Everybody<'a> {
    /// What they look like, by the name that a mark may bear.
    pub(super) patterns: HashMap<&'a str, &'a Pattern>,
    /// Their start commands: a process that one of them started is not another one's by its mere name.
    pub(super) commands: HashSet<&'a [OsString]>,
}

/// What is known of the descendants of a process that ended.
#[derive(Clone, Copy)]
pub(super) struct Kin {
    /// Nothing that started earlier descends from it.
    pub(super) gone: Gone,
    /// What of other sessions counts, too.
    pub(super) elsewhere: Elsewhere,
}

/// Which descendants in other sessions can be what a process hands over to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Any: it was a start command, and left its daemon.
    Any,
    /// All but those with a title as of one connection: it ran long enough to be an sshd in the foreground that was
    /// told to end while people are logged in (`sshd: kim@pts/0`).
    NoConnections,
    /// None: what left the session of an established main process is on its own.
    None,
}

impl Kin {
    fn is_in_session(&self, process: &Process) -> bool {
        self.gone.session == Some(process.session)
    }

    fn includes(&self, process: &Process) -> bool {
        process.id.start >= self.gone.id.start
            && (self.is_in_session(process) || self.elsewhere != Elsewhere::None)
    }

    /// Whether it is on its own, by what is known of it here.
    fn excludes(&self, process: &Process, pattern: &Pattern) -> bool {
        self.elsewhere == Elsewhere::NoConnections
            && process.id.start >= self.gone.id.start
            && !self.is_in_session(process)
            && has_title_of_connection(process, pattern)
    }
}

/// `NAME: REST` or `NAME-KIND: REST`, as a program writes over its arguments for each of its connections. The title
/// of a daemon itself shows the program: `sshd: /usr/sbin/sshd [listener]`, `nginx: master process /usr/sbin/nginx`.
pub(super) fn has_title_of_connection(process: &Process, pattern: &Pattern) -> bool {
    let (Some(first), Some(program)) = (process.argv.first(), pattern.argv.first()) else { return false };
    let (first, program) = (first.as_bytes(), program.as_bytes());
    let name = program.rsplit(|&byte| byte == b'/').next().unwrap_or(program);
    let Some(colon) = first.windows(2).position(|pair| pair == b": ") else { return false };
    let (head, rest) = first.split_at(colon);
    let is_of_program = head.strip_prefix(name).is_some_and(|kind| kind.is_empty() || kind.starts_with(b"-"));
    is_of_program && !rest.windows(program.len()).any(|part| part == program)
}

/// What the table says of a seeker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) process: ProcessId,
    pub(super) rule: Rule,
    /// Whether it descends, as far as can be told, from the process that ended.
    pub(super) kin: bool,
}

/// Finds each seeker's process; no process is found twice, and none that is `taken`.
pub(super) fn assign(census: &Census, seekers: &[Seeker], taken: &mut HashSet<Pid>) -> Vec<Option<Finding>> {
    let mut found: Vec<Option<Finding>> = vec![None; seekers.len()];
    for kin in [true, false] {
        for rule in Rule::ALL {
            let waiting = index(census.table, seekers, &found, rule, kin);
            if !waiting.is_empty() {
                roll_call(census, seekers, waiting, (rule, kin), taken, &mut found);
            }
        }
    }
    found
}

/// What a process must show, under one rule, for a service to look closer.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Process(ProcessId),
    Pid(Pid),
    Mark(&'a OsStr),
    CommandLine(&'a [OsString]),
    Name(&'a OsStr),
    /// Nothing that could be looked up: the few services whose `match` has neither name nor executable are tried with
    /// every process.
    Anything,
}

type Waiting<'a> = HashMap<Key<'a>, VecDeque<usize>>;

fn index<'a>(
    table: &'a Table,
    seekers: &'a [Seeker],
    found: &[Option<Finding>],
    rule: Rule,
    kin: bool,
) -> Waiting<'a> {
    let mut waiting = Waiting::new();
    for (at, seeker) in seekers.iter().enumerate().filter(|(at, _)| found[*at].is_none()) {
        if !kin || seeker.kin.is_some() {
            let key = seeker.key(rule, table);
            key.into_iter().for_each(|key| waiting.entry(key).or_default().push_back(at));
        }
    }
    waiting
}

fn roll_call<'a>(
    census: &'a Census<'a>,
    seekers: &[Seeker],
    mut waiting: Waiting<'a>,
    (rule, kin): (Rule, bool),
    taken: &mut HashSet<Pid>,
    found: &mut [Option<Finding>],
) {
    let named = &census.table.named;
    for (process, names) in &census.candidates {
        if taken.contains(&process.id.pid) {
            continue;
        }
        let keys: Vec<Key> = match rule {
            Rule::Record => vec![Key::Process(process.id)],
            Rule::Pidfile => vec![Key::Pid(process.id.pid)],
            Rule::Mark => process.mark.iter().map(|mark| Key::Mark(mark)).collect(),
            Rule::CommandLine => command_lines(process).map(Key::CommandLine).collect(),
            Rule::Executable | Rule::Name => names.iter().map(Key::Name).collect(),
            Rule::Match => names.iter().map(Key::Name).chain([Key::Anything]).collect(),
        };
        let suits = |at: usize| {
            let seeker = &seekers[at];
            !seeker.is_marked_for_another(process, names, named)
                && !seeker.kin.is_some_and(|kin| kin.excludes(process, seeker.pattern))
                && (!kin || seeker.kin.is_some_and(|kin| kin.includes(process)))
                && (rule == Rule::Record || seeker.pattern.admits(process, names, named))
                && match rule {
                    Rule::Record | Rule::Mark | Rule::CommandLine => true,
                    Rule::Executable => {
                        seeker.pattern.is_executed_by(process, named)
                            && !seeker.is_started_by_another(process)
                    }
                    Rule::Pidfile | Rule::Name | Rule::Match => !seeker.is_started_by_another(process),
                }
        };
        let taker = keys.into_iter().find_map(|key| {
            let queue = waiting.get_mut(&key)?;
            let at = queue.iter().position(|&at| suits(at))?;
            queue.remove(at)
        });
        if let Some(at) = taker {
            taken.insert(process.id.pid);
            found[at] = Some(Finding { process: process.id, rule, kin });
        }
    }
}

/// The living processes that descend from a start command, whatever they are called; the topmost first.
pub(super) fn descendants(census: &Census, seeker: &Seeker, taken: &HashSet<Pid>) -> Vec<ProcessId> {
    let Some(kin) = seeker.kin else { return Vec::new() };
    let mark = OsStr::new(seeker.name);
    // A younger leader leads another session, to which the ID came.
    let is_its = |leader| census.table.get(leader).is_none_or(|leader| leader.id.start <= kin.gone.id.start);
    let is_in_session = |process: &Process| kin.is_in_session(process) && is_its(process.session);
    let excluded = |process: &Process| kin.excludes(process, seeker.pattern);
    let descends = |process: &Process| {
        !taken.contains(&process.id.pid)
            && kin.includes(process)
            && (is_in_session(process) || process.mark.as_deref() == Some(mark))
            && !excluded(process)
            && !ancestors(census.table, process).any(excluded)
    };
    let candidates = census.candidates.iter().map(|(process, _)| *process);
    candidates.filter(|process| descends(process)).map(|process| process.id).collect()
}

/// The processes that it descends from, the nearest first. A table is not read in one moment: a parent that is
/// younger than its child bears the PID of the true one, which has gone. PIDs that come again within a tick could
/// make a circle: there are no more ancestors than processes.
pub(super) fn ancestors<'a>(table: &'a Table, process: &'a Process) -> impl Iterator<Item = &'a Process> {
    let parent = |child: &Process| table.get(child.parent).filter(|parent| parent.id.start <= child.id.start);
    std::iter::successors(parent(process), move |child| parent(child)).take(table.processes.len())
}
