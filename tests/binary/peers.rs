//! Clients of other makes: Node's `ws`, Python's `websockets` and tungstenite, in one chat and against the echo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::Message;

use crate::harness::{Child, start};
use crate::tungstenite_client::{close, connect, next_text};

/// Fails with a clear message where there is no Node.
pub(crate) fn require_node() {
    require("node", &mut Command::new("node"));
}

fn require(what: &str, command: &mut Command) {
    let result = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(result.is_ok_and(|status| status.success()), "these tests need {what} on the PATH");
}

/// A command that runs one of the scripts with `ws`.
pub(crate) fn node(script: &str) -> Command {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    let packages = PACKAGES.get_or_init(|| {
        require_node();
        let works =
            |at: &Path| node_in(at).args(["-e", "require('ws')"]).output().is_ok_and(|out| out.status.success());
        install("node-ws-8", works, |at| {
            require("npm", &mut Command::new("npm"));
            let flags = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
            run(Command::new("npm").args(flags).arg(at).arg("ws@8"), "npm and a way to its registry");
        })
    });
    let mut command = node_in(packages);
    command.arg(path_of(script));
    command
}

fn node_in(packages: &Path) -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", packages.join("node_modules"));
    command
}

/// A command that runs one of the scripts with `websockets`.
pub(crate) fn python(script: &str) -> Command {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    let packages = PACKAGES.get_or_init(|| {
        let works =
            |at: &Path| python_in(at).args(["-c", "import websockets"]).output().is_ok_and(|out| out.status.success());
        install("python-websockets-15.0.1", works, |at| {
            require("python3", &mut Command::new("python3"));
            run(Command::new("python3").args(["-m", "venv"]).arg(at), "Python 3 with its venv");
            let flags = ["-m", "pip", "install", "--disable-pip-version-check", "websockets==15.0.1"];
            run(python_in(at).args(flags), "pip and a way to its registry");
        })
    });
    let mut command = python_in(packages);
    command.arg(path_of(script));
    command
}

/// The interpreter of a virtual environment. Unlike its scripts it does not mind that the folder was moved.
fn python_in(packages: &Path) -> Command {
    Command::new(packages.join("bin/python"))
}

fn path_of(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/binary/clients").join(script)
}

/// Installs packages below the target folder, unless they are there and work. They appear under their name only when
/// whole, so that neither an interrupted run nor another one at the same time leaves half of them.
fn install(name: &str, works: impl Fn(&Path) -> bool, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let whole = folder.join(name);
    if works(&whole) {
        return whole;
    }
    let part = folder.join(format!("{name}.{}", std::process::id()));
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).unwrap();
    install(&part);
    let stale = folder.join(format!("{name}.{}.stale", std::process::id()));
    if !works(&whole) {
        let _ = fs::rename(&whole, &stale);
        let _ = fs::rename(&part, &whole);
    }
    let _ = fs::remove_dir_all(&stale);
    let _ = fs::remove_dir_all(&part);
    assert!(works(&whole), "{} was installed, but does not work", whole.display());
    whole
}

fn run(command: &mut Command, needed: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("these tests need {needed}: {command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "these tests need {needed}: {command:?}:\n{stdout}{stderr}");
}

/// The next line of a script.
pub(crate) fn next(script: &mut Child) -> Value {
    serde_json::from_str(&script.stdout.next()).unwrap()
}

fn chat(from: &str) -> String {
    format!("{{\"type\": \"chat\", \"from\": \"{from}\", \"msg\": \"é€😀\"}}")
}

#[test]
fn clients_of_three_makes_chat_and_each_hears_the_other_two() {
    let mut server = start(&[]);
    let address = server.address();
    let url = format!("ws://{address}/");
    let mut ws = Child::spawn(node("ws-chat.js").arg(&url));
    let mut websockets = Child::spawn(python("websockets_chat.py").arg(&url));
    let mut tungstenite = connect(address);
    for script in [&mut ws, &mut websockets] {
        assert_eq!(next(script), json!({"event": "open"}));
    }
    ws.say(&chat("ws"));
    websockets.say(&chat("websockets"));
    tungstenite.send(chat("tungstenite").into()).unwrap();

    let heard_by = |script: &mut Child| {
        let (one, other) = (next(script), next(script));
        assert!(one["binary"] == false && other["binary"] == false, "{one} {other}");
        let mut heard = [one["data"].as_str().unwrap().to_owned(), other["data"].as_str().unwrap().to_owned()];
        heard.sort();
        heard
    };
    assert_eq!(heard_by(&mut ws), [chat("tungstenite"), chat("websockets")]);
    assert_eq!(heard_by(&mut websockets), [chat("tungstenite"), chat("ws")]);
    let mut heard = [next_text(&mut tungstenite), next_text(&mut tungstenite)];
    heard.sort();
    assert_eq!(heard, [chat("websockets"), chat("ws")]);

    // What would come after it, such as their own words, would come before the end.
    for script in [&mut ws, &mut websockets] {
        script.hang_up();
        assert_eq!(next(script), json!({"event": "close", "code": 1000}));
        assert_eq!(script.wait().code(), Some(0));
        assert_eq!(script.stdout.rest(), [""; 0]);
    }
    close(tungstenite);
    server.stop();
    let log = server.stderr.rest();
    let closed = log.iter().filter(|line| line.contains(" reason=closed_by_peer code=1000 ")).count();
    assert_eq!(closed, 3, "all three left cleanly: {log:#?}");
}

#[test]
fn ws_and_websockets_get_back_from_the_echo_what_they_sent() {
    let mut server = start(&["echo"]);
    let url = format!("ws://{}/", server.address());
    for mut command in [node("ws-echo.js"), python("websockets_echo.py")] {
        let mut script = Child::spawn(command.arg(&url));
        let code = script.wait().code();
        let (lines, problems) = (script.stdout.rest(), script.stderr.rest());
        assert_eq!(code, Some(0), "{lines:?} {problems:#?}");
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = [
            json!({"ok": "text"}),
            json!({"ok": "binary"}),
            json!({"ok": "ping"}),
            json!({"ok": "fragments"}),
            json!({"ok": "close", "code": 1000}),
        ];
        assert_eq!(lines, expected);
    }
    server.stop();
    let log = server.stderr.rest();
    let closed = log.iter().filter(|line| line.contains(" reason=closed_by_peer code=1000 ")).count();
    assert_eq!(closed, 2, "both left cleanly: {log:#?}");
}

#[test]
fn tungstenite_gets_back_from_the_echo_what_it_sent() {
    let mut server = start(&["echo"]);
    let mut client = connect(server.address());
    let bytes: Vec<u8> = (0..1024 * 1024).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for message in [
        Message::text("hello server"),
        Message::text(""),
        Message::text("é€😀".repeat(50_000)),
        Message::binary(bytes.clone()),
        Message::binary(bytes[..125].to_vec()),
        Message::binary(bytes[..126].to_vec()),
        Message::binary(bytes[..65_535].to_vec()),
        Message::binary(bytes[..65_536].to_vec()),
    ] {
        client.send(message.clone()).unwrap();
        assert!(client.read().unwrap() == message, "{} bytes came back as something else", message.len());
    }
    for payload in [&b""[..], &bytes[..125]] {
        client.send(Message::Ping(payload.to_vec().into())).unwrap();
        assert_eq!(client.read().unwrap(), Message::Pong(payload.to_vec().into()));
    }
    close(client);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < crate::harness::PATIENCE);
}
