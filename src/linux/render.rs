//! Gives lines of services their form, as text or as JSON. Knows no file descriptor and no clock.

use std::{fmt::Write, time::SystemTime};

use super::lines::Ending;
use crate::{config::LogFormat, process::Pid};

/// The mark at the end of a piece of a line that was too long.
const GOES_ON: &[u8] = b" [line goes on]";

/// The widest column of names: one long name should not push all lines out of a terminal.
const WIDEST: usize = 32;

/// The name before musterd's own messages.
pub(super) const OWN_NAME: &str = "musterd";

/// One of a service's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Where lines come from.
pub(super) struct Origin<'a> {
    pub(super) service: &'a str,
    pub(super) stream: Stream,
    /// The service's main process, while there is one; the line may be another process'.
    pub(super) pid: Option<Pid>,
    pub(super) time: SystemTime,
    /// Whether that is shown in text.
    pub(super) shows_time: bool,
    /// The colour of its name in text: SGR parameters.
    pub(super) colour: Option<&'static str>,
}

/// The colours of services, in turn: those that can be read on black and on white (ECMA-48, SGR).
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// The colour of the service at this place.
pub(super) fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

/// The width of the column of names that `name` needs.
pub(super) fn width(name: &str) -> usize {
    name.chars().count().min(WIDEST)
}

/// Appends what stands before every line of this origin.
pub(super) fn lead(format: LogFormat, width: usize, origin: &Origin<'_>, out: &mut String) {
    match format {
        LogFormat::Text => {
            let time = origin.shows_time.then_some(origin.time);
            text_lead(width, origin.service, time, origin.colour, out);
        }
        LogFormat::Json => {
            json_time(origin.time, out);
            out.push_str(",\"service\":");
            json_string(origin.service.as_bytes(), out);
            out.push_str(",\"stream\":\"");
            out.push_str(origin.stream.name());
            out.push_str("\",\"pid\":");
            match origin.pid {
                Some(pid) => push(out, format_args!("{pid}")),
                None => out.push_str("null"),
            }
            out.push_str(",\"message\":");
        }
    }
}

/// Appends a whole line, with its newline; `lead` is what [`lead`] made.
pub(super) fn line(format: LogFormat, lead: &str, message: &[u8], ending: Ending, out: &mut Vec<u8>) {
    out.reserve(lead.len() + message.len() + GOES_ON.len() + 1);
    out.extend_from_slice(lead.as_bytes());
    match format {
        LogFormat::Text => {
            out.extend_from_slice(message);
            match ending {
                // Most are whole: a prompt, the last line of a program that never ends it.
                Ending::Whole | Ending::Paused => {}
                Ending::Split => out.extend_from_slice(GOES_ON),
            }
        }
        LogFormat::Json => {
            json_bytes(message, out);
            out.extend_from_slice(match ending {
                Ending::Whole => b"}",
                Ending::Split | Ending::Paused => b",\"partial\":true}",
            });
        }
    }
    out.push(b'\n');
}

/// Appends a name as the column before a line of text, with the time before it (RFC 3339 in UTC).
pub(super) fn text_lead(
    width: usize,
    name: &str,
    time: Option<SystemTime>,
    colour: Option<&str>,
    out: &mut String,
) {
    if let Some(time) = time {
        push(out, format_args!("{} ", humantime::format_rfc3339_millis(time)));
    }
    match colour {
        Some(colour) => push(out, format_args!("\x1b[{colour}m{name:<width$} |\x1b[0m ")),
        None => push(out, format_args!("{name:<width$} | ")),
    }
}

/// Appends a line as it came; a piece of one that was too long goes on without a newline.
pub(super) fn plain(message: &[u8], ending: Ending, out: &mut Vec<u8>) {
    out.extend_from_slice(message);
    match ending {
        Ending::Whole | Ending::Paused => out.push(b'\n'),
        Ending::Split => {}
    }
}

/// Appends the beginning of a JSON object, with its first key: the time, RFC 3339 in UTC.
pub(super) fn json_time(time: SystemTime, out: &mut String) {
    push(out, format_args!("{{\"time\":\"{}\"", humantime::format_rfc3339_micros(time)));
}

/// Appends a JSON string; see [`json_bytes`].
pub(super) fn json_string(bytes: &[u8], out: &mut String) {
    let mut quoted = Vec::with_capacity(bytes.len() + 2);
    json_bytes(bytes, &mut quoted);
    out.push_str(&String::from_utf8_lossy(&quoted));
}

/// Appends a JSON string (RFC 8259, section 7). A byte that is not UTF-8, which JSON cannot hold, becomes the four
/// characters `\xHH`.
fn json_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        json_escape(chunk.valid().as_bytes(), out);
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            out.extend_from_slice(&hexadecimal(*byte));
        }
    }
    out.push(b'"');
}

fn json_escape(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\t' => b't',
            b'\r' => b'r',
            b'\n' => b'n',
            ..0x20 => b'u',
            0x20.. => continue,
        };
        out.extend_from_slice(&text[plain..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(b"00");
            out.extend_from_slice(&hexadecimal(byte));
        }
        plain = at + 1;
    }
    out.extend_from_slice(&text[plain..]);
}

fn hexadecimal(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Appends what `format_args!` makes.
pub(super) fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail (its fmt::Write).
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(format: LogFormat, pid: Option<Pid>, message: &[u8], ending: Ending) -> Vec<u8> {
        let origin = Origin {
            service: "web",
            stream: Stream::Stderr,
            pid,
            time: SystemTime::UNIX_EPOCH,
            shows_time: false,
            colour: None,
        };
        let (mut before, mut out) = (String::new(), Vec::new());
        lead(format, 7, &origin, &mut before);
        line(format, &before, message, ending, &mut out);
        out
    }

    #[test]
    fn text_passes_every_byte() {
        assert_eq!(
            rendered(LogFormat::Text, Some(7), b"\x1B[1m\0\xFF\r", Ending::Whole),
            b"web     | \x1B[1m\0\xFF\r\n"
        );
        assert_eq!(
            rendered(LogFormat::Text, None, b"long", Ending::Split),
            b"web     | long [line goes on]\n"
        );
    }

    #[test]
    fn json_escapes() {
        let got = rendered(LogFormat::Json, Some(7), b"a\"b\\c\t\x1B\0\xFFd\xC3\xA9\xE2\x82", Ending::Whole);
        assert_eq!(
            String::from_utf8(got).unwrap(),
            r#"{"time":"1970-01-01T00:00:00.000000Z","service":"web","stream":"stderr","pid":7,"message":"a\"b\\c\t\u001b\u0000\\xffdé\\xe2\\x82"}"#
                .to_owned()
                + "\n"
        );
        let got = rendered(LogFormat::Json, None, b"long", Ending::Split);
        assert_eq!(
            String::from_utf8(got).unwrap(),
            r#"{"time":"1970-01-01T00:00:00.000000Z","service":"web","stream":"stderr","pid":null,"message":"long","partial":true}"#
                .to_owned()
                + "\n"
        );
    }

    #[test]
    fn every_byte_gives_json_that_a_parser_reads() {
        let all: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').collect();
        let got = rendered(LogFormat::Json, None, &all, Ending::Whole);
        let value: serde_json::Value = serde_json::from_slice(&got).unwrap();
        let message = value["message"].as_str().unwrap();
        assert!(message.starts_with("\0\u{1}") && message.ends_with("\\xfe\\xff"), "{message}");
    }
}
