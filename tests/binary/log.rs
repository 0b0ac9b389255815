//! The log: exactly one line for each connection opened, closed and refused, with numbers that are right, and nothing
//! in it that a peer could forge.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Child, PATIENCE, start};
use crate::raw::Raw;
use crate::wire::{BINARY, FIN, REQUEST_HEAD, client_frame, close_payload, server_response};

/// A line of the log taken apart: `opened id=1 addr=127.0.0.1:1 target="/c"`.
#[derive(Debug)]
struct Entry {
    level: String,
    what: String,
    fields: BTreeMap<String, String>,
}

impl Entry {
    /// Takes a line apart; every byte of it must fit the grammar.
    fn parse(line: &str) -> Entry {
        assert!(!line.chars().any(char::is_control), "a control character: {line:?}");
        let (level, rest) = line.split_once(" [frameloop] ").unwrap_or_else(|| panic!("no level: {line:?}"));
        let (time, mut rest) = rest.split_once(' ').unwrap_or_else(|| panic!("no time: {line:?}"));
        assert!(time.len() == 24 && time.ends_with('Z'), "the time in RFC 3339, with milliseconds: {line:?}");
        let first_field = rest.find('=').map_or(rest.len(), |equals| rest[..equals].rfind(' ').unwrap());
        let what = rest[..first_field].to_owned();
        rest = &rest[first_field..];
        let mut fields = BTreeMap::new();
        while let Some(field) = rest.strip_prefix(' ') {
            let (name, value) = field.split_once('=').unwrap_or_else(|| panic!("no field {field:?}: {line:?}"));
            let end = match value.strip_prefix('"') {
                Some(quoted) => 2 + quoted_len(quoted).unwrap_or_else(|| panic!("a quote does not end: {line:?}")),
                None => value.find(' ').unwrap_or(value.len()),
            };
            assert_eq!(fields.insert(name.to_owned(), value[..end].to_owned()), None, "{name} stands twice: {line:?}");
            rest = &value[end..];
        }
        assert_eq!(rest, "", "the end of {line:?}");
        Entry { level: level.trim_end().to_owned(), what, fields }
    }

