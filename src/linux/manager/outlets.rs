//! The pipes of services: opens them where there are descriptors for them, and tells of the lines that are awaited
//! there. Reads none of them.

use std::io;

use super::{Manager, descriptors};
use crate::{
    linux::output::Outlet,
    supervisor::{Event, ServiceId},
};

impl Manager {
    pub(super) fn outlet(&self, service: ServiceId) -> Option<Outlet> {
        self.outlets.get(service.0 as usize).copied().flatten()
    }

    /// The service's pipes, made when they are first needed: where there are too few descriptors, those that are there
    /// go to as many services as can have all that they need.
    pub(super) fn open_outlet(&mut self, service: ServiceId) -> Result<Outlet, String> {
        let opened = match self.try_outlet(service) {
            Err(_) if self.close_resting(service) => self.try_outlet(service),
            opened => opened,
        };
        let outlet = opened.map_err(|error| descriptors::pipes_missing(&error))?;
        let at = service.0 as usize;
        self.outlets.resize(self.outlets.len().max(at + 1), None);
        self.outlets[at] = Some(outlet);
        Ok(outlet)
    }

    fn try_outlet(&mut self, service: ServiceId) -> io::Result<Outlet> {
        let config = self.supervisor.config(service);
        let Some(outlet) = self.outlet(service) else {
            return self.output.add_service_as(config.name.as_str(), &config.log);
        };
        self.output.change_service(outlet, config.name.as_str(), &config.log, self.now)?;
        Ok(outlet)
    }

    /// Closes the pipes of all the services but this one of which nothing runs. Whether there are any.
    fn close_resting(&mut self, needy: ServiceId) -> bool {
        let ids = self.supervisor.services().map(|(id, _)| id);
        let resting = ids.filter(|&id| id != needy && self.supervisor.is_at_rest(id));
        let outlets = resting.filter_map(|id| self.outlet(id));
        let outlets: Vec<Outlet> = outlets.filter(|&outlet| !self.output.is_held(outlet)).collect();
        outlets.iter().for_each(|&outlet| self.output.close_service(outlet, self.now));
        !outlets.is_empty()
    }

    /// Tells the output each service's main process, which its lines carry. None changes without an event, so that a
    /// turn of output alone costs nothing.
    pub(super) fn tell_mains(&mut self) {
        if !std::mem::take(&mut self.are_mains_old) {
            return;
        }
        for (id, outlet) in (0..).map(ServiceId).zip(&self.outlets) {
            if let Some(outlet) = *outlet
                && self.supervisor.has(id)
            {
                self.output.set_pid(outlet, self.supervisor.main_pid(id));
            }
        }
    }

    /// Tells of the awaited lines that came.
    pub(super) fn tell_lines(&mut self) {
        for event in self.lines_seen() {
            self.feed(event);
            self.look_around();
        }
    }

    pub(super) fn lines_seen(&mut self) -> Vec<Event> {
        let seen = self.output.take_seen();
        if seen.is_empty() {
            return Vec::new();
        }
        let services = (0..).map(ServiceId).zip(&self.outlets);
        let is_seen = |outlet: &Option<Outlet>| outlet.is_some_and(|outlet| seen.contains(&outlet));
        services.filter(|(_, outlet)| is_seen(outlet)).map(|(id, _)| Event::LineSeen(id)).collect()
    }
}
