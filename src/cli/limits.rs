//! The flags of both servers that set how long they wait, and how much they hold.

use frameloop::chat::hub::options::{Options as HubOptions, PATCHES_BYTES_MAX};
use frameloop::protocol::{Compression, Limits};
use frameloop::server::DRAINED_BYTES_MAX;

use super::values::{parse_count, parse_misses, parse_size, parse_time};

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Flags {
    limits: Limits,
    max_message: Option<usize>,
    max_queue: Option<usize>,
    pub(super) max_connections: Option<usize>,
    compress: Option<String>,
    compress_contexts: Option<usize>,
}

/// All of them.
pub(super) const FLAGS: [&str; 10] = [
    "ping-interval",
    "ping-misses",
    "handshake-timeout",
    "close-timeout",
    "slow-timeout",
    "max-message",
    "max-queue",
    "max-connections",
    "compress",
    "compress-contexts",
];

impl Flags {
    /// Sets what a flag names. `None` if it is none of these.
    pub(super) fn set(&mut self, flag: &str, value: &str) -> Option<Result<(), String>> {
        let limits = &mut self.limits;
        Some(match flag {
            "ping-interval" => parse_time(value).map(|time| limits.ping_interval = time),
            "ping-misses" => parse_misses(value).map(|misses| limits.ping_misses_max = misses),
            "handshake-timeout" => parse_time(value).map(|time| limits.handshake_timeout = time),
            "close-timeout" => parse_time(value).map(|time| limits.close_timeout = time),
            "slow-timeout" => parse_time(value).map(|time| limits.slow_timeout = time),
            "max-message" => parse_size(value).map(|bytes| self.max_message = Some(bytes)),
            "max-queue" => parse_size(value).map(|bytes| self.max_queue = Some(bytes)),
            "compress" if !["off", "shared", "takeover"].contains(&value) => {
                Err(format!("'{value}' is no way to compress; give off, shared or takeover"))
            }
            "compress" if value != "off" && !Compression::IS_THERE => {
                Err("this build cannot compress; build it with `cargo build --release --features deflate`".to_owned())
            }
            "compress" => {
                self.compress = Some(value.to_owned());
                Ok(())
            }
            "compress-contexts" => parse_count(value, 1).map(|count| self.compress_contexts = Some(count)),
            "max-connections" => parse_count(value, 1).map(|count| self.max_connections = Some(count)),
            _ => return None,
        })
    }

    /// Whether messages are compressed.
    pub(super) fn compression(&self) -> Result<Compression, String> {
        let contexts_max = self.compress_contexts.unwrap_or(CONTEXTS_MAX);
        match self.compress.as_deref() {
            Some("takeover") => Ok(Compression::Takeover { contexts_max }),
            _ if self.compress_contexts.is_some() => {
                Err("--compress-contexts: goes with --compress takeover".to_owned())
            }
            Some("shared") => Ok(Compression::Shared),
            _ => Ok(Compression::Off),
        }
    }

    /// The limits of one connection; with sessions those of `hub` must go with them.
    pub(super) fn finish(self, hub: Option<&HubOptions>) -> Result<Limits, String> {
        let mut limits = self.limits;
        let default = if hub.is_some() { limits.message_bytes_max } else { ECHO_MESSAGE_BYTES_MAX };
        limits.message_bytes_max = self.max_message.unwrap_or(default);
        limits.queue_bytes_max = bound_queue(self.max_queue, &limits, hub)?;
        Ok(limits)
    }
}

/// The bytes that may wait for a peer. Whatever it is sent must fit, or it could never get it: a message, or with sessions a
/// state, and what the server adds to it and lets wait before it.
fn bound_queue(max_queue: Option<usize>, limits: &Limits, hub: Option<&HubOptions>) -> Result<usize, String> {
    let message_bytes = limits.message_bytes_max;
    let (longest, beside) = match hub {
        Some(hub) => (message_bytes.max(hub.state_bytes).max(PATCHES_BYTES_MAX), DRAINED_BYTES_MAX + ADDED_BYTES_MAX),
        None => (message_bytes, FRAME_HEADER_BYTES_MAX),
    };
    let least = longest.saturating_add(beside);
    let queue = max_queue.unwrap_or_else(|| limits.queue_bytes_max.max(longest.saturating_mul(2)));
    if queue >= least {
        return Ok(queue);
    }
    let (state, lower) = match hub {
        Some(hub) => (format!(" or state of --state-bytes ({} bytes)", hub.state_bytes), " or lower these"),
        None => (String::new(), " or lower --max-message"),
    };
    Err(format!(
        "--max-queue: {queue} bytes cannot hold one message of --max-message ({message_bytes} bytes){state} \
         and what goes with it; raise it to {least}{lower}"
    ))
}

/// The longest header of a frame of the server (RFC 6455 §5.2).
const FRAME_HEADER_BYTES_MAX: usize = 10;

/// More than the server adds to what a client said: its own members, the name of a room, with all of it escaped.
const ADDED_BYTES_MAX: usize = 2048;

/// Connections with contexts of their own: about 100 MB.
const CONTEXTS_MAX: usize = 512;

/// What echo takes by default: the conformance suite sends 16 MiB.
const ECHO_MESSAGE_BYTES_MAX: usize = 64 << 20;
