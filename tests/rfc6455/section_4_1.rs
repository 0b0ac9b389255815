//! §4.1: what a client's request must be, as far as a server can see it. A request that is not so is refused (§4.2.1).

use frameloop::protocol::HandshakeError;

use crate::request::{accepted, and, refused, with};

#[test]
fn a_request_that_is_no_valid_http_is_refused() {
    for (head, what) in [
        (with("GET", "GET /c HTTP/1.1\n"), "an LF without CR"),
        (with("GET", "GET  /c HTTP/1.1\r\n"), "the request line"),
        (with("GET", "GET /c\r\n"), "the request line"),
        (with("GET", "G(T /c HTTP/1.1\r\n"), "the method is no token"),
        (with("Host", "Host : h\r\n"), "the name of a header field"),
        (with("Host", "Host: localhost\r\n folded\r\n"), "a folded line"),
        (with("Host", "Host: localhost\x01\r\n"), "the value of a header field"),
        (with("Host", "no colon\r\n"), "the name of a header field"),
    ] {
        refused(&head, HandshakeError::MalformedHead(what), 400);
    }
}

#[test]
fn a_method_other_than_get_is_refused() {
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "get", "GETS"] {
        let answer = refused(&with("GET", &format!("{method} /c HTTP/1.1\r\n")), HandshakeError::MethodNotGet, 405);
        assert_eq!(answer.values("Allow"), ["GET"]);
    }
}

#[test]
fn a_version_of_http_below_1_1_is_refused_and_a_higher_one_is_not() {
    for version in ["HTTP/1.0", "HTTP/0.9"] {
        refused(&with("GET", &format!("GET /c {version}\r\n")), HandshakeError::HttpVersion, 400);
    }
    accepted(&with("GET", "GET /c HTTP/1.2\r\n"));
}

#[test]
fn the_target_is_a_resource_name_or_an_absolute_uri() {
    for target in [
        "/",
        "/c",
        "/c/d?e=f&g",
        "/?",
        "//c",
        "http://localhost/c",
        "https://localhost?d",
        "HTTP://LocalHost/c",
        "ws://localhost/c",
        "wss://localhost",
    ] {
        let request = accepted(&with("GET", &format!("GET {target} HTTP/1.1\r\n")));
        assert_eq!(request.target(), target);
    }
    for target in ["c", "*", "h:80", "ftp://h/c", "/c\u{e9}", "?c"] {
        let head = with("GET", &format!("GET {target} HTTP/1.1\r\n"));
        refused(&head, HandshakeError::MalformedHead("the request target is no path"), 400);
    }
}

#[test]
fn an_absolute_uri_as_target_has_the_host_and_port_of_the_request() {
    for target in [
        "http://",
        "http:///c",
        "https://localhost:1/c",
        "ws://other/c",
        "http://u@localhost/c",
        "http://localhost.h/c",
    ] {
        refused(&with("GET", &format!("GET {target} HTTP/1.1\r\n")), HandshakeError::Host, 400);
    }
}

#[test]
fn a_request_without_exactly_one_host_is_refused() {
    for lines in [
        "",
        "Host: \r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost, i\r\n",
        "Host: localhost/c\r\n",
        "Host: localhost:port\r\n",
    ] {
        refused(&with("Host", lines), HandshakeError::Host, 400);
    }
}

#[test]
fn a_request_without_the_keyword_websocket_in_upgrade_is_refused() {
    for lines in ["", "Upgrade: \r\n", "Upgrade: h2c\r\n", "Upgrade: websockets\r\n", "Upgrade: web socket\r\n"] {
        let answer = refused(&with("Upgrade", lines), HandshakeError::NotAnUpgrade, 426);
        assert_eq!(answer.values("Upgrade"), ["websocket"], "RFC 9110 §15.5.22");
    }
    accepted(&with("Upgrade", "Upgrade: h2c, websocket\r\n"));
    accepted(&with("Upgrade", "Upgrade: h2c\r\nUpgrade: websocket\r\n"));
}

