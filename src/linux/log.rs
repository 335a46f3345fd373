//! Receives musterd's own messages and keeps them for the `Output`. Writes them only while there is none.

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use tracing::{
    Event, Level, Metadata, Subscriber, level_filters::LevelFilter, span, subscriber::SetGlobalDefaultError,
};

use super::{
    message::Message,
    render::{self, OWN_NAME},
    sink,
};
use crate::config::{LogFormat, LogLevel};

/// How many bytes of messages wait for the `Output`, and there for a stderr that nobody reads; what is more is dropped
/// and counted.
const LIMIT: usize = 64 * 1024;

/// The wall clock, for what people read; no decision may depend on it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Where musterd's own messages go. A clone is the same log.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whether it is JSON.
    is_json: AtomicBool,
    /// The place of the level in `LEVELS`.
    level: AtomicUsize,
    /// Whether a line of text begins with its time.
    times: AtomicBool,
    state: Mutex<State>,
}

/// A mutex, because `tracing` asks for one; it is held for a copy of bytes only, and never while something is logged.
#[derive(Debug)]
struct State {
    /// Whether an `Output` takes the messages.
    attached: bool,
    width: usize,
    pending: Vec<u8>,
    dropped: usize,
}

impl Log {
    /// A log in this form of all that is at least this important.
    pub fn new(format: LogFormat, level: LogLevel) -> Self {
        let width = render::width(OWN_NAME);
        let state = State { attached: false, width, pending: Vec::new(), dropped: 0 };
        let (level, times) = (AtomicUsize::new(place(level)), AtomicBool::new(false));
        let is_json = AtomicBool::new(format == LogFormat::Json);
        Self(Arc::new(Shared { is_json, level, times, state: Mutex::new(state) }))
    }

    /// From now on messages, and lines of services, are told in this form.
    pub fn set_format(&self, format: LogFormat) {
        self.0.is_json.store(format == LogFormat::Json, Ordering::Relaxed);
    }

    /// Whether from now on each line of text, of services too, begins with its time.
    pub fn set_times(&self, times: bool) {
        self.0.times.store(times, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(super) fn has_times(&self) -> bool {
        self.0.times.load(Ordering::Relaxed)
    }

    /// From now on all that is at least this important is told.
    pub fn set_level(&self, level: LogLevel) {
        self.0.level.store(place(level), Ordering::Relaxed);
        // tracing remembers what nobody wanted to hear.
        tracing::callsite::rebuild_interest_cache();
    }

    fn level(&self) -> LevelFilter {
        LEVELS[self.0.level.load(Ordering::Relaxed)]
    }

    /// Makes it the receiver of all of the process' messages. Fails if there is one already.
    pub fn install(&self) -> Result<(), SetGlobalDefaultError> {
        tracing::subscriber::set_global_default(self.clone())
    }

    /// The form of the messages, and of the services' lines.
    pub fn format(&self) -> LogFormat {
        if self.0.is_json.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Text }
    }

    /// Lines up the messages with names of this width.
    pub(super) fn set_width(&self, width: usize) {
        self.state().width = width;
    }

    /// From now on an `Output` takes the messages.
    pub(super) fn attach(&self) {
        self.state().attached = true;
    }

    /// From now on messages are written as they come.
    pub(super) fn detach(&self) {
        let mut rest = Vec::new();
        self.take(&mut rest);
        self.state().attached = false;
        write_out(&rest);
    }

    /// Whether so many messages wait that the `Output` should take them before the turn is over.
    pub(super) fn is_filling(&self) -> bool {
        self.state().pending.len() > LIMIT / 2
    }

    /// Moves the messages that wait to the end of `queue`.
    pub(super) fn take(&self, queue: &mut Vec<u8>) {
        let (dropped, width) = {
            let mut state = self.state();
            queue.append(&mut state.pending);
            (std::mem::take(&mut state.dropped), state.width)
        };
        if dropped > 0 {
            let mut message = Message::new(self.format());
            message.put("cause", "more came than stderr took");
            message.put("message", &format!("{dropped} of musterd's own messages were dropped"));
            queue.extend_from_slice(message.finish(Level::WARN, width, self.has_times()).as_bytes());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spans are not used: a loop of one thread has events only.
impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::new(self.format());
        event.record(&mut message);
        let width = self.state().width;
        let line = message.finish(*event.metadata().level(), width, self.has_times());
        let mut state = self.state();
        if !state.attached {
            drop(state);
            write_out(line.as_bytes());
        } else if state.dropped == 0 && state.pending.len() + line.len() <= LIMIT {
            state.pending.extend_from_slice(line.as_bytes());
        } else {
            state.dropped += 1;
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The levels by their place.
const LEVELS: [LevelFilter; 5] =
    [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];

fn place(level: LogLevel) -> usize {
    match level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
        LogLevel::Trace => 4,
    }
}

fn write_out(bytes: &[u8]) {
    sink::write_briefly(io::stderr().as_fd(), bytes);
}
