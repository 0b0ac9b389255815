//! Messages that are compressed by themselves, without a connection: for clients of a server, such as `frameloop bench`.

use super::context::{Compressor, Decompressor};
use super::negotiation::WINDOW_BITS_MAX;
use super::scratch;
use crate::protocol::error::ProtocolError;

/// RFC 7692 §7.2 for who has agreed on no context takeover in either direction: a compressor and a decompressor.
#[derive(Debug)]
pub struct MessageCodec {
    compressor: Compressor,
    decompressor: Decompressor,
    scratch: Vec<u8>,
}

impl MessageCodec {
    /// One with the largest window; `None` in a build without the feature `deflate`.
    pub fn new() -> Option<MessageCodec> {
        let (compressor, decompressor) = (Compressor::shared(WINDOW_BITS_MAX), Decompressor::new());
        Some(MessageCodec { compressor, decompressor, scratch: Vec::new() })
    }

    /// The compressed form of a payload, for a message whose first frame has RSV1; even if it got no smaller.
    pub fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return vec![0x00]; // RFC 7692 §7.2.3.6
        }
        self.compressor.reset();
        self.compressor.compress(payload, scratch(&mut self.scratch))
    }

    /// The payload of which this is the compressed form.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidDeflate`]; [`ProtocolError::MessageTooBig`] as soon as there are more bytes than that.
    pub fn decompress(&mut self, compressed: &[u8], message_bytes_max: usize) -> Result<Vec<u8>, ProtocolError> {
        self.decompressor.reset();
        let mut payload = Vec::new();
        self.decompressor.decompress(compressed, scratch(&mut self.scratch), |chunk| {
            let bytes = payload.len() + chunk.len();
            if bytes > message_bytes_max {
                return Err(ProtocolError::MessageTooBig { announced: bytes as u64, limit: message_bytes_max as u64 });
            }
            payload.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_whatever_was_compressed_before_it() {
        let mut codec = MessageCodec::new().unwrap();
        for size in [0, 1, 64, 4096, 300_000] {
            let payload: Vec<u8> = (0..size).map(|i: u32| (i / 100 * i) as u8).collect();
            for _ in 0..2 {
                let compressed = codec.compress(&payload);
                assert_eq!(codec.decompress(&compressed, payload.len()), Ok(payload.clone()), "{size}");
                let mut fresh = MessageCodec::new().unwrap();
                assert_eq!(fresh.decompress(&compressed, payload.len()), Ok(payload.clone()), "{size}: by itself");
            }
        }
    }

    #[test]
    fn no_more_is_decompressed_than_was_asked_for_and_what_is_wrong_is_told() {
        let mut codec = MessageCodec::new().unwrap();
        let compressed = codec.compress(&[b'x'; 1_000_000]);
        let too_big = codec.decompress(&compressed, 20_000);
        assert!(matches!(too_big, Err(ProtocolError::MessageTooBig { announced: ..50_000, .. })), "{too_big:?}");
        assert_eq!(codec.decompress(&[0xff; 10], 20_000), Err(ProtocolError::InvalidDeflate));
        assert_eq!(codec.decompress(&compressed, 1_000_000).map(|payload| payload.len()), Ok(1_000_000));
    }
}
