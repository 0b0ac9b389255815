//! §7.1.5, §7.1.7: connections that end without a closing handshake, at whatever point.

use std::thread;

use frameloop::protocol::{CloseCode, End, Limits, Message};
use frameloop::server::{App, ConnId, Outbox};

use crate::client::Client;
use crate::harness::{NEVER, Record, Running, config, recording};
use crate::wire::{BINARY, FIN, REQUEST_HEAD, TEXT, client_frame, server_frames};

/// Echoes, but for a word at which it closes.
#[derive(Debug, Default)]
struct EchoUntilTold;

impl App for EchoUntilTold {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        match message.as_bytes() {
            b"close" => out.close(id, CloseCode::NORMAL, "as you wish"),
            _ => out.send(id, message),
        }
    }
}

/// No timeout helps here: what ends, ends because the server saw it.
fn patient() -> Limits {
    Limits { handshake_timeout: NEVER, close_timeout: NEVER, ..Limits::default() }
}

fn recorded() -> (Running, Record) {
    let (app, record) = recording(EchoUntilTold);
    (Running::start(config(patient()), app), record)
}

#[test]
fn a_client_that_ends_its_side_still_gets_the_replies_to_what_it_sent() {
    let (server, record) = recorded();
    let mut client = Client::open(server.address());
    client.send_text("last words");
    client.shutdown_write();
    assert_eq!(client.text(), "last words");
    client.expect_end();
    assert_eq!(record.next_end(), End::Lost);

    // More than the server takes in one turn, and more than it lets wait before it pauses reading.
    let mut client = Client::open(server.address());
    let mut writer = client.writer();
    let frame = client_frame(FIN | BINARY, &[7; 1000]);
    let writing = thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &frame.repeat(10_000)).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let frames = server_frames(&client.rest());
    writing.join().unwrap();
    assert_eq!(frames.len(), 10_000);
    assert!(frames.iter().all(|frame| frame.opcode == BINARY && frame.payload == [7; 1000]));
    assert_eq!(record.next_end(), End::Lost);
}

#[test]
fn the_end_of_file_inside_a_frame_ends_the_connection_at_any_byte() {
    let (server, record) = recorded();
    let frame = client_frame(FIN | BINARY, &[7; 300]);
    for cut in (1..12).chain([100, frame.len() - 1]) {
        let mut client = Client::open(server.address());
        client.write(&frame[..cut]);
        client.shutdown_write();
        client.expect_end();
        assert_eq!(record.next_end(), End::Lost, "after {cut} bytes");
    }
}

#[test]
fn the_end_of_file_inside_the_request_ends_the_connection_and_the_application_never_hears_of_it() {
    let (server, record) = recorded();
    for cut in [0, 1, REQUEST_HEAD.len() / 2, REQUEST_HEAD.len() - 1] {
        let mut client = Client::connect(server.address());
        client.write(&REQUEST_HEAD[..cut]);
        client.shutdown_write();
        assert_eq!(client.rest(), b"", "after {cut} bytes");
    }
    assert_eq!(record.so_far(), []);
}

#[test]
fn a_reset_ends_the_connection_without_delay() {
    let (server, record) = recorded();
    let preparations: [fn(&mut Client); 4] = [
        |_| {},
        |client| client.write(&client_frame(FIN | BINARY, &[0; 300])[..50]),
        |client| client.send(TEXT, b"half of"),
        |client| client.exchange("hello"),
    ];
    for prepare in preparations {
        let mut client = Client::open(server.address());
        prepare(&mut client);
        client.reset();
        assert_eq!(record.next_end(), End::Reset);
    }
    let mut client = Client::open(server.address());
    client.send_text("close");
    client.close_frame();
    client.reset();
    assert_eq!(record.next_end(), End::ClosedByUs(CloseCode::NORMAL), "the first cause");
}
