//! §5.1, §5.2: the base framing protocol.
//!
//! This file owns the frame header in both directions and the way from bytes to payload chunks. Which frame may follow
//! which (§5.4) is [`super::message`]'s business.
//!
//! ```text
//!       0                   1                   2                   3
//!       0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!      +-+-+-+-+-------+-+-------------+-------------------------------+
//!      |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
//!      |I|S|S|S|  (4)  |A|     (7)     |             (16/64)           |
//!      |N|V|V|V|       |S|             |   (if payload len==126/127)   |
//!      | |1|2|3|       |K|             |                               |
//!      +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
//!      |     Extended payload length continued, if payload len == 127  |
//!      + - - - - - - - - - - - - - - - +-------------------------------+
//!      |                               |Masking-key, if MASK set to 1  |
//!      +-------------------------------+-------------------------------+
//!      | Masking-key (continued)       |          Payload Data         |
//!      +-------------------------------- - - - - - - - - - - - - - - - +
//! ```

use super::error::ProtocolError;
use super::input::Input;
use super::limits::CONTROL_PAYLOAD_BYTES_MAX;
use super::mask::unmask;

/// What a frame holds (§5.2, §11.8). The other numbers are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// The first or only frame of a text message.
    Text = 0x1,
    /// The first or only frame of a binary message.
    Binary = 0x2,
    /// §5.5.1.
    Close = 0x8,
    /// §5.5.2.
    Ping = 0x9,
    /// §5.5.3.
    Pong = 0xa,
}

impl Opcode {
    /// Whether this is a control frame, which may stand between the fragments of a message (§5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    fn parse(bits: u8) -> Result<Opcode, ProtocolError> {
        match bits {
            0x0 => Ok(Opcode::Continuation),
            0x1 => Ok(Opcode::Text),
            0x2 => Ok(Opcode::Binary),
            0x8 => Ok(Opcode::Close),
            0x9 => Ok(Opcode::Ping),
            0xa => Ok(Opcode::Pong),
            reserved => Err(ProtocolError::ReservedOpcode(reserved)),
        }
    }
}

