//! `SIGSTOP` for longer than all deadlines, then `SIGCONT`: the stall is the server's, so no client pays for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::chatter::{Chatter, chat, check_chat};
use crate::harness::{PATIENCE, wait_until};
use crate::raw::Raw;
use crate::vitals::{descriptors, memory, start_with_frugal_allocator, stop_still};
use crate::wire::{REQUEST_HEAD, server_response};

/// Longer than any of the deadlines below, and than all pings that may go unanswered.
const STALL: Duration = Duration::from_secs(5);

/// All that is in the midst of something when the stall begins must have begun it so shortly before.
const SETUP: Duration = Duration::from_millis(1500);

const FLAGS: [&str; 10] = [
    "serve",
    "--history=1",
    "--ping-interval=500ms",
    "--ping-misses=3",
    "--handshake-timeout=3s",
    "--close-timeout=3s",
    "--slow-timeout=3s",
    "--max-queue=64MiB",
    "--log-level",
    "info",
];

/// More than one poll of the server reports.
const HANDSHAKES: usize = 400;

/// Much more than the system keeps for a connection whose client does not read.
const BACKLOG_CHATS: usize = 40;

/// Bytes of one of them: above 128 KiB each is a block of its own for the allocator, and its pages go when it goes.
const BACKLOG_CHAT_BYTES: usize = 256 * 1024;

#[test]
fn a_server_that_stands_still_for_longer_than_all_deadlines_drops_no_client_that_lives() {
    let mut server = start_with_frugal_allocator(&FLAGS);
    let address = server.address();
    let chatters: Vec<Chatter> = (0..6).map(|_| Chatter::open(address)).collect();
    check_chat(&chatters, "before");
    // A large message, so that all of the one read buffer is in use.
    chatters[0].say(&"[".repeat(1024 * 1024));
    assert!(chatters[0].hear().contains("invalid_message"));
    let (memory_before, descriptors_before) = (memory(&server), descriptors(&server));

    let (behind, halves) = wait_until("all is set up in less than a deadline", || {
        let start = Instant::now();
        // A client that does not read for the moment: its queue in the server is stuck when the stall begins.
        let behind = connect_with_small_buffers(address);
        for number in 0..BACKLOG_CHATS {
            let text = long_chat(number);
            chatters[0].say(&text);
            for hearer in &chatters[1..] {
                assert_eq!(hearer.hear(), text);
            }
        }
        // Clients in the midst of their opening handshake; the last answer shows that the server has seen all of them.
        let halves: Vec<Raw> = (0..HANDSHAKES)
            .map(|_| {
                let mut half = Raw::connect(address);
                half.send(&REQUEST_HEAD[..30]);
                half
            })
            .collect();
        drop(Raw::open(address));
        (start.elapsed() < SETUP).then_some((behind, halves))
    });
    stop_still(&mut server);
    // They live on meanwhile: they complete their handshake, chat, and take what there is to take.
    let mut halves = halves;
    for half in &mut halves {
        half.send(&REQUEST_HEAD[30..]);
    }
    let behind = Chatter::hearing(behind);
    for (number, chatter) in chatters.iter().enumerate() {
        chatter.say(&chat(&format!("during {number}")));
    }
    let mut newcomer = Raw::connect(address);
    newcomer.send(REQUEST_HEAD);
    newcomer.hear_nothing(STALL); // a server that stands still says nothing, to nobody
    server.signal("CONT");

    let head = newcomer.read_head().unwrap();
    assert_eq!(server_response(&head).0, 101, "it waited at the door");
    for half in &mut halves {
        let head = half.read_head().unwrap();
        assert_eq!(server_response(&head).0, 101, "{}", String::from_utf8_lossy(&head));
    }
    drop((newcomer, halves));
    for (number, hearer) in chatters.iter().enumerate() {
        let others = (0..chatters.len()).filter(|&other| other != number);
        let mut expected: Vec<String> = others.map(|other| chat(&format!("during {other}"))).collect();
        let mut heard: Vec<String> = expected.iter().map(|_| hearer.hear()).collect();
        expected.sort();
        heard.sort();
        assert_eq!(heard, expected);
    }
    for number in 0..BACKLOG_CHATS {
        assert!(behind.hear() == long_chat(number), "chat {number}");
    }
    for _ in &chatters {
        assert!(behind.hear().contains("during"));
    }

    // Nothing waits for anybody, and the handshakes are over: what they took is given back.
    wait_until("they are gone", || (descriptors(&server) <= descriptors_before + 1).then_some(()));
    let memory_after = memory(&server);
    // A tenth of what waited: hundreds of handshakes leave small blocks among which the allocator keeps some pages.
    let more = BACKLOG_CHATS * BACKLOG_CHAT_BYTES / 10;
    assert!(memory_after <= memory_before + more, "it held {memory_before} bytes, and holds {memory_after}");

    // And it serves as before, for longer than all deadlines.
    let mut all = chatters;
    all.push(behind);
    let start = Instant::now();
    let mut round = 0;
    while start.elapsed() < STALL {
        check_chat(&all, &format!("after {round}"));
        round += 1;
    }
    assert!(round > 0 && start.elapsed() < STALL + PATIENCE);
    drop(all);
    server.stop();
    let log = server.stderr.rest();
    let dropped: Vec<&String> = log
        .iter()
        .filter(|line| line.contains("reason=heartbeat_timeout") || line.contains("reason=overloaded"))
        .collect();
    assert!(dropped.is_empty(), "{dropped:#?}");
}

fn long_chat(number: usize) -> String {
    chat(&format!("{number} {}", "x".repeat(BACKLOG_CHAT_BYTES)))
}

/// An open connection whose client keeps as little as it can of what it has not read.
fn connect_with_small_buffers(address: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&SockAddr::from(address)).unwrap();
    let stream: std::net::TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut raw = Raw { stream, sent: 0, received: 0 };
    raw.send(REQUEST_HEAD);
    let head = raw.read_head().unwrap();
    assert_eq!(server_response(&head).0, 101);
    raw
}
