//! H: the opening handshake, before anybody is trusted.

mod grammar;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::protocol::handshake::fields::{has_token, parse_extensions, parse_subprotocols};
use frameloop::protocol::limits::{HEAD_BYTES_MAX, HEADER_COUNT_MAX};
use frameloop::protocol::{Commons, Connection, Event, HandshakeError, Input, Limits, State};
use frameloop::server::Config;
use serde_json::Value;

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running, config};
use crate::memory::{Alone, MIB};
use crate::wire::{CONTINUATION, FIN, REQUEST_HEAD, TEXT, client_frame, server_response};

/// Limits in which a refusal comes from what was sent, and not from a time that is over.
fn patient() -> Limits {
    Limits { handshake_timeout: NEVER, close_timeout: NEVER, ..Limits::default() }
}

fn expect_alive(server: &Running) {
    let mut client = Client::open(server.address());
    client.exchange("and the next client is served");
    client.leave();
}

/// The client gets one response with this status and a body with this word, and then the end.
fn expect_refusal(client: &mut Client, status: u16, word: &str, what: &str) {
    let head = client.response_head();
    let body = client.rest();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "one response and no more: {what}");
    assert!(
        head.contains("\r\nConnection: close\r\n") || head.contains("\r\nConnection: Upgrade, close\r\n"),
        "{head}"
    );
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["error"], word, "{what}");
}

/// The answer to a request on a connection of its own.
fn refused(server: &Running, request: &[u8], status: u16, word: &str) {
    let mut client = Client::connect(server.address());
    client.write(request);
    expect_refusal(&mut client, status, word, &request.escape_ascii().to_string());
}

fn accepted(server: &Running, request: &[u8]) {
    let mut client = Client::connect(server.address());
    client.write(request);
    let head = client.response_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{}: {head}", request.escape_ascii());
    client.exchange("in");
    client.leave();
}

/// The request with a part of it replaced.
fn request(from: &str, to: impl AsRef<[u8]>) -> Vec<u8> {
    let start = REQUEST_HEAD.windows(from.len()).position(|part| part == from.as_bytes()).expect("the head has it");
    [&REQUEST_HEAD[..start], to.as_ref(), &REQUEST_HEAD[start + from.len()..]].concat()
}

/// The request with further lines.
fn with_lines(lines: impl AsRef<[u8]>) -> Vec<u8> {
    request("Host: localhost\r\n", [b"Host: localhost\r\n", lines.as_ref()].concat())
}

// ---- H1, H2, H3: work and memory

#[test]
fn h1_an_endless_head_is_refused_by_the_first_read_past_the_limit() {
    let server = Running::echo(patient());
    let longest = HEAD_BYTES_MAX - REQUEST_HEAD.len() - "Cookie: \r\n".len();
    accepted(&server, &with_lines(format!("Cookie: {}\r\n", "x".repeat(longest))));
    // Not a byte follows the one at the limit: the server waits for nothing.
    for start in
        ["x", "GET /", "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ", "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade"]
    {
        let mut head = start.as_bytes().to_vec();
        head.resize(HEAD_BYTES_MAX, b'x');
        for cut in [0, start.len(), HEAD_BYTES_MAX - 1] {
            let mut client = Client::connect(server.address());
            client.write(&head[..cut]);
            client.write(&head[cut..]);
            expect_refusal(&mut client, 431, "head_too_large", start);
        }
    }
    expect_alive(&server);
}

#[test]
fn h1_of_a_head_of_64_mebibytes_nothing_is_kept() {
    let mut server = Alone::start(&["echo", "--close-timeout", "1m", "--handshake-timeout", "1m"]);
    let before = server.resident_bytes_peak();
    let mut client = Client::connect(server.address());
    client.write(b"GET / HTTP/1.1\r\nCookie: ");
    for _ in 0..64 {
        client.write(&vec![b'x'; MIB]);
    }
    expect_refusal(&mut client, 431, "head_too_large", "64 MiB");
    let grown = server.resident_bytes_peak().saturating_sub(before);
    assert!(grown < MIB, "{grown} bytes");
    server.expect_alive();
}

