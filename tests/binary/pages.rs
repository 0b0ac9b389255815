//! What a browser gets from the binary: the demo page, a folder, or nothing.

use std::fs;
use std::net::SocketAddr;

use crate::harness::start;
use crate::raw::Raw;
use crate::wire::server_response;

/// The status, the head and the body of the answer to a GET.
fn get(address: SocketAddr, path: &str) -> (u16, String, Vec<u8>) {
    let mut raw = Raw::connect(address);
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let response = raw.read_to_end().unwrap();
    let (status, body) = server_response(&response);
    let head = String::from_utf8(response[..response.len() - body.len()].to_vec()).unwrap();
    (status, head, body.to_vec())
}

#[test]
fn without_flags_there_is_a_page_with_its_files() {
    let mut server = start(&[]);
    let address = server.address();
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/?room=tea", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/demo.js", "text/javascript; charset=utf-8"),
        ("/frameloop.js", "text/javascript; charset=utf-8"),
    ] {
        let (status, head, body) = get(address, path);
        assert_eq!(status, 200, "{path}: {head}");
        assert!(
            head.contains(&format!("\r\nContent-Type: {media_type}\r\nX-Content-Type-Options: nosniff\r\n")),
            "{head}"
        );
        assert!(!body.is_empty());
        let is_page = path != "/frameloop.js";
        assert_eq!(head.contains("\r\nContent-Security-Policy: default-src 'none'; script-src 'self';"), is_page);
    }
    assert_eq!(get(address, "/favicon.ico").0, 404);
    Raw::open(address); // any path opens a WebSocket, this one as well
    server.stop();
}

#[test]
fn each_answer_is_one_line_of_the_log() {
    let mut server = start(&[]);
    let address = server.address();
    let (_, _, body) = get(address, "/demo.js");
    get(address, "/nothing\"here");
    for expected in [
        format!(" target=\"/demo.js\" status=200 bytes={}", body.len()),
        " target=\"/nothing\\\"here\" status=404 bytes=0".to_owned(),
    ] {
        let line = server.stderr.next();
        assert!(line.contains(" answered id=") && line.ends_with(&expected), "{line}");
    }
    server.stop();
    let rest = server.stderr.rest();
    assert!(!rest.iter().any(|line| line.contains(" id=1 ") || line.contains(" id=2 ")), "{rest:?}");
}

#[test]
fn without_the_demo_the_client_is_all_there_is() {
    let mut server = start(&["--no-demo"]);
    let address = server.address();
    assert_eq!(get(address, "/").0, 426);
    assert_eq!(get(address, "/demo.js").0, 404);
    assert_eq!(get(address, "/frameloop.js").0, 200);
    server.stop();
    let mut echo = start(&["echo"]);
    let address = echo.address();
    for path in ["/", "/frameloop.js"] {
        assert_eq!(get(address, path).0, 426, "an echo has no documents");
    }
    echo.stop();
}

#[test]
fn a_folder_takes_the_place_of_the_demo() {
    let folder = std::env::temp_dir().join(format!("frameloop-static-{}", std::process::id()));
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("index.html"), "<p>mine").unwrap();
    fs::write(folder.join("sub/a b.css"), "a{}").unwrap();
    let mut server = start(&["--static", folder.to_str().unwrap()]);
    let address = server.address();
    let (status, head, body) = get(address, "/");
    assert_eq!((status, body.as_slice()), (200, &b"<p>mine"[..]), "{head}");
    assert!(head.contains("nosniff") && head.contains("frame-ancestors 'none'"), "{head}");
    assert_eq!(get(address, "/sub/a%20b.css").2, b"a{}");
    assert_eq!(get(address, "/frameloop.js").0, 200, "the client is there, unless the folder has one");
    for path in ["/demo.js", "/../Cargo.toml", "/%2e%2e/%2e%2e/etc/passwd", "/sub", "/sub/"] {
        let expected = if path == "/sub" { 301 } else { 404 };
        assert_eq!(get(address, path).0, expected, "{path}");
    }
    fs::write(folder.join("frameloop.js"), "mine").unwrap();
    assert_eq!(get(address, "/frameloop.js").2, b"mine");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(get(address, "/").0, 404, "what is gone is not there");
    server.stop();
}
