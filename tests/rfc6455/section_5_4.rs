//! §5.4: fragmentation.

use frameloop::protocol::{Limits, Message, ProtocolError, SharedFrame, State};

use crate::driver::{Link, seconds};
use crate::section_5_1::Deed;
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame, close_payload, server_frames,
};

/// A message in fragments with these payloads.
fn fragments(opcode: u8, payloads: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = payloads.len() - 1;
    let frames = payloads.iter().enumerate().map(|(i, payload)| {
        let fin = if i == last { FIN } else { 0 };
        client_frame(fin | if i == 0 { opcode } else { CONTINUATION }, payload)
    });
    frames.collect()
}

#[test]
fn where_a_message_is_fragmented_has_no_meaning() {
    let text = "aß€😀 end";
    let bytes = text.as_bytes();
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let payloads = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let mut link = Link::open(Limits::default());
            assert_eq!(link.receive_messages(&fragments(TEXT, &payloads).concat()), [Message::text(text)]);
            assert_eq!(link.receive_messages(&fragments(BINARY, &payloads).concat()), [Message::binary(bytes)]);
        }
    }
}

#[test]
fn control_frames_may_be_injected_in_the_middle_of_a_fragmented_message() {
    let [first, second, third] = fragments(TEXT, &[b"a", b"b", b"c"]).try_into().unwrap();
    let (ping, pong) = (client_frame(FIN | PING, b"ping"), client_frame(FIN | PONG, b"pong"));
    for control in [ping.clone(), pong.clone(), [ping.clone(), pong, ping].concat()] {
        for frames in [
            [&first[..], &control, &second, &third],
            [&first, &second, &control, &third],
            [&control, &first, &second, &third],
            [&first, &second, &third, &control],
        ] {
            let mut link = Link::open(Limits::default());
            assert_eq!(link.receive_messages(&frames.concat()), [Message::text("abc")]);
        }
    }
}

#[test]
fn a_control_frame_in_the_middle_of_a_fragmented_message_is_handled_at_once() {
    for (opcode, payload) in [(TEXT, "first".as_bytes()), (BINARY, b"\xff"), (TEXT, b"half of \xe2\x82")] {
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(opcode, payload));
        link.receive(&client_frame(FIN | PING, b"are you there"));
        assert_eq!(link.take_frames(), [ServerFrame::new(PONG, b"are you there")], "before the message ends");
        link.receive(&client_frame(FIN | PONG, b"unsolicited"));
        link.receive(&client_frame(CONTINUATION, b""));
        assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Open, 0));
        assert!(link.receive(&client_frame(FIN | CLOSE, &close_payload(1001, "gone"))).is_empty());
        assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(1001, ""))]);
        assert_eq!(link.connection.state(), State::Closed);
    }
}

/// A binary message of so many bytes, sent in each way that the queue keeps apart.
const WAYS_TO_SEND: [(&str, usize, Deed); 3] = [
    ("borrowed", 500, |l| assert!(l.connection.send(Message::binary(&[7; 500]), l.now))),
    ("owned", 5000, |l| assert!(l.connection.send(Message::Binary(vec![7; 5000].into()), l.now))),
    ("shared", 5000, |l| assert!(l.connection.send_shared(&SharedFrame::binary(&[7; 5000]), l.now))),
];

/// Numbers of bytes after which the socket has taken a part of a frame of this length, with a header of 4 bytes.
fn parts(frame_len: usize) -> impl Iterator<Item = usize> {
    [1, 2, 3, 4, 5, 6, frame_len / 2, frame_len - 2, frame_len - 1].into_iter()
}

#[test]
fn a_control_frame_of_the_server_is_never_injected_into_a_frame() {
    for (name, length, send) in WAYS_TO_SEND {
        for taken in parts(length + 4).chain([0, length + 4]) {
            for is_stuck in [false, true] {
                let mut link = Link::open(Limits { ping_interval: seconds(10), ..Limits::default() });
                send(&mut link);
                let mut sent = link.take(taken);
                if is_stuck {
                    link.connection.sent(0, link.now);
                }
                link.receive(&client_frame(FIN | PING, b"now"));
                link.advance(seconds(10)); // and a ping of our own
                sent.extend(link.take(usize::MAX));
                let mut expected = vec![ServerFrame::new(PONG, b"now"), ServerFrame::new(PING, b"")];
                expected.insert(if taken == 0 { 2 } else { 0 }, ServerFrame::new(BINARY, &vec![7; length]));
                assert!(server_frames(&sent) == expected, "{name}, after {taken} bytes, stuck: {is_stuck}");
            }
        }
    }
}

