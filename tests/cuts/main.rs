//! Where a read ends means nothing: every stream of the corpus gives the same events, the same bytes, the same state
//! and the same end, whatever the cuts between its reads. And what it gives is what the corpus says.

#![allow(clippy::unwrap_used)]

mod control;
mod corpus;
mod handshakes;
mod messages;
mod violations;
#[path = "../wire/mod.rs"]
mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use corpus::{Ending, Seen, Stream, corpus};
use frameloop::protocol::{
    CloseCode, Commons, Connection, End, Event, HandshakeError, Input, Message, ProtocolError, State,
};
use wire::{BINARY, CLOSE, PONG, ServerFrame, TEXT, server_frames, server_response};

/// What the application does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Application {
    DoesNothing,
    Echoes,
    /// Closes with 1000 at its first message, so that what follows comes in the state `CloseSent`.
    Closes,
}

const APPLICATIONS: [Application; 3] = [Application::DoesNothing, Application::Echoes, Application::Closes];

/// When the socket takes what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    AtTheEnd,
    AfterEachRead,
}

/// All that can be seen of a connection from outside.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    requests: Vec<String>,
    messages: Vec<Seen>,
    output: Output,
    state: State,
    end: Option<End>,
}

/// Bytes that are readable where a test fails.
#[derive(PartialEq, Eq)]
struct Output(Vec<u8>);

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

#[test]
fn a_whole_stream_gives_what_the_corpus_says() {
    for stream in corpus() {
        let reads: [&[u8]; 1] = [&stream.bytes];
        for application in [Application::DoesNothing, Application::Echoes] {
            check(&stream, application, &run(&stream, application, Flush::AtTheEnd, &reads));
        }
        let closed = run(&stream, Application::Closes, Flush::AtTheEnd, &reads);
        assert_eq!(closed.messages, stream.messages.iter().take(1).cloned().collect::<Vec<_>>(), "{}", stream.name);
        if !stream.messages.is_empty() {
            assert_eq!(closed.end, Some(End::ClosedByUs(CloseCode::NORMAL)), "{}", stream.name);
            let frames = server_frames(server_response(&closed.output.0).1);
            let codes: Vec<_> = frames.iter().filter(|f| f.opcode == CLOSE).map(ServerFrame::close_code).collect();
            assert_eq!(codes, [Some(1000)], "{}: §5.5.1: one Close frame, whatever follows", stream.name);
        }
    }
}

#[test]
fn a_stream_cut_in_two_at_every_position_gives_the_same() {
    for stream in corpus() {
        for application in APPLICATIONS {
            let whole = run(&stream, application, Flush::AtTheEnd, &[&stream.bytes]);
            for cut in cuts(stream.bytes.len()) {
                let (front, back) = stream.bytes.split_at(cut);
                let outcome = run(&stream, application, Flush::AtTheEnd, &[front, back]);
                assert_eq!(outcome, whole, "{}, {application:?}, cut at {cut}", stream.name);
            }
        }
    }
}

#[test]
fn a_stream_that_comes_byte_by_byte_gives_the_same() {
    for stream in corpus() {
        let bytes: Vec<&[u8]> = stream.bytes.chunks(1).collect();
        for application in APPLICATIONS {
            let whole = run(&stream, application, Flush::AtTheEnd, &[&stream.bytes]);
            let outcome = run(&stream, application, Flush::AtTheEnd, &bytes);
            assert_eq!(outcome, whole, "{}, {application:?}", stream.name);
        }
        // Where the application sends nothing there is no data for a pong to overtake, so that it does not matter
        // either when the socket takes the bytes.
        let whole = run(&stream, Application::DoesNothing, Flush::AtTheEnd, &[&stream.bytes]);
        let outcome = run(&stream, Application::DoesNothing, Flush::AfterEachRead, &bytes);
        assert_eq!(outcome, whole, "{}, flushed after each byte", stream.name);
    }
}