    fn text(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("{name} is no number in {self:?}"))
    }

    fn seconds(&self) -> f64 {
        self.text("seconds").parse().unwrap()
    }

    /// The names and values of the fields besides those that each line about an end has.
    fn besides(&self) -> Vec<String> {
        let common = ["id", "addr", "seconds", "messages_in", "messages_out", "bytes_in", "bytes_out"];
        let fields = self.fields.iter().filter(|(name, _)| !common.contains(&name.as_str()));
        fields.map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// The length of what stands before the quote that ends it; a backslash escapes what follows.
fn quoted_len(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

/// The next line of the log.
fn next(server: &mut Child) -> Entry {
    Entry::parse(&server.stderr.next())
}

/// The most seconds that a connection can have lasted. The server rounds, and counts from the beginning of the turn in
/// which it took the connection: on a busy machine that is a little earlier than the connection itself.
fn at_most(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() + 0.5
}

fn local_address(raw: &Raw) -> String {
    raw.stream.local_addr().unwrap().to_string()
}

#[test]
fn opened_and_closed_are_one_line_each_with_the_numbers_of_the_connection() {
    let mut server = start(&["--origin", "http://example.com"]);
    let address = server.address();
    let begin = Instant::now();
    let request = [b"GET /room?a=b HTTP/1.1\r\nOrigin: http://example.com\r\n", &REQUEST_HEAD[17..]].concat();
    let mut ann = Raw::open_with(address, &request);
    let mut bob = Raw::open(address);
    let opened = [next(&mut server), next(&mut server)];
    for (opened, (raw, id, target)) in opened.iter().zip([(&ann, 1, "\"/room?a=b\""), (&bob, 2, "\"/c\"")]) {
        assert_eq!((opened.level.as_str(), opened.what.as_str()), ("INFO", "opened"));
        assert_eq!((opened.number("id"), opened.text("addr")), (id, local_address(raw).as_str()));
        assert_eq!(opened.text("target"), target);
    }
    assert_eq!(opened[0].text("origin"), "\"http://example.com\"");
    assert!(!opened[1].fields.contains_key("origin"));

    for text in ["{\"type\":\"chat\"}", "{\"type\":\"chat\",\"msg\":\"hello server\"}", "{\"type\":\"chat\"}"] {
        ann.send_text(text);
        assert_eq!(bob.read_text(), text);
    }
    bob.send_text("{\"type\":\"chat\",\"msg\":\"hi\"}");
    ann.read_text();
    ann.send(&client_frame(FIN | 0x9, b"a ping is no message"));
    ann.read_frame();
    ann.send_close(4000);
    assert_eq!(ann.read_frame().close_code(), Some(4000));
    let closed = next(&mut server);
    assert_eq!((closed.level.as_str(), closed.what.as_str()), ("INFO", "closed"));
    assert_eq!((closed.number("id"), closed.text("addr")), (1, local_address(&ann).as_str()));
    assert_eq!(closed.besides(), ["code=4000", "reason=closed_by_peer"]);
    assert_eq!((closed.number("messages_in"), closed.number("messages_out")), (3, 1));
    assert_eq!((closed.number("bytes_in"), closed.number("bytes_out")), (ann.sent, ann.received));
    assert!((0.0..=at_most(begin)).contains(&closed.seconds()), "{closed:?}");

    bob.send(&client_frame(FIN | 0x8, b""));
    assert_eq!(bob.read_frame().close_code(), None);
    let closed = next(&mut server);
    assert_eq!((closed.number("id"), closed.text("addr")), (2, local_address(&bob).as_str()));
    assert_eq!(closed.besides(), ["reason=closed_by_peer"], "a Close without a code");
    assert_eq!((closed.number("messages_in"), closed.number("messages_out")), (1, 3));
    assert_eq!((closed.number("bytes_in"), closed.number("bytes_out")), (bob.sent, bob.received));

    drop((ann, bob));
    server.stop();
    let rest: Vec<String> = server.stderr.rest();
    assert_eq!(rest.len(), 1, "nothing more was said of these two: {rest:#?}");
    // It may stop before it has seen the end of their transports.
    assert!(Entry::parse(&rest[0]).what.starts_with("stopping: "), "{rest:?}");
}

#[test]
fn each_way_to_end_has_its_word_and_its_code() {
    let mut server = start(&["--max-message", "1KiB"]);
    let address = server.address();
    let too_large = format!("{{\"type\":\"chat\",\"msg\":\"{}\"}}", "x".repeat(1024));
    type End<'e> = (&'e dyn Fn(&mut Raw), &'e [&'e str]);
    let ends: [End<'_>; 8] = [
        (&|raw| raw.send_close(1000), &["code=1000", "reason=closed_by_peer"]),
        (&|raw| raw.send_close(1001), &["code=1001", "reason=closed_by_peer"]),
        (&|raw| raw.stream.shutdown(std::net::Shutdown::Write).unwrap(), &["reason=connection_lost"]),
        (
            &|raw| {
                raw.send(&client_frame(FIN | BINARY, b""));
                assert_eq!(raw.read_frame().close_code(), Some(1003));
                raw.send_close(1000); // the answer: the cause is still the first Close
            },
            &["code=1003", "reason=binary"],
        ),
        (&|raw| raw.send(b"\x81\x00"), &["code=1002", "detail=", "reason=protocol_error"]),
        (&|raw| raw.send(&client_frame(FIN | 0x1, b"\xff")), &["code=1007", "detail=", "reason=bad_utf8"]),
        (&|raw| raw.send_text(&too_large), &["code=1009", "detail=", "reason=message_too_large"]),
        (
            &|raw| {
                // Bytes on the way and no time to linger: a reset.
                socket2::SockRef::from(&raw.stream).set_linger(Some(Duration::ZERO)).unwrap();
                let unconnected = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                raw.stream = TcpStream::from(std::os::fd::OwnedFd::from(unconnected));
            },
            &["reason=connection_reset"],
        ),
    ];
    for (index, (end, expected)) in ends.iter().enumerate() {
        let mut raw = Raw::open(address);
        assert_eq!(next(&mut server).what, "opened");
        end(&mut raw);
        let closed = next(&mut server);
        assert_eq!((closed.what.as_str(), closed.number("id")), ("closed", index as u64 + 1));
        let besides = closed.besides();
        let is_expected = besides.iter().zip(*expected).all(|(field, start)| field.starts_with(start));
        assert!(is_expected && besides.len() == expected.len(), "{expected:?}: {closed:?}");
    }
}

