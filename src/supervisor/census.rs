//! One table, put in order once for all services that look at it: so that its cost is not paid for each of them.
//! Decides nothing.

use std::collections::{HashMap, HashSet};

use super::{
    presence::ancestors,
    process_names::{Names, is_candidate, is_manager},
};
use crate::process::{Pid, Process, Table};

/// The processes of a table, by what services ask for.
pub(super) struct Census<'a> {
    pub(super) table: &'a Table,
    /// Those that can be a service's, with their names, the oldest first: so of a tree its topmost process.
    pub(super) candidates: Vec<(&'a Process, Names<'a>)>,
    /// The candidates that musterd's new orphans are or descend from.
    pub(super) adrift: Vec<&'a Process>,
    /// All processes, by session.
    pub(super) sessions: HashMap<Pid, Vec<&'a Process>>,
}

/// The processes of each session.
pub(super) fn by_session(table: &Table) -> HashMap<Pid, Vec<&Process>> {
    let mut sessions: HashMap<Pid, Vec<&Process>> = HashMap::new();
    for process in &table.processes {
        sessions.entry(process.session).or_default().push(process);
    }
    sessions
}

impl<'a> Census<'a> {
    pub(super) fn new(table: &'a Table, new_orphans: &HashSet<Pid>) -> Self {
        let mut candidates: Vec<_> = table
            .processes
            .iter()
            .filter(|process| is_candidate(process))
            .filter(|process| !ancestors(table, process).any(is_manager))
            .map(|process| (process, Names::of(process)))
            .collect();
        // Within one tick of the clock a parent can't be told from its child by age.
        let depth = |process: &Process| ancestors(table, process).count();
        candidates.sort_by_cached_key(|(process, _)| (process.id.start, depth(process), process.id.pid));
        let is_adrift = |process: &&Process| {
            let top = ancestors(table, process).last().unwrap_or(process);
            new_orphans.contains(&top.id.pid)
        };
        let adrift = candidates.iter().map(|(process, _)| *process).filter(is_adrift).collect();
        Census { table, candidates, adrift, sessions: by_session(table) }
    }

    /// All processes of a session.
    pub(super) fn in_session(&self, session: Pid) -> &[&'a Process] {
        self.sessions.get(&session).map_or(&[], Vec::as_slice)
    }
}
