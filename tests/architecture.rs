//! The house rules of the sources: imports only go down, each package has one room, and the pure floors know no
//! clock, no socket, no log and no randomness. A violation is reported with its file and line.

#![allow(clippy::unwrap_used)]

#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use source::Source;

/// Names that must not stand in some files.
struct Rule {
    /// The files, by their path from the root of the package.
    applies_to: fn(&str) -> bool,
    /// Whether unit tests must keep it too.
    in_tests: bool,
    /// Paths, as `std::net`: they and all that lies in them. One that begins with `..` may begin anywhere.
    names: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        applies_to: |file| file.starts_with("src/protocol/"),
        in_tests: true,
        names: &["crate::server", "crate::chat"],
        why: "imports only go down: protocol/ stands on nothing",
    },
    Rule {
        applies_to: |file| file.starts_with("src/server/"),
        in_tests: true,
        names: &["crate::chat"],
        why: "imports only go down: server/ does not know chat/",
    },
    Rule {
        applies_to: |file| file.starts_with("src/protocol/"),
        in_tests: true,
        names: &["std::net", "std::os", "std::io::Read", "std::io::Write", "std::io::prelude"],
        why: "protocol/ takes and gives bytes: it reads and writes nothing",
    },
    Rule {
        applies_to: |file| file.starts_with("src/chat/"),
        in_tests: true,
        names: &["std::net", "std::os"],
        why: "chat/ knows no sockets",
    },
    Rule {
        applies_to: |file| file.starts_with("src/chat/"),
        in_tests: true,
        names: &["crate::protocol::frame"],
        why: "chat/ knows messages, not frames; `protocol::SharedFrame` is the one that it may hold",
    },
    Rule {
        applies_to: |file| file.starts_with("src/protocol/"),
        in_tests: false,
        names: &["..Instant::now", "..SystemTime", "..UNIX_EPOCH", "..Instant::elapsed", ".elapsed"],
        why: "in protocol/ time is a parameter",
    },
    Rule {
        applies_to: |file| file.starts_with("src/chat/"),
        in_tests: false,
        names: &["..Instant::now", "..SystemTime::now", "..Instant::elapsed", ".elapsed"],
        why: "chat/ has no clock of its own",
    },
    Rule {
        applies_to: |file| file.starts_with("src/protocol/"),
        in_tests: true,
        names: &["getrandom", "rand", "..RandomState"],
        why: "protocol/ knows no randomness",
    },
    Rule {
        applies_to: |file| file.starts_with("src/protocol/") || file.starts_with("src/chat/"),
        in_tests: true,
        names: &["log", "log!", "error!", "warn!", "info!", "debug!", "trace!"],
        why: "below server/ and main.rs nothing is logged",
    },
    Rule {
        applies_to: |file| file.starts_with("src/bench/"),
        in_tests: true,
        names: &["frameloop::server", "frameloop::chat", "crate::logger", "log"],
        why: "bench/ knows the protocol and no server: any can be its target",
    },
    Rule {
        applies_to: |file| !file.starts_with("src/server/"),
        in_tests: true,
        names: &["slab"],
        why: "the room of slab is server/",
    },
    Rule {
        applies_to: |file| !file.starts_with("src/server/") && !file.starts_with("src/bench/"),
        in_tests: true,
        names: &["mio", "socket2"],
        why: "the rooms of mio and socket2 are server/ and bench/",
    },
    Rule {
        applies_to: |file| !file.starts_with("src/protocol/handshake/"),
        in_tests: true,
        names: &["sha1"],
        why: "the room of sha1 is protocol/handshake/",
    },
    Rule {
        applies_to: |file| !file.starts_with("src/protocol/handshake/") && file != "src/chat/auth/jwt.rs",
        in_tests: true,
        names: &["base64"],
        why: "the rooms of base64 are protocol/handshake/ and chat/auth/jwt.rs",
    },
    Rule {
        // What is to be verified there must first be signed.
        applies_to: |file| file != "src/chat/auth/jwt.rs" && !file.starts_with("src/test_support/"),
        in_tests: true,
        names: &["hmac", "sha2"],
        why: "the room of hmac and sha2 is chat/auth/jwt.rs",
    },
    Rule {
        applies_to: |file| file != "src/protocol/utf8.rs",
        in_tests: true,
        names: &["simdutf8"],
        why: "the room of simdutf8 is protocol/utf8.rs",
    },
    Rule {
        applies_to: |file| !file.starts_with("src/protocol/handshake/") && file != "src/bench/opening.rs",
        in_tests: true,
        names: &["httparse"],
        why: "the rooms of httparse are the two sides of the opening handshake",
    },
    Rule {
        // What was relayed is checked with the same library.
        applies_to: |file| {
            let is_room = file == "src/chat/wire.rs" || file.starts_with("src/chat/wire/");
            !is_room && !file.starts_with("src/test_support/")
        },
        in_tests: false,
        names: &["serde_json", "serde_core"],
        why: "the room of serde_json and serde_core is chat/wire",
    },
    Rule {
        // What was compressed there comes from another sender here.
        applies_to: |file| !file.starts_with("src/protocol/deflate/") && file != "src/test_support/deflate.rs",
        in_tests: true,
        names: &["zlib_rs"],
        why: "the room of zlib-rs is protocol/deflate",
    },
    Rule {
        applies_to: |file| !file.starts_with("src/test_support/"),
        in_tests: true,
        names: &["crate::test_support", "tungstenite"],
        why: "test_support/ is for fuzz targets and tests; nothing else stands on it",
    },
    Rule {
        // The files of the binary lie at the root, beside lib.rs.
        applies_to: |file| file == "src/lib.rs" || file.matches('/').count() > 1,
        in_tests: true,
        names: &["simple_logger", "signal_hook"],
        why: "the room of simple_logger and signal_hook is the binary",
    },
    Rule {
        applies_to: |file| file == "src/lib.rs" || (file.matches('/').count() > 1 && !file.starts_with("src/bench/")),
        in_tests: true,
        names: &["lexopt", "rlimit"],
        why: "the room of lexopt and rlimit is the binary",
    },
    Rule {
        applies_to: |file| file != "src/server/tls.rs" && !file.starts_with("src/server/tls/"),
        in_tests: true,
        names: &["rustls"],
        why: "the room of rustls is server/tls",
    },
    Rule { applies_to: |_| true, in_tests: true, names: &["unsafe"], why: "there is no unsafe code" },
];

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let mut files = Vec::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), "src", &mut files);
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["src/lib.rs", "src/main.rs", "src/protocol/handshake/head.rs", "src/server/mod.rs", "src/chat/mod.rs"]
    {
        assert!(names.contains(name), "the sources were not found: {names:?}");
    }
    let violations = violations(&files);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden_for_all_crates_of_the_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let lints = manifest.split("\n[").find(|section| section.starts_with("lints.rust]")).unwrap_or_default();
    let by_lint = lints.lines().any(|line| line.split_whitespace().collect::<String>() == "unsafe_code=\"forbid\"");
    let by_attribute = ["src/lib.rs", "src/main.rs"].into_iter().all(|file| {
        let text = fs::read_to_string(root.join(file)).unwrap();
        text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
    });
    assert!(by_lint || by_attribute, "neither Cargo.toml nor the crates forbid unsafe_code");
}

