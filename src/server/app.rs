//! All that an application and the server know of each other.

use std::fmt;
use std::time::Instant;

use crate::protocol::{CloseCode, Document, DocumentRequest, End, HandshakeError, Message, Request, SharedFrame};

/// An application on top of the server. One value serves all connections.
///
/// Its methods are called from the event loop: none may block. What they put into the [`Outbox`] leaves in the same
/// turn, all that a peer gets in one write or two; a long message that is not shared leaves at once.
pub trait App {
    /// A client asks to open a connection (§4.2.2): whether it may. It is asked once, before
    /// [`on_open`](App::on_open) for the same request and with nothing in between.
    ///
    /// # Errors
    /// What the client is told in place of 101.
    fn on_request(&mut self, request: &Request, out: &impl Outbox) -> Result<(), HandshakeError> {
        let _ = (request, out);
        Ok(())
    }

    /// A client has opened a connection. `id` stays valid until [`on_close`](App::on_close) for it has returned.
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        let _ = (id, request, out);
    }

    /// A client asks for a document over HTTP instead of a WebSocket connection. It is answered or refused, and is gone.
    ///
    /// # Errors
    /// [`HandshakeError::NotAnUpgrade`] where there are no documents, [`HandshakeError::NotFound`] where there is none at
    /// this path.
    fn on_document_request(&mut self, request: &DocumentRequest) -> Result<Document, HandshakeError> {
        let _ = request;
        Err(HandshakeError::NotAnUpgrade)
    }

    /// A client sent a message. It is lent from the read buffer, and can be sent on while it is held.
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox);

    /// A connection ended, whatever the reason. Called exactly once for each `on_open`, and last.
    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        let _ = (id, end, out);
    }

    /// Of what waited for a peer not much is left ([`DRAINED_BYTES_MAX`]). Called once for each
    /// [`notify_drained`](Outbox::notify_drained), in a later turn than that.
    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        let _ = (id, out);
    }

    /// When the application has something to do next, whatever its peers do.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// The time of [`next_timeout`](App::next_timeout) has come. Called once a turn: what is left over is for the next one.
    fn on_timeout(&mut self, out: &mut impl Outbox) {
        let _ = out;
    }

    /// The server was asked to read its files again ([`Reloader`](super::Reloader)).
    fn on_reload(&mut self, out: &mut impl Outbox) {
        let _ = out;
    }

    /// The server was asked to stop. Whoever is not closed here is closed with 1001 when this returns.
    fn on_stop(&mut self, out: &mut impl Outbox) {
        let _ = out;
    }
}

/// With so many bytes left in its queue a peer is drained: it still has something to take while more is made.
pub const DRAINED_BYTES_MAX: usize = 64 * 1024;

/// The ways in which an application acts on connections, those of others included.
///
/// A message to a connection that has begun to close is dropped: its [`App::on_close`] is on the way. So is a message
/// that the queue of a slow peer cannot hold; that peer is closed with 1013, so that it knows that it missed something.
pub trait Outbox {
    /// Sends a message in one frame.
    fn send(&mut self, to: ConnId, message: Message<'_>);

    /// Sends a frame that was encoded once for many.
    fn send_shared(&mut self, to: ConnId, frame: &SharedFrame);

    /// Encoded bytes that wait for a peer; of more than
    /// [`queue_bytes_max`](crate::protocol::Limits::queue_bytes_max) it is closed.
    fn queued_bytes(&self, to: ConnId) -> usize;

    /// Asks for [`App::on_drained`], for those who send what is long in pieces.
    fn notify_drained(&mut self, to: ConnId);

    /// Sets the code with which the peer is closed if it is too slow, in place of 1013.
    fn set_overload_code(&mut self, to: ConnId, code: CloseCode);

    /// Whether messages of a peer may only be short ([`RESTRICTED_MESSAGE_BYTES_MAX`]), as long as it has not shown who it is:
    /// whoever is not known must not be able to make the server hold much.
    ///
    /// [`RESTRICTED_MESSAGE_BYTES_MAX`]: crate::protocol::limits::RESTRICTED_MESSAGE_BYTES_MAX
    fn restrict(&mut self, to: ConnId, is_restricted: bool) {
        let _ = (to, is_restricted);
    }

    /// Begins the closing handshake, behind what was sent before (§7.1.2). `reason`: at most 123 bytes, the rest is cut.
    fn close(&mut self, to: ConnId, code: CloseCode, reason: &str);

    /// Writes a line to the log about a connection, such as what its peer did wrong. `detail` is escaped. Of the lines
    /// about one connection the first is written at once, then at most one a second, with the number of those left out.
    fn note(&mut self, about: ConnId, what: &'static str, detail: &dyn fmt::Display);

    /// The time of this turn of the loop.
    fn now(&self) -> Instant;

    /// The time of day, in milliseconds since 1970 (UTC).
    fn unix_ms(&self) -> u64;
}

/// A connection, from its `on_open` until its `on_close` has returned. Never one that came later in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) key: u32,
    pub(crate) serial: u32,
}

impl ConnId {
    /// An id for tests of applications without a server: equal indices are the same connection. They should be small,
    /// as the keys of connections are: a [`ConnTable`](super::ConnTable) has room for all below.
    pub fn for_test(index: u32) -> ConnId {
        ConnId { key: index, serial: index }
    }
}

impl fmt::Display for ConnId {
    /// The number by which the log calls the connection: they are counted from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serial.fmt(f)
    }
}
