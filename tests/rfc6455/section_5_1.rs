//! §5.1: overview: who masks, and when data frames may be sent.

use frameloop::protocol::{CloseCode, Limits, Message, ProtocolError, SharedFrame, State};

use crate::driver::{Link, seconds};
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, server_frames,
    server_response,
};

/// A frame of each kind that the server sends, in raw bytes, with what made it.
pub(crate) fn every_kind_of_frame() -> Vec<(&'static str, Vec<u8>)> {
    let limits = Limits { queue_bytes_max: 400_000, ping_interval: seconds(10), ..Limits::default() };
    let bytes_of = |way: Deed| {
        let mut link = Link::open(limits.clone());
        way(&mut link);
        link.take(usize::MAX)
    };
    WAYS_TO_SEND.iter().map(|&(name, way)| (name, bytes_of(way))).collect()
}

/// Something that is done to a connection.
pub(crate) type Deed = fn(&mut Link);

const WAYS_TO_SEND: [(&str, Deed); 17] = [
    ("an empty text", |l| assert!(l.connection.send(Message::text(""), l.now))),
    ("a text", |l| assert!(l.connection.send(Message::text("text"), l.now))),
    ("a text of its own", |l| assert!(l.connection.send(Message::Text("x".repeat(5000).into()), l.now))),
    ("a shared text", |l| assert!(l.connection.send_shared(&SharedFrame::text("text"), l.now))),
    ("a longer shared text", |l| assert!(l.connection.send_shared(&SharedFrame::text(&"x".repeat(300)), l.now))),
    ("a binary message", |l| assert!(l.connection.send(Message::binary(&[0xff; 126]), l.now))),
    ("a binary message of its own", |l| assert!(l.connection.send(Message::Binary(vec![7; 70_000].into()), l.now))),
    ("a shared binary message", |l| assert!(l.connection.send_shared(&SharedFrame::binary(&[7; 65_536]), l.now))),
    ("a ping", |l| l.advance(seconds(10))),
    ("an empty pong", |l| drop(l.receive(&client_frame(FIN | PING, b"")))),
    ("the longest pong", |l| drop(l.receive(&client_frame(FIN | PING, &[0xff; 125])))),
    ("our Close", |l| l.connection.close(CloseCode::NORMAL, "the reason", l.now)),
    ("our Close with a reason too long", |l| l.connection.close(CloseCode::NORMAL, &"€".repeat(100), l.now)),
    ("the answer to a Close", |l| drop(l.receive(&client_frame(FIN | CLOSE, b"\x03\xe8bye")))),
    ("the answer to an empty Close", |l| drop(l.receive(&client_frame(FIN | CLOSE, b"")))),
    ("the Close after a broken rule", |l| drop(l.receive(&client_frame(FIN | TEXT, b"\xff")))),
    ("the Close of a full queue", |l| assert!(!l.connection.send(Message::binary(&[7; 400_000]), l.now))),
];

#[test]
fn a_frame_that_is_not_masked_closes_the_connection_with_1002() {
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for payload in [&b""[..], b"\x03\xe8", b"four", &[b'x'; 125]] {
            let frame = [&[FIN | opcode, payload.len() as u8], payload].concat();
            Link::open(Limits::default()).fails(&frame, ProtocolError::UnmaskedFrame, 1002);
        }
    }
    for header in [&b"\x01\x03"[..], b"\x82\x7e\x01\x00", b"\x82\x7f\0\0\0\0\0\x01\0\0"] {
        Link::open(Limits::default()).fails(header, ProtocolError::UnmaskedFrame, 1002);
    }
    // Its masked predecessors do not help it, nor that it comes in two reads.
    let mut link = Link::open(Limits::default());
    assert_eq!(link.receive(&client_frame(FIN | TEXT, b"masked")), [b"masked"]);
    assert!(link.receive(&client_frame(TEXT, b"fragment")).is_empty());
    assert!(link.receive(&[FIN | CONTINUATION]).is_empty());
    link.fails(b"\x02no", ProtocolError::UnmaskedFrame, 1002);
}

#[test]
fn the_server_does_not_mask_what_it_sends() {
    for (name, frame) in every_kind_of_frame() {
        assert_eq!(frame[1] & 0x80, 0, "{name}: the MASK bit");
        assert_eq!(server_frames(&frame).len(), 1, "{name}: and no key before the payload");
    }
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::text("in the clear"), link.now);
    link.receive(&client_frame(FIN | PING, b"clear too"));
    assert_eq!(link.take(usize::MAX), b"\x8a\x09clear too\x81\x0cin the clear");
}

#[test]
fn the_server_may_send_data_from_its_response_on_until_its_close() {
    let mut link = Link::connecting(Limits::default());
    link.receive(REQUEST_HEAD);
    let send = |link: &mut Link, text: &str| assert!(link.connection.send(Message::text(text), link.now), "{text}");
    send(&mut link, "behind the response, before the client has got it");
    let bytes = link.take(usize::MAX);
    let (status, frames) = server_response(&bytes);
    assert_eq!((status, server_frames(frames).len()), (101, 1));

    let half_a_frame = &client_frame(FIN | TEXT, b"message")[..9];
    let during: [(&str, &[u8]); 4] = [
        ("while the client is silent", b""),
        ("inside a message of the client", &client_frame(TEXT, b"fragment")),
        ("inside a control frame of the client", &client_frame(FIN | PONG, b"pong")[..7]),
        ("inside a frame of the client", half_a_frame),
    ];
    for (name, bytes) in during {
        let mut link = Link::open(Limits::default());
        link.receive(bytes);
        send(&mut link, name);
        assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, name.as_bytes())]);
    }
    let mut link = Link::open(Limits::default());
    send(&mut link, "last");
    link.connection.close(CloseCode::NORMAL, "", link.now);
    let opcodes: Vec<u8> = link.take_frames().iter().map(|frame| frame.opcode).collect();
    assert_eq!(opcodes, [TEXT, CLOSE]);
}

#[test]
fn a_client_may_send_data_from_the_end_of_its_request_on_until_its_close() {
    let frames = [client_frame(FIN | TEXT, b"first"), client_frame(FIN | BINARY, b"last")].concat();
    let close = client_frame(FIN | CLOSE, b"");
    let mut link = Link::connecting(Limits::default());
    let messages = link.receive_messages(&[REQUEST_HEAD, &frames, &close].concat());
    assert_eq!(messages, [Message::text("first"), Message::binary(b"last")]);
    assert_eq!(link.connection.state(), State::Closed);
}

#[test]
fn nothing_goes_before_the_response_not_even_a_pong() {
    let mut link = Link::connecting(Limits::default());
    link.receive(&[REQUEST_HEAD, &client_frame(FIN | PING, b"early")].concat());
    link.connection.send(Message::text("welcome"), link.now);
    let bytes = link.take(usize::MAX);
    let (status, rest) = server_response(&bytes);
    let expected = [ServerFrame::new(PONG, b"early"), ServerFrame::new(TEXT, b"welcome")];
    assert_eq!((status, server_frames(rest)), (101, expected.to_vec()));
}
