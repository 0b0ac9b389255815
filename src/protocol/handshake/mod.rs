//! §4.2: the server's side of the opening handshake.
//!
//! This folder owns the way from bytes to a [`Request`] and the bytes of both answers. Whether a request that keeps
//! all rules is accepted (§4.2.2) is for whoever drives the connection to decide; [`origin`] has what it takes to
//! judge its `Origin` (§10.2).
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`OpeningHandshake`], [`Request`], the rules of §4.2.1 in their order, 101 and the rejections |
//! | [`head`] | the end of the head found as it arrives, and the grammar of HTTP/1.1 |
//! | [`fields`] | header fields that are lists: tokens, subprotocols, extensions (§9.1) |
//! | [`query`] | the query of a request target, and the target as the log may show it |
//! | [`document`] | a request that is no opening handshake, and its answer |
//! | [`origin`] | §10.2: which pages may connect |

pub mod document;
pub mod fields;
pub mod head;
pub mod origin;
pub mod query;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use sha1::{Digest as _, Sha1};

use self::document::{DocumentRequest, Opening};
use self::fields::{ExtensionOffer, has_token, is_token, parse_extensions, parse_subprotocols};
use self::head::{Head, HeadScanner, RequestHead};
use self::origin::Provenance;
use super::error::HandshakeError;
use super::input::Input;

/// Collects the request head, whatever the cuts between reads, and checks it once it is whole.
#[derive(Debug, Default)]
pub struct OpeningHandshake {
    scanner: HeadScanner,
    /// What came in earlier reads; empty where the head came in one.
    spilled: Vec<u8>,
}

impl OpeningHandshake {
    /// Takes bytes of the head from `input`; what follows the head stays there, for they are the first frames.
    ///
    /// # Errors
    /// The first rule that the head breaks. Broken line ends and a head that is too long are known before its end.
    pub fn poll_request(&mut self, input: &mut Input<'_>) -> Result<Option<Opening>, HandshakeError> {
        let Some(head_end) = self.scanner.scan(input.peek())? else {
            self.spilled.extend_from_slice(input.take_all());
            return Ok(None);
        };
        let front = &*input.take(head_end);
        if self.spilled.is_empty() {
            return parse(front).map(Some);
        }
        let mut head = std::mem::take(&mut self.spilled);
        head.extend_from_slice(front);
        parse(&head).map(Some)
    }

    /// Heap bytes that it owns.
    pub fn held_bytes(&self) -> usize {
        self.spilled.capacity()
    }
}

/// A request to open a WebSocket connection that keeps all rules of §4.2.1.
#[derive(Debug, Clone)]
pub struct Request {
    head: RequestHead,
    accept: [u8; ACCEPT_LEN],
}

impl Request {
    /// Checks a whole request head, its empty line included.
    ///
    /// # Errors
    /// The first rule of §4.2.1 that it breaks: those of HTTP first, then those of WebSocket.
    pub fn parse(head: &[u8]) -> Result<Request, HandshakeError> {
        match parse(head)? {
            Opening::Upgrade(request) => Ok(request),
            Opening::Document(_) => Err(HandshakeError::NotAnUpgrade), // §4.2.1 item 3
        }
    }

    /// The request target as it was sent, such as `/chat?room=1`: visible ASCII.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The values of all header fields with this name (compared without case), in their order. A value is any bytes
    /// but control characters: escape it before it is shown.
    pub fn header(&self, name: &str) -> Vec<&[u8]> {
        self.head.header(name)
    }

