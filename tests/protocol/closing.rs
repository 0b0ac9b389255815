//! §5.5.1, §7: every frame in every state, and the end of the transport. Rule by rule the closing handshake is in
//! `tests/rfc6455`.

use frameloop::protocol::limits::RESTRICTED_MESSAGE_BYTES_MAX;
use frameloop::protocol::{CloseCode, End, Limits, Message, ProtocolError, SharedFrame, State};

use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, close_payload,
    server_frames,
};
use crate::{Link, seconds};

/// The ways to a state in which a frame can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Open,
    /// After our `close(1001)`.
    CloseSent,
    /// After the peer's Close with 1000.
    ClosedByPeer,
    /// After the Close of both.
    ClosedByBoth,
    /// After an opcode that is reserved.
    Failed,
}

/// What a frame brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Nothing,
    Message,
    Pong,
    /// The peer's Close frame with this code.
    Close(u16),
    Failure(ProtocolError, u16),
}

const BEFORE: [Before; 5] =
    [Before::Open, Before::CloseSent, Before::ClosedByPeer, Before::ClosedByBoth, Before::Failed];

const FRAMES: [(u8, &[u8], Effect); 13] = [
    (FIN | TEXT, b"text", Effect::Message),
    (FIN | BINARY, b"\xff", Effect::Message),
    (TEXT, b"fragment", Effect::Nothing),
    (FIN | PING, b"ping", Effect::Pong),
    (FIN | PING, b"", Effect::Pong),
    (FIN | PONG, b"pong", Effect::Nothing),
    (FIN | CLOSE, b"\x0f\xa0bye", Effect::Close(4000)),
    (FIN | CLOSE, b"x", Effect::Failure(ProtocolError::CloseTooShort, 1002)),
    (FIN | CLOSE, b"\x03\xee", Effect::Failure(ProtocolError::InvalidCloseCode(1006), 1002)),
    (FIN | CLOSE, b"\x03\xe8\xff", Effect::Failure(ProtocolError::InvalidUtf8, 1007)),
    (FIN | TEXT, b"\xff", Effect::Failure(ProtocolError::InvalidUtf8, 1007)),
    (FIN | CONTINUATION, b"", Effect::Failure(ProtocolError::UnexpectedContinuation, 1002)),
    (FIN | 0x3, b"", Effect::Failure(ProtocolError::ReservedOpcode(3), 1002)),
];

/// A link in that state, with all bytes that it has sent since it was open. Where `flushed`, the socket has taken
/// them; otherwise they still wait.
fn link(before: Before, flushed: bool) -> (Link, Vec<u8>) {
    let mut link = Link::open(Limits::default());
    match before {
        Before::Open => {}
        Before::CloseSent => link.connection.close(CloseCode::GOING_AWAY, "shutdown", link.now),
        Before::ClosedByPeer => drop(link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, "")))),
        Before::ClosedByBoth => {
            link.connection.close(CloseCode::GOING_AWAY, "shutdown", link.now);
            link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, "")));
        }
        Before::Failed => drop(link.receive(&client_frame(FIN | 0xb, b""))),
    }
    let sent = if flushed { link.take(usize::MAX) } else { Vec::new() };
    (link, sent)
}

/// How the connection stands: its state, its end, and the code of the one Close frame that was sent.
type Standing = (State, Option<End>, Option<u16>);

fn standing(before: Before) -> Standing {
    let by_us = Some(End::ClosedByUs(CloseCode::GOING_AWAY));
    match before {
        Before::Open => (State::Open, None, None),
        Before::CloseSent => (State::CloseSent, by_us, Some(1001)),
        Before::ClosedByPeer => (State::Closed, Some(End::ClosedByPeer(Some(CloseCode::NORMAL))), Some(1000)),
        Before::ClosedByBoth => (State::Closed, by_us, Some(1001)),
        Before::Failed => (State::Closed, Some(End::Failed(ProtocolError::ReservedOpcode(0xb))), Some(1002)),
    }
}

