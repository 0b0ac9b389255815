//! The way to the clients with sessions: at once, or gathered to an array.

use std::collections::HashMap;
use std::time::Duration;

use super::options::{BATCH_BYTES_MAX, BATCH_MAX};
use super::{Due, DueAgenda};
use crate::protocol::{Message, SharedFrame};
use crate::server::{ConnId, Outbox};

/// What is gathered for whom.
#[derive(Debug, Default)]
pub(super) struct Post {
    interval: Option<Duration>,
    batches: HashMap<ConnId, Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    frames: Vec<SharedFrame>,
    bytes: usize,
}

impl Post {
    pub(super) fn new(interval: Option<Duration>) -> Post {
        Post { interval, batches: HashMap::new() }
    }

    /// Sends a message that others get too.
    pub(super) fn send_shared(
        &mut self,
        to: ConnId,
        frame: &SharedFrame,
        agenda: &mut DueAgenda,
        out: &mut impl Outbox,
    ) {
        let Some(interval) = self.interval else { return out.send_shared(to, frame) };
        let bytes = frame.payload().len();
        if self.batches.get(&to).is_some_and(|batch| batch.bytes + bytes > BATCH_BYTES_MAX) {
            self.flush(to, out);
        }
        let batch = self.batches.entry(to).or_default();
        if batch.frames.is_empty() {
            agenda.add(out.now() + interval, Due::Batch(to));
        }
        batch.frames.push(frame.clone());
        batch.bytes += bytes;
        if batch.frames.len() == BATCH_MAX {
            self.flush(to, out);
        }
    }

    /// Sends a message that is for one alone, behind all that was gathered for it.
    pub(super) fn send(&mut self, to: ConnId, json: &str, out: &mut impl Outbox) {
        self.flush(to, out);
        out.send(to, Message::text(json));
    }

    /// Sends what was gathered.
    pub(super) fn flush(&mut self, to: ConnId, out: &mut impl Outbox) {
        if self.interval.is_none() {
            return; // nothing is ever gathered
        }
        let Some(batch) = self.batches.remove(&to) else { return };
        match &batch.frames[..] {
            [frame] => out.send_shared(to, frame),
            frames => out.send(to, Message::text(&array(frames.iter()))),
        }
    }

    /// Drops what was gathered for a client that is gone.
    pub(super) fn forget(&mut self, client: ConnId) {
        self.batches.remove(&client);
    }

    /// Whether nothing is gathered for anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// Text frames that hold an object each, as one array.
pub(super) fn array<'f>(frames: impl Iterator<Item = &'f SharedFrame>) -> String {
    let mut array = String::from("[");
    for frame in frames {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(std::str::from_utf8(frame.payload()).expect("what was made of text is text"));
    }
    array + "]"
}
