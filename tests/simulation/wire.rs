//! What clients put on the wire, right and wrong, and a reader of what the server puts there. Written from §5.2 without
//! the server's own code.

use std::collections::VecDeque;

use super::random::Random;

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A client's frame: `first` is its first byte, the length is in its shortest form, the payload is masked (§5.3).
pub(crate) fn push_frame(out: &mut VecDeque<u8>, first: u8, payload: &[u8], random: &mut Random) {
    out.push_back(first);
    match payload.len() {
        length @ 0..=125 => out.push_back(0x80 | length as u8),
        length => {
            out.push_back(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
    }
    let key = (random.below(1 << 31) as u32).rotate_left(1).to_le_bytes();
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The first whole frame: its first byte, its payload, and where the next one begins.
pub(crate) fn next_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).expect("a length"), 10),
        128.. => panic!("§5.1: a server must not mask"),
        length => (usize::from(length), 2),
    };
    Some((first, bytes.get(start..start + length)?, start + length))
}

/// Bytes that break a rule, and the code with which the server must close (§7.1.7).
pub(crate) fn violation(random: &mut Random) -> (&'static [u8], u16) {
    random.pick(&[
        (b"\xc1\x80kkkk", 1002),                          // §5.2: RSV1 without an extension
        (b"\x83\x80kkkk", 1002),                          // §5.2: a reserved opcode
        (b"\x8b\x80kkkk", 1002),                          // §5.2: a reserved control opcode
        (b"\x81\x01a", 1002),                             // §5.1: a client must mask
        (b"\x89\xfe\x00\x7ekkkk", 1002),                  // §5.5: a control frame of more than 125 bytes
        (b"\x09\x80kkkk", 1002),                          // §5.5: a control frame in fragments
        (b"\x80\x80kkkk", 1002),                          // §5.4: a continuation of nothing
        (b"\x01\x80kkkk\x81\x80kkkk", 1002),              // §5.4: a new message inside another
        (b"\x81\xfe\x00\x01kkkkj", 1002),                 // §5.2: a length that is not in its shortest form
        (b"\x88\x81kkkkk", 1002),                         // §5.5.1: half a close code
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),              // §7.4.1: 1005 is not for the wire
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),          // §5.5.1: a reason that is not UTF-8
        (b"\x81\x81\0\0\0\0\xff", 1007),                  // §8.1: text that is not UTF-8
        (b"\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0x", 1007), // §8.1: text that is not UTF-8, in fragments
        (b"\x82\xff\0\0\0\0\0\x10\0\0kkkk", 1009),        // §10.4: a message that is too long
    ])
}

/// A request head, and whether it is right. `None`: it never becomes one, but the server cannot know yet.
pub(crate) fn request(index: usize, random: &mut Random) -> (Vec<u8>, Option<bool>) {
    let (mut line, mut version, mut upgrade) = ("GET", "13", "Upgrade: websocket\r\n");
    let mut is_right = Some(false);
    match random.below(40) {
        0 => line = "POST",
        1 => version = "8",
        2 => upgrade = "",
        3 => return (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n".to_vec(), is_right),
        4 => return ([&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; 17 * 1024]].concat(), is_right),
        5 => return (b"GET / HTTP/1.1\r\nHost: sim\r\n".to_vec(), None),
        6 => return (Vec::new(), None),
        _ => is_right = Some(true),
    }
    let head = format!(
        "{line} /{index} HTTP/1.1\r\nHost: sim\r\n{upgrade}Connection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n\r\n"
    );
    (head.into_bytes(), is_right)
}

/// The payload of a client's ping: no two are equal.
pub(crate) fn ping_payload(number: u32) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(4 + number as usize * 7 % 100, b'p');
    payload
}
