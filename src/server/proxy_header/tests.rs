use std::io::Write as _;
use std::net::{TcpListener, TcpStream as Client};
use std::time::{Duration, Instant};

use super::*;

/// The header is taken from these bytes, with the rest behind it, and no prefix of it is one.
fn taken(bytes: &[u8]) -> Option<SocketAddr> {
    for len in 0..bytes.len() {
        assert_eq!(parse(&bytes[..len]), Ok(None), "{} of {}", len, bytes.escape_ascii());
    }
    let header = parse(bytes).unwrap().unwrap();
    assert_eq!(header.len, bytes.len());
    assert_eq!(parse(&[bytes, b"GET / HTTP/1.1\r\n"].concat()), Ok(Some(header)));
    header.source
}

/// The bytes are refused at the last one and not before, whatever follows.
fn refused_at_the_end(bytes: &[u8], error: ProxyHeaderError) {
    let text = bytes.escape_ascii();
    assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None), "{text}: too soon");
    for rest in [&b""[..], b"0", b" ", b"\r\n", &[0; 5000]] {
        assert_eq!(parse(&[bytes, rest].concat()), Err(error), "{text}");
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    [&SIGNATURE[..], &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
}

#[test]
fn a_line_of_version_1_names_the_client() {
    for (line, source) in [
        ("TCP4 192.0.2.1 198.51.100.7 56324 443", Some("192.0.2.1:56324")),
        ("TCP4 0.0.0.0 255.255.255.255 0 65535", Some("0.0.0.0:0")),
        ("TCP6 2001:db8::1 ::1 1 2", Some("[2001:db8::1]:1")),
        ("TCP6 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:: 80 80", Some("[1:2:3:4:5:6:7:8]:80")),
        ("TCP6 ::ffff:192.0.2.1 :: 80 80", Some("192.0.2.1:80")),
        (
            "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        ("UNKNOWN", None),
        ("UNKNOWN ", None),
        ("UNKNOWN ffff::1 ? 65536", None),
    ] {
        let source = source.map(|source| source.parse().unwrap());
        assert_eq!(taken(format!("PROXY {line}\r\n").as_bytes()), source, "{line}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!((longest.len(), taken(longest.as_bytes())), (107, None));
}

#[test]
fn what_cannot_become_a_line_is_refused_at_its_first_wrong_byte() {
    for (line, error) in [
        ("G", ProxyHeaderError::Signature),
        ("\x16", ProxyHeaderError::Signature),
        ("PROXy", ProxyHeaderError::Signature),
        ("PROXY\t", ProxyHeaderError::Signature),
        ("PROXY  ", ProxyHeaderError::Command),
        ("PROXY t", ProxyHeaderError::Command),
        ("PROXY TCP5", ProxyHeaderError::Command),
        ("PROXY TCP4\t", ProxyHeaderError::Command),
        ("PROXY UNKNOWNX", ProxyHeaderError::Command),
        ("PROXY TCP4  ", ProxyHeaderError::Address),
        ("PROXY TCP4 a", ProxyHeaderError::Address),
        ("PROXY TCP4 +", ProxyHeaderError::Address),
        ("PROXY TCP4 256", ProxyHeaderError::Address),
        ("PROXY TCP4 01", ProxyHeaderError::Address),
        ("PROXY TCP4 1..", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3.4.", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3 ", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3.4\r", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3.4  ", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3.4 :", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3.4 1.2.3.4\r", ProxyHeaderError::Address),
        ("PROXY TCP6 g", ProxyHeaderError::Address),
        ("PROXY TCP6 12345", ProxyHeaderError::Address),
        ("PROXY TCP6 1:::", ProxyHeaderError::Address),
        ("PROXY TCP6 1::2::", ProxyHeaderError::Address),
        ("PROXY TCP6 1:2:3:4:5:6:7:8:", ProxyHeaderError::Address),
        ("PROXY TCP6 1:2 ", ProxyHeaderError::Address),
        ("PROXY TCP6 1.", ProxyHeaderError::Address),
        ("PROXY TCP6 [", ProxyHeaderError::Address),
        ("PROXY TCP6 ::1%", ProxyHeaderError::Address),
        ("PROXY TCP4 1.2.3.4 1.2.3.4  ", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 -", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 00", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 65536", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 65535 123456", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1  ", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ", ProxyHeaderError::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rG", ProxyHeaderError::LineEnd),
        ("PROXY UNKNOWN\n", ProxyHeaderError::Command),
        ("PROXY UNKNOWN x\rx", ProxyHeaderError::LineEnd),
    ] {
        refused_at_the_end(line.as_bytes(), error);
    }
    refused_at_the_end(b"PROXY TCP4 1.\xff", ProxyHeaderError::Address);
    let endless = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    refused_at_the_end(&endless.as_bytes()[..107], ProxyHeaderError::Length);
}

#[test]
fn a_binary_header_of_version_2_names_the_client() {
    let four = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];
    let six = [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16], &[0, 80, 1, 0xbb]].concat();
    let mapped = [&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1][..], &[0; 16], &[0, 80, 1, 0xbb]].concat();
    let address = |text: &str| Some(text.parse().unwrap());
    assert_eq!(taken(&binary(0x21, TCP4, &four)), address("192.0.2.1:56324"));
    assert_eq!(taken(&binary(0x21, TCP6, &six)), address("[2001:db8::1]:80"));
    assert_eq!(taken(&binary(0x21, TCP6, &mapped)), address("192.0.2.1:80"));
    let with_tlv = [&four[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
    assert_eq!(taken(&binary(0x21, TCP4, &with_tlv)), address("192.0.2.1:56324"));
    assert_eq!(taken(&binary(0x20, UNSPECIFIED, &[])), None, "LOCAL: the proxy itself");
    assert_eq!(taken(&binary(0x20, TCP4, &four)), None);
    assert_eq!(taken(&binary(0x20, 0xff, &[1, 2])), None, "whatever it says of itself");
    assert_eq!(taken(&binary(0x21, UNSPECIFIED, &[9; 7])), None);
    assert_eq!(taken(&binary(0x21, UNIX_STREAM, &[b'/'; 216])), None);
    assert_eq!(taken(&binary(0x21, TCP4, &[&four[..], &[0; 4068]].concat())), address("192.0.2.1:56324"));
}

#[test]
fn what_cannot_become_a_binary_header_is_refused_at_its_first_wrong_byte() {
    let with = |rest: &[u8]| [&SIGNATURE[..], rest].concat();
    for (bytes, error) in [
        (b"\r\r".to_vec(), ProxyHeaderError::Signature),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), ProxyHeaderError::Signature),
        (with(&[0x11]), ProxyHeaderError::Command),
        (with(&[0x31]), ProxyHeaderError::Command),
        (with(&[0x22]), ProxyHeaderError::Command),
        (with(&[0x21, 0x01]), ProxyHeaderError::Family),
        (with(&[0x21, 0x12]), ProxyHeaderError::Family),
        (with(&[0x21, 0x41]), ProxyHeaderError::Family),
        (with(&[0x21, TCP4, 0, 11]), ProxyHeaderError::Length),
        (with(&[0x21, TCP6, 0, 35]), ProxyHeaderError::Length),
        (with(&[0x21, UNIX_STREAM, 0, 215]), ProxyHeaderError::Length),
        (with(&[0x21, TCP4, 16]), ProxyHeaderError::Length),
        (with(&[0x20, UNSPECIFIED, 0xff]), ProxyHeaderError::Length),
        (with(&[0x21, TCP4, 15, 0xf1]), ProxyHeaderError::Length),
    ] {
        refused_at_the_end(&bytes, error);
    }
}

#[test]
fn the_header_is_taken_from_a_stream_and_what_follows_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let accept = || {
        let client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        (client, TcpStream::from_std(stream))
    };
    let result = |stream: &mut TcpStream| loop {
        match take_header(stream) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {}
            result => return result,
        }
    };
    let (mut client, mut stream) = accept();
    client.write_all(b"PROXY TCP4 192.0.2.1 ").unwrap();
    while stream.peek(&mut [0; 32]).unwrap_or(0) < 21 {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(take_header(&mut stream).unwrap_err().kind(), ErrorKind::WouldBlock, "half of it");
    client.write_all(b"192.0.2.2 1 2\r\nGET").unwrap();
    assert_eq!(result(&mut stream).unwrap().source, Some("192.0.2.1:1".parse().unwrap()));
    let mut rest = [0; 8];
    assert_eq!((stream.read(&mut rest).unwrap(), &rest[..3]), (3, &b"GET"[..]));

    let (mut client, mut stream) = accept();
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let error = result(&mut stream).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("no PROXY header")), (ErrorKind::InvalidData, true));
    let (client, mut stream) = accept();
    drop(client);
    assert_eq!(result(&mut stream).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}
