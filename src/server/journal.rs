//! The lines of the log: one for each connection opened, refused and closed.
//!
//! What comes from a peer is escaped and cut before it is written: a request target must not be able to forge a line.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::app::ConnId;
use super::peer::{Peer, Traffic};
use crate::protocol::{Document, DocumentRequest, End, HandshakeError, Request};

pub(crate) fn opened<T>(peer: &Peer<T>, request: &Request, subprotocol: Option<&str>) {
    let origin = request.header("origin").first().map(|value| String::from_utf8_lossy(value).into_owned());
    log::info!(
        "opened id={} addr={} target=\"{}\"{}{}",
        peer.serial,
        peer.address(),
        Escaped(request.target()),
        Optional(" origin=", origin.as_deref().map(Escaped).map(Quoted)),
        Optional(" subprotocol=", subprotocol),
    );
}

/// A request for a document, answered or refused.
pub(crate) fn answered<T>(peer: &Peer<T>, request: &DocumentRequest, answer: Result<&Document, &HandshakeError>) {
    let status = answer.map_or_else(|error| error.status().0.to_string(), |document| document.status().to_owned());
    log::info!(
        "answered id={} addr={} target=\"{}\" status={status} bytes={}",
        peer.serial,
        peer.address(),
        Escaped(request.target()),
        answer.map_or(0, |document| document.body().len()),
    );
}

/// The end of a connection: `closed` if it was open, `refused` if it never was.
pub(crate) fn ended<T>(peer: &Peer<T>, age: Duration, notes: Option<&Notes>) {
    let Some(end) = peer.connection.end() else { return };
    let verb = if peer.is_open { "closed" } else { "refused" };
    let status = match end {
        End::Refused(error) => Some(error.status().0),
        _ => None,
    };
    let detail = match end {
        End::Refused(_) | End::Failed(_) | End::SlowReader(_) | End::QueueFull(_) => Some(Quoted(end)),
        _ => None,
    };
    let left_out = notes.map(|notes| notes.left_out).filter(|&count| count > 0);
    let Traffic { messages_in, messages_out, bytes_in, bytes_out } = peer.traffic;
    log::info!(
        "{verb} id={} addr={} reason={}{}{}{} seconds={:.3} messages_in={messages_in} messages_out={messages_out} \
         bytes_in={bytes_in} bytes_out={bytes_out}{}",
        peer.serial,
        peer.address(),
        end.word(),
        Optional(" status=", status),
        Optional(" code=", end.close_code()),
        Optional(" detail=", detail),
        age.as_secs_f64(),
        Optional(" notes_left_out=", left_out),
    );
}

/// A connection that was refused without becoming a peer.
pub(crate) fn turned_away(address: SocketAddr, cause: &dyn Display) {
    let (reason, (status, _)) = (HandshakeError::Overloaded.word(), HandshakeError::Overloaded.status());
    log::info!("refused id=- addr={address} reason={reason} status={status} detail=\"{cause}\"");
}

pub(crate) fn note(id: ConnId, address: SocketAddr, what: &str, detail: &dyn Display, left_out: u64) {
    let left_out = Some(left_out).filter(|&count| count > 0);
    let detail = detail.to_string();
    log::warn!("{what} id={id} addr={address} detail=\"{}\"{}", Escaped(&detail), Optional(" left_out=", left_out));
}

/// Keeps the notes about one peer to one a while.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    last: Option<Instant>,
    left_out: u64,
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
