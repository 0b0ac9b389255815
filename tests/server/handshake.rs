//! §4: the opening handshake, with what may follow it, and in whatever company.

use std::time::Instant;

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::server::Config;

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running, config};
use crate::wire::{FIN, REQUEST_HEAD, ServerFrame, TEXT, client_frame, server_frames, server_response};

#[test]
fn a_whole_conversation_in_one_segment_is_answered_and_ended() {
    let server = Running::echo(Limits::default());
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
