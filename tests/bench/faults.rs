//! What a server does wrong is reported: each fault by its kind, exactly as often as it happened.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::fake::{Fault, chat, echo, serve};
use crate::{bench_json, counts};

const FAULTS: [&str; 4] = ["lost", "duplicated", "reordered", "errors"];

/// A chat of 4 with 8 messages in flight, in which one member hears what a function makes of each message.
fn run_chat(fault: Fault) -> (Option<i32>, Value) {
    bench_json(chat(fault), "chat --connections 4 --in-flight 8 --seconds 0.2 --warmup 1ms")
}

/// The result of a run that must have failed, with this part of the first error.
fn check_error((code, result): (Option<i32>, Value), names: &str) {
    assert_eq!(code, Some(2), "{result}");
    assert!(result["errors"].as_u64() > Some(0), "{result}");
    assert!(result["first_error"].as_str().is_some_and(|error| error.contains(names)), "{names}: {result}");
}

#[test]
fn a_chat_without_a_fault_is_without_a_fault() {
    let (code, result) = run_chat(|_, message, _| vec![message]);
    assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 4]), "{result}");
    assert!(counts(&result, ["messages"])[0] > 0, "{result}");
}

#[test]
fn lost_messages_are_counted_exactly() {
    let (code, result) =
        run_chat(|number, message, _| if [5, 9, 10].contains(&number) { vec![] } else { vec![message] });
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [3, 0, 0, 0]), "{result}");
}

#[test]
fn messages_that_are_lost_at_the_end_are_counted_too() {
    // Nothing more is heard, so that what is in flight is never complete, and nothing more is sent.
    let (code, result) = run_chat(|number, message, _| if number >= 20 { vec![] } else { vec![message] });
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [8, 0, 0, 0]), "{result}");
}

#[test]
fn duplicated_messages_are_counted_exactly() {
    let (code, result) = run_chat(|number, message, _| vec![message; if [3, 7].contains(&number) { 2 } else { 1 }]);
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [0, 2, 0, 0]), "{result}");
}

#[test]
fn reordered_messages_are_counted_exactly() {
    // 4 comes behind 5, and 10 behind 13.
    let (code, result) = run_chat(|number, message, kept| {
        if [4, 10].contains(&number) {
            kept.push(message);
            return vec![];
        }
        let late = if [5, 13].contains(&number) { kept.pop() } else { None };
        [message].into_iter().chain(late).collect()
    });
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [0, 0, 2, 0]), "{result}");
}

#[test]
fn a_message_with_another_content_or_length_is_an_error() {
    let first = run_chat(|number, message, _| {
        let text = message.to_text().unwrap();
        vec![Message::text(if number == 0 { text.replace('k', "j") } else { text.to_owned() })]
    });
    check_error(first, "another content");
    let longer = run_chat(|number, message, _| {
        let more = if number == 6 { " " } else { "" };
        vec![Message::text(format!("{}{more}", message.to_text().unwrap()))]
    });
    check_error(longer, "65 bytes");
}

#[test]
fn what_else_a_server_says_to_its_members_does_not_matter_but_errors_do() {
    let (code, result) =
        run_chat(|_, message, _| vec![Message::text("{\"type\":\"notice\"}"), message, Message::text("")]);
    assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 4]), "{result}");
    let refused = run_chat(|_, _, _| vec![Message::text("{\"type\":\"error\",\"code\":\"x\"}")]);
    check_error(refused, "{\"type\":\"error\",\"code\":\"x\"}");
}

#[test]
fn an_echo_that_is_swapped_repeated_or_another_is_an_error() {
    let args = "--connections 1 --in-flight 8 --seconds 0.1 --warmup 1ms";
    let lost = echo(|socket, number, message| if number == 5 { Ok(()) } else { socket.send(message) });
    check_error(bench_json(lost, args), "lost, repeated or out of order");
    let kept = Arc::new(Mutex::new(None));
    let swapped = echo(move |socket, number, message| {
        let mut kept = kept.lock().unwrap();
        if number == 5 {
            *kept = Some(message);
            return Ok(());
        }
        socket.send(message)?;
        kept.take().map_or(Ok(()), |late| socket.send(late))
    });
    check_error(bench_json(swapped, args), "lost, repeated or out of order");
    let repeated = echo(|socket, number, message| {
        if number == 5 {
            socket.send(message.clone())?;
        }
        socket.send(message)
    });
    check_error(bench_json(repeated, args), "lost, repeated or out of order");
    let changed = echo(|socket, number, message| {
        let mut bytes = message.into_data().to_vec();
        bytes[20] ^= u8::from(number == 0);
        socket.send(Message::binary(bytes))
    });
    check_error(bench_json(changed, args), "another content");
    let text = echo(|socket, _, _| socket.send(Message::text("x".repeat(64))));
    check_error(bench_json(text, args), "Text of 64 bytes came back for Binary of 64 bytes");
    let more = echo(|socket, number, message| {
        let count = if number == 20 { 9 } else { 1 };
        (0..count).try_for_each(|_| socket.send(message.clone()))
    });
    check_error(
        bench_json(more, "--connections 1 --in-flight 1 --size 0 --seconds 0.1 --warmup 1ms"),
        "more came back",
    );
}

#[test]
fn an_echo_that_never_comes_is_lost() {
    let address = echo(|socket, number, message| if number >= 100 { Ok(()) } else { socket.send(message) });
    let (code, result) = bench_json(address, "--connections 2 --in-flight 3 --seconds 0.1 --warmup 1ms");
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [6, 0, 0, 0]), "{result}");
}

#[test]
fn a_close_or_an_end_is_an_error_with_its_code_and_reason() {
    for load in ["echo", "churn", "idle", "chat"] {
        let closing = serve(|mut socket| {
            let frame = CloseFrame { code: CloseCode::Policy, reason: "enough".into() };
            let _ = socket.close(Some(frame));
            while socket.read().is_ok() {}
        });
        let (code, result) = match load {
            // It never comes to a full cycle.
            "churn" => continue,
            _ => bench_json(closing, &format!("{load} --connections 2 --seconds 0.1")),
        };
        check_error((code, result.clone()), "1008 enough");
        assert_eq!(counts(&result, ["opened", "stayed"]), [2, 0], "{result}");
    }
    let ending = echo(|_, _, _| Err(tungstenite::Error::ConnectionClosed));
    check_error(bench_json(ending, "--connections 2 --in-flight 1 --seconds 0.1"), "ended the connection");
}

#[test]
fn the_members_of_a_chat_go_on_without_one_who_is_gone() {
    let (code, result) = run_chat(|number, message, _| {
        let close = Message::Close(Some(CloseFrame { code: CloseCode::Again, reason: "too slow".into() }));
        if number == 10 {
            vec![close]
        } else if number < 10 {
            vec![message]
        } else {
            vec![]
        }
    });
    check_error((code, result.clone()), "1013 too slow");
    assert_eq!(counts(&result, ["errors", "opened", "stayed", "duplicated", "reordered"]), [1, 4, 3, 0, 0], "{result}");
    // The one who is gone had not heard some of what was in flight.
    assert!((1..=8).contains(&counts(&result, ["lost"])[0]), "{result}");
    assert!(counts(&result, ["messages"])[0] > 100, "the others went on: {result}");
}
