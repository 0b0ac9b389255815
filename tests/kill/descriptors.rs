//! For a minute no descriptor is free, and clients come all the time.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Child, wait_until};
use crate::raw::Raw;
use crate::vitals::{check_memory, descriptors, memory};
use crate::wire::{REQUEST_HEAD, server_response};

const MINUTE: Duration = Duration::from_secs(60);

/// The server's limit of open files.
const DESCRIPTORS: usize = 60;

#[test]
fn a_minute_without_a_free_descriptor_disturbs_nobody_who_is_there_and_costs_nothing() {
    let script = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_frameloop"), "echo", "--listen", "127.0.0.1:0"]);
    // More connections than descriptors are allowed, so that the system says that there are no more.
    let mut server = Child::spawn(command.args(["--max-connections", "1000", "--ping-interval", "1440m"]));
    let address = server.address();

    let mut taken: Vec<Raw> = Vec::new();
    while let Some(raw) = knock(address) {
        taken.push(raw);
        assert!(taken.len() < DESCRIPTORS, "no limit shows");
    }
    check_all(&mut taken);
    let descriptors_before = descriptors(&server);
    assert!(descriptors_before >= DESCRIPTORS, "{descriptors_before}");
    let (memory_before, time_before) = (memory(&server), server.processor_time());

    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < MINUTE {
        press(address, &mut taken);
        let quiet = rounds % taken.len();
        taken[quiet].hear_nothing(Duration::from_millis(250));
        rounds += 1;
    }
    let (minute, used) = (start.elapsed(), server.processor_time() - time_before);
    assert!(rounds >= 10, "{rounds} rounds in {minute:?}");
    assert!(used < minute / 20, "{used:?} of processor time in {minute:?}");
    assert!(descriptors(&server) <= descriptors_before);
    check_memory(&server, memory_before);

    // Somebody goes, and somebody else gets in.
    for _ in 0..5 {
        taken.remove(0);
        let mut raw = wait_until("a new client is taken", || knock(address));
        raw.check_echo("new here");
        taken.push(raw);
    }
    check_all(&mut taken);
    check_memory(&server, memory_before);
    drop(taken);
    server.stop();
}

/// Who is there is served, while others want to come in: one that asks, and one that says nothing and goes.
fn press(address: SocketAddr, taken: &mut [Raw]) {
    check_all(taken);
    assert!(knock(address).is_none(), "there is no room");
    drop(Raw::connect(address));
}

/// Asks to come in. Who is not taken is told so, or let go, at once.
fn knock(address: SocketAddr) -> Option<Raw> {
    let mut raw = Raw::connect(address);
    let _ = raw.stream.write_all(REQUEST_HEAD); // it may be over already
    match raw.read_head() {
        Ok(head) => match server_response(&head).0 {
            101 => Some(raw),
            503 => None,
            status => panic!("{status}"),
        },
        Err(error) => {
            let is_let_go = !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(is_let_go, "a client is left hanging");
            None
        }
    }
}

fn check_all(taken: &mut [Raw]) {
    for raw in taken {
        raw.check_echo("still here");
    }
}
