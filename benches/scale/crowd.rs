//! A server with so many peers, and each of the things that happen to them, timed.

use std::time::{Duration, Instant};

use frameloop::chat::Hub;
use frameloop::protocol::{End, Limits, Message, Request};
use frameloop::server::{App, Config, ConnId, Outbox, Server};

use super::figures::Times;
use super::world::{FRAME_BYTES, Sent, SimNet, world};

/// The chat server, which sends binary messages back.
#[derive(Default)]
pub(crate) struct ChatAndEcho {
    hub: Hub,
}

impl App for ChatAndEcho {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        self.hub.on_open(id, request, out);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        match message {
            Message::Text(_) => self.hub.on_message(id, message, out),
            Message::Binary(_) => out.send(id, message),
        }
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.hub.on_close(id, end, out);
    }
}

/// A server with its peers.
pub(crate) struct Crowd {
    server: Server<ChatAndEcho, SimNet>,
    peers: usize,
    random: u64,
    longest_turn: Duration,
}

impl Crowd {
    /// A server to which so many peers will come.
    pub(crate) fn new(peers: usize) -> Crowd {
        let limits = Limits { ping_interval: PING_INTERVAL, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        let server = Server::with_net(SimNet, &config, ChatAndEcho::default());
        Crowd { server, peers, random: 1, longest_turn: Duration::ZERO }
    }

    /// Times everything once.
    pub(crate) fn times(&mut self) -> Times {
        let repeats = (SAMPLES_MIN / self.peers).clamp(1, 1000);
        let (turn_same_ns, turn_any_ns) = (self.active_turns(false), self.active_turns(true));
        let ping_ns = self.ping_all(repeats);
        self.take_longest_turn_ms();
        let broadcast_ns = self.broadcasts(repeats.max(5));
        let broadcast_turn_ms = self.take_longest_turn_ms();
        let (connect_ns, disconnect_ns) = self.visits();
        Times { turn_same_ns, turn_any_ns, ping_ns, broadcast_ns, broadcast_turn_ms, connect_ns, disconnect_ns }
    }

    /// One turn of the server, and how long it took.
    fn turn(&mut self) -> Duration {
        let start = Instant::now();
        let goes_on = self.server.turn().expect("this world has no errors");
        let elapsed = start.elapsed();
        assert!(goes_on, "nobody stops it");
        self.longest_turn = self.longest_turn.max(elapsed);
        elapsed
    }

    /// Turns until nothing is left to do but to wait, and how long they took.
    fn settle(&mut self) -> Duration {
        world(|world| world.resolution = None);
        let mut elapsed = Duration::ZERO;
        loop {
            let turn = self.turn();
            if world(|world| world.is_idle) {
                return elapsed;
            }
            elapsed += turn;
        }
    }

    /// As many as are active in a turn, no two of them the same.
    pub(crate) fn any_peers(&mut self) -> [usize; ACTIVE] {
        let mut keys = [usize::MAX; ACTIVE];
        for index in 0..ACTIVE {
            while keys[..index].contains(&keys[index]) || keys[index] == usize::MAX {
                keys[index] = self.any_peer();
            }
        }
        keys
    }

    /// A peer that is there and has sent nothing, any of them.
    fn any_peer(&mut self) -> usize {
        loop {
            let key = self.random(self.peers + VISITORS);
            if world(|world| world.is_silent(key)) {
                return key;
            }
        }
    }

    fn random(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % bound
    }

    pub(crate) fn take_longest_turn_ms(&mut self) -> f64 {
        std::mem::take(&mut self.longest_turn).as_secs_f64() * 1e3
    }

    pub(crate) fn hub_bytes(&self) -> usize {
        self.server.app().hub.held_bytes()
    }

    fn members(&self) -> usize {
        self.server.app().hub.lobby().len()
    }

    /// All peers come, evenly over one interval of pings, so that these are spread as those of a server that runs for long.
    pub(crate) fn all_come(&mut self) {
        let mut come = 0;
        while come < self.peers {
            let count = COMING_AT_ONCE.min(self.peers - come);
            world(|world| {
                world.connect(count);
                world.now += PING_INTERVAL.mul_f64(count as f64 / self.peers as f64);
            });
            self.settle();
            come += count;
        }
        assert_eq!(self.members(), self.peers, "all have joined");
    }

    /// Everybody is pinged, so many times: nanoseconds of a ping and its pong. As many pings are due at a time whatever
    /// the number of peers: as many as in the 1 ms that the system's timer resolves, with a million of them.
    pub(crate) fn ping_all(&mut self, times: usize) -> f64 {
        let pings = times * self.peers;
        let end = world(|world| {
            world.pings = 0;
            world.resolution = Some(PING_INTERVAL.mul_f64(PINGS_AT_ONCE / self.peers as f64));
            world.now + PING_INTERVAL * times as u32
        });
        let mut elapsed = Duration::ZERO;
        while world(|world| world.now < end) {
            elapsed += self.turn();
        }
        elapsed += self.settle();
        let sent = world(|world| world.pings);
        assert!(sent.abs_diff(pings) <= pings / 10 + 64, "{sent} pings for {pings}");
        assert_eq!(self.members(), self.peers, "nobody was lost");
        elapsed.as_nanos() as f64 / sent as f64
    }

    /// The median turn with a message of each of 10 peers, in nanoseconds.
    fn active_turns(&mut self, is_any: bool) -> f64 {
        let mut keys = self.any_peers();
        let mut turns = [Duration::ZERO; ACTIVE_TURNS];
        for turn in &mut turns {
            if is_any {
                keys = self.any_peers();
            }
            *turn = self.active_turn(&keys);
        }
        turns.sort_unstable();
        turns[ACTIVE_TURNS / 2].as_nanos() as f64
    }

    /// A turn in which each of these peers gets its message back.
    pub(crate) fn active_turn(&mut self, keys: &[usize]) -> Duration {
        let before = world(|world| {
            keys.iter().for_each(|&key| world.send(key, Sent::Echo));
            world.bytes_written
        });
        let elapsed = self.turn();
        let bytes = world(|world| world.bytes_written) - before;
        assert_eq!(bytes, keys.len() * FRAME_BYTES, "each has its echo");
        elapsed
    }

    /// Some broadcasts: the median, in nanoseconds for each receiver.
    pub(crate) fn broadcasts(&mut self, times: usize) -> f64 {
        let mut rounds: Vec<Duration> = (0..times).map(|_| self.broadcast()).collect();
        rounds.sort_unstable();
        rounds[times / 2].as_nanos() as f64 / (self.peers - 1) as f64
    }

    /// One says something and all others hear it.
    pub(crate) fn broadcast(&mut self) -> Duration {
        let sender = self.any_peer();
        let before = world(|world| {
            world.send(sender, Sent::Chat);
            world.bytes_written
        });
        let elapsed = self.settle();
        let bytes = world(|world| world.bytes_written) - before;
        assert_eq!(bytes, (self.peers - 1) * FRAME_BYTES, "each heard it");
        elapsed
    }

    /// Many come while all are there, and then as many of all go, a few times: nanoseconds for each of them.
    fn visits(&mut self) -> (f64, f64) {
        let (mut connects, mut disconnects) = ([Duration::ZERO; VISITS], [Duration::ZERO; VISITS]);
        for (connect, disconnect) in connects.iter_mut().zip(&mut disconnects) {
            (*connect, *disconnect) = self.visit(VISITORS);
        }
        let median = |mut rounds: [Duration; VISITS]| {
            rounds.sort_unstable();
            rounds[VISITS / 2].as_nanos() as f64 / VISITORS as f64
        };
        (median(connects), median(disconnects))
    }

    /// So many come, and then as many of all go.
    pub(crate) fn visit(&mut self, visitors: usize) -> (Duration, Duration) {
        world(|world| world.connect(visitors));
        let connects = self.settle();
        assert_eq!(self.members(), self.peers + visitors, "all have joined");
        let gone = world(|world| world.gone);
        for _ in 0..visitors {
            let key = self.any_peer();
            world(|world| world.send(key, Sent::Close));
        }
        let disconnects = self.settle();
        assert_eq!(world(|world| world.gone) - gone, visitors, "all that went are gone");
        assert_eq!(self.members(), self.peers);
        (connects, disconnects)
    }

    /// Everybody goes, in moments of many.
    pub(crate) fn all_go(&mut self) {
        let keys = 0..self.peers + VISITORS;
        let keys: Vec<usize> = world(|world| keys.filter(|&key| world.is_silent(key)).collect());
        for keys in keys.chunks(COMING_AT_ONCE) {
            world(|world| keys.iter().for_each(|&key| world.send(key, Sent::Close)));
            self.settle();
        }
        assert_eq!(self.members(), 0, "all have left");
    }
}

const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Pings that are due in one turn.
const PINGS_AT_ONCE: f64 = 1e6 / 30e3;

pub(crate) const ACTIVE: usize = 10;
const ACTIVE_TURNS: usize = 2001;
pub(crate) const VISITORS: usize = 1000;
const VISITS: usize = 7;
const COMING_AT_ONCE: usize = 1000;

/// Few peers are measured more often.
const SAMPLES_MIN: usize = 100_000;
