//! F: frames and messages.

mod compressed;
mod control;
mod memory;
mod text;

use std::rc::Rc;
use std::time::Instant;

use frameloop::protocol::{CloseCode, Commons, Connection, Event, Input, Limits};

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running};
use crate::memory::MIB;
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, close_payload,
};

/// Limits in which a connection ends for what was sent, and not for a time that is over.
fn patient() -> Limits {
    Limits { close_timeout: NEVER, ..Limits::default() }
}

fn expect_alive(server: &Running) {
    let mut client = Client::open(server.address());
    client.exchange("and the next client is served");
    client.leave();
}

/// A new client sends a message, which comes back, and then these bytes, upon which it gets a Close frame with this
/// code, nothing else, and the end.
fn failed(server: &Running, bytes: &[u8], code: CloseCode) {
    let mut client = Client::open(server.address());
    client.exchange("all is well");
    client.write(bytes);
    expect_failure(client, code, &bytes[..bytes.len().min(100)].escape_ascii().to_string());
}

fn expect_failure(mut client: Client, code: CloseCode, what: &str) {
    assert_eq!(client.close_frame().0, code.number(), "{what}");
    client.expect_end();
}

/// The header of a masked frame with a 64-bit length.
fn header_64(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat()
}

// ---- F1, F3, F9, F10: headers that lie

#[test]
fn f1_a_length_with_its_top_bit_or_one_that_wraps_a_sum_is_neither_waited_for_nor_cut_short() {
    let server = Running::echo(patient());
    for opcode in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        for length in [1 << 63, (1 << 63) + 5, u64::MAX, u64::MAX - 4] {
            failed(&server, &header_64(opcode, length), CloseCode::PROTOCOL_ERROR);
        }
        // 2^32 + 5 is not 5: the bytes behind it are neither a message nor the next frame.
        for length in [i64::MAX as u64, (1 << 32) + 5, 1 << 32, (1 << 31) + 5, u64::from(u32::MAX)] {
            let bytes = [header_64(opcode, length), b"Hello".to_vec(), client_frame(FIN | TEXT, b"good")].concat();
            failed(&server, &bytes, CloseCode::MESSAGE_TOO_BIG);
        }
    }
    // Together with what has come before it the length wraps to something small.
    for (have, length) in [(5, u64::MAX - 4), (100, u64::MAX - 99)] {
        let fragment = client_frame(BINARY, &vec![7; have]);
        failed(&server, &[fragment, header_64(FIN | CONTINUATION, length)].concat(), CloseCode::PROTOCOL_ERROR);
    }
    for (have, length) in [(5, i64::MAX as u64), (5, (1 << 32) - 5), (5, u64::from(u32::MAX)), (1, MIB as u64)] {
        let fragment = client_frame(TEXT, &vec![b'x'; have]);
        failed(&server, &[fragment, header_64(FIN | CONTINUATION, length)].concat(), CloseCode::MESSAGE_TOO_BIG);
    }
    expect_alive(&server);
}

#[test]
fn f1_no_sum_wraps_where_there_is_no_limit_either() {
    let server = Running::echo(Limits { message_bytes_max: usize::MAX, message_frames_max: u32::MAX, ..patient() });
    let mut clients = Vec::new();
    for first in [FIN | CONTINUATION, CONTINUATION] {
        let mut client = Client::open(server.address());
        let longest = header_64(first, i64::MAX as u64);
        client.write(&[client_frame(BINARY, &[7; 100]), client_frame(FIN | PING, b""), longest].concat());
        assert_eq!(client.frame(), ServerFrame::new(PONG, b""));
        client.write(&[7; 10_000]);
        clients.push(client);
    }
    expect_alive(&server);
    for client in &mut clients {
        client.shutdown_write();
        client.expect_end(); // a message without its end is no message
    }
}

#[test]
fn f3_a_reserved_opcode_is_refused_before_a_byte_of_its_payload_counts() {
    let server = Running::echo(patient());
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for first in [FIN | opcode, opcode] {
            // By its first byte: whatever the length says, and wherever it stands.
            failed(&server, &[first], CloseCode::PROTOCOL_ERROR);
            failed(&server, &header_64(first, i64::MAX as u64), CloseCode::PROTOCOL_ERROR);
            failed(&server, &client_frame(first, b"payload"), CloseCode::PROTOCOL_ERROR);
            failed(&server, &[client_frame(TEXT, b"a"), client_frame(first, b"b")].concat(), CloseCode::PROTOCOL_ERROR);
        }
    }
    expect_alive(&server);
}

