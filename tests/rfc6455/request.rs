//! Request heads with a line changed, and their answers, for §4 and §9.

use std::time::Instant;

use frameloop::protocol::{
    Commons, Compression, Connection, End, Event, HandshakeError, Input, Limits, Request, State,
};

use crate::wire::{FIN, REQUEST_HEAD, TEXT, client_frame, server_response};

/// The head that keeps all rules with the line of this header field replaced by others, each with its CRLF; none
/// removes it. The first line goes by the name `GET`.
pub(crate) fn with(name: &str, lines: &str) -> Vec<u8> {
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
    let start = if name == "GET" { 0 } else { head.find(&format!("\r\n{name}: ")).expect("it has the line") + 2 };
    let end = start + head[start..].find("\r\n").expect("a line ends") + 2;
    [&head[..start], lines, &head[end..]].concat().into_bytes()
}

/// The same head with lines added before its end.
pub(crate) fn and(lines: &str) -> Vec<u8> {
    [&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], lines.as_bytes(), b"\r\n"].concat()
}

/// What a server that speaks some subprotocols makes of a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The lines of the response, without the empty one.
    pub(crate) lines: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) connection: Connection,
    /// The request, if it keeps all rules.
    pub(crate) request: Option<Request>,
}

impl Answer {
    pub(crate) fn to(head: &[u8], subprotocols: &[&str]) -> Answer {
        Answer::with(Compression::Off, head, subprotocols)
    }

    /// The same of a server that compresses, or does not.
    pub(crate) fn with(compression: Compression, head: &[u8], subprotocols: &[&str]) -> Answer {
        let now = Instant::now();
        let mut connection = Connection::new(Commons::with_compression(Limits::default(), compression), now);
        let mut bytes = head.to_vec();
        let mut input = Input::new(&mut bytes);
        let mut accepted = None;
        while let Some(event) = connection.poll_event(&mut input, now) {
            let request = match event {
                Event::Request(request) => request,
                Event::Document(request) => {
                    connection.answer(&request, Err(HandshakeError::NotAnUpgrade), now);
                    continue;
                }
                Event::Message(_) => panic!("a message without a frame"),
            };
            connection.accept(&request, request.select_subprotocol(subprotocols), now);
            accepted = Some(request);
        }
        assert!(input.is_empty(), "when no event is left, all bytes are taken");
        Answer::of(connection, accepted)
    }

    /// What waits for the socket of a connection that answered.
    pub(crate) fn of(connection: Connection, request: Option<Request>) -> Answer {
        let response = connection.outgoing().collect::<Vec<_>>().concat();
        let (status, body) = server_response(&response);
        let (head, body) = (&response[..response.len() - body.len()], body.to_vec());
        let lines = std::str::from_utf8(head).expect("ASCII").trim_end().split("\r\n").map(str::to_owned).collect();
        Answer { status, lines, body, connection, request }
    }

    /// The values of a header field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.lines[1..].iter().map(|line| line.split_once(": ").expect("a header field"));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// The request is accepted by a server that speaks no subprotocol.
#[track_caller]
pub(crate) fn accepted(head: &[u8]) -> Request {
    let answer = Answer::to(head, &[]);
    assert_eq!(answer.status, 101, "{}", head.escape_ascii());
    assert_eq!(answer.connection.state(), State::Open, "{}", head.escape_ascii());
    answer.request.expect("an event for the request")
}

/// §4.2.1: the request gets an HTTP response with this status, and what follows it, a whole handshake and a message, is
/// not processed.
#[track_caller]
pub(crate) fn refused(head: &[u8], error: HandshakeError, status: u16) -> Answer {
    let case = head.escape_ascii();
    let bytes = [head, REQUEST_HEAD, &client_frame(FIN | TEXT, b"late")].concat();
    let answer = Answer::to(&bytes, &[]);
    assert_eq!(answer.connection.end(), Some(&End::Refused(error)), "{case}");
    assert_eq!(answer.connection.state(), State::Closed, "{case}");
    assert!(answer.request.is_none(), "{case}");
    assert_eq!(answer.status, status, "{case}");
    assert_eq!(answer.values("Content-Length"), [answer.body.len().to_string()], "one response and no more: {case}");
    answer
}