#[test]
fn a_frame_that_was_begun_is_finished_before_the_close_frame() {
    let pong: Deed = |l| drop(l.receive(&client_frame(FIN | PING, &[7; 120])));
    let begins = WAYS_TO_SEND.map(|(name, length, send)| (name, BINARY, length, send)).into_iter();
    let ends: [(&str, u16, Deed); 4] = [
        ("a full queue", 1013, |l| assert!(!l.connection.send(Message::binary(&[8; 6000]), l.now))),
        ("a full queue, by what is shared", 1013, |l| {
            assert!(!l.connection.send_shared(&SharedFrame::binary(&[8; 6000]), l.now));
        }),
        ("a peer that takes nothing", 1013, |l| l.advance(seconds(5))),
        ("a broken rule", 1002, |l| drop(l.receive(&client_frame(FIN | 0x3, b"")))),
    ];
    for (begin_name, opcode, length, begin) in begins.chain([("a pong", PONG, 120, pong)]) {
        let frame_len = length + if length > 125 { 4 } else { 2 };
        for (end_name, code, end) in ends {
            for taken in parts(frame_len) {
                let limits = Limits { queue_bytes_max: 6000, slow_timeout: seconds(5), ..Limits::default() };
                let mut link = Link::open(limits);
                begin(&mut link);
                link.connection.send(Message::text("it waits, and may be dropped"), link.now);
                let mut sent = link.take(taken);
                link.connection.sent(0, link.now); // the socket takes no more
                end(&mut link);
                sent.extend(link.take(usize::MAX));
                let frames = server_frames(&sent);
                let case = format!("{begin_name}, after {taken} bytes: {end_name}");
                assert!(frames[0] == ServerFrame::new(opcode, &vec![7; length]), "{case}");
                let opcodes: Vec<u8> = frames.iter().map(|frame| frame.opcode).collect();
                assert_eq!(opcodes, [opcode, CLOSE], "{case}");
                assert_eq!((frames[1].close_code(), link.connection.state()), (Some(code), State::Closed), "{case}");
            }
        }
    }
}

#[test]
fn fragments_are_delivered_in_the_order_in_which_they_were_sent() {
    let payloads: Vec<Vec<u8>> = (0..300_u16).map(|i| i.to_be_bytes().repeat(usize::from(i % 90))).collect();
    let borrowed: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let stream = fragments(BINARY, &borrowed).concat();
    for read_bytes in [1, 13, 1000, stream.len()] {
        let mut link = Link::open(Limits::default());
        let messages: Vec<_> = stream.chunks(read_bytes).flat_map(|read| link.receive(read)).collect();
        assert!(messages == [payloads.concat()], "reads of {read_bytes} bytes");
    }
}

#[test]
fn the_fragments_of_two_messages_must_not_be_interleaved() {
    for begun in [TEXT, BINARY] {
        for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
            for payload in [&b""[..], b"of another message"] {
                let mut link = Link::open(Limits::default());
                link.receive(&client_frame(begun, b"begun"));
                link.fails(&client_frame(first, payload), ProtocolError::ExpectedContinuation, 1002);
                let mut link = Link::open(Limits::default());
                link.receive(&[client_frame(begun, b""), client_frame(CONTINUATION, b"")].concat());
                link.fails(&client_frame(first, payload), ProtocolError::ExpectedContinuation, 1002);
            }
        }
    }
}

#[test]
fn fragments_may_be_of_any_size() {
    let sizes = [0, 1, 2, 125, 126, 0xffff, 0x1_0000, 0, 70_000];
    let payloads: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, &size)| vec![i as u8; size]).collect();
    let borrowed: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let mut link = Link::open(Limits::default());
    assert!(link.receive(&fragments(BINARY, &borrowed).concat()) == [payloads.concat()]);
    assert_eq!(link.receive_messages(&fragments(TEXT, &[&[][..]; 1000]).concat()), [Message::text("")]);
}

#[test]
fn fragmented_and_unfragmented_messages_are_received() {
    let stream = [
        fragments(TEXT, &[b"whole"]).concat(),
        fragments(TEXT, &[b"in ", b"two"]).concat(),
        fragments(BINARY, &[b"\xff", b"", b"\xfe"]).concat(),
        fragments(BINARY, &[b"\xff\xfe"]).concat(),
        fragments(TEXT, &[b"e", b"n", b"d"]).concat(),
    ];
    let expected = [
        Message::text("whole"),
        Message::text("in two"),
        Message::binary(b"\xff\xfe"),
        Message::binary(b"\xff\xfe"),
        Message::text("end"),
    ];
    assert_eq!(Link::open(Limits::default()).receive_messages(&stream.concat()), expected);
    let mut link = Link::open(Limits::default());
    let one_by_one: Vec<_> = stream.concat().iter().flat_map(|byte| link.receive_messages(&[*byte])).collect();
    assert_eq!(one_by_one, expected);
}

#[test]
fn all_fragments_are_of_the_type_of_the_first() {
    let bytes = &[&b"valid"[..], b" as", b" text"];
    let mut link = Link::open(Limits::default());
    assert_eq!(link.receive_messages(&fragments(TEXT, bytes).concat()), [Message::text("valid as text")]);
    assert_eq!(link.receive_messages(&fragments(BINARY, bytes).concat()), [Message::binary(b"valid as text")]);
    assert_eq!(link.receive_messages(&fragments(BINARY, &[b"a", b"\xff"]).concat()), [Message::binary(b"a\xff")]);
    link.receive(&client_frame(TEXT, b"a"));
    link.fails(&client_frame(FIN | CONTINUATION, b"\xff"), ProtocolError::InvalidUtf8, 1007);
}

#[test]
fn a_fragment_without_a_message_to_continue_fails_the_connection() {
    let before: [&[Vec<u8>]; 4] = [
        &[],
        &[client_frame(FIN | TEXT, b"whole")],
        &fragments(BINARY, &[b"to", b"gether"]),
        &[client_frame(FIN | PONG, b"")], // control frames are not continued
    ];
    for frames in before {
        for first in [CONTINUATION, FIN | CONTINUATION] {
            for payload in [&b""[..], b"of nothing"] {
                let mut link = Link::open(Limits::default());
                link.receive(&frames.concat());
                link.fails(&client_frame(first, payload), ProtocolError::UnexpectedContinuation, 1002);
            }
        }
    }
}
