//! tokio-tungstenite on a runtime of one thread. What is sent is fed, and flushed once nothing more is there.

use std::io;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::room::Room;
use super::{ADDRESS, READ_BUFFER_BYTES, announce};

/// Serves until it is killed.
pub(crate) fn serve(is_room: bool) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind(ADDRESS).await?;
        announce(listener.local_addr()?);
        let everyone = Room::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let room = is_room.then(|| everyone.clone());
            tokio::spawn(async move {
                let Ok(socket) = accept(stream).await else { return };
                // A connection that failed is over, as one that closed.
                let _ = match room {
                    Some(room) => chat(socket, room).await,
                    None => echo(socket).await,
                };
            });
        }
    })
}

async fn accept(stream: TcpStream) -> Result<WebSocketStream<TcpStream>, Error> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    accept_async_with_config(stream, Some(config)).await
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    loop {
        let next = match socket.next().now_or_never() {
            Some(next) => next,
            None => {
                socket.flush().await?;
                socket.next().await
            }
        };
        let Some(message) = next else { return Ok(()) };
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.feed(message).await?;
        }
    }
}

async fn chat(socket: WebSocketStream<TcpStream>, room: Room<Message>) -> Result<(), Error> {
    let (mut sink, mut stream) = socket.split();
    let (number, mut heard) = room.join();
    tokio::spawn(async move {
        while let Some(message) = heard.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = heard.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        Ok::<(), Error>(())
    });
    while let Some(Ok(message)) = stream.next().await {
        if message.is_text() {
            room.say(number, &message);
        }
    }
    room.leave(number);
    Ok(())
}
