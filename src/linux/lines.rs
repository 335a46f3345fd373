//! Cuts a stream of bytes into lines. Reads nothing and gives lines no form.

use memchr::memchr_iter;

/// The longest line that is kept in one piece, in bytes: a service that never ends a line costs no more memory.
pub(super) const LONGEST: usize = 64 * 1024;

/// What a partial line may keep allocated when it is over: most lines that come in pieces are shorter.
const SPARE: usize = 4 * 1024;

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a newline or by the end of its process.
    Whole,
    /// Perhaps not at all: a pause came. The next line may go on with it.
    Paused,
    /// It was too long: the next line goes on with it.
    Split,
}

/// The line that has begun and not ended yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Where a line has begun already.
    pub(super) fn begun(partial: Vec<u8>) -> Self {
        Self { partial }
    }

    /// The line that has begun; empty: none has.
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Hands out every line that `bytes` end, without its newline, and keeps the rest.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8], Ending)) {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let piece = &bytes[start..end];
            if self.partial.is_empty() && piece.len() <= LONGEST {
                line(piece, Ending::Whole);
            } else {
                self.keep(piece, &mut line);
                self.flush(Ending::Whole, &mut line);
            }
            start = end + 1;
        }
        self.keep(&bytes[start..], &mut line);
    }

    /// Hands out the line that has begun, if there is one, as one that ended so.
    pub(super) fn flush(&mut self, ending: Ending, mut line: impl FnMut(&[u8], Ending)) {
        if self.partial.is_empty() {
            return;
        }
        line(&self.partial, ending);
        self.partial.clear();
        if self.partial.capacity() > SPARE {
            self.partial = Vec::new();
        }
    }

    /// Whether no line has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    fn keep(&mut self, mut piece: &[u8], line: &mut impl FnMut(&[u8], Ending)) {
        while self.partial.len() + piece.len() > LONGEST {
            let (fits, rest) = piece.split_at(LONGEST - self.partial.len());
            self.partial.extend_from_slice(fits);
            piece = rest;
            let cut = character_boundary(&self.partial);
            line(&self.partial[..cut], Ending::Split);
            self.partial.drain(..cut);
        }
        self.partial.extend_from_slice(piece);
    }
}

/// Where to cut so that no UTF-8 character is torn: before one whose bytes are not all there (RFC 3629, section 3).
fn character_boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let Some(at) = bytes[tail..].iter().rposition(|&byte| byte >= 0xC0).map(|at| tail + at) else {
        return bytes.len();
    };
    let length = match bytes[at] {
        ..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    };
    if at + length > bytes.len() { at } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> (Vec<(Vec<u8>, Ending)>, Lines) {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for piece in pieces {
            lines.push(piece, |line, ending| got.push((line.to_vec(), ending)));
        }
        (got, lines)
    }

    fn whole(lines: &[&[u8]]) -> Vec<(Vec<u8>, Ending)> {
        lines.iter().map(|line| (line.to_vec(), Ending::Whole)).collect()
    }

    #[test]
    fn lines_of_one_read() {
        let (got, rest) = cut(&[b"one\n\nthree\n"]);
        assert_eq!(got, whole(&[b"one", b"", b"three"]));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let (got, rest) = cut(&[b"o", b"n", b"e", b"\ntw", b"o\n", b"thr"]);
        assert_eq!(got, whole(&[b"one", b"two"]));
        assert!(!rest.is_empty());
    }

    #[test]
    fn any_bytes_survive() {
        let (got, _) = cut(&[b"\0\xFF\x1B[1m\r", b"\xC3\n"]);
        assert_eq!(got, whole(&[b"\0\xFF\x1B[1m\r\xC3"]));
    }

    #[test]
    fn what_has_no_newline_comes_out_once_when_flushed() {
        let (_, mut lines) = cut(&[b"password: "]);
        let mut got = Vec::new();
        lines.flush(Ending::Paused, |line, ending| got.push((line.to_vec(), ending)));
        lines.flush(Ending::Whole, |line, ending| got.push((line.to_vec(), ending)));
        assert_eq!(got, [(b"password: ".to_vec(), Ending::Paused)]);
    }

    #[test]
    fn the_longest_line_stays_whole_however_it_comes() {
        let mut text = vec![b'x'; LONGEST];
        text.push(b'\n');
        for size in [1000, LONGEST - 1, LONGEST, LONGEST + 1] {
            let (got, _) = cut(&text.chunks(size).collect::<Vec<_>>());
            assert_eq!(got, whole(&[&text[..LONGEST]]), "in pieces of {size}");
        }
    }

    #[test]
    fn a_longer_line_is_split_and_nothing_of_it_lost() {
        let mut text = "x".repeat(2 * LONGEST + 7).into_bytes();
        text.push(b'\n');
        for size in [999, LONGEST, text.len()] {
            let (got, rest) = cut(&text.chunks(size).collect::<Vec<_>>());
            let shape: Vec<_> = got.iter().map(|(line, ending)| (line.len(), *ending)).collect();
            assert_eq!(
                shape,
                [(LONGEST, Ending::Split), (LONGEST, Ending::Split), (7, Ending::Whole)],
                "in pieces of {size}"
            );
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_split_tears_no_character() {
        for (character, before) in [("é", 1), ("€", 2), ("€", 1), ("🦀", 3), ("🦀", 1)] {
            let text = format!("{}{character}y\n", "x".repeat(LONGEST - before));
            let (got, _) = cut(&[text.as_bytes()]);
            assert_eq!(got[0].0.len(), LONGEST - before);
            assert_eq!(got[1], (format!("{character}y").into_bytes(), Ending::Whole));
        }
    }

    #[test]
    fn memory_is_given_back_after_a_long_line() {
        let (_, lines) = cut(&[&[b'x'; LONGEST], b"\n"]);
        assert!(lines.partial.capacity() <= SPARE);
    }
}
