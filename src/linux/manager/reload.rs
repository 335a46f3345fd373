//! Reads the configuration again when that is asked for. Decides nothing about services.

use super::Manager;
use crate::{linux::control::Peer, protocol::Response};

impl Manager {
    /// A client asks for what a new configuration changes, and unless it is a dry run, for doing it.
    pub(super) fn reload_asked(&mut self, _dry_run: bool, _peer: &Peer) -> Response {
        Response::Refused { reason: "this musterd cannot read its configuration again yet".to_owned() }
    }
}