/// The rules of §5.5.1 and §7.1 in one place: what a frame changes, by the state in which it comes.
fn standing_after(before: Before, effect: Effect) -> Standing {
    match (before, effect) {
        (Before::Open, Effect::Close(code)) => {
            (State::Closed, Some(End::ClosedByPeer(CloseCode::new(code))), Some(code)) // the code is echoed
        }
        (Before::Open, Effect::Failure(error, code)) => (State::Closed, Some(End::Failed(error)), Some(code)),
        (Before::CloseSent, Effect::Close(_) | Effect::Failure(..)) => {
            let (_, end, code) = standing(before);
            (State::Closed, end, code) // the first cause stays, and no second Close frame is sent
        }
        _ => standing(before),
    }
}

#[test]
fn every_frame_in_every_state_has_its_effect_and_one_close_frame_is_sent_at_most() {
    for before in BEFORE {
        for (first, payload, effect) in FRAMES {
            for flushed in [false, true] {
                let case = format!("{before:?}, {first:#x} {payload:x?}, flushed: {flushed}");
                let (mut link, mut sent) = link(before, flushed);
                let messages = link.receive(&client_frame(first, payload));
                let delivered = before == Before::Open && effect == Effect::Message;
                assert_eq!(messages.len(), usize::from(delivered), "{case}");

                let (state, end, close_code) = standing_after(before, effect);
                assert_eq!(link.connection.state(), state, "{case}");
                assert_eq!(link.connection.end(), end.as_ref(), "{case}");

                // §5.5.2: a ping is answered until the peer's Close has come.
                sent.extend(link.take(usize::MAX));
                let frames = server_frames(&sent);
                let closes: Vec<_> = frames.iter().filter(|f| f.opcode == CLOSE).map(|f| f.close_code()).collect();
                assert_eq!(closes, close_code.map(Some).as_slice(), "{case}");
                let answers = matches!(before, Before::Open | Before::CloseSent) && effect == Effect::Pong;
                let pong = answers.then(|| ServerFrame::new(PONG, payload));
                let others: Vec<_> = frames.into_iter().filter(|frame| frame.opcode != CLOSE).collect();
                assert_eq!(others, pong.as_slice(), "{case}");
            }
        }
    }
}

#[test]
fn once_it_is_closed_nothing_is_processed_or_sent_any_more() {
    for before in [Before::ClosedByPeer, Before::ClosedByBoth, Before::Failed] {
        let (mut link, _) = link(before, false);
        let waiting = link.waiting();
        let frames = FRAMES.map(|(first, payload, _)| client_frame(first, payload)).concat();
        assert!(link.receive(&frames).is_empty(), "{before:?}");
        link.connection.send(Message::text("late"), link.now);
        link.connection.send_shared(&SharedFrame::text("late"), link.now);
        link.connection.close(CloseCode::INTERNAL_ERROR, "late", link.now);
        link.connection.receive_eof(link.now);
        assert_eq!(link.waiting(), waiting, "{before:?}: the Close frame and nothing else");
        let (state, end, _) = standing(before);
        assert_eq!((link.connection.state(), link.connection.end().copied()), (state, end), "{before:?}");
    }
}

#[test]
fn while_we_wait_for_the_peers_close_its_messages_are_read_over() {
    let (mut link, _) = link(Before::CloseSent, true);
    assert!(link.receive(&client_frame(FIN | TEXT, b"late")).is_empty());
    assert!(link.receive(&client_frame(BINARY, &[7; 1000])).is_empty());
    assert!(link.receive(&client_frame(FIN | CONTINUATION, b"")).is_empty());
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::CloseSent, 0));
    link.receive(&client_frame(FIN | CLOSE, &close_payload(1001, "")));
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Closed, 0));
}

#[test]
fn it_is_done_when_the_close_frame_is_sent_and_the_peer_has_ended_the_transport() {
    for before in [Before::ClosedByPeer, Before::Failed] {
        let (mut link, _) = link(before, false);
        assert!(!link.connection.is_done(), "{before:?}: the Close frame waits");
        link.take(usize::MAX);
        assert!(!link.connection.is_done(), "{before:?}: the peer has not ended the transport");
        link.connection.receive_eof(link.now);
        assert!(link.connection.is_done(), "{before:?}");
        assert_eq!(link.connection.timer(), None, "{before:?}");
        assert_eq!(link.connection.next_timeout(), None, "{before:?}");
    }
    let (mut link, _) = link(Before::ClosedByPeer, false);
    link.connection.receive_eof(link.now);
    assert!(!link.connection.is_done(), "the end of file comes first, the Close frame still waits");
    link.take(usize::MAX);
    assert!(link.connection.is_done());
}

