//! What must hold of a client's bytes, whatever they are. Makes no inputs: see [`crate::fuzzing`].

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
};

use super::{
    Peer, Right,
    connection::{Connection, Heard},
};
use crate::{
    protocol::{MAX_REQUEST, Request, Response},
    time::Time,
};

/// However its bytes come, a client's requests are those of its lines, up to the first line that is none; and it is
/// answered once for each, and once more where that is why it is cut off.
pub(crate) fn conversation(input: &[u8]) {
    let Some((&size, bytes)) = input.split_first() else { return };
    let mut expected = Vec::new();
    let mut is_cut_off = false;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let is_whole = line.ends_with(b"\n");
        match Request::parse(line) {
            Ok(request) if is_whole && line.len() <= MAX_REQUEST => expected.push(request),
            Ok(_) | Err(_) => {
                is_cut_off = is_whole || line.len() > MAX_REQUEST;
                break;
            }
        }
    }
    let answers = expected.len() + usize::from(is_cut_off);
    for size in [bytes.len().max(1), 1 + usize::from(size)] {
        assert_eq!(talk(bytes, size), Some((expected.clone(), answers)), "in pieces of {size}");
    }
}

/// The requests that are heard in these bytes, sent in pieces of this size, and how many answers came back; `None` where
/// there are no sockets.
fn talk(bytes: &[u8], size: usize) -> Option<(Vec<Request>, usize)> {
    let (ours, mut theirs) = UnixStream::pair().ok()?;
    ours.set_nonblocking(true).ok()?;
    theirs.set_nonblocking(true).ok()?;
    let peer = Peer { uid: 0, pid: 1 };
    let mut client = Connection::new(ours, peer, Right::Host, Time::ZERO);
    let (mut requests, mut answers) = (Vec::new(), 0);
    let pieces = bytes.chunks(size).map(Some).chain([None]);
    'all: for piece in pieces {
        match piece {
            // Little enough for the kernel's buffer, as all before was read.
            Some(piece) => theirs.write_all(piece).ok()?,
            None => theirs.shutdown(Shutdown::Write).ok()?,
        }
        // As often as a piece could need, and once more for its end.
        for _ in 0..2 + size / 1024 {
            let mut heard = client.ready(Time::ZERO);
            while let Heard::Request(request) = heard {
                requests.push(request);
                heard = client.answer(&Response::Done, Time::ZERO);
            }
            answers += lines(&mut theirs);
            if heard == Heard::End {
                break 'all;
            }
        }
    }
    assert_eq!(client.queued(), 0);
    Some((requests, answers))
}

/// How many lines can be read now.
fn lines(stream: &mut UnixStream) -> usize {
    let mut chunk = [0; 4096];
    let mut count = 0;
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        count += chunk[..length].iter().filter(|&&byte| byte == b'\n').count();
    }
    count
}
