//! §10.4: what a peer can make the server hold, measured on the whole process.
//!
//! Each test runs in a process of its own, since memory that another test has freed would hide what this one takes.

use std::borrow::Cow;
use std::process::Command;

use frameloop::protocol::{CloseCode, Commons, End, Limits, Message};

use crate::Link;
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, client_frame};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[test]
fn an_announced_length_costs_nothing_until_the_bytes_come() {
    in_own_process("an_announced_length_costs_nothing_until_the_bytes_come", || {
        let mut links: Vec<Link> = (0..1000).map(|_| Link::open(Limits::default())).collect();
        let before = resident_bytes();
        let opcodes = [0x81_u8, 0x82, 0x01, 0x02]; // whole messages and first fragments, text and binary
        for (link, opcode) in links.iter_mut().zip(opcodes.into_iter().cycle()) {
            // The largest message that is allowed, 1 MiB, and not a byte of it.
            link.receive(&[opcode, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]);
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 2 * MIB, "1,000 headers cost {grown} bytes");

        // That this measures anything is shown by bytes that do come.
        for link in &mut links {
            link.receive(&[b'x'; 16 * KIB]);
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown > 15 * MIB, "1,000 times 16 KiB of payload cost only {grown} bytes");
        assert!(grown < 40 * MIB, "memory grows with what came: {grown} bytes");
    });
}

#[test]
fn a_peer_whose_messages_are_answered_owns_no_buffer() {
    in_own_process("a_peer_whose_messages_are_answered_owns_no_buffer", || {
        let fragments =
            [client_frame(BINARY, &[7; 60 * KIB]), client_frame(FIN | CONTINUATION, &[7; 60 * KIB])].concat();
        let commons = Commons::new(Limits::default());
        let exchange = || {
            let mut link = Link::open_with(commons.clone());
            for message in link.receive(&fragments) {
                link.connection.send(Message::Binary(Cow::Owned(message)), link.now);
            }
            link.receive(&client_frame(FIN | PING, b""));
            assert_eq!(link.take_frames().len(), 2);
            link
        };
        drop(exchange()); // what the first exchange takes, all the others take again
        let before = resident_bytes();
        let links: Vec<Link> = (0..1000).map(|_| exchange()).collect();
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 2 * MIB, "{} idle peers cost {grown} bytes", links.len());
    });
}

#[test]
fn a_million_fragments_of_one_byte_cost_no_more_than_a_million_bytes() {
    in_own_process("a_million_fragments_of_one_byte_cost_no_more_than_a_million_bytes", || {
        let mut link = Link::open(Limits::default());
        let read = client_frame(CONTINUATION, b"y").repeat(1000);
        link.receive(&client_frame(BINARY, b"x"));
        link.receive(&read);
        let before = resident_bytes();
        for _ in 1..1000 {
            assert!(link.receive(&read).is_empty());
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MIB, "{grown} bytes");
        let messages = link.receive(&client_frame(FIN | CONTINUATION, b"z"));
        assert_eq!(messages.len(), 1);
        assert!(messages[0] == [&b"x"[..], &vec![b'y'; 1_000_000], b"z"].concat());
    });
}

#[test]
fn a_queue_that_was_full_is_freed() {
    in_own_process("a_queue_that_was_full_is_freed", || {
        let overflow = || {
            let mut link = Link::open(Limits::default());
            link.connection.sent(0, link.now);
            while link.connection.end().is_none() {
                link.connection.send(Message::binary(&[7; 1000]), link.now);
            }
            assert_eq!(link.connection.end(), Some(&End::QueueFull(CloseCode::TRY_AGAIN_LATER)));
            assert!(link.connection.queued_bytes() < 128, "a Close frame");
            link
        };
        drop(overflow());
        let before = resident_bytes();
        let links: Vec<Link> = (0..16).map(|_| overflow()).collect();
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 4 * MIB, "{} queues that were full cost {grown} bytes", links.len());
    });
}

#[test]
fn a_connection_that_is_closed_but_not_yet_gone_holds_no_half_message() {
    in_own_process("a_connection_that_is_closed_but_not_yet_gone_holds_no_half_message", || {
        let fragment = client_frame(BINARY, &[7; 512 * KIB]);
        let close = client_frame(FIN | CLOSE, b"");
        let half_a_message = || {
            let mut link = Link::open(Limits::default());
            link.receive(&fragment);
            link.receive(&close);
            assert_eq!(link.connection.end(), Some(&End::ClosedByPeer(None)));
            link
        };
        drop(half_a_message());
        let before = resident_bytes();
        let links: Vec<Link> = (0..32).map(|_| half_a_message()).collect();
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 2 * MIB, "{} closed connections cost {grown} bytes", links.len());
    });
}

#[test]
fn frames_that_were_sent_are_not_kept() {
    in_own_process("frames_that_were_sent_are_not_kept", || {
        let mut links: Vec<Link> = (0..16).map(|_| Link::open(Limits::default())).collect();
        let ping = client_frame(FIN | PING, &[7; 125]);
        let before = resident_bytes();
        for link in &mut links {
            // The socket takes a part of every pong, so that the queue is never empty and never long.
            for _ in 0..2000 {
                link.receive(&ping);
                assert_eq!(link.take(100).len(), 100);
                assert!((1..3 * 127).contains(&link.connection.queued_bytes()));
            }
        }
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < MIB, "{grown} bytes are held for pongs that were sent");
    });
}

/// Runs `measure` in this test's own process: the parent starts this test alone, and it is the child that measures.
fn in_own_process(name: &str, measure: fn()) {
    if std::env::var_os(CHILD).is_some() {
        return measure();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("memory::{name}"), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
}

/// Bytes of memory that this process holds.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * KIB
}

const CHILD: &str = "FRAMELOOP_TEST_MEASURES_MEMORY";
