//! `SIGTERM` and `SIGINT`: §7.4.1: 1001 to all, a clean end, and never a wait without an end. Then the same port again.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Child, PATIENCE, free_port, server, start};
use crate::raw::Raw;
use crate::tungstenite_client::{close, connect, next_text, read_close};
use crate::wire::{BINARY, CLOSE, FIN, client_frame, server_response};

#[test]
fn each_client_gets_close_1001_and_the_exit_code_is_0() {
    for (signal, mode) in [("TERM", "serve"), ("INT", "serve"), ("TERM", "echo"), ("INT", "echo")] {
        // The close timeout is longer than the test waits: only the answers of the clients end this server.
        let mut server = start(&[mode, "--close-timeout", "60s"]);
        let address = server.address();
        let mut clients: Vec<_> = (0..3).map(|_| connect(address)).collect();
        server.signal(signal);
        for client in &mut clients {
            assert_eq!(read_close(client), (CloseCode::Away, "shutdown".to_owned()), "{signal}");
        }
        drop(clients);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
        let log = server.stderr.rest();
        let closed = log.iter().filter(|line| line.contains(" reason=shutdown code=1001 ")).count();
        assert_eq!(closed, 3, "{signal}: {log:#?}");
    }
}

#[test]
fn without_clients_the_end_comes_at_once() {
    for signal in ["TERM", "INT"] {
        let mut server = start(&["--close-timeout", "60s"]);
        server.address();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_was_said_before_the_signal_comes_before_the_close() {
    let mut server = start(&["--close-timeout", "60s"]);
    let address = server.address();
    let (mut speaker, mut hearer) = (connect(address), connect(address));
    for i in 0..100 {
        speaker.send(format!("{{\"type\":\"chat\",\"i\":{i}}}").into()).unwrap();
    }
    // The last one was broadcast, so all were taken before the signal; the hearer has read none of them yet.
    speaker.send("no JSON".into()).unwrap();
    assert!(next_text(&mut speaker).contains("invalid_json"));
    server.signal("TERM");
    for i in 0..100 {
        assert_eq!(next_text(&mut hearer), format!("{{\"type\":\"chat\",\"i\":{i}}}"));
    }
    assert_eq!(read_close(&mut hearer).0, CloseCode::Away);
    assert_eq!(read_close(&mut speaker).0, CloseCode::Away);
    drop((speaker, hearer));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_client_in_the_opening_handshake_is_told_503() {
    let mut server = start(&["--close-timeout", "60s"]);
    let address = server.address();
    let mut half = Raw::connect(address);
    half.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n");
    // A connection that was opened after it, so that the server has taken both.
    let open = connect(address);
    server.signal("TERM");
    let response = half.read_to_end().unwrap();
    assert_eq!(server_response(&response).0, 503, "{}", String::from_utf8_lossy(&response));
    drop((half, open));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn clients_that_do_not_answer_delay_the_end_by_the_close_timeout_and_no_more() {
    let timeout = Duration::from_millis(300);
    for signal in ["TERM", "INT"] {
        let mut server = start(&["echo", "--close-timeout", "300ms"]);
        let address = server.address();
        let mut mute = [Raw::open(address), Raw::open(address)];
        let _silent = Raw::connect(address);
        let _stuck = stuck(address);
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        let took = start.elapsed();
        // The default would be 5 s; a busy machine gets some of the difference.
        assert!(took >= timeout && took < Duration::from_secs(3), "{signal}: {took:?}");
        for mute in &mut mute {
            assert_eq!(mute.read_frame().close_code(), Some(1001), "it was told all the same");
        }
    }
}

/// A client that has sent more than it takes back, so that the server's Close cannot get through.
fn stuck(address: SocketAddr) -> Raw {
    let mut raw = Raw::open(address);
    raw.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let frame = client_frame(FIN | BINARY, &vec![7; 1024 * 1024]);
    let is_stuck = (0..256).any(|_| raw.stream.write_all(&frame).is_err());
    assert!(is_stuck, "a server that echoes to nobody must stop reading");
    raw
}

#[test]
fn a_second_signal_ends_at_once() {
    for signals in [["TERM", "TERM"], ["INT", "INT"], ["INT", "TERM"]] {
        let mut server = start(&["--close-timeout", "60s"]);
        let mut mute = Raw::open(server.address());
        server.signal(signals[0]);
        let close = mute.read_frame();
        assert_eq!((close.opcode, close.close_code()), (CLOSE, Some(1001)));
        let start = Instant::now();
        server.signal(signals[1]);
        assert_eq!(server.wait().code(), Some(0), "{signals:?}");
        assert!(start.elapsed() < PATIENCE, "not after the close timeout");
    }
}

#[test]
fn the_same_port_can_be_taken_again_at_once() {
    let listen = format!("127.0.0.1:{}", free_port());
    let start = || Child::spawn(server().args(["--listen", &listen, "--close-timeout", "300ms"]));
    let mut server = start();
    for signal in ["KILL", "TERM", "KILL", "TERM"] {
        let address = server.address();
        assert_eq!(address.to_string(), listen);
        // One connection is open at the end of the server, one was closed by it, one by the client.
        let (mut one, mut other, mut rude) = (connect(address), connect(address), Raw::open(address));
        let _open = Raw::open(address);
        one.send("{\"type\":\"chat\"}".into()).unwrap();
        assert_eq!(next_text(&mut other), "{\"type\":\"chat\"}");
        assert_eq!(rude.read_text(), "{\"type\":\"chat\"}");
        close(other);
        rude.send(&client_frame(FIN | BINARY, b""));
        assert_eq!(rude.read_frame().close_code(), Some(1003));
        assert_eq!(rude.read_to_end().unwrap(), b"");
        server.signal(signal);
        let status = server.wait();
        assert!(signal == "KILL" || status.code() == Some(0), "{signal}: {status}");
        server = start();
    }
    assert_eq!(server.address().to_string(), listen);
}
