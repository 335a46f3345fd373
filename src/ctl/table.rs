//! The table of services, as people read it. Knows no socket and no terminal.

use crate::{
    protocol::{StateName, Status},
    text::{printable, size},
};

/// Between columns.
const GAP: &str = "  ";

/// Where reasons have less room than this beside the other columns, each has a line of its own below its service.
const LEAST_ROOM: usize = 32;

/// Before such a line.
const BELOW: &str = "  ";

/// What the output goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// The terminal's columns; `None`: no terminal, nothing is wrapped.
    pub(super) width: Option<usize>,
    /// Whether states have their colour.
    pub(super) colour: bool,
}

/// A column of the table but the last one.
struct Column {
    title: &'static str,
    cells: Vec<String>,
    width: usize,
}

impl Column {
    fn new(title: &'static str, services: &[Status], cell: impl Fn(&Status) -> String) -> Self {
        let cells: Vec<String> = services.iter().map(cell).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).chain([title.len()]).max();
        Column { title, width: width.unwrap_or_default(), cells }
    }
}

/// One line a service, columns aligned, the reason last and in full: beside them or, where there is too little room, below.
pub(super) fn table(services: &[Status], look: Look) -> String {
    let columns = columns(services);
    let reasons: Vec<String> = services.iter().map(|service| printable(&service.reason)).collect();
    let indent = columns.iter().map(|column| column.width + GAP.len()).sum::<usize>();
    let longest = reasons.iter().map(|reason| reason.chars().count()).max().unwrap_or_default();
    let room = look.width.map(|width| width.saturating_sub(indent));
    let below = room.is_some_and(|room| room < LEAST_ROOM && room < longest.max("REASON".len()));
    let mut text = heading(&columns, !below) + "\n";
    for (at, (service, reason)) in services.iter().zip(&reasons).enumerate() {
        let colour = if look.colour { colour(service.state) } else { "" };
        let cells = row(&columns, at, colour);
        if below {
            text += cells.trim_end();
            let room = look.width.map(|width| width.saturating_sub(BELOW.len()).max(1));
            for line in wrap(reason, room).iter().filter(|line| !line.is_empty()) {
                text += &format!("\n{BELOW}{line}");
            }
        } else {
            text += (cells + &wrap(reason, room).join(&format!("\n{:indent$}", ""))).trim_end();
        }
        text.push('\n');
    }
    text
}

/// One line a service, none longer than the terminal is wide; the first one is the heading.
pub(super) fn lines(services: &[Status], look: Look) -> Vec<String> {
    let columns = columns(services);
    let indent = columns.iter().map(|column| column.width + GAP.len()).sum::<usize>();
    let room = look.width.unwrap_or(usize::MAX);
    let mut lines = vec![cut(&heading(&columns, true), room)];
    lines.extend(services.iter().enumerate().map(|(at, service)| {
        // An escape takes no room on the screen: what is cut is plain.
        let colour = if look.colour && room > indent { colour(service.state) } else { "" };
        let reason = cut(&printable(&service.reason), room.saturating_sub(indent));
        if room > indent { row(&columns, at, colour) + &reason } else { cut(&row(&columns, at, ""), room) }
    }));
    lines
}

/// The beginning of a text, with a mark where more would come.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.extend(Some('…').filter(|_| room > 0));
    short
}

