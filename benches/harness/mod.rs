//! Runs the cases of one micro-benchmark, in one of three ways:
//!
//! - `cargo bench --bench frame` times them. A word picks the cases with it in their names: `cargo bench --bench frame -- header`.
//! - `-- --smoke` runs each a few times and checks its result.
//! - `-- --counts` is for [`benches/counts`](../counts), which runs it under callgrind: each case goes through [`repeat`]
//!   once, and a line says how many operations that were.
//!
//! An operation returns something that shows that it worked; it is compared with what is expected in all three ways.

use std::fmt::Debug;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The cases of one file, as they are run.
pub(crate) struct Bench {
    mode: Mode,
    filter: Option<String>,
    /// Nanoseconds of one operation of the last case.
    last: Option<f64>,
    /// Calls of which callgrind counts the instructions.
    pub(crate) counted_calls: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Time,
    Smoke,
    Counts,
}

/// What one call does: so many operations, on so many bytes together.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) operations: usize,
    pub(crate) bytes: usize,
}

/// One operation on so many bytes.
#[allow(dead_code, reason = "not every file has one")]
pub(crate) const fn bytes(bytes: usize) -> Work {
    Work { operations: 1, bytes }
}

impl Bench {
    /// Reads the command line.
    pub(crate) fn start() -> Bench {
        let (mut mode, mut filter) = (Mode::Time, None);
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--bench" => {} // from cargo
                "--smoke" => mode = Mode::Smoke,
                "--counts" => mode = Mode::Counts,
                name if !name.starts_with('-') && filter.is_none() => filter = Some(name.to_owned()),
                unknown => {
                    eprintln!("unexpected argument {unknown:?}: this takes --smoke, --counts or a part of a name");
                    std::process::exit(2);
                }
            }
        }
        if mode == Mode::Time {
            println!("{:<48} {:>12} {:>10} {:>12}", FILE, "ns", "GB/s", "slowest ns");
        }
        Bench { mode, filter, last: None, counted_calls: 100 }
    }

    /// Runs one case.
    pub(crate) fn case<R: PartialEq + Debug>(
        &mut self,
        name: &str,
        work: Work,
        expected: R,
        mut operation: impl FnMut() -> R,
    ) {
        self.last = None;
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
            return;
        }
        for _ in 0..CHECKED_CALLS {
            assert_eq!(operation(), expected, "{FILE}/{name}");
        }
        match self.mode {
            Mode::Smoke => println!("{FILE}/{name}: ok"),
            Mode::Counts => {
                repeat(self.counted_calls, &mut operation);
                println!("{FILE}/{name}\t{}", self.counted_calls * work.operations as u64);
            }
            Mode::Time => {
                let rounds = time(&mut operation).map(|ns| ns / work.operations as f64);
                let (median, slowest) = (rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
                self.last = Some(median);
                let rate = work.bytes as f64 / work.operations as f64 / median;
                let rate = if work.bytes > 0 { format!("{rate:.2}") } else { String::new() };
                println!("{name:<48} {median:>12.1} {rate:>10} {slowest:>12.1}");
            }
        }
    }

    /// Runs another way to do what the last case did, and says how many times longer it takes. It is not ours: its
    /// instructions are not counted.
    #[allow(dead_code, reason = "not every file has one")]
    pub(crate) fn rival<R: PartialEq + Debug>(
        &mut self,
        name: &str,
        work: Work,
        expected: R,
        operation: impl FnMut() -> R,
    ) {
        if self.mode == Mode::Counts {
            return;
        }
        let ours = self.last;
        self.case(name, work, expected, operation);
        if let (Some(ours), Some(rivals)) = (ours, self.last) {
            println!("{:<48} {:>11.2}x", "", rivals / ours);
        }
    }
}

/// The nanoseconds of one call, in rounds, the fastest first.
fn time<R>(operation: &mut impl FnMut() -> R) -> [f64; ROUNDS] {
    let mut calls = 1;
    while elapsed(calls, operation) < ROUND_TIME {
        calls *= 2;
    }
    let mut rounds = [(); ROUNDS].map(|()| elapsed(calls, operation).as_nanos() as f64 / calls as f64);
    rounds.sort_by(f64::total_cmp);
    rounds
}

fn elapsed<R>(calls: u64, operation: &mut impl FnMut() -> R) -> Duration {
    let start = Instant::now();
    repeat(calls, operation);
    start.elapsed()
}

/// What is timed and counted. callgrind knows it by its name, so that it must stay a function of its own.
#[inline(never)]
pub(crate) fn repeat<R>(calls: u64, operation: &mut impl FnMut() -> R) {
    for _ in 0..calls {
        black_box(operation());
    }
}

const FILE: &str = env!("CARGO_CRATE_NAME");

/// Calls whose results are compared with what is expected.
const CHECKED_CALLS: usize = 4;

const ROUNDS: usize = 11;
const ROUND_TIME: Duration = Duration::from_millis(20);
