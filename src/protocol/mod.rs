//! RFC 6455 and nothing else: bytes and an [`Instant`](std::time::Instant) in, events and bytes out.
//!
//! This floor is pure. It knows no socket, no clock, no log and no randomness, so that a fuzz target is ten
//! lines and a test runs in simulated time. Read the files in the order of this table and you have read the RFC
//! as a server sees it.
//!
//! | RFC 6455 | file | what it owns |
//! |---|---|---|
//! | §4.2, §4.4, §9.1 | [`handshake`] | the opening handshake: request head, its rules, 101 or a rejection |
//! | §5.1, §5.2 | [`frame`] | frame header parse and encode, bytes to payload chunks |
//! | §5.3 | [`mask`] | unmasking in place |
//! | §5.4, §5.6, §6.2 | [`message`] | fragments to messages, control frames in between |
//! | §5.5, §7 | [`connection`] | the state machine: ping, pong, the closing handshake, failing the connection |
//! | §7.1 | [`end`] | why a connection ended: a word and a close code for each cause |
//! | §7.4 | [`close`] | close codes and the payload of a Close frame |
//! | §8.1 | [`utf8`] | text checked as it arrives, across any cut |
//! | §10.4 | [`limits`] | every bound: its unit, its default and why |
//!
//! [`conformance`] is the other way round: each rule of the RFC, with the code that keeps it and the tests that show it.
//!
//! Not here: §4.1 (the client). §5.8 and §9, extensions: there is one, RFC 7692, in `deflate` with the feature of this name, and
//! [`compression`] says whether it is used. §10.2 is in [`handshake::origin`]. §6.1,
//! sending, is [`Connection::send`]: a message is one frame.
//!
//! Beside them: [`input`] (the bytes just read), [`send_queue`] (encoded frames that wait for the socket),
//! [`shared_frame`] (one that many receivers get), [`commons`] (what all connections of a server share: bounds and spare
//! buffers) and [`error`] (one variant per broken rule, and the close code or status that answers it).

pub mod close;
pub mod commons;
pub mod compression;
pub mod conformance;
pub mod connection;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(not(feature = "deflate"))]
#[path = "no_deflate.rs"]
mod deflate;
pub mod end;
pub mod error;
pub mod frame;
mod frame_row;
pub mod handshake;
pub mod input;
pub mod limits;
pub mod mask;
pub mod message;
pub(crate) mod moment;
mod payload_buffer;
mod segments;
pub mod send_queue;
pub mod shared_frame;
pub mod utf8;

pub use close::CloseCode;
pub use commons::Commons;
pub use compression::Compression;
pub use connection::{Connection, Event, State};
pub use end::End;
pub use error::{HandshakeError, ProtocolError};
pub use handshake::Request;
pub use handshake::document::{Document, DocumentRequest};
pub use input::Input;
pub use limits::Limits;
pub use message::Message;
pub use shared_frame::SharedFrame;
