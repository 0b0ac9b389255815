//! What must hold after each turn, whatever the network did.

use std::time::{Duration, Instant};

use frameloop::protocol::limits::{CONTROL_QUEUE_BYTES_MAX, HEAD_BYTES_MAX};
use frameloop::protocol::{CloseCode, End, Limits};

use super::app::{Ended, Expected, Record, Seen};
use super::client::Client;
use super::socket::Socket;
use super::world::World;

/// The bounds of a run.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    /// The end of the last hours in which the server stood still.
    pub(crate) woke_at: Option<Instant>,
    /// When the server was asked to stop.
    pub(crate) stopped_at: Option<Instant>,
    /// It was asked twice.
    pub(crate) is_abandoned: bool,
}

impl Bounds {
    /// What the server may hold for so many peers. Each of them may have a queue with its bookkeeping, a half message
    /// in a buffer that grows by doubling, and a request head. `read_bytes` is the sum of their last reads: of these a
    /// rest may wait to be processed, up to a bound for all of them together.
    pub(crate) fn bytes_max(&self, peers: usize, read_bytes: usize) -> i64 {
        let queue = self.limits.queue_bytes_max * 3 / 2 + 2 * CONTROL_QUEUE_BYTES_MAX;
        let peer = queue + 3 * self.limits.message_bytes_max + 3 * HEAD_BYTES_MAX + PEER_BYTES;
        let unread = read_bytes.min(UNREAD_BYTES_MAX + READ_BYTES + peers * SMALL_READ_BYTES);
        (SERVER_BYTES + peers * peer + unread) as i64
    }

    /// What it may hold for so many peers of which nobody has said or taken less than all, and for the keys of those
    /// that there were at one time.
    pub(crate) fn idle_bytes_max(&self, keys: usize) -> i64 {
        (SERVER_BYTES + keys * PEER_BYTES) as i64
    }

    fn is_stopping(&self) -> bool {
        self.stopped_at.is_some()
    }
}

/// Looks at each peer after a turn.
pub(crate) fn check_peers(world: &mut World, record: &mut Record, bounds: &Bounds) {
    let is_cut = record.deliveries >= DELIVERIES_PER_TURN;
    let peers = world.live.len();
    let now = world.turn_now;
    for position in 0..peers {
        let index = world.live[position];
        let (socket, seen) = (&mut world.sockets[index], &mut record.seen[index]);
        if socket.key.is_some() {
            check_share(socket, is_cut, peers, now);
            check_queue(socket, seen, bounds);
            check_deadlines(socket, seen, now, bounds);
            check_own_end(socket, seen);
        }
        (socket.was_write_blocked, socket.was_stuck_since) = (socket.is_write_blocked, socket.stuck_since);
        socket.read_bytes_most = socket.last_read_bytes;
        (socket.taken_in_turn, socket.first_write, seen.pushed_in_turn) = (0, None, 0);
    }
    record.ended.clear();
    record.deliveries = 0;
}

/// No peer starves. One that was reported ready is read in that turn, or in the next if it was paused before; longer
/// only while it has more frames than its share, or while the turns are cut since others have more messages than
/// theirs. Then it comes nearer with each of these turns, so it waits for no more of them than there are peers.
fn check_share(socket: &mut Socket, is_cut: bool, peers: usize, now: Instant) {
    // A peer that takes nothing itself may be left unread. One that was read in this turn had its share, or was looked at
    // before it was judged.
    let is_served = socket.last_read_at == Some(now);
    if !socket.owes_read || is_served || socket.is_write_blocked || socket.was_write_blocked {
        (socket.turns_unread, socket.turns_cut) = (0, 0);
        return;
    }
    if is_cut {
        socket.turns_cut += 1;
    } else {
        socket.turns_unread += 1;
    }
    let turns_max = 1 + socket.last_read_bytes / (EVENTS_PER_PEER_AND_TURN * FRAME_BYTES_MIN);
    assert!(socket.turns_unread <= turns_max, "a peer starves: {socket:?}");
    assert!(socket.turns_cut <= peers + turns_max, "a peer starves behind others: {socket:?}");
}

