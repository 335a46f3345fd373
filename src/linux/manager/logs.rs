//! Answers what clients ask of the output: lines, log files, the level of messages. Decides nothing about services.

use std::collections::HashMap;

use super::Manager;
use crate::{
    linux::{
        control::{Asked, Control},
        output::Wanted,
    },
    protocol::{LogLine, Request, Response, Status},
    supervisor::{ClientId, Notice, ServiceId},
};

/// The last lines of services that were removed wait for clients that are about to ask for them: not more than so many
/// bytes of them all.
const MAX_LAST: usize = 1024 * 1024;

/// Clients that read lines page by page.
#[derive(Debug, Default)]
pub(super) struct Followers(Vec<Follower>);

/// A client that waits for lines of services, which may have none yet, or has got some and may ask for more.
#[derive(Debug)]
struct Follower {
    client: ClientId,
    /// What it asked last.
    request: Request,
    services: Vec<ServiceId>,
    /// It knows all lines up to this number.
    after: u64,
    waits: bool,
    /// The last lines of services that were removed while it did not wait.
    last: Vec<LogLine>,
}

impl Followers {
    /// A client has gone.
    pub(super) fn hung_up(&mut self, client: ClientId) {
        self.0.retain(|follower| follower.client != client);
    }

    /// Gives out what was kept for a client that asks for what comes after this number.
    fn take_last(&mut self, client: ClientId, after: u64) -> Option<Vec<LogLine>> {
        let of_client = |follower: &&mut Follower| follower.client == client && follower.after == after;
        let last = std::mem::take(&mut self.0.iter_mut().find(of_client)?.last);
        Some(last).filter(|last| !last.is_empty())
    }

    /// How many bytes the last lines take that wait.
    fn size_of_last(&self) -> usize {
        self.0.iter().map(|follower| size_of_lines(&follower.last)).sum()
    }
}

fn size_of_lines(lines: &[LogLine]) -> usize {
    let texts = |line: &LogLine| line.time.len() + line.service.len() + line.message.len();
    lines.iter().map(|line| size_of::<LogLine>() + texts(line)).sum()
}

impl Manager {
    /// Answers a request about the output; gives back any other.
    pub(super) fn serve_output(&mut self, asked: Asked) -> Option<Asked> {
        let response = match &asked.request {
            Request::Logs { .. } => match self.lines(asked.client, &asked.request) {
                Ok(Some(response)) | Err(response) => response,
                Ok(None) => return None,
            },
            Request::Reopen => {
                self.reopen(&format!("ctl (uid {}, pid {})", asked.peer.uid, asked.peer.pid));
                Response::Done
            }
            Request::LogLevel { level } => {
                self.log.set_level(*level);
                tracing::info!(level = ?level, uid = asked.peer.uid, cause = "ctl log-level", "level of messages");
                Response::Done
            }
            Request::ReloadConfiguration { dry_run } => self.reload_asked(*dry_run, &asked.peer),
            Request::Status { .. }
            | Request::Why { .. }
            | Request::Events { .. }
            | Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Signal { .. }
            | Request::Check { .. }
            | Request::Shutdown => return Some(asked),
        };
        self.answer(asked.client, &response);
        None
    }

    /// Opens what services write into whom a musterd before this one has started: they need not be started again.
    pub(super) fn open_left(&mut self) {
        let ids: Vec<ServiceId> = self.supervisor.services().map(|(id, _)| id).collect();
        for id in ids {
            if self.output.has_left(self.supervisor.config(id).name.as_str())
                && let Err(error) = self.open_outlet(id)
            {
                let service = self.supervisor.config(id).name.as_str();
                tracing::warn!(service, cause = error, "cannot read what it wrote meanwhile");
            }
        }
    }

    /// Opens the log files anew.
    pub(super) fn reopen(&mut self, cause: &str) {
        self.output.reopen();
        tracing::info!(cause, "log files opened anew");
    }

    /// Answers those who wait for lines that came now, or for a service that is no more.
    pub(super) fn serve_followers(&mut self) {
        let (waiting, others) =
            std::mem::take(&mut self.followers.0).into_iter().partition(|follower: &Follower| follower.waits);
        self.followers.0 = others;
        for follower in waiting {
            let Follower { client, request, services, after, .. } = &follower;
            let are_there = services.iter().all(|&id| self.supervisor.has(id));
            if are_there && !self.output.has_after(&self.wanted(services, *after).services, *after) {
                self.followers.0.push(follower);
            } else if let Ok(Some(response)) | Err(response) = self.lines(*client, request) {
                self.answer(*client, &response);
            }
        }
    }

