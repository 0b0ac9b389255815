//! `wss://`: all that `tests/server` shows, over TLS; and what is TLS's own.
//!
//! | file | what |
//! |---|---|
//! | `files` | the certificates, in `files/` |
//! | `stream` | what is below WebSocket here: a rustls client |
//! | `handshakes` | versions, ALPN, tickets; what is no TLS; the end |
//! | `layer` | TLS over a transport of the test's own: what a read and a write may say |
//! | `openssl` | the same with a client of another make |
//! | `program` | the real program: its flags, its log, certificates that change while it runs |
//! | all from `../server` | the same clients, server and tests |

#![allow(clippy::unwrap_used)]

mod files;
mod handshakes;
mod layer;
mod openssl;
mod program;
mod stream;

#[path = "../server/addresses.rs"]
mod addresses;
#[path = "../server/application.rs"]
mod application;
#[path = "../server/calls.rs"]
mod calls;
#[path = "../server/chat.rs"]
mod chat;
#[path = "../server/client.rs"]
mod client;
#[path = "../server/closing.rs"]
mod closing;
#[path = "../server/crowd.rs"]
mod crowd;
#[path = "../server/documents.rs"]
mod documents;
#[path = "../server/echo.rs"]
mod echo;
#[path = "../server/ends.rs"]
mod ends;
#[path = "../server/handshake.rs"]
mod handshake;
#[path = "../server/harness.rs"]
mod harness;
#[path = "../server/liveness.rs"]
mod liveness;
#[path = "../server/origins.rs"]
mod origins;
#[allow(dead_code)]
#[path = "../binary/harness.rs"]
mod process;
#[path = "../server/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "../server/refusals.rs"]
mod refusals;
#[path = "../server/replay.rs"]
mod replay;
#[path = "../server/sessions.rs"]
mod sessions;
#[path = "../server/slowness.rs"]
mod slowness;
#[path = "../server/stopping.rs"]
mod stopping;
#[path = "../wire/mod.rs"]
mod wire;
