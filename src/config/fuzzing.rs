//! What must hold of every command and every configuration, whatever they are. Makes no inputs: see
//! [`crate::fuzzing`].

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use toml::de::DeTable;

use super::{
    Config, Report, ServiceName, Sources,
    command::{Text, service_name},
    load,
    shell::with_exec,
    words::{Kind, Syntax, assignment, quote, split},
};

/// A command is split without losing anything; what is executed says the same when it is quoted and read again.
pub(crate) fn command(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let text = text.as_ref();
    for syntax in [Syntax::Shell, Syntax::Literal] {
        let Ok(tokens) = split(text, syntax) else { continue };
        let mut end = 0;
        for token in &tokens {
            let between = text[end..token.start].replace("\\\n", "");
            assert!(between.chars().all(|c| c.is_ascii_whitespace()), "{text:?} loses {between:?}");
            let quoted = text[token.start..token.end].contains(['\'', '"']);
            assert!(!token.text.is_empty() || quoted, "{text:?}: {token:?} comes from nothing");
            assert!(syntax == Syntax::Shell || token.kind == Kind::Word, "{text:?}: {token:?}");
            end = token.end;
        }
        let rest = text[end..].replace("\\\n", "");
        assert!(rest.chars().all(|c| c.is_ascii_whitespace()), "{text:?} loses {rest:?}");
        for token in tokens.iter().filter(|token| token.kind == Kind::Word) {
            let again = split(&quote(&token.text), Syntax::Shell);
            let words = again.map(|again| again.into_iter().map(|one| one.text).collect::<Vec<_>>());
            assert_eq!(words.as_ref(), Ok(&vec![token.text.clone()]), "{text:?}");
        }
    }
    let executed = with_exec(text);
    if executed != text {
        let at = executed.bytes().zip(text.bytes()).position(|(new, old)| new != old);
        let restored = executed
            .match_indices("exec ")
            .map(|(at, exec)| [&executed[..at], &executed[at + exec.len()..]].concat());
        assert!(restored.into_iter().any(|restored| restored == text), "{executed:?} at {at:?}");
    }
    for shell in [None, Some(true), Some(false)] {
        let Ok((command, name)) = Text::Line(text.to_owned()).parse(shell) else { continue };
        assert!(!command.argv.is_empty() && !command.argv.iter().any(|word| word.contains('\0')), "{text:?}");
        assert!(!name.is_empty() && !name.contains('/'), "{text:?} is called {name:?}");
        assert!(ServiceName::parse(&service_name(&name)).is_ok(), "{text:?} is called {name:?}");
        let first = &command.argv[0];
        if shell.is_none() && first != "/bin/sh" && first != "exec" && assignment(first).is_none() {
            let line = command.argv.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
            let again = Text::Line(line).parse(None).map(|(command, name)| (command.argv, name));
            assert_eq!(again, Ok((command.argv, name)), "{text:?}");
        }
    }
}

/// A file that is understood says the same as what `musterd check` prints of it.
pub(crate) fn config_file(input: &[u8]) {
    let (document, _) = match std::str::from_utf8(input) {
        Ok(text) => DeTable::parse_recoverable(text),
        Err(_) => DeTable::parse_recoverable(""),
    };
    // Any file of this machine could be included.
    if document.get_ref().get("manager").is_none_or(|manager| {
        manager.get_ref().as_table().is_none_or(|manager| manager.get("include").is_none())
    }) {
        judge(&load_file(input, Sources::default()));
    }
}

/// The same with what `--set` and COMMANDs lay over it: a line each.
pub(crate) fn config_set(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (set, commands) = text.split('\n').map(str::to_owned).partition(|line: &String| line.contains('='));
    let file = b"[services.web]\nstart = \"web -x\"\n[services.db]\nstart = \"db\"\nafter = \"web\"\n";
    judge(&load_file(file, Sources { set, commands, ..Sources::default() }));
}

type Loaded = Result<(Config, String), Report>;

fn judge(loaded: &Loaded) {
    match loaded {
        Ok((config, printed)) => match load_file(printed.as_bytes(), Sources::default()) {
            Ok((again, _)) => {
                assert_eq!(again.services, config.services, "{printed}");
                assert_eq!(format!("{:?}", again.manager), format!("{:?}", config.manager), "{printed}");
            }
            Err(report) => panic!("cannot read what was printed:\n{report}\n{printed}"),
        },
        Err(report) => {
            assert!(!report.is_empty());
            let text = report.to_string();
            let steers = |c: char| c.is_control() && c != '\n';
            assert!(!text.contains(steers), "{text:?} could steer a terminal");
        }
    }
}

fn load_file(text: &[u8], sources: Sources) -> Loaded {
    static FILES: AtomicU64 = AtomicU64::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = format!("musterd-fuzzing-{}-{number}.toml", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(path);
    if let Err(error) = fs::write(&path, text) {
        panic!("{}: {error}", path.display());
    }
    let loaded = load(&Sources { files: vec![path.clone()], ..sources });
    let _ = fs::remove_file(&path);
    loaded.map(|(config, provenance)| (config, provenance.to_string()))
}
