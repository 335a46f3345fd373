//! The table of services, as people read it. Knows no socket and no terminal.

use crate::{
    protocol::{StateName, Status},
    text::printable,
};

/// Between columns.
const GAP: &str = "  ";

/// With less room than this beside the other columns, reasons are left to the terminal to wrap.
const LEAST_ROOM: usize = 20;

/// The columns before the reason.
const HEADER: [&str; 5] = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS"];

/// What the output goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// The terminal's columns; `None`: no terminal, nothing is wrapped.
    pub(super) width: Option<usize>,
    /// Whether states have their colour.
    pub(super) colour: bool,
}

/// One line a service, columns aligned, the reason last and in full.
pub(super) fn table(services: &[Status], look: Look) -> String {
    let rows: Vec<[String; 5]> = services.iter().map(row).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or_default()
    });
    let indent = widths.iter().map(|width| width + GAP.len()).sum();
    let room = look.width.and_then(|width| width.checked_sub(indent)).filter(|&room| room >= LEAST_ROOM);
    let mut text = line(&HEADER.map(str::to_owned), &widths, "") + "REASON\n";
    for (service, row) in services.iter().zip(&rows) {
        let colour = if look.colour { colour(service.state) } else { "" };
        let reason = wrap(&printable(&service.reason), room).join(&format!("\n{:indent$}", ""));
        text += (line(row, &widths, colour) + &reason).trim_end();
        text.push('\n');
    }
    text
}

fn row(service: &Status) -> [String; 5] {
    [
        printable(&service.name),
        service.state.to_string(),
        service.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        match service.state {
            StateName::Running | StateName::Unhealthy => duration(service.seconds),
            StateName::Stopped
            | StateName::Waiting
            | StateName::Starting
            | StateName::Stopping
            | StateName::Backoff
            | StateName::Exited
            | StateName::Failed => "-".to_owned(),
        },
        service.restarts.to_string(),
    ]
}

fn line(cells: &[String; 5], widths: &[usize; 5], colour: &str) -> String {
    let mut text = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        let padded = format!("{cell:width$}{GAP}");
        let coloured = column == 1 && !colour.is_empty();
        text += &if coloured { format!("{colour}{padded}\x1b[0m") } else { padded };
    }
    text
}

/// Green runs, yellow is on its way, red is missing; what is not wanted is dim.
fn colour(state: StateName) -> &'static str {
    match state {
        StateName::Running => "\x1b[32m",
        StateName::Waiting | StateName::Starting | StateName::Stopping => "\x1b[33m",
        StateName::Unhealthy | StateName::Backoff | StateName::Failed => "\x1b[31m",
        StateName::Stopped | StateName::Exited => "\x1b[2m",
    }
}

/// In the two largest units: `12s`, `3m 12s`, `2h 5m`, `3d 4h`.
fn duration(seconds: f64) -> String {
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
fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
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

    #[test]
    fn a_narrow_terminal_wraps_reasons_in_their_column() {
        let services = [service(
            "web",
            StateName::Backoff,
            None,
            3.0,
            "main process 32 killed by SIGKILL; trying again in 4s",
        )];
        let narrow = |width| table(&services, Look { width: Some(width), colour: false });
        assert_eq!(
            narrow(62),
            "\
NAME  STATE    PID  UPTIME  RESTARTS  REASON
web   backoff  -    -       1         main process 32 killed
                                      by SIGKILL; trying again
                                      in 4s
"
        );
        assert_eq!(narrow(40), table(&services, PIPE));
        assert_eq!(narrow(200), table(&services, PIPE));
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
