//! What epoll returns of an event: the highest byte tells whose it is, the rest which one. Waits for nothing.

use nix::sys::epoll::{EpollEvent, EpollFlags};

use crate::process::Pid;

const TAG_SHIFT: u32 = 56;

pub(super) const SIGNALS: u8 = 0;
pub(super) const OUTPUT: u8 = 1;
pub(super) const PROCESS: u8 = 2;
pub(super) const CONTROL: u8 = 3;
pub(super) const PROBE: u8 = 4;
pub(super) const NOTIFY: u8 = 5;

pub(super) fn token(tag: u8, rest: u64) -> u64 {
    u64::from(tag) << TAG_SHIFT | rest
}

pub(super) fn tag_of(token: u64) -> u8 {
    token.to_be_bytes()[0]
}

/// The PID in a token.
pub(super) fn pid_of(token: u64) -> Option<Pid> {
    Pid::try_from(token & !(0xFF << TAG_SHIFT)).ok()
}

pub(super) fn readable(tag: u8) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, token(tag, 0))
}