#[test]
fn a_stream_cut_in_three_gives_the_same() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for stream in corpus() {
        let rounds = if stream.bytes.len() > LONG { 10 } else { 60 };
        for application in APPLICATIONS {
            let whole = run(&stream, application, Flush::AtTheEnd, &[&stream.bytes]);
            for _ in 0..rounds {
                let mut at = [random.below(stream.bytes.len() + 1), random.below(stream.bytes.len() + 1)];
                at.sort_unstable();
                let (front, back) = stream.bytes.split_at(at[1]);
                let (front, middle) = front.split_at(at[0]);
                let outcome = run(&stream, application, Flush::AtTheEnd, &[front, middle, back]);
                assert_eq!(outcome, whole, "{}, {application:?}, cut at {at:?}", stream.name);
            }
        }
    }
}

/// The matches are exhaustive, so that a new rule does not compile until it has a number here, and the test then
/// fails until it has a stream.
#[test]
fn the_corpus_breaks_every_rule() {
    let (mut protocol_errors, mut handshake_errors) = (BTreeSet::new(), BTreeSet::new());
    for stream in corpus() {
        match stream.ending {
            Ending::Failed(error, _) => protocol_errors.insert(number_of_protocol_error(&error)),
            Ending::Refused(error, _) => handshake_errors.insert(number_of_handshake_error(&error)),
            Ending::Connecting | Ending::Open | Ending::ClosedByPeer(_) => false,
        };
    }
    assert_eq!(protocol_errors, (0..14).collect());
    assert_eq!(handshake_errors, (0..14).collect());
}

/// Feeds `reads` one by one.
fn run(stream: &Stream, application: Application, flush: Flush, reads: &[&[u8]]) -> Outcome {
    let now = Instant::now();
    let mut connection = Connection::new(Commons::with_lending(stream.limits.clone(), 1024 * 1024, 1), now);
    let (mut requests, mut messages, mut output) = (Vec::new(), Vec::new(), Output(Vec::new()));
    for read in reads {
        let mut bytes = read.to_vec();
        let mut rest = &mut bytes[..];
        // As a server that reads long payloads to where they stay.
        if flush == Flush::AfterEachRead
            && let Some(room) = connection.payload_room()
        {
            let (front, behind) = rest.split_at_mut(room.len().min(read.len()));
            room[..front.len()].copy_from_slice(front);
            rest = behind;
            if let Some(Event::Message(message)) = connection.poll_payload(front.len()) {
                messages.push(Seen::of(&message));
                answer(&mut connection, application, message, now);
            }
        }
        let mut input = Input::new(rest);
        while let Some(event) = connection.poll_event(&mut input, now) {
            match event {
                Event::Request(request) => {
                    requests.push(format!("{} {}", request.target(), request.accept_value()));
                    connection.accept(&request, None, now);
                }
                Event::Document(request) => connection.answer(&request, Err(HandshakeError::NotAnUpgrade), now),
                Event::Message(message) => {
                    messages.push(Seen::of(&message));
                    answer(&mut connection, application, message, now);
                }
            }
        }
        assert!(input.is_empty(), "{}: when no event is left, all bytes are taken", stream.name);
        if flush == Flush::AfterEachRead {
            take_outgoing(&mut connection, &mut output.0, now);
        }
    }
    take_outgoing(&mut connection, &mut output.0, now);
    Outcome { requests, messages, output, state: connection.state(), end: connection.end().copied() }
}

fn answer(connection: &mut Connection, application: Application, message: Message<'_>, now: Instant) {
    match application {
        Application::DoesNothing => {}
        Application::Echoes => assert!(connection.send(message, now), "the queue has room"),
        Application::Closes => connection.close(CloseCode::NORMAL, "enough", now),
    }
}

fn take_outgoing(connection: &mut Connection, output: &mut Vec<u8>, now: Instant) {
    for slice in connection.outgoing() {
        output.extend_from_slice(slice);
    }
    connection.sent(connection.queued_bytes(), now);
}

