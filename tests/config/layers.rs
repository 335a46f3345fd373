//! Which layer wins, which files are read, which services are there.

use std::{fs, path::PathBuf, time::Duration};

use musterd::config::{Config, Match, Regex, Report, Service, Sources, User, Variables, load, socket};

/// A directory with these files, and sources that look for everything in it.
pub(crate) fn sources(name: &str, files: &[(&str, &str)]) -> Sources {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    for (path, text) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let variables = Variables { path: Some("/usr/bin:/bin".to_owned()), ..Variables::default() };
    Sources { default_file: directory.join("default.toml"), directory, variables, ..Sources::default() }
}

pub(crate) fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

pub(crate) fn config(sources: &Sources) -> Config {
    load(sources).map(|(config, _)| config).unwrap_or_else(|report| panic!("{report}"))
}

pub(crate) fn report(sources: &Sources) -> Report {
    load(sources).map(|(config, _)| config).unwrap_err()
}

fn names(config: &Config) -> Vec<&str> {
    config.services.iter().map(|service| service.name.as_str()).collect()
}

pub(crate) fn service<'a>(config: &'a Config, name: &str) -> &'a Service {
    config.services.iter().find(|service| service.name.as_str() == name).unwrap()
}

const WEB: &str = "[services.web]\nstart = \"nginx\"\n";

#[test]
fn each_layer_overrides_the_one_before() {
    let interval = |sources: &Sources| service(&config(sources), "web").interval.as_secs();
    let mut sources =
        sources("each-layer", &[("a.toml", WEB), ("b.toml", "[services.web]\ninterval = \"2s\"")]);
    sources.files = vec!["a.toml".into()];
    assert_eq!(interval(&sources), 60);
    sources.files.push("b.toml".into());
    assert_eq!(interval(&sources), 2);
    sources.variables.set = Some("\nservices.web.interval=3s\n".to_owned());
    assert_eq!(interval(&sources), 3);
    sources.set = strings(&["services.web.interval=4s"]);
    assert_eq!(interval(&sources), 4);
    sources.set.push("services.web.interval=5s".to_owned());
    assert_eq!(interval(&sources), 5);
}

#[test]
fn options_beat_variables_beat_files() {
    let mut sources = sources("options", &[("default.toml", &format!("{WEB}[manager]\nsocket = \"/a\""))]);
    let socket = |sources: &Sources| config(sources).manager.socket.unwrap();
    assert_eq!(socket(&sources), PathBuf::from("/a"));
    sources.variables.socket = Some("/b".to_owned());
    assert_eq!(socket(&sources), PathBuf::from("/b"));
    sources.socket = Some("c".to_owned());
    assert_eq!(socket(&sources), sources.directory.join("c"));
}

#[test]
fn a_relative_socket_in_a_file_is_relative_to_the_file() {
    let mut sources =
        sources("relative-socket", &[("etc/a.toml", &format!("{WEB}[manager]\nsocket = \"run/a\""))]);
    sources.files = vec!["etc/a.toml".into()];
    let configured = |sources: &Sources| config(sources).manager.socket.unwrap();
    assert_eq!(configured(&sources), sources.directory.join("etc/run/a"));
    sources.set = strings(&["manager.socket=run/b"]);
    assert_eq!(configured(&sources), sources.directory.join("run/b"));
}

#[test]
fn a_client_finds_the_socket_that_the_manager_has() {
    let (first, second) =
        ("[manager]\ninclude = [\"d/*.toml\"]\nsocket = \"/a\"", "[manager]\nsocket = \"/c\"");
    let wrong = "[manager]\nsocket = \"/b\"\nlog-level = 7\n[services.x]\nintervall = 5\n[oops\n";
    let mut sources = sources("client", &[("a.toml", first), ("d/b.toml", wrong), ("c.toml", second)]);
    assert_eq!(socket(&sources), None);
    sources.variables.config = Some("a.toml".to_owned());
    assert_eq!(socket(&sources), Some(PathBuf::from("/b")), "of the drop-in, whatever else is wrong with it");
    sources.variables.config = Some("a.toml:absent.toml:c.toml".to_owned());
    assert_eq!(socket(&sources), Some(PathBuf::from("/c")), "of the last file");
    sources.variables.set = Some("services.x.start=y\nmanager.socket=/d".to_owned());
    assert_eq!(socket(&sources), Some(PathBuf::from("/d")));
}

#[test]
fn no_service_is_called_all() {
    let mut sources = sources("all", &[("default.toml", WEB)]);
    sources.commands = strings(&["/opt/all -x"]);
    assert_eq!(names(&config(&sources)), ["web", "all_"]);
    sources.set = strings(&["services.all.start=x"]);
    let told = "cannot use service name \"all\": must be another one: `ctl` takes it for every service";
    assert!(report(&sources).to_string().contains(told), "{}", report(&sources));
}

