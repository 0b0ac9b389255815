//! A second opinion: tungstenite reads the same stream.

use std::io::{self, Cursor, Read, Write};
use std::time::Instant;

use tungstenite::error::Error;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use super::source::{Source, cut};
use crate::protocol::frame::{FrameHeader, Opcode};
use crate::protocol::{Commons, Connection, End, Event, Input, Limits, Message, ProtocolError};

/// Where this server and tungstenite's differ, and why. Anything else is a fault of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// §5.2: the length MUST be in its shortest form, so that of a control frame in 7 bits. tungstenite takes any form; we
    /// fail the connection.
    ShortestLength,
    /// We fail the connection as soon as the byte that breaks a rule is there; tungstenite waits for the end of the
    /// header or of the frame, which may never come. §7.1.7 leaves the moment open. Only in the frame within which the
    /// stream ends.
    Sooner,
    /// Where a header breaks several rules, or its frame does, the order of the checks decides which close code is sent:
    /// tungstenite looks at the length first (1009), and at the text of a reason before its code (1007). We look at the
    /// bits in the order in which they come. All end the connection.
    OrderOfChecks,
    /// §7.4: 1014 (bad gateway) was registered after the RFC. tungstenite answers it with 1002, we echo it.
    BadGateway,
}

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    messages: Vec<Seen>,
    pings: Vec<Vec<u8>>,
    /// The close code that answers, 1005 for a Close frame without one; `None` while the connection is open.
    close_code: Option<u16>,
}

/// A message that does not borrow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
}

/// The same stream of frames gives the same messages, the same pings to answer and the same close code here and in
/// tungstenite's server, but for the [`Difference`]s. Returns which of them it met.
///
/// # Panics
/// If they differ otherwise.
pub fn differential(data: &[u8]) -> Option<Difference> {
    let mut source = Source::new(data);
    let seed = u16::from(source.byte());
    let stream = source.rest();
    let (ours, error) = read_here(&cut(stream, seed));
    let theirs = read_there(stream);
    if ours == theirs {
        return None;
    }
    let is_begun = theirs.messages.starts_with(&ours.messages) && theirs.pings.starts_with(&ours.pings);
    let is_same = ours.messages == theirs.messages && ours.pings == theirs.pings;
    match (error, ours.close_code, theirs.close_code) {
        (Some(ProtocolError::LengthNotMinimal(_) | ProtocolError::ControlFrameTooLong), Some(1002), _)
            if is_begun && has_longer_form(stream) =>
        {
            Some(Difference::ShortestLength)
        }
        (Some(_), Some(_), None) if is_same && read_here(&cut(whole_frames(stream), seed)).1.is_none() => {
            Some(Difference::Sooner)
        }
        (Some(ProtocolError::InvalidCloseCode(_)), Some(1002), Some(1007)) if is_same => {
            Some(Difference::OrderOfChecks)
        }
        (Some(error), Some(1002), Some(1009)) if is_same && is_about_a_header(error) => Some(Difference::OrderOfChecks),
        (None, Some(1014), Some(1002)) if is_same => Some(Difference::BadGateway),
        _ => panic!("here {ours:?} ({error:?}), there {theirs:?}"),
    }
}

/// Whether some frame has its length in more bytes than it needs, or in more than a control frame may have (§5.2, §5.5).
fn has_longer_form(mut stream: &[u8]) -> bool {
    let is_control = |frame: &[u8]| frame[0] & 0x08 != 0;
    while let Some(lengths) = Lengths::of(stream) {
        let least = match lengths.extended {
            0 => 0,
            2 => 126,
            _ => 0x1_0000,
        };
        if lengths.payload < least || (lengths.extended > 0 && is_control(stream)) {
            return true;
        }
        stream = stream.get(lengths.frame..).unwrap_or_default();
    }
    stream.len() >= 2 && is_control(stream)
}

/// The stream without the frame within which it ends.
fn whole_frames(stream: &[u8]) -> &[u8] {
    let mut rest = stream;
    while let Some(behind) = Lengths::of(rest).and_then(|lengths| rest.get(lengths.frame..)) {
        rest = behind;
    }
    &stream[..stream.len() - rest.len()]
}

/// The lengths of a frame, in bytes.
struct Lengths {
    /// That of its extended payload length.
    extended: usize,
    payload: u64,
    frame: usize,
}

