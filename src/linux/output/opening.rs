//! Opens what services write into (pipes, FIFOs that outlive musterd, or what musterd has no part in) and the channels that
//! it flows into. Reads nothing.

use std::{fs::File, io, os::fd::AsFd, path::Path};

use super::{End, Outlet, Output, PAUSE, Pipe, Service, reading::room, writing::Part};
use crate::{
    config::{Destination, Logging, Overflow},
    linux::{
        channel::{Channel, Source},
        feed::{Feed, Fifos, file_name},
        kept::Kept,
        lines::Lines,
        pace::Pace,
        render::{self, Stream},
        sink::Sink,
    },
    text::{printable, reason},
    time::Time,
};

impl Output {
    /// Services that are added from now on get FIFOs in this folder, which is musterd's own: what they write while
    /// there is no musterd is read when one is back. Those of other services than these are removed.
    ///
    /// # Errors
    /// There can be none: services get pipes.
    pub fn keep_fifos<'a>(&mut self, folder: &Path, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
        self.fifos = Some(Fifos::open(folder, names)?);
        match Kept::open(folder) {
            Ok(mut kept) => {
                for channel in &mut self.channels {
                    channel.keep(kept.queue(channel.name()));
                }
                self.kept = Some(kept);
            }
            Err(error) => {
                let consequence = "what was read and not yet written is lost if musterd is killed";
                tracing::warn!(cause = reason(&error), consequence, "cannot keep the services' output");
            }
        }
        Ok(())
    }

    /// Goes on with what a musterd that was killed had read, of the services that have their pipes again.
    pub fn resume(&mut self, now: Time) {
        let Some(kept) = &self.kept else { return };
        if let Some((place, count)) = kept.left(&mut self.buffer) {
            let is_there = |end: &End| matches!(end, End::Pipe(pipe) if pipe.place == Some(place));
            match self.pipes.iter().position(is_there) {
                Some(index) => self.give_out(index, Part::Read { count, now }),
                None => kept.commit(None, None),
            }
        }
        for index in 0..self.pipes.len() {
            let End::Pipe(pipe) = &mut self.pipes[index] else { continue };
            if pipe.due.is_none() && !pipe.lines.is_empty() {
                pipe.due = Some(now + PAUSE);
                self.channels[pipe.channel].set_due(index, None, pipe.due);
            }
        }
    }

    /// Whether a musterd before this one left FIFOs of a service of this name.
    pub fn has_left(&self, name: &str) -> bool {
        self.fifos.as_ref().is_some_and(|fifos| fifos.has_left(name))
    }

    /// Creates a service's pipes. Fails if there is no descriptor left.
    pub fn add_service(&mut self, name: &str) -> io::Result<Outlet> {
        self.add_service_as(name, &Logging::default())
    }

    /// Creates what a service with such keys writes into. Fails if there is no descriptor left.
    pub fn add_service_as(&mut self, name: &str, logging: &Logging) -> io::Result<Outlet> {
        let place = self.free.last().copied().unwrap_or(self.services.len());
        let at = 2 * place;
        let ends = [(Stream::Stdout, &logging.stdout), (Stream::Stderr, &logging.stderr)];
        let mut made = Vec::new();
        for (stream, destination) in ends {
            match self.end(name, stream, destination, logging.overflow, at + made.len()) {
                Ok(end) => made.push(end),
                Err(error) => {
                    made.iter().for_each(|end| self.release(end));
                    return Err(error);
                }
            }
        }
        let shown = printable(name);
        self.width = self.width.max(render::width(&shown));
        self.history.add(place, name, logging.memory);
        let logging = Some(logging.clone());
        let service = Service { name: shown, pid: None, logging, awaited: None, dropped: 0 };
        if self.free.pop().is_some() {
            self.pipes.splice(at..at + 2, made);
            self.services[place] = service;
        } else {
            self.pipes.extend(made);
            self.services.push(service);
        }
        self.log.set_width(self.width);
        Ok(Outlet(place))
    }

    /// What a service gets as one of its streams.
    pub(super) fn end(
        &mut self,
        service: &str,
        stream: Stream,
        destination: &Destination,
        overflow: Overflow,
        index: usize,
    ) -> io::Result<End> {
        let channel = match destination {
            Destination::Raw => return Ok(End::Direct(self.own[stream as usize].fd.try_clone()?)),
            Destination::None => {
                return Ok(End::Direct(File::options().write(true).open("/dev/null")?.into()));
            }
            Destination::Prefix | Destination::File(_) => self.channel(stream, destination)?,
        };
        let fifo = self.fifos.as_mut().map(|fifos| fifos.feed(service, stream));
        let feed = match fifo {
            Some(Ok(feed)) => feed,
            Some(Err(_)) | None => Feed::pipe()?,
        };
        // A FIFO may have been made larger by a musterd before this one, a new pipe is small where there are many.
        let pace = Pace::new(room(&feed.read_end)?);
        let source = Source { fd: feed.read_end.as_fd(), index, overflow };
        self.channels[channel].add_source(&self.epoll, source)?;
        let place = self.kept.as_mut().and_then(|kept| kept.pipe(&file_name(service, stream)));
        let begun = self.kept.as_ref().zip(place).map(|(kept, place)| kept.partial(place));
        let lines = Lines::begun(begun.unwrap_or_default());
        self.large += usize::from(pace.is_large());
        let (is_closing, due) = (false, None);
        Ok(End::Pipe(Pipe { feed, stream, overflow, channel, place, lines, pace, is_closing, due }))
    }

    /// Nothing is kept of it any more.
    pub(super) fn release(&mut self, end: &End) {
        let End::Pipe(pipe) = end else { return };
        self.large -= usize::from(pipe.pace.is_large());
        if let (Some(place), Some(kept)) = (pipe.place, &mut self.kept) {
            kept.release(place);
        }
    }

    /// The channel to a destination that musterd itself writes to.
    pub(super) fn channel(&mut self, stream: Stream, destination: &Destination) -> io::Result<usize> {
        let Destination::File(file) = destination else { return Ok(self.own[stream as usize].channel) };
        if let Some(&channel) = self.files.get(&file.path) {
            self.channels[channel].change_file(file);
            return Ok(channel);
        }
        let channel = self.channels.len();
        let mut made = Channel::new(&self.epoll, channel, Sink::file(file)?)?;
        made.keep(self.kept.as_mut().and_then(|kept| kept.queue(made.name())));
        self.channels.push(made);
        self.files.insert(file.path.clone(), channel);
        Ok(channel)
    }
}