    /// What it says of where it comes from and whom it is for.
    pub fn provenance(&self) -> Provenance<'_> {
        self.head.provenance()
    }

    /// The subprotocols that the client offers, in its order of preference (§4.1).
    pub fn subprotocols(&self) -> Vec<&str> {
        parse_subprotocols(self.header(SUBPROTOCOL)).unwrap_or_default()
    }

    /// The first subprotocol of the client's that is in `supported`, as it stands there (§4.2.2): the client's own
    /// bytes are never echoed.
    pub fn select_subprotocol<'s, S: AsRef<str>>(&self, supported: &'s [S]) -> Option<&'s str> {
        let offered = self.subprotocols();
        offered.iter().find_map(|offer| supported.iter().map(AsRef::as_ref).find(|known| known == offer))
    }

    /// The extensions that the client offers (§9.1), in its order of preference.
    pub fn extensions(&self) -> Vec<ExtensionOffer<'_>> {
        parse_extensions(self.header(EXTENSIONS)).unwrap_or_default()
    }

    /// The value of `Sec-WebSocket-Accept` that proves that this request was read (§4.2.2).
    pub fn accept_value(&self) -> &str {
        str::from_utf8(&self.accept).unwrap_or_default()
    }

    /// The response that accepts the request (§4.2.2), with one of the server's own subprotocols or none, and with an
    /// extension that was agreed on.
    pub(super) fn encode_accept(&self, subprotocol: Option<&str>, extension: Option<&str>) -> Vec<u8> {
        let mut response = Vec::with_capacity(160);
        response.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        response.extend_from_slice(&self.accept);
        if let Some(subprotocol) = subprotocol {
            assert!(is_token(subprotocol.as_bytes()), "{subprotocol:?} is no name of a subprotocol");
            response.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            response.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(extension) = extension {
            response.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            response.extend_from_slice(extension.as_bytes());
        }
        response.extend_from_slice(b"\r\n\r\n");
        response
    }
}

