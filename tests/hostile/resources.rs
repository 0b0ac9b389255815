//! R1 to R5, R11, R12, R15 to R17: memory, processor, descriptors and places.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use frameloop::chat::Hub;
use frameloop::protocol::{CloseCode, End, Limits};
use frameloop::server::Config;
use socket2::SockRef;

use crate::by_hand::{ByHand, RESPONSE_HEAD};
use crate::client::Client;
use crate::harness::{DEADLINE, Late, NEVER, Running, Told, config, recording};
use crate::memory::{Alone, KIB, MIB};
use crate::process::{Child, free_port, server};
use crate::wire::{BINARY, CLOSE, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame};

// ---- R1

fn chat(number: usize) -> String {
    format!(r#"{{"type":"chat","number":{number},"padding":"{}"}}"#, "x".repeat(32 * 1024))
}

#[test]
fn r1_a_reader_that_falls_behind_is_closed_with_1013_and_the_others_get_everything() {
    let limits = Limits { queue_bytes_max: 64 * 1024, ping_interval: NEVER, close_timeout: NEVER, ..Limits::default() };
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(limits), app);
    let mut slow = Client::connect_with_small_buffers(server.address()).upgrade();
    let (mut sender, mut reader) = (Client::open(server.address()), Client::open(server.address()));
    let mut is_closed = false;
    for number in 0..1000 {
        sender.send_text(&chat(number));
        assert_eq!(reader.text(), chat(number)); // one by one: the reader is not held up by the other's end either
        let ends = record.so_far().into_iter().filter_map(Told::end);
        is_closed |= ends.inspect(|&end| assert_eq!(end, End::QueueFull(CloseCode::TRY_AGAIN_LATER))).count() > 0;
        if is_closed && number % 100 == 99 {
            break;
        }
    }
    assert!(is_closed, "the server kept 32 MiB");
    // It gets whole frames without a hole, and is told.
    let mut next = 0;
    let close = loop {
        let frame = slow.frame();
        if frame.opcode == CLOSE {
            break frame;
        }
        assert!(frame == ServerFrame::new(TEXT, chat(next).as_bytes()), "chat {next}");
        next += 1;
    };
    assert_eq!((close.close_code(), &close.payload[2..]), (Some(1013), &b"overloaded"[..]));
    slow.expect_end();
    sender.leave();
    reader.leave();
}

