//! What can be probed: `tcp://HOST:PORT` and `http://HOST[:PORT][/PATH]`. Finds no name and connects to nothing.

use std::{fmt, net::Ipv6Addr};

use crate::text::printable;

/// The longest name in the DNS (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;

/// The longest path: as much as servers take.
const LONGEST_PATH: usize = 2048;

/// The port of HTTP where none is given (RFC 9110, section 4.2.1).
const HTTP_PORT: u16 = 80;

/// An address that can be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A connection is made.
    Tcp(Host),
    /// A page is asked for.
    Http {
        /// Where.
        host: Host,
        /// Which one, from `/` on, with its query; printable ASCII without blanks.
        path: String,
    },
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or a numeric address, IPv6 without brackets.
    pub name: String,
    /// The port, never 0.
    pub port: u16,
}

impl Address {
    /// Reads an address with its scheme.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        match scheme {
            "tcp" => Ok(Address::Tcp(host(rest, None)?)),
            "http" => {
                let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let slash = if path.starts_with('/') { "" } else { "/" };
                let path = format!("{slash}{path}");
                check_path(&path)?;
                Ok(Address::Http { host: host(authority, Some(HTTP_PORT))?, path })
            }
            https if https.eq_ignore_ascii_case("https") => {
                Err("https is not spoken: ask the plain port, or let a command such as curl ask".to_owned())
            }
            _ => Err("must be tcp://HOST:PORT or http://HOST[:PORT][/PATH]".to_owned()),
        }
    }

    /// Where to connect to.
    pub fn host(&self) -> &Host {
        match self {
            Address::Tcp(host) | Address::Http { host, path: _ } => host,
        }
    }
}

fn host(text: &str, default_port: Option<u16>) -> Result<Host, String> {
    if text.contains('@') {
        return Err("must hold no user or password".to_owned());
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or("an IPv6 address in brackets must end with `]`")?;
            let number: Result<Ipv6Addr, _> = name.parse();
            let number = number.map_err(|_| format!("\"{}\" is no IPv6 address", printable(name)))?;
            (number.to_string(), port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            check_name(name)?;
            (name.to_owned(), port)
        }
    };
    let port = match (port.strip_prefix(':'), default_port) {
        (Some(digits), _) => number(digits).ok_or_else(|| {
            let bracket = if digits.contains(':') { " (an IPv6 address is put in brackets)" } else { "" };
            format!("the port must be a number from 1 to 65535, not \"{}\"{bracket}", printable(digits))
        })?,
        (None, Some(port)) if port_missing(text) => port,
        (None, _) => return Err("must name a port, as in HOST:PORT".to_owned()),
    };
    Ok(Host { name, port })
}

/// Whether nothing stands behind the brackets of an IPv6 address.
fn port_missing(text: &str) -> bool {
    !text.starts_with('[') || text.ends_with(']')
}

fn number(digits: &str) -> Option<u16> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&port| only_digits && port != 0)
}

/// Names of Compose services and containers may hold `_`.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match name {
        "" => Err("must name a host".to_owned()),
        name if name.len() > LONGEST_NAME => Err(format!("the host must have {LONGEST_NAME} bytes at most")),
        name if name.starts_with(['-', '.']) || !name.bytes().all(allowed) => {
            Err(format!("\"{}\" is no host: letters, digits, `-`, `.` and `_`", printable(name)))
        }
        _ => Ok(()),
    }
}

/// What would end the request's line, or is never sent, cannot be in a path.
fn check_path(path: &str) -> Result<(), String> {
    if path.len() > LONGEST_PATH {
        return Err(format!("the path must have {LONGEST_PATH} bytes at most"));
    }
    match path.chars().find(|&c| !c.is_ascii_graphic() || c == '#') {
        Some(c) => Err(format!(
            "the path must not hold \"{}\": write it as %XX, or leave it out",
            printable(&c.to_string())
        )),
        None => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host) => write!(f, "tcp://{host}"),
            Address::Http { host, path } => write!(f, "http://{}{path}", host.as_authority()),
        }
    }
}

impl Host {
    /// As in a `Host` field: without the port where that is HTTP's own.
    pub(super) fn as_authority(&self) -> String {
        let shown = self.to_string();
        shown.strip_suffix(&format!(":{HTTP_PORT}")).map(str::to_owned).unwrap_or(shown)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Host { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_are_meant() {
        for (text, shown) in [
            ("tcp://db:5432", "tcp://db:5432"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
            ("tcp://[::0:1]:80", "tcp://[::1]:80"),
            ("tcp://my_db-1.example:1", "tcp://my_db-1.example:1"),
            ("http://web", "http://web/"),
            ("http://web:80/", "http://web/"),
            ("http://web:8080/health?deep=1", "http://web:8080/health?deep=1"),
            ("http://[::1]/x", "http://[::1]/x"),
            ("http://[::1]:8080", "http://[::1]:8080/"),
            ("http://127.0.0.1?q=a:b@c", "http://127.0.0.1/?q=a:b@c"),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.as_ref().map(ToString::to_string).as_deref(), Ok(shown), "{text}");
            assert_eq!(Address::parse(shown), address, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_probed_is_told_why() {
        for (text, told) in [
            ("", "must be tcp://HOST:PORT"),
            ("db:5432", "must be tcp://HOST:PORT"),
            ("tcp://db", "must name a port"),
            ("tcp://db:", "number from 1 to 65535, not \"\""),
            ("tcp://db:0", "number from 1"),
            ("tcp://db:+1", "number from 1"),
            ("tcp://db:70000", "number from 1"),
            ("tcp://db:5432/x", "number from 1"),
            ("tcp://::1:80", "must name a host"),
            ("tcp://fe80::1:80", "put in brackets"),
            ("tcp://[::1", "must end with `]`"),
            ("tcp://[x]:1", "is no IPv6 address"),
            ("http://[::1]x", "must name a port"),
            ("tcp://:80", "must name a host"),
            ("tcp://a b:80", "is no host"),
            ("tcp://-a:80", "is no host"),
            ("tcp://.a:80", "is no host"),
            ("http://user:secret@web/", "no user or password"),
            ("http://web/a b", "must not hold \" \""),
            ("http://web/a\r\nX: y", "must not hold \"\\r\""),
            ("http://web/#top", "must not hold \"#\""),
            ("http://", "must name a host"),
            ("http:///x", "must name a host"),
            ("http://web:x/", "number from 1"),
            ("http://web/é", "must not hold \"é\""),
            ("https://web/", "https is not spoken"),
            ("HTTPS://web/", "https is not spoken"),
            ("ftp://web/", "must be tcp://HOST:PORT or http://"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(told), "{text:?}: {error}");
        }
        let error = |text: String| Address::parse(&text).unwrap_err();
        assert!(error(format!("tcp://{}:1", "a".repeat(254))).contains("253 bytes at most"));
        assert!(error(format!("http://a/{}", "a".repeat(2048))).contains("2048 bytes at most"));
    }
}
