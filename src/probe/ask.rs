//! Finds, connects, asks, judges. Does not keep to the time limit as a whole: see [`super::within`].

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    Step,
    address::{Address, Host},
    http::{self, Status},
};
use crate::text::reason;

/// The most that is read of an answer: heads are shorter, and the rest is of no interest.
const LONGEST_ANSWER: usize = 8 * 1024;

/// So many of a name's addresses are tried: more would leave none of them enough time.
const MOST_ADDRESSES: usize = 8;

/// Asks; `at` is told of each step.
///
/// # Errors
/// Why the probe fails.
pub(super) fn ask(
    address: &Address,
    timeout: Duration,
    success: &RangeInclusive<u16>,
    at: impl Fn(Step),
) -> Result<(), String> {
    let host = address.host();
    let found = find(host).map_err(|why| format!("cannot connect to {address}: {why}"))?;
    at(Step::Connecting);
    let stream = connect(&found, timeout)
        .map_err(|error| format!("cannot connect to {address}: {}", reason(&error)))?;
    let Address::Http { host, path } = address else { return Ok(()) };
    at(Step::Reading);
    let failed = |why: String| format!("cannot get an answer from {address}: {why}");
    let status = get(stream, host, path).map_err(failed)?;
    if success.contains(&status.code) {
        return Ok(());
    }
    let Status { code, reason } = status;
    Err(format!("{address} answers {code} {reason}").trim_end().to_owned())
}

/// The addresses of a host, by the C library: /etc/hosts and the DNS.
fn find(host: &Host) -> Result<Vec<SocketAddr>, String> {
    let found = (host.name.as_str(), host.port).to_socket_addrs().map_err(|error| {
        let why = reason(&error);
        let why = why.rsplit(": ").next().unwrap_or(&why);
        format!("cannot find \"{}\": {why}", host.name)
    })?;
    // The list holds an address again for each form of it in /etc/hosts.
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(format!("\"{}\" has no address", host.name)) } else { Ok(addresses) }
}

/// Connects to the first address that lets us; each has its share of the time.
fn connect(addresses: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    let share = timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failure = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn get(mut stream: TcpStream, host: &Host, path: &str) -> Result<Status, String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: musterd/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        host.as_authority(),
        env!("CARGO_PKG_VERSION")
    );
    // Who answers before it has read may be read all the same.
    let sent = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while answer.len() < LONGEST_ANSWER {
        let room = buffer.len().min(LONGEST_ANSWER - answer.len());
        match stream.read(&mut buffer[..room]) {
            Ok(0) => {
                return Err(match (sent, answer.is_empty()) {
                    (Err(error), _) => reason(&error),
                    (Ok(()), true) => "it hung up without a word".to_owned(),
                    (Ok(()), false) => "it hung up before the end of the status".to_owned(),
                });
            }
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(reason(&error)),
        }
        if let Some(status) = http::status(&answer)? {
            return Ok(status);
        }
    }
    Err(format!("no status within {LONGEST_ANSWER} bytes"))
}
