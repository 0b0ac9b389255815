//! §4.2: the opening handshake.

use tungstenite::handshake::derive_accept_key;

use super::source::{Source, cut};
use crate::protocol::handshake::document::Opening;
use crate::protocol::handshake::{OpeningHandshake, encode_rejection};
use crate::protocol::limits::HEAD_BYTES_MAX;
use crate::protocol::{HandshakeError, Input, Request};

/// §4.2: a request head gives the same request or the same error whatever the cuts; what follows its empty line is left
/// for the frames. A request that is taken keeps §4.2.1, and one that keeps it is taken; its accept value is the one that tungstenite computes, and
/// what is read from it is fit to be used. A rejection is one whole HTTP response without a byte of the client's.
///
/// # Panics
/// If that does not hold.
pub fn handshake(data: &[u8]) {
    let mut source = Source::new(data);
    let seed = u16::from(source.byte());
    let bytes = source.rest();
    let (whole, whole_taken) = run(&[bytes]);
    let (pieces, pieces_taken) = run(&cut(bytes, seed));
    match (&whole, &pieces) {
        (Ok(Some(Opening::Upgrade(request))), Ok(Some(Opening::Upgrade(same)))) => {
            assert_eq!(whole_taken, pieces_taken, "the frames begin at the same byte");
            assert_eq!(request.accept_value(), same.accept_value());
            assert_eq!(request.target(), same.target());
            check_request(request, &bytes[..whole_taken]);
        }
        (Ok(Some(Opening::Document(request))), Ok(Some(Opening::Document(same)))) => {
            assert_eq!(whole_taken, pieces_taken, "the head ends at the same byte");
            assert_eq!((request.target(), request.is_head()), (same.target(), same.is_head()));
            assert!(request.path().starts_with('/') && request.target().contains(request.path().trim_end_matches('/')));
            let error = Request::parse(&bytes[..whole_taken]).err();
            assert_eq!(error, Some(HandshakeError::NotAnUpgrade));
        }
        (Ok(None), Ok(None)) => assert!(bytes.len() < HEAD_BYTES_MAX, "§10.4: the head is bounded"),
        (Err(error), Err(same)) => {
            assert_eq!(error, same, "the first rule that is broken");
            check_rejection(error);
        }
        _ => panic!("cut, it is {pieces:?}, whole it is {whole:?}"),
    }

    let head = valid_head(&mut Source::new(data));
    let (outcome, taken) = run(&cut(&head, seed));
    let Ok(Some(Opening::Upgrade(request))) = outcome else { panic!("{} keeps all rules", head.escape_ascii()) };
    assert_eq!(taken, head.len());
    check_request(&request, &head);
}

/// The outcome, and the number of bytes that belong to the head.
fn run(pieces: &[&[u8]]) -> (Result<Option<Opening>, HandshakeError>, usize) {
    let mut opening = OpeningHandshake::default();
    let mut taken = 0;
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        let before = input.len();
        let outcome = opening.poll_request(&mut input);
        taken += before - input.len();
        match outcome {
            Ok(None) => {
                assert!(input.is_empty(), "all is taken while more is awaited");
                assert!(opening.held_bytes() <= 2 * taken + 64, "memory is bounded by what was received");
            }
            outcome => return (outcome, taken),
        }
    }
    (Ok(None), taken)
}

