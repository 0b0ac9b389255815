//! Opens the connections of a run, a bounded number of them at a time.

use std::collections::VecDeque;
use std::time::Duration;

use mio::{Events, Poll};

use super::client::Client;
use super::frames::Random;
use super::histogram::Histogram;
use super::measure::{Clock, Faults};
use super::opening::{Opening, Way};
use super::options::Options;
use super::progress::Progress;
use super::target::Sources;

/// The connections, each registered with its index as the token. Some may not have come about.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) poll: Poll,
    pub(crate) clients: Vec<Client>,
    pub(crate) opened: usize,
    /// Time until a connection was open.
    pub(crate) times: Histogram,
    pub(crate) seconds: f64,
    pub(crate) faults: Faults,
}

/// Opens all connections.
///
/// # Errors
/// Not one of them came about.
pub(crate) fn dial(
    options: &Options,
    way: Way<'_>,
    sources: &Sources,
    progress: &mut Progress,
) -> Result<Dialed, String> {
    let poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
    let clients = std::iter::repeat_with(Client::default).take(options.connections).collect();
    let times = Histogram::new();
    let dialed = Dialed { poll, clients, opened: 0, times, seconds: 0.0, faults: Faults::default() };
    let mut dialer = Dialer { dialed, openings: Vec::new(), order: VecDeque::new(), clock: Clock::start(), started: 0 };
    dialer.openings.resize_with(options.connections, || None);
    dialer.run(options, way, sources, progress)?;
    let mut dialed = dialer.dialed;
    dialed.seconds = dialer.clock.now() as f64 / 1e9;
    if dialed.opened == 0 {
        let reason = dialed.faults.first_error.unwrap_or_default();
        return Err(format!("no connection to {}: {reason}", way.address));
    }
    Ok(dialed)
}

#[derive(Debug)]
struct Dialer {
    dialed: Dialed,
    openings: Vec<Option<Opening>>,
    /// Those that are opening, oldest first; and some that are no longer.
    order: VecDeque<usize>,
    clock: Clock,
    started: usize,
}

impl Dialer {
    fn run(
        &mut self,
        options: &Options,
        way: Way<'_>,
        sources: &Sources,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let timeout = options.connect_timeout.as_nanos() as u64;
        let mut random = Random::new();
        let mut events = Events::with_capacity(PARALLEL_MAX);
        let mut buffer = vec![0; 16 * 1024];
        while self.ended() < options.connections && !self.is_hopeless() {
            while self.started < options.connections && self.started - self.ended() < PARALLEL_MAX {
                let (index, now) = (self.started, self.clock.now());
                self.started += 1;
                let source = sources.source(index);
                match Opening::start(&way, self.dialed.poll.registry(), index, source, &mut random, now) {
                    Ok(opening) => {
                        self.openings[index] = Some(opening);
                        self.order.push_back(index);
                    }
                    Err(problem) => self.dialed.faults.error(problem),
                }
                if self.is_hopeless() {
                    return Ok(());
                }
            }
            match self.dialed.poll.poll(&mut events, Some(Duration::from_millis(50))) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(format!("epoll: {error}")),
                _ => {}
            }
            for event in &events {
                self.go_on(event.token().0, &mut buffer);
            }
            let now = self.clock.now();
            self.end_late(now, timeout);
            progress.tick(now, || format!("{} of {} connections are open", self.dialed.opened, options.connections));
        }
        Ok(())
    }

    /// How many came about or failed.
    fn ended(&self) -> usize {
        self.dialed.opened + self.dialed.faults.errors as usize
    }

    /// None came about of so many that were tried.
    fn is_hopeless(&self) -> bool {
        self.dialed.opened == 0 && self.dialed.faults.errors as usize >= PARALLEL_MAX
    }

    fn go_on(&mut self, index: usize, buffer: &mut [u8]) {
        // An event of a connection that is open already is not lost: the load reads each once to begin with.
        let Some(opening) = &mut self.openings[index] else { return };
        match opening.go_on(buffer) {
            Ok(None) => {}
            Ok(Some(early)) => {
                let opening = self.openings[index].take().expect("it is there");
                self.dialed.times.add(self.clock.now() - opening.started, 1);
                self.dialed.clients[index] = Client::open(opening.into_stream(), early);
                self.dialed.opened += 1;
            }
            Err(problem) => {
                self.openings[index] = None;
                self.dialed.faults.error(problem);
            }
        }
    }

    /// Gives up those that take too long.
    fn end_late(&mut self, now: u64, timeout: u64) {
        while let Some(&index) = self.order.front() {
            if let Some(opening) = &self.openings[index] {
                if now < opening.started + timeout {
                    return;
                }
                self.openings[index] = None;
                self.dialed.faults.error("a connection and its handshake took longer than --connect-timeout");
            }
            self.order.pop_front();
        }
    }
}

/// Connections that are being opened at a time: fewer than a server keeps in its backlog.
const PARALLEL_MAX: usize = 64;
