//! tungstenite driven by mio: one thread, one event loop. What is sent is written, and flushed once all that was read
//! in a turn of its peer is answered.

use std::io::{self, ErrorKind};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::server::{NoCallback, ServerHandshake};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, HandshakeError, Message, WebSocket, accept_with_config};

use super::{ADDRESS, READ_BUFFER_BYTES, announce};

type Shaking = MidHandshake<ServerHandshake<TcpStream, NoCallback>>;

enum Peer {
    Shaking(Shaking),
    Open(WebSocket<TcpStream>),
}

/// Peers by their token, and places that are free.
#[derive(Default)]
struct Peers {
    slots: Vec<Option<Peer>>,
    free: Vec<usize>,
}

/// Serves until it is killed.
pub(crate) fn serve(is_room: bool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(ADDRESS.parse().expect("it is an address"))?;
    announce(listener.local_addr()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut peers = Peers::default();
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                peers.accept(&listener, &poll)?;
            } else {
                peers.turn(event.token().0, is_room);
            }
        }
    }
}

impl Peers {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
            self.put(index, after(accept_with_config(stream, Some(config))));
        }
    }

    /// All that a peer has to say.
    fn turn(&mut self, index: usize, is_room: bool) {
        let peer = match self.slots[index].take() {
            None => return,
            Some(Peer::Shaking(handshake)) => after(handshake.handshake()),
            open => open,
        };
        let Some(Peer::Open(mut socket)) = peer else { return self.put(index, peer) };
        let mut said = Vec::new();
        let is_open = loop {
            match socket.read() {
                Ok(message) if is_room && message.is_text() => said.push(message),
                Ok(message) if !is_room && (message.is_text() || message.is_binary()) => {
                    if !is_fine(socket.write(message)) {
                        break false;
                    }
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
        };
        let is_open = is_fine(socket.flush()) && is_open;
        if !said.is_empty() {
            self.say(&said); // the speaker is not in its place
        }
        self.put(index, is_open.then_some(Peer::Open(socket)));
    }

    fn say(&mut self, messages: &[Message]) {
        for slot in &mut self.slots {
            let Some(Peer::Open(socket)) = slot else { continue };
            // Where it fails, the event of that peer ends it.
            let is_written = messages.iter().all(|message| is_fine(socket.write(message.clone())));
            let _ = is_written && is_fine(socket.flush());
        }
    }

    fn put(&mut self, index: usize, peer: Option<Peer>) {
        if peer.is_none() {
            self.free.push(index);
        }
        self.slots[index] = peer;
    }
}

/// What a peer is after a step of its opening handshake; `None` if that failed.
fn after(step: Result<WebSocket<TcpStream>, HandshakeError<ServerHandshake<TcpStream, NoCallback>>>) -> Option<Peer> {
    match step {
        Ok(socket) => Some(Peer::Open(socket)),
        Err(HandshakeError::Interrupted(handshake)) => Some(Peer::Shaking(handshake)),
        Err(HandshakeError::Failure(_)) => None,
    }
}

/// What the socket does not take now waits in tungstenite's buffer for the next event.
fn is_fine(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(Error::Io(error)) => error.kind() == ErrorKind::WouldBlock,
        Err(_) => false,
    }
}

const LISTENER: Token = Token(usize::MAX);
