//! §10.4: readers that are too slow cost a bounded queue, then their connection, and others nothing.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use frameloop::chat::Hub;
use frameloop::protocol::{CloseCode, End, Limits};

use crate::client::Client;
use crate::harness::{Firehose, Late, NEVER, Running, Told, config, recording};
use crate::wire::{FIN, PING, PONG, TEXT};

/// 16 MiB: more than the buffers of the system hold for a client that does not read.
const MUCH: usize = 256;

fn chat(number: usize) -> String {
    format!(r#"{{"type":"chat","number":{number},"padding":"{}"}}"#, "x".repeat(32 * 1024))
}

#[test]
fn a_reader_that_takes_nothing_is_closed_at_the_end_of_the_time() {
    let limits = Limits {
        queue_bytes_max: usize::MAX,
        slow_timeout: Duration::from_millis(400),
        close_timeout: NEVER,
        ..Limits::default()
    };
    let (app, record) = recording(Firehose);
    let server = Running::start(config(limits.clone()), app);
    let mut slow = Client::connect_with_small_buffers(server.address()).upgrade();
    let start = Instant::now();
    slow.send_text(&MUCH.to_string());
    assert_eq!(record.next_end(), End::SlowReader(CloseCode::TRY_AGAIN_LATER));
    assert!(start.elapsed() >= limits.slow_timeout);
    let frames = slow.frames_to_the_end();
    let (close, data) = frames.split_last().unwrap();
    assert_eq!((close.close_code(), &close.payload[2..]), (Some(1013), &b"overloaded"[..]));
    assert!(data.len() < MUCH, "what waited was dropped");
    assert!(data.iter().all(|frame| frame.payload.len() == Firehose::PAYLOAD_BYTES));
}

#[test]
fn a_reader_that_takes_nothing_when_nothing_waits_lives_on() {
    let limits = Limits { slow_timeout: Duration::from_millis(50), ..Limits::default() };
    let (app, record) = recording(Firehose);
    let server = Running::start(config(limits.clone()), app);
    let mut client = Client::open(server.address());
    client.send_text("1"); // the buffers of the system hold it
    let mut other = Client::open(server.address());
    assert_eq!(other.fill(limits.slow_timeout * 10).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(record.so_far().into_iter().find_map(Told::end), None);
    assert_eq!(client.frame().payload.len(), Firehose::PAYLOAD_BYTES);
    client.leave();
}

/// A client to which much more is sent than it takes in `time`. It takes some frames, pauses, and so on, and answers
/// pings; at the end it takes the rest.
fn take_slowly(server: &Running, time: Duration, frames: usize, pause: Duration) -> Client {
    const FRAMES: usize = 2000; // 125 MiB, which share their memory
    // Some room: a window smaller than a segment makes the system itself wait for long between two of them.
    let mut client = Client::connect_with_buffers(server.address(), 512 * 1024).upgrade();
    client.send_text(&FRAMES.to_string());
    let mut taken = 0;
    let mut take = |client: &mut Client| {
        let frame = client.frame();
        match frame.opcode {
            PING => client.send(FIN | PONG, b""),
            _ => {
                assert_eq!((frame.opcode, frame.payload.len()), (TEXT, Firehose::PAYLOAD_BYTES), "frame {taken}");
                taken += 1;
            }
        }
        taken
    };
    // Nothing is ever sent to this one: to wait for it makes the other slow.
    let mut clock = Client::connect(server.address());
    let start = Instant::now();
    while start.elapsed() < time {
        for _ in 0..frames {
            assert!(take(&mut client) < FRAMES, "there is enough for all the time");
        }
        assert_eq!(clock.fill(pause).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    while take(&mut client) < FRAMES {}
    client
}

#[test]
fn a_reader_that_always_takes_a_little_lives_on() {
    // §10.4 bounds what waits; but slow is who makes no progress, however much waits.
    let limits = Limits {
        queue_bytes_max: usize::MAX,
        slow_timeout: Duration::from_millis(1500),
        handshake_timeout: NEVER,
        ..Limits::default()
    };
    let server = Running::start(config(limits.clone()), Firehose);
    take_slowly(&server, limits.slow_timeout * 2, 4, Duration::from_millis(20)).leave();
}

#[test]
fn a_reader_that_takes_less_than_the_system_reports_lives_on() {
    // The system reports room only when a third of its buffer is free: here that takes longer than the slow timeout.
    let limits = Limits {
        queue_bytes_max: usize::MAX,
        slow_timeout: Duration::from_millis(700),
        handshake_timeout: NEVER,
        ..Limits::default()
    };
    let server = Running::start(config(limits.clone()), Firehose);
    take_slowly(&server, limits.slow_timeout * 4, 1, Duration::from_millis(100)).leave();
}

#[test]
fn a_slow_reader_is_not_taken_for_dead_while_the_server_does_not_read_its_pongs() {
    // With more than 1 MiB waiting for it a peer is not read: then its silence is the server's own doing.
    let limits = Limits {
        queue_bytes_max: usize::MAX,
        slow_timeout: NEVER,
        handshake_timeout: NEVER,
        ping_interval: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Running::start(config(limits.clone()), Firehose);
    let client = take_slowly(&server, limits.ping_interval * 10, 4, Duration::from_millis(20));
    assert!(client.close().iter().all(|frame| frame.opcode == PING));
}

#[test]
fn whoever_is_not_read_since_it_does_not_read_can_still_end() {
    let limits = Limits { queue_bytes_max: usize::MAX, slow_timeout: NEVER, close_timeout: NEVER, ..Limits::default() };
    let (app, record) = recording(Firehose);
    let server = Running::start(config(limits), app);
    let paused = || {
        let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
        client.send_text("300");
        assert_eq!(client.frame().payload.len(), Firehose::PAYLOAD_BYTES);
        client
    };
    paused().reset();
    assert_eq!(record.next_end(), End::Reset);

    let mut client = paused();
    client.shutdown_write();
    assert_eq!(client.frames_to_the_end().len(), 299);
    assert_eq!(record.next_end(), End::Lost);

    assert_eq!(paused().close().len(), 299);
    assert!(matches!(record.next_end(), End::ClosedByPeer(_)));
}

#[test]
fn what_came_while_a_client_was_not_read_is_answered_once_it_is_read_again() {
    // The bound is low, so that a single write empties the queue, and no further event of the system follows.
    let limits = Limits { queue_bytes_max: 256 * 1024, ..Limits::default() };
    let server = Running::start(config(limits), Firehose);
    let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
    let mut other = Client::open(server.address());
    for _ in 0..150 {
        client.send_text("1");
        other.send_text("1"); // with its answer the server has had a turn: each request is a read of its own
        assert_eq!(other.frame().payload.len(), Firehose::PAYLOAD_BYTES);
    }
    for _ in 0..150 {
        assert_eq!(client.frame().payload.len(), Firehose::PAYLOAD_BYTES);
    }
    client.leave();
}

#[test]
fn a_slow_reader_that_does_not_even_take_the_close_is_dropped() {
    let limits = Limits { queue_bytes_max: 64 * 1024, close_timeout: Duration::from_millis(200), ..Limits::default() };
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(limits), app);
    let mut slow = Client::connect_with_small_buffers(server.address()).upgrade();
    let mut sender = Client::open(server.address());
    let mut numbers = 0..1000;
    let end = loop {
        sender.send_text(&chat(numbers.next().expect("the server kept 32 MiB")));
        if let Some(end) = record.so_far().into_iter().find_map(Told::end) {
            break end;
        }
    };
    assert_eq!(end, End::QueueFull(CloseCode::TRY_AGAIN_LATER));
    sender.leave();
    server.stop();
    server.wait().unwrap();
    slow.expect_dropped();
}
