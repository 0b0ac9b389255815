//! RFC 7692 as a client sees it: the offer and its answer, and replies that come compressed.
//!
//! Each message is compressed by itself in both directions. A server that does so makes the same of the same message each
//! time: what was decompressed and checked once is known again by its bytes, so that checking it costs next to nothing.

use frameloop::protocol::compression::MessageCodec;
use frameloop::protocol::handshake::fields::parse_extensions;

use super::replies::Piece;

/// What is offered, and has to be accepted.
pub(crate) const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// RFC 7692 §7.1: checks the lines of `Sec-WebSocket-Extensions` in a response.
///
/// # Errors
/// The server did not accept the offer, or something else.
pub(crate) fn check_answer<'h>(lines: impl Iterator<Item = &'h [u8]>) -> Result<(), String> {
    let lines: Vec<&[u8]> = lines.collect();
    let is_accepted = match parse_extensions(lines.iter().copied()).as_deref() {
        Some([answer]) if answer.name == "permessage-deflate" => {
            let mut names: Vec<&str> = answer.parameters.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            let is_once = names.windows(2).all(|pair| pair[0] != pair[1]);
            let is_known = answer.parameters.iter().all(|(name, value)| match (*name, value.as_deref()) {
                ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
                // §7.1.2.1: it may, unasked. Smaller windows are decompressed all the same.
                ("server_max_window_bits", Some(bits)) => {
                    ["8", "9", "10", "11", "12", "13", "14", "15"].contains(&bits)
                }
                _ => false,
            });
            // The client does what it offered by itself, whatever the server says of it.
            is_once && is_known && names.contains(&"server_no_context_takeover")
        }
        _ => false,
    };
    match (is_accepted, lines.as_slice()) {
        (true, _) => Ok(()),
        (false, []) => Err(format!("the server does not compress: it answered nothing to `{OFFER}`")),
        (false, lines) => {
            let answer = String::from_utf8_lossy(&lines.join(&b", "[..])).into_owned();
            Err(format!("the server does not compress as it has to: it answered `{answer}` to `{OFFER}`"))
        }
    }
}

/// The replies of all connections that came compressed.
#[derive(Debug)]
pub(crate) struct Compressed {
    codec: MessageCodec,
    /// By their places in the block: the compressed form that was checked last.
    known: Vec<Option<Vec<u8>>>,
    /// Payload bytes of a message.
    size: usize,
}

impl Compressed {
    pub(crate) fn new(codec: MessageCodec, count: usize, size: usize) -> Compressed {
        Compressed { codec, known: vec![None; count], size }
    }

    /// Takes the next bytes of a reply that is due for this place of the block. `gathered` is what came of it before, unless it
    /// was as the one that is known. With its last bytes: what is to be checked, or `None` if it is known.
    ///
    /// # Errors
    /// It cannot be decompressed.
    pub(crate) fn take(
        &mut self,
        place: u32,
        piece: Piece<'_>,
        gathered: &mut Vec<u8>,
    ) -> Result<Option<Vec<u8>>, String> {
        let known = self.known[place as usize].as_deref();
        let offset = piece.offset as usize;
        let end = offset + piece.bytes.len();
        if gathered.is_empty() {
            let is_known =
                |known: &[u8]| known.get(offset..end) == Some(piece.bytes) && (!piece.is_last || end == known.len());
            if known.is_some_and(is_known) {
                return Ok(None);
            }
            // What came before was as the known one, or there was nothing.
            gathered.extend_from_slice(&known.unwrap_or_default()[..offset]);
        }
        let bytes_max = 2 * self.size + COMPRESSED_BYTES_MORE;
        if end > bytes_max {
            return Err(format!("more than {bytes_max} compressed bytes came back for {}", self.size));
        }
        gathered.extend_from_slice(piece.bytes);
        if !piece.is_last {
            return Ok(None);
        }
        let compressed = std::mem::take(gathered);
        let payload = self
            .codec
            .decompress(&compressed, self.size)
            .map_err(|error| format!("a compressed reply cannot be decompressed: {error}"))?;
        self.known[place as usize] = Some(compressed);
        Ok(Some(payload))
    }
}

