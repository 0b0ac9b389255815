//! The real binary is killed, stopped, flooded with resets and starved of descriptors, with clients on it that chat on.
//! After each it must serve as before.
//!
//! | file | what |
//! |---|---|
//! | `sigkill` | the process is killed under load and started again on the same port |
//! | `stall` | the process stands still for longer than all its deadlines |
//! | `resets` | ten thousand connections are reset at once, and what they took is given back |
//! | `descriptors` | no descriptor is free for a minute |
//! | `chatter` | a client in a thread of its own, that hears all and answers pings |
//! | `vitals` | what the system says of the process |

#![cfg(target_os = "linux")] // it looks into /proc
#![allow(clippy::unwrap_used)]

mod chatter;
mod descriptors;
#[path = "../binary/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../binary/raw.rs"]
#[allow(dead_code)]
mod raw;
mod resets;
mod sigkill;
mod stall;
#[path = "../binary/tungstenite_client.rs"]
#[allow(dead_code)]
mod tungstenite_client;
mod vitals;
#[path = "../wire/mod.rs"]
#[allow(dead_code)]
mod wire;
