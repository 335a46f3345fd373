//! One request and what comes of it: patterns become names, and what takes too long is told as it is by then.

use std::time::Duration;

use super::{
    STATUS_LIMIT,
    answer::{self, Form, Shown},
    client::{Conversation, Failure, Where},
    glob,
};
use crate::protocol::{Request, Response};

/// How long is waited for what services do.
#[derive(Debug, clap::Args)]
pub(super) struct Patience {
    /// Wait until it is done (the default)
    #[arg(long, overrides_with = "no_wait", requires = "names")]
    wait: bool,
    /// Do not wait until it is done
    #[arg(long, conflicts_with = "timeout", requires = "names")]
    no_wait: bool,
    /// Wait no longer than this, 30s for example; what was asked goes on all the same
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "names")]
    pub(super) timeout: Option<Duration>,
}

impl Patience {
    /// Whether it is waited for at all.
    pub(super) fn waits(&self) -> bool {
        !self.no_wait
    }
}

/// A duration that lasts.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "must be a duration such as 30s, more than 0s".to_owned())
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// As long as the services need.
    None,
    /// A manager that takes longer is not well.
    Answer(Duration),
    /// Then is told how far it is.
    Patience(Duration),
}

impl Limit {
    fn duration(self) -> Option<Duration> {
        match self {
            Limit::None => None,
            Limit::Answer(duration) | Limit::Patience(duration) => Some(duration),
        }
    }
}

/// Asks, and shows the answer.
pub(super) fn ask(place: &Where, request: Request, limit: Limit, form: Form) -> Shown {
    let mut conversation = match Conversation::open(place) {
        Ok(conversation) => conversation,
        Err(failure) => return answer::failed(&failure, form),
    };
    let request = match with_names(&mut conversation, request, form) {
        Ok(request) => request,
        Err(shown) => return shown,
    };
    match (conversation.ask(&request, limit.duration()), limit) {
        (Ok(response), _) => answer::show(&request, &response, form),
        (Err(Failure::Late(..)), Limit::Patience(patience)) => late(place, &request, patience, form),
        (Err(failure), _) => answer::failed(&failure, form),
    }
}

/// The request with the names of services in place of patterns.
///
/// # Errors
/// What to show where a pattern has no service, or nobody tells which there are.
pub(super) fn with_names(
    conversation: &mut Conversation,
    request: Request,
    form: Form,
) -> Result<Request, Shown> {
    if !request.names().iter().any(|name| glob::is_pattern(name)) {
        return Ok(request);
    }
    let all = Request::status(Vec::new());
    let known: Vec<String> = match conversation.ask(&all, Some(STATUS_LIMIT)) {
        Ok(Response::Services { services }) => services.into_iter().map(|service| service.name).collect(),
        Ok(other) => return Err(answer::show(&all, &other, form)),
        Err(failure) => return Err(answer::failed(&failure, form)),
    };
    let (mut names, mut missing) = (Vec::new(), Vec::new());
    for given in request.names() {
        let matching = known.iter().filter(|name| glob::matches(given, name));
        let matching: Vec<String> = matching.cloned().collect();
        // A service may be called as a pattern looks.
        if !glob::is_pattern(given) || known.contains(given) {
            names.push(given.clone());
        } else if matching.is_empty() {
            missing.push(given.clone());
        } else {
            names.extend(matching);
        }
    }
    if missing.is_empty() {
        Ok(request.with_names(names))
    } else {
        Err(answer::show(&request, &Response::NoSuchService { names: missing, known }, form))
    }
}

/// The services as they are after so long.
fn late(place: &Where, request: &Request, patience: Duration, form: Form) -> Shown {
    let status = Request::status(request.names().to_vec());
    let answer =
        Conversation::open(place).and_then(|mut conversation| conversation.ask(&status, Some(STATUS_LIMIT)));
    match answer {
        Ok(response) => answer::late(answer::show(request, &response, form), patience),
        Err(failure) => answer::failed(&failure, form),
    }
}