/// A reply that got no smaller may have so many bytes more than twice those of the message.
const COMPRESSED_BYTES_MORE: usize = 64;

#[cfg(test)]
mod tests {
    use frameloop::protocol::frame::Opcode;

    use super::*;

    #[test]
    fn an_answer_accepts_the_offer_or_is_named() {
        let check = |lines: &[&str]| check_answer(lines.iter().map(|line| line.as_bytes()));
        for accepted in [
            OFFER,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate;client_no_context_takeover;server_no_context_takeover;server_max_window_bits=10",
        ] {
            assert_eq!(check(&[accepted]), Ok(()), "{accepted}");
        }
        assert!(check(&[]).is_err_and(|error| error.contains("nothing") && error.contains(OFFER)));
        for refused in [
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=16",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "x-other; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover, x-other",
            "",
        ] {
            let error = check(&[refused]).expect_err(refused);
            assert!(error.contains(&format!("`{refused}`")), "{error}");
        }
        assert!(check(&[OFFER, OFFER]).is_err());
    }

    /// Takes a reply in pieces of so many bytes.
    fn take(compressed: &mut Compressed, place: u32, reply: &[u8], len: usize) -> Result<Option<Vec<u8>>, String> {
        let (mut gathered, mut offset) = (Vec::new(), 0);
        for bytes in reply.chunks(len) {
            let is_last = offset + bytes.len() == reply.len();
            let piece = Piece { opcode: Opcode::Text, is_compressed: true, offset: offset as u64, bytes, is_last };
            let taken = compressed.take(place, piece, &mut gathered)?;
            if is_last {
                return Ok(taken);
            }
            assert_eq!(taken, None);
            offset += bytes.len();
        }
        panic!("a reply has bytes");
    }

    #[test]
    fn a_reply_is_decompressed_unless_it_is_byte_for_byte_the_one_before() {
        let payload = [b"0123456789".repeat(50), vec![b'x'; 500]].concat();
        let mut codec = MessageCodec::new().unwrap();
        let [one, other] = [codec.compress(&payload), codec.compress(&[b'y'; 1000])];
        for len in [1, 2, 7, one.len() - 1, one.len()] {
            let mut compressed = Compressed::new(MessageCodec::new().unwrap(), 2, 1000);
            assert_eq!(take(&mut compressed, 1, &one, len), Ok(Some(payload.clone())), "{len}");
            assert_eq!(take(&mut compressed, 1, &one, len), Ok(None), "it is known: {len}");
            assert_eq!(take(&mut compressed, 0, &one, len), Ok(Some(payload.clone())), "of another place: {len}");
            assert_eq!(take(&mut compressed, 1, &other, len), Ok(Some(vec![b'y'; 1000])), "{len}");
            assert_eq!(take(&mut compressed, 1, &one, len), Ok(Some(payload.clone())), "{len}");
            // It begins as the one that is known, and is shorter or longer.
            assert!(take(&mut compressed, 1, &one[..one.len() - 1], len).is_err(), "{len}");
            assert!(take(&mut compressed, 1, &[&one[..], b"\x03\x00\x00\x00"].concat(), len) != Ok(None), "{len}");
        }
    }

    #[test]
    fn a_reply_that_cannot_be_decompressed_or_is_too_long_is_an_error() {
        let mut codec = MessageCodec::new().unwrap();
        let bomb = codec.compress(&[0; 1_000_000]);
        let mut compressed = Compressed::new(codec, 1, 1000);
        let empty = Piece { opcode: Opcode::Text, is_compressed: true, offset: 0, bytes: &[], is_last: true };
        assert_eq!(compressed.take(0, empty, &mut Vec::new()), Ok(Some(Vec::new())), "it is not taken for a known one");
        for (reply, names) in [(&[0xff; 100][..], "decompressed"), (&bomb, "1000"), (&[0; 3000], "more than 2064")] {
            let error = take(&mut compressed, 0, reply, 64).expect_err(names);
            assert!(error.contains(names), "{error}");
        }
    }
}
