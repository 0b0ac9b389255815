//! F2, F3, F5, F6: what is held for a message that is announced, endless, or in tiny pieces.

use frameloop::protocol::{CloseCode, Limits};

use super::{expect_alive, expect_failure, header_64, patient};
use crate::client::Client;
use crate::harness::Running;
use crate::memory::{Alone, KIB, MIB};
use crate::wire::{BINARY, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

/// An echo of messages of up to 64 MiB in a process of its own. It gives nobody up while a client is still writing.
fn echo() -> Alone {
    Alone::start(&["echo", "--max-message", "64MiB", "--close-timeout", "1m"])
}

/// Upon its answer everything that was sent before was read.
fn ping(client: &mut Client) {
    client.send(FIN | PING, b"");
    assert_eq!(client.frame(), ServerFrame::new(PONG, b""));
}

#[test]
fn f2_what_is_announced_is_not_allocated() {
    let mut server = echo();
    let (reserved, resident) = (server.reserved_bytes(), server.resident_bytes());
    let mut clients = Vec::new();
    for first in [FIN | BINARY, BINARY, FIN | TEXT, TEXT].into_iter().cycle().take(100) {
        let mut client = Client::open(server.address());
        let beginning = [header_64(first, 64 * MIB as u64), vec![b'x'; 1000]].concat();
        client.write(&[client_frame(FIN | PING, b""), beginning].concat()); // one segment, one read
        assert_eq!(client.frame().opcode, PONG);
        clients.push(client);
    }
    server.expect_alive();
    // 100 times 64 MiB are announced, 100 times 1000 bytes have come.
    let grown = server.reserved_bytes().saturating_sub(reserved);
    assert!(grown < 2 * MIB, "{grown} bytes reserved");
    for announced in [64 * MIB as u64 + 1, 100 << 20, 1 << 40, i64::MAX as u64] {
        let mut client = Client::open(server.address());
        client.write(&header_64(FIN | BINARY, announced));
        expect_failure(client, CloseCode::MESSAGE_TOO_BIG, "over the limit");
    }
    let grown = server.reserved_bytes().saturating_sub(reserved);
    assert!(grown < 2 * MIB, "{grown} bytes reserved");
    let grown = server.resident_bytes().saturating_sub(resident);
    assert!(grown < 2 * MIB, "{grown} bytes resident");
    server.expect_alive();
    drop(clients);
    server.stop();
}

#[test]
fn f2_at_most_twice_of_what_came_is_held() {
    let mut server = echo();
    let (reserved, peak) = (server.reserved_bytes(), server.resident_bytes_peak());
    let mut client = Client::open(server.address());
    client.send(BINARY, &vec![7; 9 * MIB]); // a little more than a power of two
    ping(&mut client);
    let (reserved, peak) = (server.reserved_bytes() - reserved, server.resident_bytes_peak() - peak);
    assert!((9 * MIB..19 * MIB).contains(&reserved), "{reserved} bytes reserved");
    assert!((9 * MIB..19 * MIB).contains(&peak), "{peak} bytes resident");
    drop(client);
    server.expect_alive();
}

#[test]
fn f3_no_payload_of_a_refused_frame_is_kept() {
    let mut server = echo();
    let before = server.resident_bytes_peak();
    for header in [
        header_64(FIN | 0x3, 32 * MIB as u64), // a reserved opcode
        header_64(FIN | 0xf, 32 * MIB as u64),
        header_64(FIN | 0x40 | BINARY, 32 * MIB as u64), // a reserved bit
        header_64(FIN | PING, 32 * MIB as u64),
        header_64(FIN | CONTINUATION, 32 * MIB as u64), // of nothing
        [&[FIN | BINARY, 127][..], &(32 * MIB as u64).to_be_bytes()].concat(), // not masked
    ] {
        let mut client = Client::open(server.address());
        client.write(&header);
        for _ in 0..32 {
            client.write(&vec![b'x'; MIB]);
        }
        expect_failure(client, CloseCode::PROTOCOL_ERROR, "32 MiB behind the header");
    }
    let grown = server.resident_bytes_peak().saturating_sub(before);
    assert!(grown < MIB, "{grown} bytes");
    server.expect_alive();
    server.stop();
}

#[test]
fn f5_a_message_in_fragments_is_refused_by_the_header_that_would_exceed_the_limit() {
    let server = Running::echo(Limits { message_bytes_max: 10_000, ..patient() });
    for opcode in [TEXT, BINARY] {
        let fragments = [client_frame(opcode, b""), client_frame(CONTINUATION, &[b'x'; 1000]).repeat(10)].concat();
        let mut client = Client::open(server.address());
        client.write(&fragments);
        ping(&mut client);
        client.send(CONTINUATION, b""); // still at the limit
        ping(&mut client);
        client.write(&client_frame(CONTINUATION, b"x")[..6]);
        expect_failure(client, CloseCode::MESSAGE_TOO_BIG, "one byte too many is announced");
    }
    expect_alive(&server);
}

#[test]
fn f5_of_a_message_without_end_no_more_than_the_limit_is_held() {
    let mut server = Alone::start(&["echo", "--max-message", "1MiB", "--close-timeout", "1m"]);
    let before = server.resident_bytes_peak();
    for opcode in [TEXT, BINARY] {
        let mut client = Client::open(server.address());
        client.send(opcode, b"");
        let fragments = client_frame(CONTINUATION, &[b'x'; KIB]).repeat(KIB);
        for _ in 0..64 {
            client.write(&fragments);
        }
        expect_failure(client, CloseCode::MESSAGE_TOO_BIG, "64 MiB");
    }
    let grown = server.resident_bytes_peak().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
    server.expect_alive();
    server.stop();
}

#[test]
fn f6_a_million_fragments_of_one_byte_are_a_message_of_a_million_bytes() {
    let mut server = echo();
    let before = server.resident_bytes_peak();
    for opcode in [BINARY, TEXT] {
        let mut client = Client::open(server.address());
        client.send(opcode, b"");
        let fragments = client_frame(CONTINUATION, b"x").repeat(1000);
        for _ in 0..1000 {
            client.write(&fragments);
        }
        ping(&mut client);
        let grown = server.resident_bytes_peak().saturating_sub(before);
        assert!(grown < 4 * MIB, "{grown} bytes"); // 2 MiB for the message, and the read buffer
        client.send(FIN | CONTINUATION, b"y");
        assert!(client.frame() == ServerFrame::new(opcode, &[&[b'x'; 1_000_000][..], b"y"].concat()));
        client.leave();
    }
    server.expect_alive();
    server.stop();
}
