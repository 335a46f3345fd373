//! `musterd ctl status --watch`: the table in place, anew each second, until somebody quits. Survives the manager.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    time::{ClockId, Timespec, clock_gettime},
};

use super::{
    MISUSE, STATUS_LIMIT, UNWRITTEN,
    answer::{self, Form, Shown},
    ask,
    client::{Conversation, Failure, Where},
    screen::{Screen, Wish},
    table::{self, Look},
};
use crate::{
    protocol::{Request, Response, Status},
    text::printable,
    time::Time,
};

/// Between two looks; what services take is not measured more often.
const EVERY: Duration = Duration::from_secs(1);

/// How long the rest of an answer may take once it has begun.
const REST: Duration = Duration::from_secs(2);

/// Lines that are no service: the summary, the heading and the last line.
const FRAME: usize = 3;

/// What is shown.
struct Watch<'a> {
    place: &'a Where,
    request: Request,
    look: Look,
    services: Vec<Status>,
    /// Why there is no newer answer.
    trouble: Option<String>,
    conversation: Option<Conversation>,
    /// Until when an answer is waited for.
    patience: Option<Time>,
    /// When to ask next.
    due: Time,
    /// The first service that is seen.
    top: usize,
}

/// Shows the services until somebody quits; what is left to tell is returned.
pub(super) fn run(place: &Where, request: Request, look: Look) -> Shown {
    let mut watch = Watch {
        place,
        look,
        services: Vec::new(),
        trouble: None,
        conversation: None,
        patience: None,
        due: now() + EVERY,
        top: 0,
        request,
    };
    // A name that no service has, and a manager that never was there, are told as ever.
    if !io::stdout().is_terminal() {
        let errors = vec!["cannot watch: stdout is no terminal".to_owned()];
        return Shown { errors, code: MISUSE, ..Shown::default() };
    }
    if let Err(shown) = watch.begin() {
        return shown;
    }
    match Screen::enter().and_then(|screen| watch.turn_on(&screen)) {
        Ok(code) => Shown { code, ..Shown::default() },
        Err(error) => {
            Shown { errors: vec![format!("cannot watch: {error}")], code: UNWRITTEN, ..Shown::default() }
        }
    }
}

