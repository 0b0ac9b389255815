//! The line of progress: on a terminal, and nowhere else.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Child, start};
use crate::{bench, counts};

/// Runs the arguments with standard error on a terminal of its own, and prints what that showed as a line of JSON, behind
/// what came on standard output.
const TERMINAL: &str = r#"
import json, os, pty, subprocess, sys
ours, theirs = pty.openpty()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stderr=theirs)
os.close(theirs)
shown = b""
while True:
    try:
        part = os.read(ours, 4096)
    except OSError:  # Linux says so at the end of a terminal
        part = b""
    if not part:
        break
    shown += part
code = process.wait()
print(json.dumps(shown.decode()))
sys.exit(code)
"#;

/// Long enough that the line is drawn again.
const ARGS: [&str; 6] = ["--connections", "2", "--seconds", "1.2", "--warmup", "1ms"];

#[test]
fn on_a_terminal_the_progress_is_one_line_that_is_drawn_again_and_removed_at_the_end() {
    let mut server = start(&["echo"]);
    let url = format!("ws://{}/", server.address());
    let args = [&["-c", TERMINAL, env!("CARGO_BIN_EXE_frameloop"), "bench", &url, "--json"], &ARGS[..]].concat();
    let mut child = Child::spawn(Command::new("python3").args(args));
    assert_eq!(child.wait().code(), Some(0), "{:?}", child.stderr.rest());
    let stdout = child.stdout.rest();
    let [report, shown] = stdout.as_slice() else { panic!("the report is one line, not {stdout:?}") };
    let report: Value = serde_json::from_str(report).expect("JSON");
    assert!(counts(&report, ["messages"])[0] > 0, "{report}");
    let shown: String = serde_json::from_str(shown).unwrap();
    let drawn = shown.matches(" messages/s, 0 errors, ").count();
    assert!(drawn >= 2 && !shown.contains('\n'), "{shown:?}");
    // Each drawing begins at the left; the last one is of blanks, and leaves the cursor there.
    let lines: Vec<&str> = shown.split('\r').collect();
    let [first, .., before_last, last] = lines.as_slice() else { panic!("{shown:?}") };
    assert!(first.is_empty() && last.is_empty(), "{shown:?}");
    assert!(!before_last.is_empty() && before_last.trim().is_empty(), "{shown:?}");
    let widest = lines.iter().map(|line| line.trim_end().len()).max();
    assert!(widest <= Some(before_last.len()), "nothing of it is left over: {shown:?}");
}

#[test]
fn on_what_is_no_terminal_there_is_no_progress() {
    let mut server = start(&["echo"]);
    let url = format!("ws://{}/", server.address());
    let outcome = bench(&[&[url.as_str(), "--json"], &ARGS[..]].concat());
    assert_eq!((outcome.code, outcome.stderr.as_slice()), (Some(0), &[][..]), "{outcome:?}");
    let [report] = outcome.stdout.as_slice() else { panic!("the report is one line, not {outcome:?}") };
    let report: Value = serde_json::from_str(report).expect("JSON");
    assert!(counts(&report, ["messages"])[0] > 0, "{report}");
}
