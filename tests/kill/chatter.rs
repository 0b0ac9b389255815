//! A client as a person has it: a thread of its own hears all that comes, in time, and answers pings.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::PATIENCE;
use crate::raw::Raw;
use crate::wire::{CLOSE, FIN, PING, PONG, ServerFrame, TEXT, client_frame, server_frames};

pub(crate) struct Chatter {
    voice: Voice,
    heard: Receiver<Heard>,
    /// Its end is the end of the connection.
    _raw: Raw,
}

/// What a client speaks with; another thread may have it as well.
#[derive(Clone)]
pub(crate) struct Voice(Arc<Mutex<TcpStream>>);

/// What comes from the server.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Close(Option<u16>),
}

impl Chatter {
    pub(crate) fn open(address: SocketAddr) -> Chatter {
        Chatter::hearing(Raw::open(address))
    }

    /// Takes over a connection that is open.
    pub(crate) fn hearing(raw: Raw) -> Chatter {
        let mut reader = raw.stream.try_clone().unwrap();
        reader.set_read_timeout(None).unwrap();
        let voice = Voice(Arc::new(Mutex::new(raw.stream.try_clone().unwrap())));
        let answers = voice.clone();
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || while hear(&mut reader, &answers, &sender).is_ok() {});
        Chatter { voice, heard, _raw: raw }
    }

    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    pub(crate) fn say(&self, text: &str) {
        self.voice.say(TEXT, text.as_bytes()).unwrap();
    }

    /// The next text, which must come.
    pub(crate) fn hear(&self) -> String {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Heard::Text(text)) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    /// How many texts have come, if it goes on.
    pub(crate) fn count(&self) -> usize {
        let mut count = 0;
        loop {
            match self.heard.try_recv() {
                Ok(Heard::Text(_)) => count += 1,
                Err(TryRecvError::Empty) => return count,
                other => panic!("{other:?} is no text"),
            }
        }
    }

    /// Waits until the connection has ended without a Close frame.
    pub(crate) fn wait_for_loss(self) {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(Heard::Text(_)) => {}
                Ok(close) => panic!("{close:?} where the connection breaks"),
                Err(error) => return assert_eq!(error, mpsc::RecvTimeoutError::Disconnected),
            }
        }
    }
}

impl Voice {
    /// Says something.
    ///
    /// # Errors
    /// If the connection is no more.
    pub(crate) fn say(&self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().write_all(&client_frame(FIN | opcode, payload))
    }
}

/// Each says something, and all others hear it.
pub(crate) fn check_chat(chatters: &[Chatter], what: &str) {
    for (number, speaker) in chatters.iter().enumerate() {
        let text = chat(&format!("{what} {number}"));
        speaker.say(&text);
        for hearer in chatters.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, hearer)| hearer) {
            assert_eq!(hearer.hear(), text);
        }
    }
}

pub(crate) fn chat(what: &str) -> String {
    format!(r#"{{"type":"chat","what":"{what}"}}"#)
}

/// Hears one frame.
fn hear(reader: &mut TcpStream, voice: &Voice, sender: &Sender<Heard>) -> io::Result<()> {
    let ServerFrame { opcode, payload } = read_frame(reader)?;
    let is_wanted = match opcode {
        TEXT => sender.send(Heard::Text(String::from_utf8(payload).unwrap())),
        CLOSE => sender.send(Heard::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code)))),
        PING => return voice.say(PONG, &payload),
        _ => Ok(()),
    };
    is_wanted.map_err(io::Error::other)
}

fn read_frame(reader: &mut TcpStream) -> io::Result<ServerFrame> {
    let mut bytes = vec![0; 2];
    reader.read_exact(&mut bytes)?;
    let length_len = match bytes[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    bytes.resize(2 + length_len, 0);
    reader.read_exact(&mut bytes[2..])?;
    let length = match length_len {
        0 => usize::from(bytes[1]),
        _ => bytes[2..].iter().fold(0, |length, &byte| length << 8 | usize::from(byte)),
    };
    let start = bytes.len();
    bytes.resize(start + length, 0);
    reader.read_exact(&mut bytes[start..])?;
    Ok(server_frames(&bytes).remove(0))
}
