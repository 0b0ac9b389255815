//! §5.2: the base framing protocol: reserved bits, opcodes, and the three forms of the length.

use frameloop::protocol::frame::{FrameHeader, Opcode};
use frameloop::protocol::{Limits, Message, ProtocolError, SharedFrame};

use crate::driver::Link;
use crate::section_5_1::every_kind_of_frame;
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

/// The largest length that has its top bit clear.
const LENGTH_MAX: u64 = (1 << 63) - 1;

#[test]
fn the_first_fragment_may_also_be_the_last() {
    let mut link = Link::open(Limits::default());
    assert_eq!(link.receive_messages(&client_frame(FIN | TEXT, b"whole")), [Message::text("whole")]);
    assert_eq!(link.receive_messages(&client_frame(FIN | BINARY, b"")), [Message::binary(b"")]);
    link.connection.send(Message::text("ours too"), link.now);
    assert_eq!(link.take(1), [FIN | TEXT], "FIN and the opcode of a first fragment");
}

#[test]
fn a_reserved_bit_that_no_extension_gives_a_meaning_fails_the_connection() {
    for bits in (0x10..=0x70).step_by(0x10) {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let frame = client_frame(FIN | bits | opcode, b"");
            Link::open(Limits::default()).fails(&frame, ProtocolError::ReservedBits(bits), 1002);
        }
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(TEXT, b"a"));
        let last = client_frame(FIN | bits | CONTINUATION, b"b");
        link.fails(&last, ProtocolError::ReservedBits(bits), 1002);
    }
}

#[test]
fn the_reserved_bits_of_what_the_server_sends_are_0() {
    for (name, frame) in every_kind_of_frame() {
        assert_eq!(frame[0] & 0x70, 0, "{name}");
    }
}

#[test]
fn an_unknown_opcode_fails_the_connection() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        let error = ProtocolError::ReservedOpcode(opcode);
        for first in [opcode, FIN | opcode] {
            Link::open(Limits::default()).fails(&client_frame(first, b""), error, 1002);
            Link::open(Limits::default()).fails(&client_frame(first, b"payload"), error, 1002);
        }
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(TEXT, b"inside a message"));
        link.fails(&client_frame(FIN | opcode, b""), error, 1002);
    }
}

#[test]
fn each_form_of_the_length_is_read_at_its_first_and_last_length() {
    let forms: [(usize, &[u8]); 5] = [
        (0, &[0x80]),
        (125, &[0x80 | 125]),
        (126, &[0x80 | 126, 0, 126]),
        (0xffff, &[0x80 | 126, 0xff, 0xff]),
        (0x1_0000, &[0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ];
    for (length, form) in forms {
        let key_of_zeros_and_payload = vec![7; length];
        let frame = [&[FIN | BINARY], form, &[0; 4], &key_of_zeros_and_payload].concat();
        let mut link = Link::open(Limits::default());
        let next = client_frame(FIN | TEXT, b"next");
        assert!(link.receive(&[frame, next].concat()) == [vec![7; length], b"next".to_vec()], "{length} bytes");
    }
}

#[test]
fn the_most_significant_bit_of_a_length_must_be_0() {
    for length in [1 << 63, (1 << 63) + 1, u64::MAX] {
        let frame = [&[FIN | BINARY, 0x80 | 127], &length.to_be_bytes()[..], &[0; 4], b"payload"].concat();
        Link::open(Limits::default()).fails(&frame, ProtocolError::LengthTooLarge(length), 1002);
    }
    // One less keeps the rule, and is only more than this server takes.
    let frame = [&[FIN | BINARY, 0x80 | 127], &LENGTH_MAX.to_be_bytes()[..], &[0; 4]].concat();
    let limit = Limits::default().message_bytes_max as u64;
    Link::open(Limits::default()).fails(&frame, ProtocolError::MessageTooBig { announced: LENGTH_MAX, limit }, 1009);
}

#[test]
fn the_longest_length_with_its_most_significant_bit_clear_is_encoded() {
    let mut bytes = Vec::new();
    FrameHeader { fin: true, rsv1: false, opcode: Opcode::Binary, masking_key: None, payload_len: LENGTH_MAX }
        .encode(&mut bytes);
    assert_eq!(bytes, [FIN | BINARY, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
}

#[test]
#[should_panic(expected = "that long")]
fn a_length_with_its_most_significant_bit_set_is_not_encoded() {
    let payload_len = LENGTH_MAX + 1;
    FrameHeader { fin: true, rsv1: false, opcode: Opcode::Binary, masking_key: None, payload_len }
        .encode(&mut Vec::new());
}

#[test]
fn a_length_that_is_not_in_the_minimal_number_of_bytes_fails_the_connection() {
    for opcode in [TEXT, BINARY] {
        for length in [0_u8, 1, 124, 125] {
            let error = ProtocolError::LengthNotMinimal(length.into());
            let payload = vec![b'x'; length.into()];
            let in_16_bits = [&[FIN | opcode, 0x80 | 126, 0, length, 0, 0, 0, 0], &payload[..]].concat();
            Link::open(Limits::default()).fails(&in_16_bits, error, 1002);
            let in_64_bits = [&[FIN | opcode, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, length][..], &[0; 4], &payload].concat();
            Link::open(Limits::default()).fails(&in_64_bits, error, 1002);
        }
        for length in [126, 127, 0xfffe, 0xffff] {
            let in_64_bits = [&[FIN | opcode, 0x80 | 127], &u64::to_be_bytes(length)[..], &[0; 4]].concat();
            let error = ProtocolError::LengthNotMinimal(length);
            Link::open(Limits::default()).fails(&in_64_bits, error, 1002);
        }
    }
}

#[test]
fn the_server_encodes_lengths_in_the_minimal_number_of_bytes() {
    let headers: [(usize, &[u8]); 8] = [
        (0, &[0]),
        (1, &[1]),
        (124, &[124]),
        (125, &[125]),
        (126, &[126, 0, 126]),
        (0xffff, &[126, 0xff, 0xff]),
        (0x1_0000, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (300_000, &[127, 0, 0, 0, 0, 0, 0x04, 0x93, 0xe0]),
    ];
    for (length, form) in headers {
        let payload = vec![7; length];
        let (borrowed, shared) = (Message::binary(&payload), SharedFrame::binary(&payload));
        let owned = Message::Binary(payload.clone().into());
        let ways = [
            sent_by(|link| link.connection.send(borrowed, link.now)),
            sent_by(|link| link.connection.send(owned, link.now)),
            sent_by(|link| link.connection.send_shared(&shared, link.now)),
        ];
        let expected = [&[FIN | BINARY], form, &payload].concat();
        assert!(ways.iter().all(|bytes| *bytes == expected), "{length} bytes");
    }
    for length in [0_u8, 1, 124, 125] {
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(FIN | PING, &vec![b'p'; length.into()]));
        assert_eq!(link.waiting()[..2], [FIN | PONG, length]);
        assert_eq!(link.take_frames(), [ServerFrame::new(PONG, &vec![b'p'; length.into()])]);
    }
}

/// The bytes that a command makes on an open connection.
fn sent_by(command: impl FnOnce(&mut Link) -> bool) -> Vec<u8> {
    let mut link = Link::open(Limits::default());
    assert!(command(&mut link));
    link.take(usize::MAX)
}