#[test]
fn r1_what_waits_for_a_slow_reader_reaches_its_bound_and_never_exceeds_it() {
    const SLOW: usize = 0; // its key
    let limits = Limits { queue_bytes_max: 256 * KIB, ping_interval: NEVER, ..Limits::default() };
    let mut by_hand = ByHand::with(&config(limits.clone()), Hub::default());
    let (_slow, mut sender, mut reader) = (by_hand.open(), by_hand.open(), by_hand.open());
    let chat = format!(r#"{{"type":"chat","padding":"{}"}}"#, "x".repeat(8 * KIB));
    let frame = [&[FIN | TEXT, 126], &(chat.len() as u16).to_be_bytes()[..], chat.as_bytes()].concat();
    let mut waits = 0;
    let mut said = RESPONSE_HEAD.len();
    loop {
        sender.write_all(&client_frame(FIN | TEXT, chat.as_bytes())).unwrap();
        by_hand.turn_until_equal(&mut reader, &frame);
        if by_hand.server.app().lobby().len() == 2 {
            break; // the slow one is out, in the turn in which one frame more would have been too much
        }
        said += frame.len();
        waits = said - by_hand.watch.borrow().bytes_written[&SLOW];
        assert!(waits <= limits.queue_bytes_max, "{waits} bytes wait");
        assert!(said < 64 * MIB, "it is never full");
    }
    assert!(waits + frame.len() > limits.queue_bytes_max, "only {waits} bytes waited");
}

// ---- R2, R3, R4

/// A server of which no ping comes between what a test counts.
#[cfg(target_os = "linux")]
fn start_without_pings(args: &[&str]) -> Alone {
    Alone::start(&[args, &["--ping-interval", "60m"]].concat())
}

/// The server pauses for a client that takes none of its answers. Where this test, on a busy machine, takes a moment of
/// something else for it, the flood is only shorter: what is asserted holds for any length of it.
#[cfg(target_os = "linux")]
const SHORT_PATIENCE: Duration = Duration::from_millis(500);

/// A client that sends these frames again and again and reads nothing of the replies. Returns how many bytes it got
/// rid of: all of them, or as many as fit until the server has read no more for so long.
#[cfg(target_os = "linux")]
fn flood(client: &Client, frames: &[u8], bytes: usize, patience: Duration) -> usize {
    let mut writer = client.writer();
    writer.set_write_timeout(Some(patience)).unwrap();
    SockRef::from(&writer).set_send_buffer_size(MIB).unwrap(); // only its ears are small
    let (mut written, start) = (0, Instant::now());
    while written < bytes {
        match writer.write(&frames[written % frames.len()..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {} // another test's child process ended
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
        assert!(start.elapsed() < 12 * DEADLINE, "after {written} bytes");
    }
    writer.set_write_timeout(Some(DEADLINE)).unwrap(); // it is the client's socket, too
    written
}

#[cfg(target_os = "linux")]
#[test]
fn r2_64_mib_of_pings_whose_pongs_are_not_read_cost_no_memory() {
    let mut server = start_without_pings(&["echo"]);
    let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
    let before = server.resident_bytes();
    let pings: Vec<u8> = (0..1000).flat_map(|n| client_frame(FIN | PING, format!("{n:0125}").as_bytes())).collect();
    let written = flood(&client, &pings, 64 * MIB, DEADLINE);
    assert!(written >= 64 * MIB, "a server that need not keep the pongs need not stop reading: {written}");
    let grown = server.resident_bytes_peak().saturating_sub(before);
    assert!(grown <= 2 * MIB, "{grown} bytes");
    // §5.5.3: the newest ping has its answer. What was cut of the last one in the flood is completed first.
    client.write(&pings[written % pings.len()..]);
    client.send(FIN | PING, b"the last");
    loop {
        let frame = client.frame();
        assert_eq!(frame.opcode, PONG);
        if frame.payload == b"the last" {
            break;
        }
        assert_eq!(frame.payload.len(), 125);
    }
    client.leave();
    server.expect_alive();
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn r3_64_mib_of_mistakes_whose_errors_are_not_read_cost_a_bounded_queue_and_lose_no_answer() {
    // Each mistake makes its answer: without a pause the queue would grow as long as the peer likes.
    let mut server = start_without_pings(&["serve"]);
    let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
    // A large message of somebody else: from then on the one read buffer is in use to its end.
    let mut other = Client::open(server.address());
    other.send_text(&"[".repeat(MIB));
    assert!(other.text().contains("invalid_message"));
    let before = server.resident_bytes();
    let frame = client_frame(FIN | TEXT, format!("[{}]", " ".repeat(100)).as_bytes());
    let written = flood(&client, &frame.repeat(1000), 64 * MIB, SHORT_PATIENCE);
    assert!(written < 64 * MIB, "the server takes {written} bytes, and more");
    let grown = server.resident_bytes_peak().saturating_sub(before);
    // 1 MiB of answers, half as much for their bookkeeping, and the rest of one read; the system counts in large steps.
    assert!(grown <= 2 * MIB + MIB / 4, "{grown} bytes");
    server.expect_alive(); // nobody else waits
    for _ in 0..written / frame.len() {
        let answer = client.text();
        assert!(answer.contains("invalid_message"), "{answer}");
    }
    client.write(&frame[written % frame.len()..]);
    assert!(client.text().contains("invalid_message"));
    client.leave();
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn r4_a_million_control_frames_leave_memory_as_it_was() {
    let mut server = start_without_pings(&["echo"]);
    let mut client = Client::open(server.address());
    let batch = [client_frame(FIN | PING, b""), client_frame(FIN | PONG, &[7; 20])].concat().repeat(1000);
    let mut exchange = |count: usize| {
        for _ in 0..count {
            client.write(&batch);
            // Pongs that wait together may be fewer than the pings: the last one shows that all were read.
            client.send(FIN | PING, b"end");
            while client.frame().payload != b"end" {}
        }
    };
    exchange(20);
    let before = server.resident_bytes();
    exchange(500);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown <= MIB, "{grown} bytes");
    server.expect_alive();
    server.stop();
}

// ---- R11

/// A server with so many places and no timeout of its handshakes.
fn config_with_places(connections_max: usize) -> Config {
    let limits = Limits { handshake_timeout: NEVER, ping_interval: NEVER, close_timeout: NEVER, ..Limits::default() };
    Config { connections_max, ..config(limits) }
}

fn expect_408(mut client: Client) {
    let head = client.response_head();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(String::from_utf8(client.rest()).unwrap().contains("handshake_timeout"));
}

#[test]
fn r11_of_more_handshakes_than_a_quarter_of_the_places_the_oldest_are_cut() {
    let server = Running::start(config_with_places(400), Late(Hub::default));
    let mut connecting: Vec<Client> = Vec::new();
    for number in 0..150 {
        let mut client = Client::connect(server.address());
        client.write(&REQUEST_HEAD[..number % 50]); // silent, or with a part of the request
        connecting.push(client);
    }
    let rest = connecting.split_off(50);
    connecting.into_iter().for_each(expect_408);
    // The hundred that came last can still go on.
    let open: Vec<Client> = rest
        .into_iter()
        .zip(50..)
        .map(|(mut client, number)| {
            client.write(&REQUEST_HEAD[number % 50..]);
            let head = client.response_head();
            assert!(head.starts_with("HTTP/1.1 101 "), "{number}: {head}");
            client
        })
        .collect();
    open.into_iter().for_each(Client::leave);
}

#[test]
fn r11_a_flood_of_silent_connections_takes_no_place_from_those_who_ask() {
    let server = Running::start(config_with_places(100), Late(Hub::default));
    let mut open: Vec<Client> = (0..60).map(|_| Client::open(server.address())).collect();
    let mut silent: Vec<Client> = Vec::new();
    for _ in 0..15 {
        // They keep their side open, whatever they are told.
        silent.extend((0..50).map(|_| Client::connect(server.address())));
        let mut client = Client::open(server.address());
        client.send(FIN | PING, b"in");
        assert_eq!(client.frame(), ServerFrame::new(PONG, b"in"));
        open.push(client);
    }
    open.into_iter().for_each(Client::leave);
    // Of the last 25, one made room for the last that asked.
    silent.truncate(750 - 24);
    silent.into_iter().for_each(expect_408);
}

#[test]
fn r11_whoever_has_asked_is_answered_before_anybody_is_cut() {
    // 16 may go on, and 60 come at once, each with its request.
    let mut by_hand = ByHand::with(&config_with_places(64), Hub::default());
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| by_hand.connect()).collect();
    for stream in &mut crowd {
        stream.write_all(REQUEST_HEAD).unwrap();
    }
    for stream in &mut crowd {
        by_hand.turn_until_equal(stream, RESPONSE_HEAD);
    }
    assert_eq!(by_hand.server.app().lobby().len(), 60);
}

#[test]
fn r11_a_small_server_lets_sixteen_handshakes_go_on() {
    let server = Running::start(config_with_places(20), Late(Hub::default));
    let mut connecting: Vec<Client> = (0..17).map(|_| Client::connect(server.address())).collect();
    expect_408(connecting.remove(0));
    let open: Vec<Client> = connecting.into_iter().map(Client::upgrade).collect();
    open.into_iter().for_each(Client::leave);
}

// ---- R12

#[cfg(target_os = "linux")]
#[test]
fn r12_a_thousand_that_declare_100_mb_are_refused_and_cost_nothing() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut server = start_without_pings(&["serve"]);
    let mut clients: Vec<Client> = (0..1000).map(|_| Client::open(server.address())).collect();
    let (resident, reserved) = (server.resident_bytes(), server.reserved_bytes());
    for client in &mut clients {
        client.write(&[&[FIN | BINARY, 0xff], &100_000_000_u64.to_be_bytes()[..], &[1, 2, 3, 4], &[0; 1000]].concat());
    }
    for client in &mut clients {
        assert_eq!(client.close_frame().0, 1009);
    }
    assert!(server.resident_bytes_peak() <= resident + MIB, "{} bytes", server.resident_bytes_peak() - resident);
    assert!(server.reserved_bytes() <= reserved + MIB, "{} bytes", server.reserved_bytes() - reserved);
    server.expect_alive();
    drop(clients);
    server.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn r12_a_thousand_parts_of_messages_cost_what_has_come_of_them() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut server = start_without_pings(&["echo", "--max-message", "64MiB"]);
    let mut clients: Vec<Client> = (0..1000).map(|_| Client::open(server.address())).collect();
    let (resident, reserved) = (server.resident_bytes(), server.reserved_bytes());
    let mut send = |bytes: &[u8]| {
        for client in &mut clients {
            client.write(bytes);
            client.write(&[]);
        }
        server.expect_alive(); // it has read what came before
        (server.resident_bytes().saturating_sub(resident), server.reserved_bytes().saturating_sub(reserved))
    };
    let part = [&[FIN | BINARY, 0xff], &(32 * MIB as u64).to_be_bytes()[..], &[1, 2, 3, 4], &[7; 1000]].concat();
    for (bytes, received) in [(&part[..], 1000), (&[7; 9000], 10_000), (&[7; 10_000], 20_000)] {
        let (resident, reserved) = send(bytes);
        let most = 1000 * (received + 16 * KIB);
        assert!(resident <= most, "{resident} bytes for {received} of each");
        assert!(reserved <= most + MIB, "{reserved} bytes asked for {received} of each");
    }
    drop(clients);
    server.stop();
}

// ---- R15

#[test]
fn r15_no_map_has_a_hash_that_a_peer_could_aim_at() {
    // The hash of the standard library's maps has a random key for each. Only whoever names another one can lose that.
    fn check(directory: &Path, files: &mut usize) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check(&path, files);
            } else {
                *files += 1;
                // Whoever hashes with the standard library's own random key may name the trait for it.
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.replace("use std::hash::{BuildHasher as _, RandomState};", "");
                for name in ["BuildHasher", "with_hasher", "Hasher for", "FxHash", "ahash", "fnv::"] {
                    assert!(!text.contains(name), "{name} in {}", path.display());
                }
            }
        }
    }
    let mut files = 0;
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files > 30, "{files}");
}

