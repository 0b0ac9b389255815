//! H5 to H10: what others read differently, and what they forgot to check.

use frameloop::chat::Echo;

use super::{accepted, expect_alive, expect_refusal, patient, refused, request, with_lines};
use crate::client::Client;
use crate::harness::{Running, config, recording};
use crate::wire::{FIN, REQUEST_HEAD, TEXT, client_frame};

#[test]
fn h5_a_number_with_a_sign_is_no_number() {
    let server = Running::echo(patient());
    for version in ["+13", "-13", "013", "13.0", "0xd", "13 13", "13,", "1 3", "\u{661}\u{663}", "8", "13;", "", "131"]
    {
        let mut client = Client::connect(server.address());
        client.write(&request("Version: 13", format!("Version: {version}")));
        let head = client.response_head();
        assert!(head.starts_with("HTTP/1.1 426 ") && head.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{head}");
        client.rest();
    }
    for length in ["+0", "-0", "+3", "00", "0x0", "0.0", "0 0", "0,0", "", "\u{660}"] {
        refused(&server, &with_lines(format!("Content-Length: {length}\r\n")), 400, "request_body");
    }
    for port in ["+80", "-1", "65536", "99999999999999999999", "8 0", "0x50"] {
        refused(&server, &request("Host: localhost", format!("Host: localhost:{port}")), 400, "bad_host");
    }
    expect_alive(&server);
}

#[test]
fn h6_a_body_is_refused_and_its_bytes_are_neither_frames_nor_a_request() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    let frame = client_frame(FIN | TEXT, b"smuggled");
    let chunk = [format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n0\r\n\r\n"].concat();
    for line in [
        &format!("Content-Length: {}", frame.len()),
        "content-length: 1",
        "Content-Length: 18446744073709551616",
        "Content-Length: 0\r\nContent-Length: 14",
        "Content-Length: 14\r\nContent-Length: 0",
        "Content-Length: 0, 14",
        "Transfer-Encoding: chunked",
        "TRANSFER-ENCODING: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
    ] {
        for body in [&frame[..], &chunk, REQUEST_HEAD, b"GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n", b""] {
            refused(&server, &[&with_lines(format!("{line}\r\n")), body].concat(), 400, "request_body");
        }
    }
    assert_eq!(record.so_far(), [], "the application never heard of them");
    // No body is no body: what follows are the first frames.
    let mut client = Client::connect(server.address());
    client.write(&[with_lines("Content-Length: 0\r\n"), frame].concat());
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.text(), "smuggled");
    client.leave();
}

#[test]
fn h6_after_a_refusal_no_further_byte_is_parsed() {
    // A proxy that looks at the request only believes from here on that frames go through.
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    let without_version = REQUEST_HEAD.strip_suffix(b"Sec-WebSocket-Version: 13\r\n\r\n").unwrap();
    let frame = client_frame(FIN | TEXT, b"hello");
    let mut client = Client::connect(server.address());
    client.write(&[without_version, b"\r\n", &frame].concat());
    client.write(&[REQUEST_HEAD, &frame].concat());
    expect_refusal(&mut client, 426, "bad_version", "without a version");

    let no_upgrade = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = Client::connect(server.address());
    client.write(&[no_upgrade, REQUEST_HEAD, no_upgrade].concat());
    expect_refusal(&mut client, 426, "not_an_upgrade", "no upgrade");
    assert_eq!(record.so_far(), [], "the application never heard of it");
    expect_alive(&server);
}

#[test]
fn h6_a_second_request_behind_an_accepted_one_is_a_broken_frame() {
    let server = Running::echo(patient());
    let mut client = Client::connect(server.address());
    client.write(&REQUEST_HEAD.repeat(2));
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.close_frame().0, 1002, "§5.2: \"G\" has reserved bits set");
    client.expect_end();
    expect_alive(&server);
}

#[test]
fn h7_a_host_key_or_version_that_stands_twice_and_a_host_that_is_missing_are_refused() {
    let server = Running::echo(patient());
    refused(&server, &request("Host: localhost\r\n", ""), 400, "bad_host");
    for (line, word) in [
        ("Host: localhost", "bad_host"),
        ("HOST: other", "bad_host"),
        ("host:", "bad_host"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "bad_key"),
        ("sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==", "bad_key"),
        ("Sec-WebSocket-Key:", "bad_key"),
        ("Sec-WebSocket-Version: 13", "bad_version"),
        ("SEC-WEBSOCKET-VERSION: 8", "bad_version"),
        ("Sec-WebSocket-Version:", "bad_version"),
    ] {
        refused(&server, &with_lines(format!("{line}\r\n")), 400, word); // behind the host, before the others
        refused(&server, &request("\r\n\r\n", format!("\r\n{line}\r\n\r\n")), 400, word);
    }
    for host in ["", "h, h", "h h", "a@h", "h/path", "h#f", "h?q", "[::1", "::1", "h:80:80", "\u{e9}"] {
        refused(&server, &request("Host: localhost", format!("Host: {host}")), 400, "bad_host");
    }
    expect_alive(&server);
}

