//! The turn of a load on open connections: wait, read each that is ready to its end, write what is due.

use std::time::Duration;

use mio::{Events, Poll};

use super::client::Client;
use super::measure::{Clock, Measure};
use super::progress::Progress;
use super::watch::{DRAIN_NS_MAX, DRAIN_SILENCE_NS_MAX, Usage, Watch};

/// What is done on the open connections.
pub(crate) trait Load {
    /// Queues and writes what is due. Called once a turn.
    fn turn(&mut self, run: &mut Run, now: u64);

    /// Takes what was read from a connection, and writes what follows from it.
    ///
    /// # Errors
    /// What is wrong; the connection is ended then.
    fn receive(&mut self, run: &mut Run, index: usize, bytes: &[u8], now: u64) -> Result<(), String>;

    /// Writes what waits for a connection.
    ///
    /// # Errors
    /// What is wrong; the connection is ended then.
    fn flush(&mut self, run: &mut Run, index: usize) -> Result<(), String>;

    /// A connection has ended before its time.
    fn ended(&mut self, run: &mut Run, index: usize);

    /// Messages that have yet to come.
    fn outstanding(&self) -> u64;

    /// When [`turn`](Load::turn) has something to do next, if it knows.
    fn next_due(&self) -> Option<u64> {
        None
    }

    /// Whether latency counts: then the turn does not sleep.
    fn is_busy(&self) -> bool {
        true
    }
}

/// What the turn and the load both know.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clients: Vec<Client>,
    /// How many of them are open.
    pub(crate) open: usize,
    pub(crate) measure: Measure,
    pub(crate) masking_key: [u8; 4],
    /// A closed loop sends no more after the end of the window.
    pub(crate) is_sending: bool,
}

/// Runs a load until the window is over and all that is outstanding has come, or has had its time.
///
/// # Errors
/// If the system does not let it wait for events.
pub(crate) fn drive(
    load: &mut dyn Load,
    run: &mut Run,
    poll: Poll,
    clock: Clock,
    server_pid: Option<u32>,
    progress: &mut Progress,
) -> Result<Usage, String> {
    let watch = Watch::new(server_pid, clock.now());
    let (events, buffer) = (Events::with_capacity(1024), vec![0; BUFFER_BYTES]);
    let mut driver = Driver { load, run, poll, events, buffer, clock, watch };
    driver.begin();
    loop {
        let now = driver.turn()?;
        let Driver { watch, run, load, .. } = &mut driver;
        if watch.is_over(now, &mut run.measure, || load.outstanding(), progress) || run.open == 0 {
            break;
        }
    }
    let usage = driver.watch.end(clock.now(), &mut driver.run.measure);
    driver.drain()?;
    Ok(usage)
}

struct Driver<'l> {
    load: &'l mut dyn Load,
    run: &'l mut Run,
    poll: Poll,
    events: Events,
    /// One for all connections.
    buffer: Vec<u8>,
    clock: Clock,
    watch: Watch,
}

impl Driver<'_> {
    /// Reads what came before the load began.
    fn begin(&mut self) {
        for index in 0..self.run.clients.len() {
            let early = std::mem::take(&mut self.run.clients[index].early);
            let now = self.clock.now();
            match self.load.receive(self.run, index, &early, now) {
                Ok(()) => self.read(index),
                Err(problem) => self.fail(index, problem),
            }
        }
    }

    /// One turn; the time after it.
    fn turn(&mut self) -> Result<u64, String> {
        let start = self.clock.now();
        self.load.turn(self.run, start);
        let timeout = match self.load.is_busy() {
            true => self.watch.timeout(start, self.load.next_due()),
            false => Duration::from_millis(50),
        };
        let now = self.watch.wait(&mut self.poll, &mut self.events, self.clock, start, timeout)?;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let index = event.token().0;
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(index);
            }
            if event.is_writable() && self.run.clients[index].is_open() {
                self.load.flush(self.run, index).unwrap_or_else(|problem| self.fail(index, problem));
            }
        }
        self.events = events;
        Ok(now)
    }

    /// Reads a connection until there is nothing more.
    fn read(&mut self, index: usize) {
        loop {
            let len = match self.run.clients[index].read(&mut self.buffer) {
                Ok(Some(len)) => len,
                Ok(None) => return,
                Err(problem) => return self.fail(index, problem),
            };
            let now = self.clock.now();
            if let Err(problem) = self.load.receive(self.run, index, &self.buffer[..len], now) {
                return self.fail(index, problem);
            }
            if len < self.buffer.len() {
                return; // there was no more
            }
        }
    }

    fn fail(&mut self, index: usize, problem: String) {
        if self.run.clients[index].is_open() {
            self.run.end(index, problem);
            self.load.ended(self.run, index);
        }
    }

    /// Waits for what is outstanding, as long as something comes.
    fn drain(&mut self) -> Result<(), String> {
        self.run.is_sending = false;
        let mut now = self.clock.now();
        self.load.turn(self.run, now); // for what came due in the last turn
        let (deadline, mut last) = (now + DRAIN_NS_MAX, (now, self.load.outstanding()));
        while last.1 > 0 && self.run.open > 0 && now < deadline && now < last.0 + DRAIN_SILENCE_NS_MAX {
            now = self.turn()?;
            let outstanding = self.load.outstanding();
            if outstanding != last.1 {
                last = (now, outstanding);
            }
        }
        Ok(())
    }
}

impl Run {
    /// Ends an open connection of which something is wrong.
    pub(crate) fn end(&mut self, index: usize, problem: String) {
        self.clients[index].end();
        self.open -= 1;
        self.measure.faults.error(problem);
    }
}

/// Large enough that a read is rarely full, which would cost another.
const BUFFER_BYTES: usize = 512 * 1024;
