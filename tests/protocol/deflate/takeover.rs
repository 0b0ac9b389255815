//! RFC 7692 §7.1.1, §7.1.2: messages that refer to those before them, and those that may not.

use frameloop::protocol::{CloseCode, Compression, Limits, Message, ProtocolError};

use super::RSV1;
use super::peer::{Pair, commons, frames, json, noise, noise_of};
use crate::wire::{BINARY, CLOSE, FIN, TEXT, client_frame, close_payload};

const NONE_KEPT: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn open(contexts_max: usize, offer: &str) -> Pair {
    Pair::open(&commons(Compression::Takeover { contexts_max }, Limits::default()), offer)
}

/// The bytes that the same message takes on the wire, the first and the second time.
fn sent_twice(pair: &mut Pair, payload: &[u8]) -> [usize; 2] {
    [0, 1].map(|_| {
        pair.link.connection.send(Message::binary(payload), pair.link.now);
        let bytes = pair.link.connection.queued_bytes();
        assert!(pair.take() == [(true, BINARY, payload.to_vec())]);
        bytes
    })
}

#[test]
fn a_message_that_was_sent_before_takes_a_few_bytes() {
    let [first, second] = sent_twice(&mut open(1, "permessage-deflate"), &noise(1000));
    assert!(first > 1000 && second < 40, "{first} and {second} bytes");
}

#[test]
fn a_message_that_the_client_has_sent_before_takes_a_few_bytes() {
    let mut pair = open(1, "permessage-deflate");
    let payload = noise(1000);
    for (round, bytes_max) in [1020, 40, 40].into_iter().enumerate() {
        let compressed = pair.peer.compress(&payload);
        assert!(compressed.len() < bytes_max, "round {round}: {} bytes", compressed.len());
        let messages = pair.link.receive_messages(&client_frame(FIN | RSV1 | BINARY, &compressed));
        assert!(messages == [Message::binary(&payload)], "round {round}");
    }
}

#[test]
fn with_server_no_context_takeover_each_message_stands_by_itself_and_the_client_may_still_refer_back() {
    let mut pair = open(1, "permessage-deflate; server_no_context_takeover");
    assert_eq!(pair.answer, "permessage-deflate; server_no_context_takeover");
    let text = json(5000);
    let [first, second] = sent_twice(&mut pair, text.as_bytes());
    assert_eq!(first, second);
    for _ in 0..2 {
        assert_eq!(pair.receive(TEXT, text.as_bytes()), [Message::text(&text)]);
    }
    assert!(pair.peer.compress(text.as_bytes()).len() < 60, "the client has referred back");
}

