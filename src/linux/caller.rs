//! Finds out who musterd is, for what only root can do. Judges nothing.

use std::path::Path;

use nix::{
    sys::resource::getrlimit,
    unistd::{getegid, geteuid, getgroups},
};
use rustix::{fs::OFlags, process::getpriority_process};

use super::small_file;
use crate::config::{Ordinary, resources};

/// A line takes some 50 bytes: enough for 20,000 users or groups.
const LONGEST: u64 = 1 << 20;

/// Who musterd is, where it is not root.
pub fn ordinary() -> Option<Ordinary> {
    let user = geteuid();
    if user.is_root() {
        return None;
    }
    let known = |path: &str| {
        let text = small_file::read(Path::new(path), LONGEST, OFlags::empty());
        text.map(|(text, _)| ids(&text)).unwrap_or_default()
    };
    let score = small_file::read(Path::new("/proc/self/oom_score_adj"), LONGEST, OFlags::empty()).ok();
    let score = score.and_then(|(text, _)| String::from_utf8(text).ok()?.trim().parse().ok());
    let hard = |resource| Some((resource, getrlimit(resource).ok()?.1));
    let of_user = known("/etc/passwd").into_iter().filter(|(_, id)| *id == user.as_raw());
    Some(Ordinary {
        user: user.as_raw(),
        user_names: of_user.map(|(name, _)| name).collect(),
        group: getegid().as_raw(),
        groups: getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect(),
        known_groups: known("/etc/group"),
        nice: getpriority_process(None).unwrap_or(0),
        oom_score_adj: score.unwrap_or(0),
        hard_limits: resources().filter_map(hard).collect(),
    })
}

/// The names of passwd(5) or group(5) with their IDs, which both have in the third field.
fn ids(text: &[u8]) -> Vec<(String, u32)> {
    let lines = text.split(|&byte| byte == b'\n');
    let id = |line: &[u8]| {
        let mut fields = str::from_utf8(line).ok()?.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    lines.filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_id_of_the_third_field() {
        let text = b"root:x:0:\n# note\nadm:x:4:syslog,me\nbad:x:y:\n";
        assert_eq!(ids(text), [("root".to_owned(), 0), ("adm".to_owned(), 4)]);
    }
}
