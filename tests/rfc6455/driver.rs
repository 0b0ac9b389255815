//! A connection together with its clock and its socket: bytes in, messages and a server's frames out. All time is
//! simulated, for it is a parameter of every call.
//!
//! ```text
//! let mut link = Link::open(Limits::default());
//! assert_eq!(link.receive_messages(&client_frame(FIN | TEXT, b"Hello")), [Message::text("Hello")]);
//! link.connection.send(Message::text("Hi"), link.now);
//! assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, b"Hi")]);
//! link.fails(&client_frame(FIN | 0x3, b""), ProtocolError::ReservedOpcode(3), 1002);
//! ```

use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::protocol::{
    Commons, Connection, End, Event, HandshakeError, Input, Limits, Message, ProtocolError, State,
};

use crate::wire::{CLOSE, FIN, PING, REQUEST_HEAD, ServerFrame, TEXT, client_frame, server_frames, server_response};

/// A connection together with its clock and its socket. Whatever the fields offer may be used directly.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
}

impl Link {
    /// A connection that waits for the request.
    pub(crate) fn connecting(limits: Limits) -> Link {
        Link::connecting_with(Commons::new(limits))
    }

    fn connecting_with(commons: Rc<Commons>) -> Link {
        let now = Instant::now();
        Link { connection: Connection::new(commons, now), now }
    }

    /// An open connection whose peer has taken the response.
    pub(crate) fn open(limits: Limits) -> Link {
        Link::open_with(Commons::new(limits))
    }

    /// An open connection that lends and borrows buffers.
    pub(crate) fn open_with(commons: Rc<Commons>) -> Link {
        let mut link = Link::connecting_with(commons);
        link.receive(REQUEST_HEAD);
        let response = link.take(link.connection.queued_bytes());
        assert_eq!(server_response(&response), (101, &[][..]));
        link
    }

    /// The bytes come in one read. A request is accepted; the payloads of messages are returned.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.receive_messages(bytes).iter().map(|message| message.as_bytes().to_vec()).collect()
    }

    /// The same, with the messages themselves: `Message` tells text from binary.
    pub(crate) fn receive_messages(&mut self, bytes: &[u8]) -> Vec<Message<'static>> {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        let mut messages = Vec::new();
        while let Some(event) = self.connection.poll_event(&mut input, self.now) {
            match event {
                Event::Request(request) => self.connection.accept(&request, None, self.now),
                Event::Document(request) => {
                    self.connection.answer(&request, Err(HandshakeError::NotAnUpgrade), self.now);
                }
                Event::Message(Message::Text(text)) => messages.push(Message::Text(text.into_owned().into())),
                Event::Message(Message::Binary(bytes)) => messages.push(Message::Binary(bytes.into_owned().into())),
            }
        }
        messages
    }

    /// §7.1.7: the bytes break a rule of an open connection of which all was taken: with their last byte, or before,
    /// comes one Close frame with this code, no message and nothing else; and what follows is not processed.
    #[track_caller]
    pub(crate) fn fails(&mut self, bytes: &[u8], error: ProtocolError, code: u16) {
        assert_eq!((self.connection.state(), self.connection.queued_bytes()), (State::Open, 0), "before it fails");
        assert!(self.receive(bytes).is_empty(), "a message came out of what breaks a rule");
        assert_eq!(self.connection.end(), Some(&End::Failed(error)));
        assert_eq!(self.connection.state(), State::Closed);
        let frames = self.take_frames();
        assert_eq!(frames.iter().map(|frame| frame.opcode).collect::<Vec<_>>(), [CLOSE]);
        assert_eq!(frames[0].close_code(), Some(code));
        let later = [client_frame(FIN | TEXT, b"late"), client_frame(FIN | PING, b"late")].concat();
        assert!(self.receive(&later).is_empty(), "§7.1.7: a message after the end");
        assert_eq!(self.waiting(), b"", "§7.1.7: an answer after the end");
    }

    /// What waits for the socket.
    pub(crate) fn waiting(&self) -> Vec<u8> {
        let bytes = self.connection.outgoing().collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), self.connection.queued_bytes());
        bytes
    }

    /// The socket takes `count` bytes, or all if fewer wait.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = self.waiting();
        bytes.truncate(count);
        self.connection.sent(bytes.len(), self.now);
        bytes
    }

    /// The socket takes all that waits, which is whole frames.
    pub(crate) fn take_frames(&mut self) -> Vec<ServerFrame> {
        server_frames(&self.take(usize::MAX))
    }

    /// Time goes by, and the server does what is due.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
