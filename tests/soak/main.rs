//! The soak of the session mode: the real binary under a crowd that chats in rooms, a tenth of which loses its line each
//! second and resumes. Nothing is lost, nothing is doubled, all is in order, and the server's memory stays flat.
//!
//! The short form runs with all other tests. The full one, a minute with 1,000 clients, on demand; it prints a line of
//! figures at its end:
//!
//! ```sh
//! cargo test --release --test soak -- --ignored --nocapture
//! ```
//!
//! `SOAK_SEED` is another crowd (the seed stands in each failure), `SOAK_SECONDS` another length of the full form.
//!
//! | file | what |
//! |---|---|
//! | `crowd` | all clients on one thread: what happens when, and when all is as it must be |
//! | `client` | a client of the session mode: what it says, and what it is answered |
//! | `seat` | its place in a room, and the checks of all that it hears there |
//! | `line` | its connection: frames, and ways to lose it |
//! | `book` | what was said, by whom and where: what the clients together know of each room |

#![cfg(target_os = "linux")] // it looks into /proc
#![allow(clippy::unwrap_used)]

mod book;
mod client;
mod crowd;
#[path = "../binary/harness.rs"]
#[allow(dead_code)]
mod harness;
mod line;
#[path = "../simulation/random.rs"]
#[allow(dead_code)]
mod random;
mod seat;
#[path = "../kill/vitals.rs"]
#[allow(dead_code)]
mod vitals;
#[path = "../wire/mod.rs"]
#[allow(dead_code)]
mod wire;

use std::time::{Duration, Instant};

use crowd::Crowd;
use harness::{start, wait_until};
use vitals::{descriptors, memory};

/// The size of a soak.
#[derive(Debug, Clone, Copy)]
struct Plan {
    clients: usize,
    rooms: usize,
    seconds: u64,
    /// What each client says before the memory is first looked at.
    warm_up: usize,
    flags: &'static [&'static str],
    seed: u64,
}

#[test]
fn clients_that_lose_their_lines_and_resume_miss_nothing_and_hear_nothing_twice() {
    let flags = &["serve", "--log-level", "error"];
    soak(Plan { clients: 100, rooms: 10, seconds: 5, warm_up: 10, flags, seed: number_of("SOAK_SEED", 1) });
}

/// The room logs are full, with 1,000 chats, from the warm-up on. A session remembers the ids of its chats for as long as
/// a dead line may stay unnoticed and the resume window after it: with these flags 14 s, so that they are as many at a
/// quarter of the minute as at its end.
#[test]
#[ignore = "takes a minute: cargo test --release --test soak -- --ignored --nocapture"]
fn a_thousand_clients_of_which_a_tenth_resumes_each_second_miss_nothing_while_memory_is_flat() {
    let flags = SHORT_WINDOWS;
    let (seconds, seed) = (number_of("SOAK_SECONDS", 60), number_of("SOAK_SEED", 1));
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit >= 2_000, "the hard limit of open files, {limit}, is too low for this test");
    soak(Plan { clients: 1_000, rooms: 100, seconds, warm_up: 100, flags, seed });
}

/// A number from the environment.
fn number_of(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number"))
}

fn soak(plan: Plan) {
    if let Err(problem) = run(plan) {
        panic!("{problem} (SOAK_SEED={})", plan.seed);
    }
}

/// # Errors
/// What a client lacks, or should not have heard.
fn run(plan: Plan) -> Result<(), String> {
    let begin = Instant::now();
    let mut server = start(plan.flags);
    let address = server.address(); // once it says so, all that it needs is open
    let descriptors_before = descriptors(&server);
    let mut crowd = Crowd::new(address, plan.clients, plan.rooms, plan.seed);
    crowd.gather()?;
    crowd.warm_up(plan.warm_up)?;

    let used_before = server.processor_time();
    crowd.begin_load();
    let time = Duration::from_secs(plan.seconds);
    crowd.load(time / 4)?;
    let at_quarter = memory(&server);
    crowd.load(time - time / 4)?;
    let at_end = memory(&server);
    let used = server.processor_time() - used_before;

    crowd.end_load()?;
    crowd.part()?;
    wait_until("all descriptors are closed", || (descriptors(&server) <= descriptors_before).then_some(()));
    server.stop();
    let Plan { clients, rooms, seconds, seed, .. } = plan;
    let (figures, used, all) = (crowd.figures(), used.as_secs_f64(), begin.elapsed().as_secs_f64());
    let [quarter, end] = [at_quarter, at_end].map(|bytes| bytes as f64 / f64::from(1 << 20));
    print(&format!(
        "{clients} clients in {rooms} rooms, {seconds} s of load, seed {seed}: {figures}; memory of the server \
         {quarter:.1} MiB at a quarter and {end:.1} MiB at the end; {used:.1} s of its processor time under load; \
         {all:.0} s in all"
    ));
    let most = at_quarter + at_quarter / 10 + MEMORY_MARGIN;
    if at_end > most {
        return Err(format!("the server held {at_quarter} bytes at a quarter of the load and {at_end} at its end"));
    }
    Ok(())
}

/// The figures are what the full form is run for.
#[allow(clippy::print_stdout)]
fn print(line: &str) {
    println!("{line}");
}

/// With a tenth: what the server may hold at the end beyond what it held at a quarter. Some queues and replays are on
/// their way at any moment, and the allocator keeps some pages.
const MEMORY_MARGIN: usize = 4 * 1024 * 1024;

const SHORT_WINDOWS: &[&str] =
    &["serve", "--log-level", "error", "--resume-window", "8s", "--ping-interval", "2s", "--ping-misses", "2"];
