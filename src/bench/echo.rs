//! The load `echo`: each connection keeps messages going, and each must come back as it went, in its order.
//!
//! Each message has its place in the block of them all as a mark, so that one that is lost, repeated or out of order shows.
//! A refill of several messages is one write. A message may be of several frames (§5.4), and be compressed (RFC 7692).

use std::collections::VecDeque;

use frameloop::protocol::compression::MessageCodec;

use super::block::{Block, MARK_BYTES, mark};
use super::client::{Client, Out};
use super::compressed::Compressed;
use super::drive::{Load, Run};
use super::measure::Pace;
use super::options::Options;
use super::replies::{Piece, Sink};

#[derive(Debug)]
pub(crate) struct Echo {
    block: Block,
    /// What is known of compressed replies; `None` unless messages are compressed.
    compressed: Option<Compressed>,
    /// Messages that came back, and the bytes of their payloads on the wire.
    replies: u64,
    reply_bytes: u64,
    lanes: Vec<Lane>,
    in_flight: u64,
    pace: Option<Pace>,
    /// Messages that are due, by the pace, and those of them that were dealt to the lanes.
    due: u64,
    dealt: u64,
    /// Lanes that were dealt something in this turn.
    touched: Vec<usize>,
    /// Messages that were dealt, or sent, and have yet to come.
    outstanding: u64,
}

/// What one connection has sent and received.
#[derive(Debug, Default)]
struct Lane {
    is_open: bool,
    /// Messages that are due, by the pace.
    due: u64,
    /// Messages begun and received; their places in the block are these modulo its count.
    sent: u64,
    received: u64,
    /// The place in the block of the next message to come.
    expected: u32,
    /// Bytes that wait to be written, and where they begin in the block.
    waiting: u64,
    at: usize,
    /// The socket takes no more, until an event tells otherwise.
    is_blocked: bool,
    /// It is in the list of those that were dealt something.
    is_touched: bool,
    /// In a closed loop: when the messages in flight were sent, oldest first; those of one moment together.
    times: VecDeque<(u64, u64)>,
    /// What has come of a compressed reply that is not as the one before.
    gathered: Vec<u8>,
}

impl Echo {
    /// # Errors
    /// Messages are to be compressed, and this build cannot.
    pub(crate) fn new(options: &Options, run: &Run, start: u64) -> Result<Echo, String> {
        let count = run.clients.len();
        let lanes = run.clients.iter().map(|client| Lane { is_open: client.is_open(), ..Lane::default() }).collect();
        let mut codec = match options.is_compressed {
            true => Some(MessageCodec::new().ok_or("--compress: this build has no feature deflate")?),
            false => None,
        };
        let block = Block::new(options, run.masking_key, codec.as_mut());
        let compressed = codec.map(|codec| Compressed::new(codec, block.count as usize, block.size));
        Ok(Echo {
            block,
            compressed,
            replies: 0,
            reply_bytes: 0,
            lanes,
            in_flight: options.in_flight as u64,
            pace: options.rate.map(|rate| Pace::new(start, rate, count)),
            due: 0,
            dealt: 0,
            touched: (0..count).collect(),
            outstanding: 0,
        })
    }

    /// With compression: bytes of payload of a message, sent and received, in the mean.
    pub(crate) fn wire_bytes(&self) -> Option<(f64, f64)> {
        let is_there = self.compressed.is_some() && self.replies > 0;
        is_there.then(|| (self.block.payload_bytes_mean(), self.reply_bytes as f64 / self.replies as f64))
    }

    /// Adds what never came, and what was due and never sent. For the end of a run.
    pub(crate) fn finish(&self, run: &mut Run) {
        for (index, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.is_open) {
            run.measure.faults.lost += lane.sent - lane.received;
            let due = self.pace.map_or(lane.sent, |pace| pace.share(index, self.due));
            run.measure.faults.unsent += due.saturating_sub(lane.sent);
        }
    }

