//! The program as its users have it: the real binary in a process of its own, real sockets, real signals, and as
//! clients also those of others: Node's WebSocket and `ws`, Python's `websockets`, tungstenite.
//!
//! What is needed: `node`, `npm` and `python3` with its `venv`, and for the first run a way to their packages.

#![allow(clippy::unwrap_used)]

mod auth;
mod command_line;
mod compression;
mod descriptors;
mod harness;
mod log;
mod network;
mod pages;
mod peers;
mod raw;
mod seed_clients;
mod signals;
mod stderr;
mod tungstenite_client;
#[path = "../wire/mod.rs"]
#[allow(dead_code, unused_imports)]
mod wire;