#[test]
fn end_of_file_in_each_state() {
    let mut link = Link::connecting(Limits::default());
    link.receive(&REQUEST_HEAD[..20]);
    link.connection.receive_eof(link.now);
    assert_eq!((link.connection.end(), link.connection.queued_bytes()), (Some(&End::Lost), 0));
    assert!(link.connection.is_done(), "nobody waits for an answer to half a request");

    // §7.1.5: 1006 without a Close frame; the peer may have closed its own side only, so that what waits still goes.
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::text("before"), link.now);
    link.receive(&client_frame(TEXT, b"half a message"));
    link.connection.receive_eof(link.now);
    assert_eq!((link.connection.state(), link.connection.end()), (State::Closed, Some(&End::Lost)));
    assert_eq!(link.connection.end().and_then(End::close_code), None);
    assert!(!link.connection.is_done());
    assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, b"before")], "and no Close frame");
    assert!(link.connection.is_done());

    for before in [Before::CloseSent, Before::ClosedByPeer, Before::ClosedByBoth, Before::Failed] {
        let (mut link, _) = self::link(before, true);
        link.connection.receive_eof(link.now);
        assert_eq!(link.connection.state(), State::Closed, "{before:?}");
        assert_eq!(link.connection.end().copied(), standing(before).1, "{before:?}: the first cause stays");
        assert!(link.connection.is_done(), "{before:?}");
    }
}

#[test]
fn a_transport_that_breaks_ends_the_connection_at_once_in_each_state() {
    let mut link = Link::connecting(Limits::default());
    link.connection.abort(link.now);
    assert_eq!((link.connection.end(), link.connection.is_done()), (Some(&End::Reset), true));

    for before in BEFORE {
        let (mut link, _) = self::link(before, false);
        link.connection.send(Message::binary(&[7; 10_000]), link.now);
        link.connection.abort(link.now);
        assert_eq!(link.connection.state(), State::Closed, "{before:?}");
        assert_eq!(link.connection.end().copied(), standing(before).1.or(Some(End::Reset)), "{before:?}");
        assert!(link.connection.is_done(), "{before:?}");
        assert_eq!((link.waiting(), link.connection.timer()), (Vec::new(), None), "{before:?}");
        assert!(link.receive(&client_frame(FIN | PING, b"")).is_empty());
        link.advance(seconds(1000));
        assert_eq!(link.connection.queued_bytes(), 0, "{before:?}: and nothing comes after it");
    }
}

#[test]
fn a_rule_that_is_broken_after_our_close_drops_neither_our_close_frame_nor_what_waits_before_it() {
    let mut link = Link::open(Limits::default());
    assert!(link.connection.send(Message::text("last words"), link.now));
    link.connection.sent(0, link.now); // the socket takes nothing for a while
    link.connection.close(CloseCode::GOING_AWAY, "shutdown", link.now);
    link.receive(&client_frame(FIN | 0x3, b""));
    assert_eq!(link.connection.state(), State::Closed);
    let shutdown = ServerFrame::new(CLOSE, &close_payload(1001, "shutdown"));
    assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, b"last words"), shutdown]);
}

#[test]
fn a_peer_that_is_not_known_yet_may_send_only_short_messages() {
    let limits = |message_bytes_max| Limits { message_bytes_max, ..Limits::default() };
    let most = RESTRICTED_MESSAGE_BYTES_MAX;
    for (message_bytes_max, most) in [(1 << 20, most), (1000, 1000)] {
        let mut link = Link::open(limits(message_bytes_max));
        link.connection.restrict(true);
        link.receive(&client_frame(FIN | BINARY, &vec![1; most]));
        assert_eq!(link.connection.state(), State::Open, "so much it may say");
        link.receive(&client_frame(BINARY, &vec![1; most]));
        link.receive(&client_frame(FIN | CONTINUATION, b"x"));
        let error = ProtocolError::MessageTooBig { announced: most as u64 + 1, limit: most as u64 };
        assert_eq!(link.connection.end(), Some(&End::Failed(error)), "all fragments count");
    }
    let mut link = Link::open(limits(1 << 20));
    link.connection.restrict(true);
    link.connection.restrict(false);
    link.receive(&client_frame(FIN | BINARY, &vec![1; most + 1]));
    assert_eq!(link.connection.state(), State::Open, "now it is known");
}
