//! `openssl s_client`: a client that shares no code with the server's TLS.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use frameloop::protocol::Limits;

use crate::client::Client;
use crate::files::FIRST;
use crate::harness::{DEADLINE, Running};
use crate::wire::{BINARY, FIN, REQUEST_HEAD, client_frame, server_frames, server_response};

/// It is killed when its handle goes.
struct OpenSsl(Child);

impl OpenSsl {
    fn start(address: SocketAddr, flags: &[&str]) -> OpenSsl {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address.to_string(), "-servername", "localhost"]);
        command.arg("-CAfile").arg(FIRST.files().certificate).args(["-verify_return_error"]).args(flags);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        OpenSsl(command.spawn().expect("openssl is there"))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Waits for its end, and returns what it printed.
    fn output(mut self) -> String {
        let (stdout, mut stderr) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let stdout = collect(stdout);
        let (done, errors) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            let _ = done.send(bytes);
        });
        let mut text = Vec::new();
        while let Ok(bytes) = stdout.recv_timeout(DEADLINE) {
            text.extend(bytes);
        }
        text.extend(errors.recv_timeout(DEADLINE).expect("it ends"));
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What comes out of a pipe, in pieces, up to its end.
fn collect(mut pipe: ChildStdout) -> Receiver<Vec<u8>> {
    let (pieces, received) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 64 * 1024];
        while let Ok(count @ 1..) = pipe.read(&mut bytes) {
            let _ = pieces.send(bytes[..count].to_vec());
        }
    });
    received
}

#[test]
fn it_opens_speaks_and_closes_with_both_versions() {
    let server = Running::echo(Limits::default());
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = OpenSsl::start(server.address(), &["-quiet", version, "-alpn", "http/1.1"]);
        let payload: Vec<u8> = (0..1024 * 1024).map(|i| i as u8).collect();
        let stdout = collect(client.0.stdout.take().unwrap());
        client.write(REQUEST_HEAD);
        let mut received = stdout.recv_timeout(DEADLINE).expect("the response");
        client.write(&client_frame(FIN | BINARY, &payload));
        client.write(&client_frame(FIN | 0x8, &[3, 0xe8]));
        while let Ok(bytes) = stdout.recv_timeout(DEADLINE) {
            received.extend(bytes); // it ends by itself when the server does
        }
        let (status, frames) = server_response(&received);
        assert_eq!(status, 101, "{version}");
        let frames = server_frames(frames);
        assert_eq!(frames.len(), 2, "{version}");
        assert!(frames[0].opcode == BINARY && frames[0].payload == payload, "{version}");
        assert_eq!(frames[1].close_code(), Some(1000), "{version}");
    }
}

#[test]
fn version_1_1_and_h2_are_refused_by_an_alert() {
    let server = Running::echo(Limits::default());
    for (flags, alert) in [
        (&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..], "alert handshake failure"),
        (&["-tls1_2", "-alpn", "h2"], "alert no application protocol"),
        (&["-tls1_3", "-alpn", "h2"], "alert no application protocol"),
    ] {
        let output = OpenSsl::start(server.address(), flags).output();
        assert!(output.contains(alert), "{flags:?}: {output}");
    }
}

#[test]
fn renegotiation_is_refused_and_disturbs_nobody() {
    let server = Running::echo(Limits::default());
    let mut other = Client::open(server.address());
    let mut client = OpenSsl::start(server.address(), &["-tls1_2"]);
    client.write(b"R\n"); // at the begin of a line: a new handshake
    let output = client.output();
    assert!(output.contains("RENEGOTIATING") && output.contains("no renegotiation"), "{output}");
    other.exchange("all is well");
    other.leave();
}
