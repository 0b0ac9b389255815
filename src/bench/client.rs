//! A connection's client side: its socket, what it was sent so far, and control frames that wait to be written.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};

use frameloop::protocol::frame::Opcode;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::frames::push_frame;
use super::replies::Replies;

/// An open connection, or one that has ended.
#[derive(Debug, Default)]
pub(crate) struct Client {
    stream: Option<TcpStream>,
    pub(crate) replies: Replies,
    /// What came right behind the response of the handshake.
    pub(crate) early: Vec<u8>,
    pub(crate) out: Out,
}

/// Whole frames that wait to be written, and how much of them was.
#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    written: usize,
}

impl Client {
    pub(crate) fn open(stream: TcpStream, early: Vec<u8>) -> Client {
        Client { stream: Some(stream), early, ..Client::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Ends the connection, with all that it holds.
    pub(crate) fn end(&mut self) {
        *self = Client::default();
    }

    /// Reads once; `None` if there is nothing to read now.
    ///
    /// # Errors
    /// Those of the socket, and its end.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            match stream.read(buffer) {
                Ok(0) => return Err("the server ended the connection".to_owned()),
                Ok(len) => return Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("read: {error}")),
            }
        }
    }

    /// Writes what the socket takes at once.
    ///
    /// # Errors
    /// Those of the socket.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, String> {
        write(&mut self.stream, bytes)
    }

    /// Writes what waits in `out`; whether all of it went.
    ///
    /// # Errors
    /// Those of the socket.
    #[inline]
    pub(crate) fn flush(&mut self) -> Result<bool, String> {
        while self.out.written < self.out.bytes.len() {
            let written = write(&mut self.stream, &self.out.bytes[self.out.written..])?;
            if written == 0 {
                return Ok(false);
            }
            self.out.written += written;
        }
        self.out.bytes.clear();
        self.out.written = 0;
        Ok(true)
    }
}

impl Out {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Queues a frame behind the others.
    pub(crate) fn push(&mut self, opcode: Opcode, payload: &[u8], masking_key: [u8; 4]) {
        push_frame(&mut self.bytes, opcode, payload, masking_key);
    }

    /// §5.5.2: answers a Ping. Where the server takes nothing, no more than [`PONG_BYTES_MAX`] wait.
    pub(crate) fn pong(&mut self, payload: &[u8], masking_key: [u8; 4]) {
        if self.len() < PONG_BYTES_MAX {
            self.push(Opcode::Pong, payload, masking_key);
        }
    }
}

#[inline]
fn write(stream: &mut Option<TcpStream>, bytes: &[u8]) -> Result<usize, String> {
    let Some(stream) = stream else { return Ok(0) };
    loop {
        match stream.write(bytes) {
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("write: {error}")),
        }
    }
}

/// Begins to connect.
///
/// # Errors
/// Those of the socket; most mistakes show later.
pub(crate) fn connect(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let stream = match source {
        None => TcpStream::connect(target)?,
        Some(source) => connect_from(source, target)?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connect_from(source: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
const PONG_BYTES_MAX: usize = 64 * 1024;
