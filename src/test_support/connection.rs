//! §5, §7: a whole connection.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use super::source::{Source, cut};
use crate::protocol::frame::{FrameHeader, Opcode};
use crate::protocol::mask::unmask;
use crate::protocol::{
    CloseCode, Commons, Connection, Document, End, Event, HandshakeError, Input, Limits, Message, SharedFrame, State,
};

/// A request that is accepted, with the key of §1.3.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What a connection may own beyond what was received: the smallest buffers, and a Close frame with its reason.
const SMALL_BYTES: usize = 4 * 1024;

/// What all buffers may be ahead of what was received.
const ADVANCE_BYTES: usize = 8 * 1024;

/// What the application does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Application {
    Listens,
    Echoes,
    Closes,
}

/// All that can be seen of a connection from outside.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    messages: Vec<(bool, Vec<u8>)>,
    output: Vec<u8>,
    state: State,
    end: Option<End>,
}

/// §5, §7: a stream of bytes behind an accepted request gives the same messages, the same answers and the same end
/// whatever the cuts between reads. After the end nothing is told and nothing grows. Memory is bounded by what was
/// received, never by what was announced.
///
/// # Panics
/// If that does not hold.
pub fn connection(data: &[u8]) {
    let mut source = Source::new(data);
    let application = [Application::Listens, Application::Echoes, Application::Closes][source.up_to(2)];
    let seed = u16::from_be_bytes(source.array());
    let stream = source.rest();
    let whole = run(&[stream], application, Way::Input);
    assert_eq!(run(&cut(stream, seed), application, Way::Input), whole, "cut, with seed {seed}");
    assert_eq!(run(&cut(stream, seed), application, Way::Room), whole, "cut, and read into the room");
    if application == Application::Listens {
        assert_eq!(run(&cut(stream, seed), application, Way::Flushed), whole, "cut, and flushed after each read");
    }
}

/// How the bytes come, and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Input,
    /// Payloads straight into the room for them, where there is some.
    Room,
    /// All that waits goes out after each read.
    Flushed,
}

fn run(pieces: &[&[u8]], application: Application, way: Way) -> Outcome {
    let now = Instant::now();
    // Far more bytes than an input has: whatever reserved what is announced would show.
    let limits = Limits { message_bytes_max: 1024 * 1024, message_frames_max: 40, ..Limits::default() };
    let advance_bytes_max = if way == Way::Room { ADVANCE_BYTES } else { 0 };
    let mut connection = Connection::new(Commons::with_lending(limits, advance_bytes_max, 1), now);
    let (mut messages, mut output, mut received) = (Vec::new(), Vec::new(), 0);
    for piece in std::iter::once(&REQUEST).chain(pieces) {
        let was_closed = connection.state() == State::Closed;
        let held_before = connection.held_bytes();
        received += piece.len();
        let mut bytes = piece.to_vec();
        let mut rest = &mut bytes[..];
        if way == Way::Room
            && let Some(room) = connection.payload_room()
        {
            assert!(!room.is_empty() && !was_closed);
            let (front, behind) = rest.split_at_mut(room.len().min(piece.len()));
            room[..front.len()].copy_from_slice(front);
            rest = behind;
            if let Some(event) = connection.poll_payload(front.len()) {
                react(&mut connection, event, application, &mut messages, now);
            }
        }
        let mut input = Input::new(rest);
        while let Some(event) = connection.poll_event(&mut input, now) {
            assert!(!was_closed, "§7.1.7: after the end nothing is told");
            react(&mut connection, event, application, &mut messages, now);
        }
        assert!(input.is_empty(), "all is taken");
        let held = connection.held_bytes();
        assert!(!was_closed || held <= held_before, "after the end nothing grows");
        assert!(
            held <= 3 * received + SMALL_BYTES + advance_bytes_max,
            "{held} bytes are held of {received} that were received"
        );
        if way == Way::Flushed {
            flush(&mut connection, &mut output, now);
        }
    }
    flush(&mut connection, &mut output, now);
    check_output(&output);
    Outcome { messages, output, state: connection.state(), end: connection.end().copied() }
}

/// The application takes an event.
fn react(
    connection: &mut Connection,
    event: Event<'_>,
    application: Application,
    messages: &mut Vec<(bool, Vec<u8>)>,
    now: Instant,
) {
    match event {
        Event::Request(request) => connection.accept(&request, None, now),
        Event::Document(request) => connection.answer(&request, Err(HandshakeError::NotAnUpgrade), now),
        Event::Message(message) => {
            messages.push((matches!(message, Message::Text(_)), message.as_bytes().to_vec()));
            match application {
                Application::Listens => {}
                Application::Echoes => assert!(connection.send(message, now), "the queue has room"),
                Application::Closes => connection.close(CloseCode::NORMAL, "bye", now),
            }
        }
    }
}