#[test]
fn each_refusal_is_one_line_with_its_word_and_status() {
    let mut server = start(&["--handshake-timeout", "200ms", "--no-demo"]);
    let address = server.address();
    let refusals: [(&[u8], u16, &str); 4] = [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_host"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426, "not_an_upgrade"),
        (b"GET / HTTP/1.1\nHost", 400, "malformed_head"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", 408, "handshake_timeout"),
    ];
    for (index, (request, status, word)) in refusals.into_iter().enumerate() {
        let begin = Instant::now();
        let mut raw = Raw::connect(address);
        raw.send(request);
        assert_eq!(server_response(&raw.read_to_end().unwrap()).0, status);
        let refused = next(&mut server);
        assert_eq!((refused.level.as_str(), refused.what.as_str()), ("INFO", "refused"));
        assert_eq!((refused.number("id"), refused.text("addr")), (index as u64 + 1, local_address(&raw).as_str()));
        assert_eq!((refused.number("status"), refused.text("reason")), (u64::from(status), word));
        assert!(!refused.fields.contains_key("code"), "a close code belongs to an open connection");
        assert!(refused.text("detail").starts_with('"'), "in words besides");
        assert_eq!((refused.number("bytes_in"), refused.number("bytes_out")), (raw.sent, raw.received));
        assert_eq!((refused.number("messages_in"), refused.number("messages_out")), (0, 0));
        let at_least = if status == 408 { 0.2 } else { 0.0 };
        assert!((at_least..=at_most(begin)).contains(&refused.seconds()), "{refused:?}");
    }

    let mut server = start(&["--max-connections", "1"]);
    let address = server.address();
    let _one = Raw::open(address);
    let mut raw = Raw::connect(address);
    assert_eq!(server_response(&raw.read_to_end().unwrap()).0, 503);
    let entries = [next(&mut server), next(&mut server)];
    let refused = &entries[1];
    assert_eq!(
        (refused.what.as_str(), refused.text("reason"), refused.number("status")),
        ("refused", "overloaded", 503)
    );
    assert_eq!((refused.text("addr"), refused.number("bytes_out")), (local_address(&raw).as_str(), raw.received));
}

#[test]
fn text_of_a_peer_is_escaped_and_cut() {
    let mut server = start(&["--origin", "*"]);
    let address = server.address();
    assert_eq!(next(&mut server).level, "WARN", "of --origin '*'");
    let target = "/%0d%0aINFO%20\"closed\"'\\n\\\"=x";
    // In a header field any bytes from 128 on are legal: here a control character of C1, an override of the
    // direction of writing, and what is no UTF-8.
    let fields = [b"Origin: a\"b\\\xc2\x9b31m\xe2\x80\xae\xff\r\n", &REQUEST_HEAD[17..]].concat();
    let raw = Raw::open_with(address, &[format!("GET {target} HTTP/1.1\r\n").as_bytes(), &fields].concat());
    let opened = next(&mut server);
    assert_eq!(opened.text("target"), r#""/%0d%0aINFO%20\"closed\"\'\\n\\\"=x""#);
    assert_eq!(opened.text("origin"), "\"a\\\"b\\\\\\u{9b}31m\\u{202e}\u{fffd}\"");
    drop(raw);
    assert_eq!(next(&mut server).what, "closed");

    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(10_000));
    drop(Raw::open_with(address, &[long.as_bytes(), &REQUEST_HEAD[17..]].concat()));
    assert_eq!(next(&mut server).text("target"), format!("\"/{}…\"", "x".repeat(199)));
    assert_eq!(next(&mut server).what, "closed");

    for text in [
        r#"{"type":"\u001b[31m\r\nINFO \u0000\u009b\u202e"}"#,
        "{\"type\":\"\u{9b}31m\u{202e}\u{2028}\"}",
        r#"{"\u001b]0;x\u0007":1,"\u001b]0;x\u0007":2,"type":"chat"}"#,
        "\u{1b}[31m",
        "{\"type\":\"chat\"} \u{7f}\u{1b}",
    ] {
        let mut raw = Raw::open(address);
        assert_eq!(next(&mut server).what, "opened");
        raw.send_text(text);
        let error = raw.read_text();
        assert!(error.starts_with("{") && error.contains("\"type\":\"error\""), "{error}");
        // That nothing in the line is a control character is what the parser checks.
        let note = next(&mut server);
        assert_eq!((note.level.as_str(), note.what.as_str()), ("WARN", "invalid message received"), "{text:?}");
        assert_eq!(note.text("addr"), local_address(&raw));
        let detail = note.text("detail");
        assert!(!detail.contains(['\u{202e}', '\u{2028}', '\u{7f}']), "{detail}");
        drop(raw);
        assert_eq!(next(&mut server).what, "closed");
    }
}

#[test]
fn a_token_in_a_request_target_is_not_in_the_log() {
    let mut server = start(&[]);
    let address = server.address();
    let line = b"GET /?a=1&token=hush&%74oken=hu%73h HTTP/1.1\r\n";
    drop(Raw::open_with(address, &[line, &REQUEST_HEAD[17..]].concat()));
    let mut page = Raw::connect(address);
    page.send(&[&line[..], b"Host: localhost\r\n\r\n"].concat());
    page.read_to_end().unwrap();
    let entries = [next(&mut server), next(&mut server), next(&mut server)];
    for what in ["opened", "answered"] {
        let entry = entries.iter().find(|entry| entry.what == what).unwrap();
        assert_eq!(entry.text("target"), "\"/?***\"", "{entry:?}");
    }
}

#[test]
fn a_close_reason_of_a_peer_cannot_forge_a_line() {
    let mut server = start(&[]);
    let mut raw = Raw::open(server.address());
    raw.send(&client_frame(FIN | 0x8, &close_payload(3000, "x\r\nINFO closed id=7 \u{1b}[31m")));
    assert_eq!(raw.read_frame().close_code(), Some(3000));
    assert_eq!(next(&mut server).what, "opened");
    assert_eq!(next(&mut server).besides(), ["code=3000", "reason=closed_by_peer"]);
}

#[test]
fn invalid_messages_are_logged_at_most_once_a_second_and_all_are_counted() {
    let mut server = start(&[]);
    let address = server.address();
    let begin = Instant::now();
    let (mut raw, mut other) = (Raw::open(address), Raw::open(address));
    let mut sent = 0;
    let mut notes = Vec::new();
    assert_eq!((next(&mut server).what, next(&mut server).what), ("opened".to_owned(), "opened".to_owned()));
    while notes.len() < 2 {
        assert!(begin.elapsed() < PATIENCE, "{notes:?}");
        sent += 1;
        raw.send_text("no JSON");
        raw.read_text();
        notes.extend(server.stderr.next_within(Duration::from_millis(10)).map(|line| Entry::parse(&line)));
    }
    assert!(begin.elapsed() >= Duration::from_secs(1), "two notes within {:?}", begin.elapsed());
    assert!(notes.iter().all(|note| note.what == "invalid message received" && note.number("id") == 1));
    assert!(!notes[0].fields.contains_key("left_out"), "nothing was left out before the first");
    // The bound is one of each connection.
    other.send_text("no JSON");
    other.read_text();
    assert_eq!(next(&mut server).number("id"), 2);

    raw.send_text("no JSON");
    raw.read_text();
    raw.send_close(1000);
    let closed = next(&mut server);
    assert_eq!((closed.what.as_str(), closed.number("id")), ("closed", 1), "{closed:?}");
    // Notes, what the second one says was left out, and what came after it: none is lost.
    let counted = 2 + notes[1].number("left_out") + closed.number("notes_left_out");
    assert_eq!(counted, sent + 1);
    assert_eq!((closed.number("messages_in"), closed.number("messages_out")), (sent + 1, sent + 1));
    assert!((1.0..=at_most(begin)).contains(&closed.seconds()), "{closed:?}");
}

#[test]
fn the_level_says_what_is_logged() {
    let session = |server: &mut Child| {
        let mut raw = Raw::open(server.address());
        raw.send_text("no JSON");
        raw.read_text();
        raw.send_close(1000);
        assert_eq!(raw.read_frame().close_code(), Some(1000));
        drop(raw);
        server.stop();
        server.stderr.rest()
    };
    for (level, expected) in [
        ("off", &[][..]),
        ("error", &[]),
        ("warn", &["invalid message received"]),
        ("info", &["opened", "invalid message received", "closed", "stopping: "]),
    ] {
        let lines = session(&mut start(&["--log-level", level]));
        let whats: Vec<String> = lines.iter().map(|line| Entry::parse(line).what).collect();
        let is_expected = whats.iter().zip(expected).all(|(what, start)| what.starts_with(start));
        assert!(is_expected && whats.len() == expected.len(), "{level}: {whats:?}");
    }
}