// ---- R16

#[cfg(target_os = "linux")]
#[test]
fn r16_a_connection_that_says_nothing_costs_at_most_1_kib() {
    const CLIENTS: usize = 4000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    for mode in ["echo", "serve"] {
        let mut server = start_without_pings(&[mode]);
        let before = server.resident_bytes();
        let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::open(server.address())).collect();
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown <= CLIENTS * KIB, "{mode}: {} bytes each", grown / CLIENTS);
        server.expect_alive();
        drop(clients);
        server.stop();
    }
}

// ---- R17

#[test]
fn r17_after_a_restart_all_come_back_at_once_and_get_in() {
    const CLIENTS: usize = 1000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let start =
        || Child::spawn(server().args(["echo", "--listen", &listen, "--log-level", "off", "--ping-interval", "60m"]));
    let connect = |address: SocketAddr| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
        clients.iter_mut().for_each(|client| client.write(REQUEST_HEAD));
        for client in &mut clients {
            let head = client.response_head();
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        }
        clients
    };
    let mut server = start();
    let mut clients = connect(server.address());
    server.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.close_frame(), (1001, "shutdown".to_owned()));
        client.send_close(1001);
        client.expect_end();
    }
    drop(clients);
    assert_eq!(server.wait().code(), Some(0));

    let mut server = start();
    for mut client in connect(server.address()) {
        client.exchange("back again");
        client.leave();
    }
    server.stop();
}
