//! What the clients of these tests speak below WebSocket: TLS, by turns of version 1.2 and 1.3.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use frameloop::server::TlsFiles;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use socket2::SockRef;

use crate::files::{FIRST, client_config};
use crate::harness::DEADLINE;

/// A TLS connection with the methods of a `TcpStream`: one thread may write while another reads.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    socket: Arc<TcpStream>,
    session: Arc<Mutex<ClientConnection>>,
    /// Ciphertext on its way from the session to the socket. Locked before the session: it must arrive in its order.
    unsent: Arc<Mutex<Vec<u8>>>,
    /// What was read, and rustls has no room for. Only one of the clones reads.
    unread: Vec<u8>,
    /// The opening handshake of TLS goes on by itself, so that a test may be the server meanwhile.
    handshake: Arc<Mutex<Option<JoinHandle<io::Result<()>>>>>,
}

/// Begins TLS, by turns of both versions.
pub(crate) fn begin(socket: TcpStream) -> Stream {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let versions: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    let version = versions[COUNT.fetch_add(1, Ordering::Relaxed) % 2];
    begin_with(socket, client_config(&[version]))
}

pub(crate) fn begin_with(socket: TcpStream, config: Arc<ClientConfig>) -> Stream {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let (socket, session) = (Arc::new(socket), Arc::new(Mutex::new(session)));
    let stream = Stream { socket, session, unsent: Arc::default(), unread: Vec::new(), handshake: Arc::default() };
    let mut begun = Stream { handshake: Arc::default(), ..stream.clone() };
    let handshake = thread::spawn(move || {
        begun.send()?;
        while begun.session().is_handshaking() {
            begun.receive()?;
            begun.send()?; // with what was written meanwhile
        }
        Ok(())
    });
    *stream.handshake.lock().unwrap() = Some(handshake);
    stream
}

pub(crate) fn files() -> Option<TlsFiles> {
    Some(FIRST.files())
}

impl Stream {
    /// Waits for the end of the handshake.
    pub(crate) fn connected(&self) -> io::Result<MutexGuard<'_, ClientConnection>> {
        if let Some(handshake) = self.handshake.lock().unwrap().take() {
            handshake.join().unwrap()?;
        }
        Ok(self.session())
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn session(&self) -> MutexGuard<'_, ClientConnection> {
        self.session.lock().unwrap()
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        drop(self.connected()); // whose timeout is another; if it failed the next read tells
        self.socket.set_read_timeout(timeout)
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(timeout)
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_nodelay(nodelay)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Stream> {
        Ok(self.clone())
    }

    /// The end of our side is told by `close_notify` only: the socket goes on.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        assert_eq!(how, Shutdown::Write);
        self.connected()?.send_close_notify();
        self.send()
    }

    /// Gives ciphertext to the socket until it takes no more in its time.
    fn send(&self) -> io::Result<()> {
        self.send_of(self.unsent.lock().unwrap(), 0)
    }

    fn send_of(&self, mut unsent: MutexGuard<'_, Vec<u8>>, flags: i32) -> io::Result<()> {
        let mut session = self.session();
        while session.wants_write() {
            session.write_tls(&mut *unsent)?;
        }
        drop(session);
        while !unsent.is_empty() {
            let count = SockRef::from(&*self.socket).send_with_flags(&unsent, MSG_NOSIGNAL | flags)?;
            unsent.drain(..count);
        }
        Ok(())
    }

    /// Takes ciphertext from the socket, and what it means.
    fn receive(&mut self) -> io::Result<()> {
        if self.unread.is_empty() {
            self.unread.resize(READ_BYTES, 0);
            let result = (&*self.socket).read(&mut self.unread);
            self.unread.truncate(*result.as_ref().unwrap_or(&0));
            if result? == 0 && self.session().is_handshaking() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut session = self.session.lock().unwrap();
        let count = session.read_tls(&mut &self.unread[..])?;
        self.unread.drain(..count);
        session.process_new_packets().map_err(io::Error::other)?;
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connected()?.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            // What the last write left; but nobody waits for it here. If it is gone the read tells.
            let _ = self.unsent.try_lock().map(|unsent| self.send_of(unsent, MSG_DONTWAIT));
            self.receive()?;
        }
    }
}

impl Write for Stream {
    /// `WouldBlock` if the socket takes nothing of what was written before.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > BYTES_BEFORE_HANDSHAKE {
            drop(self.connected()?);
        }
        self.send()?;
        let count = self.session().writer().write(bytes)?;
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const MSG_DONTWAIT: i32 = 0x40;
const MSG_NOSIGNAL: i32 = 0x4000;

const READ_BYTES: usize = 16 * 1024;

/// So few may be written before the handshake is over; rustls keeps them.
const BYTES_BEFORE_HANDSHAKE: usize = 1024;

/// Clients over the maximum that are told so: as many as the server keeps for that. The others see TLS end in its handshake.
pub(crate) const REFUSED_AT_ONCE: usize = 32;