#[test]
fn h1_a_head_that_comes_byte_by_byte_costs_linear_time() {
    // Were a head scanned anew for each byte, a thousand of them would be 134 thousand million bytes.
    let mut head = b"GET / HTTP/1.1\r\nCookie: ".to_vec();
    head.resize(HEAD_BYTES_MAX, b'x');
    let (start, commons) = (Instant::now(), Commons::new(patient()));
    for _ in 0..1000 {
        let mut connection = Connection::new(commons.clone(), start);
        for &byte in &head {
            assert_eq!(connection.state(), State::Connecting);
            assert!(connection.poll_event(&mut Input::new(&mut [byte]), start).is_none());
        }
        assert_eq!(connection.state(), State::Closed);
        assert!(start.elapsed() < DEADLINE);
    }
}

#[test]
fn h2_thousands_of_headers_are_refused_wherever_the_important_ones_stand() {
    let server = Running::echo(patient());
    // 5 are the request's own.
    accepted(&server, &with_lines("a: b\r\n".repeat(HEADER_COUNT_MAX - 5)));
    for many in [
        "a: b\r\n".repeat(HEADER_COUNT_MAX - 4),
        "a:\r\n".repeat(4000),
        (0..1500).map(|i| format!("h{i}:\r\n")).collect(),
        "Host: localhost\r\n".repeat(900),
        "Upgrade: websocket\r\n".repeat(700),
        "__proto__:\r\n".repeat(1000),
    ] {
        assert!(REQUEST_HEAD.len() + many.len() < HEAD_BYTES_MAX, "the number is what is too much");
        refused(&server, &with_lines(&many), 431, "too_many_headers");
        refused(
            &server,
            &request("GET /c HTTP/1.1\r\n", format!("GET /c HTTP/1.1\r\n{many}")),
            431,
            "too_many_headers",
        );
        let others_only = [b"GET / HTTP/1.1\r\n", many.as_bytes(), b"a:\r\na:\r\na:\r\na:\r\na:\r\n\r\n"].concat();
        refused(&server, &others_only, 431, "too_many_headers");
    }
    expect_alive(&server);
}

/// A value on which others' expressions took quadratic or exponential time: its start, the part of it that can be
/// repeated, its end; and whether it is then a list of extensions (§9.1), and one of subprotocols (§4.1).
type LongList = (&'static str, &'static str, &'static str, bool, bool);

const LONG_LISTS: [LongList; 13] = [
    ("a;b=\"", "\\", "", false, false),   // an escape that is no token
    ("a;b=\"", "\\c", "", false, false),  // a quote that does not end
    ("a;b=\"", "\\c", "\"", true, false), // one that does
    ("a", ";b", "", true, false),         // many parameters
    ("a", ";b=c", ";", false, false),     // one of which is empty
    ("a", " ", "b", false, false),        // no comma
    ("a;", " ", "b=", false, false),      // no value
    ("", ",", "a", true, true),           // many elements that are empty, and one that is not
    ("a", " ,", "b", true, true),         // the same between two
    ("", ", ", "", false, false),         // not one element
    ("", "a,", "", true, false),          // one subprotocol, many times
    ("chat", ", chat", "s", true, false), // the same, and another
    ("x, ", "constructor;__proto__=toString,", "x", true, false),
];

/// As many names as go into so many bytes, each of them once.
fn names(length: usize) -> String {
    let mut names = String::with_capacity(length);
    for name in (0..).map(|i| format!("{i},")) {
        if names.len() + name.len() > length {
            break;
        }
        names.push_str(&name);
    }
    names
}

#[test]
fn h3_lists_that_broke_others_cost_linear_time() {
    // At last each is 32 times as long as a head may be. Linear time is a fraction of a second, quadratic time would be
    // 10^11 steps; that it is told in time is why they become longer little by little.
    let start = Instant::now();
    for length in (14..=19).map(|shift| 1 << shift) {
        for (head, repeated, tail, is_of_extensions, is_of_subprotocols) in LONG_LISTS {
            let value = [head, &repeated.repeat(length / repeated.len()), tail].concat();
            let case = format!("{length} bytes of {head}{repeated}…{tail}");
            assert_eq!(parse_extensions([value.as_bytes()]).is_some(), is_of_extensions, "{case}");
            assert_eq!(parse_subprotocols([value.as_bytes()]).is_some(), is_of_subprotocols, "{case}");
            assert!(!has_token(value.as_bytes(), "websocket"), "{case}");
            assert!(start.elapsed() < DEADLINE, "{case}");
        }
    }
}

#[test]
fn h3_that_no_subprotocol_is_there_twice_is_not_told_in_quadratic_time() {
    // At last there are 150 thousand of them: 10^10 comparisons, if each were compared with each.
    let start = Instant::now();
    for length in (14..=20).map(|shift| 1 << shift) {
        let names = names(length);
        let count = names.matches(',').count();
        assert_eq!(parse_subprotocols([names.as_bytes()]).map(|names| names.len()), Some(count));
        assert_eq!(parse_subprotocols([names.as_bytes(), b"0"]), None, "the first once more");
        assert!(start.elapsed() < DEADLINE, "{count} names");
    }
}

#[test]
fn h3_lists_that_broke_others_are_answered() {
    let server = Running::echo(patient());
    for (head, repeated, tail, is_of_extensions, is_of_subprotocols) in LONG_LISTS {
        let value = [head, &repeated.repeat(15 * 1024 / repeated.len()), tail].concat();
        let request = with_lines(format!("Sec-WebSocket-Extensions: {value}\r\n"));
        if is_of_extensions {
            accepted(&server, &request);
        } else {
            refused(&server, &request, 400, "bad_extensions");
        }
        for name in ["Upgrade", "Connection"] {
            accepted(&server, &with_lines(format!("{name}: {value}\r\n")));
        }
        let request = with_lines(format!("Sec-WebSocket-Protocol: {value}\r\n"));
        if is_of_subprotocols {
            accepted(&server, &request);
        } else {
            refused(&server, &request, 400, "bad_subprotocols");
        }
    }
    let names = names(15 * 1024);
    accepted(&server, &with_lines(format!("Sec-WebSocket-Protocol: {names}\r\n")));
    let request = with_lines(format!("Sec-WebSocket-Protocol: {names}\r\nSec-WebSocket-Protocol: 0\r\n"));
    refused(&server, &request, 400, "bad_subprotocols");
    // Names that are special elsewhere are names here.
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty"] {
        accepted(&server, &with_lines(format!("Sec-WebSocket-Extensions: {name}; {name}={name}, {name}\r\n")));
        accepted(&server, &with_lines(format!("Sec-WebSocket-Protocol: {name}\r\n{name}: {name}\r\n")));
    }
    expect_alive(&server);
}

