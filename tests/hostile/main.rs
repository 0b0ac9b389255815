//! Attacks on the server, as an attacker makes them: on real sockets, and after each the next client is served.
//!
//! A test's name begins with the row of [`rows`] that it shows, so that `grep -rn 'fn h1_' tests` finds a row's test.
//!
//! | file | rows | what is attacked |
//! |---|---|---|
//! | `handshake` | H1 to H4, H11 to H13, H15 | the opening handshake: HTTP, before anybody is trusted |
//! | `handshake::grammar` | H5 to H10 | what others read differently, and what they forgot to check |
//! | `frames` | F1, F3, F7 to F10, F14, F15 | headers that lie, work without end |
//! | `frames::memory` | F2, F3, F5, F6 | what is held for a message that is announced, endless, or in tiny pieces |
//! | `frames::compressed` | F14 | what is small when it comes and large once it is decompressed |
//! | `frames::text` | F11 | text that is not UTF-8 |
//! | `frames::control` | F4, F12, F13 | control frames, and the end |
//! | `resources` | R | memory, processor, descriptors |
//! | `fairness`, `vanishing` | R | the loop: one beside the others, and peers that break off |
//! | `liveness` | L | peers that vanish, and time |
//! | `json` | J | what a chat message may hold |
//! | `rows` | all | every row with its tests, or why it has none |
//! | `memory` | | what a server in a process of its own holds |
//! | `by_hand` | | a server that does a turn only when told to, on a network that counts and errs |

#![allow(clippy::unwrap_used)]

mod by_hand;
#[path = "../server/client.rs"]
#[allow(dead_code)]
mod client;
mod fairness;
mod frames;
mod handshake;
#[path = "../server/harness.rs"]
#[allow(dead_code)]
mod harness;
mod json;
mod liveness;
#[allow(dead_code)]
mod memory;
#[path = "../binary/harness.rs"]
#[allow(dead_code)]
mod process;
mod resources;
mod rows;
#[allow(dead_code)]
#[path = "../server/stream.rs"]
mod stream;
mod vanishing;
#[path = "../wire/mod.rs"]
#[allow(dead_code)]
mod wire;
