//! What was said in the rooms, as the clients together know it: from the acks of those who said it, and from those who
//! heard it. Whoever comes second must agree with the first.

use std::collections::HashMap;

/// What all clients together know.
#[derive(Debug)]
pub(crate) struct Book {
    rooms: Vec<Pages>,
    /// The clients by the ids of their sessions.
    pub(crate) sessions: HashMap<String, usize>,
    pub(crate) counts: Counts,
}

/// A room.
#[derive(Debug, Default)]
struct Pages {
    /// Chats that its clients said, once each.
    said: u64,
    /// By their positions, from 1 on.
    chats: Vec<Option<Chat>>,
    /// The position of each.
    positions: HashMap<Chat, u64>,
}

/// A chat: the client that said it, and the client's number for it.
type Chat = (usize, u64);

/// What happened so often.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) said: u64,
    pub(crate) heard: u64,
    /// Of those that were heard: in an array behind a welcome.
    pub(crate) replayed: u64,
    /// Own chats among what was missed.
    pub(crate) own_replayed: u64,
    /// Chats that were said again, since their ack was lost.
    pub(crate) duplicates: u64,
    pub(crate) resets: u64,
    pub(crate) ends: u64,
    pub(crate) abandoned: u64,
    /// Of all of these: in the midst of saying something.
    pub(crate) in_midst: u64,
    pub(crate) resumes: u64,
}

impl Book {
    pub(crate) fn new(rooms: usize) -> Book {
        let rooms = (0..rooms).map(|_| Pages::default()).collect();
        Book { rooms, sessions: HashMap::new(), counts: Counts::default() }
    }

    /// A client says something for the first time.
    pub(crate) fn note_said(&mut self, room: usize) {
        self.rooms[room].said += 1;
        self.counts.said += 1;
    }

    /// How many chats were said in a room.
    pub(crate) fn said(&self, room: usize) -> u64 {
        self.rooms[room].said
    }

    /// A chat of a client has this position.
    ///
    /// # Errors
    /// If somebody knows another chat there, or this one elsewhere.
    pub(crate) fn note(&mut self, room: usize, seq: u64, chat: Chat) -> Result<(), String> {
        let Pages { chats, positions, .. } = &mut self.rooms[room];
        let index = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1)).ok_or("positions count from 1")?;
        if index >= CHATS_MAX {
            return Err(format!("there were never {seq} chats"));
        }
        if index >= chats.len() {
            chats.resize(index + 1, None);
        }
        let known = *chats[index].get_or_insert(chat);
        let position = *positions.entry(chat).or_insert(seq);
        let (client, number) = chat;
        if known != chat {
            let (other, known) = known;
            Err(format!("chat {number} of client {client} is where others have chat {known} of client {other}"))
        } else if position != seq {
            Err(format!("chat {number} of client {client} is doubled, it is at {position} too"))
        } else {
            Ok(())
        }
    }

    /// Who said the chat at this position, if that is known.
    pub(crate) fn speaker(&self, room: usize, seq: u64) -> Option<Chat> {
        *self.rooms[room].chats.get(seq as usize - 1)?
    }

    /// At the end: each position has a chat, and each client's chats are there once and in order. `said` is how many it
    /// said in a room.
    ///
    /// # Errors
    /// What is missing, or there twice.
    pub(crate) fn check(&self, said: impl Fn(usize, usize) -> u64) -> Result<(), String> {
        for (room, Pages { chats, .. }) in self.rooms.iter().enumerate() {
            let mut last: HashMap<usize, (u64, u64)> = HashMap::new();
            for (seq, chat) in (1..).zip(chats) {
                let Some((client, number)) = *chat else { return Err(format!("room-{room}, seq {seq}: nobody's")) };
                let (count, known) = last.entry(client).or_default();
                if number <= *known {
                    let problem = format!("its chat {number} stands behind its chat {known}");
                    return Err(format!("client {client}, room-{room}, seq {seq}: {problem}"));
                }
                (*count, *known) = (*count + 1, number);
            }
            for (client, (count, _)) in last {
                let said = said(client, room);
                if count != said {
                    return Err(format!("client {client}, room-{room}: it said {said} chats, the room has {count}"));
                }
            }
        }
        Ok(())
    }
}

/// Chats of one room, at most: a position beyond it is a mistake.
const CHATS_MAX: usize = 10_000_000;
