//! `musterd ctl logs`: asks for lines, page by page, and writes them. Keeps none.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    STATUS_LIMIT, UNWRITTEN,
    answer::{self, Form, Shown},
    ask::with_names,
    client::{Conversation, Failure, Where},
};
use crate::{
    linux::log::wall_clock,
    protocol::{LogLine, LogStream, Request, Response},
    text::printable,
};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The services; without a name all
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u64>,
    /// Only lines since then: 10m (ago), or a time as 2026-11-21T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

impl Options {
    /// The first request: later ones go on where its answer ends.
    pub(super) fn request(&self) -> Request {
        let (names, since) = (self.names.clone(), self.since.clone());
        Request::Logs { names, after: 0, lines: self.lines, since, follow: false }
    }
}

/// A point in time, as requests name it.
fn since(text: &str) -> Result<String, String> {
    let at = match humantime::parse_duration(text) {
        Ok(ago) => wall_clock().checked_sub(ago).unwrap_or(std::time::UNIX_EPOCH),
        Err(_) => humantime::parse_rfc3339_weak(text).map_err(|_| {
            "must be a duration such as 10m, or a time such as 2026-11-21T12:00:00Z (UTC)".to_owned()
        })?,
    };
    Ok(humantime::format_rfc3339_micros(at).to_string())
}

/// Writes the lines that are asked for to `out`; what is left to tell is returned.
pub(super) fn run(place: &Where, options: &Options, out: &mut impl Write) -> Shown {
    let told = |failure: &Failure| answer::failed(failure, Form::Json);
    let mut conversation = match Conversation::open(place) {
        Ok(conversation) => conversation,
        Err(failure) => return told(&failure),
    };
    let names = match with_names(&mut conversation, options.request(), Form::Json) {
        Ok(request) => request.names().to_vec(),
        Err(shown) => return shown,
    };
    let (mut lines, mut after, mut width, mut follow) = (options.lines, 0, 0, false);
    loop {
        let names = names.clone();
        let request = Request::Logs { names, after, lines, since: options.since.clone(), follow };
        // While there is nothing new, nothing is said.
        let limit: Option<Duration> = if follow { None } else { Some(STATUS_LIMIT) };
        let (page, next, more) = match conversation.ask(&request, limit) {
            Ok(Response::Lines { lines, next, more }) => (lines, next, more),
            Ok(response) => return answer::show(&request, &response, Form::Json),
            Err(failure) => return told(&failure),
        };
        // The first answer has found where the last lines begin.
        lines = None;
        width = page
            .iter()
            .map(|line| printable(&line.service).chars().count())
            .chain([width])
            .max()
            .unwrap_or(0);
        if let Err(error) = write(out, &page, width, options.json) {
            return unwritten(&error);
        }
        after = next;
        if more {
            continue;
        }
        if !options.follow {
            return Shown::default();
        }
        follow = true;
    }
}

/// A reader that has seen enough (`| head`) is no error.
fn unwritten(error: &io::Error) -> Shown {
    let (errors, code) = match error.kind() {
        io::ErrorKind::BrokenPipe => (Vec::new(), 0),
        _ => (vec![format!("cannot write the lines: {error}")], UNWRITTEN),
    };
    Shown { errors, code, ..Shown::default() }
}

fn write(out: &mut impl Write, lines: &[LogLine], width: usize, json: bool) -> io::Result<()> {
    let mut text = String::new();
    for line in lines {
        if json {
            // Cannot fail: plain fields.
            text += &serde_json::to_string(line).unwrap_or_default();
            text.push('\n');
        } else {
            text += &shown(line, width);
        }
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A line for people; what musterd says of the service stands between dashes.
fn shown(line: &LogLine, width: usize) -> String {
    let service = printable(&line.service);
    match line.stream {
        LogStream::Stdout | LogStream::Stderr => format!("{service:width$} | {}\n", line.message),
        LogStream::Musterd => {
            let pid = line.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            format!("{service:width$} | -- {} {}{pid} --\n", line.time, printable(&line.message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_or_so_long_ago() {
        assert_eq!(since("2026-11-21T12:00:00Z").unwrap(), "2026-11-21T12:00:00.000000Z");
        assert_eq!(since("2026-11-21 12:00:00").unwrap(), "2026-11-21T12:00:00.000000Z");
        let ago = humantime::parse_rfc3339(&since("1h").unwrap()).unwrap();
        let passed = wall_clock().duration_since(ago).unwrap();
        assert!((3600..3700).contains(&passed.as_secs()), "{passed:?}");
        assert!(since("yesterday").is_err());
    }
}
