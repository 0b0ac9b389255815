//! §5.2, §5.4, §5.6, §8.1: messages that keep all rules, and the bounds on their size.

use frameloop::protocol::ProtocolError;

use crate::corpus::{Ending, Stream};
use crate::wire::{BINARY, CONTINUATION, FIN, PONG, TEXT, client_frame};

/// One character of each length in UTF-8.
const CHARACTERS: &str = "aß€😀";

pub(crate) fn streams() -> Vec<Stream> {
    let mut streams = vec![
        Stream::new("nothing after the request"),
        Stream::new("the masked text of §5.7").raw(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").gives_text("Hello"),
        Stream::new("a masking key of zeros").raw(b"\x81\x85\0\0\0\0Hello").gives_text("Hello"),
        Stream::new("another key in each frame")
            .raw(b"\x81\x82\xff\xff\xff\xff\x97\x96\x82\x82\x01\x02\x03\x04\x01\x02")
            .gives_text("hi")
            .gives_binary(b"\0\0"),
        Stream::new("an empty text").text(""),
        Stream::new("an empty binary").binary(b""),
        Stream::new("empty messages in a row").text("").text("").binary(b"").text("end"),
        Stream::new("text of 1 to 4 bytes a character").text(CHARACTERS),
        Stream::new("the last character before the surrogates, the first after them, and the last of all")
            .text("\u{d7ff}\u{e000}\u{fffd}\u{10ffff}"),
        Stream::new("NUL, BOM and line ends are text like any").text("\0\u{feff}\r\n\t\u{7f}"),
        Stream::new("binary that would be bad text").binary(b"\xff\xfe\x80\xc0\xf5"),
        Stream::new("text and binary in a row").text("one").binary(b"two").text("three").binary(b"four"),
        Stream::new("half a header").raw(b"\x81"),
        Stream::new("a header without its payload").text("a").raw(b"\x82\xfe\x01\x00\x01\x02\x03\x04"),
        Stream::new("a payload without its end").text("a").raw(&client_frame(FIN | TEXT, "€€".as_bytes())[..10]),
        Stream::new("a message without its last fragment").frame(TEXT, b"a").frame(CONTINUATION, b"b"),
    ];
    // §5.2: the three forms of the length, at the first and the last length of each.
    for length in [1, 2, 3, 4, 5, 125, 126, 127, 256, 0xffff, 0x1_0000] {
        let payload: Vec<u8> = (0..length).map(|i| (i * 31 + 7) as u8).collect();
        streams.push(Stream::new(format!("a binary of {length} bytes")).binary(&payload).text("after"));
        let text = CHARACTERS.repeat(length / CHARACTERS.len()) + &"x".repeat(length % CHARACTERS.len());
        streams.push(Stream::new(format!("a text of {length} bytes")).text(&text).binary(b"after"));
    }
    streams.extend(fragments());
    streams.extend(bounds());
    streams
}

/// §5.4.
fn fragments() -> Vec<Stream> {
    let bytes = CHARACTERS.as_bytes();
    let mut streams = vec![
        Stream::new("two fragments").frame(TEXT, b"Hel").frame(FIN | CONTINUATION, b"lo").gives_text("Hello"),
        Stream::new("binary fragments")
            .frame(BINARY, b"\xff")
            .frame(CONTINUATION, b"\x00\x80")
            .frame(FIN | CONTINUATION, b"\xfe")
            .gives_binary(b"\xff\x00\x80\xfe"),
        Stream::new("empty fragments only")
            .frame(TEXT, b"")
            .frame(CONTINUATION, b"")
            .frame(FIN | CONTINUATION, b"")
            .gives_text(""),
        Stream::new("the first fragment empty").frame(BINARY, b"").frame(FIN | CONTINUATION, b"b").gives_binary(b"b"),
        Stream::new("the last fragment empty").frame(TEXT, b"a").frame(FIN | CONTINUATION, b"").gives_text("a"),
        Stream::new("a message after a fragmented one, and another fragmented one")
            .frame(TEXT, b"a")
            .frame(FIN | CONTINUATION, b"b")
            .gives_text("ab")
            .text("c")
            .frame(BINARY, b"d")
            .frame(FIN | CONTINUATION, b"e")
            .gives_binary(b"de"),
        Stream::new("control frames between fragments")
            .frame(TEXT, b"a")
            .ping(b"between")
            .frame(CONTINUATION, b"b")
            .frame(FIN | PONG, b"unsolicited")
            .ping(b"")
            .frame(FIN | CONTINUATION, b"c")
            .gives_text("abc"),
        Stream::new("fragments of each length form")
            .frame(BINARY, &[1; 125])
            .frame(CONTINUATION, &[2; 126])
            .frame(FIN | CONTINUATION, &[3; 300])
            .gives_binary(&[&[1; 125][..], &[2; 126], &[3; 300]].concat()),
    ];
    for cut in 1..bytes.len() {
        let stream = Stream::new(format!("characters cut at byte {cut} by a fragment, with a ping in the cut"))
            .frame(TEXT, &bytes[..cut])
            .ping(b"p")
            .frame(FIN | CONTINUATION, &bytes[cut..]);
        streams.push(stream.gives_text(CHARACTERS));
    }
    let each_byte = Stream::new("a fragment for each byte of each character").frame(TEXT, &bytes[..1]);
    let each_byte = bytes[1..].chunks(1).fold(each_byte, |stream, byte| stream.frame(CONTINUATION, byte));
    streams.push(each_byte.frame(FIN | CONTINUATION, b"").gives_text(CHARACTERS));
    streams
}

/// §10.4: messages at the bound and over it, by one byte or by one frame.
fn bounds() -> Vec<Stream> {
    let too_big =
        |announced| Ending::Failed(ProtocolError::MessageTooBig { announced, limit: MESSAGE_BYTES_MAX as u64 }, 1009);
    let at_bound = [7; MESSAGE_BYTES_MAX];
    let over_bound = [7; MESSAGE_BYTES_MAX + 1];
    let streams = [
        Stream::new("messages at the bound").binary(&at_bound).text("0123456789").text("€€€x"),
        Stream::new("fragments at the bound, twice")
            .frame(BINARY, &at_bound[..4])
            .frame(CONTINUATION, &at_bound[4..])
            .frame(FIN | CONTINUATION, b"")
            .gives_binary(&at_bound)
            .frame(TEXT, &"€€€".as_bytes()[..4])
            .frame(FIN | CONTINUATION, &"€€€x".as_bytes()[4..])
            .gives_text("€€€x"),
        Stream::new("a message over the bound").text("a").frame(FIN | BINARY, &over_bound).ends(too_big(11)),
        Stream::new("only the header of a message over the bound").raw(b"\x82\x8b\x01\x02\x03\x04").ends(too_big(11)),
        Stream::new("the longest length there is")
            .raw(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04abc")
            .ends(too_big(u64::MAX >> 1)),
        Stream::new("a last fragment over the bound")
            .frame(BINARY, &at_bound[..6])
            .frame(FIN | CONTINUATION, &at_bound[..5])
            .frame(FIN | TEXT, b"never seen")
            .ends(too_big(11)),
        Stream::new("a fragment over the bound, with a character cut before it")
            .frame(TEXT, &"1234567€".as_bytes()[..9])
            .ping(b"not counted as a fragment of the message")
            .frame(CONTINUATION, "€".as_bytes())
            .ends(too_big(12)),
        Stream::new("a fragment of the longest length after another")
            .frame(BINARY, b"a")
            .raw(b"\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04")
            .ends(too_big(1 << 63)),
    ];
    let frames = [
        Stream::new("as many frames as are allowed, control frames not counted")
            .frame(TEXT, b"a")
            .ping(b"")
            .frame(CONTINUATION, b"")
            .ping(b"")
            .frame(FIN | CONTINUATION, b"c")
            .gives_text("ac")
            .text("again"),
        Stream::new("a frame too many")
            .frame(TEXT, b"a")
            .frame(CONTINUATION, b"")
            .frame(CONTINUATION, b"")
            .frame(FIN | CONTINUATION, b"d")
            .ends(Ending::Failed(ProtocolError::TooManyFrames(3), 1009)),
    ];
    let streams = streams.into_iter().map(|stream| stream.message_bytes_max(MESSAGE_BYTES_MAX));
    streams.chain(frames.into_iter().map(|stream| stream.message_frames_max(3))).collect()
}

/// The bound in the streams about it.
const MESSAGE_BYTES_MAX: usize = 10;
