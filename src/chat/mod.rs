//! The applications: the chat server and, for conformance and load, an echo.
//!
//! No socket, no frame, no clock of its own: this floor gets messages and an [`Outbox`](crate::server::Outbox).
//!
//! | file | what |
//! |---|---|
//! | [`hub`] | `frameloop serve`: who is there, and who hears whom |
//! | [`session`] | who a connection is, and ids that nobody can guess |
//! | [`room`] | a room: its members, its log, its state |
//! | [`crowd`] | the clients without a session, who are all in the lobby |
//! | [`log`] | what was said in a room, numbered |
//! | [`presence`] | who is there, and who came and went |
//! | [`agenda`] | what is to be done when |
//! | [`state`] | the state of a room, changed by merge patches |
//! | [`wire`] | JSON in and out |
//! | [`echo`] | `frameloop echo` |
//!
//! # The protocol of `frameloop serve`, plain mode
//!
//! One text message carries one JSON object. These are contracts, and each has its tests:
//!
//! - **P1** The server sends nothing unasked.
//! - **P2** A `{"type":"chat",…}` object goes to every other member of the room, as the bytes that its sender sent. The
//!   sender gets nothing back.
//! - **P4** Bad JSON, a value that is no object, a missing, non-string or unknown `type` get one `error` object back, and
//!   the connection lives on. The log gets a line for the first, and then at most one a second.
//! - **P3** Clients with a session see the same chat with the members `room seq from ts` set by the server, and without the
//!   sender's own ones of the names `id room seq epoch from ts`. Who has none sees a chat of one that has it without them.
//! - **P5** A member name that stands twice at the top level is `invalid_message`: two readers would read it differently.
//! - **P6** A reader that falls too far behind is closed with 1013. A binary message closes with 1003.
//!
//! An `error` object is `{"type":"error","code":…,"message":…}` with `code` one of `invalid_json`, `invalid_message` (and
//! then `field`, where one member is at fault), `unknown_type`, and for requests of sessions `hello_required`.
//!
//! # Session mode
//!
//! A client that offers the subprotocol `frameloop.v1`, or says `hello`. The requests are in [`wire::request`], the messages of
//! the server in [`wire::reply`]; what each does stands in [`hub`] and its tests.

pub mod agenda;
pub mod crowd;
pub mod echo;
pub mod hub;
pub mod log;
pub mod presence;
pub mod room;
pub mod session;
pub mod state;
pub mod wire;

pub use echo::Echo;
pub use hub::Hub;