/// The response that refuses a request: a status and a short JSON body, and the end of the connection.
pub fn encode_rejection(error: &HandshakeError) -> Vec<u8> {
    let (status, phrase) = error.status();
    let body = format!("{{\"error\":\"{}\",\"message\":\"{error}\"}}\n", error.word());
    let more = match error {
        HandshakeError::MethodNotGet => "Allow: GET\r\n",
        // §4.4: a server that does not speak the client's version says which it speaks.
        HandshakeError::Version | HandshakeError::NotAnUpgrade => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        HandshakeError::Unauthorized(_) => "WWW-Authenticate: Bearer\r\n", // RFC 6750 §3
        HandshakeError::Overloaded | HandshakeError::AcceptRate => "Retry-After: 1\r\n",
        HandshakeError::ConnectionLimit | HandshakeError::UserLimit => "Retry-After: 10\r\n",
        _ => "",
    };
    let connection = if status == 426 { "Upgrade, close" } else { "close" };
    format!(
        "HTTP/1.1 {status} {phrase}\r\nConnection: {connection}\r\n{more}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The same without its body, as HEAD wants it (RFC 9110 §9.3.2).
pub(super) fn encode_rejection_head(error: &HandshakeError) -> Vec<u8> {
    let mut response = encode_rejection(error);
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").map_or(response.len(), |at| at + 4);
    response.truncate(end);
    response
}

/// Checks the rules of §4.2.1: first those of every request over HTTP, then those of one that asks for an upgrade.
fn parse(bytes: &[u8]) -> Result<Opening, HandshakeError> {
    let mut storage = head::FIELDS;
    let head = Head::parse(bytes, &mut storage)?;
    check_http(&head)?;
    if !head.values("upgrade").any(|value| has_token(value, "websocket")) {
        return Ok(Opening::Document(DocumentRequest::new(bytes, &head))); // §4.2.1 item 3 does not hold
    }
    let accept = check_upgrade(&head)?;
    Ok(Opening::Upgrade(Request { head: RequestHead::new(bytes), accept }))
}

fn check_http(head: &Head<'_, '_>) -> Result<(), HandshakeError> {
    if !head.is_version_1_1_or_later() {
        return Err(HandshakeError::HttpVersion); // §4.2.1 item 1
    }
    if !["GET", "HEAD"].contains(&head.method) {
        return Err(HandshakeError::MethodNotGet); // §4.2.1 item 1
    }
    let host = exactly_one(head, "host").ok_or(HandshakeError::Host)?; // §4.2.1 item 2
    // §4.1 item 2: the host and port of an absolute URI match; RFC 9112 §3.2: `Host` is the same as they are.
    let is_match = head.authority.is_none_or(|authority| authority.is_host(host));
    if !is_host(host) || !is_match {
        return Err(HandshakeError::Host);
    }
    // The bytes after the head are frames; a proxy that sees a body there would see other messages than we do.
    let has_body =
        head.values("content-length").any(|value| value != b"0") || head.values("transfer-encoding").next().is_some();
    if has_body {
        return Err(HandshakeError::RequestBody);
    }
    Ok(())
}

/// Returns the value of `Sec-WebSocket-Accept`.
fn check_upgrade(head: &Head<'_, '_>) -> Result<[u8; ACCEPT_LEN], HandshakeError> {
    if head.method != "GET" {
        return Err(HandshakeError::MethodNotGet); // §4.2.1 item 1
    }
    if !head.values("connection").any(|value| has_token(value, "upgrade")) {
        return Err(HandshakeError::ConnectionWithoutUpgrade); // §4.2.1 item 4
    }
    match exactly_one(head, "sec-websocket-version") {
        Some(b"13") => {} // §4.2.1 item 6; compared as bytes, so that "+13" is none
        None if head.values("sec-websocket-version").next().is_some() => {
            return Err(HandshakeError::RepeatedVersion); // §11.3.5: MUST NOT appear more than once
        }
        _ => return Err(HandshakeError::Version),
    }
    let key = exactly_one(head, "sec-websocket-key").ok_or(HandshakeError::Key)?; // §4.2.1 item 5, §11.3.1
    if BASE64.decode(key).ok().is_none_or(|nonce| nonce.len() != NONCE_LEN) {
        return Err(HandshakeError::Key); // §4.1: the base64 of 16 bytes
    }
    if head.values(SUBPROTOCOL).next().is_some() && parse_subprotocols(head.values(SUBPROTOCOL)).is_none() {
        return Err(HandshakeError::Subprotocols); // §4.1 item 10: 1#token, and all unique
    }
    if head.values(EXTENSIONS).next().is_some() && parse_extensions(head.values(EXTENSIONS)).is_none() {
        return Err(HandshakeError::Extensions); // §9.1: what breaks the grammar fails the connection
    }
    Ok(accept_value(key))
}

/// §4.2.2 item 5.4: the base64 of the SHA-1 of the key as it was sent and the GUID.
pub fn accept_value(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; ACCEPT_LEN];
    let written = BASE64.encode_slice(digest, &mut accept);
    assert_eq!(written, Ok(ACCEPT_LEN), "20 bytes make 28 characters");
    accept
}

/// The value of a header field that must stand exactly once.
fn exactly_one<'h>(head: &Head<'h, '_>, name: &str) -> Option<&'h [u8]> {
    let mut values = head.values(name);
    values.next().filter(|_| values.next().is_none())
}

/// RFC 9110 §7.2: a host name or address, and perhaps a port. No blank, no comma, no user, no path.
fn is_host(value: &[u8]) -> bool {
    split_host(value).is_some()
}

/// The host of such a value, an IPv6 address in its brackets, and the port if there is one.
fn split_host(value: &[u8]) -> Option<(&str, Option<u16>)> {
    let (host, port) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !value.ends_with(b"]") => (&value[..colon], &value[colon + 1..]),
        _ => (value, &[][..]),
    };
    let port = match port {
        [] => None,
        digits if digits.iter().all(u8::is_ascii_digit) => Some(str::from_utf8(digits).ok()?.parse().ok()?),
        _ => return None,
    };
    let is_name = match host {
        [b'[', address @ .., b']'] => {
            address.contains(&b':') && address.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
        }
        name => !name.is_empty() && name.iter().all(|&byte| is_name_byte(byte)),
    };
    is_name.then_some((str::from_utf8(host).ok()?, port))
}

