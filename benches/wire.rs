//! RFC 8259: the check of a message's JSON.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod harness;

use std::hint::black_box;

use frameloop::chat::wire::ErrorCode;
use frameloop::chat::wire::request::{Body, parse_plain};
use harness::{Bench, bytes};

fn main() {
    let mut bench = Bench::start();
    let small = r#"{"type":"chat","msg":"hello, all of you who may be listening!!"}"#;
    let long = format!(r#"{{"type":"chat","msg":"{}"}}"#, "lorem ipsum ".repeat(339));
    let escaped = long.replace("lorem ", r"l\u00f6rem\n");
    let nested =
        format!(r#"{{"type":"chat","list":[{}1]}}"#, r#"{"id":12345,"tags":["a","b"],"on":true},"#.repeat(100));
    let mut case = |name: &str, text: &str, expected: Result<bool, ErrorCode>| {
        bench.case(name, bytes(text.len()), expected, || match parse_plain(black_box(text)) {
            Ok(request) => Ok(matches!(request.body, Body::Chat(_))),
            Err(refusal) => Err(refusal.error.code),
        });
    };
    case("a chat of 64 B", small, Ok(true));
    case("a chat of 4 KiB, one long string", &long, Ok(true));
    case("a chat of 6 KiB, escapes", &escaped, Ok(true));
    case("a chat of 4 KiB, objects and numbers", &nested, Ok(true));
    case("no JSON: it ends too soon", &small[..63], Err(ErrorCode::InvalidJson));
    case("no message: a name stands twice", r#"{"type":"chat","a":1,"a":2}"#, Err(ErrorCode::InvalidMessage));
    case("an unknown type", r#"{"type":"chart","msg":"hello"}"#, Err(ErrorCode::UnknownType));
}
