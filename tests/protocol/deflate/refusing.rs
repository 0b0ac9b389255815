//! RFC 7692 §6, §7.2.2: what fails the connection: reserved bits, what is no DEFLATE, text that is no UTF-8.

use frameloop::protocol::{Compression, Limits, Message, ProtocolError};

use super::peer::{Pair, commons, compressed, json, noise_of};
use super::{RSV1, WAYS};
use crate::driver::Link;
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, client_frame};

/// "Hello", RFC 7692 §7.2.3.1.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn open(compression: Compression) -> Pair {
    Pair::open(&commons(compression, Limits::default()), "permessage-deflate")
}

/// Each of the frames fails a connection of its own, behind these bytes.
fn all_fail(before: &[u8], firsts: impl IntoIterator<Item = u8>, error: impl Fn(u8) -> ProtocolError) {
    for first in firsts {
        for (compression, _) in WAYS {
            let mut pair = open(compression);
            assert!(pair.link.receive(before).is_empty());
            pair.link.fails(&client_frame(first, HELLO), error(first), 1002);
        }
    }
}

#[test]
fn rsv1_stands_only_on_the_first_frame_of_a_message() {
    let refused = |_| ProtocolError::ReservedBits(RSV1);
    for begun in [client_frame(RSV1 | TEXT, &HELLO[..3]), client_frame(TEXT, b"He"), Vec::new()] {
        let continuations = [CONTINUATION, FIN | CONTINUATION].map(|first| RSV1 | first);
        all_fail(&begun, continuations, refused);
        let control = [PING, PONG, CLOSE].map(|opcode| FIN | RSV1 | opcode);
        all_fail(&begun, control, refused);
    }
}

#[test]
fn rsv2_and_rsv3_have_no_meaning_with_or_without_rsv1() {
    let firsts = [0x10, 0x20, 0x30, 0x50, 0x60, 0x70]
        .into_iter()
        .flat_map(|bits| [TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE].map(|opcode| FIN | bits | opcode));
    all_fail(b"", firsts, |first| ProtocolError::ReservedBits(first & 0x70));
}

#[test]
fn a_reserved_opcode_stays_reserved_with_rsv1() {
    let opcodes = (0x3..=0x7).chain(0xb..=0xf).map(|opcode| FIN | RSV1 | opcode);
    all_fail(b"", opcodes, |first| ProtocolError::ReservedOpcode(first & 0xf));
}

#[test]
fn a_message_may_not_begin_within_one_that_is_compressed() {
    let begun = client_frame(RSV1 | TEXT, &HELLO[..3]);
    let firsts = [TEXT, RSV1 | TEXT, BINARY, FIN | RSV1 | BINARY];
    all_fail(&begun, firsts, |_| ProtocolError::ExpectedContinuation);
}

#[track_caller]
fn is_no_deflate(link: &mut Link, payload: &[u8]) {
    link.fails(&client_frame(FIN | RSV1 | BINARY, payload), ProtocolError::InvalidDeflate, 1007);
}

#[test]
fn what_is_no_deflate_fails_the_connection_with_1007() {
    for (compression, _) in WAYS {
        for payload in [
            &b"\x06"[..],                            // a block of the reserved kind
            b"\x07\x00",                             // the same, with BFINAL
            b"\x00\x05\x00\x00\x00Hello\x00",        // the length of a stored block and its complement
            b"\xf2\x00\x11\x00\x00",                 // refers to a message before it, and there is none
            b"\xf2\x48\xcd\xc9\xc9\x07\x00\xff\xff", // garbage behind a block
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x06",     // garbage behind a final block
            b"\x04\xff\xff\xff\xff\xff\xff\xff\xff", // impossible Huffman codes
            b"Hello, this is what a client sends that sets RSV1 and does not compress",
        ] {
            is_no_deflate(&mut open(compression).link, payload);
        }
        // The same in fragments, and behind a good message.
        let mut pair = open(compression);
        assert_eq!(pair.receive(TEXT, b"good"), [Message::text("good")]);
        let fragments = [client_frame(RSV1 | BINARY, b"\xf2"), client_frame(FIN | CONTINUATION, b"\xff\xff\xff\xff")];
        pair.link.fails(&fragments.concat(), ProtocolError::InvalidDeflate, 1007);
    }
}

#[test]
fn a_payload_that_ends_within_a_block_fails_the_connection_with_1007() {
    for (compression, _) in WAYS {
        for at in 1..HELLO.len() {
            is_no_deflate(&mut open(compression).link, &HELLO[..at]);
        }
        // Dynamic codes and a stored block, of which the tail of 4 bytes is not the end, whatever its bits are read as.
        for level in [9, 0] {
            let whole = compressed(level, json(3000).as_bytes());
            // Of a stored block the first byte alone would be an empty one.
            for at in (2..whole.len() - 1).step_by(if level == 9 { 1 } else { 13 }) {
                is_no_deflate(&mut open(compression).link, &whole[..at]);
            }
        }
        // What has lost its last byte is not made whole by the tail.
        is_no_deflate(&mut open(compression).link, b"\x00\x05\x00\xfa\xffHello");
        // Nor is the tail a part of the payload.
        is_no_deflate(&mut open(compression).link, b"\x00\x09\x00\xf6\xffHello");
        is_no_deflate(&mut open(compression).link, b"\x01\x09\x00\xf6\xffHello");
    }
}

#[test]
fn noise_is_refused_or_a_message_and_the_next_connection_is_served() {
    for (compression, _) in WAYS {
        let commons = commons(compression, Limits::default());
        let mut refused = 0;
        for seed in 0..300 {
            let mut pair = Pair::open(&commons, "permessage-deflate");
            pair.link.receive(&client_frame(FIN | RSV1 | BINARY, &noise_of(1 + seed as usize, seed)));
            refused += usize::from(pair.link.connection.end().is_some());
            let mut next = Pair::open(&commons, "permessage-deflate");
            assert_eq!(next.receive(TEXT, b"Hello"), [Message::text("Hello")], "seed {seed}");
        }
        assert!(refused > 250, "{refused} of 300");
    }
}

#[test]
fn text_that_is_no_utf_8_once_it_is_decompressed_fails_the_connection_with_1007() {
    let long = json(40_000);
    for (compression, _) in WAYS {
        for text in [
            &b"\xff"[..],
            b"\xed\xa0\x80", // half a surrogate pair
            b"\xc0\xaf",     // in too long a form
            b"cut at the end \xe2\x82",
            &[long.as_bytes(), b"\x80"].concat(), // far behind the first step
            &[&long.as_bytes()[..16383], b"\xe2A\x82"].concat(), // a character cut by a step, and not continued
        ] {
            let mut pair = open(compression);
            let bad = client_frame(FIN | RSV1 | TEXT, &pair.peer.compress(text));
            pair.link.fails(&bad, ProtocolError::InvalidUtf8, 1007);
            let mut pair = open(compression);
            assert!(pair.receive(BINARY, text) == [Message::binary(text)], "bytes may be anything");
        }
    }
}

#[test]
fn a_character_may_be_cut_by_a_step_of_decompressing() {
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        for character in ["é", "€", "𐍈"] {
            for before in 0..=character.len() {
                let text = format!("{}{}", "a".repeat(16 * 1024 - before), character.repeat(10_000));
                assert!(pair.receive(TEXT, text.as_bytes()) == [Message::text(&text)], "{before} bytes before the cut");
            }
        }
    }
}
