//! The load `churn`: connect, opening handshake, one echo, closing handshake, end of the connection; over and over.

use std::net::SocketAddr;

use frameloop::protocol::CloseCode;
use frameloop::protocol::close::{encode_close_payload, parse_close_payload};
use frameloop::protocol::frame::Opcode;
use mio::{Events, Poll};

use super::client::{Client, Out};
use super::frames::Random;
use super::measure::{Clock, Measure, Pace};
use super::opening::{Opening, Way};
use super::options::Options;
use super::progress::Progress;
use super::replies::{Piece, Sink};
use super::target::Sources;
use super::watch::{DRAIN_NS_MAX, Usage, Watch};

/// Runs the load; what was seen, and what it took.
///
/// # Errors
/// Not one connection came about, or the system does not let it wait for events.
pub(crate) fn churn(
    options: &Options,
    way: Way<'_>,
    sources: &Sources,
    masking_key: [u8; 4],
    progress: &mut Progress,
) -> Result<(Measure, Usage), String> {
    let clock = Clock::start();
    let start = options.warmup.as_nanos() as u64;
    let measure = Measure::new(start..start + options.duration.as_nanos() as u64, options.rate.is_some());
    let poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
    let mut churn = Churn {
        way,
        sources,
        poll,
        clock,
        slots: std::iter::repeat_with(|| Slot::Free).take(options.connections).collect(),
        free: (0..options.connections).rev().collect(),
        pace: options.rate.map(|rate| Pace::new(clock.now(), rate, 1)),
        begun: 0,
        message: (options.content.opcode(), options.content.bytes(options.size)),
        masking_key,
        timeout: options.connect_timeout.as_nanos() as u64,
        next_check: 0,
        measure,
        random: Random::new(),
        watch: Watch::new(options.server_pid, clock.now()),
        events: Events::with_capacity(1024),
        buffer: vec![0; 64 * 1024],
    };
    let usage = churn.run(progress)?;
    if churn.measure.received == 0 {
        return Err(no_connection(way.address, &churn.measure));
    }
    Ok((churn.measure, usage))
}

fn no_connection(address: SocketAddr, measure: &Measure) -> String {
    let reason = measure.faults.first_error.as_deref().unwrap_or("it takes longer than the whole run");
    format!("no connection to {address} came to its orderly end: {reason}")
}

struct Churn<'t> {
    way: Way<'t>,
    sources: &'t Sources,
    poll: Poll,
    clock: Clock,
    slots: Vec<Slot>,
    free: Vec<usize>,
    pace: Option<Pace>,
    /// Cycles that were begun.
    begun: u64,
    message: (Opcode, Vec<u8>),
    masking_key: [u8; 4],
    timeout: u64,
    next_check: u64,
    measure: Measure,
    random: Random,
    watch: Watch,
    events: Events,
    buffer: Vec<u8>,
}

/// One of the connections that there are at a time.
#[derive(Debug)]
enum Slot {
    Free,
    Opening { opening: Opening, due: u64 },
    Open { client: Client, stage: Stage, due: u64, begun: u64 },
}

/// What an open connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Echo,
    Close,
    End,
}