/// All violations, each as `file:line: name: why`.
fn violations(files: &[(String, String)]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(name, text)| Source::parse(name, text)).collect();
    let test_files: BTreeSet<&String> = sources.iter().flat_map(|source| &source.test_files).collect();
    let mut violations = Vec::new();
    for ((file, _), source) in files.iter().zip(&sources) {
        // A module of tests may be a folder: src/chat/hub/tests.rs stands for all below src/chat/hub/tests/ too.
        let is_test_file = test_files.iter().any(|test_file| {
            let below = file.strip_prefix(test_file.trim_end_matches(".rs"));
            below.is_some_and(|below| below == ".rs" || below.starts_with('/'))
        });
        for rule in RULES.iter().filter(|rule| (rule.applies_to)(file)) {
            for mention in &source.mentions {
                let counts = rule.in_tests || !(is_test_file || mention.in_tests);
                if counts && rule.names.iter().any(|name| is_within(&mention.name, name)) {
                    violations.push(format!("{file}:{}: {}: {}", mention.line, mention.name, rule.why));
                }
            }
        }
    }
    violations
}

/// Whether `name` is `forbidden` or lies in it, or brings it in with a `*`.
fn is_within(name: &str, forbidden: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    if let Some(anywhere) = forbidden.strip_prefix("..") {
        let sought: Vec<&str> = anywhere.split("::").collect();
        return parts.windows(sought.len()).any(|window| window == sought);
    }
    let sought: Vec<&str> = forbidden.split("::").collect();
    match parts.split_last() {
        Some((&"*", module)) => sought.starts_with(module) || module.starts_with(&sought),
        _ => parts.starts_with(&sought),
    }
}

