//! Splits a command into words as a POSIX shell would (Shell Command Language 2.2 and 2.3). Expands
//! nothing and runs nothing.

/// A part of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// A word without its quotes, or an operator as it is written.
    pub(crate) text: String,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
    /// Where it ends, in bytes.
    pub(crate) end: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a part of a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word that says what it means.
    Word,
    /// A word that only a shell can expand: a parameter, a pattern, a home directory.
    Expanded,
    /// An operator of the shell: `|`, `&&`, `;`, `>`, a newline.
    Operator,
}

/// Why a command cannot be split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unbalanced {
    /// The quote or backslash without its other half.
    pub(crate) mark: char,
    /// Its place, in characters from 1.
    pub(crate) position: usize,
}

/// How the characters that mean something to a shell are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// As a shell reads them.
    Shell,
    /// As they are: only blanks, quotes and backslashes mean something.
    Literal,
}

/// Operators, the longest first.
const OPERATORS: [&str; 16] =
    ["&&", "||", ";;", ">>", "<<", ">&", "<&", ">|", "<>", ";", "&", "|", "<", ">", "(", ")"];

/// Where a line goes on in the next one: between words this is a blank, not a word (POSIX 2.2.1).
const CONTINUED: &str = "\\\n";

/// Splits the command.
pub(crate) fn split(text: &str, syntax: Syntax) -> Result<Vec<Token>, Unbalanced> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if syntax == Syntax::Shell
            && let Some(operator) = operator(&text[at..])
        {
            let end = at + operator.len();
            tokens.push(Token { text: operator.to_owned(), start: at, end, kind: Kind::Operator });
            at = end;
        } else if c.is_ascii_whitespace() {
            at += 1;
        } else if text[at..].starts_with(CONTINUED) {
            at += CONTINUED.len();
        } else {
            let token = word(text, at, syntax)?;
            at = token.end;
            tokens.push(token);
        }
    }
    Ok(tokens)
}

fn operator(rest: &str) -> Option<&str> {
    if rest.starts_with('\n') {
        return Some(&rest[..1]);
    }
    OPERATORS.into_iter().find(|operator| rest.starts_with(operator)).map(|operator| &rest[..operator.len()])
}

fn word(text: &str, start: usize, syntax: Syntax) -> Result<Token, Unbalanced> {
    let shell = syntax == Syntax::Shell;
    let mut word = String::new();
    let mut expanded = shell && is_home(&text[start..]);
    let mut quoted = None;
    let mut rest = text[start..].char_indices().map(|(at, c)| (start + at, c)).peekable();
    let mut end = text.len();
    let unbalanced = |mark, at| Unbalanced { mark, position: text[..at].chars().count() + 1 };
    while let Some((at, c)) = rest.next() {
        match (quoted, c) {
            (None, c) if c.is_ascii_whitespace() || shell && operator(&text[at..]).is_some() => {
                end = at;
                break;
            }
            (None, '\'' | '"') => quoted = Some((c, at)),
            (Some((quote, _)), c) if quote == c => quoted = None,
            (Some(('\'', _)), c) => word.push(c),
            (None, '\\') => match rest.next() {
                Some((_, '\n')) => {}
                Some((_, escaped)) => word.push(escaped),
                None => return Err(unbalanced('\\', at)),
            },
            (Some(_), '\\') => match rest.next_if(|&(_, next)| "$`\"\\\n".contains(next)) {
                Some((_, '\n')) => {}
                Some((_, escaped)) => word.push(escaped),
                None => word.push('\\'),
            },
            (quoted, c) => {
                expanded |= shell && ("$`".contains(c) || quoted.is_none() && "*?".contains(c));
                word.push(c);
            }
        }
    }
    if let Some((mark, at)) = quoted {
        return Err(unbalanced(mark, at));
    }
    let kind = if expanded { Kind::Expanded } else { Kind::Word };
    Ok(Token { text: word, start, end, kind })
}

/// Whether the word stands for a home directory: `~`, `~/…` (other users' homes are too rare).
fn is_home(word: &str) -> bool {
    word.strip_prefix('~').is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' ', '\t', '\n']))
}

/// The two halves of an assignment: `VAR=value`.
pub(crate) fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let first = name.chars().next()?;
    let named = (first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some((name, value))
}

/// The text quoted so that a shell splits it into one word again.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-+=./:,@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains(['"', '$', '`', '\\', '!']) || !word.contains(['\'', ' ']) {
        format!("'{}'", word.replace('\'', "'\\''"))
    } else {
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text, Syntax::Shell).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        assert_eq!(words("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(words("nginx -g 'daemon off;'"), ["nginx", "-g", "daemon off;"]);
        assert_eq!(words(r#"a "b \"c\" \d" e\ f"#), ["a", r#"b "c" \d"#, "e f"]);
        assert_eq!(words("a''b '' \"\""), ["ab", "", ""]);
        assert_eq!(words("a\\\nb"), ["ab"]);
        assert_eq!(words("a \\\n  --b \\\n"), ["a", "--b"]);
        assert_eq!(words("a&&b>c"), ["a", "&&", "b", ">", "c"]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn only_what_a_shell_would_expand_needs_one() {
        let needs = |text| split(text, Syntax::Shell).unwrap().iter().any(|token| token.kind != Kind::Word);
        for text in
            ["a|b", "a &", "a;b", "a <b", "a >b", "a $b", "(a)", "a *", "a b?", "a `b`", "a\nb", "a \"$b\""]
        {
            assert!(needs(text), "{text}");
        }
        for text in ["~/bin/a", "a ~"] {
            assert!(needs(text), "{text}");
        }
        for text in
            ["a b", "a '$b'", "a \"*|;\"", "a \\$b", "a {b,c}", "a [b]", "a#b #c", "a~ b/~c", "a \"\\$b\""]
        {
            assert!(!needs(text), "{text}");
        }
    }

    #[test]
    fn literal_syntax_knows_quotes_only() {
        let tokens = split("a '$b' $c;d *", Syntax::Literal).unwrap();
        assert!(tokens.iter().all(|token| token.kind == Kind::Word));
        assert_eq!(tokens.iter().map(|token| &*token.text).collect::<Vec<_>>(), ["a", "$b", "$c;d", "*"]);
    }

    #[test]
    fn what_is_unbalanced_is_told_with_its_place() {
        let error = |text| split(text, Syntax::Shell).unwrap_err();
        assert_eq!(error("a 'b"), Unbalanced { mark: '\'', position: 3 });
        assert_eq!(error("é \"b"), Unbalanced { mark: '"', position: 3 });
        assert_eq!(error("a \\"), Unbalanced { mark: '\\', position: 3 });
    }

    #[test]
    fn assignments_have_a_name() {
        assert_eq!(assignment("A_1=b=c"), Some(("A_1", "b=c")));
        assert_eq!(assignment("_="), Some(("_", "")));
        for text in ["1A=b", "=b", "a-b=c", "--a=b", "ab"] {
            assert_eq!(assignment(text), None, "{text}");
        }
    }

    #[test]
    fn quoting_survives_splitting() {
        for text in ["a", "", "a b", "it's", "$x", "\"", "a'b \"c\" $d", "*", "a\nb", "!", "daemon off;", "~"]
        {
            assert_eq!(words(&quote(text)), [text], "{}", quote(text));
        }
        assert_eq!(quote("nginx -g 'daemon off;'"), "\"nginx -g 'daemon off;'\"");
        assert_eq!(quote("daemon off;"), "\"daemon off;\"");
    }
}
