//! F11: text that is not UTF-8, and text that is cut.

use frameloop::protocol::CloseCode;

use super::{expect_alive, expect_failure, failed, header_64, patient};
use crate::client::Client;
use crate::harness::Running;
use crate::wire::{CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

/// Each is invalid, or would be with whatever follows it.
const INVALID: [&[u8]; 14] = [
    b"ab\xff",
    b"a\x80",
    b"\xc3(",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf0\x9f\x98a",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
];

/// The bytes up to the one from which on nothing can make them valid.
fn up_to_the_first_bad_byte(bytes: &[u8]) -> &[u8] {
    let is_bad = |len: &usize| std::str::from_utf8(&bytes[..*len]).is_err_and(|error| error.error_len().is_some());
    let len = (1..=bytes.len()).find(is_bad).expect("it is invalid");
    &bytes[..len]
}

#[test]
fn f11_invalid_text_is_refused_at_its_first_bad_byte_however_it_is_cut() {
    let server = Running::echo(patient());
    for invalid in INVALID {
        let bad = up_to_the_first_bad_byte(invalid);
        for cut in 0..bad.len() {
            let (front, back) = bad.split_at(cut);
            // Neither the frame nor the message is at its end when the byte is there.
            let header = header_64(TEXT, 70_000);
            let mut client = Client::open(server.address());
            client.write(&[&header, front].concat());
            client.write(back);
            expect_failure(client, CloseCode::INVALID_PAYLOAD, "over segments");

            let mut client = Client::open(server.address());
            client.write(&[client_frame(TEXT, front), client_frame(FIN | PING, b"")].concat());
            assert_eq!(client.frame(), ServerFrame::new(PONG, b""), "so far it may become valid");
            client.write(&[&header_64(CONTINUATION, 70_000), back].concat());
            expect_failure(client, CloseCode::INVALID_PAYLOAD, "over fragments");
        }
        failed(&server, &client_frame(FIN | TEXT, invalid), CloseCode::INVALID_PAYLOAD);
    }
    expect_alive(&server);
}

#[test]
fn f11_text_must_not_end_inside_a_character() {
    let server = Running::echo(patient());
    for character in ["é", "€", "😀", "\u{10ffff}"].map(str::as_bytes) {
        for len in 1..character.len() {
            let cut = &character[..len];
            failed(&server, &client_frame(FIN | TEXT, cut), CloseCode::INVALID_PAYLOAD);
            let fragments = [client_frame(TEXT, cut), client_frame(FIN | CONTINUATION, b"")].concat();
            failed(&server, &fragments, CloseCode::INVALID_PAYLOAD);
            // The next message does not complete it.
            let messages = [client_frame(FIN | TEXT, cut), client_frame(FIN | TEXT, &character[len..])].concat();
            failed(&server, &messages, CloseCode::INVALID_PAYLOAD);
        }
    }
    expect_alive(&server);
}

#[test]
fn f11_valid_text_is_intact_at_every_cut() {
    let server = Running::echo(patient());
    let text = "\u{0}κόσμε-\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{feff}\u{fffd}\u{ffff}\u{10000}😀\u{10ffff}é";
    let mut client = Client::open(server.address());
    for cut in 0..=text.len() {
        let (front, back) = text.as_bytes().split_at(cut);
        client.write(&[client_frame(TEXT, front), client_frame(FIN | CONTINUATION, back)].concat());
        assert_eq!(client.text(), text, "in fragments cut at {cut}");
        let frame = client_frame(FIN | TEXT, text.as_bytes());
        let (front, back) = frame.split_at(frame.len() - text.len() + cut);
        client.write(front);
        client.write(back);
        assert_eq!(client.text(), text, "in segments cut at {cut}");
    }
    client.send(TEXT, b"");
    for byte in text.bytes() {
        client.send(CONTINUATION, &[byte]);
        client.send(FIN | PING, b"");
    }
    client.send(FIN | CONTINUATION, b"");
    for _ in text.bytes() {
        assert_eq!(client.frame(), ServerFrame::new(PONG, b""));
    }
    assert_eq!(client.text(), text, "byte by byte");
    client.leave();
}
