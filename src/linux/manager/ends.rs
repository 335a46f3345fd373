//! Hears of the ends of processes, by SIGCHLD, by their pidfds and by looking, and tells them. Starts nothing anew.

use super::Manager;
use crate::{
    linux::watch::{Ended, WatchResult},
    process::ProcessId,
    supervisor::Event,
};

impl Manager {
    pub(super) fn reap(&mut self) {
        let mut ended = Vec::new();
        self.watcher.reap(&mut ended);
        self.tell_ended(ended);
    }

    pub(super) fn sweep(&mut self) {
        let mut ended = Vec::new();
        self.reserve.release();
        self.watcher.sweep(&mut ended);
        self.reserve.refill();
        self.tell_ended(ended);
    }

    pub(super) fn watch(&mut self, process: ProcessId) -> Vec<Event> {
        match self.watcher.watch(&self.epoll, process) {
            WatchResult::Watched | WatchResult::Swept => Vec::new(),
            WatchResult::Ended => {
                // An orphan of ours tells how it ended, if it is reaped now.
                let mut ended = Vec::new();
                self.watcher.reap(&mut ended);
                if !ended.iter().any(|ended| ended.id.pid == process.pid) {
                    ended.push(Ended::unseen(process));
                }
                ended.iter().flat_map(|ended| self.last_of(ended)).collect()
            }
        }
    }

    pub(super) fn tell_ended(&mut self, ended: Vec<Ended>) {
        for ended in ended {
            for event in self.last_of(&ended) {
                self.feed(event);
            }
        }
    }

    /// What is told of a process that ended: what it said, if it was a probe, before its end. If it had the terminal,
    /// musterd has it now.
    fn last_of(&mut self, ended: &Ended) -> Vec<Event> {
        let Ended { id: process, exit, watched, session_empty } = *ended;
        let exit = self.oom_kills.judge(exit);
        tracing::debug!(pid = process.pid, watched, cause = %exit, "reaped");
        if let Some(lent) = self.lent.take_if(|lent| lent.is_with(process.pid)) {
            lent.take_back();
        }
        let said = self.probes.ended(process).map(|line| Event::Said { process, line });
        said.into_iter().chain([Event::Ended { process, exit, session_empty }]).collect()
    }
}
