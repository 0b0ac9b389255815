//! The lines of the log: one for each connection opened, refused and closed.
//!
//! What comes from a peer is escaped and cut before it is written: a request target must not be able to forge a line.

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::app::ConnId;
use super::peer::{Peer, Traffic};
use crate::protocol::handshake::origin::{Channel, Provenance};
use crate::protocol::handshake::query::masked_target;
use crate::protocol::{Document, DocumentRequest, End, HandshakeError, Request};

/// `proxy`: through whom the client came.
pub(crate) fn opened<T>(
    peer: &Peer<T>,
    request: &Request,
    from: &Provenance<'_>,
    proxy: Option<SocketAddr>,
    subprotocol: Option<&str>,
) {
    let origin = from.origins.first().map(|value| String::from_utf8_lossy(value));
    log::info!(
        "opened id={} addr={}{} target=\"{}\"{}{}{}",
        peer.serial,
        Address(peer.address()),
        Optional(" via=", proxy),
        Escaped(&masked_target(request.target())),
        Optional(" origin=", origin.as_deref().map(Escaped).map(Quoted)),
        Optional(" subprotocol=", subprotocol),
        Optional(" extension=", peer.connection.extension()),
    );
}

/// A request for a document, answered or refused.
pub(crate) fn answered<T>(peer: &Peer<T>, request: &DocumentRequest, answer: Result<&Document, &HandshakeError>) {
    let status = answer.map_or_else(|error| error.status().0.to_string(), |document| document.status().to_owned());
    log::info!(
        "answered id={} addr={} target=\"{}\" status={status} bytes={}",
        peer.serial,
        Address(peer.address()),
        Escaped(&masked_target(request.target())),
        answer.map_or(0, |document| document.body().len()),
    );
}

/// The end of a connection: `closed` if it was open, `refused` if it never was. An [explanation] stands in place of the detail.
pub(crate) fn ended<T>(peer: &Peer<T>, age: Duration, notes: Option<&Notes>) {
    let Some(end) = peer.connection.end() else { return };
    let verb = if peer.is_open { "closed" } else { "refused" };
    let status = match end {
        End::Refused(error) => Some(error.status().0),
        _ => None,
    };
    let explanation = notes.and_then(|notes| notes.explanation.as_deref());
    let detail = match end {
        End::Refused(_) if explanation.is_some() => None,
        End::Refused(_) | End::Failed(_) | End::SlowReader(_) | End::QueueFull(_) => Some(Quoted(end)),
        _ => None,
    };
    let left_out = notes.map(|notes| notes.left_out).filter(|&count| count > 0);
    let Traffic { messages_in, messages_out, bytes_in, bytes_out } = peer.traffic;
    log::info!(
        "{verb} id={} addr={} reason={}{}{}{}{} seconds={:.3} messages_in={messages_in} messages_out={messages_out} \
         bytes_in={bytes_in} bytes_out={bytes_out}{}",
        peer.serial,
        Address(peer.address()),
        end.word(),
        Optional(" status=", status),
        Optional(" code=", end.close_code()),
        Optional(" detail=", detail),
        explanation.unwrap_or_default(),
        age.as_secs_f64(),
        Optional(" notes_left_out=", left_out),
    );
}

/// TLS that cannot go on; the end of the connection has its own line.
pub(crate) fn tls_failed<T>(peer: &Peer<T>, error: &io::Error) {
    let detail = error.to_string();
    log::info!("tls failed id={} addr={} detail=\"{}\"", peer.serial, peer.address(), Escaped(&detail));
}

/// What came first is no header of a proxy, or not all of one. That it ends has a line of its own.
pub(crate) fn no_proxy_header<T>(peer: &Peer<T>, error: &io::Error) {
    let detail = error.to_string();
    log::info!("no PROXY header id={} addr={} detail=\"{}\"", peer.serial, peer.address(), Escaped(&detail));
}

/// A connection that was refused without becoming a peer.
pub(crate) fn turned_away(address: SocketAddr, error: HandshakeError, cause: &dyn Display) {
    let (reason, (status, _)) = (error.word(), error.status());
    log::info!("refused id=- addr={address} reason={reason} status={status} detail=\"{cause}\"");
}

/// A connection that was dropped without a word, since its peer is no proxy that may speak for others.
pub(crate) fn dropped_stranger(address: SocketAddr) {
    log::info!(
        "refused id=- addr={address} reason=not_a_proxy detail=\"with --proxy-protocol only a --trusted-proxy may connect\""
    );
}

/// What a line says of a page or a host that is refused, and how to let it in, if there is a way.
pub(crate) fn explanation(error: HandshakeError, request: &Provenance<'_>, channel: Channel) -> String {
    let field = |name, values: &[&[u8]]| {
        let value = values.first().map(|value| String::from_utf8_lossy(value));
        Optional(name, value.as_deref().map(Escaped).map(Quoted)).to_string()
    };
    let fields = match error {
        HandshakeError::Origin => field(" origin=", &request.origins),
        HandshakeError::ForeignHost => {
            field(" host=", &[request.host]) + &field(" forwarded_host=", &request.forwarded_hosts)
        }
        _ => String::new(),
    };
    // One that is cut would let somebody else in.
    let pattern = request.pattern(error, channel).filter(|pattern| pattern.len() <= PEER_TEXT_BYTES_MAX);
    let advice = Optional("; to let it in, start it with --origin ", pattern.as_deref().map(Escaped));
    format!("{fields} detail=\"{error}{advice}\"")
}

