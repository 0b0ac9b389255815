//! RFC 9112 §2 to §5: the head of an HTTP/1.1 request, read strictly.
//!
//! What proxies and servers read differently is refused: bare CR, bare LF, NUL, folded lines, blanks before a colon.

use super::origin::Provenance;
use crate::protocol::error::HandshakeError;
use crate::protocol::limits::{HEAD_BYTES_MAX, HEADER_COUNT_MAX};

/// Finds the end of a head as it arrives. Each byte is looked at once, so a head that comes byte by byte costs
/// linear time.
#[derive(Debug, Default)]
pub struct HeadScanner {
    seen: usize,
    line: Line,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At the start of the first line.
    #[default]
    First,
    /// At the start of a later line.
    Start,
    /// Within a line.
    Within,
    /// After the CR that ends a line.
    Cr,
    /// After the CR of an empty line.
    EmptyCr,
}

impl HeadScanner {
    /// Looks at the next bytes, and returns how many of them belong to the head once its end is among them.
    ///
    /// # Errors
    /// A line that does not end with CRLF, NUL, a folded line, an empty first line, or a head over the limit.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        let room = HEAD_BYTES_MAX - self.seen;
        let looked_at = &bytes[..bytes.len().min(room)];
        let mut i = 0;
        while let Some(&byte) = looked_at.get(i) {
            if self.line == Line::Within && byte > b'\r' {
                i += uninteresting_len(&looked_at[i..]);
                continue;
            }
            i += 1;
            self.line = match (self.line, byte) {
                (Line::EmptyCr, b'\n') => return Ok(Some(i)),
                (Line::Cr, b'\n') => Line::Start,
                (Line::Cr | Line::EmptyCr, _) => return Err(MALFORMED_CR),
                (_, b'\n') => return Err(MALFORMED_LF),
                (_, 0) => return Err(MALFORMED_NUL),
                (Line::First, b'\r') => return Err(HandshakeError::MalformedHead("the request line is empty")),
                (Line::Start, b'\r') => Line::EmptyCr,
                (Line::Start, b' ' | b'\t') => return Err(MALFORMED_FOLD),
                (_, b'\r') => Line::Cr,
                _ => Line::Within,
            };
        }
        if bytes.len() >= room {
            return Err(HandshakeError::HeadTooLarge);
        }
        self.seen += bytes.len();
        Ok(None)
    }
}

/// How many bytes at the front are above CR, and so neither end a line nor break a rule within it: many at a time.
fn uninteresting_len(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<16>();
    let skipped = 16 * chunks.iter().take_while(|chunk| chunk.iter().all(|&byte| byte > b'\r')).count();
    let rest = &bytes[skipped..];
    skipped + rest.iter().position(|&byte| byte <= b'\r').unwrap_or(rest.len())
}

/// A request head taken apart.
#[derive(Debug)]
pub struct Head<'h, 'f> {
    /// The method, such as `GET`: a token.
    pub method: &'h str,
    /// The authority of a request target that is an absolute URI.
    pub authority: Option<Authority<'h>>,
    /// The version, such as `HTTP/1.1`.
    version: &'h str,
    fields: &'f [httparse::Header<'h>],
}

/// RFC 3986 §3.2: the host and port of an absolute URI.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'h> {
    host_and_port: &'h str,
    /// What may be missing, such as `:80`.
    default_port: &'static str,
}

impl Authority<'_> {
    /// Whether the value of a `Host` names the same host and port. §3: either may leave the default port out.
    pub fn is_host(&self, host: &[u8]) -> bool {
        let port = self.default_port.as_bytes();
        let without_port = |host| <[u8]>::strip_suffix(host, port).unwrap_or(host);
        without_port(self.host_and_port.as_bytes()).eq_ignore_ascii_case(without_port(host))
    }
}

/// The bytes of a head that was parsed, kept for whoever asks what stands in it.
#[derive(Debug, Clone)]
pub(super) struct RequestHead(Box<[u8]>);

impl RequestHead {
    pub(super) fn new(bytes: &[u8]) -> RequestHead {
        RequestHead(bytes.into())
    }

