//! §5.5, §7.4: pings, pongs, and Close frames with every kind of payload.

use frameloop::protocol::ProtocolError;

use crate::corpus::{Ending, Stream};
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, close_payload};

pub(crate) fn streams() -> Vec<Stream> {
    let mut streams = vec![
        Stream::new("an empty ping").ping(b""),
        Stream::new("the longest ping").ping(&[0xff; 125]).text("after"),
        Stream::new("pings in a row, each answered").ping(b"1").ping(b"").ping(b"2").ping(b"2"),
        Stream::new("pings between messages").text("a").ping(b"1").binary(b"b").ping(b"2").text("c"),
        Stream::new("pongs that nobody asked for").frame(FIN | PONG, b"").frame(FIN | PONG, &[7; 125]).text("a"),
        Stream::new("half a ping").text("a").raw(b"\x89\x83\x01\x02\x03\x04a"),
    ];
    streams.extend(close_frames());
    streams.extend(after_the_close_frame());
    streams
}

/// §5.5.1: nothing, or a code and a reason.
fn close_frames() -> Vec<Stream> {
    let mut streams = vec![
        close("an empty Close", b"").ends(Ending::ClosedByPeer(None)),
        close("a Close of one byte", b"\x03").fails(ProtocolError::CloseTooShort),
        close("a reason", &close_payload(1000, "bye, schöne Welt 😀")).ends(Ending::ClosedByPeer(Some(1000))),
        close("the longest reason", &close_payload(1001, &"r".repeat(123))).ends(Ending::ClosedByPeer(Some(1001))),
        close("a reason that is not UTF-8", b"\x03\xe8bad \xff").ends(BAD_UTF8),
        close("a reason with a surrogate", b"\x03\xe8\xed\xa0\x80").ends(BAD_UTF8),
        close("a reason that ends inside a character", b"\x03\xe8\xe2\x82").ends(BAD_UTF8),
        close("an invalid code and a bad reason", b"\x03\xed\xff").fails(ProtocolError::InvalidCloseCode(1005)),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let stream = close(&format!("close code {code}"), &close_payload(code, ""));
        streams.push(stream.ends(Ending::ClosedByPeer(Some(code))));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 0x8000, 0xffff] {
        let stream = close(&format!("close code {code}, which must not be sent"), &close_payload(code, "r"));
        streams.push(stream.fails(ProtocolError::InvalidCloseCode(code)));
    }
    streams
}

/// §5.5.1, §7.1.7: nothing after a Close frame is looked at, be it good or bad.
fn after_the_close_frame() -> Vec<Stream> {
    let after: [(&str, u8, &[u8]); 9] = [
        ("the same again", FIN | CLOSE, &[0x03, 0xe8]),
        ("another code", FIN | CLOSE, &[0x03, 0xe9]),
        ("a bad Close", FIN | CLOSE, &[0x03]),
        ("a text", FIN | TEXT, b"late"),
        ("a bad text", FIN | TEXT, b"\xff"),
        ("a ping", FIN | PING, b"late"),
        ("a continuation of nothing", FIN | CONTINUATION, b""),
        ("a reserved opcode", 0x8f, b""),
        ("a fragment", BINARY, b"late"),
    ];
    let mut streams: Vec<Stream> = after
        .into_iter()
        .map(|(name, first, payload)| {
            let stream = close(&format!("after the Close {name}"), &close_payload(1000, "")).frame(first, payload);
            stream.ends(Ending::ClosedByPeer(Some(1000)))
        })
        .collect();
    streams.extend([
        Stream::new("after the Close another request")
            .frame(FIN | CLOSE, b"")
            .raw(crate::wire::REQUEST_HEAD)
            .ends(Ending::ClosedByPeer(None)),
        Stream::new("a Close between fragments")
            .frame(TEXT, b"a")
            .frame(FIN | CLOSE, &close_payload(1001, "gone"))
            .frame(FIN | CONTINUATION, b"b")
            .ends(Ending::ClosedByPeer(Some(1001))),
        Stream::new("a Close behind pings and messages")
            .ping(b"p")
            .text("a")
            .ping(b"q")
            .binary(b"b")
            .frame(FIN | CLOSE, &close_payload(4321, ""))
            .ends(Ending::ClosedByPeer(Some(4321))),
        Stream::new("half a Close").raw(b"\x88\x82\0\0\0\0\x03"),
    ]);
    streams
}

fn close(name: &str, payload: &[u8]) -> Stream {
    Stream::new(name).text("before").frame(FIN | CLOSE, payload)
}

const BAD_UTF8: Ending = Ending::Failed(ProtocolError::InvalidUtf8, 1007);
