//! How many descriptors a musterd needs, and what is said where there are fewer. Takes none.

use std::io;

use nix::{
    libc,
    sys::resource::{Resource, getrlimit},
};

use crate::text::reason;

/// Both ends of two pipes, and the main process.
const OF_A_SERVICE: usize = 5;

/// musterd's own and its reserves, without clients and probes.
const OWN: usize = 32;

/// What one look at the processes takes at a time: a folder, a file in it, and what sysinfo opens.
pub(super) const FOR_A_LOOK: usize = 8;

/// Says once, at the beginning, that not all services will have their descriptors at the same time.
pub(super) fn warn_if_few(services: usize) {
    if let Some((needed, limit)) = lack(services) {
        let cause =
            format!("{services} services need {needed} descriptors, the limit (RLIMIT_NOFILE) is {limit}");
        let consequence = "those that get none wait in back-off; the others are managed";
        tracing::warn!(cause, consequence, "too few file descriptors");
    }
}

/// Why there are no pipes for a service.
pub(super) fn pipes_missing(error: &io::Error) -> String {
    let told = format!("cannot make the pipes for its output: {}", reason(error));
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((limit, _)) if error.raw_os_error() == Some(libc::EMFILE) => {
            format!("{told} (RLIMIT_NOFILE is {limit})")
        }
        Ok(_) | Err(_) => told,
    }
}

/// What is needed and what is allowed, where that is less.
fn lack(services: usize) -> Option<(usize, u64)> {
    let needed = OF_A_SERVICE.saturating_mul(services).saturating_add(OWN);
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    (needed as u64 > limit).then_some((needed, limit))
}
