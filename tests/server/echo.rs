//! `frameloop echo`: messages of all sizes and forms come back, in order, also when they come faster than they are taken.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use frameloop::protocol::Limits;
use tungstenite::Message;

use crate::client::{Client, library_client};
use crate::harness::{DEADLINE, Running};
use crate::wire::{BINARY, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

const MIB: usize = 1024 * 1024;

#[test]
fn messages_of_all_sizes_come_back_with_their_type() {
    let server = Running::echo(Limits::default());
    let (mut raw, mut library) = (Client::open(server.address()), library_client(server.address()));
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, MIB] {
        let text: String = "text é€😀 ".chars().cycle().scan(size, take_bytes).collect();
        raw.send(FIN | TEXT, text.as_bytes());
        assert!(raw.frame() == ServerFrame::new(TEXT, text.as_bytes()), "{size} bytes of text");
        library.send(Message::text(text.clone())).unwrap();
        assert!(library.read().unwrap() == Message::text(text), "{size} bytes of text by a library");

        let binary: Vec<u8> = (0..size).map(|i| ((i * 31) >> 3) as u8).collect();
        raw.send(FIN | BINARY, &binary);
        assert!(raw.frame() == ServerFrame::new(BINARY, &binary), "{size} bytes");
        library.send(Message::binary(binary.clone())).unwrap();
        assert!(library.read().unwrap() == Message::binary(binary), "{size} bytes by a library");
    }
    raw.leave();
}

/// Takes a character while there is room for it, and a filler of one byte for the rest.
fn take_bytes(left: &mut usize, character: char) -> Option<char> {
    let character = if character.len_utf8() <= *left { character } else { '.' };
    *left = left.checked_sub(character.len_utf8())?;
    Some(character)
}

#[test]
fn twenty_mebibytes_come_back_where_the_limits_allow_them() {
    let limits = Limits { message_bytes_max: 20 * MIB, queue_bytes_max: 21 * MIB, ..Limits::default() };
    let server = Running::echo(limits);
    let mut client = Client::open(server.address());
    let message: Vec<u8> = (0..20 * MIB).map(|i| ((i * 31) >> 7) as u8).collect();
    client.send(FIN | BINARY, &message);
    assert!(client.frame() == ServerFrame::new(BINARY, &message));
    client.leave();
}

#[test]
fn fragments_with_pings_between_them_come_back_as_one_message_behind_the_pongs() {
    let server = Running::echo(Limits::default());
    let mut client = Client::open(server.address());
    // §5.4: a control frame may stand in the middle of a fragmented message; cuts may lie inside of a character.
    let text = "€uro 😀".as_bytes();
    for opcode in [TEXT, BINARY] {
        client.send(opcode, &text[..1]);
        for (i, byte) in text[1..].iter().enumerate() {
            client.send(FIN | PING, &[i as u8]);
            client.send(CONTINUATION, &[*byte]);
        }
        client.send(FIN | CONTINUATION, b"");
        for i in 0..text.len() - 1 {
            assert_eq!(client.frame(), ServerFrame::new(PONG, &[i as u8]));
        }
        assert_eq!(client.frame(), ServerFrame::new(opcode, text));
    }
    client.leave();
}

#[test]
fn messages_in_one_segment_come_back_in_order() {
    let server = Running::echo(Limits::default());
    let mut client = Client::open(server.address());
    let frames: Vec<Vec<u8>> = (0..64).map(|i| client_frame(FIN | TEXT, format!("message {i}").as_bytes())).collect();
    client.write(&frames.concat());
    for i in 0..64 {
        assert_eq!(client.text(), format!("message {i}"));
    }
    client.leave();
}

#[test]
fn a_message_over_the_limit_is_refused_by_its_header_and_one_at_the_limit_is_not() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let server = Running::echo(limits);
    let whole = |len: usize| client_frame(FIN | BINARY, &vec![7; len]);
    let halves = |len: usize| [client_frame(BINARY, &[7; 500]), client_frame(FIN | CONTINUATION, &vec![7; len - 500])];
    let mut client = Client::open(server.address());
    client.write(&whole(1000));
    client.write(&halves(1000).concat());
    for _ in 0..2 {
        assert_eq!(client.frame(), ServerFrame::new(BINARY, &[7; 1000]));
    }
    // §10.4, §7.4.1: 1009, as soon as the length is known. Nothing of the payload need be sent.
    let header = whole(1001)[..8].to_vec();
    let huge = [&[FIN | BINARY, 0xff, 0, 0, 0, 1][..], &[0; 8]].concat();
    for bytes in [whole(1001), halves(1001).concat(), header, huge, whole(MIB)] {
        let mut client = Client::open(server.address());
        client.write(&bytes);
        let (code, reason) = client.close_frame();
        assert_eq!((code, &reason[..17]), (1009, "message_too_large"));
        client.expect_end();
    }
    client.leave();
}

#[test]
fn a_client_that_writes_and_does_not_read_is_not_read_either_and_loses_nothing() {
    // §10.4 says to bound memory. The queue holds 4 MiB at most, so if the server did not pause, it would have to
    // drop something or close. Messages small enough that their echo needs as many bytes as they do.
    let frames: Vec<Vec<u8>> = (0..1000).map(|i| format!("message {i:4} {}", "x".repeat(87)).into_bytes()).collect();
    let requests: Vec<u8> = frames.iter().flat_map(|payload| client_frame(FIN | TEXT, payload)).collect();
    let replies: Vec<u8> =
        frames.iter().flat_map(|payload| [&[FIN | TEXT, payload.len() as u8], &payload[..]].concat()).collect();
    let server = Running::echo(Limits::default());
    let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
    let mut writer = client.writer();
    let (stalled, when_stalled) = mpsc::channel();

    let writing = thread::spawn(move || {
        // Writes until the server takes no more, and then on until it was 50 MiB in all.
        let (mut written, mut end, mut last_progress) = (0, None, Instant::now());
        writer.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while end.is_none_or(|end| written < end) {
            match writer.write(&requests[written % requests.len()..]) {
                Ok(count) => (written, last_progress) = (written + count, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock && end.is_none() => {
                    let rounds = (written + MIB).max(50 * MIB).div_ceil(requests.len());
                    end = Some(rounds * requests.len());
                    stalled.send(rounds).unwrap();
                    last_progress = Instant::now();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "after {written} bytes"),
            }
            assert!(written < 1024 * MIB, "the server takes everything");
            assert!(last_progress.elapsed() < DEADLINE, "the server reads no more");
        }
    });

    let rounds = when_stalled.recv_timeout(DEADLINE).expect("the server pauses");
    let mut reader = client.writer();
    reader.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut received = vec![0; replies.len()];
    for round in 0..rounds {
        reader.read_exact(&mut received).expect("everything comes back");
        assert!(received == replies, "round {round}");
    }
    writing.join().unwrap();
    client.exchange("and it goes on");
    client.leave();
}