impl Watch<'_> {
    fn begin(&mut self) -> Result<(), Shown> {
        let form = Form::Table(self.look);
        let failed = |failure: Failure| answer::failed(&failure, form);
        let mut conversation = Conversation::open(self.place).map_err(failed)?;
        self.request = ask::with_names(&mut conversation, self.request.clone(), form)?;
        match conversation.ask(&self.request, Some(STATUS_LIMIT)).map_err(failed)? {
            Response::Services { services } => {
                self.services = services;
                Ok(())
            }
            response => Err(answer::show(&self.request, &response, form)),
        }
    }

    /// Goes on until somebody quits; returns the exit code.
    fn turn_on(&mut self, screen: &Screen) -> io::Result<u8> {
        loop {
            self.ask_if_due();
            screen.show(&self.lines(Screen::size()))?;
            for wish in self.wait(screen)? {
                match wish {
                    Wish::Quit => return Ok(0),
                    // As a shell tells of who was killed by one.
                    Wish::Signal(number) => return Ok(u8::try_from(128 + number).unwrap_or(u8::MAX)),
                    Wish::Suspend => screen.suspend()?,
                    Wish::Redraw => {}
                    Wish::Top => self.top = 0,
                    Wish::Bottom => self.top = usize::MAX,
                    Wish::Lines(lines) => self.top = self.top.saturating_add_signed(lines),
                    Wish::Pages(pages) => {
                        let page = Screen::size().0.saturating_sub(FRAME).max(1).cast_signed();
                        self.top = self.top.saturating_add_signed(pages.saturating_mul(page));
                    }
                }
                self.top = self.top.min(self.lowest_top());
            }
        }
    }

    fn lowest_top(&self) -> usize {
        self.services.len().saturating_sub(Screen::size().0.saturating_sub(FRAME))
    }

    /// Sends the next request.
    fn ask_if_due(&mut self) {
        if self.patience.is_some_and(|patience| patience <= now()) {
            self.lose(&format!("nothing came within {}", humantime::format_duration(STATUS_LIMIT)));
        }
        if self.patience.is_some() || now() < self.due {
            return;
        }
        let conversation = match self.conversation.take() {
            Some(conversation) => Ok(conversation),
            None => Conversation::open(self.place),
        };
        let sent = conversation.and_then(|mut conversation| {
            conversation.send(&self.request)?;
            Ok(conversation)
        });
        match sent {
            Ok(conversation) => {
                self.conversation = Some(conversation);
                self.patience = Some(now() + STATUS_LIMIT);
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn fail(&mut self, failure: &Failure) {
        match failure {
            Failure::Nobody(_) => self.lose("nobody listens on its socket"),
            Failure::Lost(_, what) => self.lose(what),
            Failure::Late(_, limit) => {
                self.lose(&format!("nothing came within {}", humantime::format_duration(*limit)));
            }
        }
    }

    /// There is no answer, and perhaps no manager: it is tried again.
    fn lose(&mut self, why: &str) {
        self.trouble = Some(why.to_owned());
        (self.conversation, self.patience, self.due) = (None, None, now() + EVERY);
    }

    /// Waits for a key, a signal, an answer or the next request; takes in the answer and gives back the rest.
    fn wait(&mut self, screen: &Screen) -> io::Result<Vec<Wish>> {
        let until = self.patience.unwrap_or(self.due);
        let timeout = Timespec::try_from(until.since(now())).ok();
        let (signals, stdin) = screen.sources();
        let mut sources = vec![PollFd::from_borrowed_fd(signals, PollFlags::IN)];
        sources.extend(stdin.as_ref().map(|stdin| PollFd::new(stdin, PollFlags::IN)));
        let answers = self.conversation.as_ref().filter(|_| self.patience.is_some());
        sources.extend(answers.map(|answers| PollFd::from_borrowed_fd(answers.as_fd(), PollFlags::IN)));
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let came: Vec<bool> = sources.iter().map(|source| !source.revents().is_empty()).collect();
        let (has_keys, has_answer) = match (stdin.is_some(), came.as_slice()) {
            (true, [_, keys, answer @ ..]) => (*keys, answer.contains(&true)),
            (_, [_, answer @ ..]) => (false, answer.contains(&true)),
            (_, []) => (false, false),
        };
        let mut wishes = screen.heard();
        if has_keys {
            wishes.extend(screen.keys());
        }
        if has_answer {
            self.receive();
        }
        Ok(wishes)
    }

    fn receive(&mut self) {
        let Some(conversation) = &mut self.conversation else { return };
        match conversation.receive(Some(REST)) {
            Ok(Response::Services { services }) => {
                (self.services, self.trouble) = (services, None);
                (self.patience, self.due) = (None, now() + EVERY);
            }
            Ok(Response::Refused { reason }) => self.lose(&reason),
            Ok(Response::NoSuchService { .. }) => self.lose("a service that was asked for is there no more"),
            Ok(_) => self.lose("it answers otherwise than this musterd"),
            Err(failure) => self.fail(&failure),
        }
    }

    /// What is on a screen of this size.
    fn lines(&self, (rows, columns): (usize, usize)) -> Vec<String> {
        let look = Look { width: Some(columns), ..self.look };
        let table = table::lines(&self.services, look);
        let room = rows.saturating_sub(FRAME);
        let last = (self.top + room).min(self.services.len());
        let (heading, services) = table
            .split_first()
            .map_or((String::new(), &[][..]), |(heading, services)| (heading.clone(), services));
        let mut lines = vec![self.summary(columns), heading];
        lines.extend(services.iter().skip(self.top).take(room).cloned());
        lines.resize(rows.saturating_sub(1), String::new());
        let help = match self.top..last {
            seen if seen.len() < self.services.len() => format!(
                "q quits; {} to {} of {}: arrows, page up, page down",
                seen.start + 1,
                seen.end,
                self.services.len()
            ),
            _ => "q quits".to_owned(),
        };
        lines.push(table::cut(&help, columns));
        lines.truncate(rows);
        lines
    }

    fn summary(&self, columns: usize) -> String {
        let paint = |text: String, colour: &str| {
            let text = table::cut(&text, columns);
            if self.look.colour { format!("{colour}{text}\x1b[0m") } else { text }
        };
        if let Some(trouble) = &self.trouble {
            let told = format!("no answer from the manager: {}; trying again", printable(trouble));
            return paint(told, "\x1b[31m");
        }
        let missed: Vec<String> = answer::missed(&self.services).map(printable).collect();
        let all =
            format!("{} service{}", self.services.len(), if self.services.len() == 1 { "" } else { "s" });
        match missed.len() {
            0 => paint(format!("{all}, all as wanted"), ""),
            count => paint(format!("{all}, {count} not as wanted: {}", missed.join(", ")), "\x1b[31m"),
        }
    }
}

/// The monotonic clock.
fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative: the clock counts from the boot on.
    Time::from_boot(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
}