    /// The lines of a service that is about to be no more go to those who follow it, or are kept until they ask.
    pub(super) fn give_last_lines(&mut self, service: ServiceId) {
        let Some(outlet) = self.outlet(service) else { return };
        self.output.flush_lines(outlet, true, self.now);
        let mut room = MAX_LAST.saturating_sub(self.followers.size_of_last());
        for mut follower in std::mem::take(&mut self.followers.0) {
            let (services, after) = (vec![outlet], follower.after);
            let follows = follower.services.contains(&service);
            let lines =
                follows.then(|| self.output.page(&Wanted { services, after, since: None, lines: None }));
            let lines = lines.map_or_else(Vec::new, |page| page.lines);
            if follower.waits && !lines.is_empty() {
                follower.waits = false;
                self.answer(follower.client, &Response::Lines { lines, next: after, more: true });
            } else if let Some(left) = room.checked_sub(size_of_lines(&lines)) {
                room = left;
                follower.last.extend(lines);
            }
            self.followers.0.push(follower);
        }
    }

    /// Puts a decision among the lines of its service.
    pub(super) fn mark(&mut self, notice: &Notice) {
        let Some(name) = &notice.service else { return };
        let of_name = self.supervisor.services().find(|(_, config)| config.name == *name);
        let Some((id, _)) = of_name else { return };
        let mut text = format!("{}: {}", notice.message, notice.cause);
        if let Some(consequence) = &notice.consequence {
            text.push_str("; ");
            text.push_str(consequence);
        }
        if let Some(outlet) = self.outlet(id) {
            self.output.mark(outlet, notice.pid, &text);
        }
    }

    /// The lines that are asked for; `None`: there are none, and the client waits.
    fn lines(&mut self, client: ClientId, request: &Request) -> Result<Option<Response>, Response> {
        let Request::Logs { names: _, after, lines, since, follow } = request else { return Ok(None) };
        let after = *after;
        if let Some(lines) = self.followers.take_last(client, after) {
            return Ok(Some(Response::Lines { lines, next: after, more: true }));
        }
        let (ids, known): (Vec<ServiceId>, Vec<&str>) =
            self.supervisor.services().map(|(id, config)| (id, config.name.as_str())).unzip();
        let chosen = request.choose(&known)?;
        let services: Vec<ServiceId> = chosen.into_iter().map(|at| ids[at]).collect();
        let since = match since.as_deref().map(humantime::parse_rfc3339).transpose() {
            Ok(since) => since,
            Err(error) => {
                return Err(Response::Refused { reason: format!("cannot understand since: {error}") });
            }
        };
        let wanted = Wanted { since, lines: *lines, ..self.wanted(&services, after) };
        let waits = *follow && !self.output.has_after(&wanted.services, after);
        let page = (!waits).then(|| self.output.page(&wanted));
        let after = page.as_ref().map_or(after, |page| page.next);
        let request = request.clone();
        self.remember(Follower { client, request, services, after, waits, last: Vec::new() });
        Ok(page.map(|page| Response::Lines { lines: page.lines, next: page.next, more: page.more }))
    }

    /// Of clients that went while they did not wait nobody tells.
    fn remember(&mut self, follower: Follower) {
        let Some(control) = self.endpoint.control() else { return };
        self.followers.0.retain(|other| other.client != follower.client && control.has(other.client));
        self.followers.0.push(follower);
    }

    /// All lines of these services after this number.
    fn wanted(&self, services: &[ServiceId], after: u64) -> Wanted {
        let services = services.iter().filter_map(|&id| self.outlet(id)).collect();
        Wanted { services, after, since: None, lines: None }
    }

    /// Adds to what is told of services in full what the output knows of them.
    pub(super) fn complete(&self, mut response: Response) -> Response {
        let Response::Services { services } = &mut response else { return response };
        let in_full = services.iter_mut().filter(|status| !status.detail.is_empty());
        let mut told: HashMap<String, &mut Status> =
            in_full.map(|status| (status.name.clone(), status)).collect();
        if told.is_empty() {
            return response;
        }
        for (id, config) in self.supervisor.services() {
            if let (Some(status), Some(outlet)) = (told.get_mut(config.name.as_str()), self.outlet(id)) {
                status.log_failures = self.output.log_failures(outlet);
            }
        }
        response
    }

    pub(super) fn answer(&mut self, client: ClientId, response: &Response) {
        if let Some(control) = self.endpoint.control() {
            Control::reply(control, &self.epoll, client, response, self.now);
        }
    }
}
