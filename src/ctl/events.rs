//! `musterd ctl events`: asks for events, page by page, and writes them. Keeps none.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    answer::{Form, Shown},
    client::Where,
    pages::{self, Manner, Next, Page},
    why::{told, way},
};
use crate::{
    protocol::{EVENTS_VERSION, Happening, Request, Response, What},
    text::printable,
};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The services: names, or patterns such as 'web*'; without any all, and musterd itself
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Print a JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

impl Options {
    /// The first request: later ones go on where its answer ends.
    pub(super) fn request(&self) -> Request {
        Request::Events { names: self.names.clone(), after: 0, follow: false }
    }
}

/// An event for programs.
#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    #[serde(flatten)]
    event: &'a Happening,
}

/// Writes the events that are asked for to `out`; what is left to tell is returned.
pub(super) fn run(place: &Where, options: &Options, out: &mut impl Write) -> Shown {
    let ask = |Next { names, after, follow }| Request::Events { names, after, follow };
    let manner = Manner { follow: options.follow, form: Form::of(options.json), what: "events" };
    pages::turn_over(place, options.request(), manner, ask, |after, response| {
        match response {
            Response::Events { version: _, events, next, missed, more } => {
                // What was forgotten before the first answer, nobody could have heard.
                let missed = if after == 0 { 0 } else { missed };
                Ok(Page { written: write(out, &events, missed, options.json), next, more })
            }
            other => Err(Box::new(other)),
        }
    })
}

fn write(out: &mut impl Write, events: &[Happening], missed: u64, json: bool) -> io::Result<()> {
    let mut text = String::new();
    match (missed, json) {
        (0, _) => {}
        (_, true) => {
            text += &format!("{{\"version\":{EVENTS_VERSION},\"event\":\"missed\",\"missed\":{missed}}}\n");
        }
        (_, false) => text += &format!("-- {missed} events missed --\n"),
    }
    for event in events {
        // Cannot fail: plain fields.
        let line = Line { version: EVENTS_VERSION, event };
        text += &if json { serde_json::to_string(&line).unwrap_or_default() } else { shown(event) };
        text.push('\n');
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// An event for people: `2026-11-21T12:00:00.000Z web: running → starting: main process 7 exited 1`.
fn shown(event: &Happening) -> String {
    let Happening { time, service, pid, what, number: _ } = event;
    let service = service.as_deref().unwrap_or("musterd");
    let state = match what {
        What::State { from, to, .. } => way((*from, *to)) + ": ",
        What::Exit(_) | What::Request { .. } | What::Message { .. } | What::Unknown => String::new(),
    };
    format!("{} {}: {state}{}", printable(time), printable(service), printable(&told(what, *pid)))
}
