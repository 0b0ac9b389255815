//! Two pages as their authors wrote them before there was this server, on Node's WebSocket, which is a browser's: one
//! that just connects, and one that comes back with a growing delay.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{Child, free_port, server};
use crate::tungstenite_client::{close, connect, next_text, read_close};

/// What both pages say when their connection opens.
const HELLO: &str = "{\"type\":\"chat\",\"msg\":\"hello server\"}";

/// Starts a page. Its server is at `ws://localhost:PORT`.
fn page(script: &str, port: u16) -> Child {
    let path = format!("{}/tests/binary/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    crate::peers::require_node();
    // Node 20 has the browser's WebSocket behind this flag; later ones have it anyway.
    Child::spawn(Command::new("node").args(["--no-warnings", "--experimental-websocket", &path, &port.to_string()]))
}

/// The next thing that happens on a page.
fn next(page: &mut Child) -> Value {
    serde_json::from_str(&page.stdout.next()).unwrap()
}

fn message(data: &str) -> Value {
    json!({"event": "message", "data": data})
}

fn start_at(port: u16) -> Child {
    let mut server = Child::spawn(server().args(["--listen", &format!("localhost:{port}")]));
    assert_eq!(server.address().port(), port);
    server
}

#[test]
fn the_simple_page_hears_the_others_as_they_spoke_and_not_itself() {
    let port = free_port();
    let mut server = start_at(port);
    let mut third = connect(([127, 0, 0, 1], port).into());
    let mut one = page("seed-simple.js", port);
    assert_eq!(next(&mut one), json!({"event": "open"}));
    assert_eq!(next_text(&mut third), HELLO);
    let mut other = page("seed-simple.js", port);
    assert_eq!(next(&mut other), json!({"event": "open"}));
    assert_eq!(next(&mut one), message(HELLO), "of the other");
    assert_eq!(next_text(&mut third), HELLO);
    for text in [" { \"msg\" : 1.50e0 , \"type\":\"chat\" } ", "{\"type\":\"chat\",\"msg\":\"\\u00e9 é €😀\"}", HELLO]
    {
        third.send(text.into()).unwrap();
        // Its own hello would have come before.
        assert_eq!(next(&mut one), message(text));
        assert_eq!(next(&mut other), message(text));
    }
    server.signal("TERM");
    assert_eq!(read_close(&mut third), (CloseCode::Away, "shutdown".to_owned()));
    for page in [&mut one, &mut other] {
        assert_eq!(next(page), json!({"event": "close", "code": 1001, "clean": true}));
        assert_eq!(page.wait().code(), Some(0));
        assert_eq!(page.stdout.rest(), [""; 0]);
    }
    drop(third);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_page_with_a_back_off_is_back_after_its_first_delay_and_counts_anew() {
    let port = free_port();
    let address = ([127, 0, 0, 1], port).into();
    let mut server = start_at(port);
    let mut third = connect(address);
    let mut simple = page("seed-simple.js", port);
    assert_eq!(next(&mut simple), json!({"event": "open"}));
    assert_eq!(next_text(&mut third), HELLO);
    let mut page = page("seed-backoff.js", port);
    assert_eq!(next(&mut page), json!({"event": "open"}));
    assert_eq!(next_text(&mut third), HELLO);
    assert_eq!(next(&mut simple), message(HELLO));

    for round in 0..2 {
        server.kill();
        let killed = Instant::now();
        drop(third);
        assert_eq!(next(&mut page), json!({"event": "close", "code": 1006, "clean": false}), "no Close: §7.1.5");
        // After each success it begins with the shortest delay again.
        assert_eq!(next(&mut page), json!({"event": "retry", "attempt": 1, "delay": 2000}), "round {round}");
        server = start_at(port);
        third = connect(address);
        assert_eq!(next(&mut page), json!({"event": "open"}), "the first attempt succeeds");
        let back = killed.elapsed();
        assert!(back >= Duration::from_millis(1900) && back < Duration::from_secs(4), "{back:?}");
        assert_eq!(next_text(&mut third), HELLO, "it says hello again");
        third.send("{\"type\":\"chat\",\"msg\":\"welcome back\"}".into()).unwrap();
        assert_eq!(next(&mut page), message("{\"type\":\"chat\",\"msg\":\"welcome back\"}"), "and not its own hello");
    }
    assert_eq!(next(&mut simple)["code"], 1006, "the simple page is gone with the first server");
    assert_eq!(simple.wait().code(), Some(0));
    close(third);
}
