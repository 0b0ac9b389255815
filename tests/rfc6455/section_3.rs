//! §3: WebSocket URIs. A server sees of them what stands in the request: the resource name, and the host with its port.

use frameloop::protocol::HandshakeError;

use crate::request::{accepted, refused, with};

#[test]
fn the_port_of_a_host_may_be_missing() {
    for host in ["example.com", "example.com:80", "example.com:8765", "[::1]", "[::1]:8765"] {
        let request = accepted(&with("Host", &format!("Host: {host}\r\n")));
        assert_eq!(request.header("host"), [host.as_bytes()]);
    }
}

#[test]
fn the_default_port_of_an_absolute_uri_or_of_its_host_may_be_missing() {
    for (target, host) in
        [("http://h:80/c", "h"), ("ws://h/c", "H:80"), ("wss://[::1]:443?d", "[::1]"), ("HTTPS://h", "h:443")]
    {
        assert_eq!(accepted(&absolute(target, host)).target(), target);
    }
    for (target, host) in
        [("http://h:443/c", "h"), ("wss://h/c", "h:80"), ("ws://h:8080/c", "h"), ("ws://h:80", "h:81")]
    {
        refused(&absolute(target, host), HandshakeError::Host, 400);
    }
}

/// A request for an absolute URI with this `Host`.
fn absolute(target: &str, host: &str) -> Vec<u8> {
    let head = with("Host", &format!("Host: {host}\r\n"));
    let rest = head.iter().position(|&byte| byte == b'\n').expect("a line ends") + 1;
    [format!("GET {target} HTTP/1.1\r\n").as_bytes(), &head[rest..]].concat()
}

#[test]
fn a_target_with_a_fragment_identifier_is_refused() {
    for target in ["/chat#top", "/#", "/chat?room=#1", "ws://h/chat#top"] {
        let head = with("GET", &format!("GET {target} HTTP/1.1\r\n"));
        refused(&head, HandshakeError::MalformedHead("the request target is no path"), 400);
    }
}

#[test]
fn an_escaped_number_sign_is_a_part_of_the_target() {
    let request = accepted(&with("GET", "GET /chat%23top?room=%231 HTTP/1.1\r\n"));
    assert_eq!(request.target(), "/chat%23top?room=%231");
}