    /// Queues the messages that a lane may send now.
    #[inline]
    fn refill(&mut self, index: usize, is_sending: bool, now: u64) {
        let lane = &mut self.lanes[index];
        let room = self.in_flight - (lane.sent - lane.received);
        let messages = match self.pace {
            Some(_) => room.min(lane.due - lane.sent),
            None if is_sending => room,
            None => 0,
        };
        if messages > 0 && lane.is_open {
            lane.waiting += self.block.bytes_of(lane.sent + messages) - self.block.bytes_of(lane.sent);
            lane.sent += messages;
            if self.pace.is_none() {
                lane.times.push_back((now, messages));
                self.outstanding += messages;
            }
        }
    }
}

impl Load for Echo {
    fn turn(&mut self, run: &mut Run, now: u64) {
        if let Some(pace) = self.pace {
            // Nothing is due after the end of the window.
            self.due = pace.due(now.min(run.measure.window().end.saturating_sub(1)));
            let end = self.due.min(self.dealt + DEALT_PER_TURN_MAX);
            while self.dealt < end {
                let index = (self.dealt % self.lanes.len() as u64) as usize;
                self.dealt += 1;
                // What was due at a connection that is gone is not sent.
                if self.lanes[index].is_open {
                    self.lanes[index].due += 1;
                    self.outstanding += 1;
                    if !std::mem::replace(&mut self.lanes[index].is_touched, true) {
                        self.touched.push(index);
                    }
                }
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        for index in touched.drain(..) {
            self.lanes[index].is_touched = false;
            self.refill(index, run.is_sending, now);
            if let Err(problem) = self.lanes[index].flush(&self.block, &mut run.clients[index]) {
                run.end(index, problem);
                self.ended(run, index);
            }
        }
        self.touched = touched;
    }

    #[inline]
    fn receive(&mut self, run: &mut Run, index: usize, bytes: &[u8], now: u64) -> Result<(), String> {
        let Client { replies, out, .. } = &mut run.clients[index];
        let lane = &mut self.lanes[index];
        let (block, masking_key) = (&self.block, run.masking_key);
        let (expected, number, reply_bytes) = (lane.expected, lane.received, 0);
        let (compressed, gathered) = (self.compressed.as_mut(), &mut lane.gathered);
        let mut sink = Check { block, expected, number, reply_bytes, compressed, gathered, out, masking_key };
        let result = replies.feed(bytes, &mut sink);
        let (messages, expected) = (sink.number - number, sink.expected);
        self.replies += messages;
        self.reply_bytes += sink.reply_bytes;
        lane.expected = expected;
        if messages > lane.sent - lane.received {
            return Err("more came back than was sent".to_owned());
        }
        self.outstanding -= messages;
        match self.pace {
            Some(pace) => {
                for message in lane.received..lane.received + messages {
                    run.measure.record(pace.time(index, message), now, 1);
                }
            }
            None => {
                let mut left = messages;
                while let Some((time, count)) = lane.times.front_mut().filter(|_| left > 0) {
                    let of_them = left.min(*count);
                    run.measure.record(*time, now, of_them);
                    left -= of_them;
                    *count -= of_them;
                    if *count == 0 {
                        lane.times.pop_front();
                    }
                }
            }
        }
        lane.received += messages;
        result?;
        if messages > 0 {
            self.refill(index, run.is_sending, now);
        }
        self.lanes[index].flush(&self.block, &mut run.clients[index])
    }

    #[inline]
    fn flush(&mut self, run: &mut Run, index: usize) -> Result<(), String> {
        self.lanes[index].is_blocked = false;
        self.lanes[index].flush(&self.block, &mut run.clients[index])
    }

    fn ended(&mut self, _run: &mut Run, index: usize) {
        let lane = &mut self.lanes[index];
        // They went with the connection, which is an error of its own.
        let lost = if self.pace.is_some() { lane.due } else { lane.sent } - lane.received;
        self.outstanding -= lost;
        *lane = Lane::default();
    }

    fn outstanding(&self) -> u64 {
        self.outstanding + (self.due - self.dealt)
    }

    fn next_due(&self) -> Option<u64> {
        self.pace.map(|pace| pace.time_of(self.dealt))
    }
}

impl Lane {
    /// Writes what waits. Control frames go between two messages, never inside one.
    #[inline]
    fn flush(&mut self, block: &Block, client: &mut Client) -> Result<(), String> {
        while !self.is_blocked {
            let has_control = client.out.len() > 0;
            let begun = if has_control { block.begun_left(self.at) } else { 0 };
            if has_control && begun == 0 && !client.flush()? {
                self.is_blocked = true;
                return Ok(());
            }
            if self.waiting == 0 {
                return Ok(());
            }
            let len = match begun {
                0 => usize::try_from(self.waiting).unwrap_or(usize::MAX).min(block.frames.len() - self.at),
                begun => begun,
            };
            let written = client.write(&block.frames[self.at..self.at + len])?;
            self.waiting -= written as u64;
            self.at += written;
            let cycle = block.cycle_len();
            if self.at >= cycle {
                self.at -= cycle;
            }
            self.is_blocked = written < len;
        }
        Ok(())
    }
}

/// Checks the messages that come back.
struct Check<'r> {
    block: &'r Block,
    expected: u32,
    /// Messages that came back over this connection.
    number: u64,
    /// Bytes of their payloads on the wire, of those that came now.
    reply_bytes: u64,
    compressed: Option<&'r mut Compressed>,
    gathered: &'r mut Vec<u8>,
    out: &'r mut Out,
    masking_key: [u8; 4],
}

impl Check<'_> {
    /// Checks bytes of a payload; those of one message in 64 all of them, and those that were decompressed.
    #[inline]
    fn check(&self, piece: Piece<'_>) -> Result<(), String> {
        let block = self.block;
        let end = piece.offset + piece.bytes.len() as u64;
        let opcode = block.content.opcode();
        if piece.opcode != opcode || end > block.size as u64 || (piece.is_last && end < block.size as u64) {
            return Err(format!(
                "{:?} of {end} bytes{} came back for {opcode:?} of {} bytes",
                piece.opcode,
                if piece.is_last { "" } else { " or more" },
                block.size
            ));
        }
        let mark = mark(self.expected);
        let offset = piece.offset as usize;
        let is_marked = match piece.bytes.first_chunk() {
            Some(first) if offset == 0 => *first == mark,
            _ => mark.iter().skip(offset).zip(piece.bytes).all(|(mark, byte)| mark == byte),
        };
        if !is_marked {
            return Err("another message came back than was due: one is lost, repeated or out of order".to_owned());
        }
        if self.number.is_multiple_of(64) || piece.is_compressed {
            let skipped = MARK_BYTES.saturating_sub(offset).min(piece.bytes.len());
            if piece.bytes[skipped..] != block.payload[offset + skipped..end as usize] {
                return Err("a message came back with another content".to_owned());
            }
        }
        Ok(())
    }

    fn check_compressed(&mut self, piece: Piece<'_>) -> Result<(), String> {
        let opcode = self.block.content.opcode();
        if piece.opcode != opcode {
            return Err(format!("compressed {:?} came back for {opcode:?}", piece.opcode));
        }
        // Without an agreement there is none: the bit is an error of the protocol then.
        let Some(compressed) = &mut self.compressed else { return Ok(()) };
        match compressed.take(self.expected, piece, self.gathered)? {
            Some(payload) => self.check(Piece { offset: 0, bytes: &payload, ..piece }),
            None => Ok(()),
        }
    }
}

impl Sink for Check<'_> {
    #[inline]
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
        if piece.is_compressed {
            self.check_compressed(piece)?;
        } else {
            self.check(piece)?;
        }
        if piece.is_last {
            self.number += 1;
            self.reply_bytes += piece.offset + piece.bytes.len() as u64;
            self.expected = if self.expected + 1 == self.block.count { 0 } else { self.expected + 1 };
        }
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        self.out.pong(payload, self.masking_key);
    }
}

/// So that a server that was slow for long does not make a turn without end.
const DEALT_PER_TURN_MAX: u64 = 10_000;
