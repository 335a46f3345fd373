//! What a new process finds in its environment, and secrets.

use std::{collections::BTreeMap, fs, path::PathBuf};

use musterd::{
    config::{Inherit, Template, TemplatePart, Variable},
    linux::spawn::Stage,
};
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::support::Shell;

/// What would be seen if anything told it.
const PASSWORD: &str = "hunter2";

fn text(value: &str) -> Variable {
    Variable::Text(Template::plain(value))
}

fn reference(name: &str, default: Option<&str>) -> TemplatePart {
    TemplatePart::Variable { name: name.to_owned(), default: default.map(str::to_owned) }
}

fn template(parts: &[TemplatePart]) -> Variable {
    Variable::Text(Template { parts: parts.to_vec() })
}

fn set<const N: usize>(shell: &mut Shell, variables: [(&str, Variable); N]) {
    shell.service.environment.set =
        variables.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>();
}

fn variables(shell: &mut Shell) -> Vec<String> {
    let written = shell.output(&["/usr/bin/env"]);
    let mut lines: Vec<String> = written.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// Run in a small environment, see `main`.
pub(crate) fn files_and_templates_make_variables() {
    let mut shell = Shell::new();
    let first = shell.scratch.file("first", "# one\nA='first'\nexport HOST=db\nLATE=\"1\"\nEMPTY=\n", 0o644);
    let second = shell.scratch.file("second", "LATE=2\n", 0o644);
    shell.service.environment.files = vec![first.into(), second.clone().into()];
    let url =
        [TemplatePart::Text("tcp://".to_owned()), reference("HOST", None), reference("PORT", Some(":1"))];
    let own = [reference("B", Some("default")), reference("EMPTY", Some("/")), reference("A", None)];
    set(&mut shell, [("URL", template(&url)), ("OWN", template(&own)), ("HOST", text("set"))]);
    assert_eq!(
        variables(&mut shell),
        [
            "A=first",
            "B=own",
            "EMPTY=",
            "HOST=set",
            "LATE=2",
            "MUSTERD_SERVICE=web",
            "OWN=own/first",
            "PATH=/usr/bin:/bin",
            "URL=tcp://db:1"
        ]
    );
    fs::write(second, "LATE=3\n").unwrap();
    assert!(variables(&mut shell).contains(&"LATE=3".to_owned()), "the file is read at each start");
}

pub(crate) fn what_the_caller_adds_is_over_all() {
    let mut shell = Shell::new();
    set(&mut shell, [("NOTIFY_SOCKET", text("set")), ("MUSTERD_SERVICE", text("set"))]);
    shell.extra = vec![("NOTIFY_SOCKET", "/run/notify".to_owned())];
    let spawned = shell.spawn_with(&["/usr/bin/env"], &[("NOTIFY_SOCKET", "command")]).unwrap();
    shell.watcher.add_child(&shell.epoll, spawned);
    shell.ends(1);
    let written = shell.written();
    let of = |name: &str| written.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    assert_eq!(of("NOTIFY_SOCKET="), ["NOTIFY_SOCKET=/run/notify"]);
    assert_eq!(of("MUSTERD_SERVICE="), ["MUSTERD_SERVICE=web"]);
}

/// Run in a small environment, see `main`.
pub(crate) fn what_is_inherited_is_chosen() {
    const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut shell = Shell::new();
    shell.service.environment.unset = vec!["A".to_owned(), "none".to_owned()];
    assert_eq!(variables(&mut shell), ["B=own", "MUSTERD_SERVICE=web", "PATH=/usr/bin:/bin"]);
    shell.service.environment.inherit = Inherit::Only(vec!["A".to_owned(), "B".to_owned()]);
    assert_eq!(variables(&mut shell), ["B=own", "MUSTERD_SERVICE=web", DEFAULT_PATH]);
    shell.service.environment.inherit = Inherit::None;
    assert_eq!(variables(&mut shell), ["MUSTERD_SERVICE=web", DEFAULT_PATH]);
    // Searched where the service will search.
    shell.output(&["true"]);
    set(&mut shell, [("A", text("set")), ("PATH", text("/bin"))]);
    assert_eq!(variables(&mut shell), ["A=set", "MUSTERD_SERVICE=web", "PATH=/bin"]);
}

pub(crate) fn a_bad_source_of_variables_is_named() {
    let mut shell = Shell::new();
    let place = shell.scratch.0.to_str().unwrap().to_owned();
    let file = shell.scratch.file("file", &format!("A=1\n{PASSWORD}\n"), 0o644);
    shell.service.environment.files = vec![file.into()];
    let told = shell.refusal(&["/bin/true"]);
    assert_eq!(told, format!("cannot read variables from {place}/file:2: there is no \"=\" in it"));
    shell.service.environment.files = vec![PathBuf::from("/no/such")];
    let told = shell.refusal(&["/bin/true"]);
    assert_eq!(told, "cannot read variables from /no/such: no such file or directory");
    shell.service.environment.files.clear();
    set(&mut shell, [("URL", template(&[reference("NO_SUCH", None)]))]);
    let error = shell.spawn(&["/bin/true"]).unwrap_err();
    assert_eq!(error.stage, Stage::Environment);
    let told = "cannot set variable \"URL\": \"NO_SUCH\" is unset or empty, and has no default";
    assert_eq!(error.to_string(), told);
    set(&mut shell, [("URL", text("a\0b"))]);
    assert_eq!(shell.refusal(&["/bin/true"]), "cannot set variable \"URL\": it holds a NUL byte");
}

pub(crate) fn a_secret_is_read_at_each_start() {
    let mut shell = Shell::new();
    let file = shell.scratch.file("secret", "first\n", 0o600);
    set(&mut shell, [("DB", Variable::File(file.clone().into()))]);
    let show = ["/bin/sh", "-c", "printf '<%s>' \"$DB\""];
    assert_eq!(shell.output(&show), "<first>");
    for (content, expected) in
        [("second", "<second>"), ("two\n\n", "<two\n>"), ("", "<>"), ("$X \n", "<$X >")]
    {
        fs::write(&file, content).unwrap();
        assert_eq!(shell.output(&show), expected);
    }
    let long = "x".repeat(100_000);
    fs::write(&file, &long).unwrap();
    assert_eq!(shell.output(&show), format!("<{long}>"));
}

pub(crate) fn a_secret_that_cannot_be_read_fails_the_start() {
    let mut shell = Shell::new();
    let place = shell.scratch.0.clone();
    mkfifo(&place.join("fifo"), Mode::S_IRWXU).unwrap();
    shell.scratch.file("long", &"x".repeat((1 << 20) + 1), 0o600);
    shell.scratch.file("nul", &format!("{PASSWORD}\0"), 0o600);
    for (name, reason) in [
        ("fifo", "not a regular file"),
        (".", "not a regular file"),
        ("none", "no such file or directory"),
        ("long", "longer than 1048576 bytes"),
        ("nul", "it holds a NUL byte"),
    ] {
        let path = place.join(name);
        set(&mut shell, [("DB", Variable::File(path.clone()))]);
        let told = shell.refusal(&["/bin/true"]);
        assert_eq!(told, format!("cannot read {} for variable \"DB\": {reason}", path.display()));
    }
}

pub(crate) fn nothing_tells_a_secret() {
    let mut shell = Shell::new();
    let file = shell.scratch.file("secret", PASSWORD, 0o600);
    let variables = shell.scratch.file("variables", &format!("KEY={PASSWORD}\n"), 0o600);
    set(&mut shell, [("DB", Variable::File(file.into()))]);
    shell.service.environment.files = vec![variables.into()];
    let error = shell.spawn(&["/no/such"]).unwrap_err();
    let told = format!("{error} {error:?} {:?} {:?}", shell.spawner, shell.service);
    assert!(!told.contains(PASSWORD), "{told}");
    shell.output(&["/bin/true"]);
    let told = format!("{:?}", shell.spawner);
    assert!(!told.contains(PASSWORD), "{told}");
    assert_eq!(shell.output(&["/bin/sh", "-c", "echo $DB $KEY"]), format!("{PASSWORD} {PASSWORD}\n"));
    // Not in another service's environment.
    shell.service.environment = Default::default();
    assert_eq!(shell.output(&["/bin/sh", "-c", "echo \"$DB$KEY\""]), "\n");
}
