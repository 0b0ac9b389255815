//! §4.2: request heads that are complete or not, and those that are refused, with frames behind them.

use frameloop::protocol::limits::{HEAD_BYTES_MAX, HEADER_COUNT_MAX};
use frameloop::protocol::{HandshakeError, ProtocolError};

use crate::corpus::{Ending, Stream};
use crate::wire::{FIN, PING, REQUEST_HEAD, TEXT};

pub(crate) fn streams() -> Vec<Stream> {
    let head_len = REQUEST_HEAD.len();
    let mut streams = vec![
        Stream::without_request("nothing at all", b""),
        Stream::without_request("one byte", b"G"),
        Stream::without_request("half a head", &REQUEST_HEAD[..head_len / 2]),
        Stream::without_request("a head without its last byte", &REQUEST_HEAD[..head_len - 1]),
        Stream::without_request("one byte less than the largest size, without its end", &[b'x'; HEAD_BYTES_MAX - 1]),
        Stream::without_request("the same head again behind the head", REQUEST_HEAD)
            .raw(REQUEST_HEAD)
            .ends(Ending::Failed(ProtocolError::ReservedBits(0x40), 1002)),
        accepted("header fields in other letters and another order", |head| {
            let mut lines: Vec<String> = head.lines().map(str::to_lowercase).collect();
            // The key is compared with case, and so are the words of the request line.
            lines[0] = "GET /c HTTP/1.1".to_owned();
            lines[4] = "sec-websocket-key:\tdGhlIHNhbXBsZSBub25jZQ== ".to_owned();
            lines[1..6].reverse();
            lines.join("\r\n") + "\r\n"
        }),
        accepted("a head of the largest size", |head| {
            let more = HEAD_BYTES_MAX - head.len() - "x: \r\n".len();
            head.replacen("\r\n", &format!("\r\nx: {}\r\n", "y".repeat(more)), 1)
        }),
        accepted("as many header fields as are allowed", |head| {
            head.replacen("\r\n", &format!("\r\n{}", "x: y\r\n".repeat(HEADER_COUNT_MAX - 5)), 1)
        }),
    ];
    streams.extend(malformed());
    streams.extend(refused());
    streams
}

/// RFC 9112: what is no HTTP/1.1, most of it known before the head ends.
fn malformed() -> Vec<Stream> {
    let malformed = |what| Ending::Refused(HandshakeError::MalformedHead(what), 400);
    let heads: [(&str, &[u8], &str); 12] = [
        ("a TLS ClientHello", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "a NUL"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the request target is no path"),
        ("a frame instead of a request", b"\x81\x85\0\0\0\0Hello", "a NUL"),
        ("a bare LF", b"GET / HTTP/1.1\nHost: a\n\n", "an LF without CR"),
        ("a bare CR", b"GET / HTTP/1.1\rHost: a\r\r", "a CR without LF"),
        ("a bare CR in the empty line", b"GET / HTTP/1.1\r\n\r\r\n", "a CR without LF"),
        ("an empty first line", b"\r\nGET / HTTP/1.1\r\n\r\n", "the request line is empty"),
        ("a folded line", b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "a folded line"),
        ("three words are not there", b"GET /\r\n\r\n", "the request line"),
        ("a method that is no token", b"G(T / HTTP/1.1\r\n\r\n", "the method is no token"),
        ("a blank before a colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "the name of a header field"),
        ("a control character in a value", b"GET / HTTP/1.1\r\nHost: \x01\r\n\r\n", "the value of a header field"),
    ];
    heads
        .into_iter()
        .map(|(name, head, what)| {
            let stream = Stream::without_request(format!("malformed: {name}"), head).ends(malformed(what));
            stream.frame(FIN | TEXT, b"never seen")
        })
        .collect()
}

/// §4.2.1, rule by rule, then the bounds.
fn refused() -> Vec<Stream> {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let end = "13\r\n\r\n";
    vec![
        refuse("HTTP/1.0", "HTTP/1.1", "HTTP/1.0", HandshakeError::HttpVersion, 400),
        refuse("POST", "GET", "POST", HandshakeError::MethodNotGet, 405),
        refuse("no Host", "Host: localhost\r\n", "", HandshakeError::Host, 400),
        refuse("two Hosts", "Host: localhost\r\n", "Host: localhost\r\nHost: localhost\r\n", HandshakeError::Host, 400),
        refuse("a body", end, "13\r\nContent-Length: 5\r\n\r\n", HandshakeError::RequestBody, 400),
        refuse("a chunked body", end, "13\r\nTransfer-Encoding: chunked\r\n\r\n", HandshakeError::RequestBody, 400),
        refuse("no Upgrade", "Upgrade: websocket\r\n", "", HandshakeError::NotAnUpgrade, 426),
        refuse("no token Upgrade", ": Upgrade\r\n", ": close\r\n", HandshakeError::ConnectionWithoutUpgrade, 400),
        refuse("no key", key, "", HandshakeError::Key, 400),
        refuse("two keys", key, &key.repeat(2), HandshakeError::Key, 400),
        refuse("a key of 15 bytes", "b25jZQ==", "b25jZ===", HandshakeError::Key, 400),
        refuse("version 8", ": 13", ": 8", HandshakeError::Version, 426),
        refuse("no version", version, "", HandshakeError::Version, 426),
        refuse("two versions", version, &version.repeat(2), HandshakeError::RepeatedVersion, 400),
        refuse("extensions", end, "13\r\nSec-WebSocket-Extensions: a;\r\n\r\n", HandshakeError::Extensions, 400),
        refuse("subprotocols", end, "13\r\nSec-WebSocket-Protocol: a b\r\n\r\n", HandshakeError::Subprotocols, 400),
        refuse(
            "too many header fields",
            "Host: localhost\r\n",
            &format!("Host: localhost\r\n{}", "x: y\r\n".repeat(HEADER_COUNT_MAX - 4)),
            HandshakeError::TooManyHeaders,
            431,
        ),
        refuse(
            "a head of one byte too many",
            "Host: localhost\r\n",
            &format!("Host: localhost\r\nx: {}\r\n", "y".repeat(HEAD_BYTES_MAX + 1 - REQUEST_HEAD.len() - 5)),
            HandshakeError::HeadTooLarge,
            431,
        ),
        Stream::without_request("refused: a first line without end", &[b'x'; HEAD_BYTES_MAX + 10])
            .ends(Ending::Refused(HandshakeError::HeadTooLarge, 431)),
        Stream::without_request("refused: the largest size without its end", &[b'x'; HEAD_BYTES_MAX])
            .ends(Ending::Refused(HandshakeError::HeadTooLarge, 431)),
    ]
}

/// The head of the other streams, changed, and a message behind it.
fn accepted(name: &str, change: impl Fn(&str) -> String) -> Stream {
    let head = change(std::str::from_utf8(REQUEST_HEAD).unwrap());
    Stream::without_request(format!("accepted: {name}"), head.as_bytes()).ends(Ending::Open).text("Hello").ping(b"p")
}

/// The head of the other streams with `from` replaced. Frames follow it, to which nobody listens.
fn refuse(name: &str, from: &str, to: &str, error: HandshakeError, status: u16) -> Stream {
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
    assert!(head.contains(from), "{name}");
    let stream = Stream::without_request(format!("refused: {name}"), head.replacen(from, to, 1).as_bytes());
    stream.frame(FIN | TEXT, b"never seen").frame(FIN | PING, b"").ends(Ending::Refused(error, status))
}