#[test]
fn with_client_no_context_takeover_the_client_may_not_refer_back_and_the_server_still_does() {
    let mut pair = open(1, "permessage-deflate; client_no_context_takeover");
    assert_eq!(pair.answer, "permessage-deflate; client_no_context_takeover");
    let [first, second] = sent_twice(&mut pair, &noise(1000));
    assert!(first > 1000 && second < 40, "{first} and {second} bytes");
    assert_eq!(pair.receive(TEXT, b"Hello"), [Message::text("Hello")]);
    // RFC 7692 §7.2.3.2.
    let refers_back = client_frame(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00");
    pair.link.fails(&refers_back, ProtocolError::InvalidDeflate, 1007);
}

#[test]
fn what_one_connection_has_sent_another_cannot_refer_to() {
    let commons = commons(Compression::Shared, Limits::default());
    let [mut first, mut second] = [0, 1].map(|_| Pair::open(&commons, "permessage-deflate"));
    assert_eq!(first.receive(TEXT, b"Hello"), [Message::text("Hello")]);
    let refers_back = client_frame(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00");
    second.link.fails(&refers_back, ProtocolError::InvalidDeflate, 1007);
    first.link.fails(&refers_back, ProtocolError::InvalidDeflate, 1007);
}

#[test]
fn no_message_refers_back_beyond_the_window_that_the_client_asked_for() {
    for compression in [Compression::Shared, Compression::Takeover { contexts_max: 100 }] {
        let commons = commons(compression, Limits::default());
        for bits in 9..=15_u32 {
            let mut pair = Pair::open(&commons, &format!("permessage-deflate; server_max_window_bits={bits}"));
            assert!(pair.answer.ends_with(&format!("; server_max_window_bits={bits}")), "{}", pair.answer);
            // What repeats lies just beyond the window, and within it, and in the message before.
            for distance in [1 << bits, (1 << bits) + 200, (1 << bits) - 300, 2 << bits] {
                let payload = [noise_of(distance, 1), noise_of(distance, 1), json(3000).into_bytes()].concat();
                for _ in 0..2 {
                    pair.link.connection.send(Message::binary(&payload), pair.link.now);
                    assert!(pair.take() == [(true, BINARY, payload.clone())], "{compression:?}, {bits} bits");
                }
            }
        }
    }
}

#[test]
fn connections_beyond_the_number_of_contexts_are_answered_as_shared() {
    let commons = commons(Compression::Takeover { contexts_max: 2 }, Limits::default());
    let open = || Pair::open(&commons, "permessage-deflate");
    let [mut first, second] = [open(), open()];
    assert_eq!((&*first.answer, &*second.answer), ("permessage-deflate", "permessage-deflate"));
    let mut third = open();
    assert_eq!(third.answer, NONE_KEPT);
    let text = json(5000);
    let [once, twice] = sent_twice(&mut third, text.as_bytes());
    assert_eq!(once, twice);

    drop(second);
    assert_eq!(open().answer, "permessage-deflate", "a connection that is gone leaves its place");
    let fourth = open();
    assert_eq!(fourth.answer, "permessage-deflate", "and so did the one before");
    assert_eq!(open().answer, NONE_KEPT);

    // The end leaves the place, though the transport is still there.
    first.link.connection.close(CloseCode::NORMAL, "", first.link.now);
    first.link.receive(&client_frame(FIN | CLOSE, &close_payload(1000, "")));
    assert!(!first.link.connection.is_done());
    let fifth = open();
    assert_eq!(fifth.answer, "permessage-deflate");
    assert_eq!(third.answer, NONE_KEPT, "what was agreed on stays");
    assert_eq!(third.receive(TEXT, text.as_bytes()), [Message::text(&text)]);
    assert_eq!(open().answer, NONE_KEPT);
}

#[test]
fn a_connection_that_fails_or_is_lost_or_reset_leaves_its_place() {
    let commons = commons(Compression::Takeover { contexts_max: 1 }, Limits::default());
    let ends: [fn(&mut Pair); 3] = [
        |pair| pair.link.fails(&client_frame(FIN | RSV1 | TEXT, b"\x07"), ProtocolError::InvalidDeflate, 1007),
        |pair| pair.link.connection.receive_eof(pair.link.now),
        |pair| pair.link.connection.abort(pair.link.now),
    ];
    let mut gone = Vec::new();
    for end in ends {
        let mut pair = Pair::open(&commons, "permessage-deflate");
        assert_eq!(pair.answer, "permessage-deflate");
        assert_eq!(Pair::open(&commons, "permessage-deflate").answer, NONE_KEPT);
        end(&mut pair);
        gone.push(pair);
    }
    assert_eq!(Pair::open(&commons, "permessage-deflate").answer, "permessage-deflate");
}

#[test]
fn short_messages_go_as_they_are_and_are_not_referred_to() {
    let mut pair = open(1, "permessage-deflate");
    let (short, long) = (noise(63), noise(200));
    for payload in [&short, &long, &short, &[&short[..], &long].concat(), &long] {
        pair.link.connection.send(Message::binary(payload), pair.link.now);
        let bytes = pair.link.take(usize::MAX);
        assert_eq!(frames(&bytes)[0].0, payload.len() >= 64, "RSV1");
        assert!(pair.read(&bytes) == [(payload.len() >= 64, BINARY, payload.clone())]);
    }
}
