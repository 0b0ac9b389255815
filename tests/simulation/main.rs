//! The server's own turn in a world that a seed decides: reads of any size, writes that take any part or none,
//! `WouldBlock` and `Interrupted` at any point, delays, resets, ends of file, clocks that jump, clients that stop reading,
//! that break rules, that close while they are being closed, keys that are used again, and stops at any time.
//!
//! | file | what |
//! |---|---|
//! | `run` | one seed: what happens, in which order |
//! | `checks` | what must hold after each turn, and at the end |
//! | `world` | the network and the clock, and the faults of both |
//! | `net` | the two traits that the server is written against |
//! | `socket` | one connection on the wire |
//! | `client`, `wire` | the clients and their frames |
//! | `app` | the chat server with an ear at it |
//! | `sessions` | the same world with people who come back to their sessions |
//! | `tls` | the same world with TLS in between |
//! | `tally` | how often what may happen does |
//! | `memory` | what the server holds, counted at every allocation |
//!
//! `SIMULATION_SEED=42 cargo test --test simulation` repeats one run, of each kind unless the name of a test follows;
//! `SIMULATION_SEEDS=100000` sets how many there are, and `SIMULATION_THREADS=2` on how many threads.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod app;
mod checks;
mod client;
#[path = "../tls/files.rs"]
#[allow(dead_code)]
mod files;
mod memory;
mod net;
mod random;
mod run;
mod sessions;
mod socket;
mod tally;
mod tls;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use run::{is_throng, run};
use tally::Tally;

#[test]
fn whatever_the_network_does_nothing_is_lost_doubled_or_leaked() {
    every_seed(2000, "whatever_the_network", |seed| {
        run(seed);
    });
}

#[test]
fn whoever_comes_back_has_heard_everything_once_or_is_told_what_is_gone() {
    every_seed(400, "whoever_comes_back", |seed| {
        sessions::run(seed);
    });
}

#[test]
fn with_tls_in_between_all_arrives_in_order_and_each_end_is_told() {
    every_seed(300, "with_tls_in_between", |seed| {
        tls::run(seed);
    });
}

/// Runs so many seeds, or as the environment says. `test` is enough of the name of the test to find it.
fn every_seed(count: u64, test: &str, run: impl Fn(u64) + Sync) {
    if let Some(seed) = number("SIMULATION_SEED") {
        return run(seed);
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(count);
    let threads = number("SIMULATION_THREADS").unwrap_or(1);
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                next.store(seeds, Ordering::Relaxed); // the other threads need not go on
                eprintln!("repeat it with: SIMULATION_SEED={seed} cargo test --test simulation {test}");
                resume_unwind(panic);
            }
        }
    };
    if threads == 1 {
        return work();
    }
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..12 {
        assert_eq!(run(seed).0, run(seed).0, "seed {seed}");
        assert_eq!(sessions::run(seed).0, sessions::run(seed).0, "seed {seed} of those with sessions");
    }
}

/// The runs would show little without faults, or if no connection had an end but one.
#[test]
fn among_few_seeds_is_all_that_may_happen() {
    let (mut tally, mut throngs) = (Tally::default(), Vec::new());
    for seed in 0..SEEDS_OF_ALL {
        let (_, of_seed) = run(seed);
        tally.add(&of_seed);
        if is_throng(seed) {
            throngs.push((of_seed.clients, of_seed.keys));
        }
    }
    // Fewer come where most of them stay.
    let has_many_a_key = |&&(clients, keys): &&(usize, usize)| clients > 2000 && keys < 60;
    assert!(throngs.iter().filter(has_many_a_key).count() > throngs.len() / 2, "clients and keys: {throngs:?}");
    let counts: Vec<(String, usize)> = tally.named().collect();
    assert!(counts.iter().all(|&(_, count)| count > 0), "{counts:?}");
}

/// Enough for one of each kind: a queue is full in about one seed of a hundred.
const SEEDS_OF_ALL: u64 = 600;

/// The runs would show little if clients had one end only.
#[test]
fn among_few_seeds_with_tls_is_each_end() {
    let mut all = tls::Ends::default();
    for seed in 0..60 {
        all.add(&tls::run(seed));
    }
    let counts = [all.closed, all.overloaded, all.lost, all.half_closed, all.failed, all.refused];
    assert!(counts.iter().all(|&count| count > 10), "{all:?}");
}

/// The runs would show little if lines never broke, or nobody ever read too late.
#[test]
fn among_few_seeds_with_sessions_is_all_that_may_happen() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..200 {
        for (what, count) in sessions::run(seed).1.named() {
            *counts.entry(what).or_default() += count;
        }
    }
    assert!(counts.values().all(|&count| count > 0), "{counts:?}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}
