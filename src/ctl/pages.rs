//! Asks for what comes in pages, one after the other, until it is at its end or for ever. Knows not what they hold.

use std::{io, time::Duration};

use super::{
    STATUS_LIMIT, UNWRITTEN,
    answer::{self, Form, Shown},
    ask::with_names,
    client::{Conversation, Where},
};
use crate::{
    protocol::{Request, Response},
    text::printable,
};

/// How they are asked for and told.
pub(super) struct Manner<'a> {
    /// Whether for ever.
    pub(super) follow: bool,
    /// How an answer is shown that is no page.
    pub(super) form: Form,
    /// What they hold, for people.
    pub(super) what: &'a str,
}

/// Where the next page begins.
pub(super) struct Next {
    pub(super) names: Vec<String>,
    /// After this number.
    pub(super) after: u64,
    /// Whether it is answered when there is something.
    pub(super) follow: bool,
}

/// A page that was written.
pub(super) struct Page {
    pub(super) written: io::Result<()>,
    /// What the next one comes after.
    pub(super) next: u64,
    /// Whether there is more already.
    pub(super) more: bool,
}

/// Asks by `ask`, beginning with the names of `first`, and has each answer written by `write`, which is told what it comes
/// after and gives back what is no page; what is left to tell is returned.
pub(super) fn turn_over(
    place: &Where,
    first: Request,
    Manner { follow, form, what }: Manner,
    mut ask: impl FnMut(Next) -> Request,
    mut write: impl FnMut(u64, Response) -> Result<Page, Box<Response>>,
) -> Shown {
    let mut conversation = match Conversation::open(place) {
        Ok(conversation) => conversation,
        Err(failure) => return answer::failed(&failure, form),
    };
    let mut names = match with_names(&mut conversation, first, form) {
        Ok(request) => request.names().to_vec(),
        Err(shown) => return shown,
    };
    let (mut after, mut follows, mut has_begun) = (0, false, false);
    let mut removed = Vec::new();
    loop {
        let request = ask(Next { names: names.clone(), after, follow: follows });
        // While there is nothing new, nothing is said.
        let limit: Option<Duration> = if follows { None } else { Some(STATUS_LIMIT) };
        let page = match conversation.ask(&request, limit).map(|response| write(after, response)) {
            Ok(Ok(page)) => page,
            Ok(Err(response)) => match *response {
                Response::NoSuchService { names: gone, .. } if has_begun && drop_names(&mut names, &gone) => {
                    removed.extend(
                        gone.iter().map(|name| format!("service \"{}\" was removed", printable(name))),
                    );
                    if names.is_empty() {
                        return Shown { errors: removed, ..Shown::default() };
                    }
                    continue;
                }
                other => return answer::show(&request, &other, form),
            },
            Err(failure) => return answer::failed(&failure, form),
        };
        if let Err(error) = page.written {
            return unwritten(what, &error);
        }
        (after, has_begun) = (page.next, true);
        if !page.more && !follow {
            return Shown { errors: removed, ..Shown::default() };
        }
        follows = !page.more;
    }
}

/// Whether any of them is one of those that are gone: these are asked for no more.
fn drop_names(names: &mut Vec<String>, gone: &[String]) -> bool {
    let before = names.len();
    names.retain(|name| !gone.contains(name));
    names.len() < before
}

/// A reader that has seen enough (`| head`) is no error.
fn unwritten(what: &str, error: &io::Error) -> Shown {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Shown::default(),
        _ => Shown {
            errors: vec![format!("cannot write the {what}: {error}")],
            code: UNWRITTEN,
            ..Shown::default()
        },
    }
}
