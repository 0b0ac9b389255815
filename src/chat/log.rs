//! What was said in a room: numbered frames, as many as there is room for.
//!
//! The frames are those that went to the readers, shared with their queues.

use std::collections::VecDeque;

use crate::protocol::SharedFrame;

/// Frames with numbers that follow each other. The oldest go first.
#[derive(Debug)]
pub struct Log {
    frames: VecDeque<SharedFrame>,
    /// The number of the oldest frame; of the next one if there is none.
    first: u64,
    bytes: usize,
}

impl Log {
    /// An empty log whose next frame has this number.
    pub fn new(next: u64) -> Log {
        Log { frames: VecDeque::new(), first: next, bytes: 0 }
    }

    /// The number of the oldest frame that is still there; of the next one if there is none.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next frame gets.
    pub fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// What the frames take, with what it takes to hold them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a frame. Returns its number.
    pub fn push(&mut self, frame: SharedFrame) -> u64 {
        let number = self.next();
        self.bytes += cost(&frame);
        self.frames.push_back(frame);
        number
    }

    /// Drops the oldest frame. Returns how many bytes that freed.
    pub fn pop_oldest(&mut self) -> usize {
        let Some(frame) = self.frames.pop_front() else { return 0 };
        self.first += 1;
        self.bytes -= cost(&frame);
        if self.frames.len() < self.frames.capacity() / 4 {
            self.frames.shrink_to(self.frames.len() * 2);
        }
        cost(&frame)
    }

    /// Drops the oldest frames until these bounds hold.
    pub fn trim(&mut self, frames_max: usize, bytes_max: usize) {
        while self.frames.len() > frames_max || (self.bytes > bytes_max && !self.frames.is_empty()) {
            self.pop_oldest();
        }
    }

    /// The frames from this number on, or from the oldest that is there.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &SharedFrame> {
        let skipped = number.saturating_sub(self.first).min(self.frames.len() as u64);
        self.frames.range(skipped as usize..)
    }
}

fn cost(frame: &SharedFrame) -> usize {
    frame.as_bytes().len() + FRAME_OVERHEAD_BYTES
}

/// A pointer to the frame, its count, its buffer, and what the allocator adds to both.
const FRAME_OVERHEAD_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &Log, number: u64) -> Vec<String> {
        log.since(number).map(|frame| String::from_utf8_lossy(frame.payload()).into_owned()).collect()
    }

    #[test]
    fn frames_are_numbered_and_the_oldest_go_first() {
        let mut log = Log::new(1);
        assert_eq!((log.first(), log.next(), log.bytes()), (1, 1, 0));
        let numbers: Vec<u64> = (1..=10).map(|n| log.push(SharedFrame::text(&format!("m{n}")))).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
        log.trim(4, usize::MAX);
        assert_eq!((log.first(), log.next()), (7, 11));
        assert_eq!(texts(&log, 9), ["m9", "m10"]);
        assert_eq!(texts(&log, 1), ["m7", "m8", "m9", "m10"], "what is gone is left out");
        assert!(texts(&log, 11).is_empty() && texts(&log, 99).is_empty());
    }

    #[test]
    fn bytes_are_bounded_and_counted() {
        let mut log = Log::new(5);
        for _ in 0..100 {
            log.push(SharedFrame::text(&"x".repeat(1000)));
            log.trim(usize::MAX, 10_000);
            assert!(log.bytes() <= 10_000);
        }
        assert!((8..10).contains(&(log.next() - log.first())));
        while log.pop_oldest() > 0 {}
        assert_eq!((log.bytes(), log.first(), log.next()), (0, 105, 105), "the numbers go on");
    }

    #[test]
    fn a_frame_that_is_larger_than_the_log_is_not_kept() {
        let mut log = Log::new(1);
        log.push(SharedFrame::text(&"x".repeat(1000)));
        log.trim(10, 500);
        assert_eq!((log.first(), log.next()), (2, 2));
    }
}
