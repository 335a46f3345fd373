//! What an ordinary user cannot have is refused, and what it can is not.

use musterd::config::{Ordinary, load};
use nix::sys::resource::Resource;

use crate::layers::{report, sources};

fn caller() -> Ordinary {
    Ordinary {
        user: 1000,
        user_names: vec!["app".to_owned()],
        group: 1000,
        groups: vec![4, 1000],
        known_groups: vec![("app".to_owned(), 1000), ("adm".to_owned(), 4), ("web".to_owned(), 33)],
        nice: 5,
        oom_score_adj: 100,
        hard_limits: vec![(Resource::RLIMIT_NOFILE, 4096), (Resource::RLIMIT_CORE, u64::MAX)],
    }
}

const REFUSED: [(&str, &str); 14] = [
    ("user = \"root\"", "user \"root\": only root can become another user"),
    ("user = 0", "user 0: only root can become another user"),
    ("group = \"web\"", "group \"web\": only root can take a group that is not its own"),
    ("group = \"adm\"", "group \"adm\": only root can take a group that is not its own"),
    ("group = 33", "group 33: only root can take a group that is not its own"),
    ("groups = [\"web\"]", "groups [\"web\"]: only root can choose supplementary groups"),
    ("groups = []", "groups []: only root can choose supplementary groups"),
    ("nice = 4", "nice 4: only root can lower the nice value"),
    ("oom-score-adj = 99", "oom-score-adj 99: only root can lower it"),
    ("capabilities = [\"CHOWN\"]", "capabilities [\"CHOWN\"]: only root can choose capabilities"),
    ("capabilities = []", "capabilities []: only root can choose capabilities"),
    ("limits.nofile = 4097", "limits.nofile 4097: only root can raise a hard limit"),
    ("limits.nofile = \"1:unlimited\"", "limits.nofile \"1:unlimited\": only root can raise a hard limit"),
    ("limits.nofile = \"unlimited\"", "limits.nofile \"unlimited\": only root can raise a hard limit"),
];

#[test]
fn what_only_root_can_do_is_one_line_each() {
    for (at, (line, expected)) in REFUSED.into_iter().enumerate() {
        let text = format!("[services.web]\nstart = \"a\"\n{line}");
        let mut sources = sources(&format!("ordinary-{at}"), &[("default.toml", &text)]);
        assert!(load(&sources).is_ok(), "root can: {line}");
        sources.ordinary = Some(caller());
        let report = report(&sources);
        assert_eq!(report.count(), "1 error", "{report}");
        let expected = format!("service \"web\": cannot use {expected}, and musterd runs as user 1000\n");
        assert!(report.to_string().contains(&expected), "{expected} is not in\n{report}");
        assert!(report.to_string().contains("default.toml:3:"), "{report}");
    }
}

#[test]
fn what_is_its_own_anyway_is_allowed() {
    for (at, line) in [
        "user = \"app\"",
        "user = 1000",
        "group = \"app\"",
        "group = 1000",
        "groups = [\"adm\", 1000]",
        "groups = [4]",
        "nice = 5",
        "nice = 19",
        "oom-score-adj = 100",
        "limits.nofile = \"1024:4096\"",
        "limits.core = \"unlimited\"",
        "no-new-privileges = true",
        "umask = \"077\"",
        "directory = \"/\"",
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("[services.web]\nstart = \"a\"\n{line}");
        let mut sources = sources(&format!("own-{at}"), &[("default.toml", &text)]);
        sources.ordinary = Some(caller());
        assert!(load(&sources).is_ok(), "{line}: {}", report(&sources));
    }
}

#[test]
fn of_the_defaults_it_is_told_once() {
    let text = "[defaults]\nuser = \"root\"\n[services.a]\nstart = \"a\"\n[services.b]\nstart = \"b\"";
    let mut sources = sources("ordinary-defaults", &[("default.toml", text)]);
    sources.ordinary = Some(caller());
    let report = report(&sources);
    assert_eq!(report.count(), "1 error", "{report}");
    assert!(report.to_string().contains(":2:8: [defaults]: cannot use user \"root\": only root"), "{report}");
}
