//! TLS over any transport, at the server's side, by rustls (RFC 8446; RFC 5246 for version 1.2).
//!
//! The loop knows readiness only by edges, so a read goes on until the buffer is full or the socket is drained, and what
//! rustls holds is never left behind without a sign. A write goes on until all is taken or the socket is full. Its last byte
//! counts as taken only when all ciphertext is on the socket: before that the loop would take an end for reached.
//!
//! Bounds of one connection: one record that was not read whole (18 KiB, in the handshake 64 KiB), the plaintext of two
//! records (32 KiB) that a reader with a small buffer left, and one record that the socket has not taken (16 KiB).
//! An idle connection has about 8 KiB. rustls bounds what makes no plaintext: empty records, warnings, key updates, and
//! renegotiation, which it never does.

mod certificate;

use std::io::{self, ErrorKind, IoSlice, Read as _};

use rustls::ServerConnection;

pub use self::certificate::Acceptor;
use super::net::{Behind, Transport};

/// The server's side of TLS over a transport.
#[derive(Debug)]
pub struct Tls<T> {
    socket: T,
    session: ServerConnection,
    /// The last byte of the last write: rustls has it, but the writer was not told, since the socket was full.
    owed: Option<u8>,
    ending: Ending,
    behind: Behind,
    /// An error that was found behind bytes, for the next read.
    error: Option<io::Error>,
    has_first_byte: bool,
}

/// How far the end of our side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// `close_notify` waits for the socket.
    Begun,
    Done,
}

impl<T: Transport> Tls<T> {
    fn new(socket: T, mut session: ServerConnection) -> Tls<T> {
        session.set_buffer_limit(Some(RECORD_BYTES_MAX));
        let (owed, ending, behind) = (None, Ending::No, Behind::Nothing);
        Tls { socket, session, owed, ending, behind, error: None, has_first_byte: false }
    }

    /// The transport below.
    pub fn socket_mut(&mut self) -> &mut T {
        &mut self.socket
    }

    /// Reads from the socket once, and gives rustls what came. Returns how many bytes.
    fn receive(&mut self) -> io::Result<usize> {
        let mut wire = Wire { socket: &mut self.socket, first: None };
        let count = self.session.read_tls(&mut wire)?;
        if let Some(first) = wire.first
            && !self.has_first_byte
        {
            self.has_first_byte = true;
            // RFC 8446 §5.1: a handshake begins with the byte 22; a request begins with the name of a method.
            if first.is_ascii_uppercase() {
                let _ = self.socket.write(PLAIN_HTTP_RESPONSE);
                return Err(self.fail("the client speaks plain HTTP, and this port TLS".into()));
            }
        }
        if count > 0
            && let Err(error) = self.session.process_new_packets()
        {
            let _ = self.send(); // the alert; what the peer does not take is lost with the connection
            return Err(self.fail(error.into()));
        }
        self.send()?;
        Ok(count)
    }

