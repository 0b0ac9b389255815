//! How much a client says.

use std::time::{Duration, Instant};

use super::Hub;
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Reply as _};
use crate::chat::wire::request::RequestId;
use crate::protocol::CloseCode;
use crate::server::bucket::{BURST, Bucket, time_of_a_drop};
use crate::server::{ConnId, Outbox};

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
enum Share {
    Fits,
    /// It is too much, and would not be after so long.
    Wait(Duration),
    /// It is far too much.
    Overflow,
}

/// The share of one more message. Those that are refused count as well: whoever does not wait fills the bucket on.
fn share(bucket: &mut Bucket, rate: u32, now: Instant) -> Share {
    let level = bucket.level_with_a_drop(rate, now);
    if level > OVERFLOW {
        return Share::Overflow;
    }
    bucket.pour_up_to(OVERFLOW, rate, now);
    if level <= BURST { Share::Fits } else { Share::Wait(level + time_of_a_drop(rate) - BURST) }
}

impl Hub {
    /// Whether a message may be carried out: else its sender is told when the next may, or closed.
    pub(super) fn has_share(&mut self, id: ConnId, request_id: Option<&RequestId>, out: &mut impl Outbox) -> bool {
        let Some(rate) = self.options.rate else { return true };
        let Some(known) = self.access.known.get_mut(id) else { return true };
        match share(&mut known.bucket, rate, out.now()) {
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
                self.send_away(id, CloseCode::RATE_LIMITED, "rate_limited", Some(OVERFLOW), out);
                false
            }
        }
    }
}

/// Who has said so much more than its rate is closed.
const OVERFLOW: Duration = BURST.saturating_mul(2);
