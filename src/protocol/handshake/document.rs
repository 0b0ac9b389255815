//! RFC 9110: a request that is no opening handshake, and the document that answers it.
//!
//! §4.2 lets a server do on its port what else it likes; this much is enough for the page that opens the WebSocket.
//! A response ends the connection: whoever wants another document connects again.

use super::Request;
use super::head::{Head, RequestHead};
use super::origin::Provenance;
use crate::protocol::shared_frame::SharedFrame;

/// A GET or HEAD request over HTTP/1.1 that keeps the rules of §4.2.1 up to the one that it asks for an upgrade.
#[derive(Debug, Clone)]
pub struct DocumentRequest {
    head: RequestHead,
    is_head: bool,
}

impl DocumentRequest {
    pub(super) fn new(bytes: &[u8], head: &Head<'_, '_>) -> DocumentRequest {
        DocumentRequest { head: RequestHead::new(bytes), is_head: head.method == "HEAD" }
    }

    /// The request target as it was sent, such as `/page?x=1`: visible ASCII.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The path of the target, as it was sent: without the query, and without the scheme and host of an absolute URI.
    /// Begins with `/`; escapes (`%20`) are not resolved.
    pub fn path(&self) -> &str {
        let target = self.target();
        let path = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => rest.find(['/', '?']).map_or("", |start| &rest[start..]),
            _ => target,
        };
        match path.split('?').next() {
            Some("") | None => "/",
            Some(path) => path,
        }
    }

    /// The values of all header fields with this name; as [`Request::header`].
    pub fn header(&self, name: &str) -> Vec<&[u8]> {
        self.head.header(name)
    }

    /// What it says of where it comes from and whom it is for.
    pub fn provenance(&self) -> Provenance<'_> {
        self.head.provenance()
    }

    /// Whether only the head of the response is asked for (RFC 9110 §9.3.2).
    pub fn is_head(&self) -> bool {
        self.is_head
    }
}

/// What a request head turns out to be.
#[derive(Debug, Clone)]
pub enum Opening {
    /// The opening handshake of a WebSocket connection.
    Upgrade(Request),
    /// Something else that HTTP can ask for.
    Document(DocumentRequest),
}

/// A document, shared by all who receive it.
#[derive(Debug, Clone)]
pub struct Document {
    status: &'static str,
    /// Lines of the head, each with its end.
    fields: String,
    body: SharedFrame,
}

impl Document {
    /// A document of a media type, such as `text/html; charset=utf-8`.
    pub fn new(media_type: &str, body: Vec<u8>) -> Document {
        let document = Document { status: "200 OK", fields: String::new(), body: SharedFrame::from_raw(body) };
        // What a browser must not do is to guess another type from the content.
        document.with_header("Content-Type", media_type).with_header("X-Content-Type-Options", "nosniff")
    }

    /// An answer that sends the client to another path (RFC 9110 §15.4.2).
    pub fn moved_to(path: &str) -> Document {
        let body = SharedFrame::from_raw(Vec::new());
        Document { status: "301 Moved Permanently", fields: String::new(), body }.with_header("Location", path)
    }

    /// The same with another header field.
    ///
    /// # Panics
    /// If the value holds a control character: a bug of the caller.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Document {
        assert!(!value.bytes().any(|byte| byte.is_ascii_control()), "{value:?} is no value of a header field");
        self.fields.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// The status of the response, such as 200.
    pub fn status(&self) -> &str {
        &self.status[..3]
    }

    /// The content.
    pub fn body(&self) -> &[u8] {
        self.body.as_bytes()
    }

    /// Whether somebody else holds the same content, such as a connection that has not sent all of it.
    pub fn is_shared(&self) -> bool {
        self.body.holders() > 1
    }

    /// The body as the send queue takes it.
    pub(in crate::protocol) fn shared_body(&self) -> &SharedFrame {
        &self.body
    }

    /// The head of the response.
    pub(in crate::protocol) fn encode_head(&self) -> Vec<u8> {
        let Document { status, fields, body } = self;
        let len = body.as_bytes().len();
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{fields}Content-Length: {len}\r\n\r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::HandshakeError;

    fn request(line: &str) -> DocumentRequest {
        let opening = super::super::parse(format!("{line}\r\nHost: h\r\nX: y\r\n\r\n").as_bytes()).unwrap();
        if let Opening::Document(request) = opening { Some(request) } else { None }.unwrap()
    }

    #[test]
    fn the_path_is_what_stands_before_the_query() {
        for (target, path) in [
            ("/", "/"),
            ("/a/b%20c?d=/e", "/a/b%20c"),
            ("/?a", "/"),
            ("http://h", "/"),
            ("http://h?a", "/"),
            ("http://h/a?b", "/a"),
            ("/a://b", "/a://b"),
            ("//a", "//a"),
        ] {
            let request = request(&format!("GET {target} HTTP/1.1"));
            assert_eq!((request.target(), request.path(), request.is_head()), (target, path, false));
        }
        assert!(request("HEAD / HTTP/1.1").is_head());
        assert_eq!(request("GET / HTTP/1.1").header("x"), [b"y"]);
    }

    #[test]
    fn what_breaks_a_rule_of_http_is_no_request_for_a_document() {
        for (head, error) in [
            ("POST / HTTP/1.1\r\nHost: h\r\n\r\n", HandshakeError::MethodNotGet),
            ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", HandshakeError::HttpVersion),
            ("GET / HTTP/1.1\r\n\r\n", HandshakeError::Host),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", HandshakeError::RequestBody),
            ("HEAD / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", HandshakeError::MethodNotGet),
        ] {
            assert_eq!(super::super::parse(head.as_bytes()).unwrap_err(), error, "{head}");
        }
    }

    #[test]
    fn a_document_has_its_length_type_and_fields() {
        let document = Document::new("text/plain", b"hello".to_vec()).with_header("A", "b");
        let head = String::from_utf8(document.encode_head()).unwrap();
        let expected = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             X-Content-Type-Options: nosniff\r\nA: b\r\nContent-Length: 5\r\n\r\n";
        assert_eq!((head.as_str(), document.body(), document.status()), (expected, &b"hello"[..], "200"));
        assert!(!document.is_shared());
        let other = document.clone();
        assert!(document.is_shared() && other.is_shared());
        let moved = String::from_utf8(Document::moved_to("/a/").encode_head()).unwrap();
        assert!(moved.starts_with("HTTP/1.1 301 ") && moved.contains("\r\nLocation: /a/\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    #[should_panic(expected = "no value of a header field")]
    fn a_value_cannot_begin_another_field() {
        let _ = Document::moved_to("/a\r\nSet-Cookie: b");
    }
}