impl Lengths {
    /// Those of the first frame, in whatever form; none while its header does not tell them.
    fn of(stream: &[u8]) -> Option<Lengths> {
        let [_, second, rest @ ..] = stream else { return None };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let payload = match extended {
            0 => u64::from(second & 0x7f),
            _ => rest.get(..extended)?.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        let key = if second & 0x80 != 0 { 4 } else { 0 };
        let frame = payload.saturating_add(2 + extended as u64 + key);
        Some(Lengths { extended, payload, frame: usize::try_from(frame).unwrap_or(usize::MAX) })
    }
}

/// Whether the header alone breaks a rule, beside its length.
fn is_about_a_header(error: ProtocolError) -> bool {
    match error {
        ProtocolError::ReservedOpcode(_)
        | ProtocolError::ReservedBits(_)
        | ProtocolError::UnmaskedFrame
        | ProtocolError::LengthNotMinimal(_)
        | ProtocolError::LengthTooLarge(_)
        | ProtocolError::ControlFrameTooLong
        | ProtocolError::ControlFrameFragmented
        | ProtocolError::UnexpectedContinuation
        | ProtocolError::ExpectedContinuation => true,
        ProtocolError::InvalidUtf8
        | ProtocolError::InvalidDeflate
        | ProtocolError::MessageTooBig { .. }
        | ProtocolError::TooManyFrames(_)
        | ProtocolError::CloseTooShort
        | ProtocolError::InvalidCloseCode(_) => false,
    }
}

/// Bytes of one message, in both.
const MESSAGE_BYTES_MAX: usize = 1_000;

fn read_here(pieces: &[&[u8]]) -> (Reading, Option<ProtocolError>) {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let now = Instant::now();
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    let mut connection = Connection::new(Commons::new(limits), now);
    let (mut messages, mut pings) = (Vec::new(), Vec::new());
    for piece in std::iter::once(&REQUEST).chain(pieces) {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = connection.poll_event(&mut input, now) {
            match event {
                Event::Request(request) => connection.accept(&request, None, now),
                Event::Document(_) => unreachable!("the request asks for an upgrade"),
                Event::Message(Message::Text(text)) => messages.push(Seen::Text(text.into_owned())),
                Event::Message(Message::Binary(payload)) => messages.push(Seen::Binary(payload.into_owned())),
            }
        }
        // The socket takes all, so that every ping is answered.
        let output = connection.outgoing().collect::<Vec<_>>().concat();
        connection.sent(output.len(), now);
        let frames = if output.starts_with(b"HTTP/1.1 101 ") { &[][..] } else { &output[..] };
        read_pongs(frames, &mut pings);
    }
    let error = match connection.end() {
        Some(End::Failed(error)) => Some(*error),
        _ => None,
    };
    let close_code = connection.end().map(|end| end.close_code().map_or(1005, |code| code.number()));
    (Reading { messages, pings, close_code }, error)
}

fn read_pongs(mut frames: &[u8], pings: &mut Vec<Vec<u8>>) {
    while let Some((header, len)) = FrameHeader::parse(frames).expect("our own frames are valid") {
        let (payload, rest) = frames[len..].split_at(header.payload_len as usize);
        if header.opcode == Opcode::Pong {
            pings.push(payload.to_vec());
        }
        frames = rest;
    }
}

/// The client's bytes, and then silence.
struct Silence<'s>(Cursor<&'s [u8]>);

impl Read for Silence<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Silence<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_there(stream: &[u8]) -> Reading {
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Silence(Cursor::new(stream)), Role::Server, Some(config));
    let mut reading = Reading { messages: Vec::new(), pings: Vec::new(), close_code: None };
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => reading.messages.push(Seen::Text(text.as_str().to_owned())),
            Ok(tungstenite::Message::Binary(payload)) => reading.messages.push(Seen::Binary(payload.to_vec())),
            Ok(tungstenite::Message::Ping(payload)) => reading.pings.push(payload.to_vec()),
            Ok(tungstenite::Message::Pong(_) | tungstenite::Message::Frame(_)) => {}
            Ok(tungstenite::Message::Close(close)) => {
                reading.close_code = Some(close.map_or(1005, |close| close.code.into()));
                return reading;
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return reading,
            Err(Error::Protocol(_)) => reading.close_code = Some(1002),
            Err(Error::Utf8(_)) => reading.close_code = Some(1007),
            Err(Error::Capacity(_)) => reading.close_code = Some(1009),
            Err(error) => panic!("tungstenite ended with {error}"),
        }
        if reading.close_code.is_some() {
            return reading;
        }
    }
}
