//! What a response means to the one who asked: text, errors, exit code. Prints nothing.

use std::time::Duration;

use super::{
    MISUSE, NO_ANSWER, changes, client, detail, look,
    table::{self, Look},
    why,
};
use crate::{
    protocol::{Failure, MISUNDERSTOOD, Request, Response, StateName, Status},
    text::{nearest, printable},
};

/// The exit code where something that is wanted does not run.
const NOT_AS_WANTED: u8 = 3;

/// What a HEALTHCHECK says of everything that is not well (Dockerfile reference: any other code is reserved).
const UNHEALTHY: u8 = 1;

/// As many services are listed to somebody who named none of them: more are no help.
const LISTED: usize = 10;

/// How services are shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// For people.
    Table(Look),
    /// For programs: one array or object, on one line.
    Json,
    /// For a HEALTHCHECK: what is not as it should be.
    Health,
}

impl Form {
    /// As `--json` says.
    pub(super) fn of(json: bool) -> Self {
        if json { Form::Json } else { Form::Table(look()) }
    }
}

/// What comes of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// For stdout.
    pub(super) output: String,
    /// For stderr, as it is.
    pub(super) report: String,
    /// Lines for stderr.
    pub(super) errors: Vec<String>,
    /// The exit code.
    pub(super) code: u8,
}

/// Shows the response to the request.
pub(super) fn show(request: &Request, response: &Response, form: Form) -> Shown {
    match response {
        Response::Services { services } => {
            let errors = complaints(request, services);
            let as_wanted = errors.is_empty() && wish(request, services);
            let code = match form {
                _ if as_wanted => 0,
                Form::Table(_) | Form::Json => NOT_AS_WANTED,
                Form::Health => UNHEALTHY,
            };
            let output = match (services.as_slice(), form) {
                ([service], Form::Table(look)) if !service.detail.is_empty() => detail::text(service, look),
                _ => text(services, form),
            };
            Shown { output, errors, code, ..Shown::default() }
        }
        Response::Story { service, events, forgotten } => {
            let output = match form {
                Form::Table(look) => why::text(service, events, *forgotten, look),
                // Cannot fail: plain fields.
                Form::Json | Form::Health => serde_json::to_string(response).unwrap_or_default() + "\n",
            };
            Shown { output, ..Shown::default() }
        }
        Response::Lines { .. } | Response::Events { .. } | Response::Done => Shown::default(),
        Response::Changes(changes) => {
            let output = match form {
                // Cannot fail: plain fields and lists of them.
                Form::Json => serde_json::to_string(changes).unwrap_or_default() + "\n",
                Form::Table(_) | Form::Health => changes::text(changes),
            };
            Shown { output, report: changes::warnings(changes), ..Shown::default() }
        }
        Response::WrongConfiguration { report, count } => {
            let errors = vec![format!("{}; everything is as it was", printable(count))];
            let report = report.lines().map(|line| printable(line) + "\n").collect();
            Shown { output: refusal(response, form), report, errors, code: MISUSE }
        }
        Response::NoSuchService { names, known } => {
            let errors = names.iter().map(|name| unknown(name, known)).collect();
            Shown { output: refusal(response, form), errors, code: unanswered(form), ..Shown::default() }
        }
        Response::Failed { failures } => {
            let told = |Failure { name, reason }: &Failure| {
                format!("service \"{}\": {}", printable(name), printable(reason))
            };
            let errors = failures.iter().map(told).collect();
            Shown { output: refusal(response, form), errors, code: NOT_AS_WANTED, ..Shown::default() }
        }
        Response::Refused { reason } => {
            let us = concat!("; this ctl is of musterd ", env!("CARGO_PKG_VERSION"));
            let us = if reason.starts_with(MISUNDERSTOOD) { us } else { "" };
            let errors = vec![format!("refused: {}{us}", printable(reason))];
            Shown { output: refusal(response, form), errors, code: unanswered(form), ..Shown::default() }
        }
    }
}

/// The answer of a manager that did not do what was asked: people are told on stderr, programs here too.
fn refusal(response: &Response, form: Form) -> String {
    match form {
        // Cannot fail: plain fields and lists of them.
        Form::Json => serde_json::to_string(response).unwrap_or_default() + "\n",
        Form::Table(_) | Form::Health => String::new(),
    }
}

/// What could not be asked.
pub(super) fn failed(failure: &client::Failure, form: Form) -> Shown {
    Shown { errors: vec![failure.to_string()], code: unanswered(form), ..Shown::default() }
}

/// The same, where the patience with it is over.
pub(super) fn late(shown: Shown, patience: Duration) -> Shown {
    let mut errors = shown.errors;
    errors.push(format!("not done within {}; it goes on", humantime::format_duration(patience)));
    Shown { errors, code: NOT_AS_WANTED, ..shown }
}

