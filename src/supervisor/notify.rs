//! What services say of themselves (sd_notify(3)). Receives no message.

use super::{
    Notification, ServiceId, Supervisor,
    presence::ancestors,
    process_names::is_candidate,
    state::{Found, Main},
};
use crate::{
    config::{CheckRule, LogLevel},
    process::{Pid, Process, Table},
    time::Time,
};

/// The main process as a service announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pid: Pid,
    by: Pid,
}

impl Supervisor {
    pub(super) fn notified(&mut self, now: Time, id: ServiceId, sender: Pid, notification: Notification) {
        let is_watched = self.is_watched(id);
        let service = &mut self.services[id];
        // What is late speaks of a process that is no more.
        if service.state.main().is_none() && service.state.is_at_rest() {
            return;
        }
        match notification {
            Notification::Ready => {
                service.says.take_if(|says| says == RELOADING);
                self.heard_ready(now, id);
            }
            Notification::Reloading => service.says = Some(RELOADING.to_owned()),
            Notification::Stopping => service.says = Some("stopping".to_owned()),
            Notification::Status(status) => service.says = Some(status).filter(|status| !status.is_empty()),
            Notification::Watchdog if is_watched => self.health_checked(now, id, None),
            Notification::Unwell if is_watched => {
                self.health_checked(now, id, Some("it says so (WATCHDOG=trigger)".to_owned()));
            }
            Notification::Watchdog | Notification::Unwell => {}
            Notification::MainPid(pid) => {
                if service.state.main().is_none_or(|main| main.id.pid != pid) {
                    service.announced = Some(Announced { pid, by: sender });
                    service.check_due = true;
                    self.looking.insert(id);
                }
            }
        }
    }

    fn is_watched(&self, id: ServiceId) -> bool {
        self.services[id].config.check.as_ref().is_some_and(|check| check.rule == CheckRule::Notify)
    }

    /// Takes the announced process as the main process, if it truly is of the service: of its session, or descended
    /// from the main process.
    pub(super) fn heed_announcement(&mut self, now: Time, id: ServiceId, table: &Table) {
        let Some(announced) = self.services[id].announced.take() else { return };
        let Some(main) = self.services[id].state.established().cloned() else { return };
        let is_of_service = |process: &Process| {
            main.sessions().any(|session| session == process.session)
                || ancestors(table, process).any(|ancestor| ancestor.id == main.id)
        };
        let is_anothers = self.owners.get(&announced.pid).is_some_and(|owner| owner.service != id);
        let process = table.get(announced.pid).filter(|process| is_candidate(process) && !is_anothers);
        match process.filter(|process| is_of_service(process)) {
            Some(process) => {
                let found = Found::Announced { by: announced.by };
                let id_of_process = process.id;
                let taken = Main { id: id_of_process, found, ..main };
                self.take(now, id, table, None, taken);
                let what = ("main process found", found.to_string(), None);
                self.tell(LogLevel::Info, id, Some(announced.pid), what);
            }
            None => {
                let cause = format!("MAINPID={} is no process of the service", announced.pid);
                self.tell(LogLevel::Warn, id, Some(announced.by), ("announcement ignored", cause, None));
            }
        }
    }
}

/// What a service says while it reads its configuration again.
const RELOADING: &str = "reloading";
