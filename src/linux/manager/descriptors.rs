//! How many descriptors a musterd needs, and what is said where there are fewer. Takes none.

use std::{collections::HashSet, io};

use nix::{
    libc,
    sys::resource::{Resource, getrlimit},
};

use crate::{
    config::{Destination, Service},
    text::reason,
};

/// A log file, what waits for its pipes, and what of it outlives musterd.
const OF_A_LOG_FILE: usize = 3;

/// musterd's own and its reserves, without clients and probes.
const OWN: usize = 32;

/// What one look at the processes takes at a time: a folder, a file in it, and what sysinfo opens.
pub(super) const FOR_A_LOOK: usize = 8;

/// Says once, at the beginning, that not all services will have their descriptors at the same time.
pub(super) fn warn_if_few(services: &[Service]) {
    if let Some((needed, limit)) = lack(services) {
        let services = services.len();
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
fn lack(services: &[Service]) -> Option<(usize, u64)> {
    let needed = needed(services);
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    (needed as u64 > limit).then_some((needed, limit))
}

fn needed(services: &[Service]) -> usize {
    let mut needed = OWN;
    let mut files = HashSet::new();
    for service in services {
        // The main process.
        needed += 1;
        for destination in [&service.log.stdout, &service.log.stderr] {
            needed += match destination {
                // Both ends of a pipe.
                Destination::Prefix | Destination::File(_) => 2,
                Destination::Raw | Destination::None => 1,
            };
            if let Destination::File(file) = destination {
                files.insert(&file.path);
            }
        }
    }
    needed + OF_A_LOG_FILE * files.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Command, LogFile, ServiceName};

    fn service(name: &str, stdout: Destination) -> Service {
        let command = Command { argv: vec!["true".to_owned()], environment: Vec::new() };
        let mut service = Service::new(ServiceName::parse(name).unwrap(), command);
        service.log.stdout = stdout;
        service
    }

    #[test]
    fn a_log_file_counts_once() {
        let file = || Destination::File(LogFile { path: "/log".into(), max_size: 1, keep: 1 });
        let services = [Destination::Prefix, file(), file(), Destination::Raw];
        let services: Vec<Service> =
            services.into_iter().map(|destination| service("web", destination)).collect();
        assert_eq!(needed(&services), OWN + 3 * 5 + 4 + OF_A_LOG_FILE);
    }
}
