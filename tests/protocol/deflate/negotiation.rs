//! RFC 7692 §5, §7.1: offers in request heads, and what is answered. Each parameter is tested where it is parsed.

use frameloop::protocol::{Compression, Limits, Message, ProtocolError};

use super::RSV1;
use super::peer::{Pair, commons, handshake};
use crate::wire::{FIN, TEXT, client_frame};

const NONE_KEPT: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// "Hello", RFC 7692 §7.2.3.1.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn answer(compression: Compression, lines: &str) -> Option<String> {
    handshake(&commons(compression, Limits::default()), lines).1
}

#[test]
fn the_first_acceptable_offer_of_all_lines_is_accepted() {
    let takeover = Compression::Takeover { contexts_max: 1 };
    for (lines, expected) in [
        // What Chromium and Firefox send.
        ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", "permessage-deflate"),
        // Several lines are one list.
        (
            "Sec-WebSocket-Extensions: x-webkit-deflate-frame, bbf-usp-protocol\r\n\
             sec-websocket-extensions: permessage-deflate; server_max_window_bits=10\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "permessage-deflate; server_max_window_bits=10",
        ),
        // One that is unknown, or cannot be, stands before it.
        (
            "Sec-WebSocket-Extensions: permessage-bzip2; server_max_window_bits=9, \
             permessage-deflate; server_max_window_bits=8, permessage-deflate; mux=1, \
             permessage-deflate; server_no_context_takeover\r\n",
            "permessage-deflate; server_no_context_takeover",
        ),
        // RFC 7692 §5: the order is the client's, whatever costs the server less.
        (
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15, \
             permessage-deflate; server_max_window_bits=9\r\n",
            "permessage-deflate; server_max_window_bits=15",
        ),
        // A quoted value is the same value (§9.1).
        (
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"1\\2\"; client_max_window_bits=\"9\"\r\n",
            "permessage-deflate; server_max_window_bits=12",
        ),
        (
            "Sec-WebSocket-Extensions:permessage-deflate;client_no_context_takeover\r\n",
            "permessage-deflate; client_no_context_takeover",
        ),
    ] {
        assert_eq!(answer(takeover, lines).as_deref(), Some(expected), "{lines}");
        let bits = expected.split_once("; server_max_window_bits").map_or("", |(_, bits)| bits);
        let bits = if bits.is_empty() { String::new() } else { format!("; server_max_window_bits{bits}") };
        assert_eq!(answer(Compression::Shared, lines), Some(format!("{NONE_KEPT}{bits}")), "{lines}");
    }
}

#[test]
fn an_offer_that_is_declined_never_fails_the_handshake_and_nothing_is_compressed() {
    let lines = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover=\"yes\", foo\r\n";
    let offers = [(Compression::Shared, lines), (Compression::Shared, "")];
    let off = [(Compression::Off, "Sec-WebSocket-Extensions: permessage-deflate\r\n")];
    for (compression, lines) in offers.into_iter().chain(off) {
        let (mut link, answer) = handshake(&commons(compression, Limits::default()), lines);
        assert_eq!(answer, None, "{lines}");
        let text = "plain".repeat(1000);
        link.connection.send(Message::text(&text), link.now);
        assert_eq!(link.take_frames()[0].payload, text.as_bytes(), "RSV1 is not set, nor is it compressed");
        link.fails(&client_frame(FIN | RSV1 | TEXT, HELLO), ProtocolError::ReservedBits(RSV1), 1002);
    }
}

#[test]
fn whoever_asks_for_no_takeover_in_both_directions_takes_no_place_of_a_context() {
    let commons = commons(Compression::Takeover { contexts_max: 1 }, Limits::default());
    let frugal: Vec<Pair> = (0..3).map(|_| Pair::open(&commons, NONE_KEPT)).collect();
    assert!(frugal.iter().all(|pair| pair.answer == NONE_KEPT));
    assert_eq!(Pair::open(&commons, "permessage-deflate").answer, "permessage-deflate");
}
