//! Tells of other musterds on this machine. What they manage is left alone: see `census`.

use super::{Supervisor, presence::ancestors, process_names::is_manager};
use crate::{
    config::LogLevel,
    process::{Process, Table},
};

impl Supervisor {
    /// Warns once, at the first table, of other musterds that manage here: both would start what both are given. One that
    /// musterd itself is a service of is none of them.
    pub(super) fn notice_neighbours(&mut self, table: &Table) {
        if std::mem::replace(&mut self.knows_neighbours, true) {
            return;
        }
        let parent = table.get(self.place.parent);
        let above = |other: &Process| {
            parent.is_some_and(|parent| {
                parent.id == other.id || ancestors(table, parent).any(|process| process.id == other.id)
            })
        };
        let others = table.processes.iter().filter(|process| is_manager(process) && !process.foreign);
        let others: Vec<String> =
            others.filter(|process| !above(process)).map(|process| process.id.pid.to_string()).collect();
        if !others.is_empty() {
            let cause = format!("pid {} manages services here, too", others.join(", "));
            let consequence = "a service that both are given is started by both";
            self.announce(LogLevel::Warn, "another musterd", cause, consequence);
        }
    }
}
