//! §4.2: the opening handshake.

use tungstenite::handshake::derive_accept_key;

use super::source::{Source, cut};
use crate::protocol::handshake::{OpeningHandshake, encode_rejection};
use crate::protocol::limits::HEAD_BYTES_MAX;
use crate::protocol::{HandshakeError, Input, Request};

/// §4.2: a request head gives the same request or the same error whatever the cuts; what follows its empty line is left
/// for the frames. A request that is taken keeps §4.2.1, its accept value is the one that tungstenite computes, and
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
        (Ok(Some(request)), Ok(Some(same))) => {
            assert_eq!(whole_taken, pieces_taken, "the frames begin at the same byte");
            assert_eq!(request.accept_value(), same.accept_value());
            assert_eq!(request.target(), same.target());
            check_request(request, &bytes[..whole_taken]);
        }
        (Ok(None), Ok(None)) => assert!(bytes.len() < HEAD_BYTES_MAX, "§10.4: the head is bounded"),
        (Err(error), Err(same)) => {
            assert_eq!(error, same, "the first rule that is broken");
            check_rejection(error);
        }
        _ => panic!("cut, it is {pieces:?}, whole it is {whole:?}"),
    }
}

/// The outcome, and the number of bytes that belong to the head.
fn run(pieces: &[&[u8]]) -> (Result<Option<Request>, HandshakeError>, usize) {
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

fn check_request(request: &Request, head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"), "the head ends with its empty line");
    assert!(head.len() <= HEAD_BYTES_MAX);
    assert!(head.starts_with(b"GET "), "§4.2.1 item 1");
    let key = match request.header("sec-websocket-key")[..] {
        [key] => key,
        _ => panic!("§4.2.1 item 5: exactly one key"),
    };
    assert_eq!(key.len(), 24, "§4.2.1 item 5: 16 bytes in base64");
    assert_eq!(request.accept_value(), derive_accept_key(key), "§4.2.2 item 5.4");
    assert_eq!(request.header("Sec-WebSocket-Version"), [b"13"], "§4.2.1 item 6");
    assert_eq!(request.header("HOST").len(), 1, "§4.2.1 item 2");
    assert!(!request.header("upgrade").is_empty() && !request.header("connection").is_empty(), "§4.2.1 items 3, 4");
    assert!(!request.target().is_empty() && request.target().bytes().all(|byte| byte.is_ascii_graphic()));
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b))
    };
    let subprotocols = request.subprotocols();
    assert!(subprotocols.iter().all(|name| is_token(name)), "§11.3.4: {subprotocols:?}");
    assert_eq!(request.select_subprotocol(&subprotocols), subprotocols.first().copied(), "the first that is offered");
    for offer in request.extensions() {
        assert!(is_token(offer.name) && offer.parameters.iter().all(|(name, _)| is_token(name)), "§9.1: {offer:?}");
    }
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