pub(crate) fn note(id: ConnId, address: SocketAddr, what: &str, detail: &dyn Display, left_out: u64) {
    let left_out = Some(left_out).filter(|&count| count > 0);
    let detail = detail.to_string();
    let address = Address(address);
    log::warn!("{what} id={id} addr={address} detail=\"{}\"{}", Escaped(&detail), Optional(" left_out=", left_out));
}

/// Keeps the notes about one peer to one a while, and what its last line says beside its end.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    last: Option<Instant>,
    left_out: u64,
    explanation: Option<String>,
}

impl Notes {
    /// Whether a note may be written now, and how many were left out since the last one.
    pub(crate) fn admit(&mut self, now: Instant, interval: Duration) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < interval) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }

    /// Says why the peer is refused in more words than its end does.
    pub(crate) fn explain(&mut self, explanation: String) {
        self.explanation = Some(explanation);
    }
}

/// Text of a peer's, without control characters, quotes or line ends, and not too long.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.floor_char_boundary(PEER_TEXT_BYTES_MAX);
        write!(f, "{}", self.0[..cut].escape_debug())?;
        f.write_str(if cut < self.0.len() { "…" } else { "" })
    }
}

/// An address, without its port where that is not known.
struct Address(SocketAddr);

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.port() {
            0 => self.0.ip().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

struct Quoted<D>(D);

impl<D: Display> Display for Quoted<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// A name and its value, or nothing.
struct Optional<D>(&'static str, Option<D>);

impl<D: Display> Display for Optional<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            Some(value) => write!(f, "{}{value}", self.0),
            None => Ok(()),
        }
    }
}

/// Bytes of a peer's text in one line of the log.
const PEER_TEXT_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_peer_cannot_forge_a_line() {
        let text = Escaped("a\r\nINFO closed \u{1b}[31m \"x\"").to_string();
        assert_eq!(text, "a\\r\\nINFO closed \\u{1b}[31m \\\"x\\\"");
        let long = Escaped(&"é".repeat(1000)).to_string();
        assert_eq!(long.len(), PEER_TEXT_BYTES_MAX + "…".len());
    }

    #[test]
    fn what_is_said_of_a_page_is_escaped_and_cut_and_advice_is_never_cut() {
        let of = |error, host: &str, origins: &[&str]| {
            let origins = origins.iter().map(|origin| origin.as_bytes()).collect();
            let host = host.as_bytes();
            let request = Provenance { host, origins, forwarded_hosts: vec![b"f"], forwarded_for: vec![] };
            explanation(error, &request, Channel::default())
        };
        let foreign_page = HandshakeError::Origin;
        assert_eq!(
            of(foreign_page, "h", &["https://Evil.example:444"]),
            format!(
                " origin=\"https://Evil.example:444\" detail=\"{foreign_page}; to let it in, start it with --origin https://evil.example:444\""
            )
        );
        for origin in ["a\"\r\nINFO \u{1b}", "https://a b", "https://a\"", "https://a/$(x)"] {
            let quoted = origin.escape_debug();
            let expected = format!(" origin=\"{quoted}\" detail=\"{foreign_page}\"");
            assert_eq!(of(foreign_page, "h", &[origin]), expected);
        }
        let long = format!("https://{}", "x".repeat(1000));
        let expected = format!(" origin=\"{}…\" detail=\"{foreign_page}\"", &long[..200]);
        assert_eq!(of(foreign_page, "h", &[&long]), expected);
        let foreign_host = HandshakeError::ForeignHost;
        assert_eq!(
            of(foreign_host, "evil.example:80", &[]),
            format!(
                " host=\"evil.example:80\" forwarded_host=\"f\" detail=\"{foreign_host}; to let it in, start it with --origin http://evil.example\""
            )
        );
    }

    #[test]
    fn an_address_without_a_port_stands_alone() {
        for (address, text) in [("192.0.2.1:0", "192.0.2.1"), ("[::1]:0", "::1"), ("[::1]:80", "[::1]:80")] {
            assert_eq!(Address(address.parse().unwrap()).to_string(), text);
        }
    }

    #[test]
    fn the_first_note_is_admitted_and_then_one_a_while() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut notes = Notes::default();
        let at = |tenths: u32| start + second * tenths / 10;
        assert_eq!(notes.admit(at(0), second), Some(0));
        assert_eq!(notes.admit(at(1), second), None);
        assert_eq!(notes.admit(at(9), second), None);
        assert_eq!(notes.admit(at(10), second), Some(2));
        assert_eq!(notes.admit(at(30), second), Some(0));
    }
}
