//! Who one connection is: its session, with ids and secrets from a secure source.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::agenda::Ticket;
use super::auth::secret::is_same_secret;
use super::wire::request::RequestId;
use crate::server::ConnId;
use crate::server::shrink::{shrink_map, shrink_queue};

/// The public id of a session: `s_` and 128 random bits, so that nobody can guess another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; ID_BYTES]);

impl SessionId {
    /// The id that was written so.
    pub fn parse(text: &str) -> Option<SessionId> {
        parse_hex(text.strip_prefix("s_")?).map(SessionId)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s_{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What proves that a connection may go on with a session: `r_` and 128 random bits.
#[derive(Clone, Copy)]
pub struct ResumeToken([u8; ID_BYTES]);

impl ResumeToken {
    /// Whether this is it. How long that takes says nothing about where they differ.
    pub fn is(&self, text: &str) -> bool {
        let Some(bytes) = text.strip_prefix("r_").and_then(parse_hex) else { return false };
        is_same_secret(&self.0, &bytes)
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ResumeToken {
    /// It is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(..)")
    }
}

/// The name of one life of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e_{:016x}", self.0)
    }
}

/// Makes ids and secrets from the random numbers of the system, many with each call to it.
#[derive(Debug)]
pub struct SessionIds {
    random: [u8; IDS_PER_CALL * ID_BYTES],
    used: usize,
}

impl Default for SessionIds {
    fn default() -> SessionIds {
        SessionIds { random: [0; _], used: IDS_PER_CALL * ID_BYTES }
    }
}

impl SessionIds {
    /// The next id.
    ///
    /// # Errors
    /// If the system has no random numbers: then no id would be secret.
    pub fn next_id(&mut self) -> Result<SessionId, getrandom::Error> {
        self.next_bytes().map(SessionId)
    }

    /// The next secret.
    ///
    /// # Errors
    /// As [`next_id`](SessionIds::next_id).
    pub fn next_token(&mut self) -> Result<ResumeToken, getrandom::Error> {
        self.next_bytes().map(ResumeToken)
    }

    /// The next epoch.
    ///
    /// # Errors
    /// As [`next_id`](SessionIds::next_id).
    pub fn next_epoch(&mut self) -> Result<Epoch, getrandom::Error> {
        let [bytes @ .., _, _, _, _, _, _, _, _] = self.next_bytes()?;
        Ok(Epoch(u64::from_be_bytes(bytes)))
    }

    fn next_bytes(&mut self) -> Result<[u8; ID_BYTES], getrandom::Error> {
        if self.used == self.random.len() {
            getrandom::fill(&mut self.random)?;
            self.used = 0;
        }
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(&self.random[self.used..self.used + ID_BYTES]);
        // What was given away is not kept.
        self.random[self.used..self.used + ID_BYTES].fill(0);
        self.used += ID_BYTES;
        Ok(bytes)
    }
}

/// What others may know of a session.
#[derive(Debug)]
pub struct Profile {
    /// Its id.
    pub session: SessionId,
    /// Whose it is, if that is known.
    pub user: Option<Rc<str>>,
    /// What its client says of itself, as JSON.
    pub info: Option<Box<str>>,
}

/// A session: it outlives its connection for a while.
#[derive(Debug)]
pub struct Session {
    /// What others may know of it.
    pub profile: Rc<Profile>,
    /// What its client shows to go on with it.
    pub token: ResumeToken,
    /// Until when what it said counts against its rate, where there is one.
    pub said_until: Option<Instant>,
    /// Its connection, while there is one.
    pub connection: Option<ConnId>,
    /// The rooms that it is in, and what it wants to hear of them.
    pub rooms: BTreeMap<Rc<str>, Wants>,
    /// Without a connection: what is on the agenda.
    pub absence: Option<Absence>,
    /// When the oldest id of a chat is forgotten: on the agenda as long as there is one.
    pub ids_end: Option<Ticket>,
    accepted: Accepted,
}

/// What becomes of a session without a connection.
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    /// When it is no longer present in its rooms.
    pub presence_end: Ticket,
    /// When it ends itself: in the list of those that wait.
    pub end: Ticket,
}

/// What a session wants to hear of a room beside its chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// Who comes and goes.
    pub presence: bool,
    /// How the state changes.
    pub state: bool,
}

/// Where a chat is in its room's log.
#[derive(Debug, Clone)]
pub struct Position {
    /// The room.
    pub room: Rc<str>,
    /// The life of its log.
    pub epoch: Epoch,
    /// The number in it.
    pub seq: u64,
}

