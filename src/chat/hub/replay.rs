//! What a client missed, sent as it takes it: the log of each room that it came back to, and the states.
//!
//! Until all of a room is on its way the client gets nothing of it that is live, so that everything comes in order.

use std::collections::VecDeque;
use std::rc::Rc;

use super::options::{BATCH_BYTES_MAX, BATCH_MAX};
use super::post::array;
use super::{Client, Hub};
use crate::chat::room::Room;
use crate::chat::session::SessionId;
use crate::chat::wire::reply::{self, GapReason, Reply as _};
use crate::chat::wire::request::{JoinOptions, Since};
use crate::protocol::Message;
use crate::server::{ConnId, DRAINED_BYTES_MAX, Outbox};

/// The side of a session that is only there while it has a connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: SessionId,
    replays: VecDeque<Replay>,
}

/// What a client is still to get of one room, in this order.
#[derive(Debug)]
pub(super) struct Replay {
    room: Rc<str>,
    state: Option<StateReplay>,
    gap: Option<GapReason>,
    /// The chats from this one on.
    next: u64,
}

/// What it is to get of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateReplay {
    /// All of it.
    Whole,
    /// The patches after this version.
    Since(u64),
}

impl Link {
    pub(super) fn new(session: SessionId) -> Link {
        Link { session, replays: VecDeque::new() }
    }

    /// Nothing more of this room. Returns what was still to come.
    pub(super) fn forget(&mut self, room: &str) -> Option<Replay> {
        let position = self.replays.iter().position(|replay| &*replay.room == room)?;
        self.replays.remove(position)
    }

    pub(super) fn push(&mut self, replay: Replay) {
        self.replays.push_back(replay);
    }
}

impl Replay {
    /// What a client that joins a room has missed, as it says.
    pub(super) fn of(room: &Room, options: &JoinOptions<'_>, is_state_told: bool) -> Replay {
        let (first, end) = (room.log.first(), room.log.next());
        let (gap, next) = match (&options.since, options.last) {
            (Some(since), _) if since.epoch != room.epoch.to_string() || since.seq >= end => {
                (Some(GapReason::Reset), first)
            }
            (Some(since), _) if since.seq + 1 < first => (Some(GapReason::Expired(since.seq + 1, first - 1)), first),
            (Some(since), _) => (None, since.seq + 1),
            (None, Some(last)) => (None, end.saturating_sub(last).max(first)),
            (None, None) => (None, end),
        };
        let state = (options.state && !is_state_told).then(|| state_replay(room, options.since.as_ref()));
        Replay { room: room.name.clone(), state, gap, next }
    }

    /// The same for one who joins anew, and does not say from where, while an earlier replay is not through: that one
    /// goes on, for what is left of it was neither heard nor named by a gap.
    pub(super) fn going_on(self, earlier: Option<Replay>, options: &JoinOptions<'_>) -> Replay {
        match earlier.filter(|_| options.since.is_none()) {
            Some(Replay { gap, next, .. }) => Replay { gap, next, ..self },
            None => self,
        }
    }

    /// Whether all that it missed will come.
    pub(super) fn is_complete(&self) -> bool {
        self.gap.is_none()
    }

    /// Whether there is anything to send.
    pub(super) fn is_needed(&self, room: &Room) -> bool {
        self.gap.is_some() || self.state.is_some() || self.next < room.log.next()
    }

    /// Whether the state comes behind the answer, and not in it.
    pub(super) fn has_state(&self) -> bool {
        self.state.is_some()
    }
}

fn state_replay(room: &Room, since: Option<&Since<'_>>) -> StateReplay {
    let known = since.filter(|since| since.epoch == room.epoch.to_string()).and_then(|since| since.version);
    match known {
        Some(version) if version < room.patches.next() && version + 1 >= room.patches.first() => {
            StateReplay::Since(version)
        }
        _ => StateReplay::Whole,
    }
}

impl Hub {
    /// Sends on what a client has missed, until enough waits for it.
    pub(super) fn replay(&mut self, id: ConnId, out: &mut impl Outbox) {
        loop {
            let Some(Client::Session(link)) = self.clients.get_mut(id) else { return };
            let Some(replay) = link.replays.front_mut() else { return };
            if out.queued_bytes(id) > DRAINED_BYTES_MAX {
                return out.notify_drained(id);
            }
            let Some(room) = self.rooms.get_mut(&replay.room) else {
                link.replays.pop_front();
                continue;
            };
            self.post.flush(id, out);
            if !step(replay, room, id, out) {
                link.replays.pop_front();
            }
        }
    }
}

/// Sends the next piece of a room. Returns whether there may be more.
fn step(replay: &mut Replay, room: &mut Room, id: ConnId, out: &mut impl Outbox) -> bool {
    if let Some(state) = replay.state.take() {
        send_state(state, room, id, out);
        if let Some(member) = room.members.get_mut(id) {
            member.wants_state = true;
        }
        return true;
    }
    if replay.next < room.log.first() && replay.gap.is_none() {
        replay.gap = Some(GapReason::Overrun(replay.next, room.log.first() - 1));
        replay.next = room.log.first();
    }
    if let Some(reason) = replay.gap.take() {
        let json = reply::Gap { room: &room.name, epoch: &room.epoch.to_string(), reason }.to_json();
        out.send(id, Message::text(&json));
        return true;
    }
    let (mut count, mut bytes) = (0, 0);
    for frame in room.log.since(replay.next).take(BATCH_MAX) {
        bytes += frame.payload().len();
        if count > 0 && bytes > BATCH_BYTES_MAX {
            break;
        }
        count += 1;
    }
    if count == 0 {
        if let Some(member) = room.members.get_mut(id) {
            member.is_live = true;
        }
        return false;
    }
    out.send(id, Message::text(&array(room.log.since(replay.next).take(count))));
    replay.next += count as u64;
    true
}

fn send_state(state: StateReplay, room: &Room, id: ConnId, out: &mut impl Outbox) {
    match state {
        StateReplay::Since(version) if version + 1 >= room.patches.first() => {
            for patch in room.patches.since(version + 1) {
                out.send_shared(id, patch);
            }
        }
        // Whoever missed more than was kept.
        _ => {
            let state = room.state.to_json();
            let json = reply::State { room: &room.name, version: room.state.version(), state: &state }.to_json();
            out.send(id, Message::text(&json));
        }
    }
}
