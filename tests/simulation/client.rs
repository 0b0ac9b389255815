//! A client that a seed drives: it chats, pings, breaks rules, stops reading, and goes away in every way there is.
//! What it receives it compares at once with what it must receive.

use std::collections::VecDeque;
use std::time::Duration;

use super::app::{BINARY, CHAT, ECHO, Seen};
use super::random::Random;
use super::wire::{self, next_frame, ping_payload, push_frame};
use super::world::World;

/// How often the clients of a seed do what: weights.
#[derive(Debug)]
pub(crate) struct Temper {
    chat: usize,
    ping: usize,
    close: usize,
    binary: usize,
    violation: usize,
    no_json: usize,
    reset: usize,
    end_of_file: usize,
    vanish: usize,
    stop_reading: usize,
    go_on_reading: usize,
    rest: usize,
    /// Chats of one go, where one is a flood.
    flood: usize,
    /// The most bytes of a message that its sender gets back; 0 where there are none.
    echo_bytes_max: usize,
}

impl Temper {
    /// Each seed has a temper of its own. `haste`: how much of what they do is to leave.
    pub(crate) fn random(random: &mut Random, haste: usize, flood: usize, echo_bytes_max: usize) -> Temper {
        let mut often = || random.pick(&[0, 20, 100, 400]);
        let (chat, ping, stop_reading, go_on_reading) = (40 + often(), often(), often() / 10, often());
        let mut seldom = || random.pick(&[0, 1, 5, 10]) * haste;
        let (close, binary, violation, no_json) = (seldom(), seldom(), seldom(), seldom());
        let (reset, end_of_file, vanish) = (seldom(), seldom(), seldom());
        Temper {
            chat,
            ping,
            close,
            binary,
            violation,
            no_json,
            reset,
            end_of_file,
            vanish,
            stop_reading,
            go_on_reading,
            rest: 400,
            flood,
            echo_bytes_max,
        }
    }
}

pub(crate) struct Client {
    pub(crate) index: usize,
    /// Whether its request is right; `None` if it is never whole.
    pub(crate) request: Option<bool>,
    /// Not on the wire yet.
    unsent: VecDeque<u8>,
    /// Received and not parsed.
    unparsed: Vec<u8>,
    /// The status of the response to its request.
    pub(crate) status: Option<u16>,
    /// It is on: its handshake is done, and no Close frame has come.
    pub(crate) is_open: bool,
    /// It says something before the response has come.
    is_eager: bool,
    is_reading: bool,
    /// It answers neither a ping nor a Close.
    is_rude: bool,
    pub(crate) sent_close: bool,
    /// What was not on the wire when it said its Close frame, up to the end of that.
    unsent_to_close: Option<usize>,
    /// The code of the Close frame that it has received, 1005 for none in it.
    pub(crate) close_code: Option<u16>,
    /// The code with which it deserves to be closed.
    pub(crate) guilt: Option<u16>,
    /// It has reset or half-closed the connection, or left it without a word.
    pub(crate) has_left: bool,
    /// It has seen the end of the connection, or caused it.
    pub(crate) is_gone: bool,
    pub(crate) pings_sent: u32,
    pub(crate) last_pong: u32,
    chats: usize,
}

impl Client {
    pub(crate) fn new(world: &mut World) -> Client {
        let (head, request) = wire::request(world.sockets.len(), &mut world.random);
        let index = world.connect(if request == Some(true) { head.len() } else { usize::MAX });
        Client {
            index,
            request,
            unsent: head.into(),
            unparsed: Vec::new(),
            status: None,
            is_open: false,
            is_eager: world.random.one_in(10),
            is_reading: true,
            is_rude: world.random.one_in(20),
            sent_close: false,
            unsent_to_close: None,
            close_code: None,
            guilt: None,
            has_left: false,
            is_gone: false,
            pings_sent: 0,
            last_pong: 0,
            chats: 0,
        }
    }

    /// Does something that the seed chooses.
    pub(crate) fn act(&mut self, world: &mut World, seen: &mut Seen, temper: &Temper) {
        self.choose(world, seen, temper);
        let most = world.random.pick(&[1, 30, 400, usize::MAX]);
        self.transmit(world, most);
        if self.is_reading {
            let most = world.random.pick(&[1, 100, 3000, usize::MAX]);
            self.receive(world, seen, most);
        }
    }

