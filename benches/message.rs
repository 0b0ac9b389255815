//! §5.4: frames and fragments to messages.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "harness/client.rs"]
mod client;
mod harness;

use frameloop::protocol::frame::{FrameDecoder, Opcode};
use frameloop::protocol::message::{Assembled, MessageAssembler};
use frameloop::protocol::{Input, Limits, ProtocolError};
use harness::{Bench, bytes};

fn main() {
    let mut bench = Bench::start();
    let limits = Limits::default();
    for (size, name) in [(64, "64 B"), (4096, "4 KiB"), (65536, "64 KiB")] {
        let payload = vec![b'x'; size];
        for (opcode, kind) in [(Opcode::Text, "text"), (Opcode::Binary, "binary")] {
            let mut frame = client::frame(true, opcode, &payload);
            bench.case(&format!("{kind} of {name}, lent"), bytes(size), Ok(size), || assemble([&mut frame], &limits));
        }
        let mut frame = client::frame(true, Opcode::Text, &payload);
        bench.case(&format!("text of {name}, cut in the middle"), bytes(size), Ok(size), || {
            let (front, back) = frame.split_at_mut(6 + size / 2);
            assemble([front, back], &limits)
        });
        let mut fragments = [
            client::frame(false, Opcode::Text, &payload[..size / 4]),
            client::frame(false, Opcode::Continuation, &payload[..size / 4]),
            client::frame(false, Opcode::Continuation, &payload[..size / 4]),
            client::frame(true, Opcode::Continuation, &payload[..size / 4]),
        ]
        .concat();
        bench.case(&format!("text of {name}, in 4 fragments"), bytes(size), Ok(size), || {
            assemble([&mut fragments], &limits)
        });
    }
}

/// The payload bytes of the messages in a stream that comes in these reads.
fn assemble<const READS: usize>(reads: [&mut [u8]; READS], limits: &Limits) -> Result<usize, ProtocolError> {
    let (mut decoder, mut assembler) = (FrameDecoder::new(), MessageAssembler::default());
    let mut bytes = 0;
    for read in reads {
        let mut input = Input::new(read);
        loop {
            if !decoder.is_in_payload() {
                let Some(header) = decoder.poll_header(&mut input)? else { break };
                assembler.begin_frame(&header, limits)?;
            }
            let Some(chunk) = decoder.poll_chunk(&mut input) else { break };
            if let Some(Assembled::Message(message)) = assembler.push(chunk)? {
                bytes += message.as_bytes().len();
            }
        }
    }
    Ok(bytes)
}