/// The columns before the reason; what nobody has measured has none.
fn columns(services: &[Status]) -> Vec<Column> {
    let mut columns = vec![
        Column::new("NAME", services, |service| printable(&service.name)),
        Column::new("STATE", services, |service| service.state.to_string()),
        Column::new("PID", services, |service| or_dash(service.pid)),
        Column::new("UPTIME", services, |service| match service.state {
            StateName::Running | StateName::Unhealthy => duration(service.seconds),
            StateName::Stopped
            | StateName::Waiting
            | StateName::Starting
            | StateName::Stopping
            | StateName::Backoff
            | StateName::Exited
            | StateName::Failed => "-".to_owned(),
        }),
        Column::new("RESTARTS", services, |service| service.restarts.to_string()),
    ];
    if services.iter().any(|service| service.usage.is_some()) {
        let usage = |service: &Status| service.usage.clone();
        columns
            .push(Column::new("CPU", services, |service| or_dash(usage(service).map(|of| percent(of.cpu)))));
        columns.push(Column::new("MEMORY", services, |service| {
            or_dash(usage(service).map(|of| size(of.memory)))
        }));
    }
    columns
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `0.1%`, `250%`.
pub(super) fn percent(percent: f64) -> String {
    if percent < 99.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

fn heading(columns: &[Column], with_reason: bool) -> String {
    let mut text = String::new();
    for Column { title, width, .. } in columns {
        text += &format!("{title:width$}{GAP}");
    }
    text += if with_reason { "REASON" } else { "" };
    text.trim_end().to_owned()
}

fn row(columns: &[Column], at: usize, colour: &str) -> String {
    let mut text = String::new();
    for (column, Column { cells, width, .. }) in columns.iter().enumerate() {
        let (cell, width) = (&cells[at], *width);
        let padded = format!("{cell:width$}{GAP}");
        let coloured = column == 1 && !colour.is_empty();
        text += &if coloured { format!("{colour}{padded}\x1b[0m") } else { padded };
    }
    text
}

/// Green runs, yellow is on its way, red is missing; what is not wanted is dim.
pub(super) fn colour(state: StateName) -> &'static str {
    match state {
        StateName::Running => "\x1b[32m",
        StateName::Waiting | StateName::Starting | StateName::Stopping => "\x1b[33m",
        StateName::Unhealthy | StateName::Backoff | StateName::Failed => "\x1b[31m",
        StateName::Stopped | StateName::Exited => "\x1b[2m",
    }
}

/// In the two largest units: `12s`, `3m 12s`, `2h 5m`, `3d 4h`.
pub(super) fn duration(seconds: f64) -> String {
    // Saturates, and makes 0 of what is no number.
    let seconds = seconds as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

/// Breaks at blanks; a word longer than the room keeps a line of its own.
pub(super) fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Usage;

    fn service(name: &str, state: StateName, pid: Option<i32>, seconds: f64, reason: &str) -> Status {
        let (name, reason) = (name.to_owned(), reason.to_owned());
        let since = "2026-11-21T12:00:00Z".to_owned();
        Status { name, state, wanted: true, pid, restarts: 1, reason, since, seconds, ..Status::default() }
    }

    const PIPE: Look = Look { width: None, colour: false };

    #[test]
    fn columns_are_aligned_and_nothing_is_cut() {
        let services = [
            service(
                "apache2",
                StateName::Running,
                Some(173),
                12.9,
                "restarted: main process 32 killed by SIGKILL",
            ),
            service(
                "db",
                StateName::Backoff,
                None,
                3.0,
                "cannot execute /srv/db: permission denied; trying again in 4s",
            ),
            service("größe", StateName::Running, Some(1_234_567), 192.0, ""),
        ];
        assert_eq!(
            table(&services, PIPE),
            "\
NAME     STATE    PID      UPTIME  RESTARTS  REASON
apache2  running  173      12s     1         restarted: main process 32 killed by SIGKILL
db       backoff  -        -       1         cannot execute /srv/db: permission denied; trying again in 4s
größe    running  1234567  3m 12s  1
"
        );
    }

    fn measured(service: Status, cpu: f64, memory: u64) -> Status {
        let usage = Some(Usage { cpu, cpu_over: 1.0, memory, children: 0 });
        Status { usage, ..service }
    }

    fn container() -> Vec<Status> {
        let killed = "restarted: main process 32 killed by SIGKILL";
        let missing = "cannot execute /srv/db: permission denied; pause of 4s until 2026-11-21T12:00:04.000Z";
        let apache2 = service("apache2", StateName::Running, Some(173), 12.9, killed);
        vec![
            measured(apache2, 0.1, 10_276_045),
            service("db", StateName::Backoff, None, 3.0, missing),
            measured(
                service("sshd", StateName::Running, Some(20), 192.0, "daemonised by pid 19"),
                250.4,
                4096,
            ),
        ]
    }

    #[test]
    fn a_wide_terminal_has_reasons_beside_the_rest() {
        let wide = table(&container(), Look { width: Some(140), colour: false });
        assert_eq!(
            wide,
            "\
NAME     STATE    PID  UPTIME  RESTARTS  CPU   MEMORY   REASON
apache2  running  173  12s     1         0.1%  9.8 MiB  restarted: main process 32 killed by SIGKILL
db       backoff  -    -       1         -     -        cannot execute /srv/db: permission denied; pause of 4s until
                                                        2026-11-21T12:00:04.000Z
sshd     running  20   3m 12s  1         250%  4 KiB    daemonised by pid 19
"
        );
        assert!(wide.lines().all(|line| line.chars().count() <= 140));
    }

    #[test]
    fn a_narrow_terminal_has_them_below() {
        let narrow = table(&container(), Look { width: Some(80), colour: false });
        assert_eq!(
            narrow,
            "\
NAME     STATE    PID  UPTIME  RESTARTS  CPU   MEMORY
apache2  running  173  12s     1         0.1%  9.8 MiB
  restarted: main process 32 killed by SIGKILL
db       backoff  -    -       1         -     -
  cannot execute /srv/db: permission denied; pause of 4s until
  2026-11-21T12:00:04.000Z
sshd     running  20   3m 12s  1         250%  4 KiB
  daemonised by pid 19
"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 80));
        let short = [service("web", StateName::Running, Some(2), 0.0, "started")];
        let beside = table(&short, PIPE);
        assert_eq!(table(&short, Look { width: Some(60), colour: false }), beside);
    }

    #[test]
    fn a_line_in_place_is_no_wider_than_the_terminal() {
        for (width, last) in [
            (140, "sshd     running  20   3m 12s  1         250%  4 KiB    daemonised by pid 19"),
            (66, "sshd     running  20   3m 12s  1         250%  4 KiB    daemonise…"),
            (20, "sshd     running  2…"),
            (1, "…"),
            (0, ""),
        ] {
            let look = Look { width: Some(width), colour: true };
            let lines = lines(&container(), look);
            let plain: Vec<String> = lines
                .iter()
                .map(|line| line.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", ""))
                .collect();
            assert_eq!((plain.len(), plain[3].as_str()), (4, last));
            assert!(plain.iter().all(|line| line.chars().count() <= width), "{plain:?}");
        }
    }

    #[test]
    fn only_the_state_is_coloured() {
        let services = [service("web", StateName::Running, Some(2), 0.0, "started")];
        assert_eq!(
            table(&services, Look { width: None, colour: true }),
            "\
NAME  STATE    PID  UPTIME  RESTARTS  REASON
web   \x1b[32mrunning  \x1b[0m2    0s      1         started
"
        );
    }

    #[test]
    fn times_have_their_two_largest_units() {
        for (seconds, text) in [
            (0.0, "0s"),
            (59.99, "59s"),
            (60.0, "1m 0s"),
            (3599.0, "59m 59s"),
            (7500.0, "2h 5m"),
            (86_399.0, "23h 59m"),
            (273_600.0, "3d 4h"),
            (-1.0, "0s"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_service_cannot_write_to_the_terminal() {
        let hostile = service("x\u{202e}", StateName::Running, None, 0.0, "a\x1b[2Jb\nc");
        let shown = table(&[hostile], PIPE);
        assert!(shown.contains("x\\u{202e}") && shown.ends_with("a\\u{1b}[2Jb\\nc\n"), "{shown}");
    }
}
