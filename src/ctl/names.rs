//! The services' names, for completions: cheap, and silent where there is no manager.

use std::time::Duration;

use super::{
    NO_ANSWER,
    answer::Shown,
    client::{Conversation, Where},
};
use crate::protocol::{Request, Response};

/// How long somebody who has pressed Tab waits.
const LIMIT: Duration = Duration::from_secs(1);

/// Prints each name on a line of its own.
pub(super) fn run(place: &Where) -> Shown {
    let request = Request::status(Vec::new());
    match Conversation::open(place).and_then(|mut manager| manager.ask(&request, Some(LIMIT))) {
        Ok(Response::Services { services }) => {
            let output = services.iter().map(|service| format!("{}\n", service.name)).collect();
            Shown { output, ..Shown::default() }
        }
        Ok(_) | Err(_) => Shown { code: NO_ANSWER, ..Shown::default() },
    }
}
