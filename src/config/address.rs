//! Reads the addresses that a probe asks, and gives each its one form. Resolves no name and connects to nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{parse::string, tree::Value};
use crate::probe::Address;

const TCP: &str = "tcp://";
const HTTP: &str = "http://";

/// Where a port alone is.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// `HOST:PORT`, or a port of this machine, as `tcp://HOST:PORT`.
pub(crate) fn tcp(value: &Value) -> Result<String, String> {
    let text = match value {
        Value::Integer(port) => port.to_string(),
        other => string(other).unwrap_or_default().to_owned(),
    };
    let place = text.strip_prefix(TCP).unwrap_or(&text);
    match port(place) {
        Some(port) => Ok(format!("{TCP}{HERE}:{port}")),
        None => match authority(place) {
            Some((host, Some(port))) => probed(format!("{TCP}{host}:{port}")),
            Some((_, None)) | None => Err("must be HOST:PORT, or a port of this machine".to_owned()),
        },
    }
}

/// `http://HOST[:PORT][/PATH]`, with a path.
pub(crate) fn http(value: &Value) -> Result<String, String> {
    let text = string(value).unwrap_or_default();
    if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        let remedy = "give an http:// address, or an `exec` with a client that can";
        return Err(format!("cannot be asked, as musterd has no TLS: {remedy}"));
    }
    let wrong = || "must be an address such as \"http://localhost:8080/health\"".to_owned();
    let rest = text.strip_prefix(HTTP).ok_or_else(wrong)?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, port) = authority(&rest[..at]).ok_or_else(wrong)?;
    let path = &rest[at..];
    // What a request's first line can hold (RFC 9112 3.2): a fragment stays with the client.
    if path.contains('#') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{}, with other characters as %XX and without `#`", wrong()));
    }
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    probed(format!("{HTTP}{host}{port}{slash}{path}"))
}

/// What `musterd probe` would refuse, a host or a path that is too long, is wrong here already.
fn probed(address: String) -> Result<String, String> {
    Address::parse(&address).map(|_| address)
}

/// Whether an element of `after` is an address, not the name of a service.
pub(crate) fn is_address(text: &str) -> bool {
    text.contains("://")
}

/// An address with its scheme, as in `after`.
pub(crate) fn any(text: &str) -> Result<String, String> {
    let value = Value::String(text.to_owned());
    let scheme = text.split("://").next().unwrap_or_default();
    match scheme {
        "tcp" => tcp(&value),
        "http" | "https" | "HTTP" | "HTTPS" => http(&value),
        _ => Err("must be tcp://HOST:PORT or http://HOST[:PORT]/…".to_owned()),
    }
}

/// `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT`.
fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let (literal, rest) = inside.split_once(']')?;
            (format!("[{}]", literal.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => {
            let at = text.find(':').unwrap_or(text.len());
            (text[..at].to_owned(), &text[at..])
        }
    };
    // Underscores are no part of a host's name, but of Compose's.
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let named = !host.is_empty() && !host.starts_with(['-', '.']) && host.chars().all(letter);
    if !named && !host.starts_with('[') {
        return None;
    }
    match rest.strip_prefix(':') {
        Some(digits) => Some((host, Some(port(digits)?))),
        None => Some((host, None)).filter(|_| rest.is_empty()),
    }
}

fn port(digits: &str) -> Option<u16> {
    let port = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    port.filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn a_place_is_a_host_with_a_port_or_a_port() {
        for (value, expected) in [
            (text("db:5432"), "tcp://db:5432"),
            (text("my_db.example-1:1"), "tcp://my_db.example-1:1"),
            (text("tcp://db:5432"), "tcp://db:5432"),
            (text("[::0:1]:80"), "tcp://[::1]:80"),
            (text("5432"), "tcp://127.0.0.1:5432"),
            (Value::Integer(65535), "tcp://127.0.0.1:65535"),
        ] {
            assert_eq!(tcp(&value).as_deref(), Ok(expected), "{value}");
        }
        for value in
            ["", "db", "db:", "db:0", "db:65536", ":80", "::1:80", "[::1]", "[x]:80", "a b:80", "-x:80"]
        {
            assert!(tcp(&text(value)).is_err(), "{value}");
        }
        for value in ["db:+80", "http://db:80", "db:80/", "u@db:80", "db:80\n"] {
            assert!(tcp(&text(value)).is_err(), "{value}");
        }
        assert!(tcp(&Value::Integer(0)).is_err() && tcp(&Value::Boolean(true)).is_err());
    }

    #[test]
    fn an_address_has_a_path() {
        for (value, expected) in [
            ("http://db", "http://db/"),
            ("http://db:80?a=b", "http://db:80/?a=b"),
            ("http://[::1]:80/a/b?c=d&e", "http://[::1]:80/a/b?c=d&e"),
        ] {
            assert_eq!(http(&text(value)).as_deref(), Ok(expected), "{value}");
        }
        for value in ["", "db", "http://", "http:///x", "http://u:p@db/", "http://db:x/", "ftp://db/"] {
            assert!(http(&text(value)).unwrap_err().starts_with("must be an address"), "{value}");
        }
        for value in ["http://db/a b", "http://db/\r\nX: y", "http://db/#a", "http://db/é"] {
            assert!(http(&text(value)).unwrap_err().contains("%XX"), "{value}");
        }
        assert!(http(&text("HTTPS://db/")).unwrap_err().contains("no TLS"));
    }

    #[test]
    fn what_no_probe_would_ask_is_refused() {
        let (long, path) = ("a".repeat(254), "a".repeat(2048));
        assert!(tcp(&text(&format!("{long}:80"))).unwrap_err().contains("253 bytes at most"));
        assert!(http(&text(&format!("http://db/{path}"))).unwrap_err().contains("2048 bytes at most"));
    }

    #[test]
    fn what_is_waited_for_has_a_scheme() {
        assert!(is_address("tcp://db:1") && !is_address("db"));
        assert_eq!(any("tcp://db:1").as_deref(), Ok("tcp://db:1"));
        assert_eq!(any("http://db").as_deref(), Ok("http://db/"));
        assert!(any("https://db").unwrap_err().contains("no TLS"));
        assert!(any("udp://db:1").unwrap_err().starts_with("must be tcp://"));
    }
}