#[test]
fn a_services_own_value_beats_defaults_of_any_layer() {
    let mut sources = sources(
        "defaults",
        &[("default.toml", &format!("{WEB}interval = \"2s\"\n[services.db]\nstart = \"db\""))],
    );
    sources.set =
        strings(&["defaults.interval=9s", "defaults.environment.A=1", "services.db.environment.B=2"]);
    let config = config(&sources);
    assert_eq!(service(&config, "web").interval, Duration::from_secs(2));
    assert_eq!(service(&config, "db").interval, Duration::from_secs(9));
    assert_eq!(service(&config, "db").environment.set.len(), 2);
}

#[test]
fn a_match_is_merged_field_by_field() {
    let web = format!("{WEB}match = \"httpd\"");
    let user = "[services.web]\nmatch = { user = \"app\" }";
    let mut sources = sources("match", &[("a.toml", &web), ("b.toml", user)]);
    sources.files = vec!["a.toml".into(), "b.toml".into()];
    sources.set = strings(&["services.web.match.cmdline=a[0-9]", "services.web.match.user=33"]);
    let matching = |sources: &Sources| service(&config(sources), "web").matching.clone();
    let merged =
        Match { cmdline: Regex::parse("a[0-9]").ok(), user: Some(User::Id(33)), ..Match::named("httpd") };
    assert_eq!(matching(&sources), merged);
    sources.set.push("services.web.match=nginx".to_owned());
    assert_eq!(matching(&sources), Match { name: Some("nginx".to_owned()), ..merged });
}

#[test]
fn a_command_names_a_service_by_its_basename_where_match_gives_no_name() {
    let text = format!("{WEB}match = {{ pidfile = \"/run/nginx.pid\" }}");
    let mut sources = sources("match-command", &[("default.toml", &text)]);
    sources.commands = strings(&["/opt/nginx -t"]);
    assert_eq!(names(&config(&sources)), ["web"]);
}

#[test]
fn drop_ins_follow_their_file_in_lexical_order() {
    let include = "[manager]\ninclude = [\"d/*.toml\"]\n[services.web]\nstart = \"nginx\"\ninterval = \"1s\"\nstop-timeout = \"1s\"";
    let drop_in = |seconds| format!("[services.web]\ninterval = \"{seconds}s\"");
    let mut sources = sources(
        "drop-ins",
        &[
            ("default.toml", include),
            ("d/20.toml", &drop_in(3)),
            ("d/10.toml", &drop_in(2)),
            ("d/30.txt", "not read ["),
            ("d/.40.toml", "not read ["),
            ("later.toml", "[services.web]\ninterval = \"4s\""),
        ],
    );
    assert_eq!(service(&config(&sources), "web").interval, Duration::from_secs(3));
    sources.files = vec!["default.toml".into(), "later.toml".into()];
    let config = config(&sources);
    assert_eq!(service(&config, "web").interval, Duration::from_secs(4));
    assert_eq!(service(&config, "web").stop_timeout, Duration::from_secs(1));
}

#[test]
fn files_are_named_by_option_or_variable_and_may_not_be_absent() {
    let mut sources = sources(
        "named",
        &[
            ("default.toml", WEB),
            ("a.toml", "[services.a]\nstart = \"a\""),
            ("b.toml", "[services.b]\nstart = \"b\""),
        ],
    );
    sources.variables.config = Some("a.toml:b.toml".to_owned());
    assert_eq!(names(&config(&sources)), ["a", "b"]);
    sources.files = vec!["b.toml".into()];
    assert_eq!(names(&config(&sources)), ["b"]);
    sources.files = vec!["c.toml".into()];
    assert_eq!(
        report(&sources).to_string(),
        "--config c.toml: cannot read c.toml: no such file or directory\n"
    );
}

#[test]
fn the_default_file_may_be_absent_where_a_command_is_given() {
    let mut sources = sources("no-default", &[]);
    assert!(
        report(&sources)
            .to_string()
            .starts_with("musterd: nothing to manage: no COMMAND is given, and there is no")
    );
    sources.commands = strings(&["/usr/sbin/sshd -D"]);
    assert_eq!(names(&config(&sources)), ["sshd"]);
}

#[test]
fn an_include_cycle_is_shown() {
    let include = |file| format!("[manager]\ninclude = \"{file}\"");
    let mut sources =
        sources("include-cycle", &[("a.toml", &include("b.toml")), ("b.toml", &include("a.toml"))]);
    sources.files = vec!["a.toml".into()];
    let report = report(&sources).to_string();
    assert!(
        report.starts_with("b.toml:2:11: cannot include a file in itself: a.toml -> b.toml -> a.toml\n"),
        "{report}"
    );
}

#[test]
fn a_cycle_of_services_is_shown() {
    let text = "[services.a]\nstart = \"a\"\nafter = [\"b\"]\n[services.b]\nstart = \"b\"\nafter = [\"c\"]\n[services.c]\nstart = \"c\"\nafter = \"a\"\n[services.d]\nstart = \"d\"\nafter = \"d\"";
    let report = report(&sources("cycle", &[("default.toml", text)])).to_string();
    assert!(
        report.contains(":9:9: services cannot come after each other in a cycle: a -> b -> c -> a\n"),
        "{report}"
    );
    assert!(report.contains("a cycle: d -> d\n"), "{report}");
}

