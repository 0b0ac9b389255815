//! Flags, their mistakes, and what the server says of where it listens.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use crate::harness::{Child, free_port, has_ipv6, server, start, wait_until};
use crate::tungstenite_client::{close, connect, next_text};

/// Runs a command that ends by itself: its exit code, and the lines of its standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, Vec<String>, Vec<String>) {
    let mut child = Child::spawn(command);
    let code = child.wait().code();
    (code, child.stdout.rest(), child.stderr.rest())
}

/// A command line that must fail: its exit code, and the one line that says why.
fn fail<A: AsRef<OsStr>>(args: &[A]) -> (Option<i32>, String) {
    let (code, stdout, mut stderr) = run(server().args(args));
    let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
    assert!(stdout.is_empty(), "{args:?}: {stdout:?}");
    assert_eq!(stderr.len(), 1, "{args:?}: exactly one line, not {stderr:?}");
    (code, stderr.remove(0))
}

#[test]
fn help_and_version_go_to_standard_output_and_are_a_success() {
    for flag in ["--help", "-h"] {
        let (code, stdout, stderr) = run(server().arg(flag));
        assert_eq!((code, stderr.len()), (Some(0), 0), "{flag}: {stderr:?}");
        let text = stdout.join("\n");
        assert!(["Usage: frameloop", "--listen", "serve", "echo"].iter().all(|part| text.contains(part)), "{text}");
    }
    for flag in ["--version", "-V"] {
        let (code, stdout, stderr) = run(server().arg(flag));
        assert_eq!((code, stderr.len()), (Some(0), 0), "{flag}: {stderr:?}");
        assert_eq!(stdout, [concat!("frameloop ", env!("CARGO_PKG_VERSION"))]);
    }
}

#[test]
fn a_wrong_flag_or_value_is_one_line_that_names_it_and_exit_code_2() {
    let cases: [(&[&str], &[&str]); 26] = [
        (&["--nope"], &["--nope", "--help"]),
        (&["--listen-on", "x"], &["--listen-on"]),
        (&["-x"], &["-x"]),
        (&["chat"], &["'chat'", "serve or echo"]),
        (&["serve", "echo"], &["echo"]),
        (&["echo", "--", "--help"], &["--help"]),
        (&["--listen"], &["--listen"]),
        (&["--listen", "localhost"], &["--listen", "'localhost'", "HOST:PORT"]),
        (&["--listen="], &["--listen", "HOST:PORT"]),
        (&["--listen", "127.0.0.1:65536"], &["--listen", "65536"]),
        (&["--ping-interval", "30"], &["--ping-interval", "'30'"]),
        (&["--ping-interval", "0ms"], &["--ping-interval", "'0ms'"]),
        (&["--ping-misses", "0"], &["--ping-misses", "'0'"]),
        (&["--ping-misses", "256"], &["--ping-misses", "'256'"]),
        (&["--handshake-timeout", "ten"], &["--handshake-timeout", "'ten'"]),
        (&["--close-timeout", "1.5s"], &["--close-timeout", "'1.5s'"]),
        (&["--slow-timeout", "-1s"], &["--slow-timeout", "'-1s'"]),
        (&["--slow-timeout"], &["--slow-timeout"]),
        (&["--max-message", "1MB"], &["--max-message", "'1MB'"]),
        (&["--max-message", "0"], &["--max-message", "'0'"]),
        (&["--max-queue", "1KiB"], &["--max-queue", "--max-message"]),
        (&["--max-queue", "many"], &["--max-queue", "'many'"]),
        (&["--max-connections", "0"], &["--max-connections", "'0'"]),
        (&["--max-connections", "4294967296"], &["--max-connections", "'4294967296'"]),
        (&["--log-level", "loud"], &["--log-level", "'loud'"]),
        (&["--log-level", "INFO"], &["--log-level", "'INFO'"]),
    ];
    for (args, names) in cases {
        let (code, line) = fail(args);
        assert_eq!(code, Some(2), "{args:?}: {line}");
        assert!(line.starts_with("frameloop: ") && names.iter().all(|name| line.contains(name)), "{args:?}: {line}");
    }
}

#[test]
fn arguments_that_are_no_unicode_are_refused_as_others_are() {
    let bytes = OsStr::from_bytes(b"\xff:80");
    for (args, name) in [(&[bytes][..], "serve or echo"), (&[OsStr::new("--listen"), bytes], ":80")] {
        let (code, line) = fail(args);
        assert_eq!(code, Some(2), "{args:?}: {line}");
        assert!(line.contains(name), "{args:?}: {line}");
    }
}

