//! Puts `exec` before the last simple command of a shell's text, where that changes nothing but that the
//! shell is gone. In doubt the text is left alone: a shell that stays is slower, never wrong.

use super::words::{Kind, Syntax, Token, assignment, split};

/// Words that a shell takes for its own at the place of a command: reserved words (POSIX 2.4) and the
/// built-in utilities of dash and bash, which either cannot be executed or would do something else.
const OWN: &[&str] = &[
    "!", ".", ":", "[", "[[", "]]", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue",
    "coproc", "declare", "do", "done", "echo", "elif", "else", "esac", "eval", "exec", "exit", "export",
    "false", "fc", "fg", "fi", "for", "function", "getopts", "hash", "if", "in", "jobs", "kill", "let",
    "local", "printf", "pwd", "read", "readonly", "return", "select", "set", "shift", "shopt", "source",
    "test", "then", "time", "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias",
    "unset", "until", "wait", "while", "{", "}",
];

/// Words after which a shell's text is no plain list of commands, may do something after the last one, or may
/// mean a function by its name.
const NO_LIST: &[&str] = &[
    ".", "source", "alias", "case", "coproc", "do", "done", "esac", "eval", "fi", "for", "function", "if",
    "select", "then", "trap", "until", "while", "{", "}", "[[", "!",
];

/// Those of `OWN` that are programs too (POSIX 1.7 and XCU 4).
const PROGRAMS: &[&str] = &["[", "echo", "false", "kill", "printf", "pwd", "test", "time", "true"];

/// Whether no process can bear the name of this command word: it is the shell's own, or stands for another.
/// `exec` is the one word that makes way for the next.
pub(crate) fn is_no_process(word: &Token) -> bool {
    let text = word.text.as_str();
    match word.kind {
        Kind::Word => OWN.contains(&text) && !PROGRAMS.contains(&text) && text != "exec",
        Kind::Expanded => text.rsplit('/').next().is_some_and(|name| name.contains(['$', '`', '*', '?'])),
        Kind::Operator => false,
    }
}

/// The text, with the last simple command by `exec` where that is safe.
pub(crate) fn with_exec(text: &str) -> String {
    match place_of_exec(text) {
        Some(at) => format!("{}exec {}", &text[..at], &text[at..]),
        None => text.to_owned(),
    }
}

/// What stands for a value that is not shown.
pub(crate) const MASK: &str = "…";

/// The text without the values of words that look like assignments; nothing of a text that only a shell can split.
pub(crate) fn masked(text: &str) -> String {
    let Ok(tokens) = split(text, Syntax::Shell) else { return MASK.to_owned() };
    let mut masked = text.to_owned();
    for token in tokens.iter().rev().filter(|token| token.kind != Kind::Operator) {
        if let Some((name, _)) = assignment(&token.text) {
            masked.replace_range(token.start..token.end, &format!("{name}={MASK}"));
        }
    }
    masked
}

/// Where `exec` may be put, in bytes.
fn place_of_exec(text: &str) -> Option<usize> {
    let mut tokens = split(text, Syntax::Shell).ok()?;
    while tokens.pop_if(|token| is_operator(token, &[";", "\n"])).is_some() {}
    if text.contains('`') || !tokens.iter().all(is_plain) {
        return None;
    }
    let mut commands = tokens.split(|token| is_operator(token, &["&&", "||", ";", "\n"]));
    let last = command_word(commands.next_back()?)?;
    let others_plain = commands
        .filter_map(command_word)
        .all(|word| word.kind == Kind::Word && !NO_LIST.contains(&word.text.as_str()));
    let executable = match last.kind {
        Kind::Word => !OWN.contains(&last.text.as_str()),
        Kind::Expanded => last.text.starts_with("~/") && !last.text.contains(['$', '*', '?']),
        Kind::Operator => false,
    };
    (others_plain && executable).then_some(last.start)
}

fn is_operator(token: &Token, operators: &[&str]) -> bool {
    token.kind == Kind::Operator && operators.contains(&token.text.as_str())
}

