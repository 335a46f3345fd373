//! Understands the beginning of an answer in HTTP/1: which status it has. Reads nothing itself.

use crate::text::printable;

/// The longest status line that is understood: phrases of reason are short words.
const LONGEST_LINE: usize = 512;

/// How much of a reason is shown.
const SHOWN_REASON: usize = 60;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// From 200 to 599, or 101.
    pub(crate) code: u16,
    /// For people; printable, perhaps empty.
    pub(crate) reason: String,
}

/// The status of the answer that begins with these bytes, behind interim ones (RFC 9110, section 15.2); `None`
/// where more bytes must come.
///
/// # Errors
/// It is no answer in HTTP/1: what it is.
pub(crate) fn status(mut answer: &[u8]) -> Result<Option<Status>, String> {
    loop {
        let Some(end) = answer.iter().position(|&byte| byte == b'\n') else {
            return plausible(answer).map(|()| None);
        };
        let status = line(&answer[..end])?;
        if !is_interim(status.code) {
            return Ok(Some(status));
        }
        match head(&answer[end + 1..]) {
            Some(length) => answer = &answer[end + 1 + length..],
            None => return Ok(None),
        }
    }
}

/// Another answer follows; 101 is the last one in HTTP.
fn is_interim(code: u16) -> bool {
    code < 200 && code != 101
}

/// How long the fields of a head are, with the empty line at their end.
fn head(fields: &[u8]) -> Option<usize> {
    let mut length = 0;
    for line in fields.split_inclusive(|&byte| byte == b'\n') {
        length += line.len();
        match line {
            b"\n" | b"\r\n" => return Some(length),
            _ => {}
        }
    }
    None
}

/// Whether more bytes can make an answer of these.
fn plausible(begun: &[u8]) -> Result<(), String> {
    const BEGIN: &[u8] = b"HTTP/1.";
    let common = begun.len().min(BEGIN.len());
    if begun[..common] != BEGIN[..common] {
        return Err(foreign(begun));
    }
    if begun.len() > LONGEST_LINE { Err("its status line does not end".to_owned()) } else { Ok(()) }
}

/// `HTTP/1.1 200 OK` (RFC 9112, section 4); without a reason perhaps without the blank before it, too.
fn line(line: &[u8]) -> Result<Status, String> {
    plausible(line)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let rest = line.strip_prefix(b"HTTP/1.").and_then(|rest| match rest {
        [b'0'..=b'9', b' ', rest @ ..] => Some(rest),
        _ => None,
    });
    let (code, reason) = match rest {
        Some([a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..])
            if reason.first().is_none_or(|&byte| byte == b' ') =>
        {
            let digit = |byte: &u8| u16::from(byte - b'0');
            (100 * digit(a) + 10 * digit(b) + digit(c), reason)
        }
        Some(_) | None => return Err(foreign(line)),
    };
    let reason = String::from_utf8_lossy(reason);
    Ok(Status {
        code,
        reason: printable(reason.trim().chars().take(SHOWN_REASON).collect::<String>().as_str()),
    })
}

fn foreign(answer: &[u8]) -> String {
    let begin = String::from_utf8_lossy(&answer[..answer.len().min(SHOWN_REASON / 3)]);
    format!("its answer is not HTTP/1: it begins with \"{}\"", printable(&begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &str) -> Result<Option<(u16, String)>, String> {
        status(answer.as_bytes()).map(|found| found.map(|status| (status.code, status.reason)))
    }

    #[test]
    fn the_status_is_in_the_first_line() {
        let found = |code, reason: &str| Ok(Some((code, reason.to_owned())));
        assert_eq!(told("HTTP/1.1 200 OK\r\nServer: x"), found(200, "OK"));
        assert_eq!(told("HTTP/1.0 404 Not Found\n"), found(404, "Not Found"));
        assert_eq!(told("HTTP/1.1 204\r\n"), found(204, ""));
        assert_eq!(told("HTTP/1.1 500 \x1b[2J\r\n"), found(500, "\\u{1b}[2J"));
        assert_eq!(told("HTTP/1.1 101 Switching Protocols\r\n"), found(101, "Switching Protocols"));
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(told(&format!("{early}HTTP/1.1 200 OK\r\n")), Ok(Some((200, "OK".to_owned()))));
        for end in 0..early.len() {
            assert_eq!(told(&early[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn what_is_not_http_is_told_at_once() {
        for wrong in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "S",
            "HTTP/2 200\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1 20 OK\r\n",
            "HTTP/1.1 600 ?\r\n",
            "HTTP/1.1  200 OK\r\n",
            "HTTP/1.x 200 OK\r\n",
            "\n",
        ] {
            assert!(told(wrong).unwrap_err().starts_with("its answer is not HTTP/1"), "{wrong}");
        }
        assert!(told(&format!("HTTP/1.1 200 {}", "x".repeat(600))).unwrap_err().contains("does not end"));
    }
}
