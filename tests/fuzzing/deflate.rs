//! Seeds of the targets `inflate` and `extension_offers`.

use crate::seeds::{Seeds, named};

/// A byte for what it is, choices (1: text, 2: shared, 4: the limit of 100 bytes, 8 and 16: no context of the server's or the
/// client's is taken over), two bytes for the cuts, and the window; then two messages, of which the first has this length.
fn anything(choices: u8, first: &[u8], second: &[u8]) -> Vec<u8> {
    [&[0, choices, 0, 7, 6, 0, first.len() as u8], first, second].concat()
}

/// The same choices, then the level, the length of the pieces and how often what follows is repeated.
fn round_trip(choices: u8, window_bits: u8, level: u8, piece: u16, times: u8, payload: &[u8]) -> Vec<u8> {
    let piece = (piece - 1).to_be_bytes();
    [&[1, choices, 0, 7, window_bits - 9, level, piece[0], piece[1], times - 1], payload].concat()
}

pub(crate) fn messages() -> Seeds {
    // RFC 7692 §7.2.3.
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let json = br#"{"type":"chat","from":"ann","msg":"hello, how are you?"},"#;
    // 30,000 zeros.
    let bomb = b"\xec\xc1\x31\x01\x00\x00\x00\xc2\xa0\xf5\x4f\x6d\x09\x4f\xa0\x00\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x3e\x06";
    named(&[
        ("hello_twice", &anything(1, hello, b"\xf2\x00\x11\x00\x00")),
        ("hello_twice_without_takeover", &anything(3, hello, hello)),
        ("hello_again_without_takeover", &anything(19, hello, b"\xf2\x00\x11\x00\x00")),
        ("stored", &anything(0, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"\x00")),
        ("final", &anything(1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00")),
        ("final_and_more", &anything(0, b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", b"\x03\x00\x00")),
        ("two_blocks", &anything(2, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"")),
        ("reserved_kind", &anything(0, hello, b"\x06")),
        ("within_a_block", &anything(0, &hello[..3], hello)),
        ("the_tail_is_payload", &anything(0, b"\x00\x09\x00\xf6\xffHello", hello)),
        ("no_utf_8", &anything(1, b"\x00\x01\x00\xfe\xff\xff\x00", b"")),
        ("a_bomb", &anything(4, bomb, hello)),
        ("json_shared", &round_trip(3, 15, 6, 5001, 40, json)),
        ("json_with_takeover", &round_trip(1, 9, 9, 700, 60, json)),
        ("json_without_takeover", &round_trip(25, 12, 1, 100, 20, json)),
        ("stored_and_too_long", &round_trip(6, 15, 0, 50, 3, json)),
        ("bytes_of_all_kinds", &round_trip(0, 15, 6, 5001, 70, &(0..=255).rev().collect::<Vec<u8>>())),
    ])
}

/// A byte for how it compresses (with takeover but no place, with takeover, shared), then the values, one a line.
pub(crate) fn offers() -> Seeds {
    named(&[
        ("chromium", b"\x01permessage-deflate; client_max_window_bits"),
        ("all_parameters", b"\x02permessage-deflate; client_max_window_bits=9; server_max_window_bits=12; client_no_context_takeover; server_no_context_takeover"),
        ("several_lines", b"\x01x-webkit-deflate-frame\n,permessage-deflate;server_max_window_bits=\"1\\0\"\npermessage-deflate"),
        ("the_first_is_declined", b"\x01permessage-deflate; server_max_window_bits=8, permessage-deflate ; server_no_context_takeover"),
        ("twice_the_same", b"\x01permessage-deflate; client_max_window_bits; client_max_window_bits=9"),
        ("unknown", b"\x00permessage-deflate; mux, permessage-bzip2, Permessage-Deflate"),
        ("leading_zero", b"\x00permessage-deflate; server_max_window_bits=09"),
        ("broken", b"\x01permessage-deflate; =9"),
        ("quoted_comma", b"\x01a; b=\"c,permessage-deflate\""),
    ])
}
