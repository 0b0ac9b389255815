//! J1 to J7: what a chat message may hold.
//!
//! Whatever an attacker sends, it gets one error object or its chat goes out as it is, and the next one is served.

use serde_json::Value;

use frameloop::protocol::Limits;

use crate::client::Client;
use crate::harness::{NEVER, Running};
use crate::process::start;
use crate::wire::{BINARY, FIN, ServerFrame, TEXT};

const HELLO: &str = r#"{"type":"chat","msg":"hello"}"#;

/// A chat room with an attacker, and one that hears all.
struct Room {
    _server: Running,
    attacker: Client,
    witness: Client,
}

impl Room {
    fn new() -> Room {
        let server = Running::hub(Limits { ping_interval: NEVER, ..Limits::default() });
        let (attacker, witness) = (Client::open(server.address()), Client::open(server.address()));
        Room { _server: server, attacker, witness }
    }

    /// The attacker gets one error object with this code, and nobody else anything.
    fn expect_refused(&mut self, text: &str, code: &str) -> Value {
        let what: String = text.chars().take(100).collect();
        self.attacker.send_text(text);
        let error: Value = serde_json::from_str(&self.attacker.text()).unwrap();
        assert_eq!((&error["type"], &error["code"]), (&"error".into(), &code.into()), "{what}: {error}");
        self.attacker.send_text(HELLO);
        assert_eq!(self.witness.text(), HELLO, "after {what}");
        error
    }

    /// The others get it, byte for byte.
    fn expect_passed(&mut self, text: &str) {
        self.attacker.send_text(text);
        assert!(self.witness.frame() == ServerFrame::new(TEXT, text.as_bytes()));
    }

    /// Nothing more was on the way.
    fn leave(self) {
        self.attacker.leave();
        self.witness.leave();
    }
}

