//! The keys of identity, limits and environment are read.

use std::path::{Path, PathBuf};

use musterd::config::{
    Capability, Group, Identity, Inherit, Limit, Service, Template, TemplatePart, User, Variable, load,
};
use nix::sys::resource::Resource;

use crate::{
    keys::web,
    layers::{config, service, sources, strings},
};

#[test]
fn as_whom_a_service_runs() {
    assert_eq!(web("").identity, Identity::default());
    assert_eq!(web("user = \"app\"").identity.user, Some(User::Name("app".to_owned())));
    assert_eq!(web("user = 1000").identity.user, Some(User::Id(1000)));
    assert_eq!(web("group = \"web\"").identity.group, Some(Group::Name("web".to_owned())));
    assert_eq!(web("group = \"33\"").identity.group, Some(Group::Id(33)));
    let groups = vec![Group::Name("ssl".to_owned()), Group::Id(5)];
    assert_eq!(web("groups = [\"ssl\", 5]").identity.groups, Some(groups));
    assert_eq!(web("groups = []").identity.groups, Some(Vec::new()));
}

#[test]
fn with_which_privileges_a_service_runs() {
    let service = web("");
    assert_eq!((service.umask, service.nice, service.oom_score_adj), (None, None, None));
    assert_eq!((service.capabilities, service.no_new_privileges), (None, false));
    assert_eq!(web("umask = \"027\"").umask, Some(0o27));
    assert_eq!(web("nice = -5").nice, Some(-5));
    assert_eq!(web("oom-score-adj = 500").oom_score_adj, Some(500));
    assert_eq!(web("capabilities = []").capabilities, Some(Vec::new()));
    let both = vec![Capability(0), Capability(10)];
    assert_eq!(web("capabilities = [\"CAP_NET_BIND_SERVICE\", \"chown\"]").capabilities, Some(both));
    assert!(web("no-new-privileges = true").no_new_privileges);
}

#[test]
fn the_limits_of_a_service() {
    assert!(web("").limits.is_empty());
    let limits =
        web("limits = { nofile = \"1024:4096\", core = 0, stack = \"8MiB\", nproc = \"unlimited\" }");
    let limit = |resource, soft, hard| Limit { resource, soft, hard };
    assert_eq!(
        limits.limits,
        [
            limit(Resource::RLIMIT_CORE, 0, 0),
            limit(Resource::RLIMIT_NOFILE, 1024, 4096),
            limit(Resource::RLIMIT_NPROC, u64::MAX, u64::MAX),
            limit(Resource::RLIMIT_STACK, 8 << 20, 8 << 20),
        ]
    );
    for (name, resource) in [
        ("as", Resource::RLIMIT_AS),
        ("core", Resource::RLIMIT_CORE),
        ("cpu", Resource::RLIMIT_CPU),
        ("data", Resource::RLIMIT_DATA),
        ("fsize", Resource::RLIMIT_FSIZE),
        ("locks", Resource::RLIMIT_LOCKS),
        ("memlock", Resource::RLIMIT_MEMLOCK),
        ("msgqueue", Resource::RLIMIT_MSGQUEUE),
        ("nice", Resource::RLIMIT_NICE),
        ("nofile", Resource::RLIMIT_NOFILE),
        ("nproc", Resource::RLIMIT_NPROC),
        ("rss", Resource::RLIMIT_RSS),
        ("rtprio", Resource::RLIMIT_RTPRIO),
        ("rttime", Resource::RLIMIT_RTTIME),
        ("sigpending", Resource::RLIMIT_SIGPENDING),
        ("stack", Resource::RLIMIT_STACK),
    ] {
        assert_eq!(web(&format!("limits.{name} = 5")).limits, [limit(resource, 5, 5)]);
    }
}

#[test]
fn limits_are_merged_one_by_one() {
    let text =
        "[defaults]\nlimits = { nofile = 1, core = 2 }\n[services.web]\nstart = \"a\"\nlimits.core = 3";
    let config = config(&sources("limits-merged", &[("default.toml", text)]));
    let soft: Vec<u64> = service(&config, "web").limits.iter().map(|limit| limit.soft).collect();
    assert_eq!(soft, [3, 1], "core, then nofile");
}

