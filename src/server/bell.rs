//! What rings from other threads and from signal handlers: a pipe that the poll looks at.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pipe;

use mio::net::UnixStream;
use mio::{Interest, Poll, Token};

/// Both ends of the pipe. Each byte is one ring.
#[derive(Debug)]
pub(super) struct Bell {
    inside: UnixStream,
    outside: Pipe,
}

impl Bell {
    /// A bell whose rings the poll reports with this token.
    pub(super) fn new(poll: &Poll, token: Token) -> io::Result<Bell> {
        let (outside, inside) = Pipe::pair()?;
        inside.set_nonblocking(true)?;
        outside.set_nonblocking(true)?;
        let mut inside = UnixStream::from_std(inside);
        poll.registry().register(&mut inside, token, Interest::READABLE)?;
        Ok(Bell { inside, outside })
    }

    /// How often it rang since the last call; of many rings some may be left for the next one.
    pub(super) fn rings(&mut self) -> usize {
        self.inside.read(&mut [0; 16]).unwrap_or(0)
    }

    pub(super) fn stopper(&self) -> io::Result<Stopper> {
        self.outside.try_clone().map(|stream| Stopper { stream })
    }

    pub(super) fn reloader(&self) -> io::Result<Reloader> {
        self.outside.try_clone().map(|stream| Reloader { stream })
    }
}

/// Stops a server from another thread or a signal handler.
#[derive(Debug)]
pub struct Stopper {
    stream: Pipe,
}

impl Stopper {
    /// Asks the server to stop: it takes no more connections, closes those it has with 1001, and returns when they are
    /// gone or the close timeout is over. A second time, it returns at once.
    pub fn stop(&self) {
        // It fails only when the server is gone, or was asked many times already.
        let _ = (&self.stream).write(&[0]);
    }
}

impl From<Stopper> for OwnedFd {
    /// The descriptor to write a byte to, for a signal handler.
    fn from(stopper: Stopper) -> OwnedFd {
        stopper.stream.into()
    }
}

/// Lets a server read its files again, from another thread or a signal handler.
#[derive(Debug)]
pub struct Reloader {
    stream: Pipe,
}

impl Reloader {
    /// Asks the server to read its certificate again, and the application what it has
    /// ([`App::on_reload`](super::App::on_reload)).
    pub fn reload(&self) {
        // It fails only when the server is gone, or was asked many times already.
        let _ = (&self.stream).write(&[0]);
    }
}

impl From<Reloader> for OwnedFd {
    /// The descriptor to write a byte to, for a signal handler.
    fn from(reloader: Reloader) -> OwnedFd {
        reloader.stream.into()
    }
}
