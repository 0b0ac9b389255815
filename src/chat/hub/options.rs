//! What can be chosen, and every bound of a hub.

use std::time::Duration;

/// How a hub works.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a session waits for its client to come back, and an empty room for anybody (default 60 s).
    pub resume_window: Duration,
    /// How long somebody whose connection is lost still counts as present (default 10 s).
    pub presence_grace: Duration,
    /// The time for `hello` of a client that offered the subprotocol (default 10 s): 4102.
    pub hello_timeout: Duration,
    /// Rooms of one session (default 100): `room_limit`.
    pub rooms_per_session: usize,
    /// Rooms in all (default 100,000): `room_limit`.
    pub rooms_max: usize,
    /// Sessions that wait for their clients (default 100,000). With one more, the one that has waited longest ends.
    pub waiting_max: usize,
    /// Bytes of what they say of themselves, and of the ids of their chats (default 128 MiB). The same.
    pub waiting_bytes_max: usize,
    /// Clients of whom is not known yet who they are, and who may say so in `hello` (default 1,000). With one more, the one that
    /// has waited longest is closed with 4102.
    pub unknown_max: usize,
    /// Bytes of a room's state as JSON (default 1 MiB): `state_too_large`.
    pub state_bytes: usize,
    /// Chats in a room's log (default 1,000). The oldest go first.
    pub history: usize,
    /// Bytes of a room's log (default 4 MiB). The oldest chats go first.
    pub history_bytes: usize,
    /// Bytes of what all rooms keep (default 1 GiB). The oldest chats go first, whatever their room; of the states, which
    /// may take half of it, none grows beyond that: `busy`.
    pub memory_limit: usize,
    /// How long messages to a session are gathered to one array (default: not at all).
    pub batch_interval: Option<Duration>,
    /// Bytes of states and members in an answer, and of what waits for the client before it (default 1 MiB). Further
    /// states follow as the client takes them; in place of further members there is their number.
    pub answer_bytes: usize,
    /// Messages a second of one connection, and twice as many at once (default: no bound): `rate_limited`, and 4100 for who
    /// goes on.
    pub rate: Option<u32>,
    /// Connections of one user (default: no bound): 429, or 4103 where the user is known only from `hello`.
    pub connections_per_user_max: Option<usize>,
    /// What `welcome` says of the server: bytes of a message.
    pub message_bytes: usize,
    /// What `welcome` says of the server: the time between two pings.
    pub ping_interval: Duration,
    /// What `welcome` says of the server: pings without an answer.
    pub ping_misses: u8,
}

impl Default for Options {
    fn default() -> Options {
        let limits = crate::protocol::Limits::default();
        Options {
            resume_window: Duration::from_secs(60),
            presence_grace: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
            rooms_per_session: 100,
            rooms_max: 100_000,
            waiting_max: 100_000,
            waiting_bytes_max: 128 * 1024 * 1024,
            unknown_max: 1000,
            state_bytes: 1024 * 1024,
            history: 1000,
            history_bytes: 4 * 1024 * 1024,
            memory_limit: 1024 * 1024 * 1024,
            batch_interval: None,
            answer_bytes: 1024 * 1024,
            rate: None,
            connections_per_user_max: None,
            message_bytes: limits.message_bytes_max,
            ping_interval: limits.ping_interval,
            ping_misses: limits.ping_misses_max,
        }
    }
}

impl Options {
    /// How long a chat is known by its id. A line may be dead since this long before its loss is noticed, and the client may
    /// then come back at the end of the resume window: what it sends again is still not said twice.
    pub fn repeat_window(&self) -> Duration {
        self.resume_window + self.ping_interval * (u32::from(self.ping_misses) + 1)
    }

    /// Bytes in memory of all states.
    pub(super) fn all_states_bytes_max(&self) -> usize {
        self.memory_limit / 2
    }

    /// Bytes of the patches that are kept in all rooms.
    pub(super) fn patch_bytes_max(&self) -> usize {
        self.memory_limit / 4
    }
}

/// Messages in one array, in either direction.
pub const BATCH_MAX: usize = 100;

/// Bytes of one array to a client, unless a single message is longer.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;

/// Nesting of a room's state.
pub const STATE_DEPTH_MAX: usize = 32;

/// Patches of a room's state that are kept for those who come back; who missed more gets the whole state.
pub const PATCHES_MAX: usize = 256;

/// Their bytes.
pub const PATCHES_BYTES_MAX: usize = 256 * 1024;

/// With so many bytes waiting for it a reader gets no signals: they would be out of date.
pub const SIGNAL_QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Members above which presence is only their number.
pub const PRESENCE_MAX: usize = 500;

/// Clients come back after a restart spread over so long.
pub const RESTART_SPREAD: Duration = Duration::from_secs(10);

/// Sessions of one user that wait for their client. With one more, the one that has waited longest ends.
pub const ABSENT_PER_USER_MAX: usize = 100;

/// Things of the agenda that one turn does.
pub const DUE_PER_TURN: usize = 256;
