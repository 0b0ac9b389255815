//! Flags, their mistakes, warnings, and what a run says where it cannot begin.

use std::process::Command;

use crate::bench;
use crate::harness::{Child, free_port, start};

#[test]
fn help_goes_to_standard_output_and_the_readme_shows_it() {
    let outcome = bench(&["--help"]);
    assert_eq!((outcome.code, outcome.stderr.len()), (Some(0), 0), "{outcome:?}");
    let block = format!("```text\n$ frameloop bench --help\n{}\n```\n", outcome.stdout.join("\n"));
    assert!(include_str!("../../README.md").contains(&block), "copy the output of bench --help into the README");
}

#[test]
fn wrong_arguments_are_one_line_that_names_them_and_exit_code_1() {
    let cases: [(&[&str], &[&str]); 17] = [
        (&[], &["URL", "ws://"]),
        (&["localhost:9001"], &["'localhost:9001'", "ws://"]),
        (&["wss://localhost:9001/"], &["'wss://localhost:9001/'", "TLS", "not there yet"]),
        (&["ws://localhost:9001/", "flood"], &["'flood'", "echo, chat, churn or idle"]),
        (&["ws://localhost:9001/", "echo", "more"], &["'more'"]),
        (&["ws://localhost:9001/", "--groups", "2"], &["--groups", "--help"]),
        (&["ws://localhost:9001/", "--rooms", "2"], &["--rooms", "echo"]),
        (&["ws://localhost:9001/", "chat", "--rooms", "33"], &["--rooms", "66 --connections"]),
        (&["ws://localhost:9001/", "--connections", "none"], &["--connections", "'none'"]),
        (&["ws://localhost:9001/", "--seconds", "3s"], &["--seconds", "'3s'"]),
        (&["ws://localhost:9001/", "--senders", "2"], &["--senders", "echo"]),
        (&["ws://localhost:9001/", "--fragments", "0"], &["--fragments", "'0'"]),
        (&["ws://localhost:9001/", "chat", "--fragments", "2"], &["--fragments", "chat"]),
        (&["ws://localhost:9001/", "--text", "utf8"], &["'utf8'", "--text=utf8"]),
        (&["ws://localhost:9001/", "chat", "--size", "1"], &["--size", "at least"]),
        (&["ws://127.0.0.1:9001/", "--source", "::1"], &["--source", "::1", "127.0.0.1"]),
        // RFC 6761 §6.4: this name never resolves.
        (&["ws://no-such-host.invalid/"], &["no-such-host.invalid"]),
    ];
    for (args, names) in cases {
        let outcome = bench(args);
        assert_eq!((outcome.code, outcome.stdout.len()), (Some(1), 0), "{args:?}: {outcome:?}");
        let [line] = outcome.stderr.as_slice() else { panic!("{args:?}: exactly one line, not {outcome:?}") };
        assert!(line.starts_with("frameloop: ") && names.iter().all(|name| line.contains(name)), "{args:?}: {line}");
    }
}

#[test]
fn no_connection_at_all_is_one_line_with_the_reason_and_exit_code_1() {
    let url = format!("ws://127.0.0.1:{}/", free_port());
    for load in ["echo", "chat", "churn", "idle"] {
        let outcome = bench(&[&url, load]);
        assert_eq!((outcome.code, outcome.stdout.len()), (Some(1), 0), "{load}: {outcome:?}");
        let [line] = outcome.stderr.as_slice() else { panic!("{load}: exactly one line, not {outcome:?}") };
        assert!(line.contains("no connection") && line.contains("refused"), "{load}: {line}");
    }
}

#[test]
fn a_target_that_is_not_loopback_gets_a_warning_before_anything_else() {
    // RFC 5737: no machine has this address.
    let outcome = bench(&["ws://192.0.2.1:9/", "--connections", "1", "--connect-timeout", "100ms"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let [warning, failure] = outcome.stderr.as_slice() else { panic!("two lines, not {outcome:?}") };
    assert!(warning.starts_with("frameloop: warning: 192.0.2.1 is not a loopback address"), "{warning}");
    assert!(failure.contains("no connection to 192.0.2.1:9"), "{failure}");
}

#[test]
fn more_connections_than_open_files_are_refused_with_both_numbers() {
    let script = "ulimit -n 50; exec \"$0\" bench ws://127.0.0.1:1/ --connections 100";
    let mut child = Child::spawn(Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_frameloop")]));
    assert_eq!(child.wait().code(), Some(1));
    let line = child.stderr.next();
    assert!(["--connections", "100", "50", "ulimit"].iter().all(|name| line.contains(name)), "{line}");
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let mut echo = start(&["echo"]);
    let script = format!(
        "ulimit -Sn 20; exec \"$0\" bench ws://{}/ --connections 30 --seconds 0.05 --warmup 1ms",
        echo.address()
    );
    let mut child = Child::spawn(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_frameloop")]));
    assert_eq!(child.wait().code(), Some(0), "{:?}", child.stderr.rest());
}

#[test]
fn the_result_is_a_table_on_standard_output() {
    let mut echo = start(&["echo"]);
    let url = format!("ws://{}/", echo.address());
    let outcome = bench(&[&url, "--seconds", "0.1", "--warmup", "1ms"]);
    assert_eq!((outcome.code, outcome.stderr.len()), (Some(0), 0), "nothing on what is no terminal: {outcome:?}");
    let names = ["echo", "connections", "messages", "rate", "latency", "this client", "lost", "errors"];
    let rows: Vec<&str> = outcome.stdout.iter().map(|row| row.split("  ").next().unwrap()).collect();
    assert_eq!(rows, names, "{outcome:?}");
    assert!(outcome.stdout[0].ends_with(&url) && outcome.stdout[1].contains("64 of 64 opened"), "{outcome:?}");
    assert!(outcome.stdout[2].contains(" of 64 bytes in "), "{outcome:?}");
    assert!(outcome.stdout[6].contains("lost         0, unsent 0, duplicated 0, reordered 0"), "{outcome:?}");
    assert!(["p50", "p90", "p99", "p99.9", "max"].iter().all(|name| outcome.stdout[4].contains(name)), "{outcome:?}");
}
