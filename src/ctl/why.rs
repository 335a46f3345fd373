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
    let memory = if exit.oom { " (out of memory)" } else { "" };
    match exit {
        ExitWords { code: Some(code), .. } => format!("exited {code}"),
        ExitWords { signal: Some(signal), .. } => format!("killed by {signal}{core}{memory}"),
        ExitWords { .. } => "ended".to_owned(),
    }
}
