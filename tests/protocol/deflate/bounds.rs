//! §10.4, RFC 7692 §8: how much is decompressed, held and queued at most, whatever a client sends.

use std::rc::Rc;

use frameloop::protocol::limits::RESTRICTED_MESSAGE_BYTES_MAX;
use frameloop::protocol::{CloseCode, Commons, Compression, End, Limits, Message, ProtocolError, State};

use super::peer::{Pair, commons, compressed, json, noise};
use super::{RSV1, WAYS};
use crate::wire::{BINARY, CONTINUATION, FIN, TEXT, client_frame, close_payload};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn limited(compression: Compression, message_bytes_max: usize) -> Rc<Commons> {
    commons(compression, Limits { message_bytes_max, ..Limits::default() })
}

/// The connection has failed with 1009, and says so.
#[track_caller]
fn is_too_big(pair: &mut Pair, limit: usize) {
    let end = pair.link.connection.end().copied();
    let is_limit = |error| matches!(error, ProtocolError::MessageTooBig { limit: l, .. } if l == limit as u64);
    assert!(matches!(end, Some(End::Failed(error)) if is_limit(error)), "{end:?}");
    let frames = pair.link.take_frames();
    assert_eq!((frames.len(), frames[0].close_code()), (1, Some(1009)));
}

#[test]
fn of_a_bomb_no_more_than_a_message_may_have_is_ever_allocated() {
    let bomb = compressed(9, &vec![b'0'; 64 * MIB]);
    assert!(bomb.len() < 66 * KIB, "1000:1");
    for (compression, _) in WAYS {
        for limit in [64 * KIB, 100_000, MIB] {
            for opcode in [TEXT, BINARY] {
                let mut pair = Pair::open(&limited(compression, limit), "permessage-deflate");
                let frame = client_frame(FIN | RSV1 | opcode, &bomb);
                // The first message brings what the decompressor takes.
                assert_eq!(pair.receive(TEXT, b"Hello"), [Message::text("Hello")]);
                let mut messages = Vec::new();
                let cost = allocation_counter::measure(|| messages = pair.link.receive_messages(&frame));
                assert!(messages.is_empty());
                is_too_big(&mut pair, limit);
                // Here the bytes are copied before they are read; and while a buffer grows, the counter has the shorter one too.
                let held = cost.bytes_max as usize - frame.len();
                assert!(held <= limit + limit / 2 + 4 * KIB, "{compression:?}: {held} bytes for a limit of {limit}");
            }
        }
    }
}

#[test]
fn a_bomb_in_fragments_is_held_as_it_came_until_it_is_whole() {
    let bomb = compressed(9, &vec![0; 32 * MIB]);
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&limited(compression, 64 * KIB), "permessage-deflate");
        let mut opcode = RSV1 | BINARY;
        for piece in bomb.chunks(1000) {
            assert!(pair.link.receive(&client_frame(opcode, piece)).is_empty());
            opcode = CONTINUATION;
        }
        let held = pair.link.connection.held_bytes();
        assert!(held <= 2 * bomb.len() + KIB, "{held} bytes for {} that came", bomb.len());
        pair.link.receive(&client_frame(FIN | CONTINUATION, b""));
        is_too_big(&mut pair, 64 * KIB);
        assert!(pair.link.connection.held_bytes() < KIB, "it is gone");
    }
}

#[test]
fn a_bomb_within_a_bomb_is_decompressed_once() {
    let inner = compressed(9, &compressed(9, &vec![0; 16 * MIB]));
    let nested = compressed(9, &inner);
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&limited(compression, 64 * KIB), "permessage-deflate");
        let messages = pair.link.receive_messages(&client_frame(FIN | RSV1 | BINARY, &nested));
        assert!(messages == [Message::binary(&inner)]);
        // With one more layer off there is still a bomb, and it goes off within the limit.
        let bomb = compressed(9, &vec![0; 16 * MIB]);
        pair.link.receive(&client_frame(FIN | RSV1 | BINARY, &bomb));
        is_too_big(&mut pair, 64 * KIB);
    }
}

#[test]
fn a_message_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    for (compression, _) in WAYS {
        for limit in [1, 1000, 16 * KIB, 64 * KIB, 100_000] {
            let commons = limited(compression, limit);
            for level in [0, 9] {
                let mut pair = Pair::open(&commons, "permessage-deflate");
                for payload in [noise(limit), vec![b'a'; limit]] {
                    let frame = client_frame(FIN | RSV1 | BINARY, &compressed(level, &payload));
                    assert!(pair.link.receive_messages(&frame) == [Message::binary(&payload)], "{limit} bytes");
                }
                for payload in [noise(limit + 1), vec![b'a'; limit + 1]] {
                    let mut pair = Pair::open(&commons, "permessage-deflate");
                    let frame = client_frame(FIN | RSV1 | BINARY, &compressed(level, &payload));
                    assert!(pair.link.receive(&frame).is_empty());
                    is_too_big(&mut pair, limit);
                }
            }
        }
    }
}

#[test]
fn more_compressed_bytes_than_any_message_needs_are_refused_by_the_header() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let most = limits.compressed_bytes_max();
    assert!((1000..1300).contains(&most));
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&commons(compression, limits.clone()), "permessage-deflate");
        let empty_blocks = [&b"\x00\x00\x00\xff\xff".repeat(most / 5 - 1)[..], b"\x00"].concat();
        let fragments = [client_frame(RSV1 | BINARY, &empty_blocks), client_frame(FIN | CONTINUATION, b"")].concat();
        assert_eq!(pair.link.receive(&fragments), [b""], "it is long and has nothing in it");

        let header = &client_frame(FIN | RSV1 | BINARY, &vec![0; most + 1])[..8];
        assert!(pair.link.receive(header).is_empty());
        is_too_big(&mut pair, most);
    }
}

