//! `echo --compress`: RFC 7692 from the client's side, against frameloop and against servers that answer wrongly.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use frameloop::protocol::compression::MessageCodec;
use frameloop::protocol::frame::{FrameHeader, Opcode};
use frameloop::protocol::handshake::accept_value;
use frameloop::protocol::mask::unmask;
use serde_json::Value;

use crate::fake::serve_streams;
use crate::harness::start;
use crate::{bench, bench_json, counts};

const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const FAULTS: [&str; 5] = ["errors", "lost", "unsent", "duplicated", "reordered"];
const SHORT: &str = "--seconds 0.1 --warmup 1ms";

/// A run against `frameloop echo --compress HOW` that must be without a fault; its bytes of a message, sent and received.
fn run(how: &[&str], args: &str) -> [f64; 2] {
    let mut server = start(&[&["echo", "--compress"], how].concat());
    let (code, result) = bench_json(server.address(), &format!("echo --compress {args} {SHORT}"));
    assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 5]), "{args}: {result}");
    assert!(counts(&result, ["messages"])[0] > 0 && result["compressed"] == true, "{args}: {result}");
    ["sent_bytes_per_message", "received_bytes_per_message"].map(|name| result[name].as_f64().unwrap())
}

#[test]
fn messages_go_compressed_and_come_so_from_the_size_on_that_the_server_compresses() {
    for how in [&["shared"][..], &["takeover"], &["takeover", "--compress-contexts", "1"]] {
        // Shared payloads below 1 KiB come as they are; 512 bytes of JSON are sent compressed all the same.
        let [sent, received] = run(how, "--size 512 --text=json");
        assert!((100.0..400.0).contains(&sent) && received == 512.0, "{how:?}: {sent}, {received}");
        for (args, size) in [
            ("--size 4KiB --text=json --connections 3", 4096.0),
            ("--size 64KiB --text=json --in-flight 2", 65_536.0),
            ("--size 4KiB --text=json --fragments 5 --in-flight 100", 4096.0),
            ("--size 2000 --rate 1000", 2000.0),
        ] {
            let [sent, received] = run(how, args);
            assert!(sent < size / 2.0 && received < size / 2.0, "{how:?} {args}: {sent}, {received}");
        }
    }
}

#[test]
fn what_does_not_get_smaller_is_sent_compressed_all_the_same() {
    for (args, bytes) in [("--size 0", 1.0), ("--size 1 --connections 2", 3.0), ("--size 2 --text", 4.0)] {
        assert_eq!(run(&["shared"], args)[0], bytes, "{args}");
    }
    run(&["shared"], "--size 300 --text=utf8 --fragments 300");
}

#[test]
fn a_table_tells_the_bytes_on_the_wire_and_a_run_without_compression_does_not() {
    let mut server = start(&["echo", "--compress", "shared"]);
    let url = format!("ws://{}/", server.address());
    let args = [url.as_str(), "--seconds", "0.1", "--warmup", "1ms", "--size", "4KiB", "--text=json"];
    let is_wire = |row: &&String| row.starts_with("on the wire") && row.contains("sent") && row.contains("received");
    let plain = bench(&args);
    assert_eq!((plain.code, plain.stdout.iter().filter(is_wire).count()), (Some(0), 0), "{plain:?}");
    let compressed = bench(&[&args[..], &["--compress"]].concat());
    assert_eq!((compressed.code, compressed.stdout.iter().filter(is_wire).count()), (Some(0), 1), "{compressed:?}");
}

#[test]
fn a_server_that_does_not_accept_the_offer_is_refused_with_its_answer() {
    let mut off = start(&["echo"]);
    let mut cases = vec![(off.address(), "nothing")];
    for answer in ["permessage-deflate", "permessage-deflate; server_no_context_takeover=1", "x-other"] {
        cases.push((fake(Some(answer), |_, _| Vec::new()), answer));
    }
    for (address, answer) in cases {
        let outcome = bench(&[&format!("ws://{address}/"), "--compress", "--connections", "1"]);
        assert_eq!((outcome.code, outcome.stdout.len()), (Some(1), 0), "{outcome:?}");
        let [line] = outcome.stderr.as_slice() else { panic!("exactly one line, not {outcome:?}") };
        assert!(line.contains("no connection") && line.contains(answer) && line.contains(OFFER), "{line}");
    }
}

