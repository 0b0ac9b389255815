//! Requests for documents: the answer, and how long a client may take for it.

use frameloop::protocol::{Document, DocumentRequest, End, Event, HandshakeError, Input, Limits, State};

use crate::driver::{Link, seconds};

const GET: &[u8] = b"GET /page?x HTTP/1.1\r\nHost: h\r\n\r\n";

/// A connection whose client has asked for a document.
fn asked(request: &[u8]) -> (Link, DocumentRequest) {
    let mut link = Link::connecting(Limits::default());
    let mut bytes = request.to_vec();
    let mut input = Input::new(&mut bytes);
    let Some(Event::Document(request)) = link.connection.poll_event(&mut input, link.now) else {
        panic!("it asks for a document")
    };
    assert!(link.connection.poll_event(&mut input, link.now).is_none(), "until the answer nothing follows");
    (link, request)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_document_is_one_response_and_the_end() {
    let (mut link, request) = asked(GET);
    assert_eq!(request.path(), "/page");
    link.connection.answer(&request, Ok(&Document::new("text/plain", b"hello".to_vec())), link.now);
    assert_eq!((link.connection.state(), link.connection.end()), (State::Closed, Some(&End::Answered)));
    let response = link.take(usize::MAX);
    assert!(text(&response).starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{}", text(&response));
    assert!(text(&response).ends_with("\r\nContent-Length: 5\r\n\r\nhello"));
    // A second request behind the first is not looked at, and the client ends its side.
    assert!(link.receive(GET).is_empty());
    assert_eq!(link.waiting(), b"");
    link.connection.receive_eof(link.now);
    assert!(link.connection.is_done());
}

#[test]
fn head_gets_the_head_only() {
    let document = Document::new("text/plain", b"hello".to_vec());
    for (answer, status) in [(Ok(&document), "200 OK"), (Err(HandshakeError::NotFound), "404 Not Found")] {
        let (mut link, request) = asked(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        link.connection.answer(&request, answer, link.now);
        let response = link.take(usize::MAX);
        assert!(text(&response).starts_with(&format!("HTTP/1.1 {status}\r\n")) && response.ends_with(b"\r\n\r\n"));
        assert!(text(&response).contains("\r\nContent-Length: ") && !text(&response).contains("Content-Length: 0"));
    }
}

#[test]
fn a_refusal_says_what_is_not_there() {
    let (mut link, request) = asked(GET);
    link.connection.answer(&request, Err(HandshakeError::NotFound), link.now);
    assert_eq!(link.connection.end(), Some(&End::Refused(HandshakeError::NotFound)));
    let response = link.take(usize::MAX);
    assert!(text(&response).ends_with("{\"error\":\"not_found\",\"message\":\"there is nothing at this path\"}\n"));
}

#[test]
fn whoever_goes_on_taking_a_document_has_time_and_whoever_stops_has_not() {
    let (mut link, request) = asked(GET);
    let document = Document::new("text/plain", vec![b'x'; 100_000]);
    link.connection.answer(&request, Ok(&document), link.now);
    let close_timeout = Limits::default().close_timeout;
    for _ in 0..10 {
        assert_eq!(link.take(5_000).len(), 5_000);
        link.advance(close_timeout - seconds(1));
    }
    assert!(!link.connection.is_done() && link.connection.queued_bytes() > 50_000);
    link.connection.sent(0, link.now); // the socket takes nothing
    link.advance(close_timeout);
    link.advance(close_timeout);
    assert!(link.connection.is_done(), "after the time without a byte");
}

#[test]
fn documents_are_shared_and_not_copied() {
    let document = Document::new("text/plain", vec![b'x'; 1_000_000]);
    let (mut link, request) = asked(GET);
    link.connection.answer(&request, Ok(&document), link.now);
    assert!(link.connection.queued_bytes() > 1_000_000 && link.connection.held_bytes() < 2_000);
    assert!(link.connection.outgoing().any(|slice| std::ptr::eq(slice, document.body())));
}

#[test]
#[should_panic(expected = "no request waits")]
fn to_answer_twice_is_a_bug_of_the_caller() {
    let (mut link, request) = asked(GET);
    link.connection.answer(&request, Err(HandshakeError::NotFound), link.now);
    link.connection.answer(&request, Err(HandshakeError::NotFound), link.now);
}
