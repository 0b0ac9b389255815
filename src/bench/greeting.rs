//! A client becomes a member of one room of the session mode: it says `hello`, and waits for `welcome`.

use frameloop::protocol::frame::Opcode;

use super::chat_text::{ERROR, room_name};
use super::client::{Client, Out};
use super::replies::{Piece, Sink};

/// A connection that is open, but no member yet.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) client: Client,
    /// When its connection began, in ns of the run's clock.
    pub(crate) started: u64,
    /// How the welcome names its room.
    room: String,
    masking_key: [u8; 4],
    /// What has come of a message of the server.
    text: Vec<u8>,
    is_member: bool,
}

impl Greeting {
    /// Queues the hello, which asks for nothing but the room.
    pub(crate) fn new(mut client: Client, room: usize, masking_key: [u8; 4], started: u64) -> Greeting {
        let room = format!("\"{}\":{{", room_name(room));
        let hello = format!("{{\"type\":\"hello\",\"v\":1,\"rooms\":{{{room}}}}}}}");
        client.out.push(Opcode::Text, hello.as_bytes(), masking_key);
        Greeting { client, started, room, masking_key, text: Vec::new(), is_member: false }
    }

    /// Goes on after an event; whether it is a member now. What comes later may be read by others: this stops between
    /// two reads.
    ///
    /// # Errors
    /// The server does not let it in, or is gone.
    pub(crate) fn go_on(&mut self, buffer: &mut [u8]) -> Result<bool, String> {
        let early = std::mem::take(&mut self.client.early);
        self.receive(&early)?;
        self.client.flush()?;
        while !self.is_member {
            let Some(len) = self.client.read(buffer)? else { return Ok(false) };
            self.receive(&buffer[..len])?;
            self.client.flush()?;
        }
        Ok(true)
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Greeting { client: Client { replies, out, .. }, room, masking_key, text, is_member, .. } = self;
        replies.feed(bytes, &mut Host { out, room, masking_key: *masking_key, text, is_member })
    }
}

/// Hears what the server says until it says welcome, and nothing after that: nobody has sent a chat yet.
struct Host<'g> {
    out: &'g mut Out,
    room: &'g str,
    masking_key: [u8; 4],
    text: &'g mut Vec<u8>,
    is_member: &'g mut bool,
}

impl Sink for Host<'_> {
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
        if piece.offset == 0 {
            self.text.clear();
        }
        let room = TEXT_BYTES_MAX - self.text.len();
        self.text.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
        if !piece.is_last || *self.is_member {
            return Ok(());
        }
        let text = String::from_utf8_lossy(self.text);
        // A server that gathers what a session gets puts it into an array.
        let first = text.trim_start_matches('[');
        let is_welcome = first.starts_with(WELCOME);
        if first.starts_with(ERROR) || (is_welcome && !text.contains(self.room)) {
            return Err(format!("the server says {}", text.chars().take(300).collect::<String>()));
        }
        *self.is_member = is_welcome;
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        self.out.pong(payload, self.masking_key);
    }
}

/// The subprotocol of the session mode.
pub(crate) const SUBPROTOCOL: &str = "frameloop.v1";
const WELCOME: &str = "{\"type\":\"welcome\"";
/// Bytes of a message that are looked at: many times those of a welcome to one room.
const TEXT_BYTES_MAX: usize = 16 * 1024;
