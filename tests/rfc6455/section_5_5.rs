//! §5.5: control frames. That the TCP connection ends after the Close of both sides (§5.5.1) stands in `section_7`.

use std::time::Duration;

use frameloop::protocol::connection::Timer;
use frameloop::protocol::{CloseCode, End, Limits, Message, ProtocolError, SharedFrame, State};

use crate::driver::{Link, seconds};
use crate::section_5_1::{Deed, every_kind_of_frame};
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame, close_payload, server_frames,
};

// ---- §5.5

#[test]
fn a_control_frame_must_not_be_longer_than_125_bytes() {
    for opcode in [CLOSE, PING, PONG] {
        for length in [126, 127, 1000, 0xffff, 0x1_0000] {
            let frame = client_frame(FIN | opcode, &vec![b'x'; length]);
            Link::open(Limits::default()).fails(&frame, ProtocolError::ControlFrameTooLong, 1002);
        }
        // Neither is the longer form of a length that would do.
        let frame = [FIN | opcode, 0x80 | 126, 0, 2, 0, 0, 0, 0, 0x03, 0xe8];
        Link::open(Limits::default()).fails(&frame, ProtocolError::ControlFrameTooLong, 1002);
    }
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(FIN | PONG, &[b'x'; 125]));
    link.receive(&client_frame(FIN | PING, &[b'x'; 125]));
    assert_eq!(link.take_frames(), [ServerFrame::new(PONG, &[b'x'; 125])]);
    link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, &"x".repeat(123))));
    assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(1000, ""))]);
}

#[test]
fn a_control_frame_must_not_be_fragmented() {
    for opcode in [CLOSE, PING, PONG] {
        for payload in [&b""[..], b"\x03\xe8"] {
            let frame = client_frame(opcode, payload);
            Link::open(Limits::default()).fails(&frame, ProtocolError::ControlFrameFragmented, 1002);
            let mut link = Link::open(Limits::default());
            link.receive(&client_frame(TEXT, b"inside a message"));
            link.fails(&frame, ProtocolError::ControlFrameFragmented, 1002);
        }
    }
}

#[test]
fn control_frames_of_the_server_are_whole_and_at_most_125_bytes_long() {
    let frames = every_kind_of_frame();
    let control_frames: Vec<_> = frames.iter().filter(|(_, frame)| frame[0] & 0x08 != 0).collect();
    for (name, frame) in &control_frames {
        assert_eq!(frame[0] & FIN, FIN, "{name}");
        assert!(frame[1] <= 125 && frame.len() == 2 + usize::from(frame[1]), "{name}: {frame:x?}");
    }
    for opcode in [CLOSE, PING, PONG] {
        assert!(control_frames.iter().any(|(_, frame)| frame[0] == FIN | opcode), "none of {opcode:#x}");
    }
}

#[test]
fn a_reason_that_is_too_long_is_cut_at_a_character_so_that_the_close_frame_is_a_control_frame() {
    let mut link = Link::open(Limits::default());
    link.connection.close(CloseCode::NORMAL, &"€".repeat(100), link.now);
    assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(1000, &"€".repeat(41)))]);
}

// ---- §5.5.1

#[test]
fn a_close_frame_may_have_a_body_or_none() {
    let reason = "r".repeat(123);
    let cases = [
        (Vec::new(), None),
        (close_payload(1000, ""), Some(CloseCode::NORMAL)),
        (close_payload(1001, "going €"), Some(CloseCode::GOING_AWAY)),
        (close_payload(1001, &reason), Some(CloseCode::GOING_AWAY)),
    ];
    for (body, code) in cases {
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(FIN | CLOSE, &body));
        assert_eq!(link.connection.end(), Some(&End::ClosedByPeer(code)), "{body:x?}");
    }
}

#[test]
fn the_body_of_a_close_frame_begins_with_a_code_of_2_bytes_in_network_byte_order() {
    for byte in [0, 3, 0xff] {
        let frame = client_frame(FIN | CLOSE, &[byte]);
        Link::open(Limits::default()).fails(&frame, ProtocolError::CloseTooShort, 1002);
    }
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(FIN | CLOSE, &[0x0f, 0xa1])); // 4001; the other way round it would be 41231
    assert_eq!(link.connection.end(), Some(&End::ClosedByPeer(CloseCode::new(4001))));
    let mut link = Link::open(Limits::default());
    link.connection.close(CloseCode::GOING_AWAY, "", link.now);
    assert_eq!(link.take(usize::MAX), [FIN | CLOSE, 2, 0x03, 0xe9]);
}