/// The socket takes all that waits.
fn flush(connection: &mut Connection, output: &mut Vec<u8>, now: Instant) {
    let bytes = connection.outgoing().collect::<Vec<_>>().concat();
    assert_eq!(bytes.len(), connection.queued_bytes());
    connection.sent(bytes.len(), now);
    output.extend_from_slice(&bytes);
}

/// Checks that the bytes are a response and then frames, of which the last may be cut, with one Close frame at most and
/// no data behind it (§5.5.1). Returns the payloads of the whole data frames.
fn check_output(output: &[u8]) -> Vec<&[u8]> {
    let mut data = Vec::new();
    let head_end = output.windows(4).position(|end| end == b"\r\n\r\n").map_or(output.len(), |at| at + 4);
    if !output.starts_with(b"HTTP/1.1 101 ") {
        return data;
    }
    let (mut at, mut is_closed) = (head_end, false);
    while let Some((header, len)) = FrameHeader::parse(&output[at..]).expect("a valid frame") {
        assert!(header.fin && header.masking_key.is_none(), "§5.1, §5.4: whole, and not masked");
        assert!(!is_closed || matches!(header.opcode, Opcode::Ping | Opcode::Pong), "§5.5.1: nothing follows Close");
        is_closed |= header.opcode == Opcode::Close;
        let start = at + len;
        let Some(payload) = output.get(start..start + header.payload_len as usize) else { break };
        if !header.opcode.is_control() {
            data.push(payload);
        }
        at = start + payload.len();
    }
    data
}

/// §5, §7: whatever is called in whatever order, with whatever the socket takes and whatever the clock does: a response
/// and whole frames come out, at most one Close and no data behind it; the messages in them are those that were sent,
/// in order and without a hole; the queue keeps its bound; the first cause of the end remains; a timeout that was
/// handled is not due again.
///
/// # Panics
/// If that does not hold.
pub fn lifecycle(data: &[u8]) {
    let mut source = Source::new(data);
    let mut limits = Limits { message_bytes_max: 5_000, queue_bytes_max: 6_000, ..Limits::default() };
    if source.byte().is_multiple_of(4) {
        // Any times whatever, none included.
        limits.ping_interval = source.duration();
        limits.close_timeout = source.duration();
        limits.slow_timeout = source.duration();
        limits.ping_misses_max = source.byte() % 4;
    }
    let mut now = Instant::now();
    let mut connection = Connection::new(Commons::with_lending(limits.clone(), 0, 1), now);
    let (mut output, mut sent) = (Vec::new(), VecDeque::new());
    let mut end = None;
    if !source.byte().is_multiple_of(8) {
        feed(&mut connection, REQUEST, 0, now, &mut sent);
    }
    while !source.is_empty() && !connection.is_done() {
        let was_closed = connection.state() == State::Closed;
        match source.byte() % 12 {
            0 | 1 => {
                let count = usize::from(source.byte());
                feed(&mut connection, source.take(count), 0, now, &mut sent);
            }
            2..=4 => {
                let (frame, deed) = (client_frame(&mut source), source.byte());
                feed(&mut connection, &frame, deed, now, &mut sent);
            }
            5 => {
                let payload = vec![source.byte(); source.up_to(6_000)];
                let is_owned = source.byte().is_multiple_of(2);
                let message = if is_owned { Cow::Owned(payload.clone()) } else { Cow::Borrowed(&payload[..]) };
                let is_sent = if source.byte().is_multiple_of(2) {
                    let share = usize::from(source.byte());
                    let is_idle = connection.queued_bytes() == 0;
                    connection.send_directly(Message::Binary(message), now, |header, payload| {
                        assert!(is_idle, "nothing goes before what waits");
                        let bytes = [header, payload].concat();
                        let count = bytes.len() * share / 255;
                        output.extend_from_slice(&bytes[..count]);
                        count
                    })
                } else {
                    connection.send(Message::Binary(message), now)
                };
                if is_sent {
                    sent.push_back(payload);
                }
            }
            6 => {
                let payload = vec![source.byte(); usize::from(source.byte())];
                if connection.send_shared(&SharedFrame::binary(&payload), now) {
                    sent.push_back(payload);
                }
            }
            7 | 8 => {
                let waiting = connection.queued_bytes();
                let count = source.up_to(waiting);
                take(&mut connection, count, &mut output, now);
            }
            9 => {
                let waiting = connection.queued_bytes();
                take(&mut connection, waiting, &mut output, now);
            }
            10 => {
                now += source.duration();
                connection.handle_timeout(now);
                if let Some(next) = connection.next_timeout() {
                    assert!(next > now, "what was handled is not due again");
                }
            }
            _ => match source.byte() % 16 {
                0 => connection.receive_eof(now),
                1 => connection.abort(now),
                2 | 3 => connection.close(CloseCode::GOING_AWAY, "bye", now),
                4 | 5 => connection.hasten_ping(source.duration(), now),
                _ => {}
            },
        }
        assert!(!was_closed || connection.state() == State::Closed, "the end is the end");
        assert!(end.is_none() || end == connection.end().copied(), "the first cause remains");
        end = connection.end().copied();
        let ends = matches!(connection.state(), State::CloseSent | State::Closed);
        assert_eq!(ends, end.is_some(), "{:?}: {end:?}", connection.state());
        // Beside the frames that were sent there may be the response, pongs and a Close frame.
        assert!(connection.queued_bytes() <= limits.queue_bytes_max + 20 * 1024, "§10.4");
    }
    let waiting = connection.queued_bytes();
    take(&mut connection, waiting, &mut output, now);
    for payload in check_output(&output) {
        assert_eq!(sent.pop_front().as_deref(), Some(payload), "messages go out in the order in which they were sent");
    }
    let is_whole = matches!(connection.end(), None | Some(End::ClosedByUs(_) | End::ClosedByPeer(_)));
    assert!(
        !is_whole || connection.is_done() || sent.is_empty(),
        "{:?}: {} messages were lost",
        connection.end(),
        sent.len()
    );
}

