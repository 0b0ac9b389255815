//! One connection of a person, from its first byte to its end.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::random::Random;
use super::super::wire::{self, next_frame, push_frame};
use super::super::world::World;

pub(super) struct Line {
    /// Of its socket.
    pub(super) index: usize,
    /// Not on the wire yet.
    unsent: VecDeque<u8>,
    /// Received and not parsed.
    unparsed: Vec<u8>,
    /// The response has come.
    pub(super) is_open: bool,
    pub(super) is_reading: bool,
    pub(super) has_sent_close: bool,
    /// The code of the Close frame that has come.
    pub(super) close_code: Option<u16>,
    /// Nothing more will come.
    pub(super) is_over: bool,
}

impl Line {
    pub(super) fn new(world: &mut World) -> Line {
        let head = b"GET / HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Protocol: frameloop.v1\r\n\r\n";
        Line {
            index: world.connect(head.len()),
            unsent: head.to_vec().into(),
            unparsed: Vec::new(),
            is_open: false,
            is_reading: true,
            has_sent_close: false,
            close_code: None,
            is_over: false,
        }
    }

    pub(super) fn say(&mut self, text: &str, random: &mut Random) {
        if self.has_sent_close {
            return;
        }
        let (front, back) = text.as_bytes().split_at(random.below(text.len()));
        if random.one_in(4) && !front.is_empty() {
            push_frame(&mut self.unsent, 0x01, front, random);
            push_frame(&mut self.unsent, 0x80, back, random);
        } else {
            push_frame(&mut self.unsent, wire::TEXT, text.as_bytes(), random);
        }
    }

    pub(super) fn close(&mut self, code: u16, random: &mut Random) {
        if !std::mem::replace(&mut self.has_sent_close, true) {
            push_frame(&mut self.unsent, wire::CLOSE, &code.to_be_bytes(), random);
        }
    }

    /// The line breaks, maybe in the midst of a frame. Returns whether the server is told nothing of it.
    pub(super) fn cut(&mut self, world: &mut World) -> bool {
        let part = world.random.below(self.unsent.len() + 1);
        self.transmit(world, part);
        let (how, keeps_inbound) = (world.random.below(4), world.random.one_in(2));
        let (now, socket) = (world.now, &mut world.sockets[self.index]);
        match how {
            0 => socket.reset(keeps_inbound),
            1 => socket.finish(now, Duration::ZERO),
            2 => {
                socket.finish(now, Duration::ZERO);
                socket.is_deaf = true;
            }
            _ => return true,
        }
        self.is_over = true;
        false
    }

    /// Nothing shows that the server has ended it.
    pub(super) fn is_alive(&self, world: &World) -> bool {
        let socket = &world.sockets[self.index];
        let is_quiet = socket.outbound.is_empty() && !socket.is_write_blocked;
        is_quiet && !self.has_sent_close && !socket.server_eof && !socket.is_mute()
    }

    /// Puts some of what it has to say on the wire.
    pub(super) fn transmit(&mut self, world: &mut World, most: usize) {
        let count = most.min(self.unsent.len());
        if count > 0 {
            let is_delayed = world.has_delay();
            let delay = if is_delayed { world.random.up_to(Duration::from_secs(1)) } else { Duration::ZERO };
            world.sockets[self.index].send(self.unsent.drain(..count), world.now, delay);
        }
    }

    /// Takes some of what the server wrote. Returns the texts in it.
    pub(super) fn receive(&mut self, world: &mut World, most: usize) -> Vec<String> {
        let socket = &mut world.sockets[self.index];
        let count = most.min(socket.outbound.len());
        self.unparsed.extend(socket.outbound.drain(..count));
        let is_at_end = socket.is_at_end();
        let texts = self.parse(&mut world.random);
        if is_at_end {
            world.sockets[self.index].finish(world.now, Duration::ZERO);
            self.is_over = true;
        }
        texts
    }

    fn parse(&mut self, random: &mut Random) -> Vec<String> {
        let bytes = std::mem::take(&mut self.unparsed);
        let (mut rest, mut texts) = (&bytes[..], Vec::new());
        if !self.is_open {
            let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                self.unparsed = bytes;
                return texts;
            };
            if !rest.starts_with(b"HTTP/1.1 101 ") {
                return texts; // it was too late, or there was no room for it
            }
            self.is_open = true;
            rest = &rest[end + 4..];
        }
        while let Some((first, payload, end)) = next_frame(rest) {
            rest = &rest[end..];
            assert!(self.close_code.is_none() || first == wire::PONG, "a frame after the Close frame: {first:#x}");
            match first {
                wire::TEXT => texts.push(String::from_utf8(payload.to_vec()).expect("§8.1: text is UTF-8")),
                wire::CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    self.close_code = Some(code);
                    self.close(if code == 1005 { 1000 } else { code }, random);
                }
                wire::PING if !self.has_sent_close => push_frame(&mut self.unsent, wire::PONG, payload, random),
                wire::PING => {}
                other => panic!("the server sent a frame that begins with {other:#x}"),
            }
        }
        self.unparsed = rest.to_vec();
        texts
    }
}
