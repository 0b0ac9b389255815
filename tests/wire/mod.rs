//! The other end of the wire: a client's frames, and a reader of a server's bytes.
//!
//! Written anew from §5.2 without a line of `frameloop`, so that a mistake there cannot cancel itself out here.

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// A request that keeps all rules of §4.2.1. Its key is the one of §1.3.
pub(crate) const REQUEST_HEAD: &[u8] =
    b"GET /c HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client's frame: `first` is its first byte, the length is in its shortest form, the payload is masked (§5.3).
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The payload of a Close frame (§5.5.1).
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A whole frame of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerFrame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl ServerFrame {
    pub(crate) fn new(opcode: u8, payload: &[u8]) -> ServerFrame {
        ServerFrame { opcode, payload: payload.to_vec() }
    }

    /// The code of a Close frame; `None` where its payload is empty.
    pub(crate) fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "{self:?} is no Close frame");
        let (code, reason) = self.payload.split_first_chunk()?;
        assert!(std::str::from_utf8(reason).is_ok(), "§5.5.1: the reason is UTF-8");
        Some(u16::from_be_bytes(*code))
    }
}

/// Reads whole frames to the end of `bytes`, and checks the rules that hold for all frames of this server.
pub(crate) fn server_frames(mut bytes: &[u8]) -> Vec<ServerFrame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, FIN, "FIN is set, since we never fragment; RSV1 to RSV3 are not");
        let opcode = first & 0x0f;
        assert!([TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode), "opcode {opcode:#x}");
        assert_eq!(second & 0x80, 0, "§5.1: a server must not mask");
        let (length_len, least) = match second {
            126 => (2, 126),
            127 => (8, 0x1_0000),
            _ => (0, 0),
        };
        let (extended, rest) = rest.split_at(length_len);
        let extended = extended.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let length = if length_len == 0 { usize::from(*second) } else { extended };
        assert!(length >= least, "§5.2: the length {length} is not in its shortest form");
        assert!(opcode < CLOSE || length <= 125, "§5.5: a control frame of {length} bytes");
        assert!(length <= rest.len(), "the last frame is cut: {length} bytes announced, {} there", rest.len());
        let (payload, rest) = rest.split_at(length);
        frames.push(ServerFrame::new(opcode, payload));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a header is left");
    frames
}

/// Splits the bytes of a server into the status of its HTTP response and what follows the head.
pub(crate) fn server_response(bytes: &[u8]) -> (u16, &[u8]) {
    let head_end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a response head") + 4;
    let (head, rest) = bytes.split_at(head_end);
    let status =
        head.strip_prefix(b"HTTP/1.1 ").and_then(|line| std::str::from_utf8(line.get(..3)?).ok()?.parse().ok());
    (status.expect("a status line"), rest)
}
