//! §5.6: data frames: text in UTF-8, and arbitrary binary data.

use frameloop::protocol::{Limits, Message, ProtocolError, SharedFrame};

use crate::driver::Link;
use crate::wire::{BINARY, CONTINUATION, FIN, ServerFrame, TEXT, client_frame};

const BAD_TEXTS: [&[u8]; 4] = [b"Hello \xff!", b"\x80", b"\xed\xa0\x80", b"the end is missing: \xf0\x9f\x98"];

#[test]
fn a_text_message_as_a_whole_must_be_valid_utf8() {
    for payload in BAD_TEXTS {
        let frame = client_frame(FIN | TEXT, payload);
        Link::open(Limits::default()).fails(&frame, ProtocolError::InvalidUtf8, 1007);
        for cut in 0..=payload.len() {
            let (front, back) = payload.split_at(cut);
            let frames = [client_frame(TEXT, front), client_frame(FIN | CONTINUATION, back)].concat();
            Link::open(Limits::default()).fails(&frames, ProtocolError::InvalidUtf8, 1007);
        }
    }
    // What ends inside a character is not made whole by the message after it.
    let mut link = Link::open(Limits::default());
    link.fails(&[client_frame(FIN | TEXT, b"\xe2\x82"), client_frame(FIN | TEXT, b"\xac")].concat(), BAD, 1007);
}

const BAD: ProtocolError = ProtocolError::InvalidUtf8;

#[test]
fn a_text_frame_may_hold_a_part_of_a_character() {
    let text = "aß€😀\u{0}\u{10ffff}";
    let (first, rest) = text.as_bytes().split_first().unwrap();
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(TEXT, &[*first]));
    for byte in rest {
        assert!(link.receive(&client_frame(CONTINUATION, &[*byte])).is_empty());
    }
    assert_eq!(link.receive_messages(&client_frame(FIN | CONTINUATION, b"")), [Message::text(text)]);
}

#[test]
fn binary_data_is_arbitrary() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    for payload in BAD_TEXTS.into_iter().chain([&all_bytes[..]]) {
        let mut link = Link::open(Limits::default());
        let frames = [client_frame(BINARY, &payload[..1]), client_frame(FIN | CONTINUATION, &payload[1..])].concat();
        assert_eq!(link.receive_messages(&frames), [Message::binary(payload)]);
        assert_eq!(link.receive_messages(&client_frame(FIN | BINARY, payload)), [Message::binary(payload)]);
    }
}

#[test]
fn a_text_that_the_server_sends_is_utf8_and_binary_data_is_untouched() {
    let mut link = Link::open(Limits::default());
    let text = "schöne Welt 😀";
    link.connection.send(Message::text(text), link.now);
    link.connection.send_shared(&SharedFrame::text(text), link.now);
    link.connection.send(Message::binary(b"\xff\xfe"), link.now);
    let text = ServerFrame::new(TEXT, text.as_bytes());
    assert_eq!(link.take_frames(), [text.clone(), text, ServerFrame::new(BINARY, b"\xff\xfe")]);
}