#[test]
fn a_code_that_section_7_4_does_not_define_or_leave_to_others_fails_the_connection() {
    for number in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 0x8000, 0xffff] {
        for reason in ["", "reason"] {
            let frame = client_frame(FIN | CLOSE, &close_payload(number, reason));
            Link::open(Limits::default()).fails(&frame, ProtocolError::InvalidCloseCode(number), 1002);
        }
    }
}

#[test]
fn behind_its_code_a_close_frame_may_have_a_reason_in_utf8() {
    for reason in ["a", "schöne Welt 😀", "\0 any character"] {
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, reason)));
        assert_eq!(link.connection.end(), Some(&End::ClosedByPeer(Some(CloseCode::NORMAL))), "{reason:?}");
        let mut link = Link::open(Limits::default());
        link.connection.close(CloseCode::NORMAL, reason, link.now);
        assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(1000, reason))]);
    }
}

#[test]
fn no_data_frame_follows_a_close_frame() {
    let ways: [(&str, Deed); 4] = [
        ("our own", |l| l.connection.close(CloseCode::NORMAL, "", l.now)),
        ("the answer to the peer's", |l| drop(l.receive(&client_frame(FIN | CLOSE, b"")))),
        ("that of a broken rule", |l| drop(l.receive(&client_frame(FIN | 0x3, b"")))),
        ("that of a full queue", |l| assert!(!l.connection.send(Message::binary(&[7; 1000]), l.now))),
    ];
    for (name, close) in ways {
        for flushed in [false, true] {
            let mut link = Link::open(Limits { queue_bytes_max: 500, ..Limits::default() });
            close(&mut link);
            let mut sent = if flushed { link.take(usize::MAX) } else { Vec::new() };
            assert!(!link.connection.send(Message::text("late"), link.now), "{name}");
            assert!(!link.connection.send(Message::Binary(vec![7; 300].into()), link.now), "{name}");
            assert!(!link.connection.send_shared(&SharedFrame::text("late"), link.now), "{name}");
            sent.extend(link.take(usize::MAX));
            let opcodes: Vec<u8> = server_frames(&sent).iter().map(|frame| frame.opcode).collect();
            assert_eq!(opcodes, [CLOSE], "{name}, flushed: {flushed}");
        }
    }
}

#[test]
fn each_valid_code_of_the_peer_is_echoed_without_its_reason_and_no_code_with_none() {
    for number in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(FIN | CLOSE, &close_payload(number, "the peer's reason")));
        assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &number.to_be_bytes())]);
        assert_eq!(link.connection.end().and_then(End::close_code).map(CloseCode::number), Some(number));
    }
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(FIN | CLOSE, b""));
    assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, b"")]);
    assert_eq!(link.connection.end(), Some(&End::ClosedByPeer(None)));
}

#[test]
fn a_close_frame_is_not_answered_once_ours_was_sent() {
    for flushed in [false, true] {
        let mut link = Link::open(Limits::default());
        link.connection.close(CloseCode::GOING_AWAY, "shutdown", link.now);
        let mut sent = if flushed { link.take(usize::MAX) } else { Vec::new() };
        // The peer's own Close was on its way with another code, and a second one is not answered either.
        let close = client_frame(FIN | CLOSE, &close_payload(1000, "I go"));
        link.receive(&[close.clone(), close].concat());
        sent.extend(link.take(usize::MAX));
        assert_eq!(server_frames(&sent), [ServerFrame::new(CLOSE, &close_payload(1001, "shutdown"))]);
    }
}

#[test]
fn closes_that_cross_end_the_connection() {
    let mut link = Link::open(Limits::default());
    link.connection.close(CloseCode::GOING_AWAY, "shutdown", link.now);
    assert_eq!(link.connection.state(), State::CloseSent);
    link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, "I go")));
    assert_eq!(link.connection.state(), State::Closed);
    assert_eq!(link.connection.end(), Some(&End::ClosedByUs(CloseCode::GOING_AWAY)), "the first cause");
}