/// What was sent to a peer in a turn leaves at its end if the socket takes it. What does not is bounded.
fn check_queue(socket: &mut Socket, seen: &mut Seen, bounds: &Bounds) {
    if seen.end.is_some() || seen.closed_at.is_some() || bounds.is_stopping() {
        return;
    }
    if socket.is_write_blocked || socket.was_write_blocked {
        seen.pushed += seen.pushed_in_turn;
        seen.queued = (seen.queued + seen.pushed_in_turn).saturating_sub(socket.taken_in_turn);
        assert!(seen.queued <= bounds.limits.queue_bytes_max, "{} bytes wait for one peer", seen.queued);
    } else {
        assert!(socket.taken_in_turn >= seen.pushed_in_turn, "what was sent did not leave: {socket:?}");
    }
    if !socket.is_write_blocked {
        (seen.pushed, seen.queued) = (0, 0);
    }
}

/// Nobody stays longer than the time that its state gives it. What is due at the time of a turn happens in it.
fn check_deadlines(socket: &mut Socket, seen: &Seen, now: Instant, bounds: &Bounds) {
    let limits = &bounds.limits;
    let is_over = |since: Option<Instant>, time: Duration| since.is_some_and(|since| since + time <= now);
    let ended = seen.end.map(|ended| ended.at);
    let closing = seen.closed_at.or(ended);
    assert!(!is_over(closing, limits.close_timeout), "it should be gone: {socket:?} {ended:?}");
    if seen.id.is_none() {
        // The first turn after its time tells it; then it has the close timeout to take the answer.
        if is_over(socket.accepted_at, limits.handshake_timeout) {
            let late_since = *socket.late_since.get_or_insert(now);
            assert!(!is_over(Some(late_since), limits.close_timeout), "a handshake without end: {socket:?}");
        }
    }
    if seen.id.is_some() && closing.is_none() && !bounds.is_stopping() {
        assert!(!is_over(socket.stuck_since, limits.slow_timeout), "a slow reader without end: {socket:?}");
    }
    assert!(!is_over(bounds.stopped_at, limits.close_timeout), "it should be gone since the server stops: {socket:?}");
}

/// §7.1.1: a connection that is over, and for which nothing waits, is ended by the server at once: it waits for the
/// client's end with its own side closed.
fn check_own_end(socket: &Socket, seen: &Seen) {
    if seen.end.is_some() && !socket.is_write_blocked && !socket.is_reset {
        assert!(socket.server_eof, "the server does not end its side: {:?}, {socket:?}", seen.end);
    }
}

/// A connection ended in this turn: there was a reason.
pub(crate) fn judge(client: &Client, seen: &Seen, socket: &Socket, bounds: &Bounds) {
    let Some(Ended { end, at, .. }) = seen.end else { return };
    let limits = &bounds.limits;
    let silent_for = |since: Option<Instant>| since.map_or(Duration::MAX, |since| at.duration_since(since));
    let closing_for = seen.closed_at.or(bounds.stopped_at).map(|since| at.duration_since(since));
    let is_right = match end {
        End::Refused(_) | End::Answered => false,
        End::ClosedByPeer(code) => client.sent_close && code.is_some(),
        End::ClosedByUs(CloseCode::GOING_AWAY) => bounds.is_stopping(),
        End::ClosedByUs(code) => client.guilt == Some(1003) && code == CloseCode::UNSUPPORTED_DATA,
        End::Failed(error) => client.guilt == Some(error.close_code().number()),
        End::Lost => client.has_left && socket.client_eof,
        End::Reset => socket.is_reset || bounds.is_abandoned,
        // Three pings, an interval after each, and not a byte since; nor is there one that only had to be read. After
        // hours of its own silence the server asks once more.
        End::HeartbeatTimeout => {
            let is_unread = !socket.inbound.is_empty() && !socket.was_write_blocked;
            silent_for(socket.last_read_at) >= limits.ping_interval * u32::from(limits.ping_misses_max)
                && (!is_unread || silent_for(socket.last_arrival_at) < STALL_MAX)
                && silent_for(bounds.woke_at) >= limits.ping_interval
        }
        // It was tried once more in this very turn.
        End::SlowReader(_) => {
            silent_for(socket.was_stuck_since) >= limits.slow_timeout && socket.first_write == Some(0)
        }
        // All that was sent since all was taken, the pongs, and the frame that did not fit.
        End::QueueFull(_) => {
            let pongs = (client.pings_sent as usize * 127).min(CONTROL_QUEUE_BYTES_MAX + 2 * 127);
            seen.pushed + seen.pushed_in_turn + pongs + 1024 > limits.queue_bytes_max
        }
    };
    assert!(
        is_right,
        "client {} was ended for nothing: {end:?}, closing for {closing_for:?}, {socket:?}",
        client.index
    );
}

