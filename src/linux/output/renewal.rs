//! Services whose output goes elsewhere from now on, or that are no more. Reads no configuration.

use std::{io, mem, os::fd::AsFd};

use super::{End, Outlet, Output, PAUSE, writing::Part};
use crate::{
    config::{Destination, Logging},
    linux::{channel::Source, lines::Ending, render::Stream},
    time::Time,
};

impl Output {
    /// From now on a service's output goes where these keys say, with what it has written and nobody could read yet.
    /// Where musterd was not between and is not to be (`raw`, `none`), only what is started from now on writes there.
    ///
    /// # Errors
    /// No descriptor is left, or a log file cannot be opened: a stream that cannot be changed stays as it was.
    pub fn change_service(
        &mut self,
        outlet: Outlet,
        name: &str,
        logging: &Logging,
        now: Time,
    ) -> io::Result<()> {
        if self.services[outlet.0].logging.as_ref() == Some(logging) {
            return Ok(());
        }
        self.take_messages();
        // Where one stream is changed and the other cannot be, it is neither as before nor as it is to be.
        self.services[outlet.0].logging = None;
        let ends = [(Stream::Stdout, &logging.stdout), (Stream::Stderr, &logging.stderr)];
        for (index, (stream, destination)) in (2 * outlet.0..).zip(ends) {
            if matches!(self.pipes[index], End::Pipe(_)) && destination.has_lines() {
                self.redirect(index, stream, destination, logging, now)?;
            } else {
                let end = self.end(name, stream, destination, logging.overflow, index)?;
                self.close(index, now);
                self.pipes[index] = end;
            }
        }
        self.history.set_limit(outlet.0, logging.memory);
        self.services[outlet.0].logging = Some(logging.clone());
        Ok(())
    }

    /// Whether what a service has written waits for the reader of musterd's output.
    pub fn is_held(&self, outlet: Outlet) -> bool {
        let mut channels = self.pipes[2 * outlet.0..][..2].iter().filter_map(End::channel);
        channels.any(|channel| self.channels[channel].is_held())
    }

    /// Frees the descriptors of a service of which nothing runs; [`Output::change_service`] opens its outlet again.
    pub fn close_service(&mut self, outlet: Outlet, now: Time) {
        self.take_messages();
        self.services[outlet.0].logging = None;
        self.close(2 * outlet.0, now);
        self.close(2 * outlet.0 + 1, now);
    }

    /// The service is no more: gives out what it has left behind, and frees what it had. Its outlet may be that of
    /// another service then.
    pub fn remove_service(&mut self, outlet: Outlet, now: Time) {
        self.close_service(outlet, now);
        self.tell_drops_of(outlet.0);
        self.await_line(outlet, None);
        self.history.remove(outlet.0);
        self.free.push(outlet.0);
    }

    /// The pipe stays and flows into another channel, or into the same one in another way; a line that has begun goes
    /// with it. What the pipe holds goes where it went until now, unless that is held back.
    fn redirect(
        &mut self,
        index: usize,
        stream: Stream,
        destination: &Destination,
        logging: &Logging,
        now: Time,
    ) -> io::Result<()> {
        let channel = self.channel(stream, destination)?;
        let overflow = logging.overflow;
        let End::Pipe(pipe) = &self.pipes[index] else { return Ok(()) };
        if (pipe.channel, pipe.overflow) == (channel, overflow) {
            return Ok(());
        }
        // Where there is no room for it, it stays where it is, and is read.
        let source = Source { fd: pipe.feed.read_end.as_fd(), index, overflow };
        self.channels[channel].add_source(&self.epoll, source)?;
        if !self.channels[pipe.channel].is_held() {
            self.empty(index, now);
        }
        let End::Pipe(pipe) = &mut self.pipes[index] else { return Ok(()) };
        let source = Source { fd: pipe.feed.read_end.as_fd(), index, overflow: pipe.overflow };
        self.channels[pipe.channel].remove_source(&source);
        self.channels[pipe.channel].set_due(index, pipe.due, None);
        // Nobody waits for a prompt in a file.
        let is_awaited = !pipe.lines.is_empty() && !self.channels[channel].is_file();
        pipe.due = is_awaited.then(|| now + PAUSE);
        self.channels[channel].set_due(index, None, pipe.due);
        pipe.pace.begin_anew();
        (pipe.channel, pipe.overflow) = (channel, overflow);
        Ok(())
    }

    /// Gives out what a pipe still holds, and closes it. While nobody reads musterd's output, that is queued as far as
    /// there is room, and counted as dropped beyond that.
    fn close(&mut self, index: usize, now: Time) {
        if let End::Pipe(pipe) = &mut self.pipes[index] {
            pipe.is_closing = true;
            self.empty(index, now);
            self.give_out(index, Part::Rest(Ending::Whole));
        }
        let end = mem::replace(&mut self.pipes[index], End::Gone);
        self.release(&end);
        if let End::Pipe(pipe) = end {
            let channel = &mut self.channels[pipe.channel];
            let fd = pipe.feed.read_end.as_fd();
            channel.remove_source(&Source { fd, index, overflow: pipe.overflow });
            channel.set_due(index, pipe.due, None);
        }
    }
}
