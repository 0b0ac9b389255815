//! A connection as its peer meets it, in what is our own choice or more than one rule: bounds, timeouts, memory, and every
//! frame in every state. The rules of RFC 6455 one by one are in `tests/rfc6455`. All time is simulated: it is a
//! parameter of every call.

#![allow(clippy::unwrap_used)]

mod closing;
mod deflate;
mod direct;
mod documents;
#[allow(dead_code)]
#[path = "../rfc6455/driver.rs"]
mod driver;
mod liveness;
#[cfg(target_os = "linux")]
mod memory;
mod sending;
#[path = "../wire/mod.rs"]
mod wire;

use driver::{Link, seconds};
