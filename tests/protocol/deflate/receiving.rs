//! RFC 7692 §7.2.2: compressed messages of any form, cut anywhere.

use frameloop::protocol::{Compression, Limits, Message};
use zlib_rs::{Deflate, DeflateFlush};

use super::peer::{Pair, TAIL, commons, compressed, deflate, json, noise};
use super::{RSV1, WAYS};
use crate::wire::{BINARY, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

fn open(compression: Compression) -> Pair {
    Pair::open(&commons(compression, Limits::default()), "permessage-deflate")
}

/// A compressed message in one frame.
fn whole(compressed: &[u8]) -> Vec<u8> {
    client_frame(FIN | RSV1 | TEXT, compressed)
}

/// RFC 7692 §7.2.3: the examples, all of them "Hello" on a connection of its own.
const EXAMPLES: [(&str, &[u8]); 7] = [
    ("§7.2.3.1: one block", b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
    ("§7.2.3.3: a block without compression", b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
    ("§7.2.3.4: a block with BFINAL", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
    ("§7.2.3.5: two blocks", b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
    ("a block with BFINAL, without the byte that §7.2.3.4 puts behind it", b"\xf3\x48\xcd\xc9\xc9\x07\x00"),
    ("empty blocks around it", b"\x00\x00\x00\xff\xff\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x00"),
    ("an empty block with BFINAL in front", b"\x03\x00\xf2\x48\xcd\xc9\xc9\x07\x00"),
];

#[test]
fn the_examples_of_the_rfc_are_hello_whole_and_in_fragments() {
    for (compression, _) in WAYS {
        for (what, payload) in EXAMPLES {
            let mut pair = open(compression);
            for round in 0..2 {
                let hello = [Message::text("Hello")];
                assert_eq!(pair.link.receive_messages(&whole(payload)), hello, "{what}, round {round}");
                for at in 0..=payload.len() {
                    let fragments =
                        [client_frame(RSV1 | TEXT, &payload[..at]), client_frame(FIN | CONTINUATION, &payload[at..])]
                            .concat();
                    assert_eq!(pair.link.receive_messages(&fragments), hello, "{what}, fragmented at {at}");
                }
            }
        }
    }
}

#[test]
fn rfc_7692_7_2_3_2_a_message_refers_to_the_one_before_it() {
    let mut pair = open(Compression::Takeover { contexts_max: 1 });
    assert_eq!(pair.link.receive_messages(&whole(b"\xf2\x48\xcd\xc9\xc9\x07\x00")), [Message::text("Hello")]);
    assert_eq!(pair.link.receive_messages(&whole(b"\xf2\x00\x11\x00\x00")), [Message::text("Hello")]);
}

#[test]
fn rfc_7692_7_2_3_6_an_empty_message_is_an_empty_block_of_any_form_or_no_byte_at_all() {
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        for payload in [&b"\x00"[..], b"\x02\x00", b"\x03\x00", b"\x03\x00\x00", b"\x00\x00\x00\xff\xff\x00", b""] {
            assert_eq!(pair.link.receive_messages(&whole(payload)), [Message::text("")], "{}", payload.escape_ascii());
            let fragments = [client_frame(RSV1 | BINARY, b""), client_frame(FIN | CONTINUATION, payload)].concat();
            assert_eq!(pair.link.receive_messages(&fragments), [Message::binary(b"")]);
        }
    }
}

#[test]
fn a_compressed_message_may_be_cut_between_reads_at_every_byte() {
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        let text = json(300);
        for at in 0.. {
            let frame = whole(&pair.peer.compress(text.as_bytes()));
            let Some((front, back)) = frame.split_at_checked(at) else { break };
            let mut messages = pair.link.receive_messages(front);
            messages.extend(pair.link.receive_messages(back));
            assert_eq!(messages, [Message::text(&text)], "cut at {at}");
        }
        let frame = whole(&pair.peer.compress(text.as_bytes()));
        let mut single = frame.iter().flat_map(|byte| pair.link.receive_messages(&[*byte]));
        assert_eq!(single.next(), Some(Message::text(&text)), "each byte comes by itself");
        assert_eq!(single.next(), None);
    }
}

#[test]
fn a_compressed_message_may_be_fragmented_at_every_byte_with_a_ping_in_between() {
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        let payload = [json(200).as_bytes(), &noise(30)].concat();
        for at in 0.. {
            let compressed = pair.peer.compress(&payload);
            let Some((front, back)) = compressed.split_at_checked(at) else { break };
            let bytes = [
                client_frame(RSV1 | BINARY, front),
                client_frame(FIN | PING, b"between"),
                client_frame(FIN | CONTINUATION, back),
            ]
            .concat();
            assert_eq!(pair.link.receive_messages(&bytes), [Message::binary(&payload)], "fragmented at {at}");
            assert_eq!(pair.link.take_frames(), [ServerFrame::new(PONG, b"between")]);
        }
        let mut bytes = client_frame(RSV1 | BINARY, b"");
        for byte in pair.peer.compress(&payload) {
            bytes.extend([client_frame(CONTINUATION, &[byte]), client_frame(FIN | PING, &[byte])].concat());
        }
        bytes.extend(client_frame(FIN | CONTINUATION, b""));
        assert_eq!(pair.link.receive_messages(&bytes), [Message::binary(&payload)], "a frame for each byte");
    }
}

/// The compressed form in pieces of so many bytes, each flushed in its way, without the last four bytes.
fn in_pieces(compressor: &mut Deflate, payload: &[u8], piece: usize, flush: DeflateFlush) -> Vec<u8> {
    let mut all: Vec<u8> = payload.chunks(piece).flat_map(|piece| deflate(compressor, piece, flush)).collect();
    all.extend(deflate(compressor, b"", DeflateFlush::SyncFlush));
    all.strip_suffix(&TAIL).unwrap().to_vec()
}

#[test]
fn a_message_may_have_many_blocks_of_any_kind() {
    let text = json(20_000);
    let flushes = [DeflateFlush::Block, DeflateFlush::PartialFlush, DeflateFlush::SyncFlush, DeflateFlush::FullFlush];
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        for level in [0, 1, 6, 9] {
            for flush in flushes {
                let compressed = in_pieces(&mut Deflate::new(level, false, 15), text.as_bytes(), 9, flush);
                let messages = pair.link.receive_messages(&whole(&compressed));
                assert!(messages == [Message::text(&text)], "level {level}, {flush:?}");
            }
        }
    }
}

#[test]
fn a_message_may_be_stored_blocks_only() {
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        let bytes = noise(200_000); // several blocks, for one has 65,535 bytes at most
        let stored = compressed(0, &bytes);
        assert!(stored.len() > bytes.len());
        let messages = pair.link.receive_messages(&client_frame(FIN | RSV1 | BINARY, &stored));
        assert!(messages == [Message::binary(&bytes)]);
    }
}

