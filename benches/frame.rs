//! §5.2: frame headers in both directions, and bytes to payload chunks.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "harness/client.rs"]
mod client;
mod harness;

use std::hint::black_box;

use client::KEY;
use frameloop::protocol::SharedFrame;
use frameloop::protocol::frame::{FrameDecoder, FrameHeader, Opcode};
use frameloop::protocol::{Input, ProtocolError};
use harness::{Bench, Work, bytes};

const FRAMES: usize = 100;
const PAYLOAD: [u8; 64] = [b'x'; 64];

fn main() {
    let mut bench = Bench::start();
    for (payload_len, name) in [(64, "7"), (4096, "16"), (1 << 20, "64")] {
        let header = FrameHeader { fin: true, rsv1: false, opcode: Opcode::Text, masking_key: Some(KEY), payload_len };
        let mut encoded = Vec::with_capacity(FrameHeader::BYTES_MAX);
        header.encode(&mut encoded);
        let expected = Ok(Some((header, encoded.len())));
        bench.case(&format!("parse a header, {name} bits of length"), bytes(0), expected, || {
            FrameHeader::parse(black_box(&encoded))
        });
        let header = FrameHeader { masking_key: None, ..header };
        let mut out = Vec::with_capacity(FrameHeader::BYTES_MAX);
        bench.case(&format!("encode a header, {name} bits of length"), bytes(0), encoded.len() - 4, || {
            out.clear();
            black_box(&header).encode(&mut out);
            out.len()
        });
    }

    let frame = client::frame(true, Opcode::Text, &PAYLOAD);
    let work = Work { operations: FRAMES, bytes: FRAMES * PAYLOAD.len() };
    let mut stream = frame.repeat(FRAMES);
    bench.case("decode a frame of 64 B", work, Ok(FRAMES), || decode([&mut stream[..]]));
    bench.case("decode a frame of 64 B, its header cut", work, Ok(FRAMES), || {
        stream.chunks_exact_mut(frame.len()).try_fold(0, |frames, frame| -> Result<usize, ProtocolError> {
            let (front, back) = frame.split_at_mut(3);
            Ok(frames + decode([front, back])?)
        })
    });
    let long = [b'x'; 4096];
    bench.case("encode a frame of 4 KiB to share", bytes(long.len()), 4 + long.len(), || {
        SharedFrame::binary(black_box(&long)).as_bytes().len()
    });
}

/// The number of whole frames in a stream that comes in these reads.
fn decode<const READS: usize>(reads: [&mut [u8]; READS]) -> Result<usize, ProtocolError> {
    let mut decoder = FrameDecoder::new();
    let mut frames = 0;
    for read in reads {
        let mut input = Input::new(read);
        loop {
            if !decoder.is_in_payload() && decoder.poll_header(&mut input)?.is_none() {
                break;
            }
            let Some(chunk) = decoder.poll_chunk(&mut input) else { break };
            frames += usize::from(chunk.is_last);
        }
    }
    Ok(frames)
}
