//! §5, §8.1: every rule of framing, fragmentation and text broken, alone and two at a time.
//!
//! Where a frame breaks two rules, the error is the one of the byte that comes first.

use frameloop::protocol::ProtocolError;

use crate::corpus::{Ending, Stream};
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};

pub(crate) fn streams() -> Vec<Stream> {
    [headers(), order_of_frames(), text(), after_an_error()].into_iter().flatten().collect()
}

/// §5.1, §5.2, §5.5.
fn headers() -> Vec<Stream> {
    let mut streams = vec![
        bad("RSV and a reserved opcode", b"\xcb\x80\x01\x02\x03\x04").fails(ProtocolError::ReservedBits(0x40)),
        bad("a reserved control opcode without FIN", b"\x0b\x80\0\0\0\0").fails(ProtocolError::ReservedOpcode(0xb)),
        bad("a control frame in fragments and not masked", b"\x09\x7e").fails(ProtocolError::ControlFrameFragmented),
        bad("a control frame too long and not masked", b"\x89\x7e").fails(ProtocolError::ControlFrameTooLong),
        bad("a ping of 126 bytes", &[&b"\x89\xfe\x00\x7e\0\0\0\0"[..], &[b'p'; 126]].concat())
            .fails(ProtocolError::ControlFrameTooLong),
        bad("a Close with a 64-bit length", b"\x88\xff\0\0\0\0\0\0\0\x02\0\0\0\0\x03\xe8")
            .fails(ProtocolError::ControlFrameTooLong),
        bad("a text that is not masked", b"\x81\x05Hello").fails(ProtocolError::UnmaskedFrame),
        bad("a ping that is not masked", b"\x89\x00").fails(ProtocolError::UnmaskedFrame),
        bad("a Close that is not masked", b"\x88\x02\x03\xe8").fails(ProtocolError::UnmaskedFrame),
        bad("a long frame that is not masked", b"\x82\x7e\x01\x00abc").fails(ProtocolError::UnmaskedFrame),
        bad("a frame that is not masked and whose 16-bit length is too long a form", b"\x82\x7e\x00\x05Hello")
            .fails(ProtocolError::UnmaskedFrame),
        bad(
            "a frame that is not masked and whose 64-bit length is too long a form",
            b"\x82\x7f\0\0\0\0\0\0\0\x05Hello",
        )
        .fails(ProtocolError::UnmaskedFrame),
        bad("a frame that is not masked and whose length is too large", b"\x82\x7f\xff\0\0\0\0\0\0\0Hello")
            .fails(ProtocolError::UnmaskedFrame),
        bad("the top bit of a length", b"\x82\xff\x80\0\0\0\0\0\0\0\x01\x02\x03\x04")
            .fails(ProtocolError::LengthTooLarge(1 << 63)),
        bad("all bits of a length", b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04")
            .fails(ProtocolError::LengthTooLarge(u64::MAX)),
    ];
    for bits in [0x40, 0x20, 0x10, 0x70] {
        let stream = bad(&format!("RSV bits {bits:#x}"), &[]).frame(FIN | bits | TEXT, b"Hello");
        streams.push(stream.fails(ProtocolError::ReservedBits(bits)));
        let stream = bad(&format!("RSV bits {bits:#x} of a ping"), &[]).frame(FIN | bits | PING, b"");
        streams.push(stream.fails(ProtocolError::ReservedBits(bits)));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        let stream = bad(&format!("opcode {opcode:#x}"), &[]).frame(FIN | opcode, b"Hello");
        streams.push(stream.fails(ProtocolError::ReservedOpcode(opcode)));
    }
    for opcode in [CLOSE, PING, PONG] {
        let stream = bad(&format!("a control frame {opcode:#x} without FIN"), &[]).frame(opcode, b"");
        streams.push(stream.fails(ProtocolError::ControlFrameFragmented));
        let stream = bad(&format!("a control frame {opcode:#x} of 126 bytes"), &[]).frame(FIN | opcode, &[b'x'; 126]);
        streams.push(stream.fails(ProtocolError::ControlFrameTooLong));
    }
    for length in [0_u16, 1, 125] {
        let form = [&b"\x82\xfe"[..], &length.to_be_bytes(), &[0; 4], &vec![b'x'; length.into()]].concat();
        let stream = bad(&format!("a length of {length} in 16 bits"), &form);
        streams.push(stream.fails(ProtocolError::LengthNotMinimal(length.into())));
    }
    for length in [0_u64, 125, 126, 0xffff] {
        let form = [&b"\x81\xff"[..], &length.to_be_bytes(), &[0; 4], b"payload"].concat();
        let stream = bad(&format!("a length of {length} in 64 bits"), &form);
        streams.push(stream.fails(ProtocolError::LengthNotMinimal(length)));
    }
    streams
}

/// §5.4.
fn order_of_frames() -> Vec<Stream> {
    vec![
        bad("a continuation of nothing", b"").frame(FIN | CONTINUATION, b"a").fails(NOTHING_TO_CONTINUE),
        bad("a first continuation of nothing", b"").frame(CONTINUATION, b"").fails(NOTHING_TO_CONTINUE),
        Stream::new("a continuation as the very first frame").frame(FIN | CONTINUATION, b"").fails(NOTHING_TO_CONTINUE),
        Stream::new("a continuation after the last fragment")
            .frame(TEXT, b"a")
            .frame(FIN | CONTINUATION, b"b")
            .gives_text("ab")
            .frame(FIN | CONTINUATION, b"c")
            .fails(NOTHING_TO_CONTINUE),
        bad("a text inside a message", b"").frame(TEXT, b"a").frame(FIN | TEXT, b"b").fails(INSIDE_A_MESSAGE),
        bad("a binary inside a message", b"").frame(TEXT, b"").frame(BINARY, b"").fails(INSIDE_A_MESSAGE),
        bad("a text inside a message, after a ping", b"")
            .frame(BINARY, b"a")
            .ping(b"p")
            .frame(FIN | TEXT, b"b")
            .fails(INSIDE_A_MESSAGE),
    ]
}

/// §8.1: text that is not UTF-8, whole, in fragments, and not even complete.
fn text() -> Vec<Stream> {
    let bad_texts: [(&str, &[u8]); 9] = [
        ("a byte that is never in UTF-8", b"Hello \xff!"),
        ("a continuation byte alone", b"\x80"),
        ("a lead byte without its continuation", b"\xc3("),
        ("a form longer than needed", b"\xe0\x80\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("four continuation bytes at the end", b"a\x80\x80\x80\x80"),
        ("the end inside a character", b"Hello \xf0\x9f\x98"),
        ("the text of Autobahn 6.3.1", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74"),
    ];
    let mut streams = Vec::new();
    for (name, payload) in bad_texts {
        streams.push(bad(&format!("{name}, in one frame"), b"").frame(FIN | TEXT, payload).ends(BAD_UTF8));
        for cut in 0..=payload.len() {
            let stream = bad(&format!("{name}, in fragments cut at {cut}"), b"").frame(TEXT, &payload[..cut]);
            // Where the first fragment is bad on its own, the ping after it is not answered any more.
            let stream =
                if is_bad_already(&payload[..cut]) { stream.frame(FIN | PING, b"p") } else { stream.ping(b"p") };
            streams.push(stream.frame(FIN | CONTINUATION, &payload[cut..]).ends(BAD_UTF8));
        }
    }
    streams
        .push(bad("the bad byte is there, the end of the frame is not", b"\x81\xa0\0\0\0\0abc\xffdef").ends(BAD_UTF8));
    streams.push(bad("a bad fragment of a message that never ends", b"").frame(TEXT, b"a\xc0").ends(BAD_UTF8));
    streams.push(
        bad("a message that ends inside a character, in an empty fragment", b"")
            .frame(TEXT, b"\xe2\x82")
            .frame(CONTINUATION, b"")
            .frame(FIN | CONTINUATION, b"")
            .ends(BAD_UTF8),
    );
    streams
}

/// Whether no continuation can make it valid.
fn is_bad_already(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some())
}

/// §7.1.7: after the connection failed nothing more is processed.
fn after_an_error() -> Vec<Stream> {
    let after: [(&str, u8, &[u8]); 5] = [
        ("a text", FIN | TEXT, b"late"),
        ("a ping", FIN | PING, b"late"),
        ("a Close", FIN | CLOSE, b"\x03\xe8"),
        ("another error", 0xff, b"late"),
        ("a fragment", TEXT, b"late"),
    ];
    let mut streams = Vec::new();
    for (name, first, payload) in after {
        let stream = bad(&format!("after an error {name}"), b"\x83\x80\0\0\0\0").frame(first, payload);
        streams.push(stream.fails(ProtocolError::ReservedOpcode(3)));
        let stream = bad(&format!("after bad text {name}"), b"").frame(FIN | TEXT, b"\xff").frame(first, payload);
        streams.push(stream.ends(BAD_UTF8));
        let stream = bad(&format!("after a bad Close {name}"), b"").frame(FIN | CLOSE, b"x").frame(first, payload);
        streams.push(stream.fails(ProtocolError::CloseTooShort));
    }
    streams
}

/// A message and a ping that come through, then `bytes`.
fn bad(name: &str, bytes: &[u8]) -> Stream {
    Stream::new(format!("bad: {name}")).text("before").ping(b"before").raw(bytes)
}

const BAD_UTF8: Ending = Ending::Failed(ProtocolError::InvalidUtf8, 1007);
const NOTHING_TO_CONTINUE: ProtocolError = ProtocolError::UnexpectedContinuation;
const INSIDE_A_MESSAGE: ProtocolError = ProtocolError::ExpectedContinuation;
