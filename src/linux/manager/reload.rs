//! Reads the configuration again when that is asked for, and tells people what it changes. Decides nothing about
//! services.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Manager;
use crate::{
    config::{self, Config, Manager as Settings, Problem, Provenance, Report, Sources, Written},
    linux::control::Peer,
    protocol::{Changes, Effect, Response},
    supervisor::{Event, Reconfiguration, ServiceId},
};

/// What is managed, and what it was read from.
pub(super) struct Loaded {
    sources: Sources,
    settings: Settings,
    written: Written,
}

impl Loaded {
    pub(super) fn new(config: &Config, provenance: &Provenance, sources: Sources) -> Self {
        Self { sources, settings: config.manager.clone(), written: Written::from(provenance) }
    }
}

/// A configuration that can be used instead of the present one.
struct Candidate {
    config: Config,
    written: Written,
    changes: Changes,
}

/// Why there is none.
enum Refusal {
    Wrong(Report),
    Impossible(&'static str),
}

impl Manager {
    /// A client asks for what a new configuration changes, and unless it is a dry run, for doing it.
    pub(super) fn reload_asked(&mut self, dry_run: bool, peer: &Peer) -> Response {
        let cause = format!("ctl reload (uid {}, pid {})", peer.uid, peer.pid);
        match self.read_again(dry_run) {
            Ok(candidate) if dry_run => Response::Changes(candidate.changes),
            Ok(candidate) => {
                let changes = candidate.changes.clone();
                self.take_up(candidate, &cause);
                Response::Changes(changes)
            }
            Err(Refusal::Wrong(report)) => {
                Response::WrongConfiguration { count: report.count(), report: report.to_string() }
            }
            Err(Refusal::Impossible(reason)) => Response::Refused { reason: reason.to_owned() },
        }
    }

    /// Nobody is there to be answered: everything is told in the log.
    pub(super) fn reload_by_signal(&mut self, signal: &str) {
        let consequence = "everything is as it was";
        match self.read_again(false) {
            Ok(candidate) => self.take_up(candidate, signal),
            Err(Refusal::Wrong(report)) => {
                for problem in report.problems() {
                    tracing::error!(cause = %problem, consequence, "cannot reload the configuration");
                }
            }
            Err(Refusal::Impossible(cause)) => {
                tracing::error!(cause, consequence, "cannot reload the configuration");
            }
        }
    }

    /// Reads all layers as at the start; changes nothing.
    fn read_again(&self, dry_run: bool) -> Result<Candidate, Refusal> {
        if !self.supervisor.is_managing() {
            return Err(Refusal::Impossible("musterd is shutting down"));
        }
        let Loaded { sources, settings: _, written: old } = &self.loaded;
        let read = catch_unwind(AssertUnwindSafe(|| config::load(sources)));
        let (config, provenance) = match read {
            Ok(read) => read.map_err(Refusal::Wrong)?,
            Err(_) => return Err(Refusal::Impossible("bug in musterd: see its log")),
        };
        let written = Written::from(&provenance);
        let mut changes = self.supervisor.changes(&config, old, &written);
        changes.dry_run = dry_run;
        changes.warnings = config.warnings.iter().map(Problem::to_string).collect();
        Ok(Candidate { config, written, changes })
    }

    fn take_up(&mut self, candidate: Candidate, cause: &str) {
        let Candidate { config, written, changes } = candidate;
        tell(&changes);
        self.apply_settings(&config.manager);
        self.output.make_room(config.services.iter().map(|service| service.name.as_str()));
        self.scanner.set_users(config.services.iter().any(|service| service.matching.needs_users()));
        let shutdown_timeout = config.manager.shutdown_timeout;
        (self.loaded.settings, self.loaded.written) = (config.manager, written);
        let services = config.services;
        let new = Reconfiguration { services, shutdown_timeout, changes, cause: cause.to_owned() };
        self.feed(Event::Reconfigured(Box::new(new)));
        self.renew_outlets();
        self.look_around();
    }

    /// What of `[manager]` can be changed while musterd runs. A level that `ctl` set stays where the key is as it was.
    fn apply_settings(&self, new: &Settings) {
        let old = &self.loaded.settings;
        if new.log_level != old.log_level {
            self.log.set_level(new.log_level);
        }
        self.log.set_format(new.log_format);
        self.log.set_times(new.log_times);
    }

    /// Leads the output of what goes on to run elsewhere, where that is asked for.
    fn renew_outlets(&mut self) {
        let ids: Vec<ServiceId> = self.supervisor.services().map(|(id, _)| id).collect();
        for id in ids.into_iter().filter(|&id| self.outlet(id).is_some()).collect::<Vec<_>>() {
            if let Err(error) = self.open_outlet(id) {
                let service = self.supervisor.config(id).name.as_str();
                let consequence = "trying again when it is started";
                tracing::warn!(service, cause = error, consequence, "cannot change where its output goes");
            }
        }
    }

    /// The service is no more.
    pub(super) fn forget(&mut self, service: ServiceId) {
        self.notifier.close(service);
        self.give_last_lines(service);
        if let Some(outlet) = self.outlets.get_mut(service.0 as usize).and_then(Option::take) {
            self.output.remove_service(outlet, self.now);
        }
    }
}

/// What concerns no service.
fn tell(changes: &Changes) {
    for warning in &changes.warnings {
        tracing::warn!(cause = warning, "check the configuration");
    }
    for key in changes.manager.iter().filter(|key| key.effect == Effect::NeedsNewStart) {
        let cause = format!("[manager]: {}", key.key);
        let consequence = "it counts when musterd is started anew";
        tracing::warn!(cause, consequence, "configuration changed");
    }
}
