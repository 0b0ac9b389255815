//! The server on real sockets: what clients see of it, well-behaved and not, one and a thousand at a time.
//!
//! | file | what |
//! |---|---|
//! | `harness` | a server in a thread of its own, and what its application saw |
//! | `client` | a client made of a socket and bytes |
//! | `stream` | what is below WebSocket; `tests/tls` runs all of these with TLS |
//! | `application` | what an application can wait for |
//! | `calls` | how often it asks the system, on a network that counts |
//! | `chat`, `crowd` | `frameloop serve`: plain mode P1 to P6; many clients, and some that vanish |
//! | `echo` | `frameloop echo`: messages of all sizes, in fragments, and faster than they are taken |
//! | `origins`, `addresses` | §10.2: pages and hosts; connections of one address, proxies, rates |
//! | `proxy_protocol` | the header with which a proxy says for whom it speaks |
//! | `handshake`, `refusals` | §4: the opening handshake, and what may follow it; each refusal |
//! | `closing`, `ends` | §7: the closing handshake; every other way in which a connection ends |
//! | `liveness`, `slowness` | §5.5.2: pings; readers that are too slow |
//! | `replay` | a peer that gets more from one message than it takes in a turn |
//! | `sessions` | sessions over real sockets |
//! | `stopping` | the end of the server |

#![allow(clippy::unwrap_used)]

mod addresses;
mod application;
mod calls;
mod chat;
mod client;
mod closing;
mod crowd;
mod documents;
mod echo;
mod ends;
mod handshake;
mod harness;
mod liveness;
mod origins;
mod proxy_protocol;
mod refusals;
mod replay;
mod sessions;
mod slowness;
mod stopping;
mod stream;
#[path = "../wire/mod.rs"]
mod wire;