#[test]
fn a_request_without_the_token_upgrade_in_connection_is_refused() {
    for lines in
        ["", "Connection: \r\n", "Connection: close\r\n", "Connection: Upgrades\r\n", "Connection: Up grade\r\n"]
    {
        refused(&with("Connection", lines), HandshakeError::ConnectionWithoutUpgrade, 400);
    }
    accepted(&with("Connection", "Connection: keep-alive, Upgrade\r\n"));
    accepted(&with("Connection", "Connection: keep-alive\r\nConnection: Upgrade\r\n"));
}

#[test]
fn a_request_without_exactly_one_key_is_refused() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for lines in ["", &key.repeat(2), "Sec-WebSocket-Key: \r\n"] {
        refused(&with("Sec-WebSocket-Key", lines), HandshakeError::Key, 400);
    }
}

#[test]
fn a_key_that_is_not_the_base64_of_16_bytes_is_refused() {
    for len in 0..=64 {
        let head = with("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {}\r\n", base64_of(&[0xa5; 64][..len])));
        if len == 16 {
            accepted(&head);
        } else {
            refused(&head, HandshakeError::Key, 400);
        }
    }
    let no_base64 =
        ["dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25j-_==", "{16 bytes, but raw}"];
    for key in no_base64 {
        refused(&with("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {key}\r\n")), HandshakeError::Key, 400);
    }
}

#[test]
fn a_key_of_any_16_bytes_is_taken() {
    for i in 0..=u8::MAX {
        let nonce: [u8; 16] = std::array::from_fn(|j| i.wrapping_mul(j as u8).wrapping_add(i));
        accepted(&with("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: {}\r\n", base64_of(&nonce))));
    }
}

