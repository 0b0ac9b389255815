//! `--auth`: every place in which a token may stand, good, bad and missing; the files it is checked with; and that no secret
//! is ever in the log.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::harness::{Child, server, start};
use crate::raw::Raw;
use crate::wire::{REQUEST_HEAD, server_response};

/// A file that is gone with its handle.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str, content: &str) -> Secret {
        let path = std::env::temp_dir().join(format!("frameloop-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Secret(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.0, content).unwrap();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A request for this target, with these lines besides.
fn ask(address: SocketAddr, target: &str, lines: &str) -> Raw {
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap().replacen("GET /c ", &format!("GET {target} "), 1);
    let mut raw = Raw::connect(address);
    raw.send(format!("{}{lines}\r\n", &head[..head.len() - 2]).as_bytes());
    raw
}

/// The status and the head of the response.
fn answer(raw: &mut Raw) -> (u16, String) {
    let head = raw.read_head().unwrap();
    (server_response(&head).0, String::from_utf8(head).unwrap())
}

const PAGE: &str = "Origin: http://localhost\r\n";

/// Each way to show a token, with the lines of the request and its target.
fn ways(token: &str) -> Vec<(&'static str, String, String)> {
    vec![
        ("header", "/".to_owned(), format!("Authorization: Bearer {token}\r\n")),
        ("subprotocol", "/".to_owned(), format!("Sec-WebSocket-Protocol: frameloop.plain, bearer.{token}\r\n")),
        ("session", "/".to_owned(), format!("Sec-WebSocket-Protocol: bearer.{token}, frameloop.v1\r\n")),
        ("cookie", "/".to_owned(), format!("Cookie: theme=dark; sid={token}\r\n{PAGE}")),
        ("query", format!("/?room=1&token={token}"), String::new()),
    ]
}

#[test]
fn each_way_to_show_a_token_lets_in_with_a_good_one_and_not_with_another() {
    let tokens = Secret::new("ways", "ann:hush-hush rooms=lobby\n");
    let mut server = start(&["--auth", "token", "--token-file", tokens.path(), "--auth-cookie", "sid", "--auth-query"]);
    let address = server.address();
    for (way, target, lines) in ways("hush-hush") {
        let mut raw = ask(address, &target, &lines);
        let (status, head) = answer(&mut raw);
        assert_eq!(status, 101, "{way}: {head}");
        assert!(!head.contains("hush"), "{way}: a token never comes back: {head}");
        let answered = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        let expected = match way {
            "subprotocol" => Some("frameloop.plain"),
            "session" => Some("frameloop.v1"),
            _ => None,
        };
        assert_eq!(answered, expected, "{way}");
        if way != "session" {
            raw.send_text(r#"{"type":"nonsense"}"#);
            assert!(raw.read_text().contains("unknown_type"), "{way}: it is heard");
        }
    }
    for token in ["hush-hus", "hush-hush2", "HUSH-HUSH", "ann:hush-hush"] {
        for (way, target, lines) in ways(token) {
            // A `:` cannot stand in a subprotocol.
            if token.contains(':') && way.contains('s') {
                continue;
            }
            let mut raw = ask(address, &target, &lines);
            let (status, head) = answer(&mut raw);
            if way == "cookie" {
                assert_eq!((status, raw.read_text().contains("unauthorized")), (101, true), "a page is told: {head}");
                continue;
            }
            assert_eq!(status, 401, "{way} {token}: {head}");
            assert!(head.contains("\r\nWWW-Authenticate: Bearer\r\n"), "{way}: {head}");
        }
    }
    let (status, _) = answer(&mut ask(address, "/", "Cookie: sid=hush-hush\r\n"));
    assert_eq!(status, 401, "a cookie counts only from a page");
    server.stop();
    let log = server.stderr.rest().join("\n");
    assert!(log.contains("target=\"/?***\""), "{log}");
    assert!(!log.to_lowercase().contains("hush"), "no secret is in the log: {log}");
}

#[test]
fn the_query_and_the_cookie_count_only_where_a_flag_says_so() {
    let tokens = Secret::new("flags", "ann:hush-hush\n");
    let mut server = start(&["--auth", "token", "--token-file", tokens.path()]);
    let address = server.address();
    assert_eq!(answer(&mut ask(address, "/?token=hush-hush", "")).0, 401);
    let mut raw = ask(address, "/", &format!("Cookie: sid=hush-hush\r\n{PAGE}"));
    assert_eq!(answer(&mut raw).0, 101);
    assert!(raw.read_text().contains(r#""code":"unauthorized""#));
    assert_eq!(raw.read_frame().close_code(), Some(4001), "a page is told where it can see it");
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_its_line_and_without_its_secrets() {
    for (content, names) in [
        ("ann:hush\nbob\n", &["line 2"][..]),
        ("ann:hush\n:hush2\n", &["line 2"]),
        ("ann:\n", &["line 1"]),
        ("ann:hush\nbob:hush\n", &["line 2"]),
        ("ann:hush colour=red\n", &["line 1"]),
    ] {
        let tokens = Secret::new("wrong", content);
        let output = server().args(["--auth", "token", "--token-file", tokens.path()]).output().unwrap();
        let problem = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{content:?}: {problem}");
        assert!(problem.contains(tokens.path()) && !problem.contains("hush"), "{content:?}: {problem}");
        assert!(names.iter().all(|name| problem.contains(name)), "{content:?}: {problem}");
    }
    let output = server().args(["--auth", "token", "--token-file", "/nowhere/at/all"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("'/nowhere/at/all': No such file"));
    let empty = Secret::new("empty", "\n");
    let output = server().args(["--auth", "jwt", "--jwt-secret-file", empty.path()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("empty"));
}

#[test]
fn a_pipe_is_no_file_of_secrets_for_it_could_not_be_read_again() {
    let pipe = Secret(std::env::temp_dir().join(format!("frameloop-pipe-{}", std::process::id())));
    assert!(std::process::Command::new("mkfifo").arg(pipe.path()).status().unwrap().success());
    for args in [["token", "--token-file"], ["jwt", "--jwt-secret-file"]] {
        let output = server().args(["--auth", args[0], args[1], pipe.path()]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("it is no regular file"));
    }
    let large = Secret::new("large", &"#\n".repeat(600_000));
    let output = server().args(["--auth", "token", "--token-file", large.path()]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("more than 1048576 bytes"));
}

#[test]
fn what_is_weak_is_a_warning_at_the_start() {
    let weak = Secret::new("weak", "x");
    let mut server = start(&["--auth", "jwt", "--jwt-secret-file", weak.path()]);
    line_with(&mut server, "the secret is shorter than 32 bytes");
    std::fs::set_permissions(&weak.0, std::os::unix::fs::PermissionsExt::from_mode(0o604)).unwrap();
    let mut server = start(&["--auth", "jwt", "--jwt-secret-file", weak.path()]);
    line_with(&mut server, "all users of this machine can read or write it");
    let args = ["--listen", "0.0.0.0:0", "--auth", "jwt", "--jwt-secret-file", weak.path()];
    line_with(&mut Child::spawn(crate::harness::server().args(args)), "tokens come in the clear on ws://0.0.0.0:");
}

#[test]
fn the_log_says_why_somebody_was_not_let_in() {
    let tokens = Secret::new("why", "ann:hush-hush\n");
    let mut server = start(&["--auth", "token", "--token-file", tokens.path()]);
    let address = server.address();
    assert_eq!(answer(&mut ask(address, "/", "")).0, 401);
    let line = line_with(&mut server, "refused ");
    assert!(
        line.contains("reason=unauthorized status=401 detail=\"a valid token is required: there is none\""),
        "{line}"
    );
    assert_eq!(answer(&mut ask(address, "/", "Authorization: Basic aHVzaC1odXNo\r\n")).0, 401);
    let line = line_with(&mut server, "refused ");
    assert!(line.contains("Bearer") && !line.contains("aHVzaC"), "{line}");
    let mut page = ask(address, "/", &format!("Authorization: Bearer hush-hush2\r\n{PAGE}"));
    assert_eq!(answer(&mut page).0, 101);
    let line = line_with(&mut server, "turned out ");
    assert!(line.contains("nobody has it") && !line.contains("hush"), "{line}");
}

#[test]
fn whoever_is_not_known_yet_may_say_no_more_than_a_hello() {
    let tokens = Secret::new("short", "ann:a-1\n");
    let mut server = start(&["--auth", "token", "--token-file", tokens.path()]);
    let address = server.address();
    let announced = "Sec-WebSocket-Protocol: frameloop.v1\r\n";
    let long = format!(r#"{{"type":"chat","msg":"{}"}}"#, "x".repeat(70_000));
    let mut unknown = ask(address, "/", announced);
    assert_eq!(answer(&mut unknown).0, 101);
    unknown.send_text(&long);
    assert_eq!(unknown.read_frame().close_code(), Some(1009));
    let mut known = ask(address, "/", announced);
    assert_eq!(answer(&mut known).0, 101);
    known.send_text(r#"{"type":"hello","v":1,"token":"a-1"}"#);
    assert!(known.read_text().contains(r#""type":"welcome""#));
    known.send_text(&long);
    known.send_text(r#"{"type":"ping"}"#);
    assert!(known.read_text().contains(r#""type":"pong""#), "now it may");
}

#[test]
fn without_files_to_read_again_sighup_is_a_stop() {
    let mut server = start(&[]);
    let address = server.address();
    let mut raw = Raw::open(address);
    server.signal("HUP");
    assert_eq!(raw.read_frame().close_code(), Some(1001));
    raw.send_close(1001);
    drop(raw);
    assert!(server.wait().success());
}

#[test]
fn sighup_reads_the_list_again_and_a_broken_one_changes_nothing() {
    let tokens = Secret::new("reload", "ann:a-1\nbob:b-1\n");
    let mut server = start(&["--auth", "token", "--token-file", tokens.path()]);
    let address = server.address();
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let mut ann = ask(address, "/", &bearer("a-1"));
    let mut bob = ask(address, "/", &bearer("b-1"));
    assert_eq!((answer(&mut ann).0, answer(&mut bob).0), (101, 101));
    tokens.write("this is no list\n");
    server.signal("HUP");
    let problem = line_with(&mut server, "kept who may come in");
    assert!(problem.contains("line 1"), "{problem}");
    ann.send_text(r#"{"type":"chat","msg":"still here"}"#);
    assert!(bob.read_text().contains("still here"));
    tokens.write("ann:a-1\ncid:c-1\n");
    server.signal("HUP");
    line_with(&mut server, "read who may come in again");
    assert_eq!(bob.read_frame().close_code(), Some(4001), "he is no longer in the list");
    assert_eq!(answer(&mut ask(address, "/", &bearer("b-1"))).0, 401);
    let mut cid = ask(address, "/", &bearer("c-1"));
    assert_eq!(answer(&mut cid).0, 101);
    ann.send_text(r#"{"type":"chat","msg":"and still"}"#);
    assert!(cid.read_text().contains("and still"), "whoever is in it goes on");
}

/// The next line of the log that holds this.
fn line_with(server: &mut Child, text: &str) -> String {
    loop {
        let line = server.stderr.next();
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn a_signed_token_is_good_until_it_is_over_and_never_if_it_was_changed() {
    // Signed with HS256 and this secret; `sub` is ann and there is no `exp`. Made with openssl:
    // printf '%s' "$head.$claims" | openssl dgst -sha256 -hmac "$secret" -binary | basenc --base64url
    const SECRET: &str = "a secret of thirty-two bytes, yes\n";
    const HEAD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    const CLAIMS: &str = "eyJzdWIiOiJhbm4iLCJhdWQiOiJjaGF0In0";
    const SIGNATURE: &str = "Obh_abrVLx_woVvaD1DfDGyeBdCwDNLP_9zr15v7S5Y";
    const NO_ALGORITHM: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    const PAST: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJhdWQiOiJjaGF0IiwiZXhwIjoxNzM0MTkwM\
        DAwfQ.YGAdx1Z_VzlNmNHXdV8wnBIM_BiESla0ntXN4Q_Nen8";
    const OF_ANOTHER_KEY: &str = "CFrVfyGUgeFW97mg2pbdC-kMwsONuCkoT_jEebVu3nA";
    const OTHER_CLAIMS: &str = "eyJzdWIiOiJib2IiLCJhdWQiOiJjaGF0In0";
    let secret = Secret::new("secret", SECRET);
    let more = ["--jwt-aud", "chat", "--auth-cookie", "sid", "--auth-query"];
    let mut server = start(&[&["--auth", "jwt", "--jwt-secret-file", secret.path()][..], &more].concat());
    let address = server.address();
    let good = format!("{HEAD}.{CLAIMS}.{SIGNATURE}");
    for (what, token, status) in [
        ("good", good.clone(), 101),
        ("another user", format!("{HEAD}.{OTHER_CLAIMS}.{SIGNATURE}"), 401),
        ("another algorithm", format!("{NO_ALGORITHM}.{CLAIMS}.{SIGNATURE}"), 401),
        ("no algorithm", format!("{NO_ALGORITHM}.{CLAIMS}."), 401),
        ("no signature", format!("{HEAD}.{CLAIMS}."), 401),
        ("another key", format!("{HEAD}.{CLAIMS}.{OF_ANOTHER_KEY}"), 401),
        ("a part of it", good[..good.len() - 1].to_owned(), 401),
        ("over", PAST.to_owned(), 401),
        ("nonsense", "abc".to_owned(), 401),
    ] {
        let (error, close) = if what == "over" { ("token_expired", 4200) } else { ("unauthorized", 4001) };
        for (way, target, lines) in ways(&token) {
            let (expected, of_page) = if way == "cookie" { (101, "") } else { (status, PAGE) };
            assert_eq!(answer(&mut ask(address, &target, &lines)).0, expected, "{what} {way}");
            let mut raw = ask(address, &target, &format!("{lines}{of_page}"));
            assert_eq!(answer(&mut raw).0, 101, "{what} {way}, from a page");
            if status != 101 {
                assert!(raw.read_text().contains(&format!("\"code\":\"{error}\"")), "{what} {way}");
                assert_eq!(raw.read_frame().close_code(), Some(close), "{what} {way}");
            }
        }
        let mut raw = ask(address, "/", "Sec-WebSocket-Protocol: frameloop.v1\r\n");
        assert_eq!(answer(&mut raw).0, 101, "it may still say who it is");
        raw.send_text(&format!(r#"{{"type":"hello","v":1,"token":"{token}","rooms":{{}}}}"#));
        let said = if status == 101 { r#""user":"ann""#.to_owned() } else { format!("\"code\":\"{error}\"") };
        assert!(raw.read_text().contains(&said), "{what} in hello");
    }
    server.stop();
    let log = server.stderr.rest().join("\n");
    assert!(!log.contains(SIGNATURE) && !log.contains(CLAIMS) && !log.contains("thirty-two"), "{log}");
}

#[test]
fn a_rate_and_a_number_of_connections_of_a_user_hold() {
    let tokens = Secret::new("limits", "ann:a-1\n");
    let mut server = start(&["--auth", "token", "--token-file", tokens.path(), "--max-per-user", "1", "--rate", "1"]);
    let address = server.address();
    let bearer = "Authorization: Bearer a-1\r\n";
    let mut first = ask(address, "/", bearer);
    assert_eq!(answer(&mut first).0, 101);
    let (status, head) = answer(&mut ask(address, "/", bearer));
    assert_eq!(status, 429, "{head}");
    let mut page = ask(address, "/", &format!("{bearer}{PAGE}"));
    assert_eq!(answer(&mut page).0, 101);
    assert!(page.read_text().contains(r#""code":"busy""#));
    assert_eq!(page.read_frame().close_code(), Some(4103));
    for _ in 0..10 {
        first.send_text(r#"{"type":"chat","msg":"x"}"#);
    }
    assert!(
        first.read_text().contains(r#""code":"rate_limited","message":"the rate is 1 a second","retry_after_ms":"#)
    );
    assert!(first.read_text().contains("rate_limited"));
    assert_eq!(first.read_frame().close_code(), Some(4100));
    drop(first);
    let again = crate::harness::wait_until("the place is free", || {
        let mut raw = ask(address, "/", bearer);
        (answer(&mut raw).0 == 101).then_some(raw)
    });
    drop(again);
    server.stop();
}
