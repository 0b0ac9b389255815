//! A WebSocket server written by hand on `mio`: one thread, one event loop, no async runtime, no `unsafe`.
//!
//! ```text
//!       the wire                      frameloop                        your application
//!
//!                 +---------------------+---------------------+
//!   bytes  -----> | server              | protocol            | ----->  on_open
//!   read from     |  poll, accept, read |  request head, frame|         on_message(Message)
//!   sockets       |  one shared buffer  |  unmask, UTF-8,     |         on_close(End)
//!                 |                     |  fragments, control |             |
//!                 |                     |                     |             v
//!   bytes  <----- |  one write per peer | send queue, frames  | <-----  Outbox: send,
//!   written to    |  and turn, timers   |  encoded once       |         send_shared, close
//!   sockets       +---------------------+---------------------+
//! ```
//!
//! A server that sends each message back, in ten lines:
//!
//! ```no_run
//! use frameloop::protocol::Message;
//! use frameloop::server::{App, Config, ConnId, Outbox, Server};
//!
//! struct Echo;
//!
//! impl App for Echo {
//!     fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
//!         out.send(id, message);
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     Ok(Server::bind(&Config::default(), Echo)?.run()?)
//! }
//! ```
//!
//! What happens is logged through the `log` crate: set up a logger of your choice to see it.
//!
//! # The map
//!
//! Three floors; imports only ever go down.
//!
//! | floor | what it is |
//! |---|---|
//! | `main.rs`, `cli.rs`, `application.rs`, `logger.rs` | the binary: flags, what runs, the log, signals |
//! | `bench/` | the load tester, a part of the binary: a client that knows [`protocol`] and no server |
//! | [`chat`] | the applications: rooms, sessions, JSON. No sockets, no frames, no clock of its own |
//! | [`server`] | the event loop: `mio` lives only here (and in `bench/`) |
//! | [`protocol`] | RFC 6455 and nothing else. Pure: bytes and an `Instant` in, events and bytes out |
//!
//! Beside them, with the feature `test-support`: `test_support`, what must hold for any bytes whatever, for fuzzing.
//!
//! Whoever wants to know how RFC 6455 works begins at [`protocol`], which has a table from its sections to the files.
//! [`protocol::conformance`] has a row for each rule of the RFC: its code and its tests.
//! Citations are `§5.5` for RFC 6455, and `RFC 9112 §2.2` for others; `grep -rn '§5.5' src tests` shows a rule, its
//! code and its tests together.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chat;
pub mod protocol;
pub mod server;
#[cfg(feature = "test-support")]
pub mod test_support;