#[test]
fn ten_thousand_services_in_a_row_are_no_danger() {
    let one = |number: usize| format!("[services.s{number}]\nstart = \"s\"\nafter = \"s{}\"\n", number + 1);
    let mut text: String = (0..10_000).map(one).collect();
    text.push_str("[services.s10000]\nstart = \"s\"\n");
    assert_eq!(config(&sources("row", &[("default.toml", &text)])).services.len(), 10_001);
}

#[test]
fn defaults_after_does_not_mean_the_service_itself() {
    let sources = sources(
        "defaults-after",
        &[("default.toml", &format!("{WEB}[services.db]\nstart = \"db\"\n[defaults]\nafter = \"db\""))],
    );
    let config = config(&sources);
    assert_eq!(service(&config, "web").after.len(), 1);
    assert!(service(&config, "db").after.is_empty());
}

#[test]
fn commands_are_services() {
    let mut sources = sources("commands", &[]);
    sources.commands =
        strings(&["A=1 /usr/sbin/sshd -D", "sshd -p 23", "/etc/init.d/apache2 start", "sshd -p 24"]);
    let config = config(&sources);
    assert_eq!(names(&config), ["sshd", "sshd-2", "apache2", "sshd-3"]);
    assert_eq!(service(&config, "sshd").start.environment, [("A".to_owned(), "1".to_owned())]);
    assert_eq!(service(&config, "sshd-2").matching, Match::by_default("sshd"));
    assert_eq!(service(&config, "sshd-2").start.argv, ["sshd", "-p", "23"]);
}

#[test]
fn a_command_replaces_the_start_of_the_service_it_names() {
    let text = "[services.web]\nstart = \"/usr/sbin/nginx\"\ninterval = \"2s\"\n[services.ssh]\nstart = \"x\"\nmatch = \"sshd\"\n";
    let mut sources = sources("replace", &[("default.toml", text)]);
    sources.commands = strings(&["nginx -t", "sshd -D", "web -x", "ssh -y"]);
    let config = config(&sources);
    assert_eq!(names(&config), ["web", "ssh", "web-2", "ssh-2"]);
    assert_eq!(service(&config, "web").start.argv, ["nginx", "-t"]);
    assert_eq!(service(&config, "web").interval, Duration::from_secs(2));
    assert_eq!(service(&config, "ssh").start.argv, ["sshd", "-D"]);
    assert!(service(&config, "ssh").matching.explicit);
}

#[test]
fn settings_of_a_command_can_be_set() {
    let mut sources = sources("set-command", &[]);
    sources.set = strings(&["services.sshd.interval=5s"]);
    assert!(report(&sources).to_string().contains("no start is given"));
    sources.commands = strings(&["/usr/sbin/sshd"]);
    assert_eq!(service(&config(&sources), "sshd").interval, Duration::from_secs(5));
}

#[test]
fn services_are_chosen_by_name() {
    let text = format!("{WEB}after = \"db\"\n[services.db]\nstart = \"db\"\n");
    let mut sources = sources("choose", &[("default.toml", &text)]);
    sources.only = strings(&["web"]);
    assert_eq!(names(&config(&sources)), ["web"]);
    assert!(service(&config(&sources), "web").after.is_empty());
    sources.commands = strings(&["/usr/sbin/sshd -D"]);
    assert_eq!(names(&config(&sources)), ["web", "sshd"]);
    sources.without = strings(&["web"]);
    assert_eq!(names(&config(&sources)), ["sshd"]);
    sources.commands.clear();
    assert!(report(&sources).to_string().contains("--only and --without leave no service"));
    sources.without = strings(&["wbe"]);
    assert_eq!(
        report(&sources).to_string(),
        "--without wbe: no such service: \"wbe\"; did you mean \"web\"?\n"
    );
}

/// xorshift: the same bytes in every run.
#[test]
fn no_file_makes_the_reader_panic() {
    const PIECES: [&str; 24] = [
        "[services.a]\n",
        "[manager]\n",
        "[defaults]\n",
        "[[services]]\n",
        "services",
        ".",
        "a",
        " = ",
        "\"x\"",
        "'y",
        "\n",
        "{ ",
        " }",
        "[",
        "]",
        ",",
        "start",
        "after",
        "\"a\"",
        "5",
        "é",
        "\u{0}",
        "#",
        "backoff",
    ];
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 32).unwrap()
    };
    let sources = sources("random", &[]);
    for _ in 0..2_000 {
        let mut text: Vec<u8> =
            (0..next() % 30).flat_map(|_| PIECES[next() % PIECES.len()].bytes()).collect();
        if next() % 8 == 0 {
            text.push(u8::try_from(next() % 256).unwrap());
        }
        fs::write(&sources.default_file, &text).unwrap();
        if let Err(report) = load(&sources) {
            assert!(!report.to_string().is_empty());
        }
    }
}
