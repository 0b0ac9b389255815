//! A client's connection: frames out and in, without ever waiting, and ways to lose it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use crate::wire::{self, FIN, REQUEST_HEAD, ServerFrame, client_frame, server_frames, server_response};

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    /// The opening handshake is over.
    is_open: bool,
    /// A Close was sent, and its answer is to come.
    is_closing: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// What comes on a line.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The opening handshake is over.
    Opened,
    Text(String),
    /// The answer to our Close.
    Closed,
}

impl Line {
    /// Begins to connect, and asks for a session's subprotocol.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Line> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let offer = b"Sec-WebSocket-Protocol: frameloop.v1\r\n\r\n";
        let outbox = [&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offer].concat();
        Ok(Line { stream, is_open: false, is_closing: false, inbox: Vec::new(), outbox })
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.outbox.extend(client_frame(FIN | wire::TEXT, text.as_bytes()));
    }

    /// Says a text up to a byte of its frame: the line must be lost then.
    pub(crate) fn begin_to_say(&mut self, text: &str, share: f64) {
        let frame = client_frame(FIN | wire::TEXT, text.as_bytes());
        self.outbox.extend(&frame[..(frame.len() as f64 * share) as usize]);
    }

    /// Begins the closing handshake, with 1000.
    pub(crate) fn say_close(&mut self) {
        self.is_closing = true;
        self.outbox.extend(client_frame(FIN | wire::CLOSE, &wire::close_payload(1000, "")));
    }

    /// Writes as much as the system takes.
    ///
    /// # Errors
    /// If the connection is no more.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("the line broke when written to: {error}")),
            }
        }
        Ok(())
    }

    /// Reads all that is there.
    ///
    /// # Errors
    /// If the server ended the connection, without having been asked to.
    pub(crate) fn hear(&mut self) -> Result<Vec<Heard>, String> {
        let mut bytes = [0; 64 * 1024];
        let mut heard = Vec::new();
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    // A Close may have been the last that was read: its words say more than this end does.
                    self.take_frames(&mut heard)?;
                    let is_closed = heard.iter().any(|heard| matches!(heard, Heard::Closed));
                    return if is_closed { Ok(heard) } else { Err("the server ended the connection".to_owned()) };
                }
                Ok(count) => self.inbox.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("the line broke when read from: {error}")),
            }
        }
        self.take_frames(&mut heard)?;
        Ok(heard)
    }

    fn take_frames(&mut self, heard: &mut Vec<Heard>) -> Result<(), String> {
        if !self.is_open {
            let Some(end) = self.inbox.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(()) };
            let head = String::from_utf8_lossy(&self.inbox[..end + 4]).into_owned();
            if server_response(&self.inbox).0 != 101 || !head.contains("\r\nSec-WebSocket-Protocol: frameloop.v1\r\n") {
                return Err(format!("the server answered {head:?}"));
            }
            self.inbox.drain(..end + 4);
            self.is_open = true;
            heard.push(Heard::Opened);
        }
        let mut start = 0;
        while let Some(length) = whole_frame(&self.inbox[start..]) {
            let frame = server_frames(&self.inbox[start..start + length]).remove(0);
            start += length;
            self.take_frame(frame, heard)?;
        }
        self.inbox.drain(..start);
        Ok(())
    }

    fn take_frame(&mut self, frame: ServerFrame, heard: &mut Vec<Heard>) -> Result<(), String> {
        match frame.opcode {
            wire::TEXT => heard.push(Heard::Text(String::from_utf8(frame.payload).map_err(|error| error.to_string())?)),
            wire::PING => self.outbox.extend(client_frame(FIN | wire::PONG, &frame.payload)),
            wire::CLOSE if self.is_closing && frame.close_code() == Some(1000) => heard.push(Heard::Closed),
            wire::CLOSE => {
                let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default()).into_owned();
                return Err(format!("the server closed the connection: {:?} {reason}", frame.close_code()));
            }
            opcode => return Err(format!("a frame with opcode {opcode:#x}")),
        }
        Ok(())
    }

    /// Ends the connection at once: with no time to linger the system resets it.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The length of the frame at the front (§5.2), if all of it is there.
fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let (header_length, payload_length) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        length => (2, usize::from(length)),
    };
    let length = header_length + payload_length;
    (bytes.len() >= length).then_some(length)
}
