//! The log, in a way in which standard error can neither end the server nor hold it up.
//!
//! simple_logger prints with `eprintln!`, which panics when standard error is a closed pipe or a full disk, and blocks
//! when it is a pipe that nobody reads. So a thread of its own prints; lines that it cannot print in time are dropped,
//! and counted.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

/// Sends the log to standard error from now on. Keep the handle, and [`finish`](Logger::finish) it at the end.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn start(level: LevelFilter) -> std::io::Result<Logger> {
    let lines = Arc::new(Lines::default());
    let printed = lines.clone();
    // The default hook would write to standard error, which is what has just failed.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name() != Some(THREAD) {
            hook(info);
        }
    }));
    thread::Builder::new().name(THREAD.to_owned()).spawn(move || print(&printed))?;
    if log::set_boxed_logger(Box::new(Logger { lines: lines.clone() })).is_ok() {
        log::set_max_level(level);
    }
    Ok(Logger { lines })
}

/// The end of the log into which the server writes.
#[derive(Debug)]
pub(crate) struct Logger {
    lines: Arc<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<(Level, String)>,
    bytes: usize,
    dropped: u64,
    is_finishing: bool,
    is_finished: bool,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let line = with_time(record.args());
        let mut queue = self.lines.lock();
        if queue.bytes + line.len() > QUEUE_BYTES_MAX {
            queue.dropped += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push((record.level(), line));
        if queue.lines.len() == 1 {
            self.lines.changed.notify_all(); // a system call, whether or not the thread waits
        }
    }

    fn flush(&self) {}
}

impl Logger {
    /// Waits until all lines are printed, but not for long.
    pub(crate) fn finish(self) {
        let mut queue = self.lines.lock();
        queue.is_finishing = true;
        self.lines.changed.notify_all();
        // A standard error that nobody reads must not keep the program from ending.
        drop(self.lines.changed.wait_timeout_while(queue, FINISH_TIMEOUT, |queue| !queue.is_finished));
    }
}

/// The thread that prints.
fn print(lines: &Lines) {
    let simple = SimpleLogger::new();
    let mut unprinted = 0;
    loop {
        let mut queue = lines.lock();
        while queue.lines.is_empty() && queue.dropped == 0 && !queue.is_finishing {
            queue = lines.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let batch = std::mem::take(&mut queue.lines);
        let mut dropped = std::mem::take(&mut queue.dropped);
        if dropped > 0 || !batch.is_empty() {
            dropped += std::mem::take(&mut unprinted); // said with the next lines
        }
        queue.bytes = 0;
        let is_last = queue.is_finishing && batch.is_empty() && dropped == 0;
        if is_last {
            queue.is_finished = true;
            lines.changed.notify_all();
            return;
        }
        let is_finishing = queue.is_finishing;
        drop(queue);
        for lines in batch.chunk_by(|(before, _), (level, _)| before == level) {
            for lines in lines.chunks(LINES_PER_RECORD) {
                unprinted += print_lines(&simple, lines[0].0, lines);
            }
        }
        if dropped > 0 {
            let line = with_time(&format_args!("{dropped} lines of the log were dropped"));
            unprinted += print_lines(&simple, Level::Warn, &[(Level::Warn, line)]);
        }
        if !is_finishing {
            // Many lines then cost one waking of this thread, not one each.
            thread::sleep(GATHER_TIME);
        }
    }
}

fn with_time(line: &impl Display) -> String {
    format!("{} {line}", humantime::format_rfc3339_millis(SystemTime::now()))
}

/// Prints lines of one level as one record, since each record is two system calls. Returns how many could not be printed.
fn print_lines(simple: &SimpleLogger, level: Level, lines: &[(Level, String)]) -> u64 {
    let count = lines.len() as u64;
    let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    // What simple_logger writes before the first line.
    let lines = lines.join(&format!("\n{level:<5} [{TARGET}] "));
    // Lines that cannot be printed are lost, and nothing else.
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        simple.log(&Record::builder().level(level).target(TARGET).args(format_args!("{lines}")).build());
    }));
    if result.is_err() { count } else { 0 }
}

const THREAD: &str = "log";
const TARGET: &str = "frameloop";

/// So many stay below what a pipe takes as a whole, so that no other process can write in between.
const LINES_PER_RECORD: usize = 16;

/// Bytes of lines that wait to be printed; beyond it lines are dropped.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
const GATHER_TIME: Duration = Duration::from_millis(5);
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);
