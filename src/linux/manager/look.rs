//! Looks at the processes, as the decider needs it. Chooses neither when nor at what.

use super::{Manager, clock};
use crate::{
    linux::{named, table, watch},
    process::{Pid, Table},
    supervisor::{Event, Look},
};

/// How often the processes are looked at before it is the kernel's turn again: whatever goes wrong with a service,
/// signals are heard.
const LOOKS: usize = 4;

impl Manager {
    /// Looks at the processes as long as the decider needs it. Nothing is reaped between the look and its
    /// telling: the decider would take a child that it has just heard the end of for an orphan.
    pub(super) fn look_around(&mut self) {
        for _ in 0..LOOKS {
            let Some(look) = self.supervisor.look() else { return };
            let seen = match look {
                Look::Orphans => Event::Orphans(self.orphans()),
                Look::Usage => {
                    self.reserve.release();
                    let scanned = table::scan(&self.scanner, |_| false);
                    self.reserve.refill();
                    match scanned {
                        Ok(table) => Event::Measured(table),
                        Err(error) => Event::ScanFailed { error: error.to_string() },
                    }
                }
                Look::Table => {
                    self.reserve.release();
                    // Before the table: a process that a pidfile names is in it then.
                    let named = named::read(&self.supervisor.wanted(), clock);
                    // Who was killed before is not who will be killed.
                    self.oom_kills.forget();
                    let scanned = table::scan(&self.scanner, |pid| !self.supervisor.knows(pid));
                    self.reserve.refill();
                    match scanned {
                        Ok(mut table) => {
                            self.probes.mark(&mut table.processes);
                            Event::Scanned(Table { named, ..table })
                        }
                        Err(error) => Event::ScanFailed { error: error.to_string() },
                    }
                }
            };
            // A large table takes seconds to be read, which what is started now has not been running for.
            self.now = clock();
            self.feed(seen);
        }
    }

    /// Every restart needs this, so that the reserve is given up only where it is needed.
    fn orphans(&mut self) -> Option<Vec<Pid>> {
        let children = watch::orphans();
        if children.is_ok() {
            return children.ok();
        }
        self.reserve.release();
        let children = watch::orphans().ok();
        self.reserve.refill();
        children
    }
}
