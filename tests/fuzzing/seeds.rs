//! The seeds: what a fuzzer begins with.

use crate::corpus::corpus;
use crate::deflate;
use crate::sessions;
use crate::tokens;
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, TEXT, client_frame, close_payload};

/// The seeds of a target, by the names of their files.
pub(crate) type Seeds = Vec<(String, Vec<u8>)>;

/// The seeds of each target.
pub(crate) fn all() -> Vec<(&'static str, Seeds)> {
    vec![
        ("chat", chat()),
        ("close_payload", close_payloads()),
        ("connection", [streams(&[0, 1, 0, 7]), announcements()].concat()),
        ("differential", [streams(&[7]), differences()].concat()),
        ("extension_offers", deflate::offers()),
        ("frame_header", frame_headers()),
        ("handshake", heads()),
        ("inflate", deflate::messages()),
        ("lifecycle", lifecycles()),
        ("mask", masks()),
        ("proxy_header", proxy_headers()),
        ("requests", requests()),
        ("sessions", sessions::all()),
        ("tokens", tokens::all()),
        ("utf8", texts()),
        ("wire", json()),
    ]
}

/// Frames longer than that teach a fuzzer nothing that shorter ones do not.
const STREAM_BYTES_MAX: usize = 300;

pub(crate) fn named(seeds: &[(&str, &[u8])]) -> Seeds {
    seeds.iter().map(|&(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

/// The streams of `tests/cuts` behind their request, each behind `choices`.
fn streams(choices: &[u8]) -> Seeds {
    let frames = corpus().into_iter().filter_map(|stream| {
        let frames = stream.bytes.strip_prefix(REQUEST_HEAD)?;
        (1..=STREAM_BYTES_MAX).contains(&frames.len()).then(|| (file_name(&stream.name), [choices, frames].concat()))
    });
    // Each rule has many streams there; a fuzzer finds the neighbours by itself.
    frames.step_by(5).collect()
}

/// A megabyte is announced, and a byte of it comes.
fn announcements() -> Seeds {
    let announced = [0, 0, 0, 0, 0, 16, 0, 0, 1, 2, 3, 4, b'x'];
    let seed = |first: u8| [&[0, 0, 0, 7, first, 0xff][..], &announced].concat();
    named(&[
        ("a_text_of_1_mib_is_announced", &seed(FIN | TEXT)),
        ("a_binary_of_1_mib_is_announced", &seed(FIN | BINARY)),
        ("a_fragment_of_1_mib_is_announced", &seed(TEXT)),
    ])
}

/// The request heads of `tests/cuts`.
fn heads() -> Seeds {
    let heads = corpus().into_iter().filter(|stream| !stream.bytes.starts_with(REQUEST_HEAD));
    let heads = heads.filter(|stream| stream.bytes.len() <= 2 * STREAM_BYTES_MAX);
    let mut seeds: Vec<_> = heads.map(|stream| (file_name(&stream.name), [&[3], &stream.bytes[..]].concat())).collect();
    seeds.push(("the_example_of_1_3".to_owned(), [&[0], REQUEST_HEAD].concat()));
    seeds
}

fn file_name(name: &str) -> String {
    let mut file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    file.make_ascii_lowercase();
    file.truncate(80);
    file
}

/// §5.7, and the edges of the length's three forms.
fn frame_headers() -> Seeds {
    named(&[
        ("hello", b"\x81\x05Hello"),
        ("hello_masked", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        ("hel", b"\x01\x03Hel"),
        ("lo", b"\x80\x02lo"),
        ("ping", b"\x89\x05Hello"),
        ("pong_masked", b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        ("binary_256", b"\x82\x7e\x01\x00"),
        ("binary_64_kib", b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ("length_125", b"\x82\xfd\x01\x02\x03\x04"),
        ("length_125_not_shortest", b"\x82\xfe\x00\x7d\x01\x02\x03\x04"),
        ("length_65535_not_shortest", b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04"),
        ("length_top_bit", b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04"),
        ("rsv1", b"\xc1\x80\x01\x02\x03\x04"),
        ("opcode_3", b"\x83\x80"),
        ("ping_126", b"\x89\x7e"),
        ("ping_without_fin", b"\x09\x00"),
    ])
}

fn masks() -> Seeds {
    named(&[
        ("hello", b"\x37\xfa\x21\x3d\x00\x00\x00\x7f\x9f\x4d\x51\x58"),
        ("offset_3", b"\x37\xfa\x21\x3d\x03\x01\x05the quick brown fox jumps over the lazy dog"),
    ])
}

fn texts() -> Seeds {
    named(&[
        ("all_lengths", "\u{1}aé€𐍈\u{10ffff}".as_bytes()),
        ("single_bytes", "\u{0}κόσμε".as_bytes()),
        ("surrogate", b"\x05a\xed\xa0\x80"),
        ("overlong", b"\x05\xc0\xaf"),
        ("too_large", b"\x05\xf4\x90\x80\x80"),
        ("cut", b"\x05ab\xe2\x82"),
        ("broken_off", b"\x00\xe2\x82a"),
    ])
}

fn close_payloads() -> Seeds {
    let long = close_payload(1000, &"€".repeat(41));
    named(&[
        ("empty", b""),
        ("one_byte", b"\x03"),
        ("normal", &close_payload(1000, "bye")),
        ("no_status", &close_payload(1005, "")),
        ("private", &close_payload(4999, "é")),
        ("bad_reason", b"\x03\xe8\xff"),
        ("long", &long),
    ])
}

/// What no stream of `tests/cuts` shows.
fn differences() -> Seeds {
    let with_cuts = |frames: &[&[u8]]| [&[7], &frames.concat()[..]].concat();
    let bad_gateway = client_frame(FIN | CLOSE, &close_payload(1014, ""));
    let bad_reason_and_code = client_frame(FIN | CLOSE, b"\x03\xed\xff");
    let control_too_long = [0x89, 0xfe, 0x7f, 0xff, 0, 0, 0, 0];
    let mut large = vec![0x82, 0xfe, 0x03, 0xe9, 1, 2, 3, 4];
    large.resize(1009, 0);
    named(&[
        ("a_binary_of_1001_bytes", &with_cuts(&[&large])),
        ("code_1014", &with_cuts(&[&bad_gateway])),
        ("bad_code_and_bad_reason", &with_cuts(&[&bad_reason_and_code])),
        ("a_pong_alone", &with_cuts(&[&client_frame(FIN | PONG, b"unasked")])),
        ("ping_of_32_kib", &with_cuts(&[&control_too_long])),
        ("half_a_frame_with_a_bad_bit", &with_cuts(&[&[0xc1]])),
        ("length_not_shortest", &with_cuts(&[&[0x82, 0xfe, 0, 1, 0, 0, 0, 0, b'x']])),
    ])
}

/// Steps of `lifecycle`: a byte for the default times, one that opens the connection, then a number and its choices each.
fn lifecycles() -> Seeds {
    let frame = |first: u8, payload: &[u8]| {
        let frame = client_frame(first, payload);
        [&[0, frame.len() as u8], &frame[..]].concat()
    };
    let fragments =
        [&[1, 1][..], &frame(TEXT, b"Hel"), &frame(FIN | PING, b"p"), &frame(FIN | CONTINUATION, b"lo"), &[9]].concat();
    named(&[
        ("fragments_and_a_ping", &fragments),
        ("send_then_part_of_it_is_taken", &[&[1, 1, 5, b'x', 2, 0, 7, 0, 50, 6, 3, b'y', 9][..], &[9]].concat()),
        (
            "close_while_much_waits",
            &[&[1, 1, 9, 5, 1, 9, 9, 7, 0, 9, 11, 2][..], &frame(FIN | CLOSE, b""), &[9]].concat(),
        ),
        ("silence", &[1, 1, 9, 10, 15, 1, 10, 15, 1, 10, 15, 1, 10, 15, 1, 10, 15, 1]),
        (
            "a_broken_rule_behind_our_close",
            &[&[1, 1, 5, 1, 9, 9, 7, 0, 9, 11, 2][..], &frame(BINARY, b""), &frame(BINARY, b"")].concat(),
        ),
        ("frames_of_the_target", &[1, 1, 2, 0, 5, b'a', 1, 2, 3, 4, 0, 2, 1, 200, b'b', 0, 0, 0, 0, 0, 9, 11, 0]),
    ])
}

/// Pairs of a deed and who does it.
fn chat() -> Seeds {
    named(&[
        ("three_talk", &[0, 0, 0, 0, 0, 0, 6, 0, 6, 1, 6, 2, 2, 1, 6, 0]),
        ("binary_then_gone", &[0, 0, 0, 0, 3, 1, 6, 0, 4, 0, 6, 0]),
        (
            "a_throng",
            &[
                [0, 0].repeat(8),
                [6, 3].repeat(4),
                [2, 1].repeat(3),
                [6, 0].repeat(2),
                [0, 0].repeat(3),
                [6, 9].repeat(3),
            ]
            .concat(),
        ),
        ("own_words", b"\x00\x00\x00\x00\x05\x00\x20{\"type\":\"chat\",\"msg\":\"hi\"}      \x05\x01\x04oops"),
    ])
}

fn json() -> Seeds {
    named(&[
        ("chat", br#"{"type":"chat","msg":"hi"}"#),
        ("large_number", br#"{"type":"chat","n":1e400,"m":-0.10}"#),
        ("escapes", br#"{"\u0074ype":"ch\u0061t","msg":"\ud83d\ude00\n"}"#),
        ("half_a_pair", br#"{"type":"chat","msg":"\ud83d"}"#),
        ("twice", br#"{"type":"chat","a":1,"a":2}"#),
        ("nested", br#"{"type":"chat","a":[[[[{"b":[1,2,null,true,false]}]]]]}"#),
        ("unknown", br#"{"type":"shout"}"#),
        ("no_type", br#"{"msg":"hi"}"#),
        ("type_is_a_number", br#"{"type":1}"#),
        ("array", b"[]"),
        ("trailing", br#"{"type":"chat"} x"#),
        ("byte_order_mark", "\u{feff}{}".as_bytes()),
    ])
}

/// Both versions of the PROXY protocol, behind a byte for the cuts.
fn proxy_headers() -> Seeds {
    let binary = |rest: &[u8]| [&b"\x07\r\n\r\n\0\r\nQUIT\n"[..], rest].concat();
    let six = [&[0x21, 0x21, 0, 36][..], &[0x20; 36]].concat();
    named(&[
        ("line_of_ipv4", b"\x07PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET /"),
        ("line_of_ipv6", b"\x07PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n"),
        ("line_of_nobody", b"\x07PROXY UNKNOWN ffff::1 x\r\n"),
        ("line_with_a_port_too_large", b"\x07PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n"),
        ("line_without_cr", b"\x07PROXY UNKNOWN\n"),
        ("binary_of_ipv4", &binary(b"\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x81\x00")),
        ("binary_of_ipv6", &binary(&six)),
        ("binary_with_more", &binary(b"\x21\x11\0\x10\xc0\0\x02\x01\xc6\x33\x64\x07\0\x01\0\x02\x04\0\x01x")),
        ("binary_of_the_proxy_itself", &binary(b"\x20\0\0\0GET /")),
        ("binary_too_short", &binary(b"\x21\x21\0\x0c")),
        ("binary_of_datagrams", &binary(b"\x21\x12\0\x0c")),
    ])
}

/// What clients with sessions ask for, right and wrong.
fn requests() -> Seeds {
    let long_batch = format!("[{}]", vec![r#"{"type":"ping"}"#; 101].join(","));
    let deep = format!(r#"{{"type":"chat","x":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let members: String = (0..40).map(|n| format!(r#","n{n}":{n}"#)).collect();
    let many = format!(r#"{{"type":"chat"{members}}}"#);
    let made = [("batch_over_the_limit", &long_batch), ("chat_too_deep", &deep), ("chat_of_many_members", &many)];
    let all = REQUESTS.iter().copied().chain(made.map(|(name, text)| (name, text.as_str())));
    all.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect()
}

const REQUESTS: &[(&str, &str)] = &[
    (
        "hello",
        r#"{"type":"hello","id":1,"v":1,"token":"t","info":{"name":"Ann"},"rooms":{"a":{"presence":true,"last":20}}}"#,
    ),
    (
        "hello_resume",
        r#"{"type":"hello","v":1,"resume":{"session":"s_1","token":"r_1"},"rooms":{"a":{"since":{"epoch":"e","seq":1,"version":2}}}}"#,
    ),
    ("hello_of_another_version", r#"{"type":"hello","v":2,"rooms":[]}"#),
    ("hello_with_a_room_twice", r#"{"type":"hello","v":1,"rooms":{"a":{},"\u0061":{}}}"#),
    ("join", r#"{"type":"join","id":"j","room":"docs","state":true,"last":18446744073709551615}"#),
    ("leave", r#"{"type":"leave","id":-0,"room":"docs"}"#),
    (
        "chat_with_reserved_members",
        r#"{"type":"chat","id":"m-17","room":"a","seq":1,"epoch":"e","from":{},"ts":0,"msg":1.50}"#,
    ),
    ("chat_with_escaped_names", r#"{"t\u0079pe":"ch\u0061t","\b\f\"":[ 1 , 2 ],"n":-0.0e+9}"#),
    ("signal_without_data", r#"{"type":"signal","room":"a"}"#),
    ("patch_with_base", r#"{"type":"patch","id":5,"room":"a","base":12,"patch":{"title":"Plan","draft":null}}"#),
    ("patch_that_is_no_object", r#"{"type":"patch","id":5,"patch":[1]}"#),
    ("auth_and_ping_in_a_batch", r#" [{"type":"auth","id":2,"token":"t"}, {"type":"ping","id":6} ]"#),
    ("batch_in_a_batch", r#"[[],[{"type":"ping"}],1,null,{"type":"ping"}]"#),
    ("batch_of_none", r#"[ ]"#),
    ("id_twice", r#"{"type":"ping","id":1,"id":1}"#),
    ("id_in_other_words", r#"{"type":"ping","id":"\u0061\/\n"}"#),
    ("id_of_64_digits", r#"{"type":"nothing","id":1234567890123456789012345678901234567890123456789012345678901234}"#),
    ("id_that_is_a_fraction", r#"{"type":"ping","id":1.0}"#),
    ("room_of_none", r#"{"type":"join","id":1,"room":""}"#),
    ("room_with_a_control_character", r#"{"type":"join","id":1,"room":"a\u0085"}"#),
    ("half_a_pair", r#"{"type":"ping","id":1,"x":"\ud83d"}"#),
];
