//! Understands files of `NAME=value` lines. Reads no file, and says of none what is in it.
//!
//! A line is empty, a comment (`#`), or a variable, perhaps after `export`. A value in '…' is taken as it is;
//! in "…" a backslash stands before `"`, `\`, `$` or a backquote that is meant as it is; without quotes it
//! goes to the end of the line, blanks at both ends excepted, and nothing is a comment in it.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use super::secret::{Entry, Secret};

/// A line that is no variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Its number, from 1.
    pub(super) number: usize,
    /// What is wrong with it.
    pub(super) reason: &'static str,
}

/// The variables of a file, in its order.
///
/// # Errors
/// The first bad line.
pub(super) fn parse(text: &[u8]) -> Result<Vec<(OsString, Entry)>, BadLine> {
    let mut variables = Vec::new();
    for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        variables.push(variable(line).map_err(|reason| BadLine { number, reason })?);
    }
    Ok(variables)
}

fn variable(line: &[u8]) -> Result<(OsString, Entry), &'static str> {
    let exported =
        line.strip_prefix(b"export").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"));
    let line = exported.unwrap_or(line).trim_ascii_start();
    let at = memchr::memchr(b'=', line).ok_or("there is no \"=\" in it")?;
    let (name, value) = (&line[..at], line[at + 1..].trim_ascii_start());
    let is_name = |&byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.is_empty() || !name.iter().all(is_name) || name[0].is_ascii_digit() {
        return Err("what stands before the \"=\" is no name of a variable");
    }
    let quoted;
    let value = match value.first() {
        Some(quote @ (b'\'' | b'"')) => {
            quoted = unquote(&value[1..], *quote)?;
            &*quoted
        }
        Some(_) | None => value,
    };
    let entry = Entry::new(name, &[value]).map_err(|_| "it holds a NUL byte")?;
    Ok((OsString::from_vec(name.to_vec()), entry))
}

/// What stands before the closing quote.
fn unquote(text: &[u8], quote: u8) -> Result<Secret, &'static str> {
    let mut value = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte == quote {
            let value = Secret::new(value);
            let left: Secret = Secret::new(rest.collect());
            let left = left.trim_ascii();
            return match left.is_empty() || left.starts_with(b"#") {
                true => Ok(value),
                false => Err("there is more after the closing quote"),
            };
        }
        let escaped = rest.peek().copied().filter(|byte| matches!(byte, b'"' | b'\\' | b'$' | b'`'));
        match escaped.filter(|_| byte == b'\\' && quote == b'"') {
            Some(escaped) => {
                rest.next();
                value.push(escaped);
            }
            None => value.push(byte),
        }
    }
    drop(Secret::new(value));
    Err("the quote is not closed on it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_variable_or_nothing() {
        let text = b"# note\n\nA=1\n export B = x\nexport\tC=' a # \"b\\' # end\r\nD=\"a \\\"b\\\" \\$C \\n\"\nE=\nF=a b # c\nA=2\nexport=3\nG=''";
        let text = String::from_utf8(text.to_vec()).unwrap().replace("B = x", "B= x");
        let variables = parse(text.as_bytes()).unwrap();
        let told: Vec<_> = variables.iter().map(|(_, entry)| entry.text().to_str().unwrap()).collect();
        assert_eq!(
            told,
            ["A=1", "B=x", "C= a # \"b\\", "D=a \"b\" $C \\n", "E=", "F=a b # c", "A=2", "export=3", "G="]
        );
        assert!(
            variables
                .iter()
                .all(|(name, entry)| entry.text().to_bytes().starts_with(name.as_encoded_bytes()))
        );
    }

    #[test]
    fn a_bad_line_is_told_without_its_content() {
        for (line, reason) in [
            ("hunter2", "there is no \"=\" in it"),
            ("=hunter2", "what stands before the \"=\" is no name of a variable"),
            ("A B=hunter2", "what stands before the \"=\" is no name of a variable"),
            ("1A=hunter2", "what stands before the \"=\" is no name of a variable"),
            ("A='hunter2", "the quote is not closed on it"),
            ("A=\"hunter2\\\"", "the quote is not closed on it"),
            ("A='hunter2' 3", "there is more after the closing quote"),
            ("A=hunt\0er2", "it holds a NUL byte"),
        ] {
            let text = format!("X=1\n\n{line}\nY=2");
            assert_eq!(parse(text.as_bytes()).unwrap_err(), BadLine { number: 3, reason }, "{line}");
        }
    }
}
