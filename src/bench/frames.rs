//! §5.3: frames of a client, masked. And the randomness that keys are made of.

use frameloop::protocol::frame::{FrameHeader, Opcode};
use frameloop::protocol::mask::unmask;

/// Appends a message of one frame.
pub(crate) fn push_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], masking_key: [u8; 4]) {
    push_fragment(out, true, false, opcode, payload, masking_key);
}

/// §5.4: appends a message of so many frames, which are equally long but for a byte. RFC 7692 §6.1: with `rsv1` its
/// payload is compressed.
pub(crate) fn push_message(
    out: &mut Vec<u8>,
    opcode: Opcode,
    rsv1: bool,
    payload: &[u8],
    fragments: usize,
    masking_key: [u8; 4],
) {
    let cut = |number: usize| (payload.len() as u128 * number as u128 / fragments as u128) as usize;
    for number in 0..fragments {
        let opcode = if number == 0 { opcode } else { Opcode::Continuation };
        let is_last = number + 1 == fragments;
        let rsv1 = rsv1 && number == 0;
        push_fragment(out, is_last, rsv1, opcode, &payload[cut(number)..cut(number + 1)], masking_key);
    }
}

fn push_fragment(out: &mut Vec<u8>, fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8], masking_key: [u8; 4]) {
    let payload_len = payload.len() as u64;
    FrameHeader { fin, rsv1, opcode, masking_key: Some(masking_key), payload_len }.encode(out);
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[start..], masking_key, 0);
}

/// Random bytes, asked of the system in larger portions.
#[derive(Debug)]
pub(crate) struct Random {
    bytes: [u8; 1024],
    used: usize,
}

impl Random {
    pub(crate) fn new() -> Random {
        Random { bytes: [0; 1024], used: 1024 }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// If the system has none.
    pub(crate) fn next<const N: usize>(&mut self) -> Result<[u8; N], String> {
        if self.used + N > self.bytes.len() {
            getrandom::fill(&mut self.bytes).map_err(|error| format!("the system has no random numbers: {error}"))?;
            self.used = 0;
        }
        let bytes = self.bytes[self.used..].first_chunk().expect("there are as many");
        self.used += N;
        Ok(*bytes)
    }
}

/// §4.1: the value of `Sec-WebSocket-Key`, the base64 of 16 random bytes. Such a text is 21 characters of 6 bits, one
/// with the last 2 bits, and the padding: so it is made of random characters.
pub(crate) fn handshake_key(random: &mut Random) -> Result<String, String> {
    let bytes: [u8; 22] = random.next()?;
    let (last, others) = bytes.split_last().expect("there are 22");
    let others = others.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
    Ok(others.chain([char::from(b"AQgw"[usize::from(last % 4)])]).chain("==".chars()).collect())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_unmasks_to_its_payload() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let mut frame = vec![0xff];
            push_frame(&mut frame, Opcode::Binary, &payload, [1, 2, 3, 4]);
            let frame = &mut frame[1..];
            let (header, header_end) = FrameHeader::parse(frame).unwrap().unwrap();
            assert!(header.fin && header.opcode == Opcode::Binary && header.masking_key == Some([1, 2, 3, 4]));
            assert_eq!(header.payload_len, size as u64);
            unmask(&mut frame[header_end..], [1, 2, 3, 4], 0);
            assert_eq!(&frame[header_end..], payload);
        }
    }

    #[test]
    fn a_message_is_cut_into_as_many_frames_of_which_the_last_is_final() {
        // §5.4: a data opcode, then continuations.
        let payload: Vec<u8> = (0..1000).map(|i| i as u8).collect();
        for fragments in [1, 2, 3, 7, 999, 1000] {
            let (mut out, mut message, mut frames) = (Vec::new(), Vec::new(), Vec::new());
            push_message(&mut out, Opcode::Text, false, &payload, fragments, [1, 2, 3, 4]);
            let mut rest = out.as_mut_slice();
            while let Some((header, header_end)) = FrameHeader::parse(rest).unwrap() {
                let (frame, behind) = rest.split_at_mut(header_end + header.payload_len as usize);
                unmask(&mut frame[header_end..], [1, 2, 3, 4], 0);
                message.extend_from_slice(&frame[header_end..]);
                frames.push(header);
                rest = behind;
            }
            assert!(message == payload && frames.len() == fragments, "{fragments}");
            for (number, header) in frames.iter().enumerate() {
                let opcode = if number == 0 { Opcode::Text } else { Opcode::Continuation };
                assert_eq!((header.fin, header.opcode), (number + 1 == fragments, opcode));
                assert!(header.payload_len.abs_diff((1000 / fragments) as u64) <= 1, "{header:?}");
            }
        }
    }

    #[test]
    fn a_key_is_one_that_a_server_takes_and_no_two_are_the_same() {
        let mut random = Random::new();
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let key = handshake_key(&mut random).unwrap();
            let head = format!(
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            );
            frameloop::protocol::Request::parse(head.as_bytes()).expect("a valid request");
            assert!(keys.insert(key));
        }
    }
}
