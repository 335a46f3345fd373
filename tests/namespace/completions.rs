//! The completions of completions/ in real shells, with a manager that they ask. Ignored for shells that are not there.

use crate::{
    Test,
    common::text,
    machine::{Folder, MUSTERD, Machine},
};

pub(crate) const TESTS: &[Test] = &[
    ("bash_completes", bash_completes),
    ("zsh_completes", zsh_completes),
    ("fish_completes", fish_completes),
];

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/completions");

/// A machine with two services; `None` where it has no such shell.
fn machine(shell: &str) -> Option<Machine> {
    let folder = Folder::new(&format!("completes-{shell}"));
    let web = folder.sleeper("web") + " infinity";
    let mail = folder.sleeper("mail") + " infinity";
    // What a shell would run if it were careless.
    let config = folder.config("[services.'w$(touch<trap)']\nstart = '/bin/true'\nautostart = false\n");
    let machine = Machine::start(folder, &["-c", &config, &web, &mail]);
    machine.wait_running("web");
    if machine.inside(&[shell, "--version"]).status.success() {
        return Some(machine);
    }
    eprintln!("namespace: completions ignored: there is no {shell}");
    None
}

/// Runs a script of this shell, in which `$musterd` is the program and PATH leads to it.
fn run(machine: &Machine, shell: &[&str], script: &str) -> String {
    let folder = MUSTERD.strip_suffix("/musterd").expect("its name");
    let script = script.replace("@PROGRAM@", folder).replace("@SOURCES@", SOURCES);
    text(&machine.inside(&[&["timeout", "30"], shell, &["-c", &script]].concat()))
}

fn bash_completes() {
    let Some(machine) = machine("bash") else { return };
    let complete = |words: &str| {
        let script = format!(
            "PATH=@PROGRAM@:$PATH; source @SOURCES@/musterd.bash; COMP_WORDS=({words}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _musterd; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        run(&machine, &["bash", "--norc"], &script)
    };
    assert_eq!(complete("musterd ctl resta"), "restart\n");
    assert_eq!(complete("musterd ctl restart we"), "web\n");
    assert_eq!(complete("musterd ctl --socket /run/musterd.sock stop web m"), "mail\n");
    assert_eq!(complete("musterd ctl --socket /nowhere stop m"), "\n");
    assert_eq!(complete("musterd ctl logs --fol"), "--follow\n");
    assert_eq!(complete("musterd ctl log-level d"), "debug\n");
    assert_eq!(complete("musterd ctl signal US"), "USR1\nUSR2\n");
    assert_eq!(complete("musterd ctl signal USR1 we"), "web\n");
    assert_eq!(complete("musterd ctl signal --socket /run/musterd.sock USR1 web m"), "mail\n");
    assert_eq!(complete("musterd --config /etc/host"), complete("musterd /etc/host"));
    assert!(complete("musterd --config /etc/host").contains("/etc/hosts\n"));
    assert!(complete("musterd sch").starts_with("schema\n"));
    // All names: the third is quoted, so that it is not run when the line is.
    let names = complete("musterd ctl stop ''");
    assert!(names.contains("web\n") && names.contains(r"w\$\(touch\<trap\)"), "{names}");
}

fn zsh_completes() {
    let Some(machine) = machine("zsh") else { return };
    let complete = |words: &str| {
        let script = format!(
            "zmodload zsh/zpty; zpty z zsh -f -i\n\
             zpty -w z \"PS1=; PATH=@PROGRAM@:\\$PATH; fpath=(@SOURCES@ \\$fpath); autoload -Uz compinit; compinit -u -D; \
             show() {{ print -r -- \\\"<\\$BUFFER>\\\" }}; zle -N show; bindkey '^X' show; echo rea''dy\"\n\
             zpty -r z said '*ready*'\n\
             zpty -w -n z $'{words}\\t\\x18'\n\
             zpty -r z said '*<*>*'; print -r -- ${{${{said##*<}}%%>*}}; zpty -d z"
        );
        run(&machine, &["zsh", "-f"], &script)
    };
    assert_eq!(complete("musterd ctl resta"), "musterd ctl restart \n");
    assert_eq!(complete("musterd ctl restart we"), "musterd ctl restart web \n");
    assert_eq!(
        complete("musterd ctl --socket /run/musterd.sock stop web m"),
        "musterd ctl --socket /run/musterd.sock stop web mail \n"
    );
    assert_eq!(complete("musterd ctl logs --fol"), "musterd ctl logs --follow \n");
    assert_eq!(complete("musterd ctl log-level d"), "musterd ctl log-level debug \n");
    assert_eq!(complete("musterd ctl signal KI"), "musterd ctl signal KILL \n");
    assert_eq!(complete("musterd ctl signal KILL we"), "musterd ctl signal KILL web \n");
    assert_eq!(complete("musterd --config /etc/hostn"), "musterd --config /etc/hostname \n");
}

fn fish_completes() {
    let Some(machine) = machine("fish") else { return };
    let complete = |words: &str| {
        let script =
            format!("set PATH @PROGRAM@ $PATH; source @SOURCES@/musterd.fish; complete -C '{words}'");
        run(&machine, &["fish", "--no-config"], &script)
    };
    let restart = "restart\tStop services and start them";
    assert!(complete("musterd ctl resta").starts_with(restart), "{}", complete("musterd ctl resta"));
    assert_eq!(complete("musterd ctl restart we"), "web\n");
    assert_eq!(complete("musterd ctl --socket /run/musterd.sock stop web m"), "mail\n");
    assert_eq!(complete("musterd ctl --socket /nowhere stop m"), "");
    assert!(complete("musterd ctl logs --fol").starts_with("--follow\t"));
    assert!(!complete("musterd ctl logs ").contains("--"), "{}", complete("musterd ctl logs "));
    assert_eq!(complete("musterd ctl log-level d"), "debug\n");
    assert_eq!(complete("musterd ctl signal US"), "USR1\nUSR2\n");
    assert_eq!(complete("musterd ctl signal USR1 we"), "web\n");
    assert_eq!(complete("musterd ctl signal --socket /run/musterd.sock USR1 web m"), "mail\n");
    assert!(complete("musterd --config /etc/host").contains("/etc/hosts"));
}