// ---- H4: time

#[test]
fn h4_a_byte_now_and_then_does_not_prolong_the_time_for_the_handshake() {
    let limits = Limits { handshake_timeout: Duration::from_millis(400), close_timeout: NEVER, ..Limits::default() };
    let server = Running::echo(limits.clone());
    let start = Instant::now();
    let mut client = Client::connect(server.address());
    // Up to the limit on a head it would take more than 5 minutes.
    let mut bytes = b"GET / HTTP/1.1\r\nCookie: ".iter().copied().chain(std::iter::repeat(b'x'));
    loop {
        client.write(&[bytes.next().unwrap()]);
        match client.fill(Duration::from_millis(20)) {
            Ok(count) => break assert!(count > 0, "told before the end"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(start.elapsed() < DEADLINE, "not cut in time");
    }
    assert!(start.elapsed() >= limits.handshake_timeout);
    expect_refusal(&mut client, 408, "handshake_timeout", "a byte now and then");
    expect_alive(&server);
}

#[test]
fn h4_silence_is_cut_at_the_end_of_the_time_and_who_is_open_is_not() {
    let limits = Limits { handshake_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = Running::echo(limits.clone());
    let start = Instant::now();
    let mut open = Client::open(server.address());
    let mut silent = Client::connect(server.address());
    let mut half = Client::connect(server.address());
    half.write(&REQUEST_HEAD[..REQUEST_HEAD.len() - 1]);
    expect_refusal(&mut silent, 408, "handshake_timeout", "silence");
    assert!(start.elapsed() >= limits.handshake_timeout);
    expect_refusal(&mut half, 408, "handshake_timeout", "half a head");
    open.exchange("still there");
    open.leave();
}

// ---- H11: what goes back

#[test]
fn h11_no_byte_of_a_client_comes_back_in_a_response() {
    let subprotocols = vec!["chat".to_owned()];
    let server = Running::start(Config { subprotocols, ..config(patient()) }, Echo);
    let plain = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (offer, selected) in [
        ("chat%0d%0aX-Evil", ""),
        ("evil, chat, more.evil", "Sec-WebSocket-Protocol: chat\r\n"),
        ("chat\r\nSec-WebSocket-Protocol: evil", "Sec-WebSocket-Protocol: chat\r\n"),
        ("CHAT", ""),
        ("chat.evil", ""),
    ] {
        let evil = format!(
            "Origin: http://evil.localhost\r\nX-Evil: evil\r\nSec-WebSocket-Extensions: evil\r\nSec-WebSocket-Protocol: {offer}\r\n"
        );
        let mut client = Client::connect(server.address());
        client.write(&with_lines(evil));
        assert_eq!(client.response_head(), format!("{plain}{selected}\r\n"), "{offer}");
        client.leave();
    }
    // A bare CR or LF is no way either; and a refusal says what was wrong, not what was said.
    for refused in [
        with_lines("Sec-WebSocket-Protocol: chat\rX-Evil: 1\r\n"),
        with_lines("Sec-WebSocket-Protocol: chat\nX-Evil: 1\r\n"),
        with_lines("Sec-WebSocket-Protocol: chat evil\r\n"),
        with_lines("Sec-WebSocket-Extensions: evil;\r\n"),
        with_lines("Evil\r\n"),
        with_lines("Origin: http://evil\r\n"),
        with_lines("X: \x1bevil\r\n"),
        request("GET", "EVIL"),
        request("GET", "<evil>"),
        request("/c", "evil"),
        request("HTTP/1.1", "EVIL/1.1"),
        request("Host: localhost", "Host: evil,evil"),
        request("Upgrade: websocket", "Upgrade: evil"),
        request("Connection: Upgrade", "Connection: evil"),
        request("Version: 13", "Version: evil"),
        request("dGhl", "evil!"),
    ] {
        let mut client = Client::connect(server.address());
        client.write(&refused);
        let response = client.rest();
        assert!((400..500).contains(&server_response(&response).0), "{}", refused.escape_ascii());
        assert!(!response.to_ascii_lowercase().windows(4).any(|part| part == b"evil"), "{}", response.escape_ascii());
    }
    expect_alive(&server);
}

// ---- H13: segments

// ---- H12: pages of other sites

#[test]
fn h12_a_page_of_another_site_gets_no_connection_to_a_server_on_this_machine() {
    let server = Running::echo(patient());
    for origin in [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example:8765",
        "null",
        "file://",
        "http://localhost\r\nOrigin: https://evil.example",
    ] {
        refused(&server, &with_lines(format!("Origin: {origin}\r\n")), 403, "origin_not_allowed");
    }
    accepted(&server, &with_lines("Origin: http://localhost:3000\r\n"));
    accepted(&server, REQUEST_HEAD); // a program, which is on this machine already
    expect_alive(&server);
}

#[test]
fn h12_a_name_of_the_attackers_that_leads_to_this_machine_opens_nothing() {
    let server = Running::hub(patient());
    for host in ["evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0"] {
        // For the browser the page and the server are of one host now.
        let lines = format!("Host: {host}\r\nOrigin: http://{host}\r\n");
        refused(&server, &request("Host: localhost\r\n", lines), 403, "host_not_allowed");
        refused(&server, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), 403, "host_not_allowed");
        // Nobody has said that there is a proxy to believe.
        let lines = format!("Host: {host}\r\nX-Forwarded-Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n");
        refused(&server, &request("Host: localhost\r\n", lines), 403, "host_not_allowed");
    }
    Client::open(server.address()).leave();
}

#[test]
fn h13_a_head_that_comes_byte_by_byte_is_accepted() {
    let server = Running::echo(patient());
    let mut client = Client::connect(server.address());
    for byte in REQUEST_HEAD {
        client.write(&[*byte]); // each in a segment of its own, since Nagle's algorithm is off
    }
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
    client.exchange("hello");
    client.leave();
}

#[test]
fn h13_frames_may_come_in_the_segment_of_the_head() {
    let server = Running::echo(patient());
    let frames = [
        client_frame(FIN | TEXT, b"first"),
        client_frame(TEXT, b"sec"),
        client_frame(FIN | CONTINUATION, b"ond"),
        client_frame(FIN | TEXT, b"third"),
    ]
    .concat();
    let bytes = [REQUEST_HEAD, &frames].concat();
    // All at once, and cut in the last line of the head, at its end, inside a header and inside a payload.
    for cut in [0, REQUEST_HEAD.len() - 1, REQUEST_HEAD.len(), REQUEST_HEAD.len() + 1, bytes.len() - 2] {
        let mut client = Client::connect(server.address());
        client.write(&bytes[..cut]);
        client.write(&bytes[cut..]);
        assert!(client.response_head().starts_with("HTTP/1.1 101 "));
        for text in ["first", "second", "third"] {
            assert_eq!(client.text(), text, "cut at {cut}");
        }
        client.leave();
    }
}

// ---- H15: what is not there

#[test]
fn h15_a_request_without_any_of_its_headers_is_refused() {
    let server = Running::echo(patient());
    let lines: Vec<&str> = str::from_utf8(REQUEST_HEAD).unwrap().trim_end().split("\r\n").collect();
    let (first, fields) = lines.split_first().unwrap();
    // Each field is there, not there, or there without a value.
    for variant in 0..3_usize.pow(fields.len() as u32) {
        let forms = (0..fields.len() as u32).map(|i| variant / 3_usize.pow(i) % 3);
        let kept = fields.iter().zip(forms).map(|(field, form)| match form {
            0 => format!("{field}\r\n"),
            1 => String::new(),
            _ => format!("{}:\r\n", field.split_once(':').unwrap().0),
        });
        let request = format!("{first}\r\n{}\r\n", kept.collect::<String>());
        let mut client = Client::connect(server.address());
        client.write(request.as_bytes());
        client.shutdown_write();
        let (status, _) = server_response(&client.rest());
        let expected = if variant == 0 { 101..=101 } else { 400..=426 };
        assert!(expected.contains(&status), "{status}: {request}");
    }
    for request in
        ["\r\n\r\n", " ", "\0", "GET", "GET / HTTP/1.1\r\n\r\n", "/ / /\r\n\r\n", "  \r\n:\r\n\r\n", ":\r\n\r\n"]
    {
        let mut client = Client::connect(server.address());
        client.write(request.as_bytes());
        client.shutdown_write();
        assert!(!client.rest().starts_with(b"HTTP/1.1 101"), "{request:?}");
    }
    expect_alive(&server);
}

#[test]
fn h15_no_mutation_of_a_request_makes_a_panic() {
    let extensions = "Sec-WebSocket-Extensions: a; b=\"c\\d\", e\r\nSec-WebSocket-Protocol: chat, x\r\nOrigin: o\r\n";
    let (original, parts) =
        (with_lines(extensions), [&b"\r\n"[..], b":", b" ", b",", b";", b"\"", b"\\", b"\xff", b"[", b"="]);
    let mut random = 0x5eed_u32;
    let mut below = |end: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); // Numerical Recipes; its high bits
        (random >> 8) as usize % end
    };
    let (now, commons) = (Instant::now(), Commons::new(patient()));
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..30_000 {
        let mut head = original.clone();
        for _ in 0..1 + below(4) {
            let (at, part) = (below(head.len()), parts[below(parts.len())]);
            match below(4) {
                0 => head[at] ^= 1 << below(8),
                1 => drop(head.drain(at..(at + below(20)).min(head.len()))),
                2 => drop(head.splice(at..at, part.iter().copied())),
                _ => head.extend_from_within(at..),
            }
        }
        let mut connection = Connection::new(commons.clone(), now);
        let mut input = Input::new(&mut head);
        while let Some(event) = connection.poll_event(&mut input, now) {
            let request = match event {
                Event::Request(request) => request,
                Event::Document(request) => {
                    assert!(request.path().starts_with('/'), "{request:?}");
                    connection.answer(&request, Err(HandshakeError::NotAnUpgrade), now);
                    continue;
                }
                Event::Message(_) => continue,
            };
            let lists = (request.target(), request.subprotocols(), request.extensions(), request.header("origin"));
            assert!(lists.0.starts_with(['/', 'h', 'w']), "{lists:?}");
            connection.accept(&request, request.select_subprotocol(&["chat"]), now);
            opened += 1;
        }
        refused += usize::from(connection.state() == State::Closed);
        connection.receive_eof(now);
    }
    assert!(opened > 1000 && refused > 1000, "{opened} opened, {refused} refused: both ways are taken");
}
