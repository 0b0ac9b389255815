//! §4.1: the client's opening handshake, from the first packet to the answer of the server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};

use frameloop::protocol::handshake::accept_value;
use frameloop::protocol::handshake::fields::has_token;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::client::connect;
use super::compressed::{OFFER, check_answer};
use super::frames::{Random, handshake_key};
use super::target::Target;

/// A connection that is not open yet.
#[derive(Debug)]
pub(crate) struct Opening {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    accept: [u8; 28],
    subprotocol: Option<&'static str>,
    is_compressed: bool,
    response: Vec<u8>,
    /// When it began, or was due to begin; in ns of the run's clock.
    pub(crate) started: u64,
}

impl Opening {
    /// Begins to connect, and registers the socket once and for all.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn start(
        way: &Way<'_>,
        registry: &Registry,
        token: usize,
        source: Option<IpAddr>,
        random: &mut Random,
        now: u64,
    ) -> Result<Opening, String> {
        let key = handshake_key(random)?;
        let mut stream = connect(way.address, source).map_err(|error| format!("connect: {error}"))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(token), interest).map_err(|error| format!("epoll: {error}"))?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{}{}\r\n",
            way.target.path,
            way.target.authority,
            way.subprotocol.map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n")),
            if way.is_compressed { format!("Sec-WebSocket-Extensions: {OFFER}\r\n") } else { String::new() }
        );
        let accept = accept_value(key.as_bytes());
        let Way { subprotocol, is_compressed, .. } = *way;
        let (request, response) = (request.into_bytes(), Vec::new());
        Ok(Opening { stream, request, sent: 0, accept, subprotocol, is_compressed, response, started: now })
    }

    /// Goes on after an event. Once the connection is open: what came behind the response.
    ///
    /// # Errors
    /// The server cannot be reached, or did not open the connection.
    pub(crate) fn go_on(&mut self, buffer: &mut [u8]) -> Result<Option<Vec<u8>>, String> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(None);
                }
                Err(error) => return Err(format!("connect: {error}")),
            }
        }
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Err("the server ended the connection in the handshake".to_owned()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("handshake: {error}")),
            };
            self.response.extend_from_slice(&buffer[..len]);
            let asked = (self.subprotocol, self.is_compressed);
            if let Some(head_end) = check_response(&self.response, &self.accept, asked)? {
                return Ok(Some(self.response.split_off(head_end)));
            }
        }
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Where to connect to, and what to ask there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'t> {
    pub(crate) address: SocketAddr,
    pub(crate) target: &'t Target,
    /// The one that is offered, and that the server has to accept.
    pub(crate) subprotocol: Option<&'static str>,
    /// Whether [`OFFER`] is offered, and has to be accepted.
    pub(crate) is_compressed: bool,
}

/// The end of the response's head, if it is there and opens the connection with the subprotocol and the compression that were
/// asked for.
fn check_response(
    response: &[u8],
    accept: &[u8],
    (subprotocol, is_compressed): (Option<&'static str>, bool),
) -> Result<Option<usize>, String> {
    let mut storage = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut storage);
    let head_end = match head.parse(response) {
        Ok(httparse::Status::Complete(head_end)) => head_end,
        Ok(httparse::Status::Partial) if response.len() <= HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the response to the handshake is too long".to_owned()),
        Err(error) => return Err(format!("the response to the handshake is no HTTP: {error}")),
    };
    let values = |name: &'static str| head.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    let code = head.code.unwrap_or_default();
    if code != 101 {
        let body = String::from_utf8_lossy(&response[head_end..]);
        let reason = head.reason.unwrap_or_default();
        return Err(format!("the server answered {code} {reason} {}", body.trim()).trim_end().to_owned());
    }
    if !values("upgrade").any(|field| has_token(field.value, "websocket")) {
        return Err("the response lacks `Upgrade: websocket`".to_owned()); // §4.1 item 2
    }
    if !values("connection").any(|field| has_token(field.value, "upgrade")) {
        return Err("the response lacks `Connection: Upgrade`".to_owned()); // §4.1 item 3
    }
    let mut accepts = values("sec-websocket-accept");
    if accepts.next().is_none_or(|field| field.value != accept) || accepts.next().is_some() {
        return Err("Sec-WebSocket-Accept in the response is wrong".to_owned()); // §4.1 item 4
    }
    let mut accepted = values("sec-websocket-protocol").map(|field| field.value);
    let wrong = match subprotocol {
        Some(name) if accepted.next() == Some(name.as_bytes()) && accepted.next().is_none() => None,
        // §4.1 item 6 allows it, but without it there is nothing to measure.
        Some(name) => return Err(format!("the server does not speak the subprotocol {name}")),
        None => accepted.next().map(|_| "sec-websocket-protocol"), // §4.1 item 6
    };
    let mut extensions = values("sec-websocket-extensions").map(|field| field.value);
    let wrong = match is_compressed {
        true => check_answer(extensions).map(|()| wrong)?,
        false => wrong.or(extensions.next().map(|_| "sec-websocket-extensions")),
    };
    if let Some(name) = wrong {
        return Err(format!("the response has {name}, which was not asked for")); // §4.1 items 5 and 6
    }
    Ok(Some(head_end))
}

