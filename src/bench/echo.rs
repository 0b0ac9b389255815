//! The load `echo`: each connection keeps messages going, and each must come back as it went, in its order.
//!
//! The frames of a few dozen messages are made once and lie in one block, one behind the other, for all connections:
//! each message has its place in the block as a mark, so that one that is lost, repeated or out of order shows. A
//! refill of several messages is one write. A message may be of several frames (§5.4).

use std::collections::VecDeque;

use frameloop::protocol::frame::FrameHeader;

use super::client::{Client, Out};
use super::content::Content;
use super::drive::{Load, Run};
use super::frames::push_message;
use super::measure::Pace;
use super::options::Options;
use super::replies::{Piece, Sink};

#[derive(Debug)]
pub(crate) struct Echo {
    block: Block,
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

/// The messages, in the order in which each connection sends them, over and over.
#[derive(Debug)]
pub(crate) struct Block {
    content: Content,
    size: usize,
    /// How many differ.
    count: u32,
    /// Bytes of all frames of one.
    encoded_len: usize,
    /// The frames; some of the first again at the end, so that a refill need not stop there.
    frames: Vec<u8>,
    /// The payload, but for the mark.
    payload: Vec<u8>,
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
}

impl Echo {
    pub(crate) fn new(options: &Options, run: &Run, start: u64) -> Echo {
        let count = run.clients.len();
        let lanes = run.clients.iter().map(|client| Lane { is_open: client.is_open(), ..Lane::default() }).collect();
        Echo {
            block: Block::new(options, run.masking_key),
            lanes,
            in_flight: options.in_flight as u64,
            pace: options.rate.map(|rate| Pace::new(start, rate, count)),
            due: 0,
            dealt: 0,
            touched: (0..count).collect(),
            outstanding: 0,
        }
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
            lane.sent += messages;
            lane.waiting += messages * self.block.encoded_len as u64;
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
        let mut sink = Check { block, expected: lane.expected, number: lane.received, out, masking_key };
        let result = replies.feed(bytes, &mut sink);
        let (messages, expected) = (sink.number - lane.received, sink.expected);
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
            let begun = if has_control { self.at % block.encoded_len } else { 0 };
            if has_control && begun == 0 && !client.flush()? {
                self.is_blocked = true;
                return Ok(());
            }
            if self.waiting == 0 {
                return Ok(());
            }
            let len = match begun {
                0 => usize::try_from(self.waiting).unwrap_or(usize::MAX).min(block.frames.len() - self.at),
                begun => block.encoded_len - begun,
            };
            let written = client.write(&block.frames[self.at..self.at + len])?;
            self.waiting -= written as u64;
            self.at += written;
            let cycle = block.encoded_len * block.count as usize;
            if self.at >= cycle {
                self.at -= cycle;
            }
            self.is_blocked = written < len;
        }
        Ok(())
    }
}

impl Block {
    fn new(options: &Options, masking_key: [u8; 4]) -> Block {
        let &Options { size, content, fragments, in_flight, .. } = options;
        let of_mark = size.min(MARK_BYTES);
        // Where a mark comes, and what follows it, each of whole characters.
        let payload = [Content::Ascii.bytes(of_mark), content.bytes(size - of_mark)].concat();
        // Twice what is in flight, so that no two messages on their way are the same; if that is not too much.
        let count_max = BLOCK_BYTES_MAX / (size + fragments * FrameHeader::BYTES_MAX);
        let marks_max = MARKS.pow(size.min(MARK_BYTES) as u32);
        let count = (2 * in_flight).clamp(2, count_max.max(2)).min(marks_max);
        let mut block = Block { content, size, count: count as u32, encoded_len: 0, frames: Vec::new(), payload };
        let again = in_flight.min(count_max);
        for place in 0..count + again {
            let mark = block.mark((place % count) as u32);
            let mut payload = std::mem::take(&mut block.payload);
            for (byte, mark) in payload.iter_mut().zip(mark) {
                *byte = mark;
            }
            push_message(&mut block.frames, content.opcode(), &payload, fragments, masking_key);
            block.payload = payload;
        }
        block.encoded_len = block.frames.len() / (count + again);
        block
    }

    /// The first bytes of the message at this place: two characters that text may have too.
    #[inline]
    fn mark(&self, place: u32) -> [u8; MARK_BYTES] {
        let [low, high] = [place as usize % MARKS, place as usize / MARKS];
        [b'0' + low as u8, b'0' + high as u8]
    }
}

/// Checks the messages that come back.
struct Check<'r> {
    block: &'r Block,
    expected: u32,
    /// Messages that came back over this connection.
    number: u64,
    out: &'r mut Out,
    masking_key: [u8; 4],
}

impl Sink for Check<'_> {
    #[inline]
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
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
        let mark = block.mark(self.expected);
        let offset = piece.offset as usize;
        let is_marked = match piece.bytes.first_chunk() {
            Some(first) if offset == 0 => *first == mark,
            _ => mark.iter().skip(offset).zip(piece.bytes).all(|(mark, byte)| mark == byte),
        };
        if !is_marked {
            return Err("another message came back than was due: one is lost, repeated or out of order".to_owned());
        }
        // One in 64 is checked byte for byte.
        if self.number.is_multiple_of(64) {
            let skipped = MARK_BYTES.saturating_sub(offset).min(piece.bytes.len());
            if piece.bytes[skipped..] != block.payload[offset + skipped..end as usize] {
                return Err("a message came back with another content".to_owned());
            }
        }
        if piece.is_last {
            self.number += 1;
            self.expected = if self.expected + 1 == block.count { 0 } else { self.expected + 1 };
        }
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        self.out.pong(payload, self.masking_key);
    }
}

/// Bytes of the frames in a block, unless two of them are more: what the caches of a core hold.
const BLOCK_BYTES_MAX: usize = 256 * 1024;
const MARK_BYTES: usize = 2;
/// The values of one byte of a mark.
const MARKS: usize = 64;
/// So that a server that was slow for long does not make a turn without end.
const DEALT_PER_TURN_MAX: u64 = 10_000;