/// A frame header (§5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// FIN: this is the last fragment of its message.
    pub fin: bool,
    /// RSV1: the message that begins with this frame is compressed (RFC 7692 §6).
    pub rsv1: bool,
    /// What the frame holds.
    pub opcode: Opcode,
    /// The masking key; frames of a client have one, frames of a server have none (§5.1).
    pub masking_key: Option<[u8; 4]>,
    /// The number of payload bytes that follow, at most 2^63 - 1.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The longest header: 2 bytes, a 64-bit length, a masking key.
    pub const BYTES_MAX: usize = 14;

    /// Parses the header at the front of `bytes`, and says how many bytes it takes; `None` if its end has not come. No
    /// extension was agreed on.
    ///
    /// # Errors
    /// Those of [`parse_with`](FrameHeader::parse_with).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        FrameHeader::parse_with(bytes, false)
    }

    /// The same. RSV1 has a meaning if `has_rsv1`: permessage-deflate was agreed on.
    ///
    /// # Errors
    /// The first rule of §5.2 and §5.5 that is broken, as soon as the field that breaks it is there. That the frame
    /// is masked at all is the decoder's to check (§5.1): both directions parse here.
    #[inline]
    pub fn parse_with(bytes: &[u8], has_rsv1: bool) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, reserved_bits) = (first & FIN != 0, first & RSV);
        let rsv1 = reserved_bits != 0;
        if rsv1 && !(has_rsv1 && may_have_rsv1(first)) {
            return Err(ProtocolError::ReservedBits(reserved_bits)); // §5.2: MUST be 0 unless negotiated
        }
        let opcode = Opcode::parse(first & OPCODE)?;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::ControlFrameFragmented); // §5.5: MUST NOT be fragmented
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let length_bits = second & LENGTH;
        if opcode.is_control() && usize::from(length_bits) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(ProtocolError::ControlFrameTooLong); // §5.5: 125 bytes or less
        }
        let (payload_len, length_end) = match length_bits {
            LENGTH_16 => {
                let Some(extended) = bytes.get(2..4).and_then(|b| b.try_into().ok()) else { return Ok(None) };
                (u64::from(u16::from_be_bytes(extended)), 4)
            }
            LENGTH_64 => {
                let Some(extended) = bytes.get(2..10).and_then(|b| b.try_into().ok()) else { return Ok(None) };
                (u64::from_be_bytes(extended), 10)
            }
            length => (u64::from(length), 2),
        };
        if payload_len > LENGTH_MAX {
            return Err(ProtocolError::LengthTooLarge(payload_len)); // §5.2: the most significant bit MUST be 0
        }
        if length_end > header_len(payload_len) {
            return Err(ProtocolError::LengthNotMinimal(payload_len)); // §5.2: the minimal number of bytes MUST be used
        }

        let (masking_key, header_end) = if second & MASK != 0 {
            let key = bytes.get(length_end..length_end + 4).and_then(|b| b.try_into().ok());
            let Some(key) = key else { return Ok(None) };
            (Some(key), length_end + 4)
        } else {
            (None, length_end)
        };
        Ok(Some((FrameHeader { fin, rsv1, opcode, masking_key, payload_len }, header_end)))
    }

    /// Appends the header to `out`, with the length in its shortest form.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mask_len = self.masking_key.map_or(0, |key| key.len());
        out.extend_from_slice(&self.to_bytes()[..header_len(self.payload_len) + mask_len]);
    }

    /// The header, and zeros behind it.
    #[inline]
    pub(super) fn to_bytes(self) -> [u8; FrameHeader::BYTES_MAX] {
        let mut bytes = [0; FrameHeader::BYTES_MAX];
        let mask = if self.masking_key.is_some() { MASK } else { 0 };
        bytes[0] = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8;
        let length_end = match self.payload_len {
            length @ 0..=125 => {
                bytes[1] = mask | length as u8;
                2
            }
            length @ 126..=0xffff => {
                bytes[1] = mask | LENGTH_16;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            length => {
                assert!(length <= LENGTH_MAX, "no payload of ours is that long");
                bytes[1] = mask | LENGTH_64;
                bytes[2..10].copy_from_slice(&length.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.masking_key {
            bytes[length_end..length_end + 4].copy_from_slice(&key);
        }
        bytes
    }

    /// The header of a whole frame that a server sends: FIN set (we never fragment), not masked (§5.1).
    #[inline]
    pub(super) fn of_server(opcode: Opcode, payload_len: usize) -> FrameHeader {
        FrameHeader { fin: true, rsv1: false, opcode, masking_key: None, payload_len: payload_len as u64 }
    }
}

/// The bytes of a header without a masking key, the length in its shortest form.
#[inline]
pub(super) fn header_len(payload_len: u64) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Turns bytes into headers and unmasked payload chunks, whatever the cuts between reads.
///
/// Two steps: [`poll_header`](FrameDecoder::poll_header) until there is one, then
/// [`poll_chunk`](FrameDecoder::poll_chunk) until its last chunk. In between, whoever assembles messages can refuse
/// the frame by its header alone, before any payload byte is touched.
#[derive(Debug)]
pub struct FrameDecoder {
    state: DecoderState,
}

#[derive(Debug)]
enum DecoderState {
    /// A header comes next, or is coming: its bytes so far, kept since they ended with the last read.
    Header { spilled: [u8; FrameHeader::BYTES_MAX - 1], spilled_len: u8 },
    /// The payload of a frame is coming.
    Payload(PayloadState),
}

/// What is left to know of a frame once its header was judged: each connection keeps it.
#[derive(Debug, Clone, Copy)]
struct PayloadState {
    /// Bytes that have not come.
    left: u64,
    /// Turned so that it begins with the byte for the next byte of the payload.
    masking_key: [u8; 4],
    opcode: Opcode,
    fin: bool,
    rsv1: bool,
    is_begun: bool,
}

/// A piece of a frame's payload, unmasked.
#[derive(Debug)]
pub struct Chunk<'b> {
    /// What its frame holds.
    pub opcode: Opcode,
    /// Its frame is the last of its message.
    pub fin: bool,
    /// Its frame is the first of a message that is compressed.
    pub rsv1: bool,
    /// The bytes.
    pub bytes: &'b mut [u8],
    /// The frame's payload begins with it.
    pub is_first: bool,
    /// The frame's payload ends with it.
    pub is_last: bool,
}

impl FrameDecoder {
    /// A decoder at the start of a frame.
    pub fn new() -> FrameDecoder {
        FrameDecoder { state: START }
    }

    /// Whether a header has come whose payload is not complete.
    #[inline]
    pub fn is_in_payload(&self) -> bool {
        matches!(self.state, DecoderState::Payload(_))
    }

    /// Takes the next header from `input`; `None` if its end has not come. No extension was agreed on.
    ///
    /// # Errors
    /// Those of [`FrameHeader::parse`], and a frame that is not masked.
    #[inline]
    pub fn poll_header(&mut self, input: &mut Input<'_>) -> Result<Option<FrameHeader>, ProtocolError> {
        self.poll_header_with(input, false)
    }

    /// The same. RSV1 has a meaning if `has_rsv1`: permessage-deflate was agreed on.
    ///
    /// # Errors
    /// Those of [`FrameHeader::parse_with`], and a frame that is not masked.
    #[inline]
    pub fn poll_header_with(
        &mut self,
        input: &mut Input<'_>,
        has_rsv1: bool,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let DecoderState::Header { spilled, spilled_len } = &mut self.state else {
            panic!("a header is polled while a payload is coming: a bug");
        };
        let parsed = if *spilled_len == 0 {
            let parsed = parse_of_client(input.peek(), has_rsv1)?;
            if let Some((_, header_end)) = parsed {
                input.take(header_end);
            }
            parsed
        } else {
            parse_spilled(spilled, *spilled_len, input, has_rsv1)?
        };
        let Some((header, _)) = parsed else {
            // §5.2: at most 14 bytes; what did not parse is shorter, so that it fits.
            for &mut byte in input.take_all() {
                spilled[usize::from(*spilled_len)] = byte;
                *spilled_len += 1;
            }
            return Ok(None);
        };
        let FrameHeader { fin, rsv1, opcode, masking_key, payload_len } = header;
        let masking_key = masking_key.expect("a frame without one was refused");
        self.state =
            DecoderState::Payload(PayloadState { left: payload_len, masking_key, opcode, fin, rsv1, is_begun: false });
        Ok(Some(header))
    }

    /// Takes what `input` has of the current payload and unmasks it in place; `None` if it has nothing of it.
    #[inline]
    pub fn poll_chunk<'b>(&mut self, input: &mut Input<'b>) -> Option<Chunk<'b>> {
        let DecoderState::Payload(PayloadState { left, .. }) = self.state else {
            panic!("a payload is polled before its header: a bug");
        };
        if left > 0 && input.is_empty() {
            return None;
        }
        Some(self.take_chunk(input.take(usize::try_from(left).unwrap_or(usize::MAX))))
    }

    /// What the frame holds whose payload is coming, and how many bytes of it are still to come.
    #[inline]
    pub(super) fn payload_left(&self) -> Option<(Opcode, u64)> {
        match self.state {
            DecoderState::Payload(PayloadState { opcode, left, .. }) => Some((opcode, left)),
            DecoderState::Header { .. } => None,
        }
    }

    /// Unmasks the next bytes of the current payload where they lie; it must have as many.
    #[inline]
    pub(super) fn take_chunk<'b>(&mut self, bytes: &'b mut [u8]) -> Chunk<'b> {
        let DecoderState::Payload(payload) = &mut self.state else {
            panic!("a payload comes before its header: a bug");
        };
        assert!(bytes.len() as u64 <= payload.left, "more than the payload has: a bug");
        unmask(bytes, payload.masking_key, 0);
        payload.masking_key.rotate_left(bytes.len() % 4);
        payload.left -= bytes.len() as u64;
        let PayloadState { left, opcode, fin, rsv1, is_begun, .. } = *payload;
        payload.is_begun = true;
        if left == 0 {
            self.state = START;
        }
        Chunk { opcode, fin, rsv1, bytes, is_first: !is_begun, is_last: left == 0 }
    }
}

