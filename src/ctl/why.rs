//! `musterd ctl why`: the story of a service, as people read it. Asks nobody.

use super::{
    detail,
    table::{Look, wrap},
};
use crate::{
    protocol::{ExitWords, Happening, StateName, Status, What},
    text::printable,
};

/// Between columns.
const GAP: &str = "  ";

/// A line of the story: what happened, and what state it led to.
struct Line<'a> {
    /// RFC 3339.
    time: &'a str,
    way: Option<(StateName, StateName)>,
    text: String,
    /// Whether the text is only the state's reason, which what is told at the same moment says better.
    is_reason: bool,
}

/// The state of the service and how it came to that, the latest last.
pub(super) fn text(service: &Status, events: &[Happening], forgotten: u64, look: Look) -> String {
    let lines = lines(events);
    let states: Vec<String> = lines.iter().map(|line| line.way.map_or_else(String::new, way)).collect();
    let width = states.iter().map(|state| state.chars().count()).max().unwrap_or_default();
    let indent = "12:00:00.000".len() + width + 2 * GAP.len();
    let room = look.width.map(|columns| columns.saturating_sub(indent).max(1));
    let mut text = detail::heading(service, look) + "\n";
    text += &format!("{}\n\n", wrap(&printable(&service.reason), look.width).join("\n"));
    if forgotten > 0 {
        let events = if forgotten == 1 { "event is" } else { "events are" };
        text += &format!("{forgotten} earlier {events} forgotten\n");
    }
    let mut day = "";
    for (line, state) in lines.iter().zip(states) {
        let (date, time) = line.time.split_once('T').unwrap_or(("", line.time));
        if date != day {
            text += &format!("{} (UTC)\n", printable(date));
            day = date;
        }
        let told = wrap(&printable(&line.text), room).join(&format!("\n{:indent$}", ""));
        let time = printable(time.trim_end_matches('Z'));
        text += format!("{time}{GAP}{state:width$}{GAP}{told}").trim_end();
        text.push('\n');
    }
    text
}

/// Each event on a line, with the states that followed at once; events of one moment of which the later one tells all
/// share a line, as when a process ended and was started again at once.
fn lines(events: &[Happening]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line> = Vec::new();
    for event in events {
        let (time, text) = (event.time.as_str(), told(&event.what, event.pid));
        let way = match &event.what {
            What::State { from, to, .. } => Some((*from, *to)),
            What::Exit(_) | What::Request { .. } | What::Message { .. } | What::Unknown => None,
        };
        match (lines.last_mut().filter(|line| line.time == time), way) {
            (Some(line), Some((_, to))) => line.way = line.way.map(|(from, _)| (from, to)).or(way),
            (Some(line), None) if line.is_reason || text.contains(&line.text) => {
                (line.text, line.is_reason) = (text, false);
            }
            (_, _) => lines.push(Line { time, way, text, is_reason: way.is_some() }),
        }
    }
    lines
}

/// `running → backoff`.
pub(super) fn way((from, to): (StateName, StateName)) -> String {
    format!("{from} → {to}")
}

/// What happened, in one line.
pub(super) fn told(what: &What, pid: Option<i32>) -> String {
    let of = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    match what {
        What::State { reason, .. } => reason.clone(),
        What::Exit(exit) => format!("process {} {}", pid.unwrap_or_default(), ended(exit)),
        What::Request { verb, uid, client } => format!("ctl {verb} by uid {uid} (pid {client})"),
        What::Message { message, cause, consequence, level: _ } => {
            let next = consequence.as_ref().map_or_else(String::new, |next| format!("; {next}"));
            format!("{message}{of}: {cause}{next}")
        }
        What::Unknown => "something that this musterd has no words for".to_owned(),
    }
}

fn ended(exit: &ExitWords) -> String {
    let core = if exit.core { " (core dumped)" } else { "" };
    let memory = if exit.oom { " (probably as memory was out)" } else { "" };
    match exit {
        ExitWords { code: Some(code), .. } => format!("exited {code}"),
        ExitWords { signal: Some(signal), .. } => format!("killed by {signal}{core}{memory}"),
        ExitWords { .. } => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogLevel;

    fn event(time: &str, pid: Option<i32>, what: What) -> Happening {
        let time = format!("2026-11-21T{time}Z");
        Happening { number: 1, time, service: Some("web".to_owned()), pid, what }
    }

    fn state(from: StateName, to: StateName, reason: &str) -> What {
        What::State { from, to, cause: crate::protocol::Cause::Exit, reason: reason.to_owned() }
    }

    fn message(message: &str, cause: &str, consequence: Option<&str>) -> What {
        let (message, cause) = (message.to_owned(), cause.to_owned());
        What::Message { level: LogLevel::Info, message, cause, consequence: consequence.map(str::to_owned) }
    }

    fn exit(code: Option<i32>, signal: Option<&str>) -> What {
        What::Exit(ExitWords { code, signal: signal.map(str::to_owned), core: signal.is_some(), oom: false })
    }

    #[test]
    fn a_story_has_times_states_and_causes() {
        use StateName::{Backoff, Running, Starting, Stopped, Stopping};
        let events = [
            event("12:00:00.000", None, state(Stopped, Starting, "looked for among the processes")),
            event("12:00:00.002", Some(7), message("started", "it was not running", None)),
            event("12:00:00.002", Some(7), state(Starting, Running, "started")),
            event("12:00:05.100", Some(7), exit(None, Some("SIGSEGV"))),
            event("12:00:05.100", None, state(Running, Starting, "main process 7 killed by SIGSEGV")),
            event("12:00:05.101", Some(9), message("started", "main process 7 killed by SIGSEGV", None)),
            event("12:00:05.101", Some(9), state(Starting, Running, "restarted")),
            event("12:00:05.200", Some(9), exit(Some(1), None)),
            event("12:00:05.200", None, state(Running, Starting, "main process 9 exited 1")),
            event("12:00:05.200", None, state(Starting, Backoff, "main process 9 exited 1; pause of 250ms")),
            event(
                "12:00:05.200",
                Some(9),
                message("ended", "main process 9 exited 1", Some("starting again in 250ms")),
            ),
            event("12:00:06.000", None, What::Request { verb: "stop".to_owned(), uid: 0, client: 99 }),
            event("12:00:06.000", None, state(Stopping, Stopped, "asked by ctl stop (uid 0, pid 99)")),
            event("12:00:07.000", None, What::Unknown),
        ];
        let service = Status {
            name: "web".to_owned(),
            reason: "asked by ctl stop (uid 0, pid 99)".to_owned(),
            since: "2026-11-21T12:00:06Z".to_owned(),
            seconds: 61.0,
            ..Status::default()
        };
        let told = text(&service, &events, 3, Look { width: Some(80), colour: false });
        assert_eq!(
            told,
            "\
web: stopped since 2026-11-21T12:00:06Z (1m 1s)
asked by ctl stop (uid 0, pid 99)

3 earlier events are forgotten
2026-11-21 (UTC)
12:00:00.000  stopped → starting  looked for among the processes
12:00:00.002  starting → running  started (pid 7): it was not running
12:00:05.100  running → starting  process 7 killed by SIGSEGV (core dumped)
12:00:05.101  starting → running  started (pid 9): main process 7 killed by
                                  SIGSEGV
12:00:05.200  running → backoff   ended (pid 9): main process 9 exited 1;
                                  starting again in 250ms
12:00:06.000  stopping → stopped  ctl stop by uid 0 (pid 99)
12:00:07.000                      something that this musterd has no words for
"
        );
    }
}