/// A chat with this as the value of a member.
fn chat_with(value: &str) -> String {
    format!(r#"{{"type":"chat","x":{value}}}"#)
}

#[test]
fn j1_nesting_of_any_depth_is_refused_without_recursion() {
    let mut room = Room::new();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]"), (r#"[[],{"":"#, "}]")] {
        for depth in [200, 100_000, 140_000] {
            let levels = format!("{}0{}", open.repeat(depth / 2), close.repeat(depth / 2));
            room.expect_refused(&chat_with(&levels), "invalid_message");
            room.expect_refused(&format!(r#"{{"type":{levels}}}"#), "invalid_message");
            room.expect_refused(&levels, "invalid_message");
        }
    }
    // Never closed: as deep as a message can be.
    room.expect_refused(&"[".repeat(1024 * 1024), "invalid_message");
    room.expect_refused(&chat_with(&"[".repeat(1_000_000)), "invalid_json");
    room.expect_refused(&r#"{"type":"#.repeat(100_000), "invalid_json");
    // Many beside each other are not deep.
    room.expect_passed(&chat_with(&format!("[{}0]", "[[[]]],".repeat(100_000))));
    room.leave();
}

#[test]
fn j2_a_name_that_stands_twice_is_refused_however_it_is_written() {
    let mut room = Room::new();
    let many = (0..1000).map(|n| format!(r#""n{n}":0,"#)).collect::<String>();
    for text in [
        r#"{"type":"chat","type":"chat"}"#,
        r#"{"type":"chat","type":"admin"}"#,
        r#"{"type":"admin","type":"chat"}"#,
        r#"{"type":"chat","\u0074ype":"admin"}"#,
        r#"{"t\u0079pe":"chat","type":1}"#,
        r#"{"type":"chat","msg":1,"m\u0073\u0067":2}"#,
        r#"{"type":"chat","😀":1,"\ud83d\ude00":2}"#,
        r#"{"type":"chat","":1,"":2}"#,
        r#"{"type":"chat","a\/b":1,"a/b":2}"#,
        &format!(r#"{{{many}"type":"chat","n500":1}}"#),
        &format!(r#"{{{many}"type":"chat","n\u0035":1}}"#),
        &format!(r#"{{"type":"chat",{many}"type":"chat"}}"#),
    ] {
        room.expect_refused(text, "invalid_message");
    }
    // Names that only look alike are names of their own.
    room.expect_passed(r#"{"type":"chat","msg":{"a":1,"a":2}}"#); // P5: what a member holds is passed on as it was sent
    room.expect_passed(r#"{"type":"chat","Type":1,"type ":2,"typе":3,"e\u0301":4,"é":5}"#);
    room.leave();
}

#[test]
fn j3_huge_numbers_and_very_many_names_are_passed_on_without_being_built() {
    let mut room = Room::new();
    let digits = "7".repeat(1_000_000);
    for number in [digits.clone(), format!("-{digits}e{digits}").split_off(1_000_001), format!("0.{digits}")] {
        let number = if number.starts_with('e') { format!("1{number}") } else { number };
        room.expect_passed(&chat_with(&number));
    }
    room.expect_passed(&chat_with("1e999999999999999999999"));
    room.expect_passed(&chat_with(&format!("[{}0]", "9e99999,".repeat(100_000))));
    // 1 MiB of names: a list of them that is searched from the front would take billions of steps.
    let names: String = (0..80_000).map(|n| format!(r#""n{n}":0,"#)).collect();
    room.expect_passed(&format!(r#"{{{names}"type":"chat"}}"#));
    room.expect_refused(&format!(r#"{{{names}"type":"chat","n79999":0}}"#), "invalid_message");
    // A long name is not given back at its full length.
    let name = "n".repeat(400_000);
    let error = room.expect_refused(&format!(r#"{{"type":"chat","{name}":0,"{name}":0}}"#), "invalid_message");
    assert!(error["message"].as_str().unwrap().len() < 1000);
    let error = room.expect_refused(&format!(r#"{{"type":"{name}"}}"#), "unknown_type");
    assert!(error["message"].as_str().unwrap().len() < 1000);
    room.leave();
}

#[test]
fn j4_half_a_surrogate_pair_is_refused_wherever_it_stands() {
    let mut room = Room::new();
    for half in [
        r"\ud800",
        r"\uDBFF",
        r"\udc00",
        r"\uDfFf",
        r"\ud800\ud800",
        r"\udc00\ud800",
        r"\ud800x\udc00",
        r"\ud800\\udc00",
        r"\ud83d\ude00\ude00",
    ] {
        for text in [
            format!(r#"{{"type":"chat","msg":"{half}"}}"#),
            format!(r#"{{"type":"chat","a":[{{"b":"x{half}y"}}]}}"#),
            format!(r#"{{"type":"chat","{half}":0}}"#),
            format!(r#"{{"type":"chat","a":{{"{half}":0}}}}"#),
            format!(r#"{{"type":"{half}"}}"#),
        ] {
            room.expect_refused(&text, "invalid_json");
        }
    }
    room.expect_passed(r#"{"type":"chat","msg":"\ud83d\ude00 \uD83D\uDE00 \\ud800 😀","\ud83d\ude00":0}"#);
    // The same half as bytes is no text at all.
    room.attacker.send(FIN | TEXT, b"{\"type\":\"chat\",\"msg\":\"\xed\xa0\x80\"}");
    assert_eq!(room.attacker.close_frame().0, 1007);
    room.witness.leave();
}

#[test]
fn j5_what_only_lenient_parsers_take_is_refused() {
    let mut room = Room::new();
    for value in
        "NaN Infinity -Infinity nan +1 01 1. .5 0x10 1e 1e+ -- - undefined None True tru nul 'x' \"\\x41\" \"\\'\" \
         \"\\u12\" \"\\u+123\" [1,] [,1] [1 {\"a\":1,} {a:1} {\"a\"} {\"a\":} {,} /**/1 1/**/ `x` \u{a0}1 \u{feff}1"
            .split(' ')
    {
        room.expect_refused(&chat_with(value), "invalid_json");
    }
    let with_line = chat_with("\"a line\nbreak\"");
    let with_tab = chat_with("\"a\ttab\"");
    let with_nul = chat_with("\"\0\"");
    for text in [
        "",
        " ",
        r#"{"type":"chat",}"#,
        r#"{"type":"chat"}}"#,
        r#"{"type":"chat"}{"type":"chat"}"#,
        r#"{"type":"chat"} x"#,
        "{\"type\":\"chat\"}\0",
        "\u{feff}{\"type\":\"chat\"}",
        "{\"type\":\"chat\"}\u{feff}",
        "{'type':'chat'}",
        r#"{type:"chat"}"#,
        "{\"type\":\"chat\"} // a comment",
        "{\u{a0}\"type\":\"chat\"}",
        "{\u{c}\"type\":\"chat\"}",
        &with_line,
        &with_tab,
        &with_nul,
    ] {
        room.expect_refused(text, "invalid_json");
    }
    room.leave();
}

#[test]
fn j6_a_binary_message_closes_with_1003_whatever_it_holds() {
    for payload in [HELLO.as_bytes(), b"", &[0xff; 100_000]] {
        let mut room = Room::new();
        room.attacker.send(FIN | BINARY, payload);
        assert_eq!(room.attacker.close_frame(), (1003, "binary".to_owned()));
        room.attacker.send_close(1003);
        room.attacker.expect_end();
        room.witness.leave();
    }
}

#[test]
fn j7_what_a_terminal_or_a_page_could_take_for_its_own_goes_through_as_it_is_and_into_nothing_else() {
    let mut room = Room::new();
    for msg in [
        r"\u001b[2J\u001b]0;owned\u0007",
        r"\u0000\b\f\n\r\t\u007f\u0085",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "\u{7f}\u{85}\u{9b}31m\u{202e}\u{2028}\u{feff}",
        "%s%n%x $(reboot) `reboot` ${jndi:ldap://x} ' OR 1=1; --",
    ] {
        room.expect_passed(&format!(r#"{{"type":"chat","msg":"{msg}"}}"#));
    }
    // What an error repeats of it is escaped: the object has no control character, nor an end of the attacker's making.
    for name in [r"\u001b[2J\r\n", r#"\"}{\"type\":\"chat\",\"x\":\""#, "<script>", r"\u0000", "\u{9b}31m\u{202e}"] {
        for text in [format!(r#"{{"type":"{name}"}}"#), format!(r#"{{"type":"chat","{name}":0,"{name}":0}}"#)] {
            room.attacker.send_text(&text);
            let answer = room.attacker.text();
            assert!(!answer.chars().any(char::is_control), "{answer:?}");
            let error: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(error["type"], "error");
            assert!(
                error.as_object().unwrap().keys().all(|key| ["type", "code", "message", "field"].contains(&&**key))
            );
        }
    }
    room.leave();
}

#[test]
fn j7_what_a_terminal_could_take_for_its_own_is_never_logged_raw() {
    let mut server = start(&["serve"]);
    let address = server.address();
    for name in [r"\u001b[2J\r\nINFO forged", "\u{9b}31m\u{202e}forged\u{2028}", "\u{7f}forged"] {
        for text in [
            format!(r#"{{"type":"{name}"}}"#),
            format!(r#"{{"type":"chat","{name}":0,"{name}":0}}"#),
            format!("{name}\u{1b}[31m\r\nforged"),
        ] {
            let mut client = Client::open(address); // the first mistake of each is logged
            client.send_text(&text);
            assert!(client.text().contains("\"error\""));
            client.leave();
        }
    }
    server.stop();
    let log = server.stderr.rest();
    let notes = log.iter().filter(|line| line.contains("invalid message received")).count();
    assert_eq!(notes, 9, "{log:#?}");
    for line in &log {
        let is_raw = |c: char| c.is_control() || ['\u{202e}', '\u{2028}'].contains(&c);
        assert!(!line.chars().any(is_raw), "{line:?}");
        assert!(!line.starts_with("forged") && !line.starts_with("INFO forged"), "{line:?}");
    }
}
