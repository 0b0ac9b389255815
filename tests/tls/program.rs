//! The real program: its flags and their mistakes, its log, and certificates that change while it runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::version::TLS13;

use crate::client::Client;
use crate::files::{FIRST, Pair, SECOND, client_config};
use crate::process::{Child, server, wait_until};
use crate::stream::begin_with;

/// A folder with a certificate and its key, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(pair: Pair) -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("frameloop-tls-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0).unwrap();
        folder.put(pair);
        folder
    }

    /// Puts other files in their place, as those do who renew certificates: each at once.
    fn put(&self, pair: Pair) {
        let files = pair.files();
        self.write("key.pem", &fs::read(files.key).unwrap());
        self.write("cert.pem", &fs::read(files.certificate).unwrap());
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path("new"), bytes).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The program with this certificate and these flags besides.
    fn start(&self, flags: &[&str]) -> Child {
        Child::spawn(server().args(flags).args(self.flags()))
    }

    fn flags(&self) -> [PathBuf; 4] {
        ["--tls-cert".into(), self.path("cert.pem"), "--tls-key".into(), self.path("key.pem")]
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The next address that the program says it listens on.
fn address(child: &mut Child, scheme: &str) -> SocketAddr {
    let line = child.stdout.next();
    let address = line.strip_prefix(&format!("listening on {scheme}://")).and_then(|rest| rest.strip_suffix('/'));
    address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

fn open(address: SocketAddr) -> Client {
    let socket = TcpStream::connect(address).unwrap();
    Client::of_stream(begin_with(socket, client_config(&[&TLS13]))).upgrade()
}

fn certificate_of(client: &Client, pair: Pair) -> bool {
    client.stream.connected().unwrap().peer_certificates() == Some(&[pair.certificate()][..])
}

/// The next line of the log with these words.
fn log_line(child: &mut Child, words: &str) -> String {
    loop {
        let line = child.stderr.next();
        if line.contains(words) {
            return line;
        }
    }
}

#[test]
fn plain_and_tls_listen_side_by_side_and_are_one_room() {
    let folder = Folder::new(FIRST);
    let listen = ["ws://127.0.0.1:0", "127.0.0.1:0", "wss://127.0.0.1:0/"];
    let flags: Vec<&str> = listen.iter().flat_map(|name| ["--listen", name]).collect();
    let mut child = folder.start(&flags);
    let plain = address(&mut child, "ws");
    let secure = [address(&mut child, "wss"), address(&mut child, "wss")];
    let mut one = open(secure[0]);
    let mut other = open(secure[1]);
    let (mut third, _) = tungstenite::client(format!("ws://{plain}/"), TcpStream::connect(plain).unwrap()).unwrap();
    third.send("{\"type\":\"chat\",\"msg\":\"hi\"}".into()).unwrap();
    assert_eq!(one.text(), "{\"type\":\"chat\",\"msg\":\"hi\"}");
    assert_eq!(other.text(), "{\"type\":\"chat\",\"msg\":\"hi\"}");
    one.send_text("{\"type\":\"chat\",\"n\":1}");
    assert_eq!(third.read().unwrap().into_text().unwrap(), "{\"type\":\"chat\",\"n\":1}");
    child.signal("TERM");
    assert_eq!(one.close_frame(), (1001, "shutdown".to_owned()));
    assert_eq!(child.stdout.next_within(std::time::Duration::ZERO), None, "one line for each address");
}

#[test]
fn files_that_cannot_be_used_are_one_line_that_names_the_file_and_exit_code_1() {
    let folder = Folder::new(FIRST);
    let fail = |names: &[&Path], words: &str| {
        let mut child = folder.start(&["--listen", "127.0.0.1:0"]);
        assert_eq!(child.wait().code(), Some(1), "{words}");
        let lines = child.stderr.rest();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let names = names.iter().all(|name| lines[0].contains(&name.display().to_string()));
        assert!(lines[0].starts_with("frameloop: ") && names && lines[0].contains(words), "{}", lines[0]);
    };
    let (certificate, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    folder.write("key.pem", &fs::read(SECOND.files().key).unwrap());
    fail(&[&key, &certificate], "it is not the key of the certificate");
    folder.write("key.pem", b"no key");
    fail(&[&key], "no private key in it");
    folder.write("key.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    fail(&[&key], "key");
    fs::remove_file(&key).unwrap();
    fail(&[&key], "No such file");
    folder.put(FIRST);
    folder.write("cert.pem", &fs::read(FIRST.files().key).unwrap());
    fail(&[&certificate], "no certificate in it");
    folder.write("cert.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    fail(&[&certificate], "certificate");
    folder.write("cert.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n");
    fail(&[&certificate], "it is cut off, or no PEM");
    fs::remove_file(&certificate).unwrap();
    fs::create_dir(&certificate).unwrap();
    fail(&[&certificate], "it is no regular file");
    fs::remove_dir(&certificate).unwrap();
    folder.write("cert.pem", &too_long());
    fail(&[&certificate], "it is longer than 1 MiB");
    folder.put(FIRST);
    fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
    fail(&[&key], "it is no regular file");
}

/// A good certificate, and a comment behind it that makes it a byte too long.
fn too_long() -> Vec<u8> {
    let mut content = fs::read(FIRST.files().certificate).unwrap();
    content.resize(1024 * 1024 + 1, b'#');
    content
}

#[test]
fn a_pipe_in_place_of_a_file_stops_nobody_and_what_is_just_short_enough_is_taken() {
    let folder = Folder::new(FIRST);
    folder.write("cert.pem", &too_long()[..1024 * 1024]);
    let mut child = folder.start(&["echo", "--listen", "127.0.0.1:0"]);
    let address = address(&mut child, "wss");
    let mut stays = open(address);
    for name in ["cert.pem", "key.pem"] {
        folder.put(SECOND);
        fs::remove_file(folder.path(name)).unwrap();
        // Nobody will ever write to it.
        assert!(Command::new("mkfifo").arg(folder.path(name)).status().unwrap().success());
        child.signal("HUP");
        let line = log_line(&mut child, "keeping the certificate of before");
        assert!(line.starts_with("WARN") && line.contains(&format!("{name}: it is no regular file")), "{line}");
        stays.exchange("still there");
        let client = open(address);
        assert!(certificate_of(&client, FIRST));
        client.leave();
    }
    stays.leave();
    child.stop();
}

#[test]
fn flags_that_do_not_fit_are_one_line_and_exit_code_2() {
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--tls-cert", "x"], &["--tls-cert", "--tls-key"]),
        (&["--tls-key", "x"], &["--tls-key", "--tls-cert"]),
        (&["--tls-key"], &["--tls-key", "file"]),
        (&["echo", "--listen", "wss://127.0.0.1:0"], &["'wss://127.0.0.1:0'", "--tls-cert and --tls-key"]),
        (&["--listen", "https://127.0.0.1:0"], &["--listen", "'https://127.0.0.1:0'"]),
    ];
    for (flags, names) in cases {
        let mut child = Child::spawn(server().args(flags));
        assert_eq!(child.wait().code(), Some(2), "{flags:?}");
        let lines = child.stderr.rest();
        assert!(lines.len() == 1 && names.iter().all(|name| lines[0].contains(name)), "{flags:?}: {lines:?}");
    }
}

#[test]
fn each_failure_of_tls_has_a_line_with_its_cause_and_what_follows_has_none() {
    let folder = Folder::new(FIRST);
    let mut child = folder.start(&["--listen", "127.0.0.1:0"]);
    let address = address(&mut child, "wss");
    for (bytes, cause) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "the client speaks plain HTTP, and this port TLS"),
        (&[0xff; 100], "corrupt message"),
        (&[22, 3, 1, 0, 4, 1, 0, 0, 0], "corrupt message"),
    ] {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(bytes).unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).unwrap();
        let line = log_line(&mut child, "tls failed");
        let peer = format!(" addr={} ", socket.local_addr().unwrap());
        assert!(line.contains(&peer) && line.contains(" id=") && line.contains(cause), "{line}");
        let end = child.stderr.next();
        assert!(end.contains("refused id=") && end.contains(&peer), "{end}");
    }
    open(address).leave();
    assert!(log_line(&mut child, "opened").contains(" target="));
    assert!(log_line(&mut child, "closed").contains(" reason=closed_by_peer"));
    child.stop();
    let rest = child.stderr.rest();
    assert!(rest.iter().all(|line| !line.contains("tls")), "{rest:?}");
}

#[test]
fn a_signal_replaces_the_certificate_under_traffic_and_a_broken_one_is_not_taken() {
    let folder = Folder::new(FIRST);
    let mut child = folder.start(&["echo", "--listen", "127.0.0.1:0"]);
    let address = address(&mut child, "wss");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic: Vec<_> = (0..4)
            .map(|_| {
                let mut client = open(address);
                assert!(certificate_of(&client, FIRST));
                let is_over = &is_over;
                scope.spawn(move || {
                    let message = "x".repeat(100_000);
                    while !is_over.load(Ordering::Relaxed) {
                        client.exchange(&message);
                    }
                    client.leave();
                })
            })
            .collect();
        folder.write("key.pem", b"broken");
        child.signal("HUP");
        let line = log_line(&mut child, "keeping the certificate of before");
        assert!(line.starts_with("WARN") && line.contains("key.pem: there is no private key in it"), "{line}");
        let client = open(address);
        assert!(certificate_of(&client, FIRST), "it goes on with the one that it has");
        client.leave();

        folder.put(SECOND);
        child.signal("HUP");
        let line = log_line(&mut child, "read the certificate again");
        assert!(line.starts_with("INFO") && line.contains("cert.pem"), "{line}");
        let client = open(address);
        assert!(certificate_of(&client, SECOND));
        client.leave();
        is_over.store(true, Ordering::Relaxed);
        for client in traffic {
            client.join().unwrap();
        }
    });
    child.stop();
}

#[test]
fn files_that_change_are_seen_without_a_signal() {
    let folder = Folder::new(FIRST);
    let mut child = folder.start(&["echo", "--listen", "127.0.0.1:0"]);
    let address = address(&mut child, "wss");
    let mut stays = open(address);
    folder.put(SECOND);
    // They are looked at every 10 s, when somebody comes.
    wait_until("the other certificate is there", || {
        let client = open(address);
        let is_new = certificate_of(&client, SECOND);
        client.leave();
        is_new.then_some(())
    });
    stays.exchange("and who was there is still there");
    stays.leave();
    child.stop();
}
