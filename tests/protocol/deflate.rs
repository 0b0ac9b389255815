//! RFC 7692: permessage-deflate, as a client meets it that has a compressor of its own ([`peer`]).
//!
//! | file | what |
//! |---|---|
//! | `peer` | the client: its compressor and decompressor, and a connection that has agreed with it |
//! | `negotiation` | RFC 7692 §5, §7.1: offers in request heads, and what is answered |
//! | `receiving` | RFC 7692 §7.2.2: messages of any form, cut anywhere; the examples of §7.2.3 |
//! | `refusing` | RFC 7692 §6, §7.2.2: reserved bits, what is no DEFLATE, text that is no UTF-8 |
//! | `bounds` | how much is decompressed, held and queued at most |
//! | `takeover` | RFC 7692 §7.1.1: messages that refer to those before them |
//! | `broadcast` | one message to many who have agreed on different things |

mod bounds;
mod broadcast;
mod negotiation;
mod peer;
mod receiving;
mod refusing;
mod takeover;

use frameloop::protocol::{Compression, Limits, Message};

use self::peer::{Pair, commons, json, noise};
use crate::wire::{BINARY, FIN, TEXT};

/// RFC 7692 §6: the message that begins with this frame is compressed.
const RSV1: u8 = 0x40;

/// Both ways to compress, each with the least bytes of a payload that is sent compressed.
const WAYS: [(Compression, usize); 2] = [(Compression::Shared, 1024), (Compression::Takeover { contexts_max: 9 }, 64)];

/// The sizes at which something changes, and a long one.
const SIZES: [usize; 7] = [0, 1, 63, 64, 1023, 1024, 100_000];

#[test]
fn messages_of_all_sizes_come_whole() {
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&commons(compression, Limits::default()), "permessage-deflate");
        for size in SIZES.into_iter().chain(SIZES) {
            let (text, bytes) = (json(size), noise(size));
            assert_eq!(pair.receive(TEXT, text.as_bytes()), [Message::text(&text)], "{compression:?}, {size} bytes");
            assert_eq!(pair.receive(BINARY, &bytes), [Message::binary(&bytes)], "{compression:?}, {size} bytes");
        }
    }
}

#[test]
fn messages_of_all_sizes_go_out_compressed_if_they_are_long_enough() {
    for (compression, compressed_min) in WAYS {
        let mut pair = Pair::open(&commons(compression, Limits::default()), "permessage-deflate");
        for size in SIZES.into_iter().chain(SIZES) {
            let text = json(size);
            assert!(pair.link.connection.send(Message::text(&text), pair.link.now));
            assert!(pair.link.connection.send(Message::binary(text.as_bytes()), pair.link.now));
            let waits = pair.link.connection.queued_bytes();
            let is_compressed = size >= compressed_min;
            assert!(!is_compressed || waits < size, "{compression:?}: {waits} bytes for twice {size}");
            let expected = [TEXT, BINARY].map(|opcode| (is_compressed, opcode, text.clone().into_bytes()));
            assert!(pair.take() == expected, "{compression:?}, {size} bytes");
        }
    }
}

#[test]
fn what_gets_no_smaller_goes_as_it_is_unless_later_messages_may_refer_to_it() {
    let payload = noise(10_000);
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&commons(compression, Limits::default()), "permessage-deflate");
        for _ in 0..2 {
            pair.link.connection.send(Message::binary(&payload), pair.link.now);
            let is_compressed = compression != Compression::Shared;
            assert!(pair.take() == [(is_compressed, BINARY, payload.clone())], "{compression:?}");
        }
    }
}

#[test]
fn a_message_that_goes_to_the_socket_directly_is_compressed_too() {
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&commons(compression, Limits::default()), "permessage-deflate");
        let (text, bytes) = (json(50_000), noise(50_000));
        let mut sent = Vec::new();
        for message in [Message::text(&text), Message::binary(&bytes), Message::text(&text)] {
            // What is compressed waits. What is not goes to the socket, unless something waits.
            assert!(pair.link.connection.send_directly(message, pair.link.now, |header, payload| {
                sent.extend_from_slice(&[header, payload].concat());
                header.len() + payload.len()
            }));
            sent.extend(pair.link.take(usize::MAX));
        }
        let is_compressed = compression != Compression::Shared;
        let text = text.into_bytes();
        let expected = [(true, TEXT, text.clone()), (is_compressed, BINARY, bytes), (true, TEXT, text)];
        assert!(pair.read(&sent) == expected, "{compression:?}");
    }
}

#[test]
fn uncompressed_messages_may_stand_between_compressed_ones() {
    for (compression, _) in WAYS {
        let mut pair = Pair::open(&commons(compression, Limits::default()), "permessage-deflate");
        for round in 0..3 {
            let text = format!("{round} {}", json(200));
            assert_eq!(pair.receive(TEXT, text.as_bytes()), [Message::text(&text)]);
            let plain = crate::wire::client_frame(FIN | TEXT, text.as_bytes());
            assert_eq!(pair.link.receive_messages(&plain), [Message::text(&text)], "RFC 7692 §6: RSV1 says which");
        }
    }
}