#[test]
fn f9_a_frame_that_is_not_masked_is_refused_by_its_second_byte() {
    let server = Running::echo(patient());
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for length in [0, 5, 125] {
            failed(&server, &[FIN | opcode, length], CloseCode::PROTOCOL_ERROR);
        }
        failed(&server, &[&[FIN | opcode, 5][..], b"Hello"].concat(), CloseCode::PROTOCOL_ERROR);
    }
    for length in [126, 127] {
        failed(&server, &[FIN | TEXT, length], CloseCode::PROTOCOL_ERROR);
    }
    failed(&server, &[client_frame(TEXT, b"a"), vec![FIN | CONTINUATION, 0]].concat(), CloseCode::PROTOCOL_ERROR);
    expect_alive(&server);
}

#[test]
fn f10_a_length_that_is_not_in_its_shortest_form_is_refused() {
    let server = Running::echo(patient());
    for length in [0_u16, 5, 125] {
        let header = [&[FIN | BINARY, 0x80 | 126][..], &length.to_be_bytes()].concat();
        failed(&server, &header, CloseCode::PROTOCOL_ERROR);
        let whole = [&header[..], &[0; 4], &vec![b'x'; length.into()]].concat();
        failed(&server, &whole, CloseCode::PROTOCOL_ERROR);
    }
    for length in [0, 5, 125, 126, 0xffff] {
        failed(&server, &header_64(FIN | TEXT, length)[..10], CloseCode::PROTOCOL_ERROR);
        let whole = [header_64(FIN | TEXT, length), vec![b'x'; length as usize]].concat();
        failed(&server, &whole, CloseCode::PROTOCOL_ERROR);
    }
    expect_alive(&server);
}

#[test]
fn f14_a_compressed_frame_is_refused_since_no_compression_was_agreed() {
    let server = Running::echo(patient());
    let offers: [&[u8]; 3] = [
        b"",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        b"Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover\r\n",
    ];
    // Each byte of a stored block of zeros could stand for a thousand.
    let bomb = client_frame(FIN | 0x40 | TEXT, &[0; 1000]);
    let first_fragment = client_frame(0x40 | BINARY, b"\xf2\x48\xcd\xc9\xc9\x07");
    for offer in offers {
        for bytes in [&bomb[..], &first_fragment, &bomb[..1]] {
            let mut client = Client::connect(server.address());
            client.write(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offer, b"\r\n"].concat());
            let head = client.response_head();
            assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("Extensions"), "none is agreed on: {head}");
            client.write(bytes);
            expect_failure(client, CloseCode::PROTOCOL_ERROR, "RSV1");
        }
    }
    for bits in [0x10, 0x20, 0x30, 0x50, 0x70] {
        failed(&server, &client_frame(FIN | bits | TEXT, b"x"), CloseCode::PROTOCOL_ERROR);
        failed(&server, &client_frame(FIN | bits | PING, b""), CloseCode::PROTOCOL_ERROR);
    }
    expect_alive(&server);
}

#[test]
fn f15_nothing_behind_a_broken_frame_is_read_in_its_segment_or_later() {
    let server = Running::echo(patient());
    let good = [
        client_frame(FIN | TEXT, b"good"),
        client_frame(FIN | PING, b"good"),
        client_frame(FIN | CLOSE, &close_payload(1000, "")),
    ]
    .concat();
    let too_long = vec![7; MIB + 1];
    for (bad, code) in [
        (client_frame(FIN | 0x3, b""), CloseCode::PROTOCOL_ERROR),
        (client_frame(FIN | 0x40 | TEXT, b"bad"), CloseCode::PROTOCOL_ERROR),
        (client_frame(FIN | CONTINUATION, b"bad"), CloseCode::PROTOCOL_ERROR),
        (client_frame(PING, b"bad"), CloseCode::PROTOCOL_ERROR),
        (vec![FIN | TEXT, 0], CloseCode::PROTOCOL_ERROR),
        (client_frame(FIN | TEXT, b"\xff"), CloseCode::INVALID_PAYLOAD),
        (client_frame(FIN | BINARY, &too_long), CloseCode::MESSAGE_TOO_BIG),
        (header_64(FIN | BINARY, 1 << 40), CloseCode::MESSAGE_TOO_BIG),
        (client_frame(FIN | CLOSE, b"x"), CloseCode::PROTOCOL_ERROR),
        (client_frame(FIN | CLOSE, b"\x03\xe8\xff"), CloseCode::INVALID_PAYLOAD),
    ] {
        let mut client = Client::open(server.address());
        client.write(&[&bad[..], &good].concat());
        client.write(&good);
        expect_failure(client, code, "bad, then good"); // one frame, whose code is that of the bad one
    }
    expect_alive(&server);
}