    fn choose(&mut self, world: &mut World, seen: &mut Seen, temper: &Temper) {
        let random = &mut world.random;
        let weights = [
            temper.chat,
            temper.ping,
            temper.close,
            temper.binary,
            temper.violation,
            temper.no_json,
            temper.reset,
            temper.end_of_file,
            temper.vanish,
            temper.stop_reading,
            temper.go_on_reading,
            temper.rest,
        ];
        let mut number = random.below(weights.iter().sum());
        let choice = weights.iter().position(|&weight| {
            let is_here = number < weight;
            number = number.wrapping_sub(weight);
            is_here
        });
        match choice {
            Some(0) if temper.flood > 0 && random.one_in(1000) => {
                for _ in 0..temper.flood {
                    self.say(seen, format!("{CHAT}}}"), random);
                }
            }
            Some(0) if temper.echo_bytes_max > 0 && random.one_in(4) => {
                let padding = "e".repeat(random.below(temper.echo_bytes_max - 100));
                self.say(seen, format!("{ECHO}\"{}:{}{padding}\"}}", self.index, self.chats), random);
            }
            Some(0) => self.chat(seen, random),
            Some(1) => self.ping(random),
            Some(2) => self.close(1000 + random.below(2) as u16, random),
            Some(3) if self.can_speak() => {
                seen.said.push_back(BINARY.into());
                push_frame(&mut self.unsent, wire::BINARY, b"\0", random);
                self.guilt = Some(1003);
                push_frame(&mut self.unsent, wire::TEXT, NEVER, random);
                if random.one_in(2) {
                    self.close(1000, random); // both sides close at once
                }
            }
            Some(4) if self.can_speak() => {
                let (bytes, code) = wire::violation(random);
                self.unsent.extend(bytes);
                self.guilt = Some(code);
                push_frame(&mut self.unsent, wire::TEXT, NEVER, random);
            }
            Some(5) => {
                self.say(seen, random.pick(&["no JSON", "[]", "{\"type\":1}", "{\"type\":\"?\"}"]).into(), random)
            }
            Some(6) => {
                let keeps_inbound = random.one_in(2);
                world.sockets[self.index].reset(keeps_inbound);
                self.leave(true);
            }
            Some(7) => {
                // Half-closed: whatever was not sent yet never will be, maybe in the midst of a frame.
                self.unsent.clear();
                let delay = self.delay(world);
                world.sockets[self.index].finish(world.now, delay);
                self.leave(false);
            }
            Some(8) => {
                let delay = self.delay(world);
                world.sockets[self.index].finish(world.now, delay);
                world.sockets[self.index].is_deaf = true;
                self.leave(true);
            }
            Some(9) => self.is_reading = false,
            Some(10) => self.is_reading = true,
            _ => {}
        }
    }

    /// Puts some of what it has to say on the wire.
    pub(crate) fn transmit(&mut self, world: &mut World, most: usize) {
        let count = most.min(self.unsent.len());
        if count > 0 {
            let delay = self.delay(world);
            if let Some(unsent) = self.unsent_to_close.take() {
                world.sockets[self.index].announce_close(unsent);
            }
            world.sockets[self.index].send(self.unsent.drain(..count), world.now, delay);
        }
    }

    /// Takes some of what the server wrote.
    pub(crate) fn receive(&mut self, world: &mut World, seen: &mut Seen, most: usize) {
        let socket = &mut world.sockets[self.index];
        let count = most.min(socket.outbound.len());
        self.unparsed.extend(socket.outbound.drain(..count));
        let is_at_end = socket.is_at_end();
        if count > 0 {
            self.parse(seen, &mut world.random);
        }
        if is_at_end && !self.is_gone {
            let socket = &mut world.sockets[self.index];
            if !self.is_rude {
                socket.finish(world.now, Duration::ZERO);
            }
            self.is_gone = socket.is_mute();
        }
    }

    /// The client comes to its senses: it reads, and leaves politely if it is asked to.
    pub(crate) fn calm_down(&mut self) {
        self.is_reading = true;
        self.is_rude = false;
    }

    pub(crate) fn close(&mut self, code: u16, random: &mut Random) {
        if self.status == Some(101) && !self.sent_close && !self.has_left {
            push_frame(&mut self.unsent, wire::CLOSE, &code.to_be_bytes(), random);
            self.sent_close = true;
            self.unsent_to_close = Some(self.unsent.len());
            if random.one_in(3) {
                push_frame(&mut self.unsent, wire::TEXT, NEVER, random);
            }
        }
    }

    /// All that it had to say is said, and is on the wire.
    pub(crate) fn has_said_all(&self) -> bool {
        self.unsent.is_empty()
    }

