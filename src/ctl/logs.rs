//! `musterd ctl logs`: asks for lines, page by page, and writes them. Keeps none.

use std::io::{self, Write};

use super::{
    answer::{Form, Shown},
    client::Where,
    pages::{self, Manner, Next, Page},
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
    pub(super) json: bool,
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
    let (mut lines, mut width) = (options.lines, 0);
    let ask = |Next { names, after, follow }| {
        // The first answer finds where the last lines begin.
        Request::Logs { names, after, lines: lines.take(), since: options.since.clone(), follow }
    };
    let manner = Manner { follow: options.follow, form: Form::of(options.json), what: "lines" };
    pages::turn_over(place, options.request(), manner, ask, |_, response| match response {
        Response::Lines { lines, next, more } => {
            let widths = lines.iter().map(|line| printable(&line.service).chars().count());
            width = widths.chain([width]).max().unwrap_or(0);
            Ok(Page { written: write(out, &lines, width, options.json), next, more })
        }
        other => Err(Box::new(other)),
    })
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
