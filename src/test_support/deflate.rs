//! RFC 7692: messages that are compressed, and the offers of it.

use std::rc::Rc;
use std::time::Instant;

use zlib_rs::{Deflate, DeflateFlush};

use super::inflater::Inflater;
use super::source::{Source, cut};
use crate::protocol::frame::{FrameHeader, Opcode};
use crate::protocol::mask::unmask;
use crate::protocol::{Commons, Compression, Connection, End, Event, Input, Limits, Message, SharedFrame, State};

/// RFC 7692 §7.2: any bytes as compressed messages: what comes out is the same whatever the cuts between reads and between
/// fragments, and the same as a decompressor that goes bit by bit makes of it. It is within the limit, and text is UTF-8.
/// What another compressor has made comes back, and so does what we compress; two messages one after the other as well, with
/// takeover and without.
///
/// # Panics
/// If that does not hold.
pub fn inflate(data: &[u8]) {
    let mut source = Source::new(data);
    let [is_anything, choices, seed_high, seed_low] = source.array();
    let peer = Peer::new(choices, source.byte(), u16::from_be_bytes([seed_high, seed_low]));
    if is_anything.is_multiple_of(2) {
        let at = source.up_to(2000);
        let messages = [source.take(at), source.rest()];
        peer.check_anything(&messages);
    } else {
        let level = i32::from(source.byte() % 10);
        let (piece, times) = (1 + source.up_to(5000), 1 + usize::from(source.byte()));
        let mut payload = source.rest().repeat(times);
        payload.truncate(peer.limits.message_bytes_max + 1); // more would not be taken, and takes time
        peer.check_round_trip(level, piece, &payload);
    }
}

/// A client and what it asks for.
struct Peer {
    opcode: Opcode,
    compression: Compression,
    limits: Limits,
    /// How its messages are cut.
    seed: u16,
    window_bits: u8,
    offer: String,
}

/// What comes of a stream: its messages, and the close code if it has failed.
type Outcome = (Vec<Vec<u8>>, Option<u16>);

impl Peer {
    fn new(choices: u8, window_bits: u8, seed: u16) -> Peer {
        let is = |bit: u8| choices >> bit & 1 == 1;
        // The longer one is beyond what is decompressed in one step.
        let limits = Limits { message_bytes_max: if is(2) { 100 } else { 20_000 }, ..Limits::default() };
        let window_bits = 9 + window_bits % 7;
        let mut offer = format!("permessage-deflate; server_max_window_bits={window_bits}");
        if is(3) {
            offer += "; server_no_context_takeover";
        }
        if is(4) {
            offer += "; client_no_context_takeover";
        }
        Peer {
            opcode: if is(0) { Opcode::Text } else { Opcode::Binary },
            compression: if is(1) { Compression::Shared } else { Compression::Takeover { contexts_max: 1 } },
            limits,
            seed,
            window_bits,
            offer,
        }
    }

    /// Whether a message may refer to the one before it: the client's, and the server's.
    fn takeover(&self) -> [bool; 2] {
        let is_kept = |parameter| self.compression != Compression::Shared && !self.offer.contains(parameter);
        ["client_no", "server_no"].map(is_kept)
    }

    fn check_anything(&self, messages: &[&[u8]]) {
        let whole: Vec<u8> = messages.iter().flat_map(|message| self.frames(&[message])).collect();
        let (payloads, code) = self.receive(&[&whole]);
        assert_eq!((&payloads, code.is_some()), (&self.expected(messages).0, self.expected(messages).1));
        assert!(matches!(code, None | Some(1007 | 1009)), "{code:?}");

        let fragments: Vec<u8> = messages.iter().flat_map(|message| self.frames(&cut(message, self.seed))).collect();
        let reads = cut(&fragments, self.seed.rotate_left(3));
        assert_eq!(self.receive(&reads), (payloads, code), "in fragments and cut, with seed {}", self.seed);
    }

    /// What the messages are, bit by bit, and whether the connection fails then.
    fn expected(&self, messages: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut inflater = Inflater::new(15);
        let mut payloads = Vec::new();
        for compressed in messages {
            let inflated = inflater.inflate(compressed, self.limits.message_bytes_max);
            let is_valid = |payload: &Vec<u8>| self.opcode != Opcode::Text || std::str::from_utf8(payload).is_ok();
            match inflated.filter(is_valid) {
                Some(payload) if compressed.len() <= self.limits.compressed_bytes_max() => payloads.push(payload),
                _ => return (payloads, true),
            }
            if !self.takeover()[0] {
                inflater.reset();
            }
        }
        (payloads, false)
    }

