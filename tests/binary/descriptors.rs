//! File descriptors run out: those who are there notice nothing, those who come are told, and nothing spins.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Child, PATIENCE, wait_until};
use crate::raw::Raw;
use crate::wire::{REQUEST_HEAD, server_response};

/// A server that may have so many open files.
fn start_with_descriptors(limit: u32, args: &[&str]) -> Child {
    start_with_limits(&format!("ulimit -n {limit}"), args)
}

fn start_with_limits(ulimit: &str, args: &[&str]) -> Child {
    let script = format!("{ulimit}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_frameloop"), "echo", "--listen", "127.0.0.1:0"]).args(args);
    command.args(["--ping-interval", "60m"]); // no ping comes between an echo and the next
    Child::spawn(&mut command)
}

/// How a connection was answered.
#[derive(Debug)]
enum Answer {
    Taken(Raw),
    /// With a response of this status, after which the connection ended cleanly.
    Refused(u16, String),
    /// The connection ended before a whole response was read.
    Ended,
}

/// Waits for the answer to a request. A connection that is left hanging is a failure.
fn answer(mut raw: Raw) -> Answer {
    let head = match raw.read_head() {
        Ok(head) => head,
        Err(error) if is_timeout(&error) => panic!("a peer was left hanging"),
        Err(_) => return Answer::Ended,
    };
    match server_response(&head).0 {
        101 => Answer::Taken(raw),
        status => match raw.read_to_end() {
            Ok(body) => Answer::Refused(status, String::from_utf8([head, body].concat()).unwrap()),
            Err(error) if is_timeout(&error) => panic!("a refused peer was left hanging"),
            Err(_) => Answer::Ended,
        },
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Connects and asks for a WebSocket. A server that turns one away at once may reset the connection under the request.
fn request(address: SocketAddr) -> Raw {
    use std::io::Write as _;
    let mut raw = Raw::connect(address);
    let _ = raw.stream.write_all(REQUEST_HEAD);
    raw
}

/// Opens connections until one is not taken: those that were, and the answer to that one.
fn fill(address: SocketAddr) -> (Vec<Raw>, Answer) {
    let mut taken = Vec::new();
    loop {
        assert!(taken.len() < 200, "no limit shows");
        match answer(request(address)) {
            Answer::Taken(raw) => taken.push(raw),
            other => return (taken, other),
        }
    }
}

/// A new connection, which must be taken in time; who is refused comes again, as a client does.
fn take_a_place(address: SocketAddr) -> Raw {
    wait_until("a new connection is taken", || match answer(request(address)) {
        Answer::Taken(raw) => Some(raw),
        Answer::Refused(503, _) | Answer::Ended => None,
        Answer::Refused(status, response) => panic!("{status}: {response}"),
    })
}

#[test]
fn when_descriptors_run_out_nobody_is_left_hanging_and_nothing_spins() {
    let mut server = start_with_descriptors(40, &["--max-connections", "1000"]);
    let address = server.address();
    let (mut taken, first) = fill(address);
    assert!((15..40).contains(&taken.len()), "{} connections with 40 descriptors", taken.len());
    assert!(matches!(first, Answer::Refused(503, _) | Answer::Ended), "{first:?}");

    // A crowd at once, half of it silent: each of them is told, or at least let go.
    let crowd: Vec<Raw> = (0..50).map(|i| if i % 2 == 0 { request(address) } else { Raw::connect(address) }).collect();
    for raw in crowd {
        let answer = answer(raw);
        assert!(matches!(answer, Answer::Refused(503, _) | Answer::Ended), "{answer:?}");
    }
    for raw in &mut taken {
        raw.check_echo("still here");
    }

    // At the limit the server waits like any other: 2 s of nothing cost next to nothing.
    let before = server.processor_time();
    taken[0].hear_nothing(Duration::from_secs(2));
    let used = server.processor_time() - before;
    assert!(used < Duration::from_millis(200), "{used:?} of processor time in 2 s");
    for raw in &mut taken {
        raw.check_echo("and still");
    }

    // Somebody leaves, and somebody else can come: again and again.
    for _ in 0..5 {
        taken.remove(0);
        let mut raw = take_a_place(address);
        raw.check_echo("new here");
        taken.push(raw);
    }
    let count = taken.len();
    drop(taken);
    let raw = take_a_place(address);
    drop(raw);
    let (again, _) = wait_until("all places are free again", || Some(fill(address)).filter(|(t, _)| t.len() >= count));
    assert_eq!(again.len(), count, "no descriptor was lost");
    drop(again);
    server.stop();
    let log = server.stderr.rest();
    let opened = log.iter().filter(|line| line.contains(" opened id=")).count();
    let turned_away: Vec<&String> = log.iter().filter(|line| line.contains(" refused id=")).collect();
    assert!(opened >= 2 * count && turned_away.len() >= 52, "{opened} opened, {} refused", turned_away.len());
    assert!(turned_away.iter().all(|line| line.contains(" reason=overloaded ")), "{turned_away:#?}");
}

#[test]
fn peers_that_wait_at_the_limit_get_in_as_soon_as_there_is_room() {
    let mut server = start_with_descriptors(40, &["--max-connections", "1000"]);
    let address = server.address();
    for _ in 0..10 {
        let (taken, _) = fill(address);
        drop(taken);
        let mut raw = take_a_place(address);
        raw.check_echo("in");
    }
    server.stop();
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let mut server = start_with_limits("ulimit -Sn 100; ulimit -Hn 200", &[]);
    server.address();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let limits: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(limits, ["200", "200"]);
    server.stop();
}

#[test]
fn by_default_what_the_limit_of_open_files_leaves_is_the_number_of_connections() {
    let mut server = start_with_descriptors(100, &[]);
    let address = server.address();
    let (mut taken, first) = fill(address);
    assert_eq!(taken.len(), 50, "half of so low a limit is kept for the rest");
    let mut refusals = vec![first];
    // Many at once and more than there are descriptors in reserve; none of them reads before all have come.
    let crowd: Vec<Raw> = (0..30).map(|_| request(address)).collect();
    refusals.extend(crowd.into_iter().map(answer));
    for refusal in refusals {
        let Answer::Refused(503, response) = refusal else { panic!("{refusal:?} is no clean 503") };
        assert!(response.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{response}");
        assert!(response.contains("\r\nRetry-After: ") && response.contains("\"overloaded\""), "{response}");
    }
    for raw in &mut taken {
        raw.check_echo("undisturbed");
    }
    let before = server.processor_time();
    taken[0].hear_nothing(Duration::from_secs(1));
    let used = server.processor_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} of processor time in 1 s");

    taken.pop();
    let raw = take_a_place(address);
    taken.push(raw);
    assert!(matches!(answer(request(address)), Answer::Refused(503, _)), "50 again, and no more");
    drop(taken);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < PATIENCE);
}
