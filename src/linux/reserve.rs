//! Descriptors held back for what must go on when all others are used up: looking at the processes, and clients.
//! Knows nothing of what they are lent for.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::{fcntl_dupfd_cloexec, retry_on_intr},
};

/// So many descriptors that nobody else can have.
///
/// They are copies of one that means nothing: a copy takes no memory of the kernel's, so that only a lower limit, or
/// somebody who was faster, keeps them from being taken again.
#[derive(Debug)]
pub struct Reserve {
    source: OwnedFd,
    held: Vec<OwnedFd>,
    size: usize,
}

impl Reserve {
    /// Takes `size` descriptors, and one to copy.
    ///
    /// # Errors
    /// There are not so many left.
    pub fn new(size: usize) -> io::Result<Self> {
        let source = eventfd(0, EventfdFlags::CLOEXEC)?;
        let mut reserve = Self { source, held: Vec::with_capacity(size), size };
        while reserve.held.len() < size {
            reserve.take()?;
        }
        Ok(reserve)
    }

    /// Gives all of them up, for what is done next; to be taken again by [`Reserve::refill`].
    pub fn release(&mut self) {
        self.held.clear();
    }

    /// Gives one of them up; false if none is left.
    pub fn release_one(&mut self) -> bool {
        self.held.pop().is_some()
    }

    /// Takes what was given up again, as far as there is any; costs nothing where none is missing.
    pub fn refill(&mut self) {
        while self.held.len() < self.size && self.take().is_ok() {}
    }

    fn take(&mut self) -> io::Result<()> {
        self.held.push(retry_on_intr(|| fcntl_dupfd_cloexec(self.source.as_fd(), 0))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn what_was_given_up_can_be_had_and_is_taken_again() {
        let mut reserve = Reserve::new(3).unwrap();
        let numbers = |reserve: &Reserve| reserve.held.iter().map(OwnedFd::as_raw_fd).collect::<Vec<_>>();
        assert_eq!(numbers(&reserve).len(), 3);
        assert!(reserve.release_one() && reserve.release_one());
        assert_eq!(numbers(&reserve).len(), 1);
        let _file = File::open("/dev/null").unwrap();
        reserve.refill();
        assert_eq!(numbers(&reserve).len(), 3);
        reserve.release();
        assert!(!reserve.release_one(), "none is left");
        reserve.refill();
        assert_eq!(numbers(&reserve).len(), 3);
    }
}
