//! Seeds of the target `tokens`: a byte for what it is, then a file, a signed token, what is to be signed, or a request.

use crate::seeds::{Seeds, named};

pub(crate) fn all() -> Seeds {
    [files(), forged(), signed(), requests()].concat()
}

fn files() -> Seeds {
    named(&[
        ("file_of_three", b"\0# who\nann:t1\nbob b.:t:2 rooms=lobby,team-*  read=news\r\n\ncarl:t3\tread=\n"),
        ("file_with_a_token_twice", b"\0ann:t\nbob:u\ncarl:t\n"),
        ("file_with_a_mark", "\0\u{feff}\u{e9}:t rooms=\u{6f22}*".as_bytes()),
        ("file_without_a_token", b"\0ann:t\n\nbob: u\n"),
        ("file_with_a_strange_column", b"\0ann:t rooms=a write=b"),
        ("file_with_a_room_of_none", b"\0ann:t rooms=a,,b"),
    ])
}

fn forged() -> Seeds {
    named(&[
        (
            "jwt_of_rfc_7515",
            b"\x01eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl\
            LmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        // {"alg":"none"} and {"sub":"ann"}
        ("jwt_of_no_algorithm", b"\x01eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."),
        ("jwt_of_nothing", b"\x01.."),
    ])
}

/// A header, the time in seconds and milliseconds, which place is changed to what, and the payload.
fn signed() -> Seeds {
    let seed = |header: u8, unix_s: u32, place: u8, payload: &str| {
        [&[2, 0, header][..], &unix_s.to_be_bytes(), &[0, 0, place, 7], payload.as_bytes()].concat()
    };
    let now = 1_800_000_000;
    let seeds = [
        (
            "claims_of_all_kinds",
            0,
            3,
            r#"{"sub":"ann","exp":1800000100,"nbf":1.8e9,"aud":["a"],"rooms":["a","b*"],"read":["c"]}"#,
        ),
        ("claims_of_a_user_alone", 1, 30, r#"{"sub":"\u0061nn \ud83d\ude00"}"#),
        ("claims_just_over", 0, 0, r#"{"sub":"ann","exp":1799999970}"#),
        ("claims_almost_over", 0, 0, r#"{"sub":"ann","exp":1799999970.002}"#),
        ("claims_too_early", 0, 0, r#"{"sub":"ann","nbf":1800000031}"#),
        ("claims_of_absurd_times", 0, 50, r#"{"sub":"ann","exp":1e400,"nbf":-1e400}"#),
        ("claims_of_no_rooms", 0, 9, r#"{"sub":"ann","rooms":[],"iss":{"a":[1]}}"#),
        ("claims_of_a_user_twice", 0, 9, r#"{"sub":"ann","s\u0075b":"root"}"#),
        ("claims_of_a_line_end", 0, 9, r#"{"sub":"ann\r\nINFO"}"#),
        ("claims_under_no_algorithm", 2, 9, r#"{"sub":"ann"}"#),
        ("claims_under_crit", 5, 9, r#"{"sub":"ann"}"#),
        ("claims_of_nobody", 0, 9, "{}"),
    ];
    seeds.map(|(name, header, place, payload)| (name.to_owned(), seed(header, now, place, payload))).to_vec()
}

/// How our own parameter is written, then a target, and header fields.
fn requests() -> Seeds {
    named(&[
        ("request_with_bearer", b"\x03\x00/?token=q\nAuthorization: Bearer t"),
        ("request_with_two_bearers", b"\x03\x01/\nAuthorization: Bearer t\nauthorization: Bearer u"),
        ("request_with_subprotocols", b"\x03\x02/chat\nSec-WebSocket-Protocol: frameloop.v1, bearer.t"),
        ("request_with_a_cookie", b"\x03\x04/?token=q\nOrigin: https://e\nCookie: a=b; sid=\"t\""),
        ("request_with_a_cookie_alone", b"\x03\x08/\nCookie: sid=t"),
        ("request_with_a_cookie_of_null", b"\x03\x08/\nOrigin: null\nCookie: sid=t"),
        ("request_with_a_cookie_of_no_page", b"\x03\x08/\nOrigin:\nCookie: sid=t"),
        ("request_with_a_cookie_twice", b"\x03\x10/\nOrigin: https://e\nCookie: sid=t; sid=u"),
        ("request_with_a_query", b"\x03\x1f/chat?a=1&token=%74%2b&b"),
        ("request_with_a_query_twice", b"\x03\x15/?%74oken=t&token=u"),
        ("request_with_a_broken_escape", b"\x03\x0a/?token=%7"),
        ("request_with_escaped_escapes", b"\x03\x1f/%253Fa?a=1;tok%252565n%%33%44x"),
        ("request_with_a_token_in_the_path", b"\x03\x02/room%3Ftoken%3Dx?token=t"),
        ("request_with_another_case", b"\x03\x00ws://h/?Token=t&?token=t&token"),
    ])
}
