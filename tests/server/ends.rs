//! §7.1.5, §7.1.7: connections that end without a closing handshake, at whatever point.

use std::collections::{BTreeSet, HashSet};
use std::process::Command;
use std::thread;
use std::time::Instant;

use frameloop::chat::Echo;
use frameloop::protocol::{CloseCode, End, Limits, Message};
use frameloop::server::{App, ConnId, Outbox};

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Record, Recorder, Running, Told, config};
use crate::wire::{BINARY, CONTINUATION, FIN, PING, REQUEST_HEAD, TEXT, client_frame, server_frames};

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
    let (app, record) = Recorder::new(EchoUntilTold);
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

/// What a client has done before it vanishes.
const STAGES: [fn(&mut Client); 19] = [
    |_| {},
    |client| client.write(&REQUEST_HEAD[..50]),
    |client| client.write(REQUEST_HEAD),
    |client| client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    |client| {
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.rest();
    },
    upgrade,
    |client| after_upgrade(client, &client_frame(FIN | TEXT, &[b'x'; 300])[..3]),
    |client| after_upgrade(client, &client_frame(FIN | TEXT, &[b'x'; 300])[..30]),
    |client| after_upgrade(client, &client_frame(TEXT, b"one fragment")),
    |client| after_upgrade(client, &[client_frame(TEXT, b"a"), client_frame(CONTINUATION, b"b")].concat()),
    |client| after_upgrade(client, &client_frame(FIN | TEXT, b"its echo is not read")),
    |client| after_upgrade(client, &client_frame(FIN | BINARY, &[0; 200_000])),
    |client| {
        upgrade(client);
        client.exchange("its echo is read");
    },
    |client| after_upgrade(client, &client_frame(FIN | PING, b"alive?")),
    |client| after_upgrade(client, &client_frame(FIN | 0x8, b"\x03\xe8")),
    |client| {
        after_upgrade(client, &client_frame(FIN | 0x8, b"\x03\xe8"));
        client.close_frame();
    },
    |client| after_upgrade(client, b"\xff\xff"),
    |client| {
        after_upgrade(client, b"\xff\xff");
        client.close_frame();
        client.expect_end();
    },
    |client| {
        after_upgrade(client, &client_frame(FIN | TEXT, b"close"));
        client.close_frame();
    },
];

fn upgrade(client: &mut Client) {
    client.write(REQUEST_HEAD);
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
}

fn after_upgrade(client: &mut Client, bytes: &[u8]) {
    upgrade(client);
    client.write(bytes);
}

/// The ways to vanish.
const WAYS: [fn(Client); 3] = [
    |client| client.reset(),
    |client| drop(client), // a FIN, or a RST where something was not read
    |mut client| {
        client.shutdown_write();
        client.rest();
    },
];

/// Descriptors are counted for the whole process, so this test has one of its own.
#[test]
fn thousands_that_vanish_at_every_point_end_once_each_and_leave_no_descriptor_behind() {
    if std::env::var_os(ALONE).is_none() {
        let name = "ends::thousands_that_vanish_at_every_point_end_once_each_and_leave_no_descriptor_behind";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(" 1 passed"), "{text}");
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (server, record) = recorded();
    let server_alone = descriptors();

    for _ in 0..ROUNDS {
        for stage in STAGES {
            for vanish in WAYS {
                let mut client = Client::connect(server.address());
                stage(&mut client);
                vanish(client);
            }
        }
        Client::open(server.address()).leave(); // and the server lives
    }
    let deadline = Instant::now() + DEADLINE;
    while descriptors() != server_alone {
        assert!(Instant::now() < deadline, "{} descriptors, {server_alone} at the start", descriptors());
        thread::yield_now();
    }

    let (mut open, mut ended): (HashSet<ConnId>, BTreeSet<ConnId>) = Default::default();
    for told in record.so_far() {
        match told {
            Told::Opened(id) => assert!(open.insert(id) && !ended.contains(&id), "{id} opened twice"),
            Told::Closed(id, _) => assert!(open.remove(&id) && ended.insert(id), "{id} ended twice, or never opened"),
        }
    }
    assert_eq!(open, HashSet::new(), "each has ended");
    let surely_opened = ROUNDS * ((STAGES.len() - 5) * WAYS.len() + 1);
    assert!((surely_opened..=surely_opened + ROUNDS * WAYS.len()).contains(&ended.len()), "{}", ended.len());
}

const ALONE: &str = "FRAMELOOP_TEST_ALONE";

/// 57 clients each.
const ROUNDS: usize = 60;

#[test]
fn clients_that_vanish_do_not_disturb_one_that_stays() {
    let server = Running::start(config(patient()), Echo);
    let mut steady = Client::open(server.address());
    for (number, stage) in STAGES.iter().take(18).enumerate() {
        for vanish in WAYS {
            let mut client = Client::connect(server.address());
            stage(&mut client);
            vanish(client);
            steady.exchange(&format!("after stage {number}"));
        }
    }
    steady.leave();
}
