//! Prints figures as a Markdown table: median, the least and the greatest, and how many times the bare loop's median.

use std::{fmt, time::Duration};

/// A table with a line for each figure and a column for each manager, the first of which is the bare loop.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    lines: Vec<Vec<String>>,
    is_complete: bool,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(managers: impl Iterator<Item = &'static str>) -> Self {
        let head = [String::new()].into_iter().chain(managers.map(str::to_owned)).collect();
        Self { head, lines: Vec::new(), is_complete: true }
    }

    /// Adds a line of times.
    pub(crate) fn times(&mut self, what: &str, samples: &[Vec<Duration>]) {
        let milliseconds = |times: &Vec<Duration>| {
            let mut times: Vec<f64> = times.iter().map(|time| 1000.0 * time.as_secs_f64()).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let samples: Vec<Vec<f64>> = samples.iter().map(milliseconds).collect();
        let bare = samples.first().and_then(|bare| median(bare));
        let cell = |times: &Vec<f64>| {
            let (middle, least, most) = (median(times)?, times.first()?, times.last()?);
            let digits = if middle < 10.0 { 2 } else { 0 };
            let ratio = middle / bare?;
            let rounded = if ratio < 10.0 { 1 } else { 0 };
            Some(format!("{middle:.digits$} ms ({least:.digits$}–{most:.digits$}), {ratio:.rounded$} ×"))
        };
        self.line(what, samples.iter().map(cell).collect());
    }

    /// Adds a line of numbers that are measured once.
    pub(crate) fn numbers(&mut self, what: &str, samples: &[Vec<u64>]) {
        self.line(what, samples.iter().map(|numbers| Some(numbers.first()?.to_string())).collect());
    }

    /// Whether every manager has given every figure.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn line(&mut self, what: &str, cells: Vec<Option<String>>) {
        self.is_complete &= cells.iter().all(Option::is_some);
        let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "none".to_owned()));
        self.lines.push([what.to_owned()].into_iter().chain(cells).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.head.len()))?;
        self.lines.iter().try_for_each(|line| writeln!(f, "| {} |", line.join(" | ")))
    }
}

/// The middle one of sorted numbers, or the mean of both that are.
fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}
