//! The streams, and what each must give. They are put together in the files beside this one.

use frameloop::protocol::{HandshakeError, Limits, Message, ProtocolError};

use crate::wire::{BINARY, FIN, PING, REQUEST_HEAD, TEXT, client_frame};

/// All bytes that a client sends, and all that must come of them.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) limits: Limits,
    /// The messages, in their order.
    pub(crate) messages: Vec<Seen>,
    /// The payloads of the pongs, in their order.
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) ending: Ending,
}

/// A message that does not borrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
}

/// Where the stream leaves the connection, and the close code or HTTP status that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// The request head is not complete.
    Connecting,
    Open,
    /// The peer's Close frame was answered with its own code, or with none.
    ClosedByPeer(Option<u16>),
    Failed(ProtocolError, u16),
    Refused(HandshakeError, u16),
}

pub(crate) fn corpus() -> Vec<Stream> {
    let streams = [
        crate::messages::streams(),
        crate::control::streams(),
        crate::violations::streams(),
        crate::handshakes::streams(),
    ];
    streams.into_iter().flatten().collect()
}

impl Seen {
    pub(crate) fn of(message: &Message<'_>) -> Seen {
        match message {
            Message::Text(text) => Seen::Text(text.clone().into_owned()),
            Message::Binary(payload) => Seen::Binary(payload.clone().into_owned()),
        }
    }
}

/// A stream is written as it is sent, each step with what must come of it.
impl Stream {
    /// A stream that begins with a request that is accepted.
    pub(crate) fn new(name: impl Into<String>) -> Stream {
        let stream = Stream::without_request(name, REQUEST_HEAD);
        Stream { ending: Ending::Open, ..stream }
    }

    pub(crate) fn without_request(name: impl Into<String>, bytes: &[u8]) -> Stream {
        Stream {
            name: name.into(),
            bytes: bytes.to_vec(),
            limits: Limits::default(),
            messages: Vec::new(),
            pongs: Vec::new(),
            ending: Ending::Connecting,
        }
    }

    /// Bytes of which nothing comes, or not yet.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Stream {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A masked frame of which nothing comes, or not yet.
    pub(crate) fn frame(self, first: u8, payload: &[u8]) -> Stream {
        self.raw(&client_frame(first, payload))
    }

    /// A text message in one frame.
    pub(crate) fn text(self, text: &str) -> Stream {
        self.frame(FIN | TEXT, text.as_bytes()).gives_text(text)
    }

    /// A binary message in one frame.
    pub(crate) fn binary(self, payload: &[u8]) -> Stream {
        self.frame(FIN | BINARY, payload).gives_binary(payload)
    }

    /// A ping, which is answered.
    pub(crate) fn ping(mut self, payload: &[u8]) -> Stream {
        self.pongs.push(payload.to_vec());
        self.frame(FIN | PING, payload)
    }

    pub(crate) fn gives_text(mut self, text: &str) -> Stream {
        self.messages.push(Seen::Text(text.to_owned()));
        self
    }

    pub(crate) fn gives_binary(mut self, payload: &[u8]) -> Stream {
        self.messages.push(Seen::Binary(payload.to_vec()));
        self
    }

    pub(crate) fn message_bytes_max(mut self, message_bytes_max: usize) -> Stream {
        self.limits.message_bytes_max = message_bytes_max;
        self
    }

    pub(crate) fn message_frames_max(mut self, message_frames_max: u32) -> Stream {
        self.limits.message_frames_max = message_frames_max;
        self
    }

    pub(crate) fn ends(mut self, ending: Ending) -> Stream {
        self.ending = ending;
        self
    }

    /// §7.4.1: the rules of the protocol are answered with 1002.
    pub(crate) fn fails(self, error: ProtocolError) -> Stream {
        self.ends(Ending::Failed(error, 1002))
    }
}