    /// It says nothing more, and hears nothing more if it is `gone`.
    fn leave(&mut self, is_gone: bool) {
        self.has_left = true;
        self.is_gone |= is_gone;
    }

    fn delay(&mut self, world: &mut World) -> Duration {
        let is_delayed = world.has_delay();
        if is_delayed { world.random.up_to(Duration::from_secs(3)) } else { Duration::ZERO }
    }

    /// Whether it may still say something.
    fn can_speak(&self) -> bool {
        let is_on = self.is_open || (self.is_eager && self.status.is_none() && self.request == Some(true));
        is_on && !self.sent_close && self.guilt.is_none() && !self.has_left
    }

    fn chat(&mut self, seen: &mut Seen, random: &mut Random) {
        let padding = "x".repeat(if random.one_in(20) { random.below(3000) } else { random.below(40) });
        self.say(seen, format!("{CHAT},\"é\":\"{}:{}\",\"x\":\"{padding}\"}}", self.index, self.chats), random);
    }

    /// One message, whole or in fragments with pings between them (§5.4).
    fn say(&mut self, seen: &mut Seen, text: String, random: &mut Random) {
        if !self.can_speak() {
            return;
        }
        self.chats += 1;
        let (mut rest, mut first) = (text.as_bytes(), 0x01);
        while random.one_in(4) {
            let (fragment, others) = rest.split_at(random.below(rest.len() + 1));
            push_frame(&mut self.unsent, first, fragment, random);
            (rest, first) = (others, 0);
            if random.one_in(2) {
                self.ping(random);
            }
        }
        push_frame(&mut self.unsent, 0x80 | first, rest, random);
        seen.said.push_back(text.into());
    }

    fn ping(&mut self, random: &mut Random) {
        if self.can_speak() {
            self.pings_sent += 1;
            push_frame(&mut self.unsent, wire::PING, &ping_payload(self.pings_sent), random);
        }
    }

    fn parse(&mut self, seen: &mut Seen, random: &mut Random) {
        let bytes = std::mem::take(&mut self.unparsed);
        let mut rest = &bytes[..];
        if self.status.is_none() {
            let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                self.unparsed = bytes;
                return;
            };
            let status = rest.strip_prefix(b"HTTP/1.1 ").and_then(|line| std::str::from_utf8(&line[..3]).ok());
            self.status = status.and_then(|status| status.parse().ok());
            self.is_open = self.status == Some(101);
            rest = &rest[end + 4..];
        }
        while self.status == Some(101)
            && let Some((first, payload, end)) = next_frame(rest)
        {
            self.receive_frame(first, payload, seen, random);
            rest = &rest[end..];
        }
        if self.status == Some(101) {
            self.unparsed = rest.to_vec();
        }
    }

    fn receive_frame(&mut self, first: u8, payload: &[u8], seen: &mut Seen, random: &mut Random) {
        let index = self.index;
        // §5.5.1: no data frame follows a Close frame. A Pong may, while we wait for the client's.
        assert!(
            self.close_code.is_none() || first == wire::PONG,
            "client {index}: a frame after the Close frame: {first:#x}"
        );
        match first {
            wire::TEXT => {
                let expected = seen.expected.pop_front().unwrap_or_else(|| panic!("client {index}: one too many"));
                assert!(
                    *expected.text.as_bytes() == *payload,
                    "client {index}: a message is lost, doubled or out of order"
                );
            }
            wire::CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.close_code = Some(code);
                self.is_open = false;
                if !self.is_rude {
                    self.close(if code == 1005 { 1000 } else { code }, random);
                }
            }
            wire::PING if self.is_rude => {}
            wire::PING if self.sent_close || self.has_left => {}
            wire::PING => push_frame(&mut self.unsent, wire::PONG, payload, random),
            wire::PONG => {
                let number = payload.first_chunk().map_or(0, |number| u32::from_be_bytes(*number));
                // §5.5.3: the newest is answered, those before it may be.
                assert!(self.last_pong < number && number <= self.pings_sent, "client {index}: an unasked pong");
                assert_eq!(payload, ping_payload(number), "§5.5.3: identical application data");
                self.last_pong = number;
            }
            other => panic!("client {index}: the server sent a frame that begins with {other:#x}"),
        }
    }
}

/// What follows a Close frame, a broken rule or a binary message: it must never be heard, for it is not in `said`.
const NEVER: &[u8] = b"{\"type\":\"chat\",\"never\":0}";
