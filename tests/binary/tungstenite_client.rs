//! tungstenite as a client.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::harness::PATIENCE;

pub(crate) type Client = WebSocket<Stream>;

/// Opens a connection. Each of its reads ends in time.
pub(crate) fn connect(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (client, response) = tungstenite::client(format!("ws://{address}/"), Stream(stream)).unwrap();
    assert_eq!(response.status(), 101);
    client
}

/// The next message, which is a text.
pub(crate) fn next_text(client: &mut Client) -> String {
    match client.read().unwrap() {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

/// The server closes the connection: the code and reason of its Close, which is answered, and then the end.
pub(crate) fn read_close(client: &mut Client) -> (CloseCode, String) {
    let close = match client.read().unwrap() {
        Message::Close(Some(close)) => close,
        other => panic!("{other:?} is no Close with a code"),
    };
    let end = client.read();
    assert!(matches!(end, Err(Error::ConnectionClosed)), "{end:?}");
    (close.code, close.reason.to_string())
}

/// The client closes the connection, and nothing but the answer to it comes.
pub(crate) fn close(mut client: Client) {
    client.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).unwrap();
    assert_eq!(read_close(&mut client).0, CloseCode::Normal);
}

/// A socket whose reads go on after a signal: the end of another test's child process interrupts those that have a
/// timeout, and tungstenite would take that for the end of the connection.
#[derive(Debug)]
pub(crate) struct Stream(TcpStream);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        end(&self.0);
    }
}

/// Ends a connection now. To close the socket is not enough: a process that is being started at this moment inherits
/// it until its program runs, and holds it open.
pub(crate) fn end(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
