//! What goes over the wire, by a server that looks at the frames themselves.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};

use frameloop::protocol::frame::{FrameHeader, Opcode};
use frameloop::protocol::mask::unmask;

use crate::fake::serve;
use crate::{bench_json, counts};

/// A message as it came: its frames, each with FIN, its opcode and its bytes.
type Frames = Vec<(bool, Opcode, Vec<u8>)>;

/// An echo server that hands on the frames of each message, and answers with one frame.
fn spy() -> (SocketAddr, Receiver<Frames>) {
    let (frames, seen) = mpsc::channel();
    let address = serve(move |mut socket| {
        let stream = socket.get_mut();
        let (mut bytes, mut buffer, mut message) = (Vec::new(), [0; 4096], Frames::new());
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            while let Some((header, header_end)) = FrameHeader::parse(&bytes).unwrap() {
                let end = header_end + header.payload_len as usize;
                if bytes.len() < end {
                    break;
                }
                unmask(&mut bytes[header_end..end], header.masking_key.expect("§5.1: a client masks"), 0);
                message.push((header.fin, header.opcode, bytes[header_end..end].to_vec()));
                bytes.drain(..end);
                if header.fin {
                    let message = std::mem::take(&mut message);
                    let payload = payload(&message);
                    let reply = FrameHeader {
                        rsv1: false,
                        fin: true,
                        opcode: message[0].1,
                        masking_key: None,
                        payload_len: payload.len() as u64,
                    };
                    let mut out = Vec::new();
                    reply.encode(&mut out);
                    out.extend(payload);
                    let is_close = message[0].1 == Opcode::Close;
                    let _ = frames.send(message); // the test takes the first
                    if stream.write_all(&out).is_err() || is_close {
                        return;
                    }
                }
            }
        }
    });
    (address, seen)
}

fn payload(message: &Frames) -> Vec<u8> {
    message.iter().flat_map(|(_, _, bytes)| bytes.iter().copied()).collect()
}

/// The first message of a run that must be without a fault.
fn first_message(args: &str) -> Frames {
    let (address, seen) = spy();
    let (code, result) = bench_json(address, &format!("{args} --connections 1 --seconds 0.05 --warmup 1ms"));
    assert_eq!((code, counts(&result, ["errors", "lost"])), (Some(0), [0, 0]), "{args}: {result}");
    seen.recv().unwrap()
}

#[test]
fn a_message_goes_as_so_many_frames_of_which_the_last_is_final_and_its_reply_is_whole() {
    // §5.4: a data opcode, then continuations.
    for (args, opcode, sizes) in [
        ("echo --size 10", Opcode::Binary, &[10][..]),
        ("echo --size 10 --fragments 1", Opcode::Binary, &[10]),
        ("echo --size 10 --fragments 3", Opcode::Binary, &[3, 3, 4]),
        ("echo --size 4 --fragments 4 --text", Opcode::Text, &[1, 1, 1, 1]),
        ("echo --size 70000 --fragments 2 --text=utf8", Opcode::Text, &[35_000, 35_000]),
    ] {
        let frames = first_message(args);
        assert_eq!(frames.iter().map(|(_, _, bytes)| bytes.len()).collect::<Vec<_>>(), sizes, "{args}");
        for (number, (fin, of_frame, _)) in frames.iter().enumerate() {
            let opcode = if number == 0 { opcode } else { Opcode::Continuation };
            assert_eq!((*fin, *of_frame), (number + 1 == sizes.len(), opcode), "{args}: frame {number}");
        }
    }
}

#[test]
fn a_text_is_of_as_many_bytes_as_were_asked_for_in_one_byte_a_character_or_in_several() {
    for (args, has_long) in [("--text", false), ("--text=ascii", false), ("--text=utf8", true)] {
        for load in ["echo", "churn", "echo --fragments 99"] {
            let text = String::from_utf8(payload(&first_message(&format!("{load} --size 101 {args}")))).unwrap();
            assert_eq!((text.len(), text.is_ascii()), (101, !has_long), "{load} {args}: {text}");
        }
    }
}
