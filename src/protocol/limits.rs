//! §10.4: implementations must bound what a peer can make them hold.
//!
//! Every bound on one connection stands here, with its unit in its name and what happens when it is reached.
//! Bounds on the whole server (connections, work per turn) belong to [`crate::server::Config`].

use std::time::{Duration, Instant};

/// The bounds of one connection. One value is shared by all connections of a server. Times of more than a year count
/// as a year, and those of less than a millisecond as a millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, all its fragments together (default 1 MiB).
    ///
    /// Checked against the length that a frame header announces, before a byte of it is stored; the connection
    /// fails with 1009. Large enough for any chat, small enough that what 1,000 hostile peers send holds 1 GiB at most.
    pub message_bytes_max: usize,
    /// Frames of one message (default 1,048,576). A peer may send empty fragments without end: they cost no
    /// memory, but work. The connection fails with 1009.
    pub message_frames_max: u32,
    /// Encoded bytes that wait for the socket of one peer (default 4 MiB); frames that are shared with others count in
    /// full for each. Bookkeeping adds at most half as much again. A frame that would exceed it ends the
    /// connection with 1013; what was queued is dropped, so that the Close frame can still get through.
    pub queue_bytes_max: usize,
    /// Time from the start of the connection to the complete request head (default 10 s): 408, then the end.
    /// It is a total, not an idle time, so that a byte a second does not help.
    pub handshake_timeout: Duration,
    /// Time between two pings (default 30 s), below the idle time of common proxies (60 s). A server may let the first
    /// one come sooner ([`Connection::hasten_ping`](super::Connection::hasten_ping)).
    pub ping_interval: Duration,
    /// Pings without any received byte after which the next one ends the connection instead (default 3).
    pub ping_misses_max: u8,
    /// Time without progress after which a peer that does not take what is queued for it is closed (default 30 s).
    pub slow_timeout: Duration,
    /// Time from the first step of the closing handshake to the end of the transport (default 5 s).
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes_max: 1024 * 1024,
            message_frames_max: 1024 * 1024,
            queue_bytes_max: 4 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            ping_misses_max: 3,
            slow_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// The end of a wait. One of more than a year counts as a year, so that no sum can overflow; and none is over at once,
/// so that whoever does what is due always comes to an end.
pub(super) fn deadline(now: Instant, wait: Duration) -> Instant {
    now + wait.clamp(WAIT_MIN, WAIT_MAX)
}

impl Limits {
    /// Bytes of one message as a client compresses it (RFC 7692): more than
    /// [`message_bytes_max`](Limits::message_bytes_max), since what cannot be compressed gets longer by an eighth at the
    /// worst. What is decompressed has no more than `message_bytes_max`.
    pub fn compressed_bytes_max(&self) -> usize {
        let bytes = self.message_bytes_max;
        bytes.saturating_add(bytes / 8).saturating_add(64)
    }

    /// Above so many queued bytes of its own a peer is not read: what it sends would only make more.
    pub fn queue_bytes_paused(&self) -> usize {
        (self.queue_bytes_max / 4).min(QUEUE_BYTES_PAUSED_MAX)
    }
}

/// Bytes of a request head, from the method to the empty line; above it the answer is 431.
/// 16 KiB is what most HTTP servers allow, and room for a few large cookies.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header fields of a request; above it the answer is 431. Browsers send about 15.
pub const HEADER_COUNT_MAX: usize = 100;

/// §5.5: payload bytes of a control frame.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// Bytes of pings and pongs that wait in the send queue. Above it, and whenever the socket takes no more, the
/// newest pong replaces those before it (§5.5.3).
pub const CONTROL_QUEUE_BYTES_MAX: usize = 16 * 1024;

/// Bytes that the buffers of all connections of one [`Commons`](super::Commons) together may be ahead of what was
/// received, for long messages that are read straight into them: 16 MiB. Beyond it buffers grow with what is received.
pub const ADVANCE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// From so many bytes on it pays to read a payload to where it stays: a system call costs as much as to copy 16 KiB.
pub const ROOM_BYTES_MIN: usize = 16 * 1024;

/// Bytes of a message of a peer of whom the application does not know yet who it is
/// ([`Connection::restrict`](super::Connection::restrict)): 64 KiB, unless
/// [`message_bytes_max`](Limits::message_bytes_max) is less.
pub const RESTRICTED_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the buffers of long messages that are kept for the next ones: 8 MiB.
pub const SPARE_PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most that [`Limits::queue_bytes_paused`] can be: 1 MiB.
const QUEUE_BYTES_PAUSED_MAX: usize = 1024 * 1024;

const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
