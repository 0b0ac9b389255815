//! A client that a seed drives: it chats, pings, breaks rules, stops reading, and goes away in every way there is.
//! It has a frame reader of its own, so that what the server writes is not read by the server's own code.

use super::world::{Random, World};

pub(crate) struct Client {
    pub(crate) index: usize,
    /// Not on the wire yet.
    unsent: Vec<u8>,
    /// Received and not parsed.
    unparsed: Vec<u8>,
    pub(crate) is_open: bool,
    is_reading: bool,
    has_sent_close: bool,
    pub(crate) close_code: Option<u16>,
    /// It has seen the end of the connection, or caused it.
    pub(crate) is_gone: bool,
    /// Chats that it received, in order.
    pub(crate) received: Vec<String>,
    /// It did something for which it may be closed.
    pub(crate) is_guilty: bool,
    /// Chats that it wrote.
    pub(crate) next_chat: usize,
}

impl Client {
    pub(crate) fn new(index: usize) -> Client {
        let head = format!(
            "GET /{index} HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Client {
            index,
            unsent: head.into_bytes(),
            unparsed: Vec::new(),
            is_open: false,
            is_reading: true,
            has_sent_close: false,
            close_code: None,
            is_gone: false,
            received: Vec::new(),
            is_guilty: false,
            next_chat: 0,
        }
    }

    /// Does something that the seed chooses.
    pub(crate) fn act(&mut self, world: &mut World) {
        if self.is_gone {
            return;
        }
        match world.random.below(60) {
            0..=19 => self.chat(&mut world.random),
            20..=24 => self.frame(0x89, b"are you there", &mut world.random),
            25 => self.frame(0x8a, b"unasked", &mut world.random),
            26 => self.close(1000, &mut world.random),
            27 if world.random.one_in(3) => {
                self.is_guilty = true;
                let frames: [&[u8]; 4] = [b"\xc1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x81\x01a", b"\x89\xfe"];
                let frame = frames[world.random.below(frames.len())];
                self.unsent.extend_from_slice(frame);
            }
            28 if world.random.one_in(3) => self.frame(0x81, b"no json", &mut world.random),
            29 if world.random.one_in(4) => {
                world.sockets[self.index].is_reset = true;
                world.sockets[self.index].arrived();
                self.is_gone = true;
            }
            30 if world.random.one_in(4) => {
                self.is_guilty = true; // half-close: whatever was not sent yet never will be
                self.unsent.clear();
                world.sockets[self.index].client_eof = true;
                world.sockets[self.index].arrived();
            }
            31 if world.random.one_in(4) => self.is_reading = false,
            32..=35 => self.is_reading = true,
            _ => {}
        }
        self.transmit(world);
        if self.is_reading {
            self.receive(world);
        }
    }

    /// Puts some of what it has to say on the wire.
    pub(crate) fn transmit(&mut self, world: &mut World) {
        let most = if world.has_faults { world.random.below(400) } else { usize::MAX };
        let socket = &mut world.sockets[self.index];
        if socket.client_eof || socket.is_reset || self.unsent.is_empty() {
            return;
        }
        let count = most.min(self.unsent.len());
        socket.inbound.extend(self.unsent.drain(..count));
        if count > 0 {
            socket.arrived();
        }
    }

    /// Takes some of what the server wrote.
    pub(crate) fn receive(&mut self, world: &mut World) {
        let most = if world.has_faults { world.random.below(3000) } else { usize::MAX };
        let socket = &mut world.sockets[self.index];
        let count = most.min(socket.outbound.len());
        self.unparsed.extend(socket.outbound.drain(..count));
        let is_at_end = socket.outbound.is_empty() && (socket.server_eof || socket.is_dropped);
        self.parse(&mut world.random);
        if is_at_end && !self.is_gone {
            self.is_gone = true;
            let socket = &mut world.sockets[self.index];
            socket.client_eof = true;
            socket.arrived();
        }
    }

    fn chat(&mut self, random: &mut Random) {
        if !self.can_speak() {
            return;
        }
        let padding = "x".repeat(if random.one_in(20) { random.below(3000) } else { random.below(40) });
        let text = format!("{{\"type\":\"chat\",\"msg\":\"{}:{}\",\"é\":\"{padding}\"}}", self.index, self.next_chat);
        self.next_chat += 1;
        let bytes = text.as_bytes();
        if random.one_in(4) {
            let cut = random.below(bytes.len());
            self.frame(0x01, &bytes[..cut], random);
            if random.one_in(2) {
                self.frame(0x89, b"between", random);
            }
            self.frame(0x80, &bytes[cut..], random);
        } else {
            self.frame(0x81, bytes, random);
        }
    }

    pub(crate) fn close(&mut self, code: u16, random: &mut Random) {
        if self.is_open && !self.has_sent_close {
            self.frame(0x88, &code.to_be_bytes(), random);
            self.has_sent_close = true;
        }
    }

    /// Whether it may still say something.
    fn can_speak(&self) -> bool {
        self.is_open && !self.has_sent_close && !self.is_guilty
    }

    fn frame(&mut self, first: u8, payload: &[u8], random: &mut Random) {
        if !self.can_speak() {
            return;
        }
        self.unsent.push(first);
        match payload.len() {
            length @ 0..=125 => self.unsent.push(0x80 | length as u8),
            length => {
                self.unsent.push(0x80 | 126);
                self.unsent.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        let key: [u8; 4] = std::array::from_fn(|_| random.below(256) as u8);
        self.unsent.extend_from_slice(&key);
        self.unsent.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    fn parse(&mut self, random: &mut Random) {
        if !self.is_open && self.close_code.is_none() {
            let Some(end) = self.unparsed.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return };
            if !self.unparsed.starts_with(b"HTTP/1.1 101 ") {
                return; // refused: what follows is its body
            }
            self.unparsed.drain(..end + 4);
            self.is_open = true;
        }
        while let Some((first, payload, end)) = self.next_frame() {
            assert!(self.close_code.is_none(), "client {}: a frame after the Close frame: {first:#x}", self.index);
            match first {
                0x81 => {
                    let text = String::from_utf8(payload).expect("§8.1: text is UTF-8");
                    if !text.starts_with("{\"type\":\"error\"") {
                        self.received.push(text);
                    }
                }
                0x88 => {
                    self.close_code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    let code = self.close_code.unwrap_or_default();
                    self.close(code, random);
                    self.is_open = false;
                }
                0x89 => self.frame(0x8a, &payload, random),
                0x8a => {}
                other => panic!("client {}: the server sent a frame that begins with {other:#x}", self.index),
            }
            self.unparsed.drain(..end);
        }
    }

    fn next_frame(&self) -> Option<(u8, Vec<u8>, usize)> {
        let bytes = &self.unparsed;
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, start) = match second {
            126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
            127 => panic!("nothing that is sent here is that long"),
            length => (usize::from(length), 2),
        };
        let payload = bytes.get(start..start + length)?;
        Some((first, payload.to_vec(), start + length))
    }
}
