//! §6: sending and receiving data.

use std::borrow::Cow;

use frameloop::protocol::{CloseCode, End, Limits, Message, ProtocolError, SharedFrame, State};

use crate::client::Client;
use crate::driver::Link;
use crate::harness::Running;
use crate::section_5_1::{Deed, every_kind_of_frame};
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame, close_payload, server_frames,
};

/// Lengths around each boundary of the length forms (§5.2), and around those of the send queue.
const LENGTHS: [usize; 17] =
    [0, 1, 2, 124, 125, 126, 127, 4095, 4096, 4097, 65_531, 65_532, 65_533, 65_535, 65_536, 65_537, 300_000];

/// Bytes in which no two positions nearby look alike.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

// ---- §6.1

#[test]
fn what_is_sent_before_the_connection_is_open_or_after_its_close_is_dropped() {
    let send_all = |link: &mut Link| {
        link.connection.send(Message::text("dropped"), link.now);
        link.connection.send(Message::Binary(Cow::Owned(payload(100_000))), link.now);
        link.connection.send_shared(&SharedFrame::text("dropped"), link.now);
        // Even what the queue could never hold has no effect.
        link.connection.send(Message::Binary(Cow::Owned(payload(5 << 20))), link.now);
    };
    let mut link = Link::connecting(Limits::default());
    send_all(&mut link);
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Connecting, 0));

    let mut link = Link::open(Limits::default());
    link.connection.close(CloseCode::NORMAL, "", link.now);
    send_all(&mut link);
    assert_eq!(link.connection.end(), Some(&End::ClosedByUs(CloseCode::NORMAL)));
    assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &[0x03, 0xe8])]);
    send_all(&mut link);
    link.receive(&client_frame(FIN | CLOSE, b""));
    send_all(&mut link);
    assert_eq!(link.connection.queued_bytes(), 0, "§5.5.1: no data after a Close frame");
}

#[test]
fn when_the_state_changes_between_two_messages_the_second_is_not_sent() {
    let changes: [(&str, Deed); 6] = [
        ("we close", |l| l.connection.close(CloseCode::NORMAL, "", l.now)),
        ("the peer closes", |l| drop(l.receive(&client_frame(FIN | CLOSE, b"")))),
        ("a rule is broken", |l| drop(l.receive(&client_frame(FIN | TEXT, b"\xff")))),
        ("the peer ends its side", |l| l.connection.receive_eof(l.now)),
        ("the transport breaks", |l| l.connection.abort(l.now)),
        ("too much waits", |l| assert!(!l.connection.send(Message::binary(&[7; 2000]), l.now))),
    ];
    for (name, change) in changes {
        let mut link = Link::open(Limits { queue_bytes_max: 1000, ..Limits::default() });
        assert!(link.connection.send(Message::text("first"), link.now));
        change(&mut link);
        let waiting = link.waiting();
        assert!(!link.connection.send(Message::text("second"), link.now), "{name}");
        assert!(!link.connection.send_shared(&SharedFrame::text("second"), link.now), "{name}");
        assert_eq!(link.waiting(), waiting, "{name}");
    }
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::text("first"), link.now);
    link.connection.abort(link.now);
    assert_eq!(link.waiting(), b"", "nothing is transmitted over a transport that broke");
}

#[test]
fn messages_of_all_lengths_are_one_frame_each_whichever_way_they_are_sent() {
    let mut link = Link::open(Limits::default());
    for length in LENGTHS {
        let bytes = payload(length);
        let text = "x".repeat(length);
        link.connection.send(Message::binary(&bytes), link.now);
        link.connection.send(Message::Binary(Cow::Owned(bytes.clone())), link.now);
        link.connection.send_shared(&SharedFrame::binary(&bytes), link.now);
        link.connection.send(Message::text(&text), link.now);
        link.connection.send(Message::Text(Cow::Owned(text.clone())), link.now);
        link.connection.send_shared(&SharedFrame::text(&text), link.now);
        let (binary, text) = (ServerFrame::new(BINARY, &bytes), ServerFrame::new(TEXT, text.as_bytes()));
        let expected = [binary.clone(), binary.clone(), binary, text.clone(), text.clone(), text];
        assert!(link.take_frames() == expected, "{length} bytes");
    }
}

#[test]
fn the_opcode_of_a_message_says_whether_it_is_text_or_binary() {
    // Bytes that would do for both.
    for (message, opcode) in [(Message::text("data"), TEXT), (Message::binary(b"data"), BINARY)] {
        let owned = match &message {
            Message::Text(text) => Message::Text(Cow::Owned(text.to_string())),
            Message::Binary(bytes) => Message::Binary(Cow::Owned(bytes.to_vec())),
        };
        for message in [message, owned] {
            let mut link = Link::open(Limits::default());
            link.connection.send(message, link.now);
            assert_eq!(link.take(usize::MAX)[0] & 0x0f, opcode);
        }
    }
    assert_eq!(SharedFrame::text("data").as_bytes()[0] & 0x0f, TEXT);
    assert_eq!(SharedFrame::binary(b"data").as_bytes()[0] & 0x0f, BINARY);
}

