//! Answers what clients ask of the output: lines, log files, the level of messages. Decides nothing about services.

use std::collections::HashMap;

use super::Manager;
use crate::{
    linux::{
        control::{Asked, Control},
        output::Wanted,
    },
    protocol::{Request, Response, Status},
    supervisor::{ClientId, Notice, ServiceId},
};

/// Clients that wait for lines.
#[derive(Debug, Default)]
pub(super) struct Followers(Vec<Follower>);

/// A client that waits for lines of services, which may have none yet.
#[derive(Debug)]
struct Follower {
    client: ClientId,
    services: Vec<ServiceId>,
    after: u64,
}

impl Followers {
    /// A client has gone.
    pub(super) fn hung_up(&mut self, client: ClientId) {
        self.0.retain(|follower| follower.client != client);
    }
}

impl Manager {
    /// Answers a request about the output; gives back any other.
    pub(super) fn serve_output(&mut self, asked: Asked) -> Option<Asked> {
        let response = match &asked.request {
            Request::Logs { .. } => match self.lines(&asked) {
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

    /// Answers those who wait for lines that came now.
    pub(super) fn serve_followers(&mut self) {
        for follower in std::mem::take(&mut self.followers.0) {
            let wanted = self.wanted(&follower.services, follower.after);
            if self.output.has_after(&wanted.services, wanted.after) {
                let response = self.page(&wanted);
                self.answer(follower.client, &response);
            } else {
                self.followers.0.push(follower);
            }
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
    fn lines(&mut self, asked: &Asked) -> Result<Option<Response>, Response> {
        let Request::Logs { names: _, after, lines, since, follow } = &asked.request else { return Ok(None) };
        let (ids, known): (Vec<ServiceId>, Vec<&str>) =
            self.supervisor.services().map(|(id, config)| (id, config.name.as_str())).unzip();
        let chosen = asked.request.choose(&known)?;
        let services: Vec<ServiceId> = chosen.into_iter().map(|at| ids[at]).collect();
        let since = match since.as_deref().map(humantime::parse_rfc3339).transpose() {
            Ok(since) => since,
            Err(error) => {
                return Err(Response::Refused { reason: format!("cannot understand since: {error}") });
            }
        };
        let wanted = Wanted { since, lines: *lines, ..self.wanted(&services, *after) };
        if *follow && !self.output.has_after(&wanted.services, *after) {
            self.followers.0.push(Follower { client: asked.client, services, after: *after });
            return Ok(None);
        }
        Ok(Some(self.page(&wanted)))
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
        for (id, config) in self.supervisor.services() {
            if let (Some(status), Some(outlet)) = (told.get_mut(config.name.as_str()), self.outlet(id)) {
                status.log_failures = self.output.log_failures(outlet);
            }
        }
        response
    }

    fn page(&self, wanted: &Wanted) -> Response {
        let page = self.output.page(wanted);
        Response::Lines { lines: page.lines, next: page.next, more: page.more }
    }

    pub(super) fn answer(&mut self, client: ClientId, response: &Response) {
        if let Some(control) = self.endpoint.control() {
            Control::reply(control, &self.epoll, client, response, self.now);
        }
    }
}