#[test]
fn what_a_service_inherits() {
    let environment = |line: &str| web(line).environment;
    assert_eq!(environment("").inherit, Inherit::All);
    assert_eq!(environment("inherit-environment = true").inherit, Inherit::All);
    assert_eq!(environment("inherit-environment = false").inherit, Inherit::None);
    let only = Inherit::Only(strings(&["LANG", "TZ"]));
    assert_eq!(environment("inherit-environment = [\"LANG\", \"TZ\"]").inherit, only);
    assert!(environment("").unset.is_empty());
    assert_eq!(environment("unset-environment = [\"A\", \"B\"]").unset, ["A", "B"]);
}

#[test]
fn an_environment_file_is_beside_the_file_that_names_it() {
    let text = "[services.web]\nstart = \"a\"\nenv-file = [\"web.env\", \"/etc/web.env\"]";
    let mut sources = sources("env-file", &[("etc/a.toml", text)]);
    sources.files = vec!["etc/a.toml".into()];
    let files = |sources: &_| service(&config(sources), "web").environment.files.clone();
    let beside = sources.directory.join("etc/web.env");
    assert_eq!(files(&sources), [beside.clone(), PathBuf::from("/etc/web.env")]);
    let shown = load(&sources).unwrap().1.to_string();
    let line = format!("env-file = [\"{}\", \"/etc/web.env\"]", beside.display());
    assert!(shown.contains(&line), "{line} is not in\n{shown}");
    sources.set = strings(&["services.web.env-file=other.env"]);
    assert_eq!(files(&sources), [sources.directory.join("other.env")]);
    assert!(web("").environment.files.is_empty());
}

fn variable(service: &Service, name: &str) -> Variable {
    service.environment.set[name].clone()
}

#[test]
fn a_variable_refers_to_others() {
    let service = web("environment = { URL = \"http://${HOST:-localhost}:${PORT}/$x\", RAW = \"$${A}\" }");
    let text = |text: &str| TemplatePart::Text(text.to_owned());
    let reference = |name: &str, default: Option<&str>| TemplatePart::Variable {
        name: name.to_owned(),
        default: default.map(str::to_owned),
    };
    let parts = vec![
        text("http://"),
        reference("HOST", Some("localhost")),
        text(":"),
        reference("PORT", None),
        text("/$x"),
    ];
    assert_eq!(variable(&service, "URL"), Variable::Text(Template { parts }));
    assert_eq!(variable(&service, "RAW"), Variable::Text(Template::plain("${A}")));
}

#[test]
fn a_secret_is_in_a_file() {
    let secret = Variable::File(Path::new("/run/secrets/db").to_owned());
    let service = web("environment.PASSWORD = { file = \"/run/secrets/db\" }");
    assert_eq!(variable(&service, "PASSWORD"), secret);
}

#[test]
fn of_a_variables_two_forms_the_later_and_nearer_counts() {
    let text = "[defaults.environment]\nA = { file = \"/a\" }\nB = \"b\"\n[services.web]\nstart = \"a\"\n[services.web.environment]\nA = \"a\"\nB = { file = \"/b\" }\nC = { file = \"/c\" }\nD = \"d\"\n[services.db]\nstart = \"b\"";
    let mut sources = sources("two-forms", &[("default.toml", text)]);
    sources.set = strings(&["services.web.environment.C=c", "services.web.environment.D.file=/d"]);
    let config = config(&sources);
    let (web, db) = (service(&config, "web"), service(&config, "db"));
    let file = |path: &str| Variable::File(path.into());
    let text = |text: &str| Variable::Text(Template::plain(text));
    assert_eq!(variable(web, "A"), text("a"));
    assert_eq!(variable(web, "B"), file("/b"));
    assert_eq!(variable(web, "C"), text("c"));
    assert_eq!(variable(web, "D"), file("/d"));
    assert_eq!((variable(db, "A"), variable(db, "B")), (file("/a"), text("b")));
}