    pub(super) fn target(&self) -> &str {
        let line = self.0.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let target = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        str::from_utf8(target).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Vec<&[u8]> {
        let mut storage = FIELDS;
        Head::parse(&self.0, &mut storage).expect("the head was parsed before").values(name).collect()
    }

    pub(super) fn provenance(&self) -> Provenance<'_> {
        let mut storage = FIELDS;
        let head = Head::parse(&self.0, &mut storage).expect("the head was parsed before");
        Provenance {
            host: head.values("host").next().unwrap_or_default(),
            origins: head.values("origin").collect(),
            forwarded_hosts: head.values("x-forwarded-host").collect(),
            forwarded_for: head.values("x-forwarded-for").collect(),
        }
    }
}

/// Room for the header fields of one head.
pub const FIELDS: [httparse::Header<'static>; HEADER_COUNT_MAX] = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];

impl<'h, 'f> Head<'h, 'f> {
    /// Parses a whole head that [`HeadScanner`] has seen the end of.
    ///
    /// # Errors
    /// [`HandshakeError::MalformedHead`] with the part that breaks the grammar, or too many header fields.
    pub fn parse(
        head: &'h [u8],
        storage: &'f mut [httparse::Header<'h>; HEADER_COUNT_MAX],
    ) -> Result<Head<'h, 'f>, HandshakeError> {
        let line_end = head.windows(2).position(|pair| pair == b"\r\n").ok_or(MALFORMED_LINE)?;
        // RFC 9112 §3: method SP request-target SP HTTP-version, and no more blanks than that.
        let line = str::from_utf8(&head[..line_end]).map_err(|_| MALFORMED_LINE)?;
        let mut parts = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MALFORMED_LINE);
        };
        if method.is_empty() || !method.bytes().all(super::fields::is_token_byte) {
            return Err(HandshakeError::MalformedHead("the method is no token"));
        }
        // §4.2.1 item 1: an absolute path or an absolute URI; §3: without a fragment.
        let authority = authority(target);
        let is_path_or_uri = target.starts_with('/') || authority.is_some();
        if !is_path_or_uri || !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(HandshakeError::MalformedHead("the request target is no path"));
        }
        let &[b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version.as_bytes() else {
            return Err(MALFORMED_LINE);
        };
        if !major.is_ascii_digit() || !minor.is_ascii_digit() {
            return Err(MALFORMED_LINE);
        }
        match httparse::parse_headers(&head[line_end + 2..], storage) {
            Ok(httparse::Status::Complete((_, fields))) => Ok(Head { method, authority, version, fields }),
            Ok(httparse::Status::Partial) => Err(HandshakeError::MalformedHead("it has no end")),
            Err(httparse::Error::TooManyHeaders) => Err(HandshakeError::TooManyHeaders),
            Err(httparse::Error::HeaderName) => Err(HandshakeError::MalformedHead("the name of a header field")),
            Err(_) => Err(HandshakeError::MalformedHead("the value of a header field")),
        }
    }

    /// The values of all fields with this name, without case, without blanks around them.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'h [u8]> + use<'h, 'f, 'n> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// §4.2.1 item 1. A major version of 2 or more is never written like this.
    pub fn is_version_1_1_or_later(&self) -> bool {
        self.version.starts_with("HTTP/1.") && self.version != "HTTP/1.0"
    }
}

/// The authority of an absolute URI with a scheme that can mean this server.
fn authority(target: &str) -> Option<Authority<'_>> {
    let (scheme, rest) = target.split_once("://")?;
    let (_, default_port) = SCHEMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme))?;
    Some(Authority { host_and_port: rest.split(['/', '?']).next().unwrap_or_default(), default_port })
}

/// Those of §4.1, and those of §3, which clients mean when they are told of a URI; each with its default port.
const SCHEMES: [(&str, &str); 4] = [("http", ":80"), ("https", ":443"), ("ws", ":80"), ("wss", ":443")];

