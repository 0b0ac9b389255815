//! Each load against the server that it is made for: all comes back, and is counted.

use serde_json::Value;

use crate::harness::{Child, start};
use crate::{bench_json, counts};

const SHORT: &str = "--seconds 0.2 --warmup 20ms";
const FAULTS: [&str; 5] = ["errors", "lost", "unsent", "duplicated", "reordered"];

/// A run against `frameloop MODE` that must be without a fault.
fn run(mode: &str, args: &str) -> (Child, Value) {
    let mut server = start(&[mode]);
    let pid = server.id();
    let (code, result) = bench_json(server.address(), &format!("{args} {SHORT} --server-pid {pid}"));
    assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 5]), "{args}: {result}");
    assert!(result["first_error"].is_null(), "{args}: {result}");
    (server, result)
}

/// Latencies of which each is at least the one before.
fn check_latencies(result: &Value) {
    let latencies = ["p50", "p90", "p99", "p99_9", "max"].map(|name| result["latency_us"][name].as_f64().unwrap());
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{latencies:?}");
}

#[test]
fn echo_of_all_sizes_and_both_kinds() {
    for args in [
        "",
        "echo --connections 3 --in-flight 1",
        "echo --size 0 --connections 2",
        "echo --size 1 --in-flight 200",
        "echo --size 2 --text",
        "echo --size 126 --in-flight 1000 --connections 2",
        "echo --size 70000 --connections 4",
        "echo --size 3MiB --connections 2 --in-flight 3 --text",
        "echo --size 3 --text=ascii",
        "echo --size 3 --text=utf8 --connections 2",
        "echo --size 1001 --text=utf8 --in-flight 100",
        "echo --size 1MiB --text=utf8 --connections 2 --in-flight 3",
        "echo --size 0 --fragments 1 --connections 2",
        "echo --size 64 --fragments 64 --connections 3",
        "echo --size 70001 --fragments 3 --text=utf8 --connections 4",
        "echo --size 300000 --fragments 10000 --connections 2 --in-flight 2",
    ] {
        let (_server, result) = run("echo", args);
        check_latencies(&result);
        let [messages] = counts(&result, ["messages"]);
        let (rate, seconds) = (result["rate"].as_f64().unwrap(), result["seconds"].as_f64().unwrap());
        assert!(messages > 0 && (rate * seconds - messages as f64).abs() < 1.0, "{result}");
        assert_eq!(result["load"], "echo");
        assert_eq!(result["opened"], result["stayed"], "{result}");
        assert!(result["server_bytes_per_connection"].is_null(), "{result}");
    }
}

#[test]
#[cfg(target_os = "linux")] // it looks into /proc
fn the_servers_time_and_memory_are_told_if_its_process_is_known() {
    let (_server, result) = run("echo", "echo");
    assert!(result["server_cpu_ns_per_message"].as_f64().unwrap() > 0.0, "{result}");
    let mut server = start(&["serve"]);
    let args = format!("idle --connections 300 --seconds 0.2 --server-pid {}", server.id());
    let (_, result) = bench_json(server.address(), &args);
    assert!(result["server_bytes_per_connection"].as_f64().unwrap() > 0.0, "{result}");
}

#[test]
fn chat_counts_each_delivery() {
    for args in [
        "chat",
        "chat --connections 2 --in-flight 1",
        "chat --connections 20 --senders 20 --size 5KiB",
        "chat --connections 4 --size 1001 --text=utf8",
    ] {
        let (_server, result) = run("serve", args);
        check_latencies(&result);
        assert!(counts(&result, ["messages"])[0] > 0, "{result}");
    }
}

#[test]
fn chat_in_rooms_counts_each_delivery_of_each_room() {
    for (args, rooms, opened) in [
        ("chat --rooms 1 --connections 2 --in-flight 1", 1, 2),
        ("chat --rooms 8", 8, 64),
        ("chat --rooms 5 --connections 23 --senders 4", 5, 23),
        ("chat --rooms 11 --connections 22 --senders 2 --size 60", 11, 22),
        ("chat --rooms 2 --connections 6 --size 700KiB --in-flight 2", 2, 6),
        ("chat --rooms 2 --connections 6 --size 5001 --text=utf8", 2, 6),
    ] {
        let (mut server, result) = run("serve", args);
        check_latencies(&result);
        assert!(counts(&result, ["messages"])[0] > 0, "{args}: {result}");
        assert_eq!(counts(&result, ["rooms", "opened", "stayed"]), [rooms, opened, opened], "{args}: {result}");
        server.stop();
        let log = server.stderr.rest();
        let left = log.iter().filter(|line| line.contains(" reason=closed_by_peer code=1000 ")).count() as u64;
        assert_eq!(left, opened, "{args}: all take leave, so that no session waits for them: {log:?}");
    }
}

