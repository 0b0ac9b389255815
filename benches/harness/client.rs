//! What a client puts on the wire.

use frameloop::protocol::frame::{FrameHeader, Opcode};
use frameloop::protocol::mask::unmask;

/// A masking key without top bits: what is unmasked in place twice, and so masked again, stays ASCII if it was. One
/// buffer can thus be read as often as a benchmark likes.
pub(crate) const KEY: [u8; 4] = [0x17, 0x2a, 0x41, 0x3d];

/// A masked frame.
pub(crate) fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, rsv1: false, opcode, masking_key: Some(KEY), payload_len: payload.len() as u64 };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let header_end = bytes.len();
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[header_end..], KEY, 0);
    bytes
}