    /// The client compresses the payload, twice, in pieces and with the level given. The server sends it back, twice.
    fn check_round_trip(&self, level: i32, piece: usize, payload: &[u8]) {
        let is_text = self.opcode == Opcode::Text;
        let payload =
            if is_text { String::from_utf8_lossy(payload).into_owned().into_bytes() } else { payload.to_vec() };
        let mut connection = self.open();
        let mut compressor = Deflate::new(level, false, self.window_bits);
        let mut inflater = Inflater::new(self.window_bits);
        for _ in 0..2 {
            let compressed = compress(&mut compressor, &payload, piece);
            let (messages, code) = receive(&mut connection, &[&self.frames(&cut(&compressed, self.seed))]);
            if payload.len() > self.limits.message_bytes_max || compressed.len() > self.limits.compressed_bytes_max() {
                assert_eq!((messages.len(), code), (0, Some(1009)));
                return;
            }
            assert_eq!((messages, code), (vec![payload.clone()], None), "level {level}, in pieces of {piece}");
            if !self.takeover()[0] {
                compressor.reset();
            }
            self.check_sent(&mut connection, &mut inflater, &payload);
        }
    }

    /// What is sent, for this connection alone and for many, is compressed so that the payload comes out again.
    fn check_sent(&self, connection: &mut Connection, inflater: &mut Inflater, payload: &[u8]) {
        let now = Instant::now();
        let (message, shared) = match std::str::from_utf8(payload) {
            Ok(text) if self.opcode == Opcode::Text => (Message::text(text), SharedFrame::text(text)),
            _ => (Message::binary(payload), SharedFrame::binary(payload)),
        };
        for is_shared in [false, true] {
            let is_sent =
                if is_shared { connection.send_shared(&shared, now) } else { connection.send(message.clone(), now) };
            assert!(is_sent, "the queue has room");
            let output = connection.outgoing().collect::<Vec<_>>().concat();
            connection.sent(output.len(), now);
            let parsed = FrameHeader::parse_with(&output, true);
            let (header, header_end) = parsed.expect("a valid frame").expect("a whole header");
            assert_eq!((header.fin, header.opcode), (true, self.opcode));
            let sent = &output[header_end..];
            assert_eq!(sent.len() as u64, header.payload_len);
            if header.rsv1 {
                assert_eq!(inflater.inflate(sent, payload.len()).as_deref(), Some(payload), "is_shared: {is_shared}");
                assert!(self.takeover()[1] || sent.len() < payload.len(), "it got no smaller");
            } else {
                assert_eq!(sent, payload);
            }
            if !self.takeover()[1] {
                inflater.reset();
            }
        }
    }

    /// A compressed message in as many frames as there are pieces.
    fn frames(&self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut frames = Vec::new();
        let key = self.seed.to_be_bytes().repeat(2).try_into().unwrap_or_default();
        for at in 0..pieces.len().max(1) {
            let mut payload = pieces.get(at).map_or(Vec::new(), |piece| piece.to_vec());
            FrameHeader {
                fin: at + 1 >= pieces.len(),
                rsv1: at == 0,
                opcode: if at == 0 { self.opcode } else { Opcode::Continuation },
                masking_key: Some(key),
                payload_len: payload.len() as u64,
            }
            .encode(&mut frames);
            unmask(&mut payload, key, 0);
            frames.extend_from_slice(&payload);
        }
        frames
    }

    /// An open connection that has accepted the offer.
    fn open(&self) -> Connection {
        let commons = Commons::with_compression(self.limits.clone(), self.compression);
        let (connection, response) = open(&commons, format!("Sec-WebSocket-Extensions: {}\r\n", self.offer).as_bytes());
        assert!(response.contains("\r\nSec-WebSocket-Extensions: permessage-deflate;"), "{response}");
        connection
    }

    fn receive(&self, reads: &[&[u8]]) -> Outcome {
        receive(&mut self.open(), reads)
    }
}

/// The messages that come, all of them within the limit, and the close code if the connection fails.
fn receive(connection: &mut Connection, reads: &[&[u8]]) -> Outcome {
    let now = Instant::now();
    let mut messages = Vec::new();
    for read in reads {
        let mut bytes = read.to_vec();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = connection.poll_event(&mut input, now) {
            let Event::Message(message) = event else { panic!("only messages come: {event:?}") };
            messages.push(message.as_bytes().to_vec());
        }
    }
    let code = match connection.end() {
        None => None,
        Some(End::Failed(error)) => Some(error.close_code().number()),
        Some(end) => panic!("{end:?}"),
    };
    (messages, code)
}

