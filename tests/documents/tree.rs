//! The command line, place by place: what can be written behind which words.

use clap::{Arg, Command};

/// A place: behind these words.
#[derive(Clone)]
pub(crate) struct Place {
    /// `musterd ctl status`.
    pub(crate) path: String,
    pub(crate) command: Command,
    /// How many words that are no options stand before.
    pub(crate) words: usize,
}

/// What a value is, as its name in the help says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing that could be proposed.
    Free,
    /// A file.
    File,
    /// A service of the manager.
    Service,
    /// One of these.
    Word(&'static str),
}

impl Kind {
    fn of(argument: &Arg) -> Self {
        let names = argument.get_value_names().unwrap_or_default();
        match names.first().map_or("", |name| name.as_str()) {
            "PATH" | "COMMAND" => Kind::File,
            "NAME" => Kind::Service,
            "LEVEL" => Kind::Word("error warn info debug trace"),
            "SIGNAL" => Kind::Word("HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH"),
            "NAME,..." | "KEY=VALUE" | "DURATION" | "CODES" | "URL" | "N" | "TIME" | "" => Kind::Free,
            other => panic!("say what {other} is"),
        }
    }
}

impl Place {
    /// The options that are shown.
    pub(crate) fn options(&self) -> impl Iterator<Item = &Arg> {
        self.command.get_arguments().filter(|argument| !argument.is_positional() && !argument.is_hide_set())
    }

    /// The subcommands that are shown.
    pub(crate) fn verbs(&self) -> impl Iterator<Item = &Command> {
        self.command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    }

    /// What the next word is that is no option.
    pub(crate) fn positional(&self) -> Kind {
        let all: Vec<_> = self.command.get_positionals().collect();
        all.get(self.words).or(all.last()).map_or(Kind::Free, |word| Kind::of(word))
    }

    /// The place behind one such word, where the next one is something else: `musterd ctl signal _`.
    pub(crate) fn behind_word(&self) -> Option<Place> {
        let next = Place { path: format!("{} _", self.path), words: self.words + 1, ..self.clone() };
        (next.positional() != self.positional()).then_some(next)
    }

    /// The spellings of the options that take a value, with what that is.
    pub(crate) fn with_value(&self) -> Vec<(Vec<String>, Kind)> {
        let takes = self.options().filter(|option| option.get_action().takes_values());
        takes.map(|option| (spellings(option), Kind::of(option))).collect()
    }
}

/// `-n` and `--lines`.
pub(crate) fn spellings(option: &Arg) -> Vec<String> {
    let short = option.get_short().map(|short| format!("-{short}"));
    short.into_iter().chain(option.get_long().map(|long| format!("--{long}"))).collect()
}

/// All places, each before those behind it.
pub(crate) fn places() -> Vec<Place> {
    let mut root = musterd::cli::tree();
    root.build();
    let mut places = Vec::new();
    add("musterd".to_owned(), &root, &mut places);
    places
}

fn add(path: String, command: &Command, places: &mut Vec<Place>) {
    let at = places.len();
    places.push(Place { path: path.clone(), command: command.clone(), words: 0 });
    let verbs: Vec<Command> = places[at].verbs().cloned().collect();
    for verb in verbs {
        add(format!("{path} {}", verb.get_name()), &verb, places);
    }
}

/// The usage lines of `--help` and this tree know the same words.
#[test]
fn the_tree_has_every_subcommand() {
    let usage = musterd::cli::tree().render_usage().to_string();
    let first =
        |line: &str| line.split_whitespace().skip_while(|word| *word != "musterd").nth(1).map(str::to_owned);
    let mut used: Vec<_> = usage.lines().filter_map(first).filter(|word| !word.starts_with('[')).collect();
    used.sort();
    let mut known: Vec<_> = places()[0].verbs().map(|verb| verb.get_name().to_owned()).collect();
    known.sort();
    assert_eq!(used, known);
}
