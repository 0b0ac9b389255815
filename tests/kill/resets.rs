//! Thousands of connections are reset at once, again and again: each time all is given back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::chatter::{Chatter, check_chat};
use crate::harness::{PATIENCE, start, wait_until};
use crate::raw::Raw;
use crate::vitals::{check_memory, descriptors, memory};
use crate::wire::{FIN, REQUEST_HEAD, TEXT, client_frame, server_response};

/// Connections of one crowd, where the limit of open files is at least twice as high: this process and the server have
/// each an end of every connection. Otherwise half of the limit.
const CROWD: usize = 10_000;

#[test]
fn ten_thousand_connections_that_are_reset_at_once_leave_nothing_behind() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap() as usize;
    let crowd = CROWD.min(limit / 2);
    let mut server = start(&["serve", "--log-level", "error"]);
    let address = server.address();
    let chatters: Vec<Chatter> = (0..4).map(|_| Chatter::open(address)).collect();
    check_chat(&chatters, "before");
    let descriptors_before = descriptors(&server);

    let mut after_warm_up = 0;
    for round in 0..4 {
        let streams = gather(address, crowd);
        assert!(descriptors(&server) >= descriptors_before + crowd * 9 / 10, "they are there");
        reset(streams);
        wait_until("all descriptors are closed", || (descriptors(&server) <= descriptors_before).then_some(()));
        check_chat(&chatters, &format!("after {round}"));
        drop(Raw::open(address));
        // The first crowd makes the tables as large as they have to be, and the allocator keeps pages for the next one.
        let after = memory(&server);
        if round == 0 {
            after_warm_up = after;
        }
        check_memory(after_warm_up, after);
    }
    drop(chatters);
    server.stop();
}

/// Connections in all states: most are open, and a part of these is in the midst of a message.
fn gather(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let frame = client_frame(FIN | TEXT, &[b'x'; 500]);
    let connect = |number: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match number % 10 {
            0 => {}
            1 => stream.write_all(&REQUEST_HEAD[..30]).unwrap(),
            2..=4 => {
                open(&mut stream);
                stream.write_all(&frame[..300]).unwrap();
            }
            _ => open(&mut stream),
        }
        stream
    };
    (0..count).map(connect).collect()
}

fn open(stream: &mut TcpStream) {
    stream.write_all(REQUEST_HEAD).unwrap();
    let (mut bytes, mut length) = ([0; 1024], 0);
    // Nothing follows the response: the server says nothing unasked.
    while !bytes[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes[length..]) {
            Ok(count) => length += count,
            // Another test's child process ended, which interrupts a read that has a timeout.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
        }
    }
    assert_eq!(server_response(&bytes[..length]).0, 101);
}

/// With no time to linger the system resets a connection that is closed.
fn reset(streams: Vec<TcpStream>) {
    for stream in &streams {
        SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(streams);
}
