//! The applications: the chat server and, for conformance and load, an echo.
//!
//! No socket, no frame, no clock of its own: this floor gets messages and an [`Outbox`](crate::server::Outbox).
//!
//! | file | what |
//! |---|---|
//! | [`hub`] | `frameloop serve`: who is there, and who hears whom |
//! | [`auth`] | who a token is for, and what it allows |
//! | [`session`] | who a connection is, and ids that nobody can guess |
//! | [`auth`] | who may come in, and what each may do |
//! | [`room`] | a room: its members, its log, its state |
//! | [`crowd`] | the clients without a session, who are all in the lobby |
//! | [`log`] | what was said in a room, numbered |
//! | [`presence`] | who is there, and who came and went |
//! | [`agenda`] | what is to be done when |
//! | [`state`] | the state of a room, changed by merge patches |
//! | [`wire`] | JSON in and out |
//! | [`web`] | the demo page and the browser client |
//! | [`echo`] | `frameloop echo` |
//! | [`protocol`] | the wire protocol, described and tested |
//!
//! What `frameloop serve` and its clients say to each other is on a page of its own, [`protocol`], with an example for each
//! message.

pub mod agenda;
pub mod auth;
pub mod crowd;
pub mod echo;
pub mod hub;
pub mod log;
pub mod presence;
pub mod protocol;
#[cfg(test)]
mod recorder;
pub mod room;
pub mod session;
pub mod state;
pub mod web;
pub mod wire;

pub use echo::Echo;
pub use hub::Hub;
