//! What is allowed and probably not meant is told, and nothing else.

use musterd::config::{Sources, load};

use crate::layers::{sources, strings};

fn warnings(sources: &Sources) -> Vec<String> {
    let (config, _) = load(sources).unwrap_or_else(|report| panic!("{report}"));
    config.warnings.iter().map(ToString::to_string).collect()
}

/// The warnings on a service with these lines.
fn on(name: &str, lines: &str) -> Vec<String> {
    let text = format!("[services.web]\n{lines}");
    let sources = sources(&format!("warn-{name}"), &[("default.toml", &text)]);
    let path = format!("{}:", sources.default_file.display());
    warnings(&sources).iter().map(|warning| warning.replace(&path, "")).collect()
}

#[test]
fn an_essential_service_that_never_ends_is_told() {
    let told = "3:13: service \"web\": is essential, but with restart = \"always\" and no start-limit it never ends for good";
    assert_eq!(on("endless", "start = \"a\"\nessential = true"), [told]);
    for (name, lines) in [
        ("limit", "start-limit.starts = 3"),
        ("never", "restart = \"never\""),
        ("failure", "restart = \"on-failure\""),
        ("task", "kind = \"task\""),
    ] {
        let lines = format!("start = \"a\"\nessential = true\n{lines}");
        assert_eq!(on(name, &lines), [""; 0]);
    }
}

#[test]
fn a_word_that_is_no_process_is_told() {
    for (at, (command, word)) in [
        ("cd /srv && ./app", "cd"),
        ("while true; do app; done", "while"),
        ("export A=1; app", "export"),
        ("A=1 $FOO start", "$FOO"),
        ("\"$HOME/bin/$APP\" -x", "$HOME/bin/$APP"),
        ("if true; then app; fi", "if"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut sources = sources(&format!("no-process-{at}"), &[]);
        sources.commands = strings(&[command]);
        let told = warnings(&sources);
        let expected = format!("no process is ever called \"{word}\"; say what its process is called: --set");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("COMMAND 1 (") && told[0].contains(&expected), "{told:?}");
    }
    let lines = "start = \"cd /srv && ./app\"";
    assert_eq!(on("start", lines).len(), 1);
    assert_eq!(on("start-match", &format!("{lines}\nmatch = \"app\"")), [""; 0]);
    assert_eq!(on("start-exe", &format!("{lines}\nmatch.exe = \"/srv/app\"")), [""; 0]);
}

#[test]
fn a_command_that_can_be_a_process_is_not_told() {
    for (at, command) in [
        "app $X | tee log",
        "exec app $X",
        "~/bin/app",
        "$HOME/bin/app",
        "echo $X",
        "'cd x'/app",
        "time a $X",
    ]
    .into_iter()
    .enumerate()
    {
        let mut sources = sources(&format!("a-process-{at}"), &[]);
        sources.commands = strings(&[command]);
        assert_eq!(warnings(&sources), [""; 0], "{command}");
    }
    assert_eq!(on("literal", "start = \"$a b\"\nshell = false"), [""; 0]);
    assert_eq!(on("words", "start = [\"cd\", \"a\"]"), [""; 0]);
}

#[test]
fn a_lone_shell_on_a_terminal_is_told() {
    let mut sources = sources("lone-shell", &[]);
    sources.is_interactive = true;
    let mut told = |commands: &[&str]| {
        sources.commands = strings(commands);
        warnings(&sources)
    };
    assert_eq!(
        told(&["/usr/sbin/sshd -D", "/bin/bash -l"]),
        [
            "COMMAND 2 (\"/bin/bash -l\"): service \"bash\": has no terminal; for a prompt write: musterd --main \"/bin/bash -l\""
        ]
    );
    for commands in [&["bash -c 'a; b'"][..], &["sh /srv/run"], &["sshd -D"]] {
        assert_eq!(told(commands), [""; 0], "{commands:?}");
    }
    sources.commands = strings(&["bash"]);
    sources.is_interactive = false;
    assert_eq!(warnings(&sources), [""; 0]);
}