#[test]
fn the_answer_to_a_close_frame_is_there_as_soon_as_its_last_byte() {
    let close = client_frame(FIN | CLOSE, &close_payload(1000, "bye"));
    for (before, name) in [(&b""[..], "alone"), (&client_frame(TEXT, b"fragment"), "inside a message")] {
        let mut link = Link::open(Limits::default());
        link.receive(before);
        let (last, front) = close.split_last().unwrap();
        link.receive(front);
        assert_eq!(link.connection.queued_bytes(), 0, "{name}: it has not come yet");
        link.receive(&[*last]);
        assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(1000, ""))], "{name}");
    }
}

#[test]
fn the_answer_to_a_close_frame_may_wait_until_our_messages_are_sent() {
    for taken in [0, 1, 300] {
        let mut link = Link::open(Limits::default());
        link.connection.send(Message::binary(&[7; 500]), link.now);
        let mut sent = link.take(taken);
        link.connection.send(Message::text("behind"), link.now);
        link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, "")));
        sent.extend(link.take(usize::MAX));
        let opcodes: Vec<u8> = server_frames(&sent).iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [BINARY, TEXT, CLOSE], "{taken} bytes were taken");
    }
}

// ---- §5.5.2

#[test]
fn a_ping_is_answered_with_a_pong() {
    for length in [0, 1, 124, 125] {
        let payload: Vec<u8> = (0..length).map(|i| 255 - i).collect();
        let mut link = Link::open(Limits::default());
        assert!(link.receive(&client_frame(FIN | PING, &payload)).is_empty(), "a ping is no message");
        assert_eq!(link.take_frames(), [ServerFrame::new(PONG, &payload)]);
    }
    let mut link = Link::open(Limits::default());
    link.receive(&["a", "", "b", "b"].map(|payload| client_frame(FIN | PING, payload.as_bytes())).concat());
    let expected = ["a", "", "b", "b"].map(|payload| ServerFrame::new(PONG, payload.as_bytes()));
    assert_eq!(link.take_frames(), expected, "each of them");
}

#[test]
fn a_ping_is_answered_after_our_close_until_the_peers_has_come() {
    let mut link = Link::open(Limits::default());
    link.connection.close(CloseCode::NORMAL, "", link.now);
    link.take(usize::MAX);
    link.receive(&client_frame(FIN | PING, b"are you there"));
    assert_eq!(link.take_frames(), [ServerFrame::new(PONG, b"are you there")]);
    link.receive(&client_frame(FIN | CLOSE, b""));
    link.receive(&client_frame(FIN | PING, b"are you there"));
    assert_eq!(link.connection.queued_bytes(), 0);

    let mut link = Link::open(Limits::default());
    link.receive(&[client_frame(FIN | CLOSE, b""), client_frame(FIN | PING, b"")].concat());
    assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, b"")], "nothing but the answer to the Close");
}

#[test]
fn a_pong_overtakes_what_waits_at_the_next_frame_boundary() {
    for taken in [0, 1, 100, 503, 504, 505, 1007, 1008] {
        let payload: Vec<u8> = (0..5000).map(|i| (i % 251) as u8).collect();
        let mut link = Link::open(Limits::default());
        link.connection.send(Message::binary(&payload[..500]), link.now);
        link.connection.send_shared(&SharedFrame::binary(&payload[..500]), link.now);
        link.connection.send(Message::Binary(payload.clone().into()), link.now);
        let begun = link.take(taken);
        link.receive(&client_frame(FIN | PING, b"now"));
        let frames = server_frames(&[begun, link.take(usize::MAX)].concat());
        let mut expected = [500, 500, 5000].map(|length| ServerFrame::new(BINARY, &payload[..length])).to_vec();
        expected.insert(taken.div_ceil(504), ServerFrame::new(PONG, b"now"));
        assert!(frames == expected, "after {taken} bytes");
    }
}

