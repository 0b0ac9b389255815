//! Thousands of connections are reset at once, again and again: each time all is given back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::chatter::{Chatter, check_chat};
use crate::harness::{PATIENCE, wait_until};
use crate::raw::Raw;
use crate::vitals::{check_memory_within, descriptors, memory, start_with_frugal_allocator};
use crate::wire::{FIN, REQUEST_HEAD, TEXT, client_frame, server_response};

/// Connections of one crowd. This process and the server have each an end of every one.
const CROWD: usize = 10_000;

/// Open files besides: of the chatters, and those that either process keeps for itself.
const OTHER_FILES: u64 = 200;

/// What may be left where thousands had a small block of their own on the heap, for their half message or request. All
/// blocks are given back, and 5 MB of pages with them but for these: glibc frees its heap from the far end only, and a
/// single live block there, such as a table that became small again while the crowd left, keeps the pages below it. It
/// does not become more with the next crowd. (What the server itself holds is counted in the simulation.)
const SMALL_BLOCKS_MAX: usize = 2 * 1024 * 1024;

/// What may be left where they had none, of 2.3 MB: on a busy machine all of a crowd may end in one turn, and a table that
/// became small then lies behind the lists of that turn.
const LISTS_MAX: usize = 768 * 1024;

#[test]
fn ten_thousand_connections_that_are_reset_at_once_leave_nothing_behind() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit >= CROWD as u64 + OTHER_FILES, "the hard limit of open files, {limit}, is too low for this test");
    let mut server = start_with_frugal_allocator(&["serve", "--log-level", "error"]);
    let address = server.address();
    let chatters: Vec<Chatter> = (0..4).map(|_| Chatter::open(address)).collect();
    check_chat(&chatters, "before");
    let descriptors_at_first = descriptors(&server);
    // A handful of connections that end as the crowd will: what is made once is there before it comes.
    reset(gather(address, 10, true));
    drop(Raw::open(address));
    check_chat(&chatters, "before the crowd");
    let descriptors_before =
        wait_until("the handful is gone", || Some(descriptors(&server)).filter(|&count| count <= descriptors_at_first));
    let memory_before = memory(&server);

    for (round, is_in_midst) in [false, false, true, true, true].into_iter().enumerate() {
        let streams = gather(address, CROWD, is_in_midst);
        assert!(descriptors(&server) >= descriptors_before + CROWD * 9 / 10, "they are there");
        reset(streams);
        wait_until("all descriptors are closed", || (descriptors(&server) <= descriptors_before).then_some(()));
        check_chat(&chatters, &format!("after {round}"));
        drop(Raw::open(address));
        if is_in_midst {
            check_memory_within(&server, memory_before, SMALL_BLOCKS_MAX);
        } else {
            check_memory_within(&server, memory_before, LISTS_MAX);
        }
    }
    drop(chatters);
    server.stop();
}

/// Connections that are open and silent, or that are in all states: then a part is in the midst of a message or of its
/// opening handshake.
fn gather(address: SocketAddr, count: usize, is_in_midst: bool) -> Vec<TcpStream> {
    let frame = client_frame(FIN | TEXT, &[b'x'; 500]);
    let connect = |number: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match number % 10 {
            0 if is_in_midst => {}
            1 if is_in_midst => stream.write_all(&REQUEST_HEAD[..30]).unwrap(),
            2..=4 if is_in_midst => {
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
