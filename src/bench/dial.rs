//! Opens the connections of a run, a bounded number of them at a time.

use std::collections::VecDeque;
use std::time::Duration;

use mio::{Events, Poll};

use super::chat::room_of;
use super::client::Client;
use super::frames::Random;
use super::greeting::Greeting;
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
    masking_key: [u8; 4],
    progress: &mut Progress,
) -> Result<Dialed, String> {
    let poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
    let clients = std::iter::repeat_with(Client::default).take(options.connections).collect();
    let times = Histogram::new();
    let dialed = Dialed { poll, clients, opened: 0, times, seconds: 0.0, faults: Faults::default() };
    let mut dialer = Dialer {
        dialed,
        stages: Vec::new(),
        order: VecDeque::new(),
        clock: Clock::start(),
        started: 0,
        rooms: options.rooms,
        masking_key,
    };
    dialer.stages.resize_with(options.connections, || None);
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
    stages: Vec<Option<Stage>>,
    /// Those that are opening, oldest first; and some that are no longer.
    order: VecDeque<usize>,
    clock: Clock,
    started: usize,
    /// The rooms that the connections are to be members of.
    rooms: Option<usize>,
    masking_key: [u8; 4],
}

/// How far a connection has come that is not ready for the load.
#[derive(Debug)]
enum Stage {
    Opening(Opening),
    /// It is open, and is to become a member of a room.
    Greeting(Box<Greeting>),
}

/// What follows for a connection.
enum Next {
    Wait(Stage),
    /// It is ready for the load.
    Load(Client),
}

impl Stage {
    /// When the connection began, in ns of the dialer's clock.
    fn started(&self) -> u64 {
        match self {
            Stage::Opening(opening) => opening.started,
            Stage::Greeting(greeting) => greeting.started,
        }
    }
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
                        self.stages[index] = Some(Stage::Opening(opening));
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
        let Some(stage) = self.stages[index].take() else { return };
        let started = stage.started();
        match self.advance(index, stage, buffer) {
            Ok(Next::Load(client)) => {
                self.dialed.times.add(self.clock.now() - started, 1);
                self.dialed.clients[index] = client;
                self.dialed.opened += 1;
            }
            Ok(Next::Wait(stage)) => self.stages[index] = Some(stage),
            Err(problem) => self.dialed.faults.error(problem),
        }
    }

    /// Goes on with a connection after an event.
    fn advance(&self, index: usize, stage: Stage, buffer: &mut [u8]) -> Result<Next, String> {
        let mut greeting = match stage {
            Stage::Opening(mut opening) => {
                let Some(early) = opening.go_on(buffer)? else { return Ok(Next::Wait(Stage::Opening(opening))) };
                let started = opening.started;
                let client = Client::open(opening.into_stream(), early);
                let Some(rooms) = self.rooms else { return Ok(Next::Load(client)) };
                Box::new(Greeting::new(client, room_of(index, rooms), self.masking_key, started))
            }
            Stage::Greeting(greeting) => greeting,
        };
        let is_member = greeting.go_on(buffer)?;
        Ok(if is_member { Next::Load(greeting.client) } else { Next::Wait(Stage::Greeting(greeting)) })
    }

    /// Gives up those that take too long.
    fn end_late(&mut self, now: u64, timeout: u64) {
        while let Some(&index) = self.order.front() {
            if let Some(stage) = &self.stages[index] {
                if now < stage.started() + timeout {
                    return;
                }
                self.stages[index] = None;
                self.dialed.faults.error("a connection and its handshake took longer than --connect-timeout");
            }
            self.order.pop_front();
        }
    }
}

/// Connections that are being opened at a time: fewer than a server keeps in its backlog.
const PARALLEL_MAX: usize = 64;