#[test]
fn the_fin_bit_of_the_last_frame_of_a_message_is_set() {
    for (name, frame) in every_kind_of_frame() {
        assert_eq!(frame[0] & FIN, FIN, "{name}: it is the only frame, and so the last");
    }
}

#[test]
fn messages_stay_in_order_whatever_their_kind_and_however_few_bytes_the_socket_takes() {
    let expected: Vec<_> = (0..40).map(|i| ServerFrame::new(BINARY, &payload(LENGTHS[i % 10] + i))).collect();
    for part in [1000, 4096, 65_536, usize::MAX] {
        let mut link = Link::open(Limits::default());
        for (i, frame) in expected.iter().enumerate() {
            match i % 3 {
                0 => link.connection.send(Message::binary(&frame.payload), link.now),
                1 => link.connection.send(Message::Binary(Cow::Owned(frame.payload.clone())), link.now),
                _ => link.connection.send_shared(&SharedFrame::binary(&frame.payload), link.now),
            };
        }
        let mut sent = Vec::new();
        while link.connection.queued_bytes() > 0 {
            sent.extend(link.take(part));
        }
        assert!(server_frames(&sent) == expected, "{part} bytes at a time");
    }
}

#[test]
fn frames_that_were_formed_reach_the_client_over_its_tcp_connection() {
    let server = Running::echo(Limits::default());
    let mut client = Client::open(server.address());
    for length in [0, 1, 126, 0x1_0000, 1_000_000] {
        let bytes = payload(length);
        client.send(FIN | BINARY, &bytes);
        assert!(client.frame() == ServerFrame::new(BINARY, &bytes), "{length} bytes");
    }
    client.leave();
}

// ---- §6.2

#[test]
fn incoming_data_is_parsed_as_frames_wherever_a_read_ends() {
    let stream = [
        client_frame(FIN | TEXT, b"one"),
        client_frame(TEXT, b"tw"),
        client_frame(FIN | PING, b"ping"),
        client_frame(FIN | CONTINUATION, b"o"),
        client_frame(FIN | BINARY, &payload(300)),
        client_frame(FIN | CLOSE, &close_payload(1001, "bye")),
    ]
    .concat();
    let expected = [Message::text("one"), Message::text("two"), Message::Binary(payload(300).into())];
    for cut in 0..=stream.len() {
        for read_bytes in [1, stream.len()] {
            let mut link = Link::open(Limits::default());
            let (front, back) = stream.split_at(cut);
            let reads = front.chunks(read_bytes).chain([back]);
            assert_eq!(reads.flat_map(|read| link.receive_messages(read)).collect::<Vec<_>>(), expected);
            let frames = [ServerFrame::new(PONG, b"ping"), ServerFrame::new(CLOSE, &close_payload(1001, ""))];
            assert_eq!(link.take_frames(), frames, "cut at {cut}");
        }
    }
}

#[test]
fn a_control_frame_is_handled_and_is_no_message() {
    let mut link = Link::open(Limits::default());
    for (opcode, answer) in [(PONG, None), (PING, Some(PONG)), (CLOSE, Some(CLOSE))] {
        let payload = close_payload(1000, "");
        assert!(link.receive(&client_frame(FIN | opcode, &payload)).is_empty(), "{opcode:#x}");
        let expected = answer.map(|opcode| ServerFrame::new(opcode, &payload));
        assert_eq!(link.take_frames(), expected.as_slice(), "{opcode:#x}");
    }
    assert_eq!(link.connection.state(), State::Closed);
}

#[test]
fn the_type_of_a_message_is_noted_from_the_opcode() {
    let mut link = Link::open(Limits::default());
    for _ in 0..2 {
        assert_eq!(link.receive_messages(&client_frame(FIN | TEXT, b"data")), [Message::text("data")]);
        assert_eq!(link.receive_messages(&client_frame(FIN | BINARY, b"data")), [Message::binary(b"data")]);
    }
}

#[test]
fn a_data_frame_after_the_last_of_a_message_belongs_to_a_new_message() {
    let mut link = Link::open(Limits::default());
    let fragmented = [client_frame(TEXT, b"a"), client_frame(FIN | CONTINUATION, b"b")].concat();
    assert_eq!(link.receive_messages(&fragmented), [Message::text("ab")]);
    assert_eq!(link.receive_messages(&client_frame(FIN | BINARY, b"\xff")), [Message::binary(b"\xff")]);
    assert_eq!(link.receive_messages(&client_frame(FIN | TEXT, b"c")), [Message::text("c")]);
    let fragmented = [client_frame(BINARY, b"\xfe"), client_frame(FIN | CONTINUATION, b"d")].concat();
    assert_eq!(link.receive_messages(&fragmented), [Message::binary(b"\xfed")]);
    link.fails(&client_frame(FIN | CONTINUATION, b"e"), ProtocolError::UnexpectedContinuation, 1002);
}
