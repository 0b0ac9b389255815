//! A standard error that takes nothing, and the server goes on all the same.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Child, Lines, PATIENCE, server, wait_until};
use crate::raw::Raw;
use crate::tungstenite_client::{close, connect, next_text};
use crate::wire::REQUEST_HEAD;

/// Arguments of a server that logs each connection.
const ARGS: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Connections that make more lines than a pipe and the queue before it hold: 64 KiB and 1 MiB on Linux.
const MANY: usize = 4000;

/// Opens and drops many connections, with request targets that fill the log.
fn fill_the_log(address: SocketAddr, count: usize) {
    let target = "x".repeat(300);
    let request = [format!("GET /{target} HTTP/1.1\r\n").as_bytes(), &REQUEST_HEAD[17..]].concat();
    for _ in 0..count {
        let mut raw = Raw::open_with(address, &request);
        // A reset leaves nothing behind that would use up the ports of this machine.
        socket2::SockRef::from(&raw.stream).set_linger(Some(Duration::ZERO)).unwrap();
        raw.sent += 1;
    }
}

/// Two clients, one with a mistake: what is logged of them cannot be printed.
fn check_chat(address: SocketAddr) {
    let (mut one, mut other) = (connect(address), connect(address));
    one.send("no JSON".into()).unwrap();
    assert!(next_text(&mut one).contains("invalid_json"));
    one.send("{\"type\":\"chat\",\"msg\":\"hello server\"}".into()).unwrap();
    assert_eq!(next_text(&mut other), "{\"type\":\"chat\",\"msg\":\"hello server\"}");
    close(one);
    close(other);
}

#[test]
fn a_closed_standard_error_does_not_matter() {
    let (mut child, reader) = Child::spawn_unread(server().args(ARGS));
    drop(reader);
    let address = child.address();
    for _ in 0..20 {
        check_chat(address);
    }
    child.stop();
    assert_eq!(child.stdout.rest(), [""; 0], "what cannot be logged does not go elsewhere");
}

#[test]
fn a_standard_error_that_is_closed_later_does_not_matter() {
    let (mut child, reader) = Child::spawn_unread(server().args(ARGS));
    let address = child.address();
    // The reader goes in the middle: after some lines, and while others wait.
    let mut lines = Lines::collect(std::io::Read::take(reader, 200));
    check_chat(address);
    assert!(lines.next().contains(" opened id=1 "));
    for _ in 0..20 {
        check_chat(address);
    }
    child.stop();
}

#[test]
fn a_full_disk_as_standard_error_does_not_matter() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = Child::spawn_with_stderr(server().args(ARGS), full.into());
    let address = child.address();
    for _ in 0..20 {
        check_chat(address);
    }
    child.stop();
}

#[test]
fn a_standard_error_that_fails_for_a_while_is_used_again() {
    // A socket that does not block fails where a pipe would wait, until somebody reads.
    let (reader, writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let mut child = Child::spawn_with_stderr(server().args(ARGS), OwnedFd::from(writer).into());
    let address = child.address();
    fill_the_log(address, 1500);
    let mut lines = Lines::collect(reader);
    wait_until("a line comes again", || {
        check_chat(address);
        let mut new = std::iter::from_fn(|| lines.next_within(Duration::from_millis(50)));
        new.find(|line| line.contains(" invalid message received id="))
    });
    child.stop();
    assert!(lines.rest().last().is_some_and(|line| line.contains("stopping: ")));
}

#[test]
fn no_standard_error_at_all_does_not_matter() {
    let script = "exec \"$0\" \"$@\" 2>&-";
    let program = env!("CARGO_BIN_EXE_frameloop");
    let mut command = std::process::Command::new("sh");
    let mut child = Child::spawn_with_stderr(command.args(["-c", script, program]).args(ARGS), Stdio::null());
    let address = child.address();
    check_chat(address);
    child.stop();
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nothing_up() {
    let (mut child, _reader) = Child::spawn_unread(server().args(ARGS));
    let address = child.address();
    let (mut one, mut other) = (connect(address), connect(address));
    fill_the_log(address, MANY);
    check_chat(address);
    // Connections from before live on.
    for client in [&mut one, &mut other] {
        assert_eq!(next_text(client), "{\"type\":\"chat\",\"msg\":\"hello server\"}", "of check_chat");
    }
    one.send("{\"type\":\"chat\"}".into()).unwrap();
    assert_eq!(next_text(&mut other), "{\"type\":\"chat\"}");
    close(one);
    close(other);
    let start = Instant::now();
    child.stop();
    assert!(start.elapsed() < PATIENCE / 2, "the lines that wait delay the end by a moment only");
}

#[test]
fn a_reader_that_comes_back_is_told_how_many_lines_it_missed() {
    let (mut child, reader) = Child::spawn_unread(server().args(ARGS));
    let address = child.address();
    fill_the_log(address, MANY);
    check_chat(address);
    let mut lines = Lines::collect(reader);
    // First what waited, in order and whole; then the number of those for which there was no room.
    let mut whole = 0;
    let dropped = loop {
        let line = lines.next();
        if let Some((front, _)) = line.split_once(" lines of the log were dropped") {
            break front.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        }
        assert!(line.contains(" id=") && line.contains(" addr="), "a whole line: {line}");
        whole += 1;
    };
    check_chat(address);
    child.stop();
    let rest = lines.rest();
    assert!(rest.iter().any(|line| line.contains(" invalid message received id=")), "new lines come again: {rest:#?}");
    assert!(rest.last().unwrap().contains("stopping: "), "{:?}", rest.last());
    // Two lines for each of many connections, five for each of two chats, one at the end: printed or counted.
    assert_eq!(whole + dropped + rest.len(), 2 * MANY + 2 * 5 + 1, "{whole} and {dropped}");
    assert!(dropped > 0 && whole > 1000, "{dropped} dropped, {whole} printed");
}
