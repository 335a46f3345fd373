//! What happened to each service lately, for `ctl why` and `ctl events`. Puts it into words only when somebody asks.
//!
//! Each service remembers its last [`KEPT`] entries; what musterd itself did is one more story.

use std::collections::VecDeque;

use super::{
    Action, Caller, ClientId, ServiceId, Supervisor, service::Service, state::Reason, status::Depth,
};
use crate::{
    config::{LogLevel, Service as ServiceConfig, ServiceName},
    process::{Exit, Pid},
    protocol::{EVENTS_VERSION, ExitWords, Happening, LastExit, Request, Response, StateName, What},
    time::Time,
};

/// So many entries are kept of each service: some ten rounds of a crash loop. An entry has some 200 bytes, and at most
/// what the configuration and a probe's last line add.
pub(super) const KEPT: usize = 64;

/// So many ends are shown with a service's state.
const EXITS: usize = 5;

/// So many events are in one answer: made in a millisecond, and little enough for each of many clients.
const PAGE: usize = 500;

/// One thing that happened.
#[derive(Clone, Debug)]
struct Entry {
    /// Ascends by one over all stories.
    number: u64,
    at: Time,
    pid: Option<Pid>,
    what: Tale,
}

/// An entry, and whose it is; `None`: musterd's own.
type Told<'a> = (Option<&'a ServiceName>, &'a Entry);

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Tale {
    /// People see another state.
    State { from: StateName, to: StateName, reason: Reason },
    /// The main process or start command ended.
    Exit(Exit),
    /// A client asked for something to be done.
    Request { verb: &'static str, caller: Caller },
    /// As in a `Notice`.
    Message { level: LogLevel, message: &'static str, cause: String, consequence: Option<String> },
}

/// The last entries about one service, or about musterd itself.
#[derive(Debug, Default)]
pub(super) struct Story {
    entries: VecDeque<Entry>,
    forgotten: u64,
}

impl Story {
    fn add(&mut self, entry: Entry) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(entry);
    }

    fn after(&self, number: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.entries.partition_point(|entry| entry.number <= number)..)
    }

    fn last_number(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.number)
    }
}

/// What all stories share.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    /// The time of the step that is made.
    pub(super) now: Time,
    /// The last number that was given.
    last: u64,
    own: Story,
    /// The last of services that were removed, with their names: who followed one may not have asked for them yet.
    departed: VecDeque<(ServiceName, Entry)>,
    followers: Vec<Follower>,
}

/// A client that waits for the next event about services, or about anything.
#[derive(Debug)]
struct Follower {
    client: ClientId,
    services: Option<Vec<ServiceId>>,
    after: u64,
    /// Up to this number there is nothing for it.
    seen: u64,
}

impl Supervisor {
    /// Adds to the story of a service, or of musterd itself.
    pub(super) fn remember(&mut self, id: Option<ServiceId>, pid: Option<Pid>, what: Tale) {
        self.chronicle.last += 1;
        let entry = Entry { number: self.chronicle.last, at: self.chronicle.now, pid, what };
        match id {
            Some(id) => self.services[id].story.add(entry),
            None => self.chronicle.own.add(entry),
        }
    }

    /// The story of one service, with its state.
    pub(super) fn story(&self, now: Time, id: ServiceId) -> Response {
        let Service { story, config: ServiceConfig { name, .. }, .. } = &self.services[id];
        Response::Story {
            service: Box::new(self.status(now, id, Depth::History)),
            events: story.entries.iter().map(|entry| self.happening((Some(name), entry))).collect(),
            forgotten: story.forgotten,
        }
    }

    /// Answers with the events after this number, of these services or (`None`) of everything; where there is none,
    /// one who follows waits.
    pub(super) fn asked_events(
        &mut self,
        client: ClientId,
        services: Option<Vec<ServiceId>>,
        after: u64,
        follow: bool,
    ) {
        if follow && !self.is_news(services.as_deref(), after) {
            let seen = self.chronicle.last;
            self.chronicle.followers.push(Follower { client, services, after, seen });
            return;
        }
        let response = self.events(services.as_deref(), |_| false, after);
        self.actions.push(Action::Reply { client, response });
    }

    /// Answers those whose event has come.
    pub(super) fn answer_followers(&mut self) {
        for mut follower in std::mem::take(&mut self.chronicle.followers) {
            let is_old = follower.seen == self.chronicle.last;
            if !is_old && self.is_news(follower.services.as_deref(), follower.seen) {
                let response = self.events(follower.services.as_deref(), |_| false, follower.after);
                self.actions.push(Action::Reply { client: follower.client, response });
            } else {
                follower.seen = self.chronicle.last;
                self.chronicle.followers.push(follower);
            }
        }
    }

    /// The service is about to be no more: who followed nothing else is told so.
    pub(super) fn end_story(&mut self, id: ServiceId) {
        let name = self.services[id].config.name.clone();
        let entries = std::mem::take(&mut self.services[id].story.entries);
        let departed = &mut self.chronicle.departed;
        departed.extend(entries.into_iter().map(|entry| (name.clone(), entry)));
        departed.drain(..departed.len().saturating_sub(KEPT));
        let leaves = |services: &mut Vec<ServiceId>| {
            services.retain(|&service| service != id);
            services.is_empty()
        };
        let ended: Vec<Follower> = self
            .chronicle
            .followers
            .extract_if(.., |follower| follower.services.as_mut().is_some_and(leaves))
            .collect();
        for Follower { client, .. } in ended {
            let others = self.services.ids().filter(|&other| other != id);
            let known = others.map(|other| self.services[other].config.name.to_string()).collect();
            let response = Response::NoSuchService { names: vec![name.to_string()], known };
            self.actions.push(Action::Reply { client, response });
        }
    }