const HEAD_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const FIELDS: &str = "upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n";

    fn check(response: &str) -> Result<Option<usize>, String> {
        check_response(response.as_bytes(), ACCEPT.as_bytes(), (None, false))
    }

    #[test]
    fn a_response_that_opens_the_connection_ends_before_the_first_frame() {
        let head = format!("HTTP/1.1 101 Go\r\n{FIELDS}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        assert_eq!(check(&format!("{head}\u{1}\u{1}x")), Ok(Some(head.len())));
        for cut in 0..head.len() {
            assert_eq!(check(&head[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn a_subprotocol_that_was_offered_must_be_accepted_once_and_as_it_is() {
        let check = |fields: &str| {
            let head = format!("HTTP/1.1 101 Go\r\n{FIELDS}Sec-WebSocket-Accept: {ACCEPT}\r\n{fields}\r\n");
            check_response(head.as_bytes(), ACCEPT.as_bytes(), (Some("a.v1"), false)).map(|end| end == Some(head.len()))
        };
        let line = |name: &str| format!("Sec-WebSocket-Protocol: {name}\r\n");
        assert_eq!(check(&line("a.v1")), Ok(true));
        for fields in [String::new(), line("a.v2"), line("a.v1, a.v2"), line("a.v1") + &line("a.v1")] {
            assert!(check(&fields).is_err_and(|error| error.contains("subprotocol a.v1")), "{fields}");
        }
    }

    #[test]
    fn a_response_that_does_not_open_it_is_refused_with_the_reason() {
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT}\r\n");
        for (response, names) in [
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"error\":1}\n".to_owned(),
                "503 Service Unavailable {\"error\":1}",
            ),
            ("SSH-2.0-OpenSSH_9\r\n".to_owned(), "no HTTP"),
            (format!("HTTP/1.1 101 Go\r\n{FIELDS}\r\n"), "Accept"),
            (format!("HTTP/1.1 101 Go\r\n{FIELDS}Sec-WebSocket-Accept: {}\r\n\r\n", "A".repeat(28)), "Accept"),
            (format!("HTTP/1.1 101 Go\r\n{FIELDS}{accept}{accept}\r\n"), "Accept"),
            (format!("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n{accept}\r\n"), "Connection"),
            (format!("HTTP/1.1 101 Go\r\nConnection: upgrade\r\n{accept}\r\n"), "Upgrade"),
            (format!("HTTP/1.1 101 Go\r\n{FIELDS}{accept}Sec-WebSocket-Protocol: x\r\n\r\n"), "not asked for"),
            (
                format!("HTTP/1.1 101 Go\r\n{FIELDS}{accept}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
                "not asked for",
            ),
            (format!("HTTP/1.1 101 Go\r\nX: {}", "y".repeat(HEAD_BYTES_MAX)), "too long"),
        ] {
            let error = check(&response).unwrap_err();
            assert!(error.contains(names), "{response}: {error}");
        }
    }
}