impl Churn<'_> {
    fn run(&mut self, progress: &mut Progress) -> Result<Usage, String> {
        let is_hopeless = loop {
            let now = self.clock.now();
            self.begin_cycles(now, now);
            let now = self.turn()?;
            let active = self.active();
            let is_hopeless = self.measure.received == 0 && self.measure.faults.errors >= HOPELESS;
            if is_hopeless || self.watch.is_over(now, &mut self.measure, || active, progress) {
                break is_hopeless;
            }
        };
        let usage = self.watch.end(self.clock.now(), &mut self.measure);
        let deadline = self.clock.now() + DRAIN_NS_MAX.min(self.timeout);
        // In an open loop what was due counts, however late it is begun.
        let last = self.measure.window().end - 1;
        let all = self.pace.filter(|_| !is_hopeless).map_or(self.begun, |pace| pace.due(last));
        while (self.begun < all || self.active() > 0) && self.clock.now() < deadline {
            if self.begun < all {
                self.begin_cycles(self.clock.now(), last);
            }
            self.turn()?;
        }
        if self.pace.is_some() && !is_hopeless {
            self.measure.faults.lost += self.active();
            self.measure.faults.unsent += all.saturating_sub(self.begun);
        }
        Ok(usage)
    }

    /// The connections that there are.
    fn active(&self) -> u64 {
        (self.slots.len() - self.free.len()) as u64
    }

    /// Begins cycles where a connection is free; in an open loop those that are due at a time.
    fn begin_cycles(&mut self, now: u64, due_at: u64) {
        for _ in 0..self.free.len() {
            let due = match self.pace {
                Some(pace) if pace.due(due_at) <= self.begun => return,
                Some(pace) => pace.time_of(self.begun),
                None => now,
            };
            let Some(slot) = self.free.pop() else { return };
            self.begun += 1;
            let source = self.sources.source(slot);
            match Opening::start(&self.way, self.poll.registry(), slot, source, &mut self.random, now) {
                Ok(opening) => self.slots[slot] = Slot::Opening { opening, due },
                Err(problem) => {
                    self.measure.faults.error(problem);
                    self.free.push(slot);
                    return;
                }
            }
        }
    }

    fn turn(&mut self) -> Result<u64, String> {
        let start = self.clock.now();
        let next_due = self.pace.map(|pace| pace.time_of(self.begun)).filter(|_| !self.free.is_empty());
        let timeout = self.watch.timeout(start, next_due);
        let now = self.watch.wait(&mut self.poll, &mut self.events, self.clock, start, timeout)?;
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            // An event of the connection that had the slot before does no harm: nothing is ready then.
            let slot = event.token().0;
            if let Err(problem) = self.go_on(slot) {
                self.fail(slot, problem);
            }
        }
        self.events = events;
        if now >= self.next_check {
            self.next_check = now + 100_000_000;
            self.end_late(now);
        }
        Ok(now)
    }

    fn go_on(&mut self, slot: usize) -> Result<(), String> {
        if let Slot::Opening { opening, due } = &mut self.slots[slot] {
            let Some(early) = opening.go_on(&mut self.buffer)? else { return Ok(()) };
            let (due, begun) = (*due, opening.started);
            let Slot::Opening { opening, .. } = std::mem::replace(&mut self.slots[slot], Slot::Free) else {
                return Ok(());
            };
            let mut client = Client::open(opening.into_stream(), Vec::new());
            client.out.push(self.message.0, &self.message.1, self.masking_key);
            self.slots[slot] = Slot::Open { client, stage: Stage::Echo, due, begun };
            self.receive(slot, &early)?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read(slot, &mut buffer);
        self.buffer = buffer;
        result
    }

    /// Reads until there is nothing more, or the end that was awaited.
    fn read(&mut self, slot: usize, buffer: &mut [u8]) -> Result<(), String> {
        while let Slot::Open { client, stage, due, .. } = &mut self.slots[slot] {
            client.flush()?;
            match client.read(buffer) {
                Ok(Some(len)) => self.receive(slot, &buffer[..len])?,
                Ok(None) => return Ok(()),
                Err(_) if *stage == Stage::End => {
                    self.measure.record(*due, self.clock.now(), 1);
                    self.set_free(slot);
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }

    fn receive(&mut self, slot: usize, bytes: &[u8]) -> Result<(), String> {
        let Slot::Open { client, stage, .. } = &mut self.slots[slot] else { return Ok(()) };
        let Client { replies, out, .. } = client;
        replies.feed(bytes, &mut Cycle { stage, message: &self.message, out, masking_key: self.masking_key })
    }

    fn fail(&mut self, slot: usize, problem: String) {
        self.measure.faults.error(problem);
        self.set_free(slot);
    }

    fn set_free(&mut self, slot: usize) {
        self.slots[slot] = Slot::Free;
        self.free.push(slot);
    }

    /// Gives up the cycles that take too long.
    fn end_late(&mut self, now: u64) {
        for slot in 0..self.slots.len() {
            let (begun, waits_for) = match &self.slots[slot] {
                Slot::Free => continue,
                Slot::Opening { opening, .. } => (opening.started, "handshake"),
                Slot::Open { begun, stage: Stage::Echo, .. } => (*begun, "echo"),
                Slot::Open { begun, stage: Stage::Close, .. } => (*begun, "answer to a Close"),
                Slot::Open { begun, stage: Stage::End, .. } => (*begun, "end of a connection"),
            };
            if now >= begun + self.timeout {
                self.fail(slot, format!("the {waits_for} did not come within --connect-timeout"));
            }
        }
    }
}

/// Takes what one connection hears.
struct Cycle<'c> {
    stage: &'c mut Stage,
    message: &'c (Opcode, Vec<u8>),
    out: &'c mut Out,
    masking_key: [u8; 4],
}

impl Sink for Cycle<'_> {
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
        let (opcode, payload) = self.message;
        let start = piece.offset as usize;
        let part = payload.get(start..start + piece.bytes.len());
        let is_right = piece.opcode == *opcode && part == Some(piece.bytes);
        if !is_right || *self.stage != Stage::Echo {
            return Err("another message came back than was sent".to_owned());
        }
        if piece.is_last {
            if start + piece.bytes.len() != payload.len() {
                return Err("a part of the message came back".to_owned());
            }
            *self.stage = Stage::Close;
            self.out.push(Opcode::Close, &encode_close_payload(CloseCode::NORMAL, ""), self.masking_key);
        }
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        if *self.stage == Stage::Echo {
            self.out.pong(payload, self.masking_key);
        }
    }

    fn close(&mut self, payload: &[u8]) -> Result<(), String> {
        match (*self.stage, parse_close_payload(payload)) {
            (Stage::Close, Ok(None | Some((CloseCode::NORMAL, _)))) => {
                *self.stage = Stage::End;
                Ok(())
            }
            (_, Ok(code)) => Err(match code {
                Some((code, reason)) => format!("the server closed the connection: {code} {reason}"),
                None => "the server closed the connection without a code".to_owned(),
            }),
            (_, Err(error)) => Err(format!("the server's Close frame is wrong: {error}")),
        }
    }
}

/// Errors without a single success until it gives up.
const HOPELESS: u64 = 64;
