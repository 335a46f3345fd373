//! `musterd plan`: lets the decider see the processes that are there, and tells what it would do first. Does none of it.

use std::{collections::HashMap, io, time::UNIX_EPOCH};

use serde::Serialize;

use super::{
    log::wall_clock,
    manager::{clock, parent_pid},
    named,
    paths::Roots,
    record::Store,
    table::{self, Scanner},
};
use crate::{
    config::{Config, Kind, LogLevel, Service},
    process::{Pid, Table},
    supervisor::{Action, Event, Look, Place, Purpose, Recorded, ServiceId, Supervisor},
    text::{cannot, printable},
};

/// Looks at the processes before the decider wants nothing more but what it asked to be done: one, and one to spare.
const LOOKS: usize = 4;

/// Between columns.
const GAP: &str = "  ";

/// What would be done first.
#[derive(Debug)]
pub struct Plan {
    /// For each service, in the order of the configuration.
    pub services: Vec<Planned>,
    /// What people should know of it.
    pub warnings: Vec<String>,
}

/// What would be done about one service.
#[derive(Debug, Serialize)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// What would be done.
    pub plan: Deed,
    /// The process that would be adopted.
    pub pid: Option<Pid>,
    /// Why: the rule by which its process was found, or that none was.
    pub why: String,
    /// What it would wait for before: services and addresses.
    pub after: Vec<String>,
    /// What would be executed to start it.
    pub command: Vec<String>,
}

/// What would be done about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Its process is there: it is followed from now on.
    Adopt,
    /// It is started.
    Start,
    /// Nothing.
    Leave,
}

impl Deed {
    fn word(self) -> &'static str {
        match self {
            Deed::Adopt => "adopt",
            Deed::Start => "start",
            Deed::Leave => "leave",
        }
    }
}

/// Plans for the processes that are there now, as if what services come after were there already.
///
/// # Errors
/// The process table cannot be read.
pub fn plan(config: &Config) -> io::Result<Plan> {
    let now = clock();
    let scanner = Scanner::new()
        .map_err(cannot("look at the processes"))?
        .with_users(config.services.iter().any(|service| service.matching.needs_users()));
    let pid = rustix::process::getpid().as_raw_pid();
    let place = Place { pid, parent: parent_pid(), is_init: pid == 1 };
    let boot = wall_clock().checked_sub(now.since_boot()).unwrap_or(UNIX_EPOCH);
    let mut unordered = config.clone();
    for service in &mut unordered.services {
        service.after.clear();
        service.after_addresses.clear();
    }
    let mut supervisor = Supervisor::new(&unordered, place, &record(config), now, boot);
    let mut actions = supervisor.step(now, Event::Tick);
    for _ in 0..LOOKS {
        let seen = match supervisor.look() {
            Some(Look::Table | Look::Usage) => {
                let named = named::read(&supervisor.wanted(), clock);
                let table = table::scan(&scanner, |_| true).map_err(cannot("read the process table"))?;
                Event::Scanned(Table { named, ..table })
            }
            Some(Look::Orphans) => Event::Orphans(None),
            None => break,
        };
        actions.extend(supervisor.step(now, seen));
    }
    Ok(read(config, &supervisor, &actions))
}

/// What an earlier musterd wrote down of services that may run still.
fn record(config: &Config) -> HashMap<String, Recorded> {
    let places = Roots::of_this_process().candidates(config.manager.socket.as_deref());
    let records = places.iter().map(|place| Store::new(&place.folder).load());
    let known = records.flat_map(|record| record.services);
    known.map(|(name, entry)| (name, Recorded { main: entry.main, restarts: entry.restarts })).collect()
}

/// What the decider's actions mean for each service.
fn read(config: &Config, supervisor: &Supervisor, actions: &[Action]) -> Plan {
    let ids: HashMap<&str, ServiceId> =
        supervisor.services().map(|(id, service)| (service.name.as_str(), id)).collect();
    let (mut found, mut warnings) = (HashMap::new(), Vec::new());
    for notice in actions
        .iter()
        .filter_map(|action| if let Action::Tell(notice) = action { Some(notice) } else { None })
    {
        let name = notice.service.as_ref().map_or("", |name| name.as_str());
        if notice.message == "main process found" {
            found.insert(name, notice.cause.as_str());
        } else if notice.level <= LogLevel::Warn {
            let about = if name.is_empty() { String::new() } else { format!("service \"{name}\": ") };
            warnings.push(format!("{about}{}: {}", notice.message, notice.cause));
        }
    }
    let planned = |service: &Service| {
        let name = service.name.as_str();
        let is_started = ids
            .get(name)
            .is_some_and(|&service| actions.contains(&Action::Spawn { service, purpose: Purpose::Start }));
        let pid = ids.get(name).and_then(|&id| supervisor.main_pid(id));
        let (plan, why) = match found.get(name) {
            Some(found) => (Deed::Adopt, found.strip_prefix("adopted: ").unwrap_or(found).to_owned()),
            None if is_started => (Deed::Start, why_started(service)),
            None => (Deed::Leave, "autostart = false".to_owned()),
        };
        let services = service.after.iter().map(ToString::to_string);
        Planned {
            name: name.to_owned(),
            plan,
            pid,
            why,
            after: services.chain(service.after_addresses.iter().cloned()).collect(),
            command: service.start.argv.clone(),
        }
    };
    Plan { services: config.services.iter().map(planned).collect(), warnings }
}

fn why_started(service: &Service) -> String {
    match service.kind {
        _ if service.terminal => "it is that of --main".to_owned(),
        Kind::Task => "a task is run at each start".to_owned(),
        Kind::Service if service.matching.is_name_only() => {
            format!("no process answers to {}", service.matching)
        }
        Kind::Service => format!("no process matches {}", service.matching),
    }
}

impl Plan {
    /// For people: a line for each service.
    pub fn table(&self) -> String {
        let heading = ["SERVICE", "PLAN", "PID", "AFTER", "WHY"].map(str::to_owned);
        let row = |planned: &Planned| {
            let after = planned.after.join(",");
            let pid = planned.pid.map(|pid| pid.to_string());
            [
                printable(&planned.name),
                planned.plan.word().to_owned(),
                pid.unwrap_or_else(|| "-".to_owned()),
                if after.is_empty() { "-".to_owned() } else { printable(&after) },
                printable(&planned.why),
            ]
        };
        let rows: Vec<[String; 5]> = std::iter::once(heading).chain(self.services.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..4).map(width).collect();
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}{GAP}"));
            cells.collect::<String>() + &row[4] + "\n"
        };
        rows.iter().map(line).collect()
    }

    /// For programs: one array, on one line.
    pub fn json(&self) -> String {
        // Cannot fail: plain fields.
        serde_json::to_string(&self.services).unwrap_or_default() + "\n"
    }
}
