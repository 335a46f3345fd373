//! Whether the kernel has killed processes of musterd's own cgroup since memory was out. Which ones it does not say.

use std::{
    fs::{self, File},
    io::Read,
};

use nix::libc;

use crate::process::Exit;

/// Room for all counters.
const LINES: usize = 512;

/// The kernel's counter of such kills, in musterd's cgroup and all below it.
#[derive(Debug, Default)]
pub(super) struct OomKills {
    /// `None` where there is no such counter that musterd may read.
    file: Option<String>,
    seen: u64,
}

impl OomKills {
    /// Finds the counter: `oom_kill` in memory.events (the kernel's admin-guide/cgroup-v2.rst) or, in the first version of
    /// cgroups, in memory.oom_control.
    pub(super) fn new() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut kills = Self { file: files(&own).into_iter().find(|path| File::open(path).is_ok()), seen: 0 };
        kills.has_struck();
        kills
    }

    /// How a process ended: by SIGKILL, perhaps for this.
    pub(super) fn judge(&mut self, exit: Exit) -> Exit {
        match exit {
            Exit::Signal { number: libc::SIGKILL, .. } if self.has_struck() => Exit::OutOfMemory,
            Exit::Code(_) | Exit::Signal { .. } | Exit::OutOfMemory | Exit::Unknown => exit,
        }
    }

    /// What was killed by now is not what will be heard of.
    pub(super) fn forget(&mut self) {
        self.has_struck();
    }

    /// Whether there were more since this was last asked.
    fn has_struck(&mut self) -> bool {
        let Some(kills) = self.count() else { return false };
        let before = std::mem::replace(&mut self.seen, kills);
        kills > before
    }

    fn count(&self) -> Option<u64> {
        let mut lines = [0; LINES];
        // Opened each time: that is rarely, and descriptors may be few.
        let length = File::open(self.file.as_ref()?).ok()?.read(&mut lines).ok()?;
        count(&lines[..length])
    }
}

/// Where the counter may be: in a container its own cgroup is at the top.
fn files(own: &str) -> Vec<String> {
    let path = |is_ours: fn(&str) -> bool| {
        let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| is_ours(controllers)).map(|(_, path)| path.trim_end_matches('/'))
    };
    let unified = path(str::is_empty).map(|path| format!("/sys/fs/cgroup{path}/memory.events"));
    let first = path(|controllers| controllers.split(',').any(|one| one == "memory"));
    let first = first.map(|path| format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
    let top = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"].map(str::to_owned);
    unified.into_iter().chain(first).chain(top).collect()
}

fn count(lines: &[u8]) -> Option<u64> {
    let number = lines.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"oom_kill "))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_among_others() {
        assert_eq!(count(b"low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(count(b"oom_kill_disable 0\nunder_oom 0\noom_kill 12\n"), Some(12));
        assert_eq!(count(b"oom_kill_disable 0\nunder_oom 0\n"), None);
        assert_eq!(count(b"oom_kill \xff\n"), None);
    }

    #[test]
    fn it_is_in_the_own_cgroup_or_at_the_top() {
        let top = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];
        assert_eq!(files("0::/a/b\n"), [&["/sys/fs/cgroup/a/b/memory.events"], &top[..]].concat());
        assert_eq!(files("0::/\n")[0], top[0]);
        let first = files("9:name=systemd:/\n4:cpu,memory:/docker/x\n0::/\n");
        assert_eq!(first[..2], [top[0], "/sys/fs/cgroup/memory/docker/x/memory.oom_control"]);
        assert_eq!(files(""), top);
    }

    #[test]
    fn a_kill_is_told_once() {
        let path = std::env::temp_dir().join(format!("musterd-oom-{}", std::process::id()));
        fs::write(&path, "oom_kill 3\n").unwrap();
        let mut kills = OomKills { file: path.to_str().map(str::to_owned), seen: 3 };
        assert!(!kills.has_struck());
        fs::write(&path, "oom_kill 5\n").unwrap();
        let killed = Exit::Signal { number: libc::SIGKILL, core: false };
        assert_eq!(
            [Exit::Code(1), killed, killed].map(|exit| kills.judge(exit)),
            [Exit::Code(1), Exit::OutOfMemory, killed]
        );
        fs::remove_file(&path).unwrap();
        assert!(!OomKills::default().has_struck());
    }
}
