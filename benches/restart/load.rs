//! Restarts while clients ask for states, so many times a second. Compares nothing with other managers.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    folder::Folder,
    machine::Machine,
    managers::Manager,
    observer::{Observer, now, sleep},
};

/// Connections that share the requests.
const CLIENTS: u32 = 4;

/// A client sends what is due once in this time, one request behind the other.
const BEAT: Duration = Duration::from_millis(1);

/// The least time that requests are counted for.
const WINDOW: Duration = Duration::from_secs(3);

/// Between two kills of all services at once, for the output of the last restarts.
const REST: Duration = Duration::from_millis(500);

/// How often all services are killed at one instant.
const STORMS: usize = 5;

/// What is asked so often.
struct Question {
    what: &'static str,
    request: Option<&'static str>,
    /// In a second.
    rate: u32,
}

/// What came of it.
#[derive(Default)]
struct Answers {
    /// From the request to the last byte of its answer.
    times: Vec<Duration>,
    /// In a second.
    rate: f64,
}

/// Measures restarts of each of the services, alone and all at once, without requests and with `rate` a second.
///
/// # Errors
/// Events were lost, or musterd does not answer.
pub(crate) fn run(observer: &mut Observer, services: usize, rate: u32) -> io::Result<()> {
    let questions = [
        Question { what: "no requests", request: None, rate },
        Question {
            what: "status of one",
            request: Some("{\"verb\":\"status\",\"names\":[\"svc0007\"]}\n"),
            rate,
        },
        Question { what: "status of all", request: Some("{\"verb\":\"status\"}\n"), rate },
    ];
    println!(
        "{services} services; restart: from kill -9 to the exec of the next process; median / 99 % / greatest\n"
    );
    println!(
        "| asked {rate} times a second | answered | answer after | restart of one | all killed at once, until the last is back |"
    );
    println!("|---|---|---|---|---|");
    let folder = Folder::new()?;
    let programs = folder.programs(services)?;
    for (at, question) in questions.iter().enumerate() {
        let place = folder.sub(&at.to_string())?;
        let socket = place.join("socket");
        let mut machine = Machine::start(observer, Manager::Musterd, place, &programs)?;
        if machine.await_up(observer)?.is_none() {
            return Err(io::Error::other(machine.last_words()));
        }
        sleep(REST);
        let over = AtomicBool::new(false);
        let (answers, restarts) = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .filter_map(|_| question.request)
                .map(|request| scope.spawn(|| ask(&socket, request, question.rate / CLIENTS, &over)))
                .collect();
            let restarts = restarts(observer, &mut machine, services);
            over.store(true, Ordering::Relaxed);
            let answers: io::Result<Vec<Answers>> = clients
                .into_iter()
                .map(|client| client.join().map_err(|_| io::Error::other("a client panicked"))?)
                .collect();
            (answers, restarts)
        });
        let (answers, (alone, together)) = (answers?, restarts?);
        let rate: f64 = answers.iter().map(|answers| answers.rate).sum();
        let times = answers.into_iter().flat_map(|answers| answers.times).collect();
        let (times, alone, together) = (Spread(times), Spread(alone), Spread(together));
        println!("| {} | {rate:.0}/s | {times} | {alone} | {together} |", question.what);
        machine.end(observer)?;
    }
    Ok(())
}

/// The restarts of each service, and of all at once.
fn restarts(
    observer: &mut Observer,
    machine: &mut Machine,
    services: usize,
) -> io::Result<(Vec<Duration>, Vec<Duration>)> {
    let (began, mut alone, mut together) = (now(), Vec::new(), Vec::new());
    let lost = || io::Error::other("a service does not come back");
    for at in 0.. {
        if at >= services && now().saturating_sub(began) >= WINDOW {
            break;
        }
        alone.push(machine.restart(observer, at)?.ok_or_else(lost)?);
    }
    for _ in 0..STORMS {
        together.push(machine.restart_all(observer)?.ok_or_else(lost)?);
        sleep(REST);
    }
    Ok((alone, together))
}

/// Asks `rate` times a second until it is over. What is late is asked for all the same, at once.
fn ask(socket: &Path, request: &str, rate: u32, over: &AtomicBool) -> io::Result<Answers> {
    let mut stream = UnixStream::connect(socket)?;
    let mut reader = BufReader::with_capacity(1 << 18, stream.try_clone()?);
    let (began, mut answers, mut line) = (now(), Answers::default(), Vec::new());
    while !over.load(Ordering::Relaxed) {
        let due = (now().saturating_sub(began).as_secs_f64() * f64::from(rate)) as usize;
        let due = due.saturating_sub(answers.times.len()).min(usize::try_from(rate).unwrap_or(1) / 100);
        if due == 0 {
            sleep(BEAT);
            continue;
        }
        let asked = now();
        stream.write_all(request.repeat(due).as_bytes())?;
        for _ in 0..due {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answers.times.push(now().saturating_sub(asked));
        }
    }
    answers.rate = answers.times.len() as f64 / now().saturating_sub(began).as_secs_f64();
    Ok(answers)
}

/// Median, the 99th of a hundred, and the greatest.
struct Spread(Vec<Duration>);

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.0.clone();
        times.sort_unstable();
        let Some(greatest) = times.last() else { return write!(f, "-") };
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1000.0;
        let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        write!(
            f,
            "{:.2} / {:.2} / {:.2} ms",
            milliseconds(&median),
            milliseconds(&most),
            milliseconds(greatest)
        )
    }
}
