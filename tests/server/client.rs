//! A client made of a socket and bytes: it can break every rule, and sees every byte.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use tungstenite::WebSocket;
use tungstenite::protocol::WebSocketConfig;

use crate::harness::DEADLINE;
use crate::stream::{Stream, begin};
use crate::wire::{CLOSE, FIN, PING, REQUEST_HEAD, ServerFrame, TEXT, client_frame, close_payload, server_frames};

/// One end of a TCP connection. Every wait of its has a deadline, after which the test fails.
pub(crate) struct Client {
    pub(crate) stream: Stream,
    /// What came; all before `taken` was looked at.
    received: Vec<u8>,
    taken: usize,
}

impl Client {
    /// A connection that begins with these bytes, below what it speaks.
    pub(crate) fn connect_behind(address: SocketAddr, pieces: &[&[u8]]) -> Client {
        let mut socket = TcpStream::connect_timeout(&address, DEADLINE).expect("the server listens");
        socket.set_nodelay(true).unwrap();
        for piece in pieces {
            socket.write_all(piece).expect("the server takes it");
        }
        Client::over(socket)
    }

    /// A TCP connection, without a byte sent.
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect_timeout(&address, DEADLINE).expect("the server listens"))
    }

    /// The same from another address of this machine.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).expect("all of 127.0.0.0/8 is this machine");
        socket.connect_timeout(&address.into(), DEADLINE).expect("the server listens");
        Client::over(socket.into())
    }

    /// The same with little room for what was sent to it and not yet read, so that the server soon feels it.
    pub(crate) fn connect_with_small_buffers(address: SocketAddr) -> Client {
        Client::connect_with_buffers(address, SMALL_BUFFER_BYTES)
    }

    /// The same with so many bytes of room, instead of as many as the system sees fit.
    pub(crate) fn connect_with_buffers(address: SocketAddr, bytes: usize) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.set_send_buffer_size(bytes).unwrap();
        socket.connect_timeout(&address.into(), DEADLINE).expect("the server listens");
        Client::over(socket.into())
    }

    fn over(socket: TcpStream) -> Client {
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        Client::of_stream(begin(socket))
    }

    pub(crate) fn of_stream(stream: Stream) -> Client {
        Client { stream, received: Vec::new(), taken: 0 }
    }

    /// An open WebSocket connection.
    pub(crate) fn open(address: SocketAddr) -> Client {
        Client::connect(address).upgrade()
    }

    /// The opening handshake.
    pub(crate) fn upgrade(mut self) -> Client {
        self.write(REQUEST_HEAD);
        let head = self.response_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "§1.3: {head}");
        self
    }

    // ---- to the server

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("the server takes it");
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A frame with this first byte.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&client_frame(first, payload));
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(FIN | TEXT, text.as_bytes());
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        self.send(FIN | CLOSE, &close_payload(code, ""));
    }

    /// Nothing more will be sent; what comes can still be read.
    pub(crate) fn shutdown_write(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The connection breaks: the server gets a RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// A second handle to the socket, to write while another thread reads.
    pub(crate) fn writer(&self) -> Stream {
        self.stream.try_clone().unwrap()
    }

    // ---- from the server

    /// Reads once. `Ok(0)` is the end of file; where nothing comes within `patience` it is `WouldBlock`.
    pub(crate) fn fill(&mut self, patience: Duration) -> io::Result<usize> {
        self.received.drain(..std::mem::take(&mut self.taken));
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let len = self.received.len();
        self.received.resize(len + READ_BYTES, 0);
        let result = loop {
            match self.stream.read(&mut self.received[len..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {} // another test's child process ended
                result => break result,
            }
        };
        self.received.truncate(len + *result.as_ref().unwrap_or(&0));
        result
    }

    /// Reads once; whether anything came before the end of file. The end must be an orderly one.
    fn fill_or_end(&mut self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        assert!(!patience.is_zero(), "too little came in time");
        self.fill(patience).expect("bytes or the end of file in time") > 0
    }

    /// What was received and not taken yet.
    fn left(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    /// The head of an HTTP response, with its empty line.
    pub(crate) fn response_head(&mut self) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(position) = self.left().windows(4).position(|end| end == b"\r\n\r\n") {
                let head = String::from_utf8(self.left()[..position + 4].to_vec()).unwrap();
                self.taken += head.len();
                return head;
            }
            assert!(self.fill_or_end(deadline), "the connection ended before the response");
        }
    }

    /// The next frame; `None` at the end of file.
    pub(crate) fn try_frame(&mut self) -> Option<ServerFrame> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(frame_len) = whole_frame_len(self.left()) {
                let frame = server_frames(&self.left()[..frame_len]).pop();
                self.taken += frame_len;
                return frame;
            }
            if !self.fill_or_end(deadline) {
                assert_eq!(self.left(), b"", "the connection ended inside a frame");
                return None;
            }
        }
    }

    pub(crate) fn frame(&mut self) -> ServerFrame {
        self.try_frame().expect("a frame, not the end of the connection")
    }

    /// The frames that are there as a whole, without waiting.
    pub(crate) fn whole_frames(&mut self) -> Vec<ServerFrame> {
        std::iter::from_fn(|| whole_frame_len(self.left()).and_then(|_| self.try_frame())).collect()
    }

    /// All frames up to the end of file.
    pub(crate) fn frames_to_the_end(&mut self) -> Vec<ServerFrame> {
        std::iter::from_fn(|| self.try_frame()).collect()
    }

    /// The next frame that is no ping.
    pub(crate) fn data_frame(&mut self) -> ServerFrame {
        loop {
            let frame = self.frame();
            if frame.opcode != PING {
                return frame;
            }
        }
    }

    /// The next frame, which must be a text.
    pub(crate) fn text(&mut self) -> String {
        let frame = self.frame();
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// The next frame must be a Close frame. Its code and reason.
    pub(crate) fn close_frame(&mut self) -> (u16, String) {
        let frame = self.frame();
        let code = frame.close_code().expect("a close code");
        (code, String::from_utf8(frame.payload[2..].to_vec()).unwrap())
    }

    /// The next thing must be the end of file: an orderly end of the server's side.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.try_frame(), None);
    }

    /// All bytes up to the end of file.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        while self.fill_or_end(deadline) {}
        self.left().to_vec()
    }

    /// Waits until the server has dropped the connection, in whatever way. What comes before is of no interest.
    pub(crate) fn expect_dropped(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "the connection goes on");
            self.taken = self.received.len();
            match self.fill(DEADLINE) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    let kinds = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof]; // of TCP, of TLS
                    return assert!(kinds.contains(&error.kind()), "{error}");
                }
            }
        }
    }

    /// A text and its echo.
    pub(crate) fn exchange(&mut self, text: &str) {
        self.send_text(text);
        assert_eq!(self.text(), text);
    }

    /// The same where the server pings: that is no answer.
    pub(crate) fn exchange_besides_pings(&mut self, text: &str) {
        self.send_text(text);
        assert_eq!(self.data_frame(), ServerFrame::new(TEXT, text.as_bytes()));
    }

    /// The closing handshake (§7.1.2). The frames that came before the answer.
    pub(crate) fn close(mut self) -> Vec<ServerFrame> {
        self.send_close(1000);
        let mut frames = Vec::new();
        loop {
            let frame = self.frame();
            if frame.opcode == CLOSE {
                assert_eq!(frame.close_code(), Some(1000), "§5.5.1: the code is echoed");
                self.expect_end();
                return frames;
            }
            frames.push(frame);
        }
    }

    /// The closing handshake of a client that has got all that was meant for it.
    pub(crate) fn leave(self) {
        assert_eq!(self.close(), Vec::new(), "nothing more was on the way");
    }
}