/// At the end of all: each client had what it had to have.
pub(crate) fn check_client(client: &Client, seen: &Seen, socket: &Socket, bounds: &Bounds) {
    let index = client.index;
    let is_broken = client.has_left || socket.is_reset;
    let Some(Ended { end, at, turn }) = seen.end else {
        assert!(seen.id.is_none(), "client {index}: an end is missing");
        check_refusal(client, socket, bounds);
        return;
    };
    assert!(socket.is_dropped(), "client {index}: a transport leaks");
    // The server leaves nobody before the time for closing is over.
    let closed_at = seen.closed_at.unwrap_or(at);
    let closed_at = bounds.stopped_at.map_or(closed_at, |stopped_at| closed_at.min(stopped_at));
    let waited = socket.dropped_at.map_or(Duration::ZERO, |dropped| dropped.duration_since(closed_at));
    let is_waited_for = waited >= bounds.limits.close_timeout || bounds.is_abandoned;
    if let Some(code) = client.close_code {
        let expected = end.close_code().map_or(1005, CloseCode::number);
        assert_eq!(code, expected, "client {index}: {end:?}");
        // Only a queue that is given up is lost, and the receiver is told. All else comes before the Close frame: whatever
        // was sent before ours, for nothing is sent behind it, and before the server knew of the client's.
        let is_due = |message: &&Expected| match end {
            End::ClosedByUs(_) => true,
            End::ClosedByPeer(_) => message.turn < turn || !message.may_be_late,
            _ => false,
        };
        let missing = seen.expected.iter().filter(is_due).count();
        assert_eq!(missing, 0, "client {index}: messages were lost silently, {end:?}");
    } else {
        assert!(is_broken || is_waited_for, "client {index} was not told of {end:?} after {waited:?}: {socket:?}");
    }
    let is_ended = is_broken || socket.client_eof || is_waited_for;
    assert!(is_ended, "client {index} was left after {waited:?}: {end:?}, {socket:?}");
}

/// A connection that was never open: the answer is the right one, if it came through.
fn check_refusal(client: &Client, socket: &Socket, bounds: &Bounds) {
    let is_right = match client.status {
        None | Some(503) => true,
        // Its time was over before the request was there, or it was cut for others before it was.
        Some(408) => socket.head_arrived_at.is_none_or(|at| {
            let time = bounds.limits.handshake_timeout.saturating_sub(STALL_MAX);
            let is_late = socket.accepted_at.is_some_and(|accepted| at > accepted + time);
            is_late || socket.dropped_at.is_some_and(|dropped| at + MOMENT > dropped)
        }),
        Some(status) => client.request == Some(false) && (400..500).contains(&status),
    };
    let Client { index, status, request, .. } = client;
    assert!(is_right, "client {index}: {status:?} for a request that is {request:?}: {socket:?}");
}

/// After each quiet time: whoever is still connected has everything.
pub(crate) fn check_open_client(client: &Client, seen: &Seen) {
    let index = client.index;
    if seen.id.is_none() || seen.end.is_some() || seen.closed_at.is_some() || client.has_left || !client.has_said_all()
    {
        return;
    }
    assert!(client.is_open, "client {index} does not know that it is open");
    assert!(seen.expected.is_empty(), "client {index} lost {} messages silently", seen.expected.len());
    assert!(seen.said.is_empty(), "{} messages of client {index} were lost silently", seen.said.len());
    assert_eq!(client.last_pong, client.pings_sent, "§5.5.3: client {index}: the newest ping was not answered");
}

/// The budget of a turn: what the server's own is.
const DELIVERIES_PER_TURN: usize = 16 * 1024;
const EVENTS_PER_PEER_AND_TURN: usize = 1024;

/// A client's shortest frame.
const FRAME_BYTES_MIN: usize = 6;

/// What arrived so shortly before a deadline may not have been reported.
const STALL_MAX: Duration = Duration::from_secs(1);

/// What happens within one turn.
const MOMENT: Duration = Duration::from_millis(10);

/// The read buffer, and tables at their least size.
const SERVER_BYTES: usize = 512 * 1024 + 16 * 1024;

/// A key's place in all tables, which grow by doubling, and the peer behind it.
const PEER_BYTES: usize = 3 * 1024;

/// The server's own bound on what was read and not processed, of all peers; the read that exceeds it; and the size of
/// those that follow.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const READ_BYTES: usize = 512 * 1024;
const SMALL_READ_BYTES: usize = 4 * 1024;
