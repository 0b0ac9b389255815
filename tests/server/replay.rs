//! A peer that gets more from one message than it takes in a turn, on a network of one peer that takes all.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::protocol::{Limits, Message};
use frameloop::server::net::{Net, Ready, Transport};
use frameloop::server::{App, Config, ConnId, Outbox, Server};

use crate::wire::{FIN, REQUEST_HEAD, TEXT, client_frame};

/// What the peer sends, and what the poll reports.
#[derive(Default)]
struct World {
    sent: VecDeque<u8>,
    ready: Vec<Ready>,
    comes: bool,
}

impl World {
    fn send(&mut self, bytes: &[u8]) {
        self.sent.extend(bytes);
        self.ready.push(Ready::Peer { key: 0, is_readable: true, is_read_closed: false, is_writable: true });
    }
}

#[derive(Clone)]
struct Shared(Rc<RefCell<World>>);

impl Transport for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let sent = &mut self.0.borrow_mut().sent;
        let count = sent.len().min(buffer.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer.iter_mut().zip(sent.drain(..count)).for_each(|(room, byte)| *room = byte);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Net for Shared {
    type Transport = Shared;

    fn poll(&mut self, ready: &mut Vec<Ready>, _timeout: Option<Duration>) -> io::Result<()> {
        ready.append(&mut self.0.borrow_mut().ready);
        Ok(())
    }

    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn accept(&mut self, _listener: usize) -> io::Result<(Shared, SocketAddr)> {
        if !std::mem::take(&mut self.0.borrow_mut().comes) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok((self.clone(), ([127, 0, 0, 1], 1).into()))
    }

    fn refuse_next(&mut self, _listener: usize, _refuse: impl FnOnce(Shared)) -> io::Result<SocketAddr> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn register(&mut self, _transport: &mut Shared, _key: usize) -> io::Result<()> {
        Ok(())
    }

    fn stop_requests(&mut self) -> usize {
        0
    }

    fn stop_listening(&mut self) {}
}

/// Answers each message with so many of 4,000 bytes, as a server that replays a history.
struct Replay {
    count: usize,
    messages: usize,
}

impl App for Replay {
    fn on_message(&mut self, id: ConnId, _message: Message<'_>, out: &mut impl Outbox) {
        self.messages += 1;
        for _ in 0..self.count {
            out.send(id, Message::binary(&[0; 4000]));
        }
    }
}

#[test]
fn a_peer_that_was_paused_for_its_own_replies_is_read_on() {
    for megabytes in 0..15 {
        let world = Rc::new(RefCell::new(World { ready: vec![Ready::Listener(0)], comes: true, ..World::default() }));
        let limits = Limits { queue_bytes_max: 16 * 1024 * 1024, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        let app = Replay { count: megabytes * 250, messages: 0 };
        let mut server = Server::with_net(Shared(world.clone()), &config, app);
        server.turn().unwrap();
        world.borrow_mut().send(REQUEST_HEAD);
        server.turn().unwrap();
        // Two messages in one read: the second has to wait until the replies to the first are out.
        world.borrow_mut().send(&client_frame(FIN | TEXT, b"").repeat(2));
        for _ in 0..10 {
            server.turn().unwrap();
        }
        assert_eq!(server.app().messages, 2, "{megabytes} MB for each message");
    }
}