#[test]
fn a_ping_is_sent_at_each_interval_and_not_before() {
    let moment = Duration::from_millis(1);
    let mut link = Link::open(Limits { ping_interval: seconds(20), ..Limits::default() });
    for round in 0..10 {
        assert_eq!(link.connection.timer(), Some((Timer::Ping, link.now + seconds(20))), "round {round}");
        assert_eq!(link.connection.next_timeout(), Some(link.now + seconds(20)));
        link.advance(seconds(20) - moment);
        assert_eq!(link.connection.queued_bytes(), 0, "round {round}: it is early");
        link.advance(moment);
        assert_eq!(link.take_frames(), [ServerFrame::new(PING, b"")], "round {round}");
        link.receive(&client_frame(FIN | PONG, b""));
    }
    assert_eq!(link.connection.state(), State::Open);
}

#[test]
fn no_ping_is_sent_before_the_connection_is_open_or_after_its_close() {
    let limits = Limits { ping_interval: seconds(1), close_timeout: seconds(100), ..Limits::default() };
    let mut link = Link::connecting(limits.clone());
    link.advance(seconds(5));
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Connecting, 0));
    for close in [close_by_us, close_by_peer] {
        let mut link = Link::open(limits.clone());
        close(&mut link);
        link.take(usize::MAX);
        link.advance(seconds(50));
        assert_eq!((link.connection.queued_bytes(), link.connection.is_done()), (0, false));
    }
}

fn close_by_us(link: &mut Link) {
    link.connection.close(CloseCode::NORMAL, "", link.now);
}

fn close_by_peer(link: &mut Link) {
    link.receive(&client_frame(FIN | CLOSE, b""));
}

// ---- §5.5.3

#[test]
fn a_pong_has_the_application_data_of_its_ping() {
    let payloads = [&b""[..], b"\0", b"text", b"\xff\xfe no text", &[0x8a; 125]];
    let mut link = Link::open(Limits::default());
    for payload in payloads {
        let ping = client_frame(FIN | PING, payload);
        for cut in 0..=ping.len() {
            link.receive(&ping[..cut]);
            link.receive(&ping[cut..]);
            assert_eq!(link.take_frames(), [ServerFrame::new(PONG, payload)], "cut at {cut}");
        }
    }
}

#[test]
fn of_several_pings_that_wait_for_their_pong_only_the_newest_is_answered() {
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::binary(&[7; 100]), link.now);
    let mut sent = link.take(50);
    link.connection.sent(0, link.now); // the socket takes no more
    for payload in [b"1", b"2", b"3"] {
        link.receive(&client_frame(FIN | PING, payload));
    }
    sent.extend(link.take(usize::MAX));
    let expected = [ServerFrame::new(BINARY, &[7; 100]), ServerFrame::new(PONG, b"3")];
    assert_eq!(server_frames(&sent), expected);
}

#[test]
fn a_pong_that_was_begun_is_finished_before_the_newest() {
    for taken in 0..2 * 3 {
        let mut link = Link::open(Limits::default());
        let ping = |payload: &str| client_frame(FIN | PING, payload.as_bytes());
        link.receive(&[ping("a"), ping("b")].concat());
        let mut sent = link.take(taken);
        link.connection.sent(0, link.now); // the socket takes no more
        link.receive(&[ping("c"), ping("d")].concat());
        sent.extend(link.take(usize::MAX));
        let begun = ["a", "b"].into_iter().take(taken.div_ceil(3)); // each pong is 3 bytes
        let expected: Vec<_> = begun.chain(["d"]).map(|payload| ServerFrame::new(PONG, payload.as_bytes())).collect();
        assert_eq!(server_frames(&sent), expected, "after {taken} bytes");
    }
}

#[test]
fn an_unsolicited_pong_is_taken_and_not_answered() {
    for payload in [&b""[..], b"heartbeat", &[0xff; 125]] {
        let mut link = Link::open(Limits::default());
        let pongs = client_frame(FIN | PONG, payload).repeat(10);
        let message = [client_frame(TEXT, b"a"), pongs.clone(), client_frame(FIN | CONTINUATION, b"b")].concat();
        assert_eq!(link.receive_messages(&[pongs, message].concat()), [Message::text("ab")]);
        assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Open, 0));
    }
}