impl Default for FrameDecoder {
    fn default() -> FrameDecoder {
        FrameDecoder::new()
    }
}

/// RFC 7692 §6.1: RSV1 stands on the first fragment of a message only, and never on a control frame.
#[cold]
fn may_have_rsv1(first: u8) -> bool {
    first & RSV == RSV1 && !matches!(first & OPCODE, 0x0 | 0x8..=0xa)
}

/// Parses a header and checks that a client sent it.
#[inline]
fn parse_of_client(bytes: &[u8], has_rsv1: bool) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
    // §5.1: a server MUST close the connection upon receiving a frame that is not masked. The second byte tells, so
    // that no rule about the bytes after it may come first.
    if bytes.get(1).is_some_and(|second| second & MASK == 0) {
        FrameHeader::parse_with(&bytes[..2], has_rsv1)?;
        return Err(ProtocolError::UnmaskedFrame);
    }
    FrameHeader::parse_with(bytes, has_rsv1)
}

/// Parses a header of which the first bytes were kept from the reads before, and takes the others.
fn parse_spilled(
    spilled: &[u8],
    spilled_len: u8,
    input: &mut Input<'_>,
    has_rsv1: bool,
) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
    let kept = usize::from(spilled_len);
    let mut joined = [0; FrameHeader::BYTES_MAX];
    let added = input.len().min(joined.len() - kept);
    joined[..kept].copy_from_slice(&spilled[..kept]);
    joined[kept..kept + added].copy_from_slice(&input.peek()[..added]);
    let parsed = parse_of_client(&joined[..kept + added], has_rsv1)?;
    if let Some((_, header_end)) = parsed {
        input.take(header_end - kept);
    }
    Ok(parsed)
}

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const RSV1: u8 = 0x40;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
const LENGTH_MAX: u64 = u64::MAX >> 1;
const START: DecoderState = DecoderState::Header { spilled: [0; FrameHeader::BYTES_MAX - 1], spilled_len: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    #[should_panic(expected = "a payload is polled before its header")]
    fn the_header_comes_first() {
        FrameDecoder::default().poll_chunk(&mut Input::new(&mut []));
    }

    #[test]
    #[should_panic(expected = "a header is polled while a payload is coming")]
    fn the_payload_comes_before_the_next_header() {
        let mut decoder = FrameDecoder::default();
        assert!(decoder.poll_header(&mut Input::new(&mut [0x81, 0x81, 0, 0, 0, 0])).is_ok());
        let _ = decoder.poll_header(&mut Input::new(&mut []));
    }

    #[test]
    fn a_header_that_is_encoded_parses_back_at_every_length_form() {
        for payload_len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, LENGTH_MAX] {
            for masking_key in [None, Some(KEY)] {
                for fin in [false, true] {
                    let header = FrameHeader { fin, rsv1: false, opcode: Opcode::Binary, masking_key, payload_len };
                    let mut bytes = Vec::new();
                    header.encode(&mut bytes);
                    let mask_len = masking_key.map_or(0, |key| key.len());
                    assert_eq!(bytes.len(), header_len(payload_len) + mask_len);
                    assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, bytes.len()))));
                    for cut in 0..bytes.len() {
                        assert_eq!(FrameHeader::parse(&bytes[..cut]), Ok(None), "{header:?} cut at {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_rule_of_the_header_is_decided_by_the_byte_that_breaks_it() {
        let error = |bytes: &[u8]| FrameHeader::parse(bytes).expect_err("a rule is broken");
        for bits in [0x10, 0x20, 0x40, 0x70] {
            assert_eq!(error(&[0x81 | bits]), ProtocolError::ReservedBits(bits));
        }
        for opcode in (0x3..=0x7).chain(0xb..=0xf) {
            assert_eq!(error(&[0x80 | opcode]), ProtocolError::ReservedOpcode(opcode));
        }
        for opcode in 0x8..=0xa {
            assert_eq!(error(&[opcode]), ProtocolError::ControlFrameFragmented);
            for length in [126, 127] {
                assert_eq!(error(&[0x80 | opcode, 0x80 | length]), ProtocolError::ControlFrameTooLong);
            }
        }
        assert_eq!(error(&[0x82, 0xfe, 0, 125]), ProtocolError::LengthNotMinimal(125));
        assert_eq!(error(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), ProtocolError::LengthNotMinimal(0xffff));
        assert_eq!(error(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), ProtocolError::LengthTooLarge(1 << 63));
    }

    #[test]
    fn a_frame_that_is_not_masked_fails_at_its_second_byte() {
        let mut decoder = FrameDecoder::new();
        assert_eq!(decoder.poll_header(&mut Input::new(&mut [0x81])), Ok(None));
        // 126 announces two more bytes of length: the missing mask is known before they come.
        assert_eq!(decoder.poll_header(&mut Input::new(&mut [0x7e])), Err(ProtocolError::UnmaskedFrame));
    }

    #[test]
    fn a_frame_cut_anywhere_gives_the_same_header_and_payload() {
        let payload: Vec<u8> = (0..300).map(|i| i as u8).collect();
        let header =
            FrameHeader { fin: true, rsv1: false, opcode: Opcode::Binary, masking_key: Some(KEY), payload_len: 300 };
        let mut encoded = Vec::new();
        header.encode(&mut encoded);
        encoded.extend_from_slice(&payload);
        let header_end = encoded.len() - payload.len();
        unmask(&mut encoded[header_end..], KEY, 0);

        for cut in 0..=encoded.len() {
            let mut bytes = encoded.clone();
            let (front, back) = bytes.split_at_mut(cut);
            let mut decoder = FrameDecoder::new();
            let (mut headers, mut received, mut lasts) = (Vec::new(), Vec::new(), 0);
            for read in [front, back] {
                let mut input = Input::new(read);
                if !decoder.is_in_payload() {
                    headers.extend(decoder.poll_header(&mut input).expect("a valid header"));
                }
                if decoder.is_in_payload()
                    && let Some(chunk) = decoder.poll_chunk(&mut input)
                {
                    assert_eq!(chunk.is_first, received.is_empty());
                    received.extend_from_slice(chunk.bytes);
                    lasts += usize::from(chunk.is_last);
                }
                assert!(input.is_empty());
            }
            assert_eq!((headers, lasts), (vec![header], 1), "cut at {cut}");
            assert_eq!(received, payload, "cut at {cut}");
        }
    }
}