/// The bytes arrive; the application echoes (0), closes (1) or listens. A payload of it that is queued goes into `sent`.
fn feed(connection: &mut Connection, bytes: &[u8], deed: u8, now: Instant, sent: &mut VecDeque<Vec<u8>>) {
    let mut bytes = bytes.to_vec();
    let mut input = Input::new(&mut bytes);
    while let Some(event) = connection.poll_event(&mut input, now) {
        match event {
            Event::Request(request) => connection.accept(&request, None, now),
            Event::Document(request) => match deed % 8 {
                0 => connection.answer(&request, Err(HandshakeError::NotFound), now),
                len => {
                    connection.answer(&request, Ok(&Document::new("a/b", vec![b'x'; usize::from(len - 1) * 500])), now)
                }
            },
            Event::Message(message) => match deed % 8 {
                0 => {
                    let payload = message.as_bytes().to_vec();
                    if connection.send(message, now) {
                        sent.push_back(payload);
                    }
                }
                1 => connection.close(CloseCode::NORMAL, "", now),
                _ => {}
            },
        }
    }
    assert!(input.is_empty(), "all is taken");
}

/// The socket takes the first `count` bytes.
fn take(connection: &mut Connection, count: usize, output: &mut Vec<u8>, now: Instant) {
    assert!(connection.outgoing().all(|slice| !slice.is_empty()), "an empty slice is wasted");
    let bytes = connection.outgoing().collect::<Vec<_>>().concat();
    assert_eq!(bytes.len(), connection.queued_bytes());
    output.extend_from_slice(&bytes[..count]);
    connection.sent(count, now);
}

/// A frame as a client sends it: masked, mostly valid.
fn client_frame(source: &mut Source<'_>) -> Vec<u8> {
    let opcodes = [Opcode::Text, Opcode::Binary, Opcode::Continuation, Opcode::Ping, Opcode::Pong, Opcode::Close];
    let [kind, length, fill] = source.array();
    let opcode = opcodes[usize::from(kind & 7) % opcodes.len()];
    let scale = if opcode.is_control() || kind & 8 == 0 { 1 } else { 30 };
    let mut payload = vec![fill; usize::from(length) * scale];
    if opcode.is_control() {
        payload.truncate(125);
    }
    if opcode == Opcode::Close {
        payload.splice(..payload.len().min(2), [0x03, 0xe8]);
        payload.truncate(2);
    }
    let key = source.array();
    let fin = kind & 16 == 0 || opcode.is_control();
    let mut frame = Vec::new();
    FrameHeader { fin, rsv1: false, opcode, masking_key: Some(key), payload_len: payload.len() as u64 }
        .encode(&mut frame);
    unmask(&mut payload, key, 0);
    frame.extend_from_slice(&payload);
    frame
}
