//! What is measured with one number of peers.

use super::crowd::{Crowd, VISITORS};
use super::memory::{Held, resident_bytes};
use super::world::create;

/// Measures all of it.
pub(crate) fn measure(peers: usize) -> Figures {
    create(peers + VISITORS);
    let mut figures = Figures { peers, ..Figures::default() };
    let per_peer = |bytes: i64| bytes as f64 / peers as f64;

    let mut held = Held::default();
    let mut crowd = held.count(|| Crowd::new(peers));
    figures.empty_bytes = std::mem::take(&mut held).bytes;
    let resident_before = resident_bytes();
    held.count(|| crowd.all_come());
    figures.idle_bytes = per_peer(held.bytes);
    figures.peak_bytes = per_peer(held.peak);
    figures.hub_bytes = per_peer(crowd.hub_bytes() as i64);
    figures.resident_bytes = per_peer(resident_bytes() - resident_before);
    figures.coming_turn_ms = crowd.take_longest_turn_ms();

    // Not timed; and everything has then been touched.
    held.count(|| crowd.ping_all(1));
    let before = held.bytes;
    held.count(|| crowd.broadcasts(1));
    figures.broadcast_bytes = per_peer(held.peak - before);
    figures.used_bytes = per_peer(held.bytes);

    held.count(|| {
        // The best of a few rounds: what else the machine does only ever adds to it.
        figures.times = (1..ROUNDS).fold(crowd.times(), |best, _| best.better(crowd.times()));
        crowd.take_longest_turn_ms();
        crowd.all_go();
        figures.going_turn_ms = crowd.take_longest_turn_ms();
    });
    figures.left_bytes = held.bytes;
    figures
}

/// What was measured with one number of peers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Figures {
    pub(crate) peers: usize,
    /// Bytes per peer while all are idle: that the server has asked for, the part of them that is the hub's (about), and
    /// what the process grew by.
    pub(crate) idle_bytes: f64,
    pub(crate) hub_bytes: f64,
    pub(crate) resident_bytes: f64,
    /// The most that the server held per peer while they came.
    pub(crate) peak_bytes: f64,
    /// Idle again, after each had pings and a broadcast.
    pub(crate) used_bytes: f64,
    /// The most that the server held more during a broadcast, per peer.
    pub(crate) broadcast_bytes: f64,
    /// Bytes that it holds before anybody has come, and how many more after everybody has gone.
    pub(crate) empty_bytes: i64,
    pub(crate) left_bytes: i64,

    pub(crate) times: Times,
    /// Milliseconds of the longest turn while all came, and while all went. Where tables grow, the counting allocator copies
    /// what another may remap.
    pub(crate) coming_turn_ms: f64,
    pub(crate) going_turn_ms: f64,
}

/// What things take while all are there.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times {
    /// Nanoseconds: a turn with messages of the same 10 peers, and of any 10.
    pub(crate) turn_same_ns: f64,
    pub(crate) turn_any_ns: f64,
    /// A ping and its pong.
    pub(crate) ping_ns: f64,
    /// A broadcast, for each receiver, and milliseconds of its longest turn.
    pub(crate) broadcast_ns: f64,
    pub(crate) broadcast_turn_ms: f64,
    pub(crate) connect_ns: f64,
    pub(crate) disconnect_ns: f64,
}

impl Times {
    /// The better of both, of each.
    fn better(self, other: Times) -> Times {
        Times {
            turn_same_ns: self.turn_same_ns.min(other.turn_same_ns),
            turn_any_ns: self.turn_any_ns.min(other.turn_any_ns),
            ping_ns: self.ping_ns.min(other.ping_ns),
            broadcast_ns: self.broadcast_ns.min(other.broadcast_ns),
            broadcast_turn_ms: self.broadcast_turn_ms.min(other.broadcast_turn_ms),
            connect_ns: self.connect_ns.min(other.connect_ns),
            disconnect_ns: self.disconnect_ns.min(other.disconnect_ns),
        }
    }
}

const ROUNDS: usize = 5;
