//! A client that compresses with zlib-rs, and decompresses bit by bit with a decompressor of its own.

use std::rc::Rc;
use std::time::Instant;

use frameloop::protocol::{Commons, Compression, Connection, Limits, Message};
use frameloop::test_support::Inflater;
use zlib_rs::{Deflate, DeflateFlush};

use super::RSV1;
use crate::driver::Link;
use crate::wire::{FIN, REQUEST_HEAD, client_frame, server_frames};

/// RFC 7692 §7.2.1: what a sender cuts off, and a receiver puts there again.
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

pub(super) fn commons(compression: Compression, limits: Limits) -> Rc<Commons> {
    Commons::with_compression(limits, compression)
}

/// Text like that of a chat, which compresses well.
pub(super) fn json(size: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        text.push_str(&format!("{{\"type\":\"chat\",\"from\":\"user-{}\",\"n\":{number}}},", number * 7919 % 1000));
    }
    text.truncate(size);
    text
}

/// Bytes that do not compress.
pub(super) fn noise(size: usize) -> Vec<u8> {
    noise_of(size, 1)
}

pub(super) fn noise_of(size: usize, seed: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// Compresses all of it.
pub(super) fn deflate(compressor: &mut Deflate, mut payload: &[u8], flush: DeflateFlush) -> Vec<u8> {
    let (mut compressed, mut room) = (Vec::new(), [0; 4096]);
    loop {
        let (read, written) = (compressor.total_in(), compressor.total_out());
        compressor.compress(payload, &mut room, flush).unwrap();
        payload = &payload[(compressor.total_in() - read) as usize..];
        let written = (compressor.total_out() - written) as usize;
        compressed.extend_from_slice(&room[..written]);
        if payload.is_empty() && written < room.len() {
            return compressed;
        }
    }
}

/// The compressed form of a payload by itself.
pub(super) fn compressed(level: i32, payload: &[u8]) -> Vec<u8> {
    let compressed = deflate(&mut Deflate::new(level, false, 15), payload, DeflateFlush::SyncFlush);
    compressed.strip_suffix(&TAIL).unwrap().to_vec()
}

/// What a client keeps to compress and to decompress.
pub(super) struct Peer {
    compressor: Deflate,
    decompressor: Inflater,
    client_no_context_takeover: bool,
    server_no_context_takeover: bool,
}

impl Peer {
    /// A client that keeps to the answer of the server.
    fn new(answer: &str) -> Peer {
        let window_bits = answer.split_once("server_max_window_bits=").map_or(15, |(_, bits)| bits.parse().unwrap());
        Peer {
            compressor: Deflate::new(6, false, 15),
            decompressor: Inflater::new(window_bits),
            client_no_context_takeover: answer.contains("client_no_context_takeover"),
            server_no_context_takeover: answer.contains("server_no_context_takeover"),
        }
    }

    pub(super) fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut compressed = deflate(&mut self.compressor, payload, DeflateFlush::SyncFlush);
        if self.client_no_context_takeover {
            self.compressor.reset();
        }
        if compressed.is_empty() {
            return vec![0]; // RFC 7692 §7.2.3.6: nothing was to be flushed
        }
        assert!(compressed.ends_with(&TAIL));
        compressed.truncate(compressed.len() - TAIL.len());
        compressed
    }

    /// The payload; `None` if this is no DEFLATE, or refers back beyond the window.
    pub(super) fn decompress(&mut self, compressed: &[u8]) -> Option<Vec<u8>> {
        let payload = self.decompressor.inflate(compressed, usize::MAX)?;
        if self.server_no_context_takeover {
            self.decompressor.reset();
        }
        Some(payload)
    }
}

/// A connection and the client at its other end.
pub(super) struct Pair {
    pub(super) link: Link,
    pub(super) peer: Peer,
    /// What the server has answered to the offer.
    pub(super) answer: String,
}

impl Pair {
    /// An open connection whose server has accepted an offer.
    pub(super) fn open(commons: &Rc<Commons>, offers: &str) -> Pair {
        let (link, answer) = handshake(commons, &format!("Sec-WebSocket-Extensions: {offers}\r\n"));
        let answer = answer.unwrap_or_else(|| panic!("{offers}: no offer was accepted"));
        Pair { link, peer: Peer::new(&answer), answer }
    }

    /// The client sends a message, compressed and in one frame.
    pub(super) fn receive(&mut self, opcode: u8, payload: &[u8]) -> Vec<Message<'static>> {
        let compressed = self.peer.compress(payload);
        self.link.receive_messages(&client_frame(FIN | RSV1 | opcode, &compressed))
    }

    /// The client takes all that waits. Returns of each frame whether it was compressed, its opcode and its payload.
    pub(super) fn take(&mut self) -> Vec<(bool, u8, Vec<u8>)> {
        let bytes = self.link.take(usize::MAX);
        self.read(&bytes)
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<(bool, u8, Vec<u8>)> {
        let decompress = |(rsv1, opcode, payload): (bool, u8, Vec<u8>)| {
            let payload = if rsv1 { self.peer.decompress(&payload).expect("it is DEFLATE") } else { payload };
            (rsv1, opcode, payload)
        };
        frames(bytes).into_iter().map(decompress).collect()
    }
}

/// Opens a connection with these header lines in its request, and returns the answer to its offers.
pub(super) fn handshake(commons: &Rc<Commons>, lines: &str) -> (Link, Option<String>) {
    let now = Instant::now();
    let mut link = Link { connection: Connection::new(commons.clone(), now), now };
    link.receive(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], lines.as_bytes(), b"\r\n"].concat());
    let response = String::from_utf8(link.take(usize::MAX)).unwrap();
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    let prefix = "Sec-WebSocket-Extensions: ";
    let answers: Vec<&str> = response.lines().filter_map(|line| line.strip_prefix(prefix)).collect();
    assert!(answers.len() <= 1, "{response}");
    (link, answers.first().map(|answer| answer.to_string()))
}

/// The frames of a server, of which data frames may have RSV1, as they are on the wire.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(bool, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, ..] = *bytes {
        let extended = |range: std::ops::Range<usize>| {
            bytes[range].iter().fold(0, |length, &byte| length << 8 | usize::from(byte))
        };
        let frame_len = match second {
            126 => 4 + extended(2..4),
            127 => 10 + extended(2..10),
            length => 2 + usize::from(length),
        };
        let (frame, rest) = bytes.split_at(frame_len);
        let rsv1 = first & RSV1 != 0 && first & 0x8 == 0;
        let without_bit = [&[if rsv1 { first & !RSV1 } else { first }], &frame[1..]].concat();
        let [frame] = &server_frames(&without_bit)[..] else { panic!("one frame") };
        frames.push((rsv1, frame.opcode, frame.payload.clone()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a header is left");
    frames
}

#[test]
fn this_client_refuses_what_refers_back_beyond_the_window_that_it_asked_for() {
    let payload = [noise(1000), noise(1000)].concat();
    let compressed = compressed(9, &payload);
    assert!(Peer::new("permessage-deflate").decompress(&compressed) == Some(payload));
    assert!(Peer::new("permessage-deflate; server_max_window_bits=9").decompress(&compressed).is_none());
}