#[test]
fn chat_in_rooms_takes_several_messages_in_one_array() {
    let mut server = start(&["serve", "--batch-interval", "2ms"]);
    let args = format!("chat --rooms 3 --connections 9 --senders 2 {SHORT}");
    let (code, result) = bench_json(server.address(), &args);
    assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 5]), "{result}");
    server.stop();
    let log = server.stderr.rest();
    let sent = |line: &String| line.split_once(" messages_out=")?.1.split(' ').next()?.parse::<u64>().ok();
    let sent: u64 = log.iter().filter_map(sent).sum();
    let heard = counts(&result, ["messages"])[0];
    assert!(sent > 0 && sent < heard / 2, "{heard} messages in {sent} texts");
}

#[test]
fn churn_counts_full_cycles() {
    let (_server, result) = run("echo", "churn --connections 4 --size 101 --text=utf8");
    assert!(counts(&result, ["messages"])[0] > 0 && result["text"] == "utf8", "{result}");
    let (mut server, result) = run("echo", "churn --connections 4");
    check_latencies(&result);
    let [cycles] = counts(&result, ["messages"]);
    server.stop();
    let log = server.stderr.rest();
    let is_clean =
        |line: &&String| line.contains(" reason=closed_by_peer code=1000 ") && line.contains(" messages_in=1 ");
    let clean = log.iter().filter(is_clean).count() as u64;
    let closed = log.iter().filter(|line| line.contains(" closed id=")).count() as u64;
    assert!(cycles > 0 && clean >= cycles, "{clean} clean ends of {cycles} cycles");
    assert_eq!(clean, closed, "those of the warm-up and the last ones end cleanly too");
}

#[test]
fn idle_holds_its_connections_and_answers_pings() {
    let flags = ["--ping-interval", "50ms", "--ping-misses", "2"];
    let mut server = start(&[&["serve"], &flags[..]].concat());
    let (code, result) = bench_json(server.address(), "idle --connections 50 --seconds 1");
    assert_eq!(code, Some(0), "{result}");
    assert_eq!(counts(&result, ["opened", "stayed", "errors", "messages"]), [50, 50, 0, 0], "{result}");
    check_latencies(&result);
}

#[test]
fn pings_between_the_messages_disturb_nothing() {
    // Many of them may be late: the server is busy, and they go between the messages.
    let mut server = start(&["echo", "--ping-interval", "5ms", "--ping-misses", "250"]);
    let address = server.address();
    for args in [
        "echo --size 100000 --in-flight 4 --connections 4",
        "echo",
        "echo --fragments 5 --text=utf8",
        "churn --connections 4",
    ] {
        let (code, result) = bench_json(address, &format!("{args} {SHORT}"));
        assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 5]), "{args}: {result}");
    }
}

#[test]
fn at_a_rate_exactly_the_messages_that_are_due_are_sent() {
    let (_server, result) = run("echo", "echo --rate 1000 --connections 7");
    // Due in 0.2 s, with one more or less where the window begins and ends.
    assert!((199..=201).contains(&counts(&result, ["messages"])[0]), "{result}");
    let (_server, result) = run("serve", "chat --rate 500 --connections 4 --senders 3");
    assert!((99 * 3..=101 * 3).contains(&counts(&result, ["messages"])[0]), "3 hear each of 100: {result}");
    let (_server, result) = run("serve", "chat --rate 500 --rooms 2 --connections 8 --senders 3");
    assert!((99 * 3..=101 * 3).contains(&counts(&result, ["messages"])[0]), "3 of a room hear each of 100: {result}");
    let (_server, result) = run("echo", "churn --rate 100");
    assert!((19..=21).contains(&counts(&result, ["messages"])[0]), "{result}");
}

#[test]
fn connections_come_from_the_sources_in_turn() {
    let (mut server, _) = run("echo", "echo --connections 10 --source 127.0.0.5 --source 127.0.0.6");
    server.stop();
    let log = server.stderr.rest();
    for source in ["127.0.0.5", "127.0.0.6"] {
        let opened =
            log.iter().filter(|line| line.contains(&format!(" addr={source}:")) && line.contains(" opened id="));
        assert_eq!(opened.count(), 5, "{source}");
    }
}
