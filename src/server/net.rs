//! What the loop needs of the world: a way to wait, listeners, transports and a clock.
//!
//! The turn is written against these two small traits, so that the same code runs on sockets ([`super::tcp`]) and in a
//! simulation. As type parameters they cost nothing at run time.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::proxy_header::ProxyHeader;

/// The network and the clock.
pub trait Net {
    /// A connection's transport.
    type Transport: Transport;

    /// Waits until something is ready or the timeout is over, and appends what is ready. Edge-triggered: what was
    /// reported is not reported again until more arrives. An interrupted wait is a wait that found nothing.
    ///
    /// # Errors
    /// Only what the loop cannot live with.
    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()>;

    /// The time.
    fn now(&mut self) -> Instant;

    /// Takes the next connection of a listener.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; others do not end the server.
    fn accept(&mut self, listener: usize) -> io::Result<(Self::Transport, SocketAddr)>;

    /// Whether only this machine itself can reach a listener.
    fn is_loopback(&self, listener: usize) -> bool {
        let _ = listener;
        false
    }

    /// When descriptors have run out: takes the next connection with the one in reserve, lets `refuse` tell the peer,
    /// drops the connection and keeps the descriptor in reserve again.
    ///
    /// # Errors
    /// As [`accept`](Net::accept).
    fn refuse_next(&mut self, listener: usize, refuse: impl FnOnce(Self::Transport)) -> io::Result<SocketAddr>;

    /// Reports readiness of the transport from now on, as [`Ready::Peer`] with this key.
    ///
    /// # Errors
    /// If the system refuses.
    fn register(&mut self, transport: &mut Self::Transport, key: usize) -> io::Result<()>;

    /// How often the server was asked to stop since the last call.
    fn stop_requests(&mut self) -> usize;

    /// Closes all listeners.
    fn stop_listening(&mut self);

    /// Reads again what may have changed, such as a certificate.
    fn reload(&mut self) {}
}

/// A byte stream that never blocks.
pub trait Transport {
    /// Reads what is there; 0 is the end of file.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; all others end the connection.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes what fits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; all others end the connection.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Writes what fits of several slices, in one call.
    ///
    /// # Errors
    /// As [`write`](Transport::write).
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes what fits of the last bytes: [`shutdown_write`](Transport::shutdown_write) follows in the same turn, so that
    /// both can leave in one packet.
    ///
    /// # Errors
    /// As [`write`](Transport::write).
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    /// Takes the header in which a proxy says for whom it speaks, before anything else is read: it stands below all that a
    /// transport does with its bytes.
    ///
    /// # Errors
    /// `WouldBlock` while it is not whole, `InvalidData` if it is none, and those of [`read`](Transport::read).
    fn take_proxy_header(&mut self) -> io::Result<ProxyHeader> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells the peer that nothing more will come.
    ///
    /// # Errors
    /// If the connection is gone already.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Writes what fits of what the transport has to say by itself. Called whenever it may take bytes again.
    ///
    /// # Errors
    /// If the connection is gone already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether a write can reach the peer: not while the transport has a handshake of its own.
    fn is_connected(&self) -> bool {
        true
    }

    /// Whether nobody on the way can read or change what it carries.
    fn is_secure(&self) -> bool {
        false
    }

    /// What a transport knows to be behind the bytes of its last read.
    fn behind(&self) -> Behind {
        Behind::Nothing
    }
}

/// What is behind a read that was shorter than its buffer, beyond what [`Ready`] says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Nothing: the next bytes are reported.
    Nothing,
    /// More bytes, but they cost so much that others come first.
    More,
    /// The end, or an error. It is not reported again.
    End,
}

/// Something that became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Connections wait at this listener.
    Listener(usize),
    /// Somebody asked the server to stop.
    Stop,
    /// Somebody asked it to read its files again.
    Reload,
    /// A transport that was registered with this key.
    Peer {
        /// The key.
        key: usize,
        /// Bytes or the end of file may be there.
        is_readable: bool,
        /// The peer has ended its side: a short read is not the last one.
        is_read_closed: bool,
        /// The transport may take bytes again.
        is_writable: bool,
    },
}