/// The rules of §4.2.1, written a second time on the text of the head.
fn check_request(request: &Request, head: &[u8]) {
    assert!(head.len() <= HEAD_BYTES_MAX);
    let head = head.strip_suffix(b"\r\n\r\n").expect("the head ends with its empty line");
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request_line = std::str::from_utf8(lines.next().unwrap_or_default()).expect("ASCII");
    let parts: Vec<&str> = request_line.split(' ').collect();
    assert_eq!((parts.len(), parts[0], parts[1]), (3, "GET", request.target()), "§4.2.1 item 1");
    let minor = parts[2].strip_prefix("HTTP/1.").and_then(|minor| minor.parse::<u8>().ok());
    assert!(minor.is_some_and(|minor| minor >= 1), "§4.2.1 item 1: HTTP/1.1 or higher");
    assert!(!request.target().is_empty() && request.target().bytes().all(|byte| byte.is_ascii_graphic()));
    let fields: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':').expect("a colon"));
            let name = std::str::from_utf8(name).expect("a token").to_ascii_lowercase();
            assert!(is_token(&name), "RFC 9112 §5.1: {name:?}");
            (name, String::from_utf8_lossy(&value[1..]).trim_matches([' ', '\t']).to_owned())
        })
        .collect();
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter(|field| field.0 == name).map(|field| field.1.as_str()).collect()
    };
    let has_token = |name: &str, token: &str| {
        values(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|element| element.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
    };
    assert!(matches!(values("host")[..], [host] if !host.contains([' ', '/', '@'])), "§4.2.1 item 2: {fields:?}");
    assert!(has_token("upgrade", "websocket"), "§4.2.1 item 3: {fields:?}");
    assert!(has_token("connection", "upgrade"), "§4.2.1 item 4: {fields:?}");
    let [key] = values("sec-websocket-key")[..] else { panic!("§4.2.1 item 5: exactly one key") };
    assert!(key.len() == 24 && key.ends_with("=="), "§4.2.1 item 5: 16 bytes in base64");
    assert_eq!(request.accept_value(), derive_accept_key(key.as_bytes()), "§4.2.2 item 5.4");
    assert_eq!(values("sec-websocket-version"), ["13"], "§4.2.1 item 6");
    assert!(values("transfer-encoding").is_empty(), "no body: what follows are frames");
    assert!(values("content-length").iter().all(|length| length.bytes().all(|digit| digit == b'0')), "no body");
    let subprotocols = request.subprotocols();
    assert!(subprotocols.iter().all(|name| is_token(name)), "§11.3.4: {subprotocols:?}");
    assert_eq!(request.select_subprotocol(&subprotocols), subprotocols.first().copied(), "the first that is offered");
    for offer in request.extensions() {
        assert!(is_token(offer.name) && offer.parameters.iter().all(|(name, _)| is_token(name)), "§9.1: {offer:?}");
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte))
}

/// A request that keeps all rules, in one of many forms.
fn valid_head(source: &mut Source<'_>) -> Vec<u8> {
    let key = source.array::<16>();
    let mut fields = vec![
        "Host: example.com:8080".to_owned(),
        ["Upgrade: websocket", "upgrade:WebSocket", "UPGRADE: h2c, websocket \t"][source.up_to(2)].to_owned(),
        ["Connection: Upgrade", "connection: keep-alive, upgrade", "Connection:\tUPGRADE,"][source.up_to(2)].to_owned(),
        format!("Sec-WebSocket-Key: {}", base64_of_16(&key)),
        "Sec-WebSocket-Version: 13".to_owned(),
    ];
    for _ in 0..source.up_to(5) {
        let more = [
            "Origin: null",
            "Content-Length: 0",
            "Sec-WebSocket-Protocol: chat, soup",
            "Cookie: a=b; c=\"d\"",
            "X:",
            "Sec-WebSocket-Extensions: a; b=\"c\", d",
        ];
        fields.push(more[source.up_to(more.len() - 1)].to_owned());
    }
    // Each subprotocol stands once, and one length is enough.
    fields.sort();
    fields.dedup();
    let places = fields.len();
    for place in 0..places {
        fields.swap(place, source.up_to(places - 1));
    }
    let target = ["/", "/chat?room=1&x=%20", "http://example.com:8080/chat"][source.up_to(2)];
    format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n")).into_bytes()
}

/// RFC 4648 §4 for a key, written out.
fn base64_of_16(bytes: &[u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u128::from_be_bytes(*bytes);
    let digits = (0..21).map(|i| bits >> (122 - 6 * i) & 63).chain([(bits & 3) << 4]);
    digits.map(|digit| char::from(ALPHABET[digit as usize])).collect::<String>() + "=="
}

fn check_rejection(error: &HandshakeError) {
    let response = String::from_utf8(encode_rejection(error)).expect("our own words");
    let (head, body) = response.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    assert_eq!(status, Some(error.status().0));
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
    assert_eq!(length, Some(body.len()));
}