/// Compares an outcome with what the corpus says of the stream.
fn check(stream: &Stream, application: Application, outcome: &Outcome) {
    let Outcome { requests, messages, output: Output(output), state, end } = outcome;
    let name = format!("{}, {application:?}", stream.name);
    assert_eq!(messages, &stream.messages, "{name}");
    let close_code = match stream.ending {
        Ending::Connecting => {
            assert_eq!((*state, *end, output.as_slice()), (State::Connecting, None, &[][..]), "{name}");
            return;
        }
        Ending::Refused(error, status) => {
            assert_eq!((*state, *end), (State::Closed, Some(End::Refused(error))), "{name}");
            assert_eq!(server_response(output).0, status, "{name}");
            assert!(requests.is_empty(), "{name}");
            return;
        }
        Ending::Open => {
            assert_eq!((*state, *end), (State::Open, None), "{name}");
            None
        }
        Ending::ClosedByPeer(code) => {
            let end_code = code.map(|code| CloseCode::new(code).unwrap());
            assert_eq!((*state, *end), (State::Closed, Some(End::ClosedByPeer(end_code))), "{name}");
            Some(code)
        }
        Ending::Failed(error, code) => {
            assert_eq!((*state, *end), (State::Closed, Some(End::Failed(error))), "{name}");
            Some(Some(code))
        }
    };
    assert_eq!(requests.len(), 1, "{name}");
    assert!(requests[0].ends_with(" s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{name}: §1.3 gives this value");
    let (status, rest) = server_response(output);
    assert_eq!(status, 101, "{name}");

    // Pongs overtake data that waits; the Close frame is last.
    let mut frames = server_frames(rest);
    let close = frames.pop_if(|frame| frame.opcode == CLOSE);
    assert_eq!(close.map(|close| close.close_code()), close_code, "{name}");
    let mut expected: Vec<_> = stream.pongs.iter().map(|payload| ServerFrame::new(PONG, payload)).collect();
    if application == Application::Echoes {
        expected.extend(stream.messages.iter().map(|message| match message {
            Seen::Text(text) => ServerFrame::new(TEXT, text.as_bytes()),
            Seen::Binary(payload) => ServerFrame::new(BINARY, payload),
        }));
    }
    assert_eq!(frames, expected, "{name}");
}

/// Every position; in a long stream, whose middle is one payload, all near its ends and some of the middle.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).filter(move |&cut| len <= LONG || cut < 300 || len - cut < 100 || cut % 499 == 0)
}

/// Bytes from which on a stream counts as long.
const LONG: usize = 4096;

/// Marsaglia's xorshift: the same cuts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn number_of_protocol_error(error: &ProtocolError) -> usize {
    match error {
        ProtocolError::ReservedOpcode(_) => 0,
        ProtocolError::ReservedBits(_) => 1,
        ProtocolError::UnmaskedFrame => 2,
        ProtocolError::LengthNotMinimal(_) => 3,
        ProtocolError::LengthTooLarge(_) => 4,
        ProtocolError::ControlFrameTooLong => 5,
        ProtocolError::ControlFrameFragmented => 6,
        ProtocolError::UnexpectedContinuation => 7,
        ProtocolError::ExpectedContinuation => 8,
        ProtocolError::InvalidUtf8 => 9,
        ProtocolError::MessageTooBig { .. } => 10,
        ProtocolError::TooManyFrames(_) => 11,
        ProtocolError::CloseTooShort => 12,
        ProtocolError::InvalidCloseCode(_) => 13,
        ProtocolError::InvalidDeflate => 14,
    }
}

fn number_of_handshake_error(error: &HandshakeError) -> usize {
    match error {
        HandshakeError::HeadTooLarge => 0,
        HandshakeError::TooManyHeaders => 1,
        HandshakeError::MalformedHead(_) => 2,
        HandshakeError::MethodNotGet => 3,
        HandshakeError::HttpVersion => 4,
        HandshakeError::Host => 5,
        HandshakeError::RequestBody => 6,
        HandshakeError::NotAnUpgrade => 7,
        HandshakeError::ConnectionWithoutUpgrade => 8,
        HandshakeError::Key => 9,
        HandshakeError::Version => 10,
        HandshakeError::RepeatedVersion => 11,
        HandshakeError::Extensions => 12,
        HandshakeError::Subprotocols => 13,
        HandshakeError::NotFound
        | HandshakeError::Origin
        | HandshakeError::ForeignHost
        | HandshakeError::Unauthorized(_)
        | HandshakeError::ConnectionLimit
        | HandshakeError::UserLimit
        | HandshakeError::AcceptRate
        | HandshakeError::Timeout
        | HandshakeError::Overloaded => {
            panic!("no bytes of a client's make {error:?}")
        }
    }
}
