//! One service in full, as people read it. Knows no socket and no terminal.

use super::table::{Look, colour, duration, percent, wrap};
use crate::{
    protocol::{Health, LogFailure, StateName, Status, Usage},
    text::{counted, printable, size},
};

/// Between a fact's name and the fact.
const GAP: usize = 2;

/// Everything that is known of the service: its state, then a line for each fact.
pub(super) fn text(service: &Status, look: Look) -> String {
    let facts = facts(service);
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let indent = width + 2 * GAP;
    let room = look.width.map(|columns| columns.saturating_sub(indent).max(1));
    let mut text = heading(service, look) + "\n";
    for (name, fact) in facts {
        let fact = wrap(&printable(&fact), room).join(&format!("\n{:indent$}", ""));
        let (before, between) = (" ".repeat(GAP), " ".repeat(GAP));
        text += format!("{before}{name:width$}{between}{fact}").trim_end();
        text.push('\n');
    }
    text
}

/// `web: running since … (12s)`.
pub(super) fn heading(service: &Status, look: Look) -> String {
    let Status { name, state, since, seconds, .. } = service;
    let state = if look.colour { format!("{}{state}\x1b[0m", colour(*state)) } else { state.to_string() };
    format!("{}: {state} since {} ({})", printable(name), printable(since), duration(*seconds))
}

fn facts(service: &Status) -> Vec<(String, String)> {
    let mut facts = vec![("reason".to_owned(), service.reason.clone())];
    let mut add = |name: &str, fact: String| facts.push((name.to_owned(), fact));
    if let Some(pid) = service.pid {
        add("process", format!("{pid}{}", service.usage.as_ref().map_or_else(String::new, others)));
    }
    if let Some(usage) = &service.usage {
        let over = duration(usage.cpu_over);
        add("takes", format!("{} of a processor over {over}, {}", percent(usage.cpu), size(usage.memory)));
    }
    add("restarts", service.restarts.to_string());
    if service.failures > 0 && service.state != StateName::Running {
        add("failures", format!("{} in a row", service.failures));
    }
    if let Some(next_start) = &service.next_start {
        add("next start", next_start.clone());
    }
    if let Some(health) = &service.health {
        add("health", self::health(health, service.next_check.as_deref()));
    }
    for failure in &service.log_failures {
        add("log", lost(failure));
    }
    for fact in &service.detail {
        add(&printable(&fact.name), fact.value.clone());
    }
    for (at, exit) in service.last_exits.iter().enumerate() {
        let name = if at == 0 { "last exits" } else { "" };
        add(name, format!("{}  pid {} {}", exit.time, exit.pid, exit.text));
    }
    facts
}

fn others(usage: &Usage) -> String {
    match usage.children {
        0 => String::new(),
        1 => " and 1 more".to_owned(),
        others => format!(" and {others} more"),
    }
}

fn health(health: &Health, next: Option<&str>) -> String {
    let next = next.map_or_else(String::new, |next| format!("; next check {next}"));
    let checked = health.checked.as_deref().unwrap_or_default();
    match (health.well, &health.failure) {
        (None, _) => format!("not checked yet{next}"),
        (Some(true), _) => format!("well, checked {checked}{next}"),
        (Some(false), failure) => {
            let failure = failure.as_deref().unwrap_or_default();
            let Health { failed, retries, .. } = health;
            format!("failed {failed} of {retries} in a row, checked {checked}{next}: {failure}")
        }
    }
}

fn lost(failure: &LogFailure) -> String {
    let LogFailure { to, cause, lost_lines } = failure;
    format!("cannot write to {to}: {cause}, {} lost", counted(*lost_lines, "line"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ExitWords, Fact, LastExit};

    #[test]
    fn everything_that_is_known_has_its_line() {
        let fact = |name: &str, value: &str| Fact { name: name.to_owned(), value: value.to_owned() };
        let ended = |time: &str, pid, text: &str| LastExit {
            time: time.to_owned(),
            pid,
            text: text.to_owned(),
            exit: ExitWords { code: None, signal: None, core: false, oom: false },
        };
        let service = Status {
            name: "web".to_owned(),
            state: StateName::Running,
            wanted: true,
            pid: Some(173),
            restarts: 1,
            reason: "restarted: main process 32 killed by SIGKILL".to_owned(),
            since: "2026-11-21T12:00:00Z".to_owned(),
            seconds: 192.0,
            next_check: Some("2026-11-21T12:03:20.000Z".to_owned()),
            health: Some(Health {
                well: Some(false),
                checked: Some("2026-11-21T12:03:10Z".to_owned()),
                failed: 1,
                retries: 3,
                failure: Some("http://127.0.0.1/ answers 503".to_owned()),
            }),
            usage: Some(Usage { cpu: 12.5, cpu_over: 1.2, memory: 10_276_045, children: 3 }),
            detail: vec![fact("start", "/usr/sbin/apache2 -DFOREGROUND"), fact("log", "prefix")],
            last_exits: vec![
                ended("2026-11-21T12:00:00.000Z", 32, "killed by SIGKILL"),
                ended("2026-11-21T11:00:00.000Z", 9, "exited 1"),
            ],
            ..Status::default()
        };
        assert_eq!(
            text(&service, Look { width: Some(80), colour: false }),
            "\
web: running since 2026-11-21T12:00:00Z (3m 12s)
  reason      restarted: main process 32 killed by SIGKILL
  process     173 and 3 more
  takes       12.5% of a processor over 1s, 9.8 MiB
  restarts    1
  health      failed 1 of 3 in a row, checked 2026-11-21T12:03:10Z; next check
              2026-11-21T12:03:20.000Z: http://127.0.0.1/ answers 503
  start       /usr/sbin/apache2 -DFOREGROUND
  log         prefix
  last exits  2026-11-21T12:00:00.000Z  pid 32 killed by SIGKILL
              2026-11-21T11:00:00.000Z  pid 9 exited 1
"
        );
        let painted = text(&service, Look { width: None, colour: true });
        assert!(painted.starts_with("web: \x1b[32mrunning\x1b[0m since"), "{painted}");
    }
}