/// A server with the opening handshake by hand: it answers the offer in this way, and each message with what a function makes
/// of its number and its payload, which it has decompressed.
fn fake(answer: Option<&'static str>, reply: fn(usize, Vec<u8>) -> Vec<u8>) -> SocketAddr {
    serve_streams(move |mut stream| {
        let Some(mut bytes) = open(&mut stream, answer) else { return };
        let (mut codec, mut buffer) = (MessageCodec::new().unwrap(), [0; 4096]);
        for number in 0.. {
            let (end, header, payload) = loop {
                if let Some((header, start)) = FrameHeader::parse_with(&bytes, true).unwrap() {
                    let end = start + header.payload_len as usize;
                    if bytes.len() >= end {
                        unmask(&mut bytes[start..end], header.masking_key.expect("§5.1: a client masks"), 0);
                        break (end, header, bytes[start..end].to_vec());
                    }
                }
                let Ok(count @ 1..) = stream.read(&mut buffer) else { return };
                bytes.extend_from_slice(&buffer[..count]);
            };
            bytes.drain(..end);
            if header.opcode == Opcode::Pong {
                continue;
            }
            assert!(header.fin && header.rsv1 == matches!(header.opcode, Opcode::Text | Opcode::Binary), "{header:?}");
            if header.opcode == Opcode::Close {
                return;
            }
            let payload = codec.decompress(&payload, 1 << 20).expect("it was compressed by itself");
            if stream.write_all(&reply(number, payload)).is_err() {
                return;
            }
        }
    })
}

/// Answers the request; what came behind it.
fn open(stream: &mut TcpStream, answer: Option<&str>) -> Option<Vec<u8>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        let count @ 1.. = stream.read(&mut buffer).ok()? else { return None };
        head.extend_from_slice(&buffer[..count]);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let early = head.split_off(end);
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains(&format!("Sec-WebSocket-Extensions: {OFFER}\r\n")), "{head}");
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = String::from_utf8(accept_value(key.as_bytes()).to_vec()).unwrap();
    let extensions = answer.map_or(String::new(), |answer| format!("Sec-WebSocket-Extensions: {answer}\r\n"));
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
    );
    stream.write_all(response.as_bytes()).ok()?;
    Some(early)
}

/// A frame of a server.
fn frame(fin: bool, rsv1: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { fin, rsv1, opcode, masking_key: None, payload_len: payload.len() as u64 };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    [bytes, payload.to_vec()].concat()
}

/// The reply that is right, by a compressor.
fn compressed(payload: &[u8]) -> Vec<u8> {
    frame(true, true, Opcode::Text, &MessageCodec::new().unwrap().compress(payload))
}

/// RFC 7692 §7.2.3.3: a reply in a block without compression, which is right too.
fn stored(payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let block = [&[0x00][..], &len.to_le_bytes(), &(!len).to_le_bytes(), payload, &[0x00]].concat();
    frame(true, true, Opcode::Text, &block)
}

fn run_against(reply: fn(usize, Vec<u8>) -> Vec<u8>) -> (Option<i32>, Value) {
    // 16 messages differ, of which each is known from the second time on.
    let args = "echo --compress --text=json --size 2000 --connections 1 --in-flight 8 --seconds 0.3 --warmup 1ms";
    bench_json(fake(Some(OFFER), reply), args)
}

