//! §4.4: a client that speaks another version learns which one this server speaks.

use frameloop::protocol::HandshakeError;

use crate::request::{Answer, refused, with};

fn version(version: &str) -> Vec<u8> {
    with("Sec-WebSocket-Version", &format!("Sec-WebSocket-Version: {version}\r\n"))
}

#[test]
fn a_version_other_than_13_is_answered_with_the_versions_we_speak() {
    for other in ["0", "7", "8", "12", "14", "25", "255"] {
        let answer = refused(&version(other), HandshakeError::Version, 426);
        assert_eq!(answer.lines[0], "HTTP/1.1 426 Upgrade Required");
        assert_eq!(answer.values("Sec-WebSocket-Version"), ["13"], "{other}");
    }
    let answer = refused(&with("Sec-WebSocket-Version", ""), HandshakeError::Version, 426);
    assert_eq!(answer.values("Sec-WebSocket-Version"), ["13"], "none");
}

#[test]
fn a_client_that_repeats_the_handshake_with_our_version_is_accepted() {
    let answer = refused(&version("25"), HandshakeError::Version, 426);
    let ours = answer.values("Sec-WebSocket-Version")[0];
    assert_eq!(Answer::to(&version(ours), &[]).status, 101);
}