/// The length of the first frame, once all of it is there (§5.2).
fn whole_frame_len(bytes: &[u8]) -> Option<usize> {
    let length_field = match bytes.get(1)? & 0x7f {
        126 => bytes.get(2..4)?,
        127 => bytes.get(2..10)?,
        _ => &bytes[1..2],
    };
    let payload_len = length_field.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let header_len = 2 + if length_field.len() == 1 { 0 } else { length_field.len() };
    Some(header_len + payload_len).filter(|&len| len <= bytes.len())
}

/// Writes these bytes again and again, until the server has dropped the connection.
pub(crate) fn write_until_dropped(mut stream: Stream, bytes: &[u8]) {
    let deadline = Instant::now() + DEADLINE;
    while stream.write_all(bytes).is_ok() {
        assert!(Instant::now() < deadline, "the server listens forever");
    }
}

/// The client of a library that knows nothing of this server.
pub(crate) fn library_client(address: SocketAddr) -> WebSocket<Stream> {
    let stream = begin(TcpStream::connect_timeout(&address, DEADLINE).expect("the server listens"));
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let url = format!("ws://{address}/");
    tungstenite::client::client_with_config(url, stream, Some(config)).expect("the opening handshake").0
}

const READ_BYTES: usize = 16 * 1024;

const SMALL_BUFFER_BYTES: usize = 16 * 1024;