    /// An error for the loop, which drops the connection. With bytes unread the system would reset it, and the peer might
    /// not see what it was told.
    fn fail(&mut self, error: Box<dyn std::error::Error + Send + Sync>) -> io::Error {
        let mut discarded = [0; 4096];
        for _ in 0..READS_TO_DISCARD_MAX {
            if !matches!(self.socket.read(&mut discarded), Ok(1..)) {
                break;
            }
        }
        let _ = self.socket.shutdown_write();
        self.ending = Ending::Done;
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Writes the ciphertext that waits. Returns whether the socket took all of it.
    fn send(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            let mut wire = Wire { socket: &mut self.socket, first: None };
            match self.session.write_tls(&mut wire) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(true)
    }

    /// The end of a read in which `count` bytes came before an end or an error.
    fn end_read(&mut self, count: usize, error: Option<io::Error>) -> io::Result<usize> {
        if count > 0 {
            self.behind = Behind::End;
            self.error = error;
            return Ok(count);
        }
        error.map_or(Ok(0), Err)
    }
}

impl<T: Transport> Transport for Tls<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.ending != Ending::No {
            return self.socket.read(buffer); // only its end is still of interest
        }
        self.behind = Behind::Nothing;
        let (mut count, mut wire_bytes) = (0, 0);
        loop {
            match self.session.reader().read(&mut buffer[count..]) {
                // The Close frame proves a clean end (§7.1.5), so it does not matter whether close_notify came.
                Ok(0) => return self.end_read(count, None),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return self.end_read(count, None),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return self.end_read(count, Some(error)),
                result => count += result.unwrap_or(0),
            }
            if count == buffer.len() {
                return Ok(count);
            }
            // Records may hold a single byte each, and cost as much as full ones.
            if count > 0 && wire_bytes > buffer.len() + WIRE_BYTES_BESIDE {
                self.behind = Behind::More;
                return Ok(count);
            }
            match self.receive() {
                Ok(received) => wire_bytes += received,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && count > 0 => return Ok(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    // What was in order before it is not lost.
                    count += self.session.reader().read(&mut buffer[count..]).unwrap_or(0);
                    return self.end_read(count, Some(error));
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // After an error nothing may follow the alert; the next read tells of it.
        if !self.is_connected() || self.ending != Ending::No || !self.send()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let owed = self.owed.take();
        let mut taken = usize::from(owed.is_some());
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut skipped = taken;
        for slices in slices.chunks(SLICES_PER_RECORD) {
            let mut left = [IoSlice::new(&[]); SLICES_PER_RECORD];
            left[..slices.len()].copy_from_slice(slices);
            let mut left = &mut left[..slices.len()];
            if let Some(owed) = owed
                && skipped > 0
            {
                assert_eq!(left.first().and_then(|slice| slice.first()), Some(&owed), "what was begun goes on");
                IoSlice::advance_slices(&mut left, 1);
                skipped = 0;
            }
            while !left.is_empty() {
                // All that was before is on the socket, so rustls takes one record.
                let count = io::Write::write_vectored(&mut self.session.writer(), left)?;
                IoSlice::advance_slices(&mut left, count);
                taken += count;
                if self.send()? {
                    continue;
                }
                if taken == total {
                    // Not before the end of all: the loop may put a frame before one that was not begun.
                    self.owed = slices.last().and_then(|slice| slice.last()).copied();
                    taken -= 1;
                }
                return if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) };
            }
        }
        Ok(taken)
    }

    /// `close_notify`, and behind it the end of the socket's side: at once, or in [`flush`](Transport::flush). The loop
    /// does not wait for that where the peer has ended its side: it may drop the connection with `close_notify` unsent.
    fn shutdown_write(&mut self) -> io::Result<()> {
        if self.ending == Ending::No {
            self.session.send_close_notify();
            self.ending = Ending::Begun;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.ending != Ending::Done && self.send()? && self.ending == Ending::Begun {
            self.ending = Ending::Done;
            self.socket.shutdown_write()?;
        }
        Ok(())
    }

    fn is_connected(&self) -> bool {
        !self.session.is_handshaking()
    }

    fn is_secure(&self) -> bool {
        true
    }

    fn behind(&self) -> Behind {
        self.behind
    }
}

/// A transport as rustls wants it.
struct Wire<'s, T> {
    socket: &'s mut T,
    /// The first byte that was read.
    first: Option<u8>,
}

impl<T: Transport> io::Read for Wire<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.first = buffer[..count].first().copied();
        Ok(count)
    }
}

impl<T: Transport> io::Write for Wire<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plaintext of a record (RFC 8446 §5.1), and what rustls encrypts before the socket has taken it.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Slices that become one record.
const SLICES_PER_RECORD: usize = 64;

/// Ciphertext that a read takes beyond the size of its buffer: what is not full records is behind the others.
const WIRE_BYTES_BESIDE: usize = 64 * 1024;

/// After an error: reads of what a peer had sent.
const READS_TO_DISCARD_MAX: usize = 16;

/// The answer to a request that came without TLS.
const PLAIN_HTTP_RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 45\r\n\
    Connection: close\r\n\r\nthis port speaks TLS: use https:// or wss://\n";