#[test]
fn a_folder_that_is_none_is_one_line_that_names_it_and_exit_code_1() {
    for folder in ["/nowhere at all", "/dev/null"] {
        let (code, line) = fail(&["--static", folder]);
        assert_eq!(code, Some(1), "{line}");
        assert!(line.contains("--static") && line.contains(&format!("'{folder}'")), "{line}");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = format!("127.0.0.1:{}", free_port());
    let cases: [(&[&str], &[&str]); 6] = [
        (&["--listen", &taken], &[&taken, "in use"]),
        (&["--listen", "127.0.0.1:0", "--listen", &taken], &[&taken, "in use"]),
        (&["--listen", &free, "--listen", &free], &[&free, "in use"]),
        // RFC 5737: no machine has this address.
        (&["--listen", "192.0.2.1:0"], &["192.0.2.1:0", "no address of this machine"]),
        // RFC 6761 §6.4: this name never resolves. The other is none that could be asked for.
        (&["--listen", "no-such-host.invalid:80"], &["no-such-host.invalid:80"]),
        (&["--listen", "a..b:80"], &["a..b:80"]),
    ];
    for (args, names) in cases {
        let (code, line) = fail(args);
        assert_eq!(code, Some(1), "{args:?}: {line}");
        assert!(line.starts_with("frameloop: ") && names.iter().all(|name| line.contains(name)), "{args:?}: {line}");
    }
}

#[test]
fn port_0_is_a_free_port_that_the_server_names() {
    let mut server = start(&[]);
    let address = server.address();
    assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    let (mut one, mut other) = (connect(address), connect(address));
    one.send("{\"type\":\"chat\"}".into()).unwrap();
    assert_eq!(next_text(&mut other), "{\"type\":\"chat\"}");
    close(one);
    close(other);
    server.stop();
    assert_eq!(server.stdout.rest(), [""; 0], "one line for one address");
}

#[test]
fn localhost_is_both_loopback_addresses_on_one_port() {
    let mut server = Child::spawn(server().args(["--listen", "localhost:0"]));
    let first = server.address();
    let mut addresses = vec![first];
    if has_ipv6() {
        let stdout = server.stdout.next_within(std::time::Duration::from_secs(5));
        let line = stdout.unwrap_or_else(|| panic!("this machine has ::1, but the server listens on {first} only"));
        assert_eq!(line, format!("listening on ws://[::1]:{}/", first.port()));
        addresses.push(format!("[::1]:{}", first.port()).parse().unwrap());
    }
    assert_eq!(first.ip().to_string(), "127.0.0.1");
    let mut listener = connect(first);
    for address in addresses {
        let mut client = connect(address);
        client.send("{\"type\":\"chat\"}".into()).unwrap();
        assert_eq!(next_text(&mut listener), "{\"type\":\"chat\"}", "{address}");
        close(client);
    }
}

#[test]
fn listen_repeated_is_one_line_each_and_one_room_for_all() {
    let flags = ["--listen", "127.0.0.1:0", "--listen=127.0.0.1:0", "--listen", "127.0.0.2:0"];
    let mut server = Child::spawn(server().args(flags));
    let addresses = [server.address(), server.address(), server.address()];
    assert_ne!(addresses[0].port(), addresses[1].port());
    assert_eq!(addresses[2].ip().to_string(), "127.0.0.2");
    let mut listener = connect(addresses[0]);
    for address in addresses {
        let mut client = connect(address);
        client.send(format!("{{\"type\":\"chat\",\"from\":\"{address}\"}}").into()).unwrap();
        assert!(next_text(&mut listener).contains(&address.to_string()));
        close(client);
    }
    close(listener);
    server.stop();
    assert_eq!(server.stdout.rest(), [""; 0], "one line for each address");
}

#[test]
fn a_standard_output_that_takes_nothing_does_not_matter() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for stdout in [Stdio::piped(), full()] {
        let mut child = Child::spawn_with_stdout(server().arg("--help"), stdout);
        assert_eq!(child.wait().code(), Some(0));
        assert_eq!(child.stderr.rest(), [""; 0]);
    }
    for stdout in [Stdio::piped(), full()] {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut child = Child::spawn_with_stdout(server().args(["--listen", &address.to_string()]), stdout);
        wait_until("the server listens", || TcpStream::connect(address).ok());
        let (mut one, mut other) = (connect(address), connect(address));
        one.send("{\"type\":\"chat\"}".into()).unwrap();
        assert_eq!(next_text(&mut other), "{\"type\":\"chat\"}");
        close(one);
        close(other);
        child.stop();
    }
}
