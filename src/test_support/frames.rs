//! §5.2, §5.3, §5.5.1, §8.1: the parts of a frame.

use super::source::{Source, cut};
use crate::protocol::CloseCode;
use crate::protocol::ProtocolError;
use crate::protocol::close::{encode_close_payload, parse_close_payload};
use crate::protocol::frame::{FrameHeader, Opcode};
use crate::protocol::mask::unmask;
use crate::protocol::utf8::{Utf8Validator, parse};

/// §5.2: a header that parses is encoded to the very bytes that it was parsed from, and a header that is encoded
/// parses back. A prefix of a header is never an error; a prefix of bad bytes gives the same error or none yet.
///
/// # Panics
/// If that does not hold.
pub fn frame_header(data: &[u8]) {
    let parsed = FrameHeader::parse(data);
    if let Ok(Some((header, len))) = parsed {
        let mut encoded = Vec::new();
        header.encode(&mut encoded);
        assert_eq!(encoded, data[..len], "parse, then encode");
    }
    if parsed == Ok(None) {
        assert!(data.len() < FrameHeader::BYTES_MAX, "no header is longer");
    }
    let end = match parsed {
        Ok(Some((_, len))) => len,
        _ => data.len(),
    };
    let mut failed = false;
    for len in 0..end.min(FrameHeader::BYTES_MAX) {
        match FrameHeader::parse(&data[..len]) {
            Ok(None) => assert!(!failed, "an error does not go away"),
            Ok(Some(_)) => panic!("a part of a header is no header"),
            Err(error) => {
                failed = true;
                assert_eq!(Err(error), parsed, "the first rule that is broken stays the first");
            }
        }
    }

    let mut source = Source::new(data);
    let opcodes = [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
    let [flags, opcode, bits] = source.array();
    let opcode = opcodes[usize::from(opcode) % opcodes.len()];
    let is_long = !opcode.is_control();
    let header = FrameHeader {
        fin: flags & 1 != 0 || opcode.is_control(),
        rsv1: false,
        opcode,
        masking_key: (flags & 2 != 0).then(|| source.array()),
        payload_len: if is_long {
            u64::from_be_bytes(source.array()) >> bits.clamp(1, 63)
        } else {
            u64::from(bits % 126)
        },
    };
    let mut encoded = Vec::new();
    header.encode(&mut encoded);
    assert_eq!(FrameHeader::parse(&encoded), Ok(Some((header, encoded.len()))), "encode, then parse");
}

/// §5.3: unmasking is the formula of the RFC, at any offset, alignment and length, whole or in pieces; done twice it is
/// nothing.
///
/// # Panics
/// If that does not hold.
pub fn mask(data: &[u8]) {
    let mut source = Source::new(data);
    let (key, [offset, start, seed]) = (source.array::<4>(), source.array());
    let original = source.rest();
    let start = usize::from(start).min(original.len());
    let offset = usize::from(offset);
    let formula = |(i, byte): (usize, &u8)| byte ^ key[(offset + i) % 4];
    let expected: Vec<u8> = original[start..].iter().enumerate().map(formula).collect();

    let mut payload = original.to_vec();
    unmask(&mut payload[start..], key, offset);
    assert_eq!(payload[start..], expected);
    assert_eq!(payload[..start], original[..start], "nothing else is touched");
    unmask(&mut payload[start..], key, offset);
    assert_eq!(payload, original, "its own inverse");

    let mut at = 0;
    for piece in cut(&original[start..], u16::from(seed)) {
        let mut piece = piece.to_vec();
        unmask(&mut piece, key, offset + at);
        assert_eq!(piece, expected[at..at + piece.len()], "in pieces");
        at += piece.len();
    }
}

/// §8.1: whatever the cuts, exactly the texts that the standard library takes are taken, and they come out whole.
/// Others fail no later than with the byte that cannot follow.
///
/// # Panics
/// If that does not hold.
pub fn utf8(data: &[u8]) {
    let mut source = Source::new(data);
    let seed = u16::from(source.byte());
    let bytes = source.rest();
    let expected = std::str::from_utf8(bytes);
    assert_eq!(parse(bytes).ok(), expected.ok(), "whole");
    // Where a character is broken off, it is the byte behind it that shows it.
    let is_bad = |end: usize| std::str::from_utf8(&bytes[..end]).is_err_and(|error| error.error_len().is_some());
    let bad_from = expected.err().and_then(|error| Some(error.valid_up_to() + error.error_len()?));
    let bad_from = bad_from.map_or(usize::MAX, |end| if is_bad(end) { end } else { end + 1 });
    let (mut validator, mut text, mut end) = (Utf8Validator::default(), String::new(), 0);
    for piece in cut(bytes, seed) {
        end += piece.len();
        let result = validator.append(&mut text, piece);
        assert_eq!(result.is_err(), bad_from <= end, "it fails as soon as no text can begin like this");
        if result.is_err() {
            return;
        }
    }
    assert_eq!(validator.finish().ok().map(|()| text.as_str()), expected.ok());
}

/// §5.5.1, §7.4: a payload is empty, or a code that may be sent and a reason in UTF-8. What parses is encoded to the
/// same bytes; a reason that is too long is cut at a character.
///
/// # Panics
/// If that does not hold.
pub fn close_payload(data: &[u8]) {
    let parsed = parse_close_payload(data);
    let number = data.first_chunk().map(|&code| u16::from_be_bytes(code));
    // §7.4.1, §7.4.2, written anew: 1004 is reserved, 1005, 1006 and 1015 never stand in a frame, 1012 to 1014 were
    // registered later, 3000 to 4999 are free.
    let may_be_sent = |number| matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
    match (data.len(), number) {
        (0, _) => assert_eq!(parsed, Ok(None)),
        (_, None) => assert_eq!(parsed, Err(ProtocolError::CloseTooShort)),
        (_, Some(number)) if !may_be_sent(number) => {
            assert_eq!(parsed, Err(ProtocolError::InvalidCloseCode(number)));
        }
        (_, Some(number)) => match std::str::from_utf8(&data[2..]) {
            Err(_) => assert_eq!(parsed, Err(ProtocolError::InvalidUtf8)),
            Ok(reason) => {
                let code = CloseCode::new(number).expect("it may be sent");
                assert_eq!(parsed, Ok(Some((code, reason))));
                let encoded = encode_close_payload(code, reason);
                assert!(encoded.len() <= 125 && data.starts_with(&encoded), "§5.5: it fits into a control frame");
                assert!(encoded.len() == data.len() || encoded.len() > 125 - 4, "no more is cut than must be");
                assert!(parse_close_payload(&encoded).is_ok(), "a character is not cut");
            }
        },
    }
}
