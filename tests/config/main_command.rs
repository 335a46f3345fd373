//! `--main COMMAND`: a service that has the terminal, beside the others.

use musterd::config::{Config, Kind, Match, Restart, load};

use crate::layers::{config, report, service, sources, strings};

const WEB: &str = "[services.web]\nstart = \"/usr/sbin/nginx\"\n[defaults]\nrestart = \"always\"\ninterval = \"7s\"\nautostart = false";

fn names(config: &Config) -> Vec<&str> {
    config.services.iter().map(|service| service.name.as_str()).collect()
}

#[test]
fn it_is_a_service_that_the_container_lives_as_long_as() {
    let mut sources = sources("main", &[("default.toml", WEB)]);
    sources.main = Some("A=1 /bin/bash -l".to_owned());
    let config = config(&sources);
    assert_eq!(names(&config), ["web", "bash"]);
    let bash = service(&config, "bash");
    assert_eq!(bash.start.argv, ["/bin/bash", "-l"]);
    assert_eq!(bash.start.environment, [("A".to_owned(), "1".to_owned())]);
    assert!(bash.terminal && bash.essential && bash.autostart);
    assert_eq!((bash.kind, bash.restart), (Kind::Service, Restart::Never));
    assert_eq!(bash.matching, Match::by_default("bash"));
    assert_eq!(bash.interval.as_secs(), 7);
    let web = service(&config, "web");
    assert!(!web.terminal && !web.essential && !web.autostart && web.restart == Restart::Always);
    assert!(config.warnings.is_empty());
}

#[test]
fn it_alone_is_enough_to_manage() {
    let mut sources = sources("main-alone", &[]);
    sources.main = Some("bash".to_owned());
    assert_eq!(names(&config(&sources)), ["bash"]);
}

#[test]
fn it_is_beside_a_service_or_command_of_its_name() {
    let mut sources =
        sources("main-beside", &[("default.toml", &format!("{WEB}\n[services.nginx]\nstart = \"a\""))]);
    sources.main = Some("nginx -t".to_owned());
    let first = config(&sources);
    assert_eq!(names(&first), ["web", "nginx", "nginx-2"]);
    assert!(service(&first, "nginx-2").terminal && !service(&first, "nginx").terminal);
    sources.main = Some("bash".to_owned());
    sources.commands = strings(&["/bin/bash -c 'a; b'"]);
    let second = config(&sources);
    assert_eq!(names(&second), ["web", "nginx", "bash", "bash-2"]);
    assert!(service(&second, "bash-2").terminal && !service(&second, "bash").terminal);
}

#[test]
fn it_can_be_set_up_and_is_always_chosen() {
    let mut sources = sources("main-set", &[("default.toml", WEB)]);
    sources.main = Some("bash".to_owned());
    sources.set = strings(&["services.bash.directory=/srv"]);
    sources.without = strings(&["web"]);
    let config = config(&sources);
    assert_eq!(names(&config), ["bash"]);
    assert_eq!(service(&config, "bash").directory.as_deref(), Some("/srv".as_ref()));
}

#[test]
fn its_errors_are_those_of_commands() {
    let mut sources = sources("main-wrong", &[]);
    for (command, reason) in [
        ("bash 'x", "has an unbalanced ' at character 6"),
        ("", "must name a program"),
        ("-x", "must name a program; options of musterd come before the commands and before `--`"),
    ] {
        sources.main = Some(command.to_owned());
        let expected = format!("--main {command}: cannot use \"{command}\": {reason}\n");
        assert_eq!(report(&sources).to_string(), expected);
    }
}

#[test]
fn check_shows_it() {
    let mut sources = sources("main-check", &[]);
    sources.main = Some("bash".to_owned());
    let (_, provenance) = load(&sources).unwrap();
    let shown = provenance.to_string();
    for line in ["start = \"bash\"", "restart = \"never\"", "essential = true", "# with musterd's terminal"] {
        let found = shown.lines().find(|shown| shown.starts_with(line));
        assert!(found.is_some_and(|shown| shown.ends_with("# --main bash")), "{line} in\n{shown}");
    }
}
