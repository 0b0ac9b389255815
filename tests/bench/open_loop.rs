//! An open loop: what is due is sent, however late, and counted whether it was or not.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::fake::{Fault, chat, echo};
use crate::{bench_json, counts};

/// Nothing happens for so long: a server that stalls.
fn stall(millis: u64) {
    let (_never, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_millis(millis));
}

#[test]
fn in_an_open_loop_a_message_waits_from_when_it_was_due() {
    // The server stalls once, for 300 ms. One message may be in flight, so that the next 30 cannot be sent meanwhile:
    // a closed loop would see one slow message, but 29 more were due.
    let address = echo(|socket, number, message| {
        if number == 0 {
            stall(300);
        }
        socket.send(message)
    });
    let (code, result) = bench_json(address, "--connections 1 --in-flight 1 --rate 100 --seconds 0.6 --warmup 1ms");
    assert_eq!(code, Some(0), "{result}");
    assert!((59..=61).contains(&counts(&result, ["messages"])[0]), "{result}");
    // Half of them waited, evenly from 300 ms down to nothing.
    let [p50, p90, max] = ["p50", "p90", "max"].map(|name| result["latency_us"][name].as_f64().unwrap());
    assert!(p90 > 200_000.0 && max > 280_000.0 && p50 < max, "{result}");
}

#[test]
fn in_an_open_loop_a_cycle_waits_from_when_it_was_due() {
    // One connection at a time, and the 45th takes 300 ms, to beyond the end: what was due meanwhile is not left out.
    let number = Arc::new(Mutex::new(0));
    let address = echo(move |socket, _, message| {
        let mut number = number.lock().unwrap();
        *number += 1;
        if *number == 45 {
            stall(300);
        }
        socket.send(message)
    });
    let flags = "churn --connections 1 --rate 100 --seconds 0.6 --warmup 1ms";
    let (code, result) = bench_json(address, flags);
    assert_eq!((code, counts(&result, ["lost", "unsent"])), (Some(0), [0, 0]), "{result}");
    assert!((59..=61).contains(&counts(&result, ["messages"])[0]), "{result}");
    let [p50, p90, max] = ["p50", "p90", "max"].map(|name| result["latency_us"][name].as_f64().unwrap());
    assert!(p50 < 100_000.0 && p90 > 150_000.0 && max > 280_000.0, "{result}");
}

/// A chat of 4 of which one sends 200 messages a second, with 8 in flight; one member hears what a function makes of each.
fn run_chat(fault: Fault) -> (Option<i32>, serde_json::Value) {
    bench_json(chat(fault), "chat --connections 4 --in-flight 8 --rate 200 --seconds 0.4 --warmup 1ms")
}

#[test]
fn in_an_open_loop_a_chat_waits_from_when_it_was_due() {
    // The window of 8 is full in 40 ms, so that what is due in the next 260 ms goes later; to its three hearers, in the end.
    let (code, result) = run_chat(|number, message, _| {
        if number == 10 {
            stall(300);
        }
        vec![message]
    });
    assert_eq!((code, counts(&result, ["lost", "unsent"])), (Some(0), [0, 0]), "{result}");
    assert!((3 * 75..=3 * 81).contains(&counts(&result, ["messages"])[0]), "{result}");
    let [p50, max] = ["p50", "max"].map(|name| result["latency_us"][name].as_f64().unwrap());
    assert!(p50 > 50_000.0 && max > 280_000.0, "{result}");
}

#[test]
fn a_chat_that_was_due_and_never_sent_is_counted() {
    // Of 81 messages, or fewer where the run begins late, 20 are heard by all. The victim hears none of the next 8, and
    // no more can be in flight.
    let (code, result) = run_chat(|number, message, _| if number >= 20 { vec![] } else { vec![message] });
    assert_eq!((code, counts(&result, ["lost", "errors"])), (Some(2), [8, 0]), "{result}");
    let [unsent] = counts(&result, ["unsent"]);
    assert!((45..=81 - 28).contains(&unsent), "{result}");
}

#[test]
fn an_echo_that_was_due_and_never_sent_is_counted_apart_from_what_is_lost() {
    let address = || echo(|socket, number, message| if number >= 10 { Ok(()) } else { socket.send(message) });
    let flags = "--connections 2 --in-flight 3 --rate 200 --seconds 0.4 --warmup 1ms";
    let (code, result) = bench_json(address(), flags);
    assert_eq!((code, counts(&result, ["lost", "errors"])), (Some(2), [6, 0]), "{result}");
    let [unsent] = counts(&result, ["unsent"]);
    assert!((45..=81 - 26).contains(&unsent), "{result}");
    // More than a turn can deal out.
    let flags = "--connections 2 --in-flight 3 --rate 1000000000 --seconds 0.4 --warmup 1ms";
    let (code, result) = bench_json(address(), flags);
    assert_eq!((code, counts(&result, ["lost", "errors"])), (Some(2), [6, 0]), "{result}");
    assert!((350_000_000..=401_000_000).contains(&counts(&result, ["unsent"])[0]), "{result}");
}

#[test]
fn a_cycle_that_was_due_and_never_begun_is_counted() {
    // One connection at a time, and each takes 20 ms; there is a second more for what is late.
    let address = echo(|socket, _, message| {
        stall(20);
        socket.send(message)
    });
    let flags = "churn --connections 1 --rate 2000 --seconds 0.2 --warmup 1ms --connect-timeout 1s";
    let (code, result) = bench_json(address, flags);
    assert_eq!((code, counts(&result, ["errors"])), (Some(2), [0]), "{result}");
    let [messages, lost, unsent] = counts(&result, ["messages", "lost", "unsent"]);
    assert!(messages > 0 && lost <= 1 && unsent > 250, "{result}");
    assert!((380..=402).contains(&(messages + lost + unsent)), "{result}");
}