#[test]
fn h8_every_line_must_end_with_cr_lf_and_begin_with_a_name() {
    let server = Running::echo(patient());
    let ends = |head: &[u8]| -> Vec<usize> { (0..head.len()).filter(|&i| head[i..].starts_with(b"\r\n")).collect() };
    let head_end = REQUEST_HEAD.len() - 2;
    for end in ends(REQUEST_HEAD) {
        for wrong in
            ["\n", "\r", "\r\r\n", "\n\r", "\r\n\n", " \r \n", "\0\r\n", "\r\0\n", "\r\n ", "\r\n\t", "\r\n \r\n"]
        {
            if end == head_end && wrong.starts_with("\r\n") {
                continue; // the head has ended: what follows are frames
            }
            // The byte behind it shows a bare CR at the very end.
            let head = [&REQUEST_HEAD[..end], wrong.as_bytes(), &REQUEST_HEAD[end + 2..], b"x"].concat();
            refused(&server, &head, 400, "malformed_head");
        }
    }
    refused(&server, &[b"\r\n", REQUEST_HEAD].concat(), 400, "malformed_head");
    for line in [
        "Host : h",
        "Host\t: h",
        " Host: localhost",
        "Host",
        ": h",
        "Host h",
        "\"Host\": h",
        "Ho st: h",
        "H\u{f6}st: h",
    ] {
        refused(&server, &request("Host: localhost", line), 400, "malformed_head");
        refused(&server, &with_lines(format!("X: y\r\n{line}\r\n")), 400, "malformed_head");
    }
    for byte in "()<>@,;\\/[]?={}\"".bytes() {
        let line = [b"X", &[byte][..], b"Y: z\r\n"].concat();
        refused(&server, &with_lines(line), 400, "malformed_head");
    }
    for line in ["GET  /c HTTP/1.1", "GET\t/c\tHTTP/1.1", "GET /c  HTTP/1.1", "GET /c HTTP/1.1 ", " GET /c HTTP/1.1"] {
        refused(&server, &request("GET /c HTTP/1.1", line), 400, "malformed_head");
    }
    expect_alive(&server);
}

#[test]
fn h8_a_control_character_is_refused_wherever_it_stands() {
    let server = Running::echo(patient());
    for control in [0, 0x01, 0x08, 0x0b, 0x0c, 0x1b, 0x7f] {
        for position in 0..REQUEST_HEAD.len() {
            let (before, after) = REQUEST_HEAD.split_at(position);
            // An empty line behind it ends the head, if this byte has made another line of the last one.
            refused(&server, &[before, &[control], after, b"\r\n"].concat(), 400, "malformed_head");
        }
    }
    expect_alive(&server);
}

#[test]
fn h9_connection_and_upgrade_are_lists_of_tokens_over_all_lines() {
    let server = Running::echo(patient());
    for line in [
        "NotUpgrade",
        "Upgrades",
        "keep-alive",
        "keep-alive Upgrade",
        "\"Upgrade\"",
        "Upgrade;q=1",
        "Upgrade/1",
        "Up\tgrade",
        "",
        "close\r\nX-Connection: Upgrade",
    ] {
        let request = request("Connection: Upgrade", format!("Connection: {line}"));
        refused(&server, &request, 400, "connection_without_upgrade");
    }
    for line in ["websockets", "notwebsocket", "web socket", "\"websocket\"", "websocket;v=13", "h2c", ""] {
        let request = request("Upgrade: websocket", format!("Upgrade: {line}"));
        refused(&server, &request, 426, "not_an_upgrade");
    }
    for line in [
        "Connection: UPGRADE",
        "connection: keep-alive, upgrade",
        "Connection:Upgrade,keep-alive",
        "Connection: \t,, uPGRADE\t,",
        "Connection: keep-alive\r\nX: y\r\nCONNECTION: Upgrade",
        "Connection: Upgrade\r\nConnection: NotUpgrade\r\nConnection:",
        "Connection: Upgrade\r\nupgrade: h2c\r\nUpgrade: x , WebSocket",
    ] {
        accepted(&server, &request("Connection: Upgrade", line));
    }
    expect_alive(&server);
}

#[test]
fn h10_a_key_is_16_bytes_of_base64() {
    let server = Running::echo(patient());
    for key in [
        "",
        "=",
        "========================",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZWU=",
        "dGhlIHNhbXBsZSBub25jZWVl",
        "dGhlIHNhbXBsZSBub25jZWVlZQ==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBs\tSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j-_==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "\"dGhlIHNhbXBsZSBub25jZQ==\"",
        "dGhlIHNhbXBsZSBub25j\u{e9}==",
        &"A".repeat(10_000),
    ] {
        refused(&server, &request("dGhlIHNhbXBsZSBub25jZQ==", key), 400, "bad_key");
    }
    accepted(&server, &request("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key:\t AAAAAAAAAAAAAAAAAAAAAA== \t"));
    expect_alive(&server);
}