#[test]
fn a_reply_may_be_compressed_or_not_and_in_any_way() {
    for reply in [
        (|_, payload| compressed(&payload)) as fn(usize, Vec<u8>) -> Vec<u8>,
        |_, payload| stored(&payload),
        |_, payload| frame(true, false, Opcode::Text, &payload),
        |number, payload| match number % 4 {
            0 => stored(&payload),
            1 => frame(true, false, Opcode::Text, &payload),
            2 => [
                frame(false, false, Opcode::Text, &payload[..9]),
                frame(true, false, Opcode::Continuation, &payload[9..]),
            ]
            .concat(),
            _ => {
                let whole = MessageCodec::new().unwrap().compress(&payload);
                let (first, last) = whole.split_at(5);
                let ping = frame(true, false, Opcode::Ping, b"between");
                [frame(false, true, Opcode::Text, first), ping, frame(true, false, Opcode::Continuation, last)].concat()
            }
        },
    ] {
        let (code, result) = run_against(reply);
        assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 5]), "{result}");
        assert!(counts(&result, ["messages"])[0] > 8, "{result}");
    }
}

#[test]
fn a_compressed_reply_that_is_wrong_is_an_error() {
    for (names, reply) in [
        // The 20th: what is right in the beginning is known by then.
        (
            "another content",
            (|number, mut payload| {
                payload[1999] ^= u8::from(number == 20);
                compressed(&payload)
            }) as fn(usize, Vec<u8>) -> Vec<u8>,
        ),
        (
            "lost, repeated or out of order",
            |number, payload| {
                if number == 20 { Vec::new() } else { compressed(&payload) }
            },
        ),
        ("1999 bytes came back", |number, payload| compressed(&payload[..2000 - usize::from(number == 20)])),
        ("2001 bytes", |number, mut payload| {
            payload.resize(2000 + usize::from(number == 20), b'x');
            compressed(&payload)
        }),
        ("0 bytes came back", |_, _| frame(true, true, Opcode::Text, b"")),
        ("cannot be decompressed", |number, payload| {
            let mut reply = compressed(&payload);
            reply[4] = if number == 20 { 0xff } else { reply[4] }; // the first byte of the payload
            reply
        }),
        ("at most 2000 are taken", |_, _| compressed(&vec![0; 1_000_000])),
        ("more than 4064", |_, _| frame(true, true, Opcode::Text, &[0; 5000])),
        ("compressed Binary came back for Text", |_, payload| {
            frame(true, true, Opcode::Binary, &MessageCodec::new().unwrap().compress(&payload))
        }),
        ("protocol", |_, payload| {
            let half = frame(false, true, Opcode::Text, &payload[..9]);
            [half, frame(true, true, Opcode::Continuation, &payload[9..])].concat() // RFC 7692 §6.1
        }),
    ] {
        let (code, result) = run_against(reply);
        assert_eq!(code, Some(2), "{names}: {result}");
        assert!(result["first_error"].as_str().is_some_and(|error| error.contains(names)), "{names}: {result}");
    }
}

#[test]
fn the_messages_that_are_sent_are_json_behind_their_marks() {
    let (sender, seen) = mpsc::channel();
    let address = serve_streams(move |mut stream| {
        let Some(mut bytes) = open(&mut stream, Some(OFFER)) else { return };
        let (mut codec, mut buffer) = (MessageCodec::new().unwrap(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            if let Some((header, start)) = FrameHeader::parse_with(&bytes, true).unwrap()
                && bytes.len() >= start + header.payload_len as usize
            {
                let end = start + header.payload_len as usize;
                unmask(&mut bytes[start..end], header.masking_key.unwrap(), 0);
                let _ = sender.send((header, codec.decompress(&bytes[start..end], 4096)));
                return;
            }
        }
    });
    bench_json(address, &format!("echo --compress --text=json --size 4KiB --connections 1 {SHORT}"));
    let (header, payload) = seen.recv().unwrap();
    let text = String::from_utf8(payload.unwrap()).unwrap();
    assert!(header.rsv1 && header.opcode == Opcode::Text && text.len() == 4096, "{header:?}");
    let (whole, _) = text[2..].rsplit_once(",{").unwrap();
    let objects: Vec<Value> = serde_json::from_str(&format!("{whole}]")).expect("JSON, but for its end");
    assert!(objects.len() > 20, "{text}");
}