/// What another implementation sends: the payload in pieces, each flushed, without the tail.
fn compress(compressor: &mut Deflate, payload: &[u8], piece: usize) -> Vec<u8> {
    let mut compressed = Vec::new();
    let mut room = [0; 1024];
    for piece in payload.chunks(piece) {
        let mut rest = piece;
        loop {
            let (read, written) = (compressor.total_in(), compressor.total_out());
            compressor.compress(rest, &mut room, DeflateFlush::SyncFlush).expect("a compressor takes anything");
            rest = &rest[(compressor.total_in() - read) as usize..];
            let written = (compressor.total_out() - written) as usize;
            compressed.extend_from_slice(&room[..written]);
            if rest.is_empty() && written < room.len() {
                break;
            }
        }
    }
    compressed.truncate(compressed.len().saturating_sub(4));
    compressed
}

/// A connection whose request has had these header lines, and its response.
fn open(commons: &Rc<Commons>, lines: &[u8]) -> (Connection, String) {
    let now = Instant::now();
    let mut connection = Connection::new(commons.clone(), now);
    let mut head = [REQUEST, lines, b"\r\n"].concat();
    let mut input = Input::new(&mut head);
    while let Some(event) = connection.poll_event(&mut input, now) {
        match event {
            Event::Request(request) => connection.accept(&request, None, now),
            event => panic!("the request asks to upgrade: {event:?}"),
        }
    }
    let response = connection.outgoing().collect::<Vec<_>>().concat();
    connection.sent(response.len(), now);
    (connection, String::from_utf8(response).expect("a response is ASCII"))
}

/// RFC 7692 §5, §7.1: any value of `Sec-WebSocket-Extensions`, in as many lines as it has, is answered or refused. What is
/// accepted is the first offer that can be; the answer has nothing that was not offered but that no context is taken over,
/// and the window that was asked for.
///
/// # Panics
/// If that does not hold.
pub fn extension_offers(data: &[u8]) {
    let mut source = Source::new(data);
    let contexts_max = usize::from(source.byte() % 3);
    let compression = if contexts_max == 2 { Compression::Shared } else { Compression::Takeover { contexts_max } };
    let values = source.rest();
    let line = |value: &[u8]| [b"Sec-WebSocket-Extensions: ", value, b"\r\n"].concat();
    let lines: Vec<u8> = values.split(|&byte| byte == b'\n').flat_map(line).collect();
    let commons = Commons::with_compression(Limits::default(), compression);
    let (connection, response) = open(&commons, &lines);
    let (_, name_and_more) = response.split_once("\r\nSec-WebSocket-Extensions: ").unzip();
    let answer = name_and_more.and_then(|more| more.split("\r\n").next());
    if connection.state() != State::Open {
        // A value that breaks the grammar, or the one of a header, or is too long.
        assert!(response.starts_with("HTTP/1.1 4") && answer.is_none(), "{response}");
        return;
    }
    let values = std::str::from_utf8(values).expect("what keeps the grammar is ASCII");
    let takeover = contexts_max == 1;
    let expected = values.split(['\n', ',']).find_map(|offer| answer_to(offer, takeover));
    assert_eq!(answer.map(str::to_owned), expected, "{values:?}");
}

/// What is answered to an offer that keeps the grammar, so that no value has a comma, a semicolon or a blank in it; `None`
/// if it is declined.
fn answer_to(offer: &str, takeover: bool) -> Option<String> {
    let mut parts = offer.split(';').map(str::trim_ascii);
    if parts.next() != Some("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut window_bits = String::new();
    for part in parts {
        let (name, value) =
            part.split_once('=').map_or((part, None), |(name, value)| (name.trim_ascii_end(), Some(value)));
        // Quotes and escapes: what is left is a token, which has none of them.
        let value = value.map(|value| value.trim_ascii().replace(['"', '\\'], ""));
        let is_window = |least: u8| (least..=15).any(|bits| value.as_deref() == Some(&bits.to_string()));
        let is_valid = match name {
            "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
            "server_max_window_bits" => is_window(9),
            "client_max_window_bits" => value.is_none() || is_window(8),
            _ => false,
        };
        if !is_valid || seen.contains(&name) {
            return None;
        }
        if name == "server_max_window_bits" {
            window_bits = format!("; server_max_window_bits={}", value.unwrap_or_default());
        }
        seen.push(name);
    }
    let flag = |name| if !takeover || seen.contains(&name) { format!("; {name}") } else { String::new() };
    let flags = ["server_no_context_takeover", "client_no_context_takeover"].map(flag).concat();
    Some(format!("permessage-deflate{flags}{window_bits}"))
}

/// A request but for its last lines, with the key of §1.3.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
