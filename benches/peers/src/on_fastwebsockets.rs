//! fastwebsockets behind hyper on a runtime of one thread, after the examples `echo_server` and `echo_server_split` of
//! its repository. The room writes through a buffer that is flushed once nothing more is there.

use std::io;

use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::BufWriter;
use tokio::net::TcpListener;

use super::room::Room;
use super::{ADDRESS, announce};

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
                let service = service_fn(move |request| open(request, room.clone()));
                // A connection that failed is over, as one that closed.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    })
}

async fn open(
    mut request: Request<Incoming>,
    room: Option<Room<Bytes>>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(async move {
        let _ = match room {
            Some(room) => tokio::task::unconstrained(chat(upgraded, room)).await,
            None => tokio::task::unconstrained(echo(upgraded)).await,
        };
    });
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn chat(upgraded: UpgradeFut, room: Room<Bytes>) -> Result<(), WebSocketError> {
    let (read, mut write) = upgraded.await?.split(|stream| {
        let (read, write) = tokio::io::split(stream);
        (read, BufWriter::new(write))
    });
    let mut read = FragmentCollectorRead::new(read);
    let (number, mut heard) = room.join();
    tokio::spawn(async move {
        while let Some(text) = heard.recv().await {
            write.write_frame(Frame::text(Payload::Borrowed(&text))).await?;
            while let Ok(text) = heard.try_recv() {
                write.write_frame(Frame::text(Payload::Borrowed(&text))).await?;
            }
            write.flush().await?;
        }
        write.write_frame(Frame::close(1000, b"")).await?;
        write.flush().await
    });
    // The load sends no pings, and a Close frame is answered above.
    let mut ignore = |_| async { Ok::<(), WebSocketError>(()) };
    while let Ok(frame) = read.read_frame(&mut ignore).await {
        match frame.opcode {
            OpCode::Close => break,
            OpCode::Text => room.say(number, &Bytes::copy_from_slice(&frame.payload)),
            _ => {}
        }
    }
    room.leave(number);
    Ok(())
}