/// The Rust files in a directory and below it, with their texts.
fn collect(root: &Path, directory: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root.join(directory)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &name, files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

/// The lines of a source of which the rules complain.
fn lines_of_violations(file: &str, text: &str) -> Vec<usize> {
    let violations = violations(&[(file.to_owned(), text.to_owned())]);
    let line = |violation: &String| violation.strip_prefix(file)?.split(':').nth(1)?.parse().ok();
    violations.iter().map(|violation| line(violation).unwrap()).collect()
}

#[test]
fn a_planted_violation_is_found_on_its_line() {
    let frame = "src/protocol/frame.rs";
    let hub = "src/chat/hub.rs";
    let peer = "src/server/peer.rs";
    let echo = "src/bench/echo.rs";
    for (file, line) in [
        (frame, "use std::net::SocketAddr;"),
        (frame, "use std::{fmt, net::{IpAddr, TcpStream as Socket}};"),
        (frame, "use std::*;"),
        (frame, "fn f(a: ::std::net::IpAddr) {}"),
        (frame, "use std::io::{self, Error}; fn f(r: impl io::Read) {}"),
        (frame, "use std::io::prelude::*;"),
        (frame, "use std::io::Write as _;"),
        (frame, "use std::time::Instant; fn f() -> Instant { Instant::now() }"),
        (frame, "use std::time as t; static NOW: fn() -> t::Instant = t::Instant::now;"),
        (frame, "use std::time::SystemTime;"),
        (frame, "fn f(start: std::time::Instant) { start.elapsed(); }"),
        (frame, "fn f() { log::debug!(\"{}\", 1); }"),
        (frame, "#[macro_use] extern crate log; fn f() { warn!(\"\"); }"),
        (frame, "use crate::server::Config;"),
        (frame, "use super::super::chat::Hub;"),
        (frame, "use crate::{protocol, server as s};"),
        (frame, "fn f(c: &'static crate::server::Config) {}"),
        (frame, "use mio as m;"),
        (frame, "fn f(a: [u8; 4]) { getrandom::fill(&mut a); }"),
        (frame, "fn f() { let key = base64::encode(\"\"); }"),
        (frame, "use std::collections::hash_map::RandomState;"),
        ("src/protocol/handshake/head.rs", "use super::super::super::server;"),
        (hub, "use std::net::IpAddr;"),
        (hub, "use crate::protocol::frame::FrameHeader;"),
        (hub, "use crate::protocol::{CloseCode, frame::Opcode};"),
        (hub, "use crate::protocol as p; fn f(f: p::frame::FrameHeader) {}"),
        (hub, "use crate::protocol::*;"),
        (hub, "fn f() { let now = std::time::Instant::now(); }"),
        (hub, "use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        (hub, "use log::info;"),
        (hub, "fn f() { serde_json::to_string(&1); }"),
        ("src/chat/wireless.rs", "use serde_core::de::Visitor;"),
        (hub, "use slab::Slab;"),
        ("src/chat/auth/token_file.rs", "use hmac::Hmac;"),
        ("src/chat/auth/token_file.rs", "use base64::Engine;"),
        (frame, "use sha2::Sha256;"),
        (frame, "use zlib_rs::Inflate;"),
        (peer, "use crate::chat::Hub;"),
        (peer, "use super::super::chat;"),
        (peer, "use httparse::Request;"),
        (peer, "fn f() { simdutf8::basic::from_utf8(&[]); }"),
        (peer, "fn f() { rlimit::increase_nofile_limit(1); }"),
        (peer, "fn f() { let x = unsafe { 1 }; }"),
        (peer, "fn f() { crate::test_support::utf8(&[]); }"),
        (hub, "use tungstenite::Message;"),
        ("src/test_support/chat.rs", "use mio::Poll;"),
        ("src/lib.rs", "use lexopt;"),
        ("src/lib.rs", "extern crate socket2;"),
        ("src/main.rs", "use mio::Poll;"),
        ("src/main.rs", "use serde_json::json;"),
        ("src/chat/web/page.rs", "use signal_hook::flag;"),
        ("src/chat/web/page.rs", "use lexopt::Arg;"),
        (echo, "use frameloop::server::Server;"),
        (echo, "use frameloop::{protocol::Message, chat as c};"),
        (echo, "fn f() { log::info!(\"\"); }"),
        (echo, "use slab::Slab;"),
        (echo, "use httparse::Response;"),
        (echo, "use base64::Engine;"),
        (echo, "use serde_json::json;"),
        (echo, "use signal_hook::flag;"),
    ] {
        let text = format!("//! A file.\n\n{line}\n\nfn after() {{}}\n");
        let lines = lines_of_violations(file, &text);
        assert!(!lines.is_empty() && lines.iter().all(|&line| line == 3), "{file}: {line}: {lines:?}");
    }
}

#[test]
fn what_only_looks_like_a_violation_is_none() {
    let innocent = r####"
        //! No `std::net`, no `Instant::now()`; see [`crate::server::Config`].
        /* unsafe { /* mio::Poll::new() */ crate::chat } */
        use std::{fmt, time::{Duration, Instant}};
        use std::io::Error;
        use super::shared_frame::SharedFrame;
        /// `log::info!("")`, unlike `unsafe`.
        #[doc = "unsafe std::net::TcpStream"]
        fn f<'r>(now: Instant, mio: &'r str, log: char) -> Option<impl fmt::Write + use<'r>> {
            let text = "crate::server \" std::net::IpAddr"; let raw = r#"unsafe " mio::Poll"#;
            let (quote, escaped, byte) = ('"', '\'', b'"'); let unsafe_code = log;
            self.log.error(text); self.slab.info(); now.duration_since(now); super::log::info(); Self::debug();
        }
        mod log { pub fn info() {} }
        fn g() { log::info(); crate::protocol::server::f(); my::mio::f(); }
        fn std() { fmt::Write::write_str; }
    "####;
    for file in ["src/protocol/connection.rs", "src/server/peer.rs", "src/lib.rs", "src/main.rs"] {
        assert_eq!(lines_of_violations(file, innocent), [0; 0], "{file}");
    }
    let hub = "use crate::protocol::{Message, SharedFrame}; use crate::server::App; fn f(t: std::time::SystemTime) {}";
    assert_eq!(lines_of_violations("src/chat/hub.rs", hub), [0; 0]);
    let server = "use mio::Poll; use std::net::TcpStream; fn f() { log::info!(\"\"); std::time::Instant::now(); }";
    assert_eq!(lines_of_violations("src/server/tcp.rs", server), [0; 0]);
    let bench = "use mio::Poll; use super::chat::Chat; use frameloop::protocol::frame::FrameHeader; use lexopt::Arg;";
    assert_eq!(lines_of_violations("src/bench/mod.rs", bench), [0; 0]);
    assert_eq!(lines_of_violations("src/bench/opening.rs", "use httparse::Response;"), [0; 0]);
    let jwt = "use base64::Engine as _; use hmac::{Hmac, Mac}; use sha2::Sha256;";
    assert_eq!(lines_of_violations("src/chat/auth/jwt.rs", jwt), [0; 0]);
    assert_eq!(lines_of_violations("src/cli.rs", "use lexopt::Arg; use log::LevelFilter;"), [0; 0]);
}

#[test]
fn unit_tests_may_read_the_clock_but_not_import_upwards() {
    let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use std::time::Instant;\n    \
        fn g() { Instant::now(); serde_json::json!({}); super::f(); }\n    use crate::server::Config;\n}\n\
        fn h() { std::time::Instant::now(); }\n";
    assert_eq!(lines_of_violations("src/protocol/utf8.rs", text), [7, 9]);

    let files = [
        ("src/protocol/queue.rs", "#[cfg(test)]\nmod tests;\nmod parts;"),
        ("src/protocol/queue/tests.rs", "fn f() { std::time::Instant::now(); }\nuse crate::chat;"),
        ("src/protocol/queue/tests/more.rs", "fn f() { std::time::Instant::now(); }"),
        ("src/protocol/queue/parts.rs", "fn f() { std::time::Instant::now(); }"),
    ];
    let violations = violations(&files.map(|(file, text)| (file.to_owned(), text.to_owned())));
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert!(violations[0].starts_with("src/protocol/queue/tests.rs:2: crate::chat"), "{violations:?}");
    assert!(violations[1].starts_with("src/protocol/queue/parts.rs:1: std::time::Instant::now"), "{violations:?}");
}