#[test]
fn whoever_is_not_known_yet_sends_64_kib_at_most_when_they_are_decompressed() {
    for (compression, _) in WAYS {
        let commons = limited(compression, MIB);
        let mut pair = Pair::open(&commons, "permessage-deflate");
        pair.link.connection.restrict(true);
        let payload = json(RESTRICTED_MESSAGE_BYTES_MAX);
        assert!(pair.receive(TEXT, payload.as_bytes()) == [Message::text(&payload)]);
        pair.link.connection.restrict(false);
        let payload = json(MIB);
        assert!(pair.receive(TEXT, payload.as_bytes()) == [Message::text(&payload)], "it is known now");
        pair.link.connection.restrict(true);
        assert!(pair.receive(BINARY, &[7; RESTRICTED_MESSAGE_BYTES_MAX + 1]).is_empty());
        is_too_big(&mut pair, RESTRICTED_MESSAGE_BYTES_MAX);
    }
}

#[test]
fn the_bound_of_the_queue_counts_compressed_bytes() {
    for (compression, _) in WAYS {
        let commons = commons(compression, Limits { queue_bytes_max: 1000, ..Limits::default() });
        let mut pair = Pair::open(&commons, "permessage-deflate");
        let text = "0".repeat(100_000);
        assert!(pair.link.connection.send(Message::text(&text), pair.link.now));
        let waits = pair.link.connection.queued_bytes();
        assert!(waits < 300, "{waits} bytes");
        assert!(pair.take() == [(true, TEXT, text.clone().into_bytes())]);

        // The queue is filled to the last byte that fits, and not further.
        let mut sent = 0;
        while pair.link.connection.send(Message::text(&text), pair.link.now) {
            sent += 1;
            assert!(pair.link.connection.queued_bytes() <= 1000);
        }
        assert!(sent >= 1000 / waits, "{sent} messages of {waits} bytes at most");
        assert_eq!(pair.link.connection.end(), Some(&End::QueueFull(CloseCode::TRY_AGAIN_LATER)));
        assert_eq!(pair.link.take_frames()[0].close_code(), Some(1013));
    }
}

#[test]
fn behind_our_close_nothing_is_compressed_or_decompressed() {
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&commons(compression, Limits::default()), "permessage-deflate");
        pair.link.connection.close(CloseCode::GOING_AWAY, "", pair.link.now);
        let closed = pair.link.waiting();
        let text = json(10_000);
        let shared = frameloop::protocol::SharedFrame::text(&text);
        assert!(!pair.link.connection.send(Message::text(&text), pair.link.now));
        assert!(!pair.link.connection.send_shared(&shared, pair.link.now));
        assert_eq!(pair.link.waiting(), closed);

        // A message of the client that crosses our Close is not looked into, even if it is no DEFLATE.
        assert!(pair.receive(TEXT, text.as_bytes()).is_empty());
        assert!(pair.link.receive(&client_frame(FIN | RSV1 | TEXT, b"\x07\xff\xff")).is_empty());
        assert_eq!(pair.link.connection.state(), State::CloseSent);
        let echo = client_frame(FIN | crate::wire::CLOSE, &close_payload(1001, ""));
        pair.link.receive(&echo);
        assert_eq!(pair.link.connection.end(), Some(&End::ClosedByUs(CloseCode::GOING_AWAY)));
        assert_eq!(pair.link.waiting(), closed);
    }
}

#[test]
fn shared_connections_own_nothing_and_those_of_a_context_say_what_it_takes() {
    for (compression, _) in WAYS {
        let commons = commons(compression, Limits::default());
        let mut pair = Pair::open(&commons, "permessage-deflate");
        let small = pair.link.connection.held_bytes();
        assert!(small < 200, "before a message is compressed: {small} bytes");
        let text = json(2000);
        let mut answered = Vec::new();
        let cost = allocation_counter::measure(|| {
            answered = pair.receive(TEXT, text.as_bytes());
            pair.link.connection.send(Message::text(&text), pair.link.now);
            pair.take();
        });
        assert_eq!(answered, [Message::text(&text)]);
        drop(answered);
        let own = pair.link.connection.held_bytes() - small;
        // What the connection says that it holds, and what all hold together, is what was allocated, about.
        let told = own + commons.compression_bytes();
        let taken = cost.bytes_current as usize;
        assert!(taken.abs_diff(told) < 24 * KIB, "{compression:?}: {told} bytes told, {taken} bytes taken");
        let is_shared = compression == Compression::Shared;
        assert!(if is_shared { own == 0 } else { (100 * KIB..256 * KIB).contains(&own) }, "{own} bytes");

        let end = allocation_counter::measure(|| {
            pair.link.receive(&client_frame(FIN | crate::wire::CLOSE, &close_payload(1000, "")));
            pair.link.take_frames();
        });
        assert!(pair.link.connection.held_bytes() < 200, "a connection that is closed keeps no context");
        assert!(is_shared || end.bytes_current < -(100 * KIB as i64), "{} bytes", end.bytes_current);
    }
}
