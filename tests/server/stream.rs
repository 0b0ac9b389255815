//! What the clients of these tests speak below WebSocket: nothing. In `tests/tls` it is TLS.

use std::net::TcpStream;

use frameloop::server::TlsFiles;

pub(crate) type Stream = TcpStream;

/// Begins to speak it.
pub(crate) fn begin(socket: TcpStream) -> Stream {
    socket
}

/// What the server needs for it.
pub(crate) fn files() -> Option<TlsFiles> {
    None
}

/// Clients over the maximum, all of which are told so.
pub(crate) const REFUSED_AT_ONCE: usize = 100;
