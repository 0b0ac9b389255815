//! §4: the opening handshake, in whatever pieces it comes, and in whatever company.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::server::Config;

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Recorder, Running, config};
use crate::refusals::expect_refusal;
use crate::wire::{CONTINUATION, FIN, REQUEST_HEAD, ServerFrame, TEXT, client_frame, server_frames, server_response};

fn echo() -> Running {
    Running::echo(Limits::default())
}

#[test]
fn a_head_that_comes_byte_by_byte_is_accepted() {
    let server = echo();
    let mut client = Client::connect(server.address());
    for byte in REQUEST_HEAD {
        client.write(&[*byte]); // each in a segment of its own, since Nagle's algorithm is off
    }
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
    client.exchange("hello");
    client.leave();
}

#[test]
fn frames_may_come_in_the_segment_of_the_head() {
    let server = echo();
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

#[test]
fn a_whole_conversation_in_one_segment_is_answered_and_ended() {
    let server = echo();
    let mut client = Client::connect(server.address());
    let frames = [client_frame(FIN | TEXT, b"only this"), client_frame(FIN | 0x8, b"")].concat();
    client.write(&[REQUEST_HEAD, &frames].concat());
    client.shutdown_write();
    let bytes = client.rest();
    let (status, frames) = server_response(&bytes);
    assert_eq!(status, 101);
    assert_eq!(server_frames(frames), [ServerFrame::new(TEXT, b"only this"), ServerFrame::new(0x8, b"")]);
}

#[test]
fn a_second_request_is_not_answered() {
    let server = echo();
    let mut client = Client::connect(server.address());
    client.write(&REQUEST_HEAD.repeat(2));
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
    // Behind an accepted request come frames; §5.2: "G" has reserved bits set.
    assert_eq!(client.close_frame().0, 1002);
    client.expect_end();

    let mut client = Client::connect(server.address());
    let refused = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    client.write(&[refused, REQUEST_HEAD, refused].concat());
    expect_refusal(&mut client, 426, "not_an_upgrade"); // and the end: one answer in all
}

#[test]
fn what_follows_a_refused_request_is_not_processed() {
    let (app, record) = Recorder::new(Echo);
    let server = Running::start(config(Limits::default()), app);
    let mut client = Client::connect(server.address());
    let without_version = REQUEST_HEAD.strip_suffix(b"Sec-WebSocket-Version: 13\r\n\r\n").unwrap();
    let frame = client_frame(FIN | TEXT, b"hello");
    client.write(&[without_version, b"\r\n", &frame].concat());
    client.write(&[REQUEST_HEAD, &frame].concat());
    expect_refusal(&mut client, 426, "bad_version");
    assert_eq!(record.so_far(), [], "the application never heard of it");
}

#[test]
fn the_servers_own_name_of_a_subprotocol_is_in_the_response_if_the_client_offers_it() {
    let subprotocols = vec!["chat.v2".to_owned(), "chat.v1".to_owned()];
    let server = Running::start(Config { subprotocols, ..config(Limits::default()) }, Echo);
    for (offers, selected) in [
        ("", None),
        ("Sec-WebSocket-Protocol: other\r\n", None),
        ("Sec-WebSocket-Protocol: other, chat.v1, chat.v2\r\n", Some("chat.v1")),
        ("Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat.v2\r\n", Some("chat.v2")),
    ] {
        let mut client = Client::connect(server.address());
        let request = [&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offers.as_bytes(), b"\r\n"].concat();
        client.write(&request);
        let head = client.response_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let value = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(value, selected, "{offers}");
        client.leave();
    }
}

#[test]
fn the_time_for_the_handshake_is_a_total_that_a_byte_now_and_then_does_not_prolong() {
    let limits = Limits { handshake_timeout: Duration::from_millis(400), close_timeout: NEVER, ..Limits::default() };
    let server = Running::echo(limits.clone());
    let start = Instant::now();
    let mut client = Client::connect(server.address());
    let mut bytes = REQUEST_HEAD.iter().cycle(); // it would take more than 4 s to its end
    loop {
        client.write(&[*bytes.next().unwrap()]);
        match client.fill(Duration::from_millis(20)) {
            Ok(count) => break assert!(count > 0, "told before the end"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(start.elapsed() < Duration::from_secs(4), "not cut in time");
    }
    assert!(start.elapsed() >= limits.handshake_timeout);
    expect_refusal(&mut client, 408, "handshake_timeout");
}

#[test]
fn a_client_that_says_nothing_is_cut_at_the_end_of_the_time_and_one_that_is_open_is_not() {
    let limits = Limits { handshake_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = Running::echo(limits.clone());
    let start = Instant::now();
    let mut open = Client::open(server.address());
    let mut silent = Client::connect(server.address());
    let mut half = Client::connect(server.address());
    half.write(&REQUEST_HEAD[..REQUEST_HEAD.len() - 1]);
    expect_refusal(&mut silent, 408, "handshake_timeout");
    assert!(start.elapsed() >= limits.handshake_timeout);
    expect_refusal(&mut half, 408, "handshake_timeout");
    open.exchange("still there");
    open.leave();
}

#[test]
fn two_hundred_unfinished_handshakes_do_not_hinder_a_new_client() {
    let limits = Limits { handshake_timeout: NEVER, ..Limits::default() };
    let server = Running::echo(limits);
    let mut unfinished: Vec<(usize, Client)> = Vec::new();
    for i in 0..200 {
        let mut client = Client::connect(server.address());
        let sent = i % REQUEST_HEAD.len(); // 0: not a byte
        client.write(&REQUEST_HEAD[..sent]);
        unfinished.push((sent, client));
    }
    let mut new = Client::open(server.address());
    new.exchange("hello");
    new.leave();
    for (sent, mut client) in unfinished {
        client.write(&REQUEST_HEAD[sent..]); // and they were not forgotten
        assert!(client.response_head().starts_with("HTTP/1.1 101 "));
        client.leave();
    }
}

#[test]
fn every_address_is_served_and_one_that_is_taken_is_an_error_with_its_name() {
    let listen = vec!["127.0.0.1:0".to_owned(), "localhost:0".to_owned()];
    let server = Running::start(Config { listen, ..config(Limits::default()) }, Echo);
    assert!(server.addresses().len() >= 2, "{:?}", server.addresses());
    let start = Instant::now();
    for &address in server.addresses() {
        let mut client = Client::open(address);
        client.exchange("hello");
        client.leave();
    }
    assert!(start.elapsed() < DEADLINE);

    let taken = server.address().to_string();
    let error = Running::try_start(Config { listen: vec![taken.clone()], ..config(Limits::default()) }, Echo).err();
    assert_eq!(error.unwrap().to_string(), format!("cannot listen on {taken}: the address is in use"));
}
