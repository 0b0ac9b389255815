//! Servers with faults, on tungstenite: what they do wrong is known exactly.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

/// A server for which each connection has a thread with this function, which ends when the client is gone.
pub(crate) fn serve(connection: impl Fn(WebSocket<TcpStream>) + Send + Clone + 'static) -> SocketAddr {
    serve_streams(move |stream| {
        if let Ok(socket) = tungstenite::accept(stream) {
            connection(socket);
        }
    })
}

/// The same with the opening handshake left to the function.
pub(crate) fn serve_streams(connection: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = connection.clone();
            thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                connection(stream);
            });
        }
    });
    address
}

/// An echo server that answers the messages of a connection by a function of their number and content.
pub(crate) fn echo(
    answer: impl Fn(&mut WebSocket<TcpStream>, usize, Message) -> tungstenite::Result<()> + Send + Clone + 'static,
) -> SocketAddr {
    serve(move |mut socket| {
        for number in 0.. {
            match socket.read() {
                Ok(message @ (Message::Binary(_) | Message::Text(_))) => {
                    if answer(&mut socket, number, message).is_err() {
                        return;
                    }
                }
                Ok(_) => {} // the answer to a Close goes out with the next read
                Err(_) => return,
            }
        }
    })
}

/// What the victim hears of a message, by its number. What it is to hear later can be kept.
pub(crate) type Fault = fn(usize, Message, &mut Vec<Message>) -> Vec<Message>;

/// A chat server for one sender, in which one member, the victim, hears what a function makes of each message; all
/// others hear all.
pub(crate) fn chat(fault: Fault) -> SocketAddr {
    let (events, happened) = mpsc::channel();
    let next = Arc::new(AtomicUsize::new(0));
    let address = serve_streams(move |stream| {
        let member = next.fetch_add(1, Ordering::Relaxed);
        // Whoever was told that it is open is a member.
        let writer = WebSocket::from_raw_socket(stream.try_clone().unwrap(), Role::Server, None);
        let _ = events.send((member, Event::Joined(Box::new(writer))));
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message @ Message::Text(_)) = socket.read() {
            let _ = events.send((member, Event::Said(message)));
        }
    });
    thread::spawn(move || relay(&happened, fault));
    address
}

enum Event {
    Joined(Box<WebSocket<TcpStream>>),
    Said(Message),
}

fn relay(events: &Receiver<(usize, Event)>, fault: Fault) {
    let (mut members, mut kept, mut number) = (BTreeMap::new(), Vec::new(), 0);
    for (sender, event) in events {
        let message = match event {
            Event::Joined(writer) => {
                members.insert(sender, writer);
                continue;
            }
            Event::Said(message) => message,
        };
        let victim = members.keys().copied().find(|&member| member != sender);
        for (&member, writer) in members.iter_mut().filter(|(member, _)| **member != sender) {
            let heard = match Some(member) == victim {
                true => fault(number, message.clone(), &mut kept),
                false => vec![message.clone()],
            };
            for message in heard {
                let _ = writer.send(message); // to one who is gone
            }
        }
        number += 1;
    }
}
