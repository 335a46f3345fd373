//! Finds out who musterd is where it is not root, for what only root can do. Judges nothing.

use std::path::Path;

use nix::{
    sys::resource::getrlimit,
    unistd::{getegid, geteuid, getgroups},
};
use rustix::{fs::OFlags, process::getpriority_process};

use super::{accounts, small_file};
use crate::config::{Ordinary, resources};

/// A number and its newline.
const LONGEST: u64 = 16;

/// Who musterd is, where it is not root.
pub fn of_this_process() -> Option<Ordinary> {
    let user = geteuid();
    if user.is_root() {
        return None;
    }
    let score = small_file::read(Path::new("/proc/self/oom_score_adj"), LONGEST, OFlags::empty()).ok();
    let score = score.and_then(|(text, _)| String::from_utf8(text).ok()?.trim().parse().ok());
    let hard = |resource| Some((resource, getrlimit(resource).ok()?.1));
    let of_user = accounts::user_names().into_iter().filter(|(_, id)| *id == user.as_raw());
    Some(Ordinary {
        user: user.as_raw(),
        user_names: of_user.map(|(name, _)| name).collect(),
        group: getegid().as_raw(),
        groups: getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect(),
        known_groups: accounts::group_names(),
        nice: getpriority_process(None).unwrap_or(0),
        oom_score_adj: score.unwrap_or(0),
        hard_limits: resources().filter_map(hard).collect(),
    })
}
