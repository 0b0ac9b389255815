//! `frameloop bench`: a load test for WebSocket servers, on one thread. The client's side of RFC 6455, with the same
//! protocol core as the server's.
//!
//! ```text
//!   options --> target --> dial ---------------> drive <--> echo | chat | idle
//!   (flags)     (URL,      (opening: TCP and     (the turn:      |      |
//!                sources)   §4.1 handshakes)      read, write)  measure, tally ---> report
//!                  |                               ^   |         (histogram)        (table, JSON)
//!                  |      greeting            watch   client: replies (§5, server to client)
//!                  +---------> churn                          frames  (§5.3, masked), of content; compressed (RFC 7692)
//!                              (opening, client, watch of its own connections)
//! ```
//!
//! It knows `protocol/` and neither `server/` nor `chat/`: any server can be its target.

mod block;
mod chat;
mod chat_text;
mod churn;
mod client;
mod compressed;
mod content;
mod dial;
mod drive;
mod ear;
mod echo;
mod frames;
mod greeting;
mod group;
mod histogram;
mod idle;
mod measure;
mod opening;
mod options;
mod process;
mod progress;
mod replies;
mod report;
mod room_text;
mod tally;
mod target;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use self::chat::Chat;
use self::dial::{Dialed, dial};
use self::drive::{Run, drive};
use self::echo::Echo;
use self::frames::Random;
use self::idle::Idle;
use self::measure::{Clock, Measure};
use self::opening::Way;
use self::options::{Kind, Options};
use self::process::memory_bytes;
use self::progress::Progress;
use self::report::Report;
use self::target::{Sources, choose};
use self::watch::Usage;

/// Runs the load test with the arguments behind `bench`.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let options = match options::parse(args) {
        Ok(Some(options)) => options,
        Ok(None) => return crate::print(options::HELP),
        Err(problem) => return crate::fail(&problem),
    };
    match run(&options) {
        Ok(report) => {
            crate::print(&if options.is_json { report.json() + "\n" } else { report.table() });
            if report.faults.are_none() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        Err(problem) => crate::fail(&problem),
    }
}

fn run(options: &Options) -> Result<Report<'_>, String> {
    let addresses = options.target.resolve()?;
    if let Some(far) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        crate::complain(&format!(
            "warning: {} is not a loopback address: put load only on servers and networks that are yours",
            far.ip()
        ));
    }
    let needed = options.connections + RESERVED_DESCRIPTORS;
    let open_files = rlimit::increase_nofile_limit(u64::MAX).map_or(usize::MAX, |limit| limit as usize);
    if open_files < needed {
        return Err(format!(
            "--connections: {} need {needed} open files, but the limit is {open_files}; see `ulimit -n`",
            options.connections
        ));
    }
    if options.server_pid.is_some_and(|pid| process::cpu_ns(pid).is_none()) {
        crate::complain("warning: --server-pid: /proc says nothing of this process");
    }
    let subprotocol = options.rooms.map(|_| greeting::SUBPROTOCOL);
    let address = choose(&addresses, options.connect_timeout);
    let way = Way { address, target: &options.target, subprotocol, is_compressed: options.is_compressed };
    let sources = Sources::of(way.address, &options.sources)?;
    let masking_key = Random::new().next()?; // §5.3: from a strong source; one for all frames, which are made once
    let mut progress = Progress::new();
    let report = match options.kind {
        Kind::Churn => churn::churn(options, way, &sources, masking_key, &mut progress)
            .map(|(measure, usage)| report(options, measure, usage)),
        _ => run_on_open_connections(options, way, &sources, masking_key, &mut progress),
    };
    progress.clear();
    report
}

fn run_on_open_connections<'o>(
    options: &'o Options,
    way: Way<'_>,
    sources: &Sources,
    masking_key: [u8; 4],
    progress: &mut Progress,
) -> Result<Report<'o>, String> {
    let is_idle = options.kind == Kind::Idle;
    let memory = || options.server_pid.filter(|_| is_idle).and_then(memory_bytes);
    let memory_before = memory();
    let Dialed { poll, mut clients, opened, times, seconds, faults } =
        dial(options, way, sources, masking_key, progress)?;
    progress.restart();
    clients.iter_mut().for_each(|client| client.replies.has_rsv1 = options.is_compressed);

    let clock = Clock::start();
    let first = if options.kind == Kind::Chat { SETTLE_NS } else { 0 };
    let start = if is_idle { 0 } else { first + options.warmup.as_nanos() as u64 };
    let mut measure = Measure::new(start..start + options.duration.as_nanos() as u64, options.rate.is_some());
    measure.faults = faults;
    let mut run = Run { clients, open: opened, measure, masking_key, is_sending: true };
    let mut wire_bytes = None;
    let usage = match options.kind {
        Kind::Echo => {
            let mut echo = Echo::new(options, &run, clock.now())?;
            let usage = drive(&mut echo, &mut run, poll, clock, options.server_pid, progress)?;
            echo.finish(&mut run);
            wire_bytes = echo.wire_bytes();
            usage
        }
        Kind::Chat => {
            let mut chat = Chat::new(options, &run, first.max(clock.now()));
            let usage = drive(&mut chat, &mut run, poll, clock, options.server_pid, progress)?;
            chat.finish(&mut run);
            usage
        }
        _ => drive(&mut Idle, &mut run, poll, clock, options.server_pid, progress)?,
    };
    let grown = memory().zip(memory_before).map(|(after, before)| after.saturating_sub(before) as f64);
    if is_idle {
        run.measure.latencies = times;
    }
    let stayed = run.open;
    let report = report(options, run.measure, usage);
    Ok(Report {
        opened: Some((opened, stayed, seconds)),
        server_bytes_per_connection: grown.map(|bytes| bytes / opened as f64),
        wire_bytes,
        ..report
    })
}

fn report(options: &Options, measure: Measure, usage: Usage) -> Report<'_> {
    let per_message = |ns: Option<u64>| ns.filter(|_| usage.received > 0).map(|ns| ns as f64 / usage.received as f64);
    let window = measure.window();
    let seconds = (window.end - window.start) as f64 / 1e9;
    Report {
        options,
        seconds,
        latencies: measure.latencies,
        faults: measure.faults,
        opened: None,
        server_cpu_ns_per_message: per_message(usage.server_ns),
        client_cpu_ns_per_message: per_message(usage.own_ns),
        client_waited: usage.waited,
        server_bytes_per_connection: None,
        wire_bytes: None,
    }
}

/// Time between the opening of the last connection and the first message of a chat: some servers make a member of a
/// connection only after they told it that it is open.
const SETTLE_NS: u64 = 100_000_000;

/// Open files that are no connections.
const RESERVED_DESCRIPTORS: usize = 32;
