//! Turns the text of a command into what is executed, and finds its name. Executes nothing.

use super::{
    Command, ServiceName,
    shell::{command_word, with_exec},
    words::{Kind, Syntax, Token, Unbalanced, assignment, split},
};

/// A command as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// One string, to be split.
    Line(String),
    /// The argument vector.
    Words(Vec<String>),
}

impl Text {
    /// What is executed, and the basename of its first real word. `shell` overrides whether a line is given
    /// to a shell; an argument vector never is.
    ///
    /// # Errors
    ///
    /// Why the command cannot be executed, as `must …` or `has …`.
    pub(crate) fn parse(&self, shell: Option<bool>) -> Result<(Command, String), String> {
        let (text, words) = match self {
            Text::Line(text) => (text, None),
            Text::Words(words) => (&words.concat(), Some(words)),
        };
        if text.contains('\0') {
            return Err("has a NUL character, which no argument can hold".to_owned());
        }
        match words {
            Some(words) => direct(words.clone(), Vec::new()),
            None => parse_line(text.trim_matches('\n'), shell),
        }
    }
}

fn parse_line(text: &str, shell: Option<bool>) -> Result<(Command, String), String> {
    let syntax = if shell == Some(false) { Syntax::Literal } else { Syntax::Shell };
    let tokens = match split(text, syntax) {
        Ok(tokens) => tokens,
        Err(_) if syntax == Syntax::Shell && shell_only(text) => {
            return Ok((by_shell(text.to_owned()), name_of_prefix(text)?));
        }
        Err(Unbalanced { mark, position }) if mark == '\\' => {
            return Err(format!("has a {mark} at character {position} with nothing behind it"));
        }
        Err(Unbalanced { mark, position }) => {
            return Err(format!("has an unbalanced {mark} at character {position}"));
        }
    };
    if shell == Some(true) || tokens.iter().any(|token| token.kind != Kind::Word) {
        let script = if shell == Some(true) { text.to_owned() } else { with_exec(text) };
        return Ok((by_shell(script), name(&tokens)?));
    }
    let mut words: Vec<String> = tokens.into_iter().map(|token| token.text).collect();
    let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
    let environment = words
        .drain(..assigned)
        .filter_map(|word| assignment(&word).map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    if words.len() > 1 && words[0] == "exec" {
        words.remove(0);
    }
    direct(words, environment)
}

fn direct(argv: Vec<String>, environment: Vec<(String, String)>) -> Result<(Command, String), String> {
    let name = basename(argv.first().map_or("", String::as_str))?;
    Ok((Command { argv, environment }, name))
}

fn by_shell(script: String) -> Command {
    Command { argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script], environment: Vec::new() }
}

/// Whether the text may hold quotes that only a shell can pair: inside `$(…)`, comments, here-documents.
fn shell_only(text: &str) -> bool {
    ["$(", "`", "<<", "#"].iter().any(|mark| text.contains(mark))
}

/// The name of a text whose quotes only a shell can pair: from as much of it as can be split.
fn name_of_prefix(text: &str) -> Result<String, String> {
    let blank = |(at, c): (usize, char)| c.is_ascii_whitespace().then_some(at);
    let ends = text.char_indices().filter_map(blank);
    let prefix = ends.filter_map(|end| split(&text[..end], Syntax::Shell).ok()).next_back();
    name(&prefix.unwrap_or_default()).or_else(|_| Ok("sh".to_owned()))
}

/// The basename of the first word that is no assignment, redirection or `exec`.
fn name(tokens: &[Token]) -> Result<String, String> {
    let first = command_word(tokens);
    if let Some(exec) = first.filter(|word| word.text == "exec") {
        let behind = tokens.iter().position(|token| token.start > exec.start).unwrap_or(tokens.len());
        return basename(command_word(&tokens[behind..]).map_or("exec", |word| &word.text));
    }
    basename(first.map_or("", |word| &word.text))
}

/// What follows the last `/`.
fn basename(word: &str) -> Result<String, String> {
    let name = word.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.is_empty() { Err("must name a program".to_owned()) } else { Ok(name.to_owned()) }
}