    /// What one who follows services of these names has not heard of those that were removed; and of the others.
    pub(super) fn last_events(&self, request: &Request) -> Option<Response> {
        let Request::Events { names, after: after @ 1.., .. } = request else { return None };
        let is_named = |name: &ServiceName| names.iter().any(|other| *other == name.as_str());
        let mut departed = self.departed_after(*after);
        if !departed.any(|(name, _)| name.is_some_and(is_named)) {
            return None;
        }
        let services = self.services.ids().filter(|&id| is_named(&self.services[id].config.name));
        Some(self.events(Some(&services.collect::<Vec<_>>()), is_named, *after))
    }

    /// Nobody is there to be told.
    pub(super) fn unfollow(&mut self, client: ClientId) {
        self.chronicle.followers.retain(|follower| follower.client != client);
    }

    fn is_news(&self, services: Option<&[ServiceId]>, after: u64) -> bool {
        match services {
            None => self.chronicle.last > after,
            Some(services) => services.iter().any(|&id| self.services[id].story.last_number() > after),
        }
    }

    /// Of these services and of those that have `departed`, or (`None`) of everything.
    fn events(
        &self,
        services: Option<&[ServiceId]>,
        departed: impl Fn(&ServiceName) -> bool,
        after: u64,
    ) -> Response {
        let mut found: Vec<Told> = match services {
            Some(services) => {
                let left = self.departed_after(after).filter(|(name, _)| name.is_some_and(&departed));
                services.iter().flat_map(|&id| self.entries_after(id, after)).chain(left).collect()
            }
            None => self.everybody_after(after).collect(),
        };
        found.sort_unstable_by_key(|(_, entry)| entry.number);
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        let end = found.last().filter(|_| more).map(|(_, entry)| entry.number);
        let next = end.unwrap_or(self.chronicle.last);
        let known = self.everybody_after(after).filter(|(_, entry)| entry.number <= next).count();
        Response::Events {
            version: EVENTS_VERSION,
            events: found.into_iter().map(|told| self.happening(told)).collect(),
            next,
            missed: next.saturating_sub(after).saturating_sub(known as u64),
            more,
        }
    }

    fn everybody_after(&self, after: u64) -> impl Iterator<Item = Told<'_>> {
        let services = self.services.ids().flat_map(move |id| self.entries_after(id, after));
        let own = self.chronicle.own.after(after).map(|entry| (None, entry));
        services.chain(self.departed_after(after)).chain(own)
    }

    fn entries_after(&self, id: ServiceId, after: u64) -> impl Iterator<Item = Told<'_>> {
        let Service { story, config: ServiceConfig { name, .. }, .. } = &self.services[id];
        story.after(after).map(move |entry| (Some(name), entry))
    }

    fn departed_after(&self, after: u64) -> impl Iterator<Item = Told<'_>> {
        let entries = self.chronicle.departed.iter().map(|(name, entry)| (Some(name), entry));
        entries.filter(move |(_, entry)| entry.number > after)
    }

    /// The last ends of a service's main process, the latest first.
    pub(super) fn last_exits(&self, id: ServiceId) -> Vec<LastExit> {
        let ends = self.services[id].story.entries.iter().rev().filter_map(|entry| match entry.what {
            Tale::Exit(exit) => Some((entry, exit)),
            Tale::State { .. } | Tale::Request { .. } | Tale::Message { .. } => None,
        });
        ends.take(EXITS)
            .map(|(entry, exit)| LastExit {
                time: self.wall_clock_to_milliseconds(entry.at),
                pid: entry.pid.unwrap_or_default(),
                text: exit.to_string(),
                exit: exit_words(exit),
            })
            .collect()
    }

    fn happening(&self, (name, entry): Told<'_>) -> Happening {
        Happening {
            number: entry.number,
            time: self.wall_clock_to_milliseconds(entry.at),
            service: name.map(ServiceName::to_string),
            pid: entry.pid,
            what: match &entry.what {
                Tale::State { from, to, reason } => {
                    What::State { from: *from, to: *to, cause: reason.cause(), reason: reason.to_string() }
                }
                Tale::Exit(exit) => What::Exit(exit_words(*exit)),
                Tale::Request { verb, caller } => {
                    What::Request { verb: (*verb).to_owned(), uid: caller.uid, client: caller.pid }
                }
                Tale::Message { level, message, cause, consequence } => What::Message {
                    level: *level,
                    message: (*message).to_owned(),
                    cause: cause.clone(),
                    consequence: consequence.clone(),
                },
            },
        }
    }
}

fn exit_words(exit: Exit) -> ExitWords {
    let oom = exit == Exit::OutOfMemory;
    ExitWords { code: exit.code(), signal: exit.signal_name(), core: exit.dumped_core(), oom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_full_stories_have_room_in_a_small_container() {
        assert!(KEPT * size_of::<Entry>() <= 16 * 1024, "{}", size_of::<Entry>());
    }
}
