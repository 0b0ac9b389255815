//! Clients of other makes that compress (RFC 7692): Node's `ws` and Python's `websockets`, against the echo and in one chat.

use serde_json::{Value, json};

use crate::harness::{Child, start};
use crate::peers::{next, node, python};
use crate::raw::Raw;
use crate::tungstenite_client::{close, connect, next_text};
use crate::wire::REQUEST_HEAD;

/// What each of the scripts' offers led to.
fn outcomes(url: &str) -> Vec<Value> {
    let mut outcomes = Vec::new();
    for mut command in [node("ws-compressed.js"), python("websockets_compressed.py")] {
        let mut script = Child::spawn(command.arg(url));
        let code = script.wait().code();
        let (lines, problems) = (script.stdout.rest(), script.stderr.rest());
        assert_eq!(code, Some(0), "{lines:?} {problems:#?}");
        assert_eq!(lines.len(), 5, "one for each offer: {lines:?}");
        outcomes.extend(lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    outcomes
}

/// Whether a parameter was agreed on: `ws` has those that were in the response, `websockets` all of them.
fn has(outcome: &Value, parameter: &str) -> bool {
    !matches!(outcome["extensions"][parameter], Value::Null | Value::Bool(false))
}

/// The part of the bytes that came over the line.
fn ratio(outcome: &Value) -> f64 {
    outcome["came"].as_f64().unwrap() / outcome["bytes"].as_f64().unwrap()
}

#[test]
fn ws_and_websockets_get_back_what_they_sent_compressed_each_message_by_itself() {
    let mut server = start(&["echo", "--compress", "shared"]);
    for outcome in outcomes(&format!("ws://{}/", server.address())) {
        assert!(
            has(&outcome, "server_no_context_takeover") && has(&outcome, "client_no_context_takeover"),
            "{outcome}"
        );
        assert!(ratio(&outcome) < 0.35, "{outcome}");
    }
    server.stop();
}

#[test]
fn ws_and_websockets_get_back_what_they_sent_compressed_with_what_was_before() {
    let mut server = start(&["echo", "--compress", "takeover"]);
    let outcomes = outcomes(&format!("ws://{}/", server.address()));
    let parameters = ["server_no_context_takeover", "client_no_context_takeover"];
    for of_one_make in outcomes.chunks(5) {
        let agreed: Vec<[bool; 2]> =
            of_one_make.iter().map(|outcome| parameters.map(|parameter| has(outcome, parameter))).collect();
        assert_eq!(agreed, [[false, false], [true, false], [false, true], [false, false], [false, false]]);
        assert_eq!(of_one_make[3]["extensions"]["server_max_window_bits"], 9);
        assert!(of_one_make.iter().all(|outcome| ratio(outcome) < 0.35), "{of_one_make:?}");
    }
    server.stop();
}

#[test]
fn without_the_flag_no_offer_is_accepted() {
    for (flags, is_accepted) in [(&["echo"][..], false), (&["echo", "--compress", "shared"], true)] {
        let mut server = start(flags);
        let mut raw = Raw::connect(server.address());
        let offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        raw.send(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offer].concat());
        let head = String::from_utf8(raw.read_head().unwrap()).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(head.contains("Sec-WebSocket-Extensions: permessage-deflate;"), is_accepted, "{head}");
        server.stop();
        let log = server.stderr.rest().join("\n");
        assert_eq!(log.contains(" extension=permessage-deflate\n"), is_accepted, "{log}");
    }
}

#[test]
fn in_a_chat_those_who_compress_and_those_who_do_not_hear_the_same() {
    for how in ["shared", "takeover"] {
        let mut server = start(&["--compress", how]);
        let address = server.address();
        let url = format!("ws://{address}/");
        // Both offer it by default, tungstenite does not know it.
        let mut ws = Child::spawn(node("ws-chat.js").arg(&url));
        let mut websockets = Child::spawn(python("websockets_chat.py").arg(&url));
        let mut tungstenite = connect(address);
        for script in [&mut ws, &mut websockets] {
            assert_eq!(next(script), json!({"event": "open"}), "{how}");
        }
        for length in [1, 100, 2000, 60_000] {
            let said = json!({"type": "chat", "msg": "é€ and on it goes ".repeat(length / 10 + 1)}).to_string();
            tungstenite.send(said.as_str().into()).unwrap();
            for script in [&mut ws, &mut websockets] {
                assert_eq!(next(script)["data"], said.as_str(), "{how} {length}");
            }
            ws.say(&said);
            assert_eq!(next_text(&mut tungstenite), said, "{how} {length}");
            assert_eq!(next(&mut websockets)["data"], said.as_str(), "{how} {length}");
        }
        close(tungstenite);
        server.stop();
    }
}