/// A service's name from a command's: each character that names cannot have becomes `_`, and `all` becomes `all_`.
pub(crate) fn service_name(command_name: &str) -> String {
    let name: String = command_name.chars().map(|c| if ServiceName::allows(c) { c } else { '_' }).collect();
    match name.strip_prefix('-') {
        Some(rest) => format!("_{rest}"),
        None if name == ServiceName::ALL => name + "_",
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Command, String) {
        Text::Line(text.to_owned()).parse(None).unwrap()
    }

    fn error(text: &str) -> String {
        Text::Line(text.to_owned()).parse(None).unwrap_err()
    }

    #[test]
    fn a_plain_command_is_executed_directly() {
        let (command, name) = parse("A=1 B='2 3' /etc/init.d/apache2 start");
        assert_eq!(command.argv, ["/etc/init.d/apache2", "start"]);
        assert_eq!(command.environment, [("A".into(), "1".into()), ("B".into(), "2 3".into())]);
        assert_eq!(name, "apache2");
    }

    #[test]
    fn a_command_for_a_shell_is_given_to_one() {
        let (command, name) = parse("A=1 /usr/bin/app $X | tee log");
        assert_eq!(command.argv, ["/bin/sh", "-c", "A=1 /usr/bin/app $X | tee log"]);
        assert!(command.environment.is_empty());
        assert_eq!(name, "app");
        assert_eq!(parse("(cd /srv; app)").1, "cd");
        assert_eq!(parse("a && b").0.argv, ["/bin/sh", "-c", "a && exec b"]);
        assert_eq!(parse("app \"$(echo '\"')\"").1, "app");
    }

    #[test]
    fn exec_is_no_program() {
        let (command, name) = parse("A=1 exec nginx -g 'daemon off;'");
        assert_eq!((command.argv.len(), name.as_str()), (3, "nginx"));
        assert_eq!(parse("exec app $X").1, "app");
        assert_eq!(parse("exec app $X").0.argv[2], "exec app $X");
    }

    #[test]
    fn the_key_shell_overrides() {
        let line = Text::Line("a b".to_owned());
        assert_eq!(line.parse(Some(true)).unwrap().0.argv, ["/bin/sh", "-c", "a b"]);
        let line = Text::Line("a $b ; 'c d'".to_owned());
        assert_eq!(line.parse(Some(false)).unwrap().0.argv, ["a", "$b", ";", "c d"]);
        let words = Text::Words(vec!["/bin/a b".to_owned(), "$c".to_owned()]);
        let (command, name) = words.parse(Some(true)).unwrap();
        assert_eq!((command.argv, name.as_str()), (vec!["/bin/a b".to_owned(), "$c".to_owned()], "a b"));
    }

    #[test]
    fn what_cannot_be_executed_is_refused() {
        assert_eq!(error("a 'b"), "has an unbalanced ' at character 3");
        assert_eq!(error("a \\"), "has a \\ at character 3 with nothing behind it");
        for text in ["", " \t", "A=1", "''", "/", "> file", "; ;"] {
            assert_eq!(error(text), "must name a program", "{text:?}");
        }
        assert!(error("a\0b").contains("NUL"));
        assert!(Text::Words(Vec::new()).parse(None).is_err());
    }

    #[test]
    fn names_are_made_fit_for_services() {
        assert_eq!(service_name("a b=c"), "a_b_c");
        assert_eq!(service_name("-a"), "_a");
        assert_eq!(service_name("app.py"), "app.py");
    }

    /// xorshift: the same commands in every run.
    #[test]
    fn no_text_makes_the_parser_panic() {
        let alphabet: Vec<char> = "ab=/ \t\n'\"\\$`|&;<>()*?~#{}[]!é\0-1".chars().collect();
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize
        };
        for _ in 0..20_000 {
            let text: String = (0..next() % 24).map(|_| alphabet[next() % alphabet.len()]).collect();
            for shell in [None, Some(true), Some(false)] {
                if let Ok((command, name)) = Text::Line(text.clone()).parse(shell) {
                    assert!(!command.argv.is_empty() && !name.is_empty(), "{text:?}");
                }
            }
        }
    }
}