// ---- F7, F8: work

#[test]
fn f7_a_message_in_a_million_pieces_costs_linear_time() {
    // Two shapes: a million frames in one read, and one frame in as many reads. To move what is left of the read, or to
    // join anew what has come, once for each piece, would be more than 10^12 bytes; that it is told in time is why the
    // pieces become more little by little.
    let (start, commons) = (Instant::now(), Commons::new(patient()));
    for pieces in (14..=20).map(|shift| 1 << shift) {
        for opcode in [TEXT, BINARY] {
            let mut one_read = client_frame(opcode, b"");
            for byte in "é".repeat(pieces / 2 - 1).bytes() {
                one_read.extend_from_slice(&client_frame(CONTINUATION, &[byte]));
            }
            one_read.extend_from_slice(&client_frame(FIN | CONTINUATION, b""));
            assert_eq!(message_bytes(&commons, start, &mut one_read, usize::MAX), [pieces - 2]);

            let mut one_frame = client_frame(FIN | opcode, "é".repeat(pieces / 2).as_bytes());
            assert_eq!(message_bytes(&commons, start, &mut one_frame, 1), [pieces]);
            assert!(start.elapsed() < DEADLINE, "{pieces} pieces");
        }
    }
}

#[test]
fn f8_a_million_empty_messages_and_pings_cost_linear_time() {
    let (start, commons) = (Instant::now(), Commons::new(patient()));
    let frames = [client_frame(FIN | TEXT, b""), client_frame(FIN | PING, b""), client_frame(FIN | PONG, b"")].concat();
    for count in (14..=20).map(|shift| 1 << shift) {
        let lengths = message_bytes(&commons, start, &mut frames.repeat(count), usize::MAX);
        assert!(lengths == vec![0; count]);
        assert!(start.elapsed() < DEADLINE, "{count} times three frames");
    }
}

#[test]
fn f8_empty_fragments_are_counted_and_refused_by_the_header_of_the_first_too_many() {
    let server = Running::echo(Limits { message_frames_max: 1000, ..patient() });
    for opcode in [TEXT, BINARY] {
        let most = [client_frame(opcode, b""), client_frame(CONTINUATION, b"").repeat(998)].concat();
        let mut client = Client::open(server.address());
        client.write(&[&most[..], &client_frame(FIN | CONTINUATION, b"")].concat());
        assert_eq!(client.frame(), ServerFrame::new(opcode, b""), "a thousand frames are a message");
        let ping = client_frame(FIN | PING, b"a control frame does not count");
        client.write(&[&most[..], &client_frame(CONTINUATION, b""), &ping].concat());
        assert_eq!(client.frame().opcode, PONG);
        client.write(&client_frame(CONTINUATION, b"")[..6]);
        expect_failure(client, CloseCode::MESSAGE_TOO_BIG, "1001 frames");
    }
    expect_alive(&server);
}

/// Opens a connection, gives it these bytes in reads of this size, and returns the lengths of its messages.
fn message_bytes(commons: &Rc<Commons>, now: Instant, bytes: &mut [u8], read_bytes: usize) -> Vec<usize> {
    let mut connection = Connection::new(commons.clone(), now);
    let mut head = REQUEST_HEAD.to_vec();
    let mut lengths = Vec::new();
    let reads = bytes.chunks_mut(read_bytes.min(bytes.len()));
    for read in std::iter::once(&mut head[..]).chain(reads) {
        let mut input = Input::new(read);
        while let Some(event) = connection.poll_event(&mut input, now) {
            match event {
                Event::Request(request) => connection.accept(&request, None, now),
                Event::Document(_) => panic!("the request asks for an upgrade"),
                Event::Message(message) => lengths.push(message.as_bytes().len()),
            }
        }
        connection.sent(connection.queued_bytes(), now);
    }
    assert_eq!(connection.end(), None);
    lengths
}