/// RFC 7692 §7.2.3.4 lets a sender end each message with a final block; and DEFLATE lets others follow.
#[test]
fn messages_may_end_in_final_blocks_and_have_them_in_their_midst() {
    for (compression, _) in WAYS {
        let mut pair = open(compression);
        for size in [10, 1000, 50_000] {
            let text = json(size);
            let mut compressor = Deflate::new(6, false, 15);
            let mut finished = deflate(&mut compressor, text.as_bytes(), DeflateFlush::Finish);
            assert!(pair.link.receive_messages(&whole(&finished)) == [Message::text(&text)], "{size} bytes");
            finished.push(0);
            assert!(pair.link.receive_messages(&whole(&finished)) == [Message::text(&text)], "{size} bytes");

            finished.pop();
            let three = [&finished[..], &finished, &compressed(6, text.as_bytes())].concat();
            let thrice = text.repeat(3);
            for at in [1, finished.len() - 1, finished.len(), finished.len() + 1, three.len() - 1] {
                let fragments =
                    [client_frame(RSV1 | TEXT, &three[..at]), client_frame(FIN | CONTINUATION, &three[at..])].concat();
                let messages = pair.link.receive_messages(&fragments);
                assert!(messages == [Message::text(&thrice)], "{size} bytes thrice, fragmented at {at}");
            }
        }
        let next = json(500);
        let messages = pair.link.receive_messages(&whole(&compressed(6, next.as_bytes())));
        assert_eq!(messages, [Message::text(&next)], "a stream of its own comes behind final blocks");
    }
}
