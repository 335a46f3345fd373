//! Gives musterd's own messages their form, as text or as JSON. Sends them nowhere.
//!
//! A message is constant text; what varies is in fields. Three names have a place of their own in text:
//! `service "web": MESSAGE key=value: CAUSE; CONSEQUENCE` (fields `service`, `cause` and `consequence`).

use std::fmt;

use tracing::{
    Level,
    field::{Field, Visit},
};

use super::{
    log::wall_clock,
    render::{self, OWN_NAME, push},
};
use crate::{config::LogFormat, text::push_printable};

/// The longest value of a field, in bytes: an argument vector may have megabytes.
const LONGEST_VALUE: usize = 4096;

/// A message's parts, as they come.
pub(super) struct Message {
    format: LogFormat,
    message: String,
    service: Option<String>,
    cause: Option<String>,
    consequence: Option<String>,
    /// All other fields; in JSON these three too.
    fields: String,
}

impl Message {
    /// An empty message in this form.
    pub(super) fn new(format: LogFormat) -> Self {
        let (message, fields) = (String::new(), String::new());
        Self { format, message, service: None, cause: None, consequence: None, fields }
    }

    /// Adds a field; the one called `message` is the text.
    pub(super) fn put(&mut self, key: &str, value: &str) {
        let value = clipped(value);
        match (self.format, key) {
            (_, "message") => self.message = value,
            (LogFormat::Text, "service") => self.service = Some(value),
            (LogFormat::Text, "cause") => self.cause = Some(value),
            (LogFormat::Text, "consequence") => self.consequence = Some(value),
            (LogFormat::Text, _) => {
                self.key(key);
                if value.is_empty() || value.contains([' ', '"', '=']) {
                    push(&mut self.fields, format_args!("{value:?}"));
                } else {
                    push_printable(&value, &mut self.fields);
                }
            }
            (LogFormat::Json, _) => {
                self.key(key);
                render::json_string(value.as_bytes(), &mut self.fields);
            }
        }
    }

    /// A number or a truth value: JSON has them too.
    fn put_bare(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        push(&mut self.fields, format_args!("{value}"));
    }

    fn key(&mut self, key: &str) {
        match self.format {
            LogFormat::Text => push(&mut self.fields, format_args!(" {key}=")),
            LogFormat::Json => push(&mut self.fields, format_args!(",\"{key}\":")),
        }
    }

    /// The whole line, with its newline.
    pub(super) fn finish(self, level: Level, width: usize, times: bool) -> String {
        let mut line = String::new();
        match self.format {
            LogFormat::Text => {
                render::text_lead(width, OWN_NAME, times.then(wall_clock), None, &mut line);
                line.push_str(label(level));
                if let Some(service) = &self.service {
                    push(&mut line, format_args!("service {service:?}: "));
                }
                push_printable(&self.message, &mut line);
                line.push_str(&self.fields);
                for (mark, part) in [(": ", &self.cause), ("; ", &self.consequence)] {
                    if let Some(part) = part {
                        line.push_str(mark);
                        push_printable(part, &mut line);
                    }
                }
            }
            LogFormat::Json => {
                render::json_time(wall_clock(), &mut line);
                push(&mut line, format_args!(",\"level\":\"{}\",\"message\":", name(level)));
                render::json_string(self.message.as_bytes(), &mut line);
                line.push_str(&self.fields);
                line.push('}');
            }
        }
        line.push('\n');
        line
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field.name(), value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field.name(), value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field.name(), value);
    }
}

/// What stands before a message of this level in text.
fn label(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error: ",
        Level::WARN => "warning: ",
        Level::INFO | Level::DEBUG | Level::TRACE => "",
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn clipped(value: &str) -> String {
    let end = value.floor_char_boundary(LONGEST_VALUE);
    if end == value.len() { value.to_owned() } else { format!("{}…", &value[..end]) }
}
