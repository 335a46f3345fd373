//! Where a value was written: in which layer, and where in it. Judges no value.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::text::printable;

/// A configuration file that was read.
#[derive(Debug)]
pub struct SourceFile {
    path: PathBuf,
    text: String,
    index: usize,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl SourceFile {
    /// The `index`-th file in the order of reading, with the path as it was named.
    pub fn new(path: PathBuf, text: String, index: usize) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text, index, lines }
    }

    /// The folder that it is in, as its path was named.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// All of its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of this number, from 1; empty where there is none.
    pub fn line(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|index| self.lines.get(index));
        start.and_then(|&start| self.text[start..].lines().next()).unwrap_or_default()
    }

    /// The line and column, from 1 and in characters, of the byte at `offset`.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let before =
            self.lines.get(line - 1).and_then(|&start| self.text.get(start..offset.min(self.text.len())));
        (line, before.map_or(0, |before| before.chars().count()) + 1)
    }
}

/// Where a value was written.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Nowhere: it is the default.
    BuiltIn,
    /// Nowhere: it follows from other values, as this says.
    Derived(&'static str),
    /// In a file.
    File {
        /// The file.
        file: Arc<SourceFile>,
        /// The bytes of it.
        span: Range<usize>,
    },
    /// In an environment variable, in this line of it where it holds several.
    Variable {
        /// The variable's name.
        name: &'static str,
        /// The line, from 1.
        line: Option<usize>,
    },
    /// In an option, told as it was given (`--set KEY=VALUE`).
    Argument(Arc<str>),
    /// In a COMMAND.
    Command {
        /// Which one, from 1.
        number: usize,
        /// The command.
        text: Arc<str>,
    },
    /// In no place that could be named: what is wrong is the whole.
    Whole,
}

impl Origin {
    /// The order in which a report lists what is wrong: files as they were read, then the other layers.
    pub(crate) fn rank(&self) -> (usize, usize, usize) {
        match self {
            Origin::File { file, span } => (0, file.index, span.start),
            Origin::Variable { name: _, line } => (1, line.unwrap_or(0), 0),
            Origin::Argument(_) => (2, 0, 0),
            Origin::Command { number, text: _ } => (3, *number, 0),
            Origin::BuiltIn | Origin::Derived(_) | Origin::Whole => (4, 0, 0),
        }
    }

    /// Whether nobody has written the value.
    pub(crate) fn is_default(&self) -> bool {
        match self {
            Origin::BuiltIn | Origin::Derived(_) => true,
            Origin::File { .. }
            | Origin::Variable { .. }
            | Origin::Argument(_)
            | Origin::Command { .. }
            | Origin::Whole => false,
        }
    }

    /// The place in full, as a report names it.
    pub(crate) fn place(&self) -> String {
        match self {
            Origin::Command { number, text } => format!("COMMAND {number} ({:?})", &**text),
            Origin::Whole | Origin::BuiltIn | Origin::Derived(_) => "musterd".to_owned(),
            Origin::File { .. } | Origin::Variable { .. } | Origin::Argument(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    /// The layer, as `musterd check` names it; always one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("default"),
            Origin::Derived(how) => f.write_str(how),
            Origin::File { file, span } => {
                let (line, column) = file.position(span.start);
                write!(f, "{}:{line}:{column}", printable(&file.path.display().to_string()))
            }
            Origin::Variable { name, line: Some(line) } => write!(f, "{name} line {line}"),
            Origin::Variable { name, line: None } => f.write_str(name),
            Origin::Argument(text) => f.write_str(&printable(text)),
            Origin::Command { number, text: _ } => write!(f, "COMMAND {number}"),
            Origin::Whole => f.write_str("all layers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let file = SourceFile::new("x.toml".into(), "a = 1\né = 2\n".to_owned(), 0);
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(6), (2, 1));
        assert_eq!(file.position("a = 1\né = ".len()), (2, 5));
        assert_eq!(file.position(1000), (3, 1));
        assert_eq!((file.line(2), file.line(3), file.line(4)), ("é = 2", "", ""));
    }

    #[test]
    fn an_origin_stays_on_its_line() {
        assert_eq!(Origin::Argument("--set a=b\nc".into()).to_string(), "--set a=b\\nc");
        assert_eq!(Origin::Argument("--set a=\u{202e}b".into()).to_string(), "--set a=\\u{202e}b");
    }
}
