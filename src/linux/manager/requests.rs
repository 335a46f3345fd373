//! Takes up what clients ask: what concerns the output is answered here, the decider is asked for the rest.

use std::time::Duration;

use super::{Manager, clock};
use crate::{
    linux::control::{Asked, Control},
    supervisor::{Caller, Event},
};

/// How long requests are answered before it is the processes' turn again: a restart waits for no flood of questions.
const SERVING: Duration = Duration::from_millis(1);

impl Manager {
    /// Takes up what clients ask, until others have waited long enough: what is left is for the next turn. An answer may
    /// bring the next request with it, that was sent without waiting: no event of the socket tells of that one.
    pub(super) fn answer_requests(&mut self) {
        let until = clock() + SERVING;
        while let Some(asked) = self.endpoint.control().and_then(Control::next_request) {
            self.serve(asked);
            if clock() >= until {
                break;
            }
        }
        while let Some(client) = self.endpoint.control().and_then(Control::next_hang_up) {
            self.followers.hung_up(client);
            self.feed(Event::HungUp { client });
        }
    }

    fn serve(&mut self, asked: Asked) {
        let caller = Caller { uid: asked.peer.uid, pid: asked.peer.pid, observes: asked.observes };
        if let Some(response) = self.supervisor.known(self.now, caller, &asked.request) {
            let response = self.complete(response);
            return self.answer(asked.client, &response);
        }
        if let Some(Asked { client, request, .. }) = self.serve_output(asked) {
            self.feed(Event::Asked { client, caller, request });
            self.look_around();
        }
    }
}