/// The NOTE of item 7. The last bits of the value are not zero, which RFC 4648 §3.5 lets a decoder refuse; but it is the
/// RFC's own.
#[test]
fn the_key_in_the_example_is_taken() {
    accepted(&with("Sec-WebSocket-Key", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n"));
}

#[test]
fn a_request_without_exactly_one_version_is_refused() {
    let version = "Sec-WebSocket-Version: 13\r\n";
    refused(&with("Sec-WebSocket-Version", ""), HandshakeError::Version, 426);
    refused(&with("Sec-WebSocket-Version", &version.repeat(2)), HandshakeError::RepeatedVersion, 400);
}

#[test]
fn a_version_other_than_13_is_refused() {
    for version in (0..=255).filter(|&version| version != 13) {
        let lines = format!("Sec-WebSocket-Version: {version}\r\n");
        refused(&with("Sec-WebSocket-Version", &lines), HandshakeError::Version, 426);
    }
    for version in ["013", "+13", "13.0", "0xd", "13, 8", "8, 13", "thirteen"] {
        let lines = format!("Sec-WebSocket-Version: {version}\r\n");
        refused(&with("Sec-WebSocket-Version", &lines), HandshakeError::Version, 426);
    }
}

#[test]
fn a_request_may_have_an_origin_or_not() {
    assert!(accepted(&and("")).header("Origin").is_empty());
    let request = accepted(&and("Origin: http://www.example.com\r\n"));
    assert_eq!(request.header("Origin"), [b"http://www.example.com"]);
}

#[test]
fn a_request_may_list_subprotocols_in_the_order_of_preference() {
    assert!(accepted(&and("")).subprotocols().is_empty());
    let request = accepted(&and("Sec-WebSocket-Protocol: superchat, chat\r\nSec-WebSocket-Protocol: v2.chat\r\n"));
    assert_eq!(request.subprotocols(), ["superchat", "chat", "v2.chat"]);
}

/// RFC 2616 §2.2: the characters of a token are those from U+0021 to U+007E but for the separators.
#[test]
fn a_subprotocol_with_a_character_that_no_token_has_is_refused() {
    for byte in 0x01..=0x7f_u8 {
        let character = char::from(byte);
        let is_of_a_token = ('!'..='~').contains(&character) && !"()<>@,;:\\\"/[]?={}".contains(character);
        let head = and(&format!("Sec-WebSocket-Protocol: a{character}b\r\n"));
        if is_of_a_token || character == ',' {
            accepted(&head);
        } else {
            let is_text = matches!(character, ' '..='~' | '\t');
            let error = match character {
                '\n' => HandshakeError::MalformedHead("an LF without CR"),
                '\r' => HandshakeError::MalformedHead("a CR without LF"),
                _ if is_text => HandshakeError::Subprotocols,
                _ => HandshakeError::MalformedHead("the value of a header field"),
            };
            refused(&head, error, 400);
        }
    }
    refused(&and("Sec-WebSocket-Protocol: caf\u{e9}\r\n"), HandshakeError::Subprotocols, 400);
    for among_others in ["chat, a b", "a b, chat", "chat, a/b, superchat", "chat\r\nSec-WebSocket-Protocol: a b"] {
        let head = and(&format!("Sec-WebSocket-Protocol: {among_others}\r\n"));
        refused(&head, HandshakeError::Subprotocols, 400);
    }
}

/// The ABNF is 1#token: RFC 2616 §2.1 allows elements that are empty, but wants one that is not. §11.3.4: lines count as
/// one.
#[test]
fn a_list_of_subprotocols_without_a_subprotocol_is_refused() {
    for list in ["", ",", ",, ,", "\t,\t", "\r\nSec-WebSocket-Protocol: ,"] {
        refused(&and(&format!("Sec-WebSocket-Protocol: {list}\r\n")), HandshakeError::Subprotocols, 400);
    }
    for list in [",chat", "chat,, ,", "\r\nSec-WebSocket-Protocol: chat", "chat\r\nSec-WebSocket-Protocol: ,"] {
        let request = accepted(&and(&format!("Sec-WebSocket-Protocol: {list}\r\n")));
        assert_eq!(request.subprotocols(), ["chat"], "{list:?}");
    }
}

#[test]
fn a_subprotocol_that_is_listed_twice_is_refused() {
    for list in [
        "chat, chat",
        "chat,chat",
        "a, chat, b, chat, c",
        "chat\r\nSec-WebSocket-Protocol: chat",
        "a, chat\r\nX: y\r\nsec-websocket-protocol: b, chat",
    ] {
        refused(&and(&format!("Sec-WebSocket-Protocol: {list}\r\n")), HandshakeError::Subprotocols, 400);
    }
    let request = accepted(&and("Sec-WebSocket-Protocol: chat, Chat, chat2, cha\r\n"));
    assert_eq!(request.subprotocols(), ["chat", "Chat", "chat2", "cha"], "other strings");
}

#[test]
fn a_request_may_offer_extensions() {
    assert!(accepted(&and("")).extensions().is_empty());
    let request = accepted(&and("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, mux\r\n"));
    let names: Vec<&str> = request.extensions().iter().map(|offer| offer.name).collect();
    assert_eq!(names, ["permessage-deflate", "mux"]);
}

#[test]
fn a_request_may_have_other_header_fields() {
    let request = accepted(&and("Cookie: a=b; c=d\r\nAuthorization: Basic YTpi\r\nX-Anything: \"{}\"\r\nX-Empty:\r\n"));
    assert_eq!(request.header("cookie"), [b"a=b; c=d"]);
    assert_eq!(request.header("Authorization"), [b"Basic YTpi"]);
}

/// RFC 4648 §4, written out, as the crate's own base64 must not check itself.
fn base64_of(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).flat_map(|group| {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(*group.get(i).unwrap_or(&0)));
        let character = move |i: usize| char::from(ALPHABET[bits >> (18 - 6 * i) & 63]);
        (0..4).map(move |i| if i <= group.len() { character(i) } else { '=' })
    });
    groups.collect()
}
