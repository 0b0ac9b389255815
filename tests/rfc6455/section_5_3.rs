//! §5.3: masking, undone with the key of each frame.

use frameloop::protocol::frame::FrameHeader;
use frameloop::protocol::{Limits, Message};

use crate::driver::Link;
use crate::wire::{BINARY, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of at most 125 bytes that is masked with this key.
fn masked(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend_from_slice(&key);
    for (i, octet) in payload.iter().enumerate() {
        frame.push(octet ^ key[i % 4]); // transformed-octet-i, as §5.3 has it
    }
    frame
}

#[test]
fn the_mask_bit_says_that_a_key_of_32_bits_is_there() {
    for length in [0_u8, 1, 125] {
        let with_key = [FIN | TEXT, 0x80 | length, 0x37, 0xfa, 0x21, 0x3d];
        let (header, header_len) = FrameHeader::parse(&with_key).unwrap().unwrap();
        assert_eq!((header.masking_key, header_len), (Some(KEY), 6));
        let without = [FIN | TEXT, length, 0x37, 0xfa, 0x21, 0x3d];
        let (header, header_len) = FrameHeader::parse(&without).unwrap().unwrap();
        assert_eq!((header.masking_key, header_len), (None, 2));
    }
    // A key of zeros is a key like any.
    let mut link = Link::open(Limits::default());
    assert_eq!(link.receive(&masked(FIN | TEXT, [0; 4], b"Hello")), [b"Hello"]);
}

#[test]
fn octet_i_is_transformed_with_octet_i_modulo_4_of_the_key() {
    for length in 0..=125 {
        let payload: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(7).wrapping_add(3)).collect();
        for key in [KEY, [1, 2, 3, 4], [0xff, 0, 0, 0], [0, 0, 0, 0xff]] {
            let mut link = Link::open(Limits::default());
            assert_eq!(link.receive(&masked(FIN | BINARY, key, &payload)), [&payload[..]], "{length} bytes");
        }
    }
}

#[test]
fn the_key_goes_on_where_a_read_ends() {
    let payload: Vec<u8> = (0..100).collect();
    let frame = masked(FIN | BINARY, KEY, &payload);
    for first in 0..=frame.len() {
        for second in (first..=frame.len()).step_by(3) {
            let mut link = Link::open(Limits::default());
            let reads = [&frame[..first], &frame[first..second], &frame[second..]];
            let messages = reads.map(|read| link.receive(read)).concat();
            assert_eq!(messages, [&payload[..]], "cut at {first} and {second}");
        }
    }
}

#[test]
fn each_frame_has_a_key_of_its_own() {
    let mut link = Link::open(Limits::default());
    let frames = [
        masked(TEXT, KEY, b"one "),
        masked(CONTINUATION, [9, 8, 7, 6], b"two"), // 3 bytes: no key goes on in the next frame
        masked(FIN | PING, [0xff; 4], b"between"),
        masked(FIN | CONTINUATION, [1, 2, 3, 4], b" three"),
        masked(FIN | TEXT, [0x80, 0, 0x80, 0], b"four"),
    ];
    assert_eq!(link.receive_messages(&frames.concat()), [Message::text("one two three"), Message::text("four")]);
    assert_eq!(link.take_frames(), [ServerFrame::new(PONG, b"between")]);
}

#[test]
fn the_length_is_that_of_the_payload_without_the_key() {
    for length in [0, 1, 3, 4, 5, 125, 126, 0x1_0000] {
        let mut link = Link::open(Limits::default());
        let frames = [client_frame(FIN | BINARY, &vec![7; length]), client_frame(FIN | TEXT, b"next")];
        assert!(link.receive(&frames.concat()) == [vec![7; length], b"next".to_vec()], "{length} bytes");
    }
}
