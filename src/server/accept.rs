//! Taking connections, and telling those for which there is no room.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::app::App;
use super::net::{Net, Transport};
use super::peer::Client;
use super::{HANDSHAKE, Server, journal};
use crate::protocol::handshake::encode_rejection;
use crate::protocol::limits::HEAD_BYTES_MAX;
use crate::protocol::{Connection, HandshakeError, State};

impl<A: App, N: Net> Server<A, N> {
    /// Takes the connections that wait at the listeners, as many as a turn may.
    pub(super) fn accept(&mut self, now: Instant) {
        if self.accept_again_at.is_some_and(|at| now < at) {
            return;
        }
        self.accept_again_at = None;
        for _ in 0..ACCEPTS_PER_TURN.min(self.handshakes_max) {
            let Some(&listener) = self.accepting.last() else { return };
            let result = match self.net.accept(listener) {
                Ok((transport, address)) => {
                    self.add_peer(transport, address, listener, now);
                    Ok(())
                }
                // The next peer is told that there is no room, rather than left to wait.
                Err(cause) if is_shortage(&cause) => {
                    let error = HandshakeError::Overloaded;
                    let refused = self.net.refuse_next(listener, |transport| turn_away(transport, error));
                    refused.map(|address| journal::turned_away(address, error, &cause))
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.accepting.pop()),
                // The peer was gone before it was accepted; the next one is not.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => {
                    // The listener reports nothing new while somebody waits: look again in a moment.
                    log::debug!("cannot accept: {error}; trying again in {} ms", ACCEPT_AGAIN_AFTER.as_millis());
                    self.accept_again_at = Some(now + ACCEPT_AGAIN_AFTER);
                    return;
                }
            }
        }
        if !self.accepting.is_empty() {
            self.accepting.rotate_right(1); // another listener comes first next time
        }
    }

    fn add_peer(&mut self, mut transport: N::Transport, address: SocketAddr, listener: usize, now: Instant) {
        if self.admission.is_stranger(address.ip()) {
            journal::dropped_stranger(address);
            return;
        }
        let refusal = self.refusal_of_arrival(address, now);
        if let Some(error) = refusal.filter(|_| self.refused >= REFUSALS_MAX) {
            turn_away(transport, error);
            journal::turned_away(address, error, &error);
            return;
        }
        if let Err(cause) = self.net.register(&mut transport, self.peers.next_key()) {
            turn_away(transport, HandshakeError::Overloaded);
            journal::turned_away(address, HandshakeError::Overloaded, &cause);
            return;
        }
        let mut connection = Connection::new(self.commons.clone(), now);
        let client = match refusal {
            Some(error) => {
                connection.reject(error, now);
                self.refused += 1;
                Client::Known
            }
            None => self.admission.arrive(address.ip(), now),
        };
        let key = self.peers.next_key();
        let peer = self.peers.insert(transport, connection, address);
        (peer.is_refused, peer.client) = (refusal.is_some(), client);
        // An address of all interfaces is reached over loopback too, and then by the pages of a browser here.
        peer.is_on_loopback = self.net.is_loopback(listener) || address.ip().to_canonical().is_loopback();
        log::debug!("accepted id={} addr={address}", peer.serial);
        self.peers.mark_dirty(key);
        self.arm(key);
    }

    /// Why one more connection from this address cannot come in. Only one that can makes others give way to it.
    fn refusal_of_arrival(&mut self, address: SocketAddr, now: Instant) -> Option<HandshakeError> {
        if let Err(error) = self.admission.check_arrival(address.ip(), now) {
            return Some(error);
        }
        self.cut_oldest_handshake(now);
        let is_full = self.peers.len() - self.refused >= self.connections_max;
        is_full.then_some(HandshakeError::Overloaded)
    }

    /// Makes room for one more opening handshake: where as many go on as may, the oldest ends as if its time were over.
    fn cut_oldest_handshake(&mut self, now: Instant) {
        if self.timers.len(HANDSHAKE) < self.handshakes_max {
            return;
        }
        let Some(key) = self.timers.pop_oldest(HANDSHAKE) else { return };
        self.look(key, now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.connection.state() == State::Connecting {
            peer.connection.reject(HandshakeError::Timeout, now);
            peer.flush(now);
            // Its place is free at once: it does not keep it until it has taken the answer.
            peer.connection.abort(now);
            self.refused += usize::from(!peer.is_refused);
            peer.is_refused = true;
        }
        self.peers.mark_dirty(key);
    }
}

/// Connections whose opening handshake is not complete: a quarter of all that there may be.
pub(super) fn handshakes_max(connections_max: usize) -> usize {
    (connections_max / 4).max(HANDSHAKES_MIN)
}

/// Whether the process or the system has no descriptor or memory for another connection. Other errors are about the
/// connection that was to be accepted, or about the network.
fn is_shortage(error: &io::Error) -> bool {
    error.kind() == ErrorKind::OutOfMemory || matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
}

/// Tells a peer for which there is no room, as far as that goes without keeping it.
fn turn_away(mut transport: impl Transport, error: HandshakeError) {
    // With unread bytes on our side the transport would be reset, and the response lost.
    let _ = transport.read(&mut [0; HEAD_BYTES_MAX]);
    let _ = transport.write(&encode_rejection(&error));
    let _ = transport.shutdown_write();
}

/// Connections accepted in a turn; then those that are there get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// The fewest handshakes that may go on at a time. A turn accepts no more than may go on, so that nobody is cut before
/// its request could be read.
const HANDSHAKES_MIN: usize = 16;

/// Peers over the limit that are kept for the moment that it takes to tell them.
const REFUSALS_MAX: usize = 32;

/// When accept fails and nobody can be refused: the time to the next attempt.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

// The numbers of these errors, which have no kind of their own in the standard library.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shortage_turns_the_next_connection_away() {
        for errno in [ENFILE, EMFILE, ENOBUFS, 12] {
            assert!(is_shortage(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        // EPERM (a firewall), EAGAIN, EPROTO, ECONNABORTED, EHOSTUNREACH: the next one has nothing to do with them.
        for errno in [1, 11, 71, 103, 113] {
            assert!(!is_shortage(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }
}
