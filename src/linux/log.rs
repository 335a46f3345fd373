//! Receives musterd's own messages and keeps them for the `Output`. Writes them only while there is none.

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    format: LogFormat,
    level: LevelFilter,
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
        Self(Arc::new(Shared { format, level: filter(level), state: Mutex::new(state) }))
    }

    /// Makes it the receiver of all of the process' messages. Fails if there is one already.
    pub fn install(&self) -> Result<(), SetGlobalDefaultError> {
        tracing::subscriber::set_global_default(self.clone())
    }

    /// The form of the messages, and of the services' lines.
    pub fn format(&self) -> LogFormat {
        self.0.format
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
            let mut message = Message::new(self.0.format);
            message.put("cause", "more came than stderr took");
            message.put("message", &format!("{dropped} of musterd's own messages were dropped"));
            queue.extend_from_slice(message.finish(Level::WARN, width).as_bytes());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spans are not used: a loop of one thread has events only.
impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::new(self.0.format);
        event.record(&mut message);
        let width = self.state().width;
        let line = message.finish(*event.metadata().level(), width);
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

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn write_out(bytes: &[u8]) {
    sink::write_briefly(io::stderr().as_fd(), bytes);
}
