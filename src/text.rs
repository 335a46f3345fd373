//! Text as people read it: what must not reach a terminal as it is, and which name was probably meant. Prints nothing.

use std::{fmt, io};

/// Whether a character would end a line, steer a terminal, be invisible or change the direction of writing.
pub(crate) fn is_unseen(c: char) -> bool {
    let formats = matches!(
        c,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    );
    formats || c.is_control()
}

/// Appends the text with each such character as an escape (`\n`, `\u{1b}`).
pub(crate) fn push_printable(text: &str, out: &mut String) {
    for c in text.chars() {
        if is_unseen(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// The text with each such character as an escape, on one line.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_printable(text, &mut out);
    out
}

/// The bytes as text: each that is not UTF-8 becomes the four characters `\xHH`.
pub(crate) fn lossless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// `512 MiB`, `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), units[unit])
}

/// `1 line`, `1,234 lines`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let plural = if count == 1 { "" } else { "s" };
    format!("{text} {what}{plural}")
}

/// An error of the system in lower case and without its number: `no such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Says of an error what could not be done: `cannot STEP: REASON`.
pub(crate) fn cannot<E: Into<io::Error>>(step: impl fmt::Display) -> impl FnOnce(E) -> io::Error {
    move |error| io::Error::other(format!("cannot {step}: {}", reason(&error.into())))
}

/// The candidate that was probably meant, if one is near.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this similarity (Jaro-Winkler, 0 to 1), a suggestion puzzles more than it helps.
    const NEAR: f64 = 0.8;
    /// One slip of the finger (a letter too many, too few, wrong or swapped), which weighs too much in short names.
    const SLIP: f64 = 0.9;
    let similarity = |candidate| {
        let slip = given.len() > 2 && strsim::damerau_levenshtein(given, candidate) <= 1;
        strsim::jaro_winkler(given, candidate).max(if slip { SLIP } else { 0.0 })
    };
    known
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_text_around_is_escaped() {
        assert_eq!(
            printable("a\x1b[2Jb\nc\u{202e}d\u{9b}é\u{2066}\u{200b}\u{61c}\t\"\\"),
            "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}é\\u{2066}\\u{200b}\\u{61c}\\t\"\\"
        );
    }

    #[test]
    fn large_numbers_are_in_groups() {
        let told = [0, 1, 999, 1000, 1_234_567].map(|count| counted(count, "line"));
        assert_eq!(told, ["0 lines", "1 line", "999 lines", "1,000 lines", "1,234,567 lines"]);
    }

    #[test]
    fn the_nearest_is_found_and_the_far_is_not() {
        let known = ["interval", "directory", "stop"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("wbe", ["web"]), Some("web"));
        assert_eq!(nearest("zebra", known), None);
    }
}