/// The exit code where nobody tells how services are.
pub(super) fn unanswered(form: Form) -> u8 {
    match form {
        Form::Table(_) | Form::Json => NO_ANSWER,
        Form::Health => UNHEALTHY,
    }
}

fn ailment(service: &Status) -> String {
    let Status { name, state, reason, .. } = service;
    format!("service \"{}\" is {state}: {}\n", printable(name), printable(reason))
}

/// Whether it is wanted and does not run.
fn is_missed(service: &Status) -> bool {
    service.wanted && !runs(service.state)
}

fn text(services: &[Status], form: Form) -> String {
    match form {
        Form::Table(look) => table::table(services, look),
        // Cannot fail: a list of plain fields.
        Form::Json => serde_json::to_string(services).unwrap_or_default() + "\n",
        Form::Health => services.iter().filter(|service| is_missed(service)).map(ailment).collect(),
    }
}

/// The names of those that are wanted and do not run.
pub(super) fn missed(services: &[Status]) -> impl Iterator<Item = &str> {
    services.iter().filter(|service| is_missed(service)).map(|service| service.name.as_str())
}

fn wish(request: &Request, services: &[Status]) -> bool {
    match request {
        Request::Status { .. } | Request::Check { .. } => !services.iter().any(is_missed),
        Request::Why { .. }
        | Request::Events { .. }
        | Request::Start { .. }
        | Request::Stop { .. }
        | Request::Restart { .. }
        | Request::Logs { .. }
        | Request::Reopen
        | Request::LogLevel { .. }
        | Request::Reload { .. }
        | Request::Signal { .. }
        | Request::ReloadConfiguration { .. }
        | Request::Shutdown => true,
    }
}

/// What a command did not achieve.
fn complaints(request: &Request, services: &[Status]) -> Vec<String> {
    let (done, what): (fn(StateName) -> bool, _) = match request {
        Request::Status { .. }
        | Request::Why { .. }
        | Request::Events { .. }
        | Request::Logs { .. }
        | Request::Reopen
        | Request::LogLevel { .. }
        | Request::ReloadConfiguration { .. }
        | Request::Reload { .. }
        | Request::Signal { .. }
        | Request::Check { .. }
        | Request::Shutdown
        | Request::Start { wait: false, .. }
        | Request::Restart { wait: false, .. }
        | Request::Stop { wait: false, .. } => return Vec::new(),
        Request::Start { wait: true, .. } | Request::Restart { wait: true, .. } => (runs, "does not run"),
        Request::Stop { wait: true, .. } => (has_stopped, "has not stopped"),
    };
    let failed = services.iter().filter(|service| !done(service.state));
    failed
        .map(|service| {
            format!("service \"{}\" {what}: {}", printable(&service.name), printable(&service.reason))
        })
        .collect()
}

/// Runs, or is done and not to be started again.
fn runs(state: StateName) -> bool {
    match state {
        StateName::Running | StateName::Exited => true,
        StateName::Stopped
        | StateName::Waiting
        | StateName::Starting
        | StateName::Unhealthy
        | StateName::Stopping
        | StateName::Backoff
        | StateName::Failed => false,
    }
}

fn has_stopped(state: StateName) -> bool {
    match state {
        StateName::Stopped | StateName::Exited | StateName::Failed => true,
        StateName::Waiting
        | StateName::Starting
        | StateName::Running
        | StateName::Unhealthy
        | StateName::Stopping
        | StateName::Backoff => false,
    }
}

fn unknown(name: &str, known: &[String]) -> String {
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{}\"?", printable(near)),
        None => {
            let listed: Vec<String> = known.iter().take(LISTED).map(|name| printable(name)).collect();
            let more = if known.len() > LISTED { ", …" } else { "" };
            format!("there are {}{more}", listed.join(", "))
        }
    };
    format!("cannot find a service \"{}\": {help}", printable(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(name: &str) -> String {
        unknown(name, &["apache2", "sshd", "db"].map(str::to_owned))
    }

    #[test]
    fn a_misspelt_name_has_the_nearest_one_beside_it() {
        assert_eq!(hint("apach"), "cannot find a service \"apach\": did you mean \"apache2\"?");
        assert_eq!(hint("ssdh"), "cannot find a service \"ssdh\": did you mean \"sshd\"?");
        assert_eq!(hint("nginx"), "cannot find a service \"nginx\": there are apache2, sshd, db");
        let many: Vec<String> = (0..12).map(|at| format!("service-{at}")).collect();
        assert!(unknown("x\n", &many).ends_with(
            "\"x\\n\": there are service-0, service-1, service-2, \
            service-3, service-4, service-5, service-6, service-7, service-8, service-9, …"
        ));
    }
}
