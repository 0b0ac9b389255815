//! How much a client says.

use std::time::{Duration, Instant};

use super::Hub;
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Reply as _};
use crate::chat::wire::request::RequestId;
use crate::protocol::CloseCode;
use crate::server::{ConnId, Outbox};

/// How much a client has said lately: a bucket that runs empty by [`Options::rate`](super::Options::rate) messages a
/// second.
#[derive(Debug)]
pub(super) struct Bucket {
    /// When it will be empty.
    empty_at: Instant,
    is_used: bool,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
enum Share {
    Fits,
    /// It is too much, and would not be after so long.
    Wait(Duration),
    /// It is far too much.
    Overflow,
}

impl Bucket {
    pub(super) fn empty(now: Instant) -> Bucket {
        Bucket { empty_at: now, is_used: false }
    }

    /// When it will be empty, if anything was ever poured in.
    pub(super) fn until(&self) -> Option<Instant> {
        self.is_used.then_some(self.empty_at)
    }

    /// Goes on where another one was.
    pub(super) fn go_on(&mut self, empty_at: Instant) {
        self.empty_at = self.empty_at.max(empty_at);
    }

    /// Messages that are refused count as well: whoever does not wait fills the bucket on.
    fn pour(&mut self, rate: u32, now: Instant) -> Share {
        let drop = Duration::from_secs(1) / rate;
        let filled = self.empty_at.saturating_duration_since(now) + drop;
        if filled > 2 * BURST {
            return Share::Overflow;
        }
        (self.empty_at, self.is_used) = (now + filled, true);
        if filled <= BURST { Share::Fits } else { Share::Wait(filled + drop - BURST) }
    }
}

impl Hub {
    /// Whether a message may be carried out: else its sender is told when the next may, or closed.
    pub(super) fn has_share(&mut self, id: ConnId, request_id: Option<&RequestId>, out: &mut impl Outbox) -> bool {
        let Some(rate) = self.options.rate else { return true };
        let Some(known) = self.access.known.get_mut(id) else { return true };
        match known.bucket.pour(rate, out.now()) {
            Share::Fits => true,
            Share::Wait(wait) => {
                let message = format!("the rate is {rate} a second");
                let error = reply::Error::new(ErrorCode::RateLimited, &message);
                let retry_after_ms = Some(wait.as_millis() as u64 + 1);
                let json = reply::Error { id: request_id, retry_after_ms, ..error }.to_json();
                self.post.send(id, &json, out);
                false
            }
            Share::Overflow => {
                self.send_away(id, CloseCode::RATE_LIMITED, "rate_limited", Some(2 * BURST), out);
                false
            }
        }
    }
}

/// What a client may say at once: as much as in so long.
const BURST: Duration = Duration::from_secs(2);
