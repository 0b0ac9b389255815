//! The way to the clients with sessions: at once, or gathered to an array.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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

/// It is there as long as the agenda has an entry for it, so that there is one for each client at most.
#[derive(Debug)]
struct Batch {
    frames: Vec<SharedFrame>,
    bytes: usize,
    /// When it goes out.
    due: Instant,
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
        let due = out.now() + interval;
        let batch = self.batches.entry(to).or_insert_with(|| {
            agenda.add(due, Due::Batch(to));
            Batch { frames: Vec::new(), bytes: 0, due }
        });
        if batch.frames.is_empty() {
            batch.due = due;
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
        let Some(batch) = self.batches.get_mut(&to) else { return };
        let frames = std::mem::take(&mut batch.frames);
        batch.bytes = 0;
        match &frames[..] {
            [] => {}
            [frame] => out.send_shared(to, frame),
            frames => out.send(to, Message::text(&array(frames.iter()))),
        }
    }

    /// The time of the agenda has come. What went out before may have made place for another batch, which is due later.
    pub(super) fn flush_due(&mut self, to: ConnId, agenda: &mut DueAgenda, out: &mut impl Outbox) {
        match self.batches.get(&to) {
            Some(batch) if !batch.frames.is_empty() && batch.due > out.now() => {
                agenda.add(batch.due, Due::Batch(to));
            }
            _ => {
                self.flush(to, out);
                self.batches.remove(&to);
            }
        }
    }

    /// Drops what was gathered for a client that is gone.
    pub(super) fn forget(&mut self, client: ConnId) {
        self.batches.remove(&client);
    }

    /// Whether nothing is gathered for anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.batches.values().all(|batch| batch.frames.is_empty())
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
