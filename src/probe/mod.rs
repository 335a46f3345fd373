//! `musterd probe`: asks one address once whether somebody answers. Needs no manager, knows no service, and
//! does not ask again.
//!
//! It parses what strangers send, and so is a process of its own, with no rights to lose.

use std::{
    fmt,
    io::{self, Write},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

mod address;
mod ask;
pub(crate) mod http;
mod rights;

pub use address::Address;

/// The exit code where the address could not be asked or the answer is a failure.
const FAILED: u8 = 1;

const NOTES: &str = "\
Addresses:
  tcp://HOST:PORT            succeeds when the connection is made; nothing is sent
  http://HOST[:PORT][/PATH]  succeeds when GET is answered with a status of success

HOST is a name (as in /etc/hosts or the DNS), an IPv4 address, or an IPv6 address in brackets. https is not spoken:
ask the service's plain port, or use a command of its own.

Exit codes:
  0  It answers
  1  It does not; one line on stderr says why
  2  Misuse

Example:
  musterd probe --timeout 2s http://127.0.0.1:8080/health";

/// The arguments of `musterd probe`.
#[derive(Debug, clap::Args)]
#[command(about = "Ask an address once whether somebody answers", after_help = NOTES)]
pub struct Arguments {
    /// tcp://HOST:PORT or http://HOST[:PORT][/PATH]
    #[arg(value_name = "URL", value_parser = Address::parse)]
    address: Address,
    /// How long all of it may take, finding the name included
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    timeout: Duration,
    /// The status codes of HTTP that are a success: A-B, or one
    #[arg(long, value_name = "CODES", default_value = "200-399", value_parser = statuses)]
    status: RangeInclusive<u16>,
}

fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be more than 0s".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(error.to_string()),
    }
}

fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 200 <= first && first <= last && last <= 599 => Ok(first..=last),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            Err("must be codes from 200 to 599, as 200-299 or 204".to_owned())
        }
    }
}

/// What a probe is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Finding,
    Connecting,
    Reading,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Finding => "finding the name",
            Step::Connecting => "connecting",
            Step::Reading => "waiting for the answer",
        })
    }
}

/// Asks; returns the exit code.
pub fn run(arguments: Arguments) -> u8 {
    match rights::give_up().and_then(|()| within(arguments)) {
        Ok(()) => 0,
        Err(reason) => {
            // Where the reason cannot be written, the exit code still tells.
            let _ = writeln!(io::stderr(), "{reason}");
            FAILED
        }
    }
}

/// Asks in a second thread, which ends with the process: finding a name takes as long as the C library likes.
fn within(arguments: Arguments) -> Result<(), String> {
    let Arguments { address, timeout, status } = arguments;
    let shown = address.to_string();
    let step = Arc::new(Mutex::new(Step::Finding));
    let (tell, told) = mpsc::channel();
    let doing = Arc::clone(&step);
    let started = thread::Builder::new().spawn(move || {
        let at = |now: Step| *doing.lock().unwrap_or_else(PoisonError::into_inner) = now;
        // The receiver is gone when the time is over, and the process with it.
        let _ = tell.send(ask::ask(&address, timeout, &status, at));
    });
    started.map_err(|error| {
        format!("cannot probe {shown}: cannot make a thread: {}", crate::text::reason(&error))
    })?;
    match told.recv_timeout(timeout) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => {
            let step = *step.lock().unwrap_or_else(PoisonError::into_inner);
            let verb = if step == Step::Reading { "get an answer from" } else { "connect to" };
            let limit = humantime::format_duration(timeout);
            Err(format!("cannot {verb} {shown}: still {step} after {limit}"))
        }
        Err(RecvTimeoutError::Disconnected) => Err(format!("cannot probe {shown}: bug in musterd")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_or_a_range() {
        assert_eq!(statuses("204"), Ok(204..=204));
        assert_eq!(statuses("200-299"), Ok(200..=299));
        for wrong in ["", "2xx", "299-200", "100-200", "200-600", "200-", "-1", "65536"] {
            assert!(statuses(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_limit_is_more_than_nothing() {
        assert_eq!(timeout("1s 500ms"), Ok(Duration::from_millis(1500)));
        assert!(timeout("0s").is_err() && timeout("5").is_err());
    }
}
