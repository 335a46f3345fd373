//! The control socket when file descriptors are out. A program of its own: the limit is the whole process'.

#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

use std::{
    env,
    fs::File,
    io::{ErrorKind, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

use musterd::{
    linux::control::{Control, Guests},
    time::Time,
};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent},
    resource::{Resource, getrlimit, setrlimit},
    socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
};

struct House {
    epoll: Epoll,
    control: Control,
    now: Time,
}

impl House {
    /// Takes up events until there are none.
    fn settle(&mut self) {
        let mut events = [EpollEvent::empty(); 8];
        for _ in 0..1000 {
            let count = self.epoll.wait(&mut events, 0u8).unwrap();
            if count == 0 {
                return;
            }
            for event in &events[..count] {
                self.control.ready(&self.epoll, event.data(), self.now);
            }
        }
        panic!("the loop spins");
    }
}

#[test]
fn without_descriptors_two_are_accepted_from_the_reserve_and_then_the_loop_rests() {
    let path = env::temp_dir().join(format!("musterd-descriptors-{}", std::process::id()));
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let mut control = Control::bind(&path, Guests::default()).unwrap();
    control.register(&epoll, 1).unwrap();
    let mut house = House { epoll, control, now: Time::from_boot(Duration::from_secs(1)) };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let limit = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();

    let mut busy = UnixStream::connect(&path).unwrap();
    busy.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    house.settle();
    assert!(house.control.next_request().is_some());
    let mut reserved = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
    let third = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    for client in &mut reserved {
        client.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    }
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd();
    limit(lowest_free as u64);
    house.settle();
    let asked: Vec<_> = std::iter::from_fn(|| house.control.next_request()).collect();
    assert_eq!(asked.len(), 2, "the reserve is for two");
    connect(third.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    let mut third = UnixStream::from(third);
    house.settle();
    busy.set_nonblocking(true).unwrap();
    let heard = busy.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock), "nobody was idle, so nobody had to go");
    let deadline = house.control.next_deadline().unwrap();
    assert_eq!(deadline, house.now + Duration::from_secs(1));

    limit(soft);
    house.now = deadline;
    house.control.expire(&house.epoll, house.now);
    assert_eq!(house.control.next_deadline(), None);
    third.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    house.settle();
    assert!(house.control.next_request().is_some(), "who waited is served");

    drop(house);
    assert!(!path.exists());
}