/// RFC 3986 §3.2.2: the characters of a registered name.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&byte)
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// RFC 4648 §4, with padding. The last character of a key may have bits that no byte has, as in the example of §4.1.
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PAD.with_decode_allow_trailing_bits(true));

const NONCE_LEN: usize = 16;
const ACCEPT_LEN: usize = 28;
const SUBPROTOCOL: &str = "sec-websocket-protocol";
const EXTENSIONS: &str = "sec-websocket-extensions";

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn parse(head: &str) -> Result<Request, HandshakeError> {
        Request::parse(head.as_bytes())
    }

    /// The sample with one header line replaced; an empty line removes it.
    fn with(name: &str, line: &str) -> Result<Request, HandshakeError> {
        let start = SAMPLE.find(name).expect("the sample has it");
        let end = start + SAMPLE[start..].find("\r\n").expect("a line ends") + 2;
        let line = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
        parse(&format!("{}{line}{}", &SAMPLE[..start], &SAMPLE[end..]))
    }

    #[test]
    fn the_sample_of_section_1_3_is_accepted() {
        let request = parse(SAMPLE).expect("the sample of the RFC");
        assert_eq!(request.target(), "/chat");
        assert_eq!(request.header("ORIGIN"), [b"http://example.com"]);
        assert_eq!(request.subprotocols(), ["chat", "superchat"]);
        assert_eq!(request.accept_value(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let response = String::from_utf8(request.encode_accept(Some("chat"), None)).unwrap();
        assert_eq!(
            response,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
    }

    #[test]
    fn a_head_that_arrives_in_any_pieces_is_the_same_and_frames_stay_in_the_input() {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        bytes.extend_from_slice(b"\x81\x85frames");
        for cut in 0..=SAMPLE.len() {
            let mut bytes = bytes.clone();
            let (front, back) = bytes.split_at_mut(cut);
            let mut handshake = OpeningHandshake::default();
            let first = handshake.poll_request(&mut Input::new(front)).expect("valid so far");
            assert_eq!(first.is_some(), cut == SAMPLE.len());
            let mut input = Input::new(back);
            let request = first.or_else(|| handshake.poll_request(&mut input).expect("valid"));
            let Some(Opening::Upgrade(request)) = request else { panic!("{request:?}") };
            assert_eq!(request.accept_value(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(input.peek(), b"\x81\x85frames", "cut at {cut}");
        }
    }

    #[test]
    fn tokens_are_compared_without_case_in_lists_over_several_lines() {
        assert!(with("Upgrade", "upgrade: h2c, WebSocket").is_ok());
        assert!(with("Connection", "CONNECTION: keep-alive\r\nconnection: ,x , UPGRADE").is_ok());
        for line in ["Upgrade: websockets", "Upgrade: web socket", "X: y", ""] {
            assert_eq!(with("Upgrade", line).unwrap_err(), HandshakeError::NotAnUpgrade, "{line}");
        }
        for line in ["Connection: NotUpgrade", "Connection: keep-alive", ""] {
            assert_eq!(with("Connection", line).unwrap_err(), HandshakeError::ConnectionWithoutUpgrade);
        }
    }

    #[test]
    fn method_and_version_of_http() {
        for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0"] {
            let error = with("GET", &format!("GET / {version}")).unwrap_err();
            assert_eq!(error, HandshakeError::HttpVersion, "{version}");
        }
        assert!(with("GET", "GET / HTTP/1.2").is_ok(), "§4.2.1: or higher");
        for method in ["POST", "get", "HEAD", "OPTIONS"] {
            assert_eq!(with("GET", &format!("{method} / HTTP/1.1")).unwrap_err(), HandshakeError::MethodNotGet);
        }
    }

    #[test]
    fn exactly_one_host() {
        for line in [
            "",
            "Host:",
            "Host: a b",
            "Host: a,b",
            "Host: user@a",
            "Host: a\r\nHost: a",
            "Host: a/b",
            "Host: ][",
            "Host: :::",
            "Host: :80",
            "Host: a:99999",
            "Host: a:+1",
            "Host: [::g]",
            "Host: a:b:80",
        ] {
            assert_eq!(with("Host", line).unwrap_err(), HandshakeError::Host, "{line:?}");
        }
        for line in ["Host: localhost:8765", "host: [::1]:80", "Host: [::1]", "Host:a", "Host: a:"] {
            assert!(with("Host", line).is_ok(), "{line:?}");
        }
    }

    #[test]
    fn exactly_one_key_of_16_bytes() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        for line in [
            "",
            "Sec-WebSocket-Key:",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWUh",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==",
            &format!("{key}\r\n{key}"),
            &format!("{key}, dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            assert_eq!(with("Sec-WebSocket-Key", line).unwrap_err(), HandshakeError::Key, "{line:?}");
        }
    }

    #[test]
    fn version_13_and_no_other() {
        for line in ["", "8", "+13", "013", "13, 8", "14"] {
            let line = if line.is_empty() { String::new() } else { format!("Sec-WebSocket-Version: {line}") };
            let error = with("Sec-WebSocket-Version", &line).unwrap_err();
            assert_eq!(error, HandshakeError::Version, "{line:?}");
            let response = String::from_utf8(encode_rejection(&error)).unwrap();
            assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
            assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"));
        }
        let line = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13";
        assert_eq!(with("Sec-WebSocket-Version", line).unwrap_err(), HandshakeError::RepeatedVersion);
    }

    #[test]
    fn a_request_with_a_body_is_refused() {
        for line in ["Content-Length: 5", "Content-Length: +0", "Content-Length: 0, 0", "Transfer-Encoding: chunked"] {
            assert_eq!(with("Origin", line).unwrap_err(), HandshakeError::RequestBody, "{line}");
        }
        assert!(with("Origin", "Content-Length: 0").is_ok());
    }

    #[test]
    fn a_subprotocol_is_selected_from_our_list_in_the_clients_order() {
        let request =
            with("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: z, b\r\nsec-websocket-protocol: a").unwrap();
        assert_eq!(request.subprotocols(), ["z", "b", "a"]);
        assert_eq!(request.select_subprotocol(&["a", "b"]), Some("b"));
        assert_eq!(request.select_subprotocol(&["B"]), None, "names are compared with case");
        assert_eq!(request.select_subprotocol::<&str>(&[]), None);
        for value in ["a b", "a;b", "\"a\"", "a,(b)", "a, b\u{e9}", "", ",, ,", "a, a"] {
            let error = with("Sec-WebSocket-Protocol", &format!("Sec-WebSocket-Protocol: {value}")).unwrap_err();
            assert_eq!(error, HandshakeError::Subprotocols, "{value}");
        }
    }

    #[test]
    fn extensions_are_parsed_and_a_broken_list_is_refused() {
        let line = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; a=\"b\", foo";
        let request = with("Origin", line).unwrap();
        let names: Vec<&str> = request.extensions().iter().map(|offer| offer.name).collect();
        assert_eq!(names, ["permessage-deflate", "foo"]);
        for value in ["a; =b", "", ","] {
            let error = with("Origin", &format!("Sec-WebSocket-Extensions: {value}")).unwrap_err();
            assert_eq!(error, HandshakeError::Extensions, "{value:?}");
        }
    }

    #[test]
    fn a_rejection_is_a_whole_response_with_a_json_body() {
        let errors = [HandshakeError::MethodNotGet, HandshakeError::Host, HandshakeError::HeadTooLarge];
        for error in errors {
            let response = String::from_utf8(encode_rejection(&error)).unwrap();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            assert!(head.contains("Connection: close"));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"], error.word());
        }
    }
}
