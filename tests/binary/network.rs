//! The flags that say who may connect, and what the log says of those who may not.

use std::net::SocketAddr;
use std::process::Command;

use crate::harness::{Child, server, start};
use crate::raw::Raw;
use crate::wire::{REQUEST_HEAD, server_response};

/// Sends the request with these lines besides, and returns the status of the response.
fn status_with(address: SocketAddr, lines: &str) -> u16 {
    let mut raw = Raw::connect(address);
    raw.send(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], lines.as_bytes(), b"\r\n"].concat());
    server_response(&raw.read_head().unwrap()).0
}

/// The next line, without the time.
fn line(server: &mut Child) -> String {
    let line = server.stderr.next();
    line.split_once("[frameloop] ").and_then(|(_, rest)| rest.split_once(' ')).expect("a line of the log").1.to_owned()
}

#[test]
fn a_refused_page_is_named_in_the_log_with_the_flag_that_would_let_it_in() {
    let mut server = start(&[]);
    let address = server.address();
    for (lines, fields) in [
        (
            "Origin: https://Evil.example:8443\r\n",
            " status=403 origin=\"https://Evil.example:8443\" detail=\"pages of this Origin may not connect here; \
             to let it in, start it with --origin https://evil.example:8443\" seconds=",
        ),
        ("Origin: null\r\n", "; to let it in, start it with --origin null\" seconds="),
        (
            "Origin: $(evil)\"\r\n",
            " origin=\"$(evil)\\\"\" detail=\"pages of this Origin may not connect here\" seconds=",
        ),
        ("Origin: http://$(evil)\r\n", " detail=\"pages of this Origin may not connect here\" seconds="),
        ("Origin: http://a\r\nOrigin: http://b\r\n", " detail=\"pages of this Origin may not connect here\" seconds="),
    ] {
        assert_eq!(status_with(address, lines), 403, "{lines:?}");
        let line = line(&mut server);
        assert!(line.starts_with("refused id=") && line.contains("reason=origin_not_allowed"), "{line}");
        assert!(line.contains(fields), "{fields} in {line}");
    }
    let mut raw = Raw::connect(address);
    raw.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(server_response(&raw.read_to_end().unwrap()).0, 403);
    let line = line(&mut server);
    let advice = "host=\"evil.example\" detail=\"this server does not go by this Host; to let it in, start it with --origin http://evil.example\"";
    assert!(line.contains("reason=host_not_allowed") && line.contains(advice), "{line}");
}

#[test]
fn the_flag_that_the_log_names_lets_the_page_in() {
    let mut server = start(&["--origin", "https://evil.example:8443", "--origin=null"]);
    let address = server.address();
    assert_eq!(status_with(address, "Origin: https://Evil.example:8443\r\n"), 101);
    assert_eq!(status_with(address, "Origin: null\r\n"), 101);
    assert_eq!(status_with(address, "Origin: https://evil.example\r\n"), 403);
}

#[test]
fn who_comes_through_a_proxy_is_in_the_log_with_its_own_address() {
    let mut server = start(&["--trusted-proxy", "10.0.0.0/8, 127.0.0.1", "--max-per-ip", "1"]);
    let address = server.address();
    let request = [&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], b"X-Forwarded-For: 192.0.2.1, 10.1.2.3\r\n\r\n"].concat();
    let raw = Raw::open_with(address, &request);
    let proxy = raw.stream.local_addr().unwrap();
    let opened = line(&mut server);
    assert!(opened.starts_with(&format!("opened id=1 addr=192.0.2.1 via={proxy} target=\"/c\"")), "{opened}");
    assert_eq!(status_with(address, "X-Forwarded-For: 192.0.2.1\r\n"), 429);
    let refused = line(&mut server);
    assert!(refused.starts_with("refused id=2 addr=192.0.2.1 reason=connection_limit status=429 "), "{refused}");
    drop(raw);
    let closed = line(&mut server);
    assert!(closed.starts_with("closed id=1 addr=192.0.2.1 reason="), "{closed}");
}

#[test]
fn a_stranger_is_dropped_with_one_line_where_proxies_speak_first() {
    let mut server = start(&["--proxy-protocol", "--trusted-proxy", "192.0.2.0/24"]);
    let mut raw = Raw::connect(server.address());
    let address = raw.stream.local_addr().unwrap();
    assert!(raw.read_to_end().map_or(true, |bytes| bytes.is_empty()));
    let line = line(&mut server);
    assert!(line.starts_with(&format!("refused id=- addr={address} reason=not_a_proxy ")), "{line}");
}

#[test]
fn who_a_proxy_speaks_for_below_the_request_is_in_the_log() {
    let mut server = start(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol"]);
    let address = server.address();
    let mut raw = Raw::connect(address);
    raw.send(&[b"PROXY TCP4 192.0.2.1 10.0.0.1 7 80\r\n", REQUEST_HEAD].concat());
    assert_eq!(server_response(&raw.read_head().unwrap()).0, 101);
    let opened = line(&mut server);
    assert!(opened.starts_with("opened id=1 addr=192.0.2.1:7 target="), "{opened}");
    let mut raw = Raw::connect(address);
    raw.send(b"PROXY TCP5 \x1b[31m\r\n");
    let _ = raw.read_to_end();
    let broken = line(&mut server);
    assert!(broken.starts_with("no PROXY header id=2 addr=127.0.0.1:") && !broken.contains('\x1b'), "{broken}");
    let refused = line(&mut server);
    assert!(
        refused.starts_with("refused id=2 addr=127.0.0.1:") && refused.contains("reason=connection_reset"),
        "{refused}"
    );
}

#[test]
fn a_rate_is_a_503_in_the_log() {
    let mut server = start(&["--accept-rate", "1"]);
    let address = server.address();
    let _open = [Raw::open(address), Raw::open(address)];
    assert_eq!([line(&mut server), line(&mut server)].map(|line| line.starts_with("opened ")), [true, true]);
    assert_eq!(status_with(address, ""), 503);
    let refused = line(&mut server);
    assert!(refused.contains(" reason=accept_rate status=503 "), "{refused}");
}

#[test]
fn what_is_open_to_everybody_is_said_at_the_start() {
    let mut open = Child::spawn(server().args(["--listen", "0.0.0.0:0", "--listen", "127.0.0.1:0", "--origin", "*"]));
    let address = open.address();
    let all = "any client, without a token (--auth none), any page (--origin '*')";
    assert_eq!(line(&mut open), format!("open to everybody on {address}: {all}"));
    let mut echo = Child::spawn(Command::new(env!("CARGO_BIN_EXE_frameloop")).args(["echo", "--listen", "0.0.0.0:0"]));
    let address = echo.address();
    assert_eq!(line(&mut echo), format!("open to everybody on {address}: any client, for echo asks nobody who it is"));
    let tokens = std::env::temp_dir().join(format!("frameloop-open-{}", std::process::id()));
    std::fs::write(&tokens, "ann:hush").unwrap();
    let guarded = ["--listen", "0.0.0.0:0", "--origin", "null", "--auth", "token", "--token-file"];
    let guarded = [&guarded[..], &[tokens.to_str().unwrap()]].concat();
    let mut local = Child::spawn(server().args(["--listen", "127.0.0.1:0", "--origin", "*"]));
    assert_eq!(line(&mut local), "open to every page that a browser on this machine shows: --origin '*'");
    for args in [&["--listen", "127.0.0.1:0"][..], &guarded] {
        let mut closed = Child::spawn(server().args(args));
        closed.address();
        closed.stop();
        assert!(closed.stderr.rest().iter().all(|line| !line.contains("open to every")), "{args:?}");
    }
}
