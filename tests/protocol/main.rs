//! RFC 6455 as a peer of the server meets it, by section. All time is simulated: it is a parameter of every call.

#![allow(clippy::unwrap_used)]

mod closing;
mod liveness;
#[cfg(target_os = "linux")]
mod memory;
mod sending;
#[path = "../wire/mod.rs"]
mod wire;

use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::protocol::{Connection, Event, Input, Limits};
use wire::{REQUEST_HEAD, ServerFrame, server_frames, server_response};

/// A connection together with its clock and its socket.
struct Link {
    connection: Connection,
    now: Instant,
}

impl Link {
    /// A connection that waits for the request.
    fn connecting(limits: Limits) -> Link {
        let now = Instant::now();
        Link { connection: Connection::new(Rc::new(limits), now), now }
    }

    /// An open connection whose peer has taken the response.
    fn open(limits: Limits) -> Link {
        let mut link = Link::connecting(limits);
        link.receive(REQUEST_HEAD);
        let response = link.take(link.connection.queued_bytes());
        assert_eq!(server_response(&response), (101, &[][..]));
        link
    }

    /// The bytes come in one read. A request is accepted; messages are returned.
    fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        let mut messages = Vec::new();
        while let Some(event) = self.connection.poll_event(&mut input, self.now) {
            match event {
                Event::Request(request) => self.connection.accept(&request, None, self.now),
                Event::Message(message) => messages.push(message.as_bytes().to_vec()),
            }
        }
        messages
    }

    /// What waits for the socket.
    fn waiting(&self) -> Vec<u8> {
        let bytes = self.connection.outgoing().collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), self.connection.queued_bytes());
        bytes
    }

    /// The socket takes `count` bytes, or all if fewer wait.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = self.waiting();
        bytes.truncate(count);
        self.connection.sent(bytes.len(), self.now);
        bytes
    }

    /// The socket takes all that waits, which is whole frames.
    fn take_frames(&mut self) -> Vec<ServerFrame> {
        server_frames(&self.take(usize::MAX))
    }

    /// Time goes by, and the server does what is due.
    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
