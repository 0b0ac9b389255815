//! The transports of the real network: TCP, and with the feature `tls` TLS over it. This file is the seam of the feature.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::time::Instant;

use mio::net::TcpStream;
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;

use super::config::TlsFiles;
use super::net::{Behind, Transport};
use super::proxy_header::{self, ProxyHeader};
#[cfg(feature = "tls")]
use super::tls::Acceptor;
#[cfg(not(feature = "tls"))]
use without::Acceptor;

/// TLS over TCP; boxed, so that plain connections are as small as without it.
#[cfg(feature = "tls")]
type Tls = Box<super::tls::Tls<TcpStream>>;
#[cfg(not(feature = "tls"))]
type Tls = without::Tls;

/// A connection of the real network.
#[derive(Debug)]
pub enum Stream {
    /// Its bytes go over the wire as they are.
    Plain(TcpStream),
    /// Its bytes are encrypted. In a build without the feature `tls` there are none, and it takes no room.
    Tls(Tls),
}

impl Stream {
    /// The socket below.
    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.socket_mut(),
        }
    }
}

#[cfg(feature = "tls")]
impl From<super::tls::Tls<TcpStream>> for Stream {
    fn from(tls: super::tls::Tls<TcpStream>) -> Stream {
        Stream::Tls(Box::new(tls))
    }
}

/// The certificate, if there is one.
#[derive(Debug)]
pub(super) struct Certificate {
    acceptor: Option<Acceptor>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// With the file and what is wrong with it; or that this build has no TLS.
    pub(super) fn load(files: Option<&TlsFiles>) -> io::Result<Certificate> {
        Ok(Certificate { acceptor: files.map(Acceptor::load).transpose()? })
    }

    pub(super) fn is_there(&self) -> bool {
        self.acceptor.is_some()
    }

    /// Begins TLS on a connection.
    pub(super) fn secure(&mut self, socket: TcpStream) -> io::Result<Stream> {
        match &mut self.acceptor {
            Some(acceptor) => {
                acceptor.look(Instant::now());
                acceptor.accept(socket).map(Stream::from)
            }
            None => Ok(Stream::Plain(socket)),
        }
    }

    /// Reads the files again.
    pub(super) fn reload(&mut self) {
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.reload();
        }
    }
}

impl Transport for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => Transport::write_vectored(socket, slices),
            Stream::Tls(tls) => tls.write_vectored(slices),
        }
    }

    #[inline]
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write_last(bytes),
            Stream::Tls(tls) => tls.write_last(bytes),
        }
    }

    fn take_proxy_header(&mut self) -> io::Result<ProxyHeader> {
        proxy_header::take_header(self.socket_mut())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.shutdown_write(),
            Stream::Tls(tls) => tls.shutdown_write(),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.flush(),
        }
    }

    #[inline]
    fn is_connected(&self) -> bool {
        match self {
            Stream::Plain(_) => true,
            Stream::Tls(tls) => tls.is_connected(),
        }
    }

    fn is_secure(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    #[inline]
    fn behind(&self) -> Behind {
        match self {
            Stream::Plain(_) => Behind::Nothing,
            Stream::Tls(tls) => tls.behind(),
        }
    }
}

impl Transport for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self, buffer)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        io::Write::write_vectored(self, slices)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&*self).send_with_flags(bytes, MSG_MORE | MSG_NOSIGNAL)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// "More will follow": the system waits for it with a packet that is not full.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MSG_MORE: i32 = 0x8000;
/// An error, and no signal, where the peer is gone; as the standard library does it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MSG_NOSIGNAL: i32 = 0x4000;

/// In place of `tls.rs` in a build without it: types of which there are no values.
#[cfg(not(feature = "tls"))]
mod without {
    use std::io::{self, IoSlice};
    use std::time::Instant;

    use mio::net::TcpStream;

    use crate::server::TlsFiles;
    use crate::server::net::Transport;

    #[derive(Debug)]
    pub enum Tls {}

    #[derive(Debug)]
    pub(in crate::server) enum Acceptor {}

    impl Acceptor {
        pub(in crate::server) fn load(_: &TlsFiles) -> io::Result<Acceptor> {
            Err(io::Error::other("this build has no TLS; build it with `cargo build --release --features tls`"))
        }

        pub(in crate::server) fn look(&mut self, _: Instant) {}

        pub(in crate::server) fn accept(&self, _: TcpStream) -> io::Result<Tls> {
            match *self {}
        }

        pub(in crate::server) fn reload(&mut self) {}
    }

    impl Tls {
        pub(in crate::server) fn socket_mut(&mut self) -> &mut TcpStream {
            match *self {}
        }
    }

    impl From<Tls> for super::Stream {
        fn from(tls: Tls) -> super::Stream {
            match tls {}
        }
    }

    impl Transport for Tls {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }

        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            match *self {}
        }

        fn write_vectored(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            match *self {}
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            match *self {}
        }
    }

    /// Each connection has one.
    const _: () = assert!(size_of::<super::Stream>() == size_of::<TcpStream>());
}