/// The chats that a session sent lately, by the ids that its client gave them.
#[derive(Debug, Default)]
struct Accepted {
    /// Of the ids.
    bytes: usize,
    positions: HashMap<RequestId, Position>,
    order: VecDeque<(Instant, RequestId)>,
}

impl Session {
    /// A session with a connection, in no room.
    pub fn new(profile: Profile, token: ResumeToken, connection: ConnId) -> Session {
        Session {
            profile: Rc::new(profile),
            token,
            said_until: None,
            connection: Some(connection),
            rooms: BTreeMap::new(),
            absence: None,
            ids_end: None,
            accepted: Accepted::default(),
        }
    }

    /// Where the chat with this id went, if it was sent less than that ago.
    pub fn accepted(&mut self, id: &RequestId, now: Instant, window: Duration) -> Option<&Position> {
        self.forget_ids(now, window);
        self.accepted.positions.get(id)
    }

    /// Forgets the ids of chats that were sent so long ago. Returns when the oldest of the others was.
    pub fn forget_ids(&mut self, now: Instant, window: Duration) -> Option<Instant> {
        let Accepted { bytes, positions, order } = &mut self.accepted;
        while order.front().is_some_and(|(at, _)| *at + window <= now) {
            let Some((_, old)) = order.pop_front() else { break };
            *bytes -= old.as_json().len();
            positions.remove(&old);
        }
        shrink_map(positions);
        shrink_queue(order);
        order.front().map(|(at, _)| *at)
    }

    /// What it takes in memory, about, but for its rooms.
    pub fn held_bytes(&self) -> usize {
        let info = self.profile.info.as_ref().map_or(0, |info| info.len());
        SESSION_BYTES + info + self.accepted.bytes + self.accepted.order.len() * ID_HELD_BYTES
    }

    /// How many chats are known by their ids.
    #[cfg(test)]
    pub(super) fn ids(&self) -> usize {
        self.accepted.order.len()
    }

    /// Remembers a chat, until [`ACCEPTED_MAX`] others came.
    pub fn note_accepted(&mut self, id: RequestId, position: Position, now: Instant) {
        let Accepted { bytes, positions, order } = &mut self.accepted;
        if order.len() == ACCEPTED_MAX
            && let Some((_, old)) = order.pop_front()
        {
            *bytes -= old.as_json().len();
            positions.remove(&old);
        }
        *bytes += id.as_json().len();
        order.push_back((now, id.clone()));
        positions.insert(id, position);
    }
}

fn parse_hex(text: &str) -> Option<[u8; ID_BYTES]> {
    let is_hex = text.len() == 2 * ID_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u128::from_str_radix(text, 16).map(u128::to_be_bytes).ok())?
}

/// Chats of a session that are known by their ids. A client that resends more than so many at once may say some twice.
pub const ACCEPTED_MAX: usize = 1024;

/// What a session and its entries in tables take, about.
const SESSION_BYTES: usize = 500;

/// What the id of a chat takes beside its text, about: an allocation, its place in the order, its position.
const ID_HELD_BYTES: usize = 150;

const ID_BYTES: usize = 16;
const IDS_PER_CALL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_never_repeat_across_several_calls_to_the_system() {
        let mut ids = SessionIds::default();
        let seen: HashSet<SessionId> = (0..10 * IDS_PER_CALL).map(|_| ids.next_id().unwrap()).collect();
        assert_eq!(seen.len(), 10 * IDS_PER_CALL);
        for id in seen {
            assert_eq!(id.to_string().len(), 2 + 32);
            assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        }
        assert_ne!(ids.next_epoch().unwrap(), ids.next_epoch().unwrap());
    }

    #[test]
    fn only_what_was_written_is_read() {
        let hex = "0123456789abcdef0123456789abcdef";
        assert!(SessionId::parse(&format!("s_{hex}")).is_some());
        for text in ["", "s_", hex, &format!("r_{hex}"), &format!("s_{hex}0"), &format!("s_+{}", &hex[1..])] {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
        assert_eq!(SessionId::parse(&format!("s_{}", hex.to_uppercase())), None);
    }

    #[test]
    fn a_token_is_equal_to_itself_alone_and_never_shown_by_accident() {
        let mut ids = SessionIds::default();
        let (token, other) = (ids.next_token().unwrap(), ids.next_token().unwrap());
        assert!(token.is(&token.to_string()) && !token.is(&other.to_string()) && !token.is(""));
        assert_eq!(format!("{token:?}"), "ResumeToken(..)");
    }
}
