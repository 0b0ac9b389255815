//! §5.7: the examples, byte for byte.

use frameloop::protocol::frame::{FrameHeader, Opcode};
use frameloop::protocol::{Limits, Message, SharedFrame, State};

use crate::driver::Link;
use crate::wire::client_frame;

/// The header of a frame that is not masked, with the bytes that it takes.
fn header(fin: bool, opcode: Opcode, payload_len: u64, header_len: usize) -> (FrameHeader, usize) {
    (FrameHeader { fin, rsv1: false, opcode, masking_key: None, payload_len }, header_len)
}

/// What `bytes` begin with, which must be the same when it is encoded again.
fn parse(bytes: &[u8]) -> (FrameHeader, usize) {
    let (header, header_len) = FrameHeader::parse(bytes).unwrap().unwrap();
    let mut encoded = Vec::new();
    header.encode(&mut encoded);
    assert_eq!(encoded, bytes[..header_len]);
    (header, header_len)
}

#[test]
fn a_single_frame_unmasked_text_message() {
    let example = b"\x81\x05\x48\x65\x6c\x6c\x6f";
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::text("Hello"), link.now);
    assert_eq!(link.take(usize::MAX), example);
    assert_eq!(SharedFrame::text("Hello").as_bytes(), example);
    assert_eq!(parse(example), header(true, Opcode::Text, 5, 2));
}

#[test]
fn a_single_frame_masked_text_message() {
    let example = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let mut link = Link::open(Limits::default());
    assert_eq!(link.receive_messages(example), [Message::text("Hello")]);
    assert_eq!(parse(example).0.masking_key, Some([0x37, 0xfa, 0x21, 0x3d]));
    assert_eq!(client_frame(0x81, b"Hello"), example, "and so the clients of these tests send it");
}

#[test]
fn a_fragmented_text_message() {
    assert_eq!(parse(b"\x01\x03\x48\x65\x6c"), header(false, Opcode::Text, 3, 2));
    assert_eq!(parse(b"\x80\x02\x6c\x6f"), header(true, Opcode::Continuation, 2, 2));
    // The same masked, since it is a client that sends fragments here.
    let mut link = Link::open(Limits::default());
    assert!(link.receive(b"\x01\x83\x37\xfa\x21\x3d\x7f\x9f\x4d").is_empty());
    assert_eq!(link.receive_messages(b"\x80\x82\x37\xfa\x21\x3d\x5b\x95"), [Message::text("Hello")]);
}

#[test]
fn an_unmasked_ping_request_and_a_masked_ping_response() {
    assert_eq!(parse(b"\x89\x05\x48\x65\x6c\x6c\x6f"), header(true, Opcode::Ping, 5, 2));
    let mut link = Link::open(Limits::default());
    assert!(link.receive(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").is_empty());
    assert_eq!((link.connection.state(), link.connection.queued_bytes()), (State::Open, 0));
    // The other way round.
    link.receive(b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(link.take(usize::MAX), b"\x8a\x05\x48\x65\x6c\x6c\x6f");
}

#[test]
fn a_256_bytes_binary_message_in_a_single_unmasked_frame() {
    let data: Vec<u8> = (0..=255).collect();
    let example = [&b"\x82\x7e\x01\x00"[..], &data].concat();
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::binary(&data), link.now);
    assert_eq!(link.take(usize::MAX), example);
    assert_eq!(parse(&example), header(true, Opcode::Binary, 256, 4));
}

#[test]
fn a_64_kib_binary_message_in_a_single_unmasked_frame() {
    let data = vec![7; 65_536];
    let example = [&b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"[..], &data].concat();
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::binary(&data), link.now);
    assert!(link.take(usize::MAX) == example);
    assert_eq!(parse(&example), header(true, Opcode::Binary, 65_536, 10));
}
