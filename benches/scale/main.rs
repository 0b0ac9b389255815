//! A million peers in a simulated world: what one of them costs, while 1,000 to 1,000,000 are there. The server, its turn and
//! the chat are the real ones; the sockets and the clock are not, so that it is their cost alone that is measured.
//!
//! `cargo bench --bench scale` takes about a minute and a gigabyte, and prints a table. `-- --peers-max 100000` stops there,
//! `--smoke` after the first 1,000. `--json` prints an object a line instead, `--plot FILE.svg` draws them.
//!
//! | file | what |
//! |---|---|
//! | `figures` | what is measured |
//! | `crowd` | the server with so many peers, and what happens to them |
//! | `world` | the transports and the clock |
//! | `memory` | bytes, counted at every allocation |
//! | `plot` | the figure |
//! | `counts` | instructions among 1,000 and 10,000 peers, with `--counts` for `benches/counts` |

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod counts;
mod crowd;
mod figures;
#[path = "../harness/mod.rs"]
mod harness;
mod memory;
mod plot;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use figures::{Figures, measure};

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}: this takes --smoke, --json, --peers-max N and --plot FILE.svg");
            return ExitCode::from(2);
        }
    };
    if options.is_counting {
        counts::run();
        return ExitCode::SUCCESS;
    }
    let mut all = Vec::new();
    for peers in SIZES.into_iter().filter(|&peers| peers <= options.peers_max) {
        let figures = measure(peers);
        if options.is_json {
            println!("{}", json(&figures));
        }
        all.push(figures);
    }
    if !options.is_json {
        print_table(&all);
    }
    if let Some(path) = options.plot
        && let Err(error) = std::fs::write(&path, plot::draw(&all))
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Options {
    peers_max: usize,
    is_json: bool,
    is_counting: bool,
    plot: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Options, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Options { peers_max: usize::MAX, is_json: false, is_counting: false, plot: None };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("bench") => {} // from cargo
                Long("smoke") => options.peers_max = SIZES[0],
                Long("counts") => options.is_counting = true,
                Long("json") => options.is_json = true,
                Long("peers-max") => options.peers_max = parser.value()?.parse()?,
                Long("plot") => options.plot = Some(parser.value()?.into()),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(options)
    }
}

/// A row of the table: its name in JSON, in words, and its figure.
type Row = (&'static str, &'static str, fn(&Figures) -> f64);

/// All that is printed.
const ROWS: &[Row] = &[
    ("peers", "peers", |f| f.peers as f64),
    ("idle_bytes", "bytes of an idle peer", |f| f.idle_bytes),
    ("hub_bytes", "  of these in the tables of the chat", |f| f.hub_bytes),
    ("used_bytes", "  after pings and a broadcast", |f| f.used_bytes),
    ("resident_bytes", "  resident", |f| f.resident_bytes),
    ("peak_bytes", "  at most, while all come", |f| f.peak_bytes),
    ("broadcast_bytes", "  more at most, in a broadcast", |f| f.broadcast_bytes),
    ("empty_bytes", "bytes before all came", |f| f.empty_bytes as f64),
    ("left_bytes", "  and more after all have gone", |f| f.left_bytes as f64),
    ("turn_same_ns", "ns of a turn with the same 10 active", |f| f.times.turn_same_ns),
    ("turn_any_ns", "ns of a turn with any 10 active", |f| f.times.turn_any_ns),
    ("ping_ns", "ns of a ping and its pong", |f| f.times.ping_ns),
    ("broadcast_ns", "ns of a receiver of a broadcast to all", |f| f.times.broadcast_ns),
    ("connect_ns", "ns of a connect", |f| f.times.connect_ns),
    ("disconnect_ns", "ns of a disconnect", |f| f.times.disconnect_ns),
    ("coming_turn_ms", "ms of the longest turn while all come", |f| f.coming_turn_ms),
    ("broadcast_turn_ms", "ms of the longest turn in a broadcast", |f| f.times.broadcast_turn_ms),
    ("going_turn_ms", "ms of the longest turn while all go", |f| f.going_turn_ms),
];

fn print_table(all: &[Figures]) {
    for (_, name, figure) in ROWS {
        let decimals = if name.starts_with("ms") { 2 } else { 0 };
        print!("{name:<42}");
        for figures in all {
            print!("{:>12.decimals$}", figure(figures));
        }
        println!();
    }
}

fn json(figures: &Figures) -> String {
    let members: Vec<String> =
        ROWS.iter().map(|(name, _, figure)| format!("\"{name}\":{:.3}", figure(figures))).collect();
    format!("{{{}}}", members.join(","))
}

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
