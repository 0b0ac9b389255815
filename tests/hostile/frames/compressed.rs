//! F14: what is small when it comes, and large once it is decompressed (RFC 7692).

use frameloop::protocol::CloseCode;
use zlib_rs::{Deflate, DeflateFlush};

use super::expect_failure;
use crate::client::Client;
use crate::memory::{Alone, KIB, MIB};
use crate::wire::{BINARY, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame};

/// The first frame of a message that is compressed.
const RSV1: u8 = 0x40;

/// An echo of messages of up to 8 MiB that compresses, in a process of its own.
fn echo(ways: &[&str]) -> Alone {
    Alone::start(&[&["echo", "--max-message", "8MiB", "--close-timeout", "1m"], ways].concat())
}

const WAYS: [&[&str]; 2] = [&["--compress", "shared"], &["--compress", "takeover", "--compress-contexts", "4"]];

/// A client that has agreed with the server to compress.
fn open(server: &Alone) -> Client {
    let mut client = Client::connect(server.address());
    let offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    client.write(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offer].concat());
    let head = client.response_head();
    assert!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate"), "{head}");
    client
}

/// So many bytes, a thousandth on the wire: the payload of one message.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut compressed = vec![0; bytes / 500 + KIB];
    let mut compressor = Deflate::new(9, false, 15);
    compressor.compress(&vec![b'0'; bytes], &mut compressed, DeflateFlush::SyncFlush).unwrap();
    compressed.truncate(compressor.total_out() as usize - 4);
    assert!(compressed.len() < bytes / 900, "1000:1");
    compressed
}

#[test]
fn f14_of_a_bomb_no_more_than_the_limit_is_ever_decompressed() {
    let bomb = bomb(64 * MIB);
    for ways in WAYS {
        let mut server = echo(ways);
        let before = server.resident_bytes_peak();
        for opcode in [TEXT, BINARY].into_iter().cycle().take(8) {
            let mut client = open(&server);
            client.write(&client_frame(FIN | RSV1 | opcode, &bomb));
            expect_failure(client, CloseCode::MESSAGE_TOO_BIG, "64 MiB in 64 KiB");
        }
        let grown = server.resident_bytes_peak().saturating_sub(before);
        // Half as much again while the buffer of the message grows.
        assert!(grown < 13 * MIB, "{ways:?}: {grown} bytes for a limit of 8 MiB");
        assert!(grown > 4 * MIB, "{ways:?}: only {grown} bytes: this measures nothing");
        server.expect_alive();
        server.stop();
    }
}

#[test]
fn f14_bombs_of_many_at_a_time_go_off_one_after_the_other() {
    let bomb = bomb(64 * MIB);
    for ways in WAYS {
        let mut server = echo(ways);
        let before = server.resident_bytes_peak();
        let mut clients: Vec<Client> = (0..16).map(|_| open(&server)).collect();
        // All but the last byte: what is held is what has come.
        let (last, rest) = bomb.split_last().unwrap();
        for client in &mut clients {
            client.write(&[client_frame(RSV1 | BINARY, rest), client_frame(FIN | PING, b"")].concat());
            assert_eq!(client.frame(), ServerFrame::new(PONG, b""));
        }
        let grown = server.resident_bytes_peak().saturating_sub(before);
        assert!(grown < 4 * MIB, "{ways:?}: {grown} bytes for 16 times {}", bomb.len());
        for client in &mut clients {
            client.write(&client_frame(FIN | CONTINUATION, &[*last]));
        }
        for client in clients {
            expect_failure(client, CloseCode::MESSAGE_TOO_BIG, "16 times 64 MiB");
        }
        let grown = server.resident_bytes_peak().saturating_sub(before);
        assert!(grown < 17 * MIB, "{ways:?}: {grown} bytes for a limit of 8 MiB");
        server.expect_alive();
        server.stop();
    }
}

/// 100 connections ask for contexts, and 4 get them; nobody else costs more than a connection does.
#[test]
fn f14_contexts_are_given_to_no_more_than_the_flag_says() {
    let mut server = echo(WAYS[1]);
    let hello = client_frame(FIN | RSV1 | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00"); // RFC 7692 §7.2.3.1
    let mut first = open(&server);
    first.write(&hello);
    assert_eq!(first.frame(), ServerFrame::new(TEXT, b"Hello"));
    let before = server.resident_bytes();
    let mut clients: Vec<Client> = (0..100).map(|_| open(&server)).collect();
    for client in &mut clients {
        client.write(&hello);
        assert_eq!(client.frame(), ServerFrame::new(TEXT, b"Hello"));
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes: 100 contexts would be 4.8 MB of decompressors alone");
    drop((first, clients));
    server.expect_alive();
    server.stop();
}
