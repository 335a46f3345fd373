//! What is wrong with a configuration, all of it, as people read it. Finds nothing itself.

use std::fmt;

use super::origin::Origin;
use crate::text::{is_unseen, nearest, printable};

/// One thing that is wrong, or probably not meant.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    /// On one line, without the text around its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin.place(), printable(&self.message))
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, Default)]
pub struct Report {
    problems: Vec<Problem>,
    incomplete: bool,
}

impl Report {
    /// Adds a problem.
    pub(crate) fn add(&mut self, origin: &Origin, message: impl Into<String>) {
        self.problems.push(Problem { origin: origin.clone(), message: message.into() });
    }

    /// Notes that part of the configuration could not be read, so that what is absent may be no mistake.
    pub(crate) fn set_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Whether part of the configuration could not be read.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems: files in the order of reading, then the other layers.
    pub fn problems(&self) -> Vec<&Problem> {
        let mut problems: Vec<_> = self.problems.iter().collect();
        problems.sort_by_key(|problem| problem.origin.rank());
        problems
    }

    /// How many they are: `3 errors`.
    pub fn count(&self) -> String {
        match self.problems.len() {
            1 => "1 error".to_owned(),
            many => format!("{many} errors"),
        }
    }
}

impl fmt::Display for Report {
    /// Every problem with its place, and for a file the line with a mark under the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems() {
            // Some messages have several lines; what they quote of the input has none, and steers no terminal.
            let message: Vec<String> = problem.message.split('\n').map(printable).collect();
            writeln!(f, "{}: {}", problem.origin.place(), message.join("\n"))?;
            if let Origin::File { file, span } = &problem.origin {
                let (line, column) = file.position(span.start);
                let text = file.line(line);
                let length = file.text().get(span.clone()).map_or(1, |value| value.chars().count());
                excerpt(f, line, column, text, length)?;
            }
        }
        Ok(())
    }
}

/// What of a line is shown at most, in characters: a report stays readable for a generated file.
const WIDTH: usize = 120;

fn excerpt(f: &mut fmt::Formatter<'_>, line: usize, column: usize, text: &str, length: usize) -> fmt::Result {
    let skip = if column > WIDTH / 2 && text.chars().count() > WIDTH { column - WIDTH / 2 } else { 0 };
    let shown: String =
        text.chars().skip(skip).take(WIDTH).map(|c| if is_unseen(c) { ' ' } else { c }).collect();
    let before = column - 1 - skip;
    let marks = length.min(shown.chars().count().saturating_sub(before)).max(1);
    writeln!(f, "{line:>5} | {}", shown.trim_end())?;
    writeln!(f, "      | {}{}", " ".repeat(before), "^".repeat(marks))
}

/// The candidate that was probably meant, if one is near: `; did you mean "interval"?`.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(given, known).map(|near| format!("; did you mean \"{}\"?", printable(near)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::origin::SourceFile;

    #[test]
    fn a_problem_shows_its_line_and_a_mark_under_the_value() {
        let text = "[services.web]\ninterval = \"0s\"\n".to_owned();
        let file = Arc::new(SourceFile::new("/etc/musterd.toml".into(), text, 0));
        let mut report = Report::default();
        report.add(&Origin::Argument("--set a=b".into()), "second");
        report.add(&Origin::File { file, span: 26..30 }, "first");
        assert_eq!(
            report.to_string(),
            "/etc/musterd.toml:2:12: first\n    2 | interval = \"0s\"\n      |            ^^^^\n--set a=b: second\n"
        );
        assert_eq!(report.count(), "2 errors");
    }

    #[test]
    fn a_long_line_is_cut_around_the_value() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let file = Arc::new(SourceFile::new("f".into(), text, 0));
        let mut report = Report::default();
        report.add(&Origin::File { file, span: 5000..5001 }, "here");
        let shown = report.to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert!(shown.len() < 400);
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }
}
