//! What the configuration allows besides the addresses of `musterd probe`, a port alone and a place without a scheme,
//! and the one form of each. What an address is says [`Address::parse`].

use std::net::Ipv4Addr;

use super::{parse::string, tree::Value};
use crate::probe::Address;

const TCP: &str = "tcp://";

/// Where a port alone is.
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// `HOST:PORT`, or a port of this machine, as `tcp://HOST:PORT`.
pub(crate) fn tcp(value: &Value) -> Result<String, String> {
    let wrong = || "must be HOST:PORT, or a port of this machine".to_owned();
    let place = match value {
        Value::Integer(port) => format!("{HERE}:{port}"),
        other => match string(other).map(|text| text.strip_prefix(TCP).unwrap_or(text)) {
            None | Some("") => return Err(wrong()),
            Some(place) if place.contains("://") => return Err(wrong()),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("{HERE}:{port}"),
            Some(place) => place.to_owned(),
        },
    };
    one_form(&format!("{TCP}{place}"))
}

/// `http://HOST[:PORT][/PATH]`, with a path.
pub(crate) fn http(value: &Value) -> Result<String, String> {
    let text = string(value).unwrap_or_default();
    match text.split_once("://") {
        Some(("http" | "https" | "HTTPS", _)) => one_form(text),
        Some(_) | None => Err("must be an address such as \"http://localhost:8080/health\"".to_owned()),
    }
}

/// Whether an element of `after` is an address, not the name of a service.
pub(crate) fn is_address(text: &str) -> bool {
    text.contains("://")
}

/// An address with its scheme, as in `after`.
pub(crate) fn any(text: &str) -> Result<String, String> {
    if text.starts_with(TCP) { tcp(&Value::String(text.to_owned())) } else { one_form(text) }
}

/// A port that is written stays, HTTP's own as well.
fn one_form(text: &str) -> Result<String, String> {
    let address = Address::parse(text)?;
    match &address {
        Address::Http { host, path } if has_port(text) => Ok(format!("http://{host}{path}")),
        Address::Tcp(_) | Address::Http { .. } => Ok(address.to_string()),
    }
}

/// Whether an address, which was understood, names a port.
fn has_port(address: &str) -> bool {
    let authority = address.split(['/', '?']).nth(2).unwrap_or_default();
    authority.rsplit(']').next().is_some_and(|behind| behind.contains(':'))
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
    fn what_is_no_place_is_told_why() {
        for (value, told) in [
            (text("db"), "must name a port"),
            (text("65536"), "number from 1 to 65535, not \"65536\""),
            (Value::Integer(-1), "number from 1 to 65535, not \"-1\""),
            (text("http://db:80"), "must be HOST:PORT, or a port of this machine"),
            (Value::Boolean(true), "must be HOST:PORT, or a port of this machine"),
        ] {
            let error = tcp(&value).unwrap_err();
            assert!(error.contains(told), "{value}: {error}");
        }
    }

    #[test]
    fn an_address_has_a_path() {
        for (value, expected) in [
            ("http://db", "http://db/"),
            ("http://db:80?a=b", "http://db:80/?a=b"),
            ("http://db?a=b:80", "http://db/?a=b:80"),
            ("http://[::1]", "http://[::1]/"),
            ("http://[::1]:80/a/b?c=d&e", "http://[::1]:80/a/b?c=d&e"),
        ] {
            assert_eq!(http(&text(value)).as_deref(), Ok(expected), "{value}");
        }
        for value in ["", "db", "tcp://db:80", "ftp://db/"] {
            assert!(http(&text(value)).unwrap_err().starts_with("must be an address"), "{value}");
        }
        for value in
            ["http://", "http:///x", "http://u:p@db/", "http://db:x/", "http://db/a b", "HTTPS://db/"]
        {
            assert_eq!(http(&text(value)).unwrap_err(), Address::parse(value).unwrap_err(), "{value}");
        }
    }

    #[test]
    fn what_is_waited_for_has_a_scheme() {
        assert!(is_address("tcp://db:1") && !is_address("db"));
        assert_eq!(any("tcp://db:1").as_deref(), Ok("tcp://db:1"));
        assert_eq!(any("http://db").as_deref(), Ok("http://db/"));
        assert!(any("https://db").unwrap_err().contains("https is not spoken"));
        assert!(any("udp://db:1").unwrap_err().starts_with("must be tcp://"));
    }
}
