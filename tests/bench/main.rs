//! `frameloop bench` as its users have it: the real binary against real servers; and against servers that lose,
//! repeat, swap, stall and close, which it must notice and count.
//!
//! | file | what |
//! |---|---|
//! | `command_line` | flags and their mistakes, warnings, the README |
//! | `loads` | each load against the server that it is made for |
//! | `faults` | what must be reported, and is |
//! | `open_loop` | what was due, late or never |
//! | `frames` | what goes over the wire |
//! | `compressed` | permessage-deflate |
//! | `progress` | the line on a terminal |
//! | `rooms` | the same in rooms of the session mode |
//! | `fake` | servers with faults, on tungstenite |

#![allow(clippy::unwrap_used)]

mod command_line;
mod compressed;
mod fake;
mod faults;
mod frames;
#[path = "../binary/harness.rs"]
#[allow(dead_code)]
mod harness;
mod loads;
mod open_loop;
mod progress;
mod rooms;

use std::net::SocketAddr;

use serde_json::Value;

use harness::{Child, server};

/// What a run printed, and its exit code.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Runs `frameloop bench` with these arguments.
fn bench(args: &[&str]) -> Outcome {
    let mut child = Child::spawn(server().arg("bench").args(args));
    let code = child.wait().code();
    Outcome { code, stdout: child.stdout.rest(), stderr: child.stderr.rest() }
}

/// Runs it against an address, with arguments parted by blanks, and reads its line of JSON.
fn bench_json(address: SocketAddr, args: &str) -> (Option<i32>, Value) {
    let url = format!("ws://{address}/");
    let args: Vec<&str> = [url.as_str(), "--json"].into_iter().chain(args.split_whitespace()).collect();
    let outcome = bench(&args);
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (1, 0), "{outcome:?}");
    (outcome.code, serde_json::from_str(&outcome.stdout[0]).expect("JSON"))
}

/// Counters of a result by their names.
fn counts<const N: usize>(result: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| result[name].as_u64().unwrap_or_else(|| panic!("{name} in {result}")))
}