/// Whether the part may stand in a list of simple commands: no pipe, subshell, background or
/// here-document, and no comment, behind which the rest would mean nothing.
fn is_plain(token: &Token) -> bool {
    match token.kind {
        Kind::Operator => !["|", "&", "(", ")", "<<", ";;"].contains(&token.text.as_str()),
        Kind::Word | Kind::Expanded => !token.text.starts_with('#'),
    }
}

/// The word that names the command, behind assignments and redirections.
pub(crate) fn command_word(tokens: &[Token]) -> Option<&Token> {
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        let redirected = rest.peek().is_some_and(|next| {
            next.kind == Kind::Operator
                && next.start == token.end
                && next.text.starts_with(['<', '>'])
                && token.text.chars().all(|c| c.is_ascii_digit())
        });
        match token.kind {
            Kind::Operator if token.text.starts_with(['<', '>']) => {
                rest.next();
            }
            Kind::Operator => {}
            Kind::Word | Kind::Expanded if redirected || assignment(&token.text).is_some() => {}
            Kind::Word | Kind::Expanded => return Some(token),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn values_are_masked_wherever_a_shell_would_assign_them() {
        for (text, shown) in [
            ("KEY=geheim exec srv", "KEY=… exec srv"),
            ("A=1 B='2 3' \"C=4\" srv --key=5 | tee log", "A=… B=… C=… srv --key=5 | tee log"),
            (
                "cd /srv && KEY=\"$(cat 'a b')\" exec srv; export OTHER=1",
                "cd /srv && KEY=… exec srv; export OTHER=…",
            ),
            ("KEY='geheim", "…"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn the_last_simple_command_is_executed_where_that_is_safe() {
        for (text, expected) in [
            ("sleep $X", "exec sleep $X"),
            ("a && b", "a && exec b"),
            ("a || b;", "a || exec b;"),
            ("cd /srv; ./app *.conf", "cd /srv; exec ./app *.conf"),
            ("A=$B app >log 2>&1", "A=$B exec app >log 2>&1"),
            (">log app", ">log exec app"),
            ("2>log app 5", "2>log exec app 5"),
            ("a\nb\n", "a\nexec b\n"),
            ("a '|' > b", "exec a '|' > b"),
            ("~/bin/a $X", "exec ~/bin/a $X"),
        ] {
            assert_eq!(with_exec(text), expected);
        }
    }

    #[test]
    fn in_doubt_the_shell_stays() {
        for text in [
            "a | b",
            "a &",
            "a & b",
            "(a; b)",
            "a $(b)",
            "a `b`",
            "if a; then b; fi",
            "for x in *; do a; done",
            "a && { b; }",
            "a; cd $X",
            "export A=$B",
            "a; wait",
            "a; :",
            "a; exec b",
            "trap 'c' EXIT; b",
            "$RUNNER a",
            "~/$X/a",
            ". ./env; a",
            "a <<X\nb\nX",
            "a # b; c",
            "! a $X",
            "A=$B",
            "> file",
            "eval $X; b",
        ] {
            assert_eq!(with_exec(text), text);
        }
    }

    #[test]
    fn what_a_shell_does_stays_the_same() {
        for text in [
            "A=1 env | grep ^A=",
            "A=$((1+1)) env",
            "B=2; A=$B env printf '%s\\n' x$B",
            "A='x y' /usr/bin/env sh -c 'echo \"$A\"' 2>&1",
            ">&2 env printf x; 2>&1 env printf y$HOME",
            "false && env printf a; env printf b$?",
            "false || env printf c$?",
            "true && exit 3; env printf $X",
        ] {
            let run = |text: &str| {
                let output = Command::new("/bin/sh").args(["-c", text]).env_clear().output().unwrap();
                (
                    output.status.code(),
                    String::from_utf8_lossy(&output.stdout).replace("_=/usr/bin/env\n", ""),
                )
            };
            let (code, stdout) = run(&with_exec(text));
            assert_eq!((code, stdout), run(text), "{text}");
        }
    }
}