const MALFORMED_LINE: HandshakeError = HandshakeError::MalformedHead("the request line");
const MALFORMED_CR: HandshakeError = HandshakeError::MalformedHead("a CR without LF");
const MALFORMED_LF: HandshakeError = HandshakeError::MalformedHead("an LF without CR");
const MALFORMED_NUL: HandshakeError = HandshakeError::MalformedHead("a NUL");
const MALFORMED_FOLD: HandshakeError = HandshakeError::MalformedHead("a folded line");

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(head: &[u8]) -> Result<Option<usize>, HandshakeError> {
        HeadScanner::default().scan(head)
    }

    fn parse(head: &[u8]) -> Result<(), HandshakeError> {
        Head::parse(head, &mut { FIELDS }).map(|_| ())
    }

    #[test]
    fn the_end_is_found_in_any_pieces() {
        let bytes = b"GET / HTTP/1.1\r\na: b\r\n\r\nrest";
        assert_eq!(scan(bytes), Ok(Some(24)));
        let mut scanner = HeadScanner::default();
        let ends: Vec<usize> =
            (0..bytes.len()).filter(|&i| scanner.scan(&bytes[i..=i]).is_ok_and(|end| end.is_some())).collect();
        assert_eq!(ends.first(), Some(&23));
    }

    #[test]
    fn a_head_without_its_empty_line_is_refused() {
        for head in [&b"GET / HTTP/1.1\r\n"[..], b"GET / HTTP/1.1\r\na: b\r\n"] {
            assert_eq!(parse(head), Err(HandshakeError::MalformedHead("it has no end")));
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused_as_it_arrives() {
        assert_eq!(scan(b"GET / HTTP/1.1\n"), Err(MALFORMED_LF));
        assert_eq!(scan(b"GET / HTTP/1.1\r\na: b\n"), Err(MALFORMED_LF));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\n"), Err(MALFORMED_LF));
        assert_eq!(scan(b"GET / HTTP/1.1\ra"), Err(MALFORMED_CR));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\r\r"), Err(MALFORMED_CR));
        assert_eq!(scan(b"GET / HTTP/1.1\r\na: \0"), Err(MALFORMED_NUL));
        assert_eq!(scan(b"GET / HTTP/1.1\r\na: b\r\n c"), Err(MALFORMED_FOLD));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\tc"), Err(MALFORMED_FOLD));
        assert!(scan(b"\r\nGET").is_err());
    }

    #[test]
    fn a_head_over_the_limit_is_refused_by_the_first_byte_too_many() {
        let mut head = b"GET / HTTP/1.1\r\na: ".to_vec();
        head.resize(HEAD_BYTES_MAX - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        assert_eq!(scan(&head), Ok(Some(HEAD_BYTES_MAX)));
        head.insert(20, b'x');
        assert_eq!(scan(&head), Err(HandshakeError::HeadTooLarge));
        let mut scanner = HeadScanner::default();
        let refused_at = head.iter().position(|&byte| scanner.scan(&[byte]).is_err());
        assert_eq!(refused_at, Some(HEAD_BYTES_MAX - 1));
    }

    #[test]
    fn header_fields_are_counted() {
        let head = |count: usize| [&b"GET / HTTP/1.1\r\n"[..], &b"a: b\r\n".repeat(count), b"\r\n"].concat();
        assert_eq!(parse(&head(HEADER_COUNT_MAX)), Ok(()));
        assert_eq!(parse(&head(HEADER_COUNT_MAX + 1)), Err(HandshakeError::TooManyHeaders));
    }

    #[test]
    fn the_grammar_is_strict() {
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / http/1.1",
            "GET / HTTP/11",
            "GET / HTTP/1.x",
            "G(T / HTTP/1.1",
            "GET a HTTP/1.1",
            "GET * HTTP/1.1",
            "GET :// HTTP/1.1",
            "GET a?b=c://d HTTP/1.1",
            "GET /#a HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /\x7f HTTP/1.1",
        ] {
            assert!(parse(format!("{line}\r\n\r\n").as_bytes()).is_err(), "{line:?}");
        }
        assert_eq!(parse(b"GET ws://a/b?c=d HTTP/1.1\r\n\r\n"), Ok(()));
        for field in ["a : b", ": b", "a", "a b: c", "a\u{e9}: b", "a: b\x01", "a: \x7f"] {
            assert!(parse(format!("GET / HTTP/1.1\r\n{field}\r\n\r\n").as_bytes()).is_err(), "{field:?}");
        }
    }
}
