//! F4, F12, F13: control frames, and the end of a connection.

use std::time::Duration;

use frameloop::protocol::{CloseCode, Limits};

use super::{expect_alive, failed, patient};
use crate::client::Client;
use crate::harness::Running;
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame, close_payload};

#[test]
fn f4_a_control_frame_that_is_too_long_or_in_fragments_is_refused_by_its_first_two_bytes() {
    let server = Running::echo(patient());
    for opcode in [CLOSE, PING, PONG] {
        for first_fragment in [Vec::new(), client_frame(TEXT, b"inside of a message")] {
            for header in [&[FIN | opcode, 0x80 | 126][..], &[FIN | opcode, 0x80 | 127], &[opcode, 0x80], &[opcode]] {
                failed(&server, &[&first_fragment, header].concat(), CloseCode::PROTOCOL_ERROR);
            }
            for len in [126, 127, 65_535, 65_536] {
                let frame = client_frame(FIN | opcode, &vec![b'x'; len]);
                failed(&server, &[&first_fragment[..], &frame].concat(), CloseCode::PROTOCOL_ERROR);
            }
        }
    }
    let mut client = Client::open(server.address());
    client.send(FIN | PING, &[7; 125]);
    assert_eq!(client.frame(), ServerFrame::new(PONG, &[7; 125]), "the longest");
    client.leave();
    expect_alive(&server);
}

#[test]
fn f12_a_close_code_that_must_not_be_sent_is_answered_with_1002_and_not_echoed() {
    let server = Running::echo(patient());
    let reserved = (0..=999).chain(1004..=1006).chain(1015..=2999).chain([5000, 9999, 0x8000, 0xe803, u16::MAX]);
    for code in reserved {
        failed(&server, &client_frame(FIN | CLOSE, &close_payload(code, "")), CloseCode::PROTOCOL_ERROR);
    }
    failed(&server, &client_frame(FIN | CLOSE, b"\x03"), CloseCode::PROTOCOL_ERROR);
    failed(&server, &client_frame(FIN | CLOSE, b"\xe8"), CloseCode::PROTOCOL_ERROR);
    // Of two faults the first one counts.
    failed(&server, &client_frame(FIN | CLOSE, b"\x03\xed\xff"), CloseCode::PROTOCOL_ERROR);
    expect_alive(&server);
}

#[test]
fn f12_a_close_reason_that_is_not_utf_8_is_answered_with_1007() {
    let server = Running::echo(patient());
    let cut = [&[b'x'; 121][..], b"\xe2\x82"].concat(); // a character that the end of the control frame has cut
    for reason in [&b"\xff"[..], b"bye \xc3(", b"\xed\xa0\x80", b"bye \xf0\x9f\x98", &cut] {
        let payload = [&1000_u16.to_be_bytes(), reason].concat();
        failed(&server, &client_frame(FIN | CLOSE, &payload), CloseCode::INVALID_PAYLOAD);
    }
    expect_alive(&server);
}

#[test]
fn f12_a_code_that_may_be_sent_is_echoed_and_the_server_ends_the_connection() {
    let server = Running::echo(patient());
    let allowed = (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]);
    for code in allowed {
        let mut client = Client::open(server.address());
        client.send(FIN | CLOSE, &close_payload(code, &"€".repeat(41)));
        assert_eq!(client.frame(), ServerFrame::new(CLOSE, &close_payload(code, "")));
        client.expect_end(); // while this side of it is still open
    }
    expect_alive(&server);
}

/// What a peer may send behind its Close frame.
fn late_frames() -> [Vec<u8>; 7] {
    [
        client_frame(FIN | TEXT, b"late"),
        client_frame(FIN | PING, b"late"),
        client_frame(FIN | CONTINUATION, b"late"),
        client_frame(FIN | CLOSE, &close_payload(1001, "")),
        client_frame(FIN | CLOSE, b"x"),
        client_frame(FIN | TEXT, b"\xff"),
        b"\xff\x00 no frame at all".to_vec(),
    ]
}

#[test]
fn f13_behind_a_close_nothing_is_processed_or_sent() {
    let server = Running::echo(patient());
    let close = client_frame(FIN | CLOSE, &close_payload(4321, ""));
    for late in late_frames() {
        for message_before in [Vec::new(), client_frame(TEXT, b"a message that is not complete")] {
            let mut together = Client::open(server.address());
            together.write(&[&message_before[..], &close, &late].concat());
            let mut apart = Client::open(server.address());
            apart.write(&[&message_before[..], &close].concat());
            apart.write(&late);
            for client in [&mut together, &mut apart] {
                assert_eq!(client.frame(), ServerFrame::new(CLOSE, &close_payload(4321, "")));
                client.expect_end();
            }
        }
    }
    assert!(
        Limits::default().close_timeout <= Duration::from_secs(5),
        "and if the peer does not end its side, so long"
    );
    expect_alive(&server);
}

#[test]
fn f13_what_comes_behind_a_close_reaches_nobody_else() {
    let server = Running::hub(patient());
    let chat = |word: &str| format!(r#"{{"type":"chat","msg":"{word}"}}"#);
    let mut other = Client::open(server.address());
    for (close, code) in [
        (client_frame(FIN | CLOSE, b"\x03\xe8"), 1000), // the peer's own
        (client_frame(FIN | BINARY, b"no chat"), 1003), // ours
        (client_frame(FIN | 0x3, b""), 1002),
    ] {
        let mut client = Client::open(server.address());
        let (in_time, late) = (client_frame(FIN | TEXT, chat("in time").as_bytes()), chat("late"));
        client.write(&[&in_time[..], &close, &client_frame(FIN | TEXT, late.as_bytes())].concat());
        client.send_text(&late);
        assert_eq!(client.close_frame().0, code);
        assert_eq!(other.text(), chat("in time"));
    }
    let mut last = Client::open(server.address());
    last.send_text(&chat("the last"));
    assert_eq!(other.text(), chat("the last"), "and nothing before it");
    other.leave();
}
