//! The end of the server: everybody is told, nobody new comes in, and nobody holds it up for long.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use frameloop::chat::Hub;
use frameloop::protocol::{CloseCode, End, Limits};

use crate::client::{Client, library_client};
use crate::harness::{DEADLINE, Firehose, Late, NEVER, Running, Told, config, recording};
use crate::refusals::expect_refusal;
use crate::wire::{BINARY, FIN, REQUEST_HEAD};

/// With these limits nobody is pinged or dropped: a server that ends has been answered by all.
fn patient() -> Limits {
    Limits { close_timeout: NEVER, handshake_timeout: NEVER, ping_interval: NEVER, ..Limits::default() }
}

fn shutdown() -> (u16, String) {
    (1001, "shutdown".to_owned())
}

#[test]
fn a_server_without_connections_ends_at_once() {
    let server = Running::echo(patient());
    server.stop();
    server.wait().unwrap();

    let server = Running::echo(patient());
    Client::open(server.address()).leave();
    server.stop();
    server.wait().unwrap();
}

#[test]
fn all_are_closed_with_1001_and_the_server_ends_when_the_last_has_answered() {
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(patient()), app);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::open(server.address())).collect();
    server.stop();
    for client in &mut clients {
        assert_eq!(client.close_frame(), shutdown());
    }
    let mut last = clients.pop().unwrap();
    for mut client in clients {
        client.send_close(1001);
        client.expect_end();
    }
    assert!(server.is_running(), "one has not answered");
    last.send_close(1001);
    last.expect_end();
    drop(last);
    server.wait().unwrap();
    for _ in 0..100 {
        assert_eq!(record.next_end(), End::ClosedByUs(CloseCode::GOING_AWAY));
    }
}

#[test]
fn a_library_client_is_closed_and_answers() {
    let server = Running::echo(patient());
    let mut client = library_client(server.address());
    server.stop();
    let Ok(tungstenite::Message::Close(Some(frame))) = client.read() else { panic!("no Close") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "shutdown"));
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
    drop(client);
    server.wait().unwrap();
}

#[test]
fn those_who_do_not_answer_are_dropped_at_the_end_of_the_time() {
    let limits = Limits { close_timeout: Duration::from_millis(300), ..patient() };
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(limits.clone()), app);
    let mut silent = Client::open(server.address());
    // Whose own closing had begun before, and who does not end its side.
    let mut closing = Client::open(server.address());
    let start = Instant::now();
    closing.send(FIN | BINARY, b"");
    assert_eq!(closing.close_frame().0, 1003);
    server.stop();
    assert_eq!(silent.close_frame(), shutdown());
    server.wait().unwrap();
    assert!(start.elapsed() >= limits.close_timeout);
    silent.expect_dropped();
    closing.expect_dropped();
    let ends = [record.next_end(), record.next_end()];
    assert!(ends.contains(&End::ClosedByUs(CloseCode::GOING_AWAY)), "{ends:?}");
    assert!(ends.contains(&End::ClosedByUs(CloseCode::UNSUPPORTED_DATA)), "{ends:?}");
}

#[test]
fn what_was_sent_before_arrives_before_the_close() {
    let (app, record) = recording(Firehose);
    let limits = Limits { queue_bytes_max: usize::MAX, ..patient() };
    let server = Running::start(config(limits), app);
    let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
    client.send_text("300");
    assert_eq!(client.frame().payload.len(), Firehose::PAYLOAD_BYTES);
    server.stop();
    for _ in 1..300 {
        assert_eq!(client.frame().payload.len(), Firehose::PAYLOAD_BYTES);
    }
    assert_eq!(client.close_frame(), shutdown());
    client.send_close(1001);
    client.expect_end();
    drop(client);
    server.wait().unwrap();
    assert_eq!(record.next_end(), End::ClosedByUs(CloseCode::GOING_AWAY));
}

#[test]
fn nobody_new_comes_in() {
    let server = Running::echo(patient());
    let mut client = Client::open(server.address());
    server.stop();
    assert_eq!(client.close_frame(), shutdown());
    // The listener is closed in the turn that sends the Close frames.
    let error = TcpStream::connect_timeout(&server.address(), DEADLINE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    client.send_close(1001);
    client.expect_end();
    drop(client);
    server.wait().unwrap();
}

#[test]
fn whoever_has_not_finished_the_handshake_gets_503() {
    let server = Running::echo(patient());
    let mut connecting = Client::connect(server.address());
    let mut half = Client::connect(server.address());
    half.write(&REQUEST_HEAD[..40]);
    let mut open = Client::open(server.address()); // the others came before it, so they are taken
    server.stop();
    expect_refusal(&mut connecting, 503, "overloaded");
    expect_refusal(&mut half, 503, "overloaded");
    assert_eq!(open.close_frame(), shutdown());
    open.send_close(1001);
    open.expect_end();
    drop((connecting, half, open));
    server.wait().unwrap();
}

#[test]
fn the_second_time_the_server_ends_at_once() {
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(patient()), app);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::open(server.address())).collect();
    server.stop();
    for client in &mut clients {
        assert_eq!(client.close_frame(), shutdown());
    }
    assert!(server.is_running(), "nobody has answered");
    server.stop();
    server.wait().unwrap();
    for client in &mut clients {
        client.expect_dropped();
    }
    let ends = record.so_far().into_iter().filter_map(Told::end);
    assert_eq!(ends.count(), 10, "the application is told of each end, however it came");
}

#[test]
fn two_requests_to_stop_in_one_turn_still_tell_everybody() {
    let server = Running::echo(patient());
    let mut client = Client::open(server.address());
    server.stop();
    server.stop();
    server.wait().unwrap();
    assert_eq!(client.close_frame(), shutdown());
    client.expect_end();
}
