//! A client on a bare socket: it answers nothing by itself, and its bytes can be counted.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::PATIENCE;
use crate::tungstenite_client::end;
use crate::wire::{self, FIN, REQUEST_HEAD, ServerFrame, client_frame, server_response};

#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// Bytes that this client has sent and received.
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Raw {
    /// Connects, and says nothing.
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Raw { stream, sent: 0, received: 0 }
    }

    /// Connects and opens a WebSocket.
    pub(crate) fn open(address: SocketAddr) -> Raw {
        Raw::open_with(address, REQUEST_HEAD)
    }

    /// Connects and opens a WebSocket with this request.
    pub(crate) fn open_with(address: SocketAddr, request: &[u8]) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(request);
        let head = raw.read_head().unwrap();
        assert_eq!(server_response(&head).0, 101, "{}", String::from_utf8_lossy(&head));
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.sent += bytes.len() as u64;
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&client_frame(FIN | wire::TEXT, text.as_bytes()));
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        self.send(&client_frame(FIN | wire::CLOSE, &wire::close_payload(code, "")));
    }

    /// The head of the response, to its empty line.
    ///
    /// # Errors
    /// If the connection ends before.
    pub(crate) fn read_head(&mut self) -> std::io::Result<Vec<u8>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend_from_slice(&self.read_array::<1>()?);
        }
        Ok(head)
    }

    /// The next frame. Its length is checked by `wire::server_frames`.
    pub(crate) fn read_frame(&mut self) -> ServerFrame {
        let mut bytes = self.read_array::<2>().unwrap().to_vec();
        let length = match bytes[1] {
            126 => {
                bytes.extend_from_slice(&self.read_array::<2>().unwrap());
                usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))
            }
            length => usize::from(length),
        };
        let start = bytes.len();
        bytes.resize(start + length, 0);
        self.stream.read_exact(&mut bytes[start..]).unwrap();
        self.received += length as u64;
        wire::server_frames(&bytes).remove(0)
    }

    /// The next frame, which is a text.
    pub(crate) fn read_text(&mut self) -> String {
        let frame = self.read_frame();
        assert_eq!(frame.opcode, wire::TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// What still comes until the server ends the connection.
    ///
    /// # Errors
    /// If the connection is reset.
    pub(crate) fn read_to_end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        self.received += bytes.len() as u64;
        Ok(bytes)
    }

    /// Listens for this time, in which nothing may come.
    pub(crate) fn hear_nothing(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.peek(&mut [0]) {
                Err(error) if is_no_news(error.kind()) => {}
                other => panic!("{other:?} where silence was expected"),
            }
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// What is said comes back, at once.
    pub(crate) fn check_echo(&mut self, text: &str) {
        self.send_text(text);
        assert_eq!(self.read_text(), text);
    }

    fn read_array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        self.received += N as u64;
        Ok(bytes)
    }
}

/// The time is over, or another test's child process ended, which interrupts a read that has a timeout.
fn is_no_news(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Drop for Raw {
    fn drop(&mut self) {
        end(&self.stream);
    }
}
