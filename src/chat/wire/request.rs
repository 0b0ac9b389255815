//! The wire protocol from client to server: eight types of requests.
//!
//! | step | what is refused there |
//! |---|---|
//! | [`parse_session`], [`parse_plain`] | what is no JSON, no object, no batch |
//! | `request` | what no message may be, an `id` that is none |
//! | `read::body` | an unknown type, a room's name that is none, a member of the wrong type |
//!
//! `field` of an error is the name of the member at fault; in an object of its own it is a path, as `since.seq`.
//! Members that a request does not have are ignored, and those of a chat are passed on.

mod read;

use std::borrow::Cow;
use std::rc::Rc;

use self::read::body;
use super::members::{Members, elements, string};
use super::reply::Reply as _;
use super::write::push_string;
use super::{WireError, message_type, reply};

/// What one text message holds in session mode.
#[derive(Debug)]
pub enum Input<'t> {
    /// An object.
    One(Result<Request<'t>, Refusal>),
    /// An array of objects. Each stands for itself: one that is refused leaves the others as they are.
    Batch(Vec<Result<Request<'t>, Refusal>>),
}

/// What a client asks for.
#[derive(Debug)]
pub struct Request<'t> {
    /// The id under which it wants an answer.
    pub id: Option<RequestId>,
    /// The request itself.
    pub body: Body<'t>,
}

/// The eight types of requests.
#[derive(Debug)]
pub enum Body<'t> {
    /// Begins a session, or resumes it.
    Hello(Hello<'t>),
    /// Replaces the token of a live connection.
    Auth {
        /// The new token.
        token: Cow<'t, str>,
    },
    /// Becomes a member of a room.
    Join {
        /// The room's name.
        room: Cow<'t, str>,
        /// What to be told of it.
        options: JoinOptions<'t>,
    },
    /// Leaves a room.
    Leave {
        /// The room's name.
        room: Cow<'t, str>,
    },
    /// Says something in a room.
    Chat(Chat<'t>),
    /// Tells a room something that is soon out of date.
    Signal {
        /// The room's name.
        room: Cow<'t, str>,
        /// What it is, as JSON.
        data: Option<&'t str>,
    },
    /// Changes the state of a room.
    Patch {
        /// The room's name.
        room: Cow<'t, str>,
        /// The version that it must have, if that matters.
        base: Option<u64>,
        /// The merge patch: an object, as JSON.
        patch: &'t str,
    },
    /// Asks whether the server is there.
    Ping,
}

/// `hello`. If it has another [`VERSION`], the version is all that was read of it.
#[derive(Debug, Default)]
pub struct Hello<'t> {
    /// The version of the protocol.
    pub version: u64,
    /// Who the user is.
    pub token: Option<Cow<'t, str>>,
    /// What the client tells others of itself, as JSON of at most [`INFO_BYTES_MAX`] bytes.
    pub info: Option<&'t str>,
    /// The session to be resumed.
    pub resume: Option<Resume<'t>>,
    /// The rooms to join, by name.
    pub rooms: Option<Vec<(Cow<'t, str>, JoinOptions<'t>)>>,
}

/// Which session is to be resumed.
#[derive(Debug, PartialEq, Eq)]
pub struct Resume<'t> {
    /// Its public id.
    pub session: Cow<'t, str>,
    /// Its secret.
    pub token: Cow<'t, str>,
}

/// What a client wants to be told of a room.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JoinOptions<'t> {
    /// Who comes and who leaves.
    pub presence: bool,
    /// The state.
    pub state: bool,
    /// So many of the last chats.
    pub last: Option<u64>,
    /// The chats since it was here last.
    pub since: Option<Since<'t>>,
}

/// Up to where a client knows a room.
#[derive(Debug, PartialEq, Eq)]
pub struct Since<'t> {
    /// The log.
    pub epoch: Cow<'t, str>,
    /// The last chat.
    pub seq: u64,
    /// The version of the state.
    pub version: Option<u64>,
}

/// `chat`.
#[derive(Debug)]
pub struct Chat<'t> {
    /// The room's name.
    pub room: Cow<'t, str>,
    members: Members<'t>,
}

impl Chat<'_> {
    /// P3: what the sender may say: each member as `,"name":value`, but those that only the server sets. Values are the bytes
    /// that were sent.
    pub fn own_members(&self) -> String {
        let mut own = String::new();
        for (name, value) in self.members.iter().filter(|(name, _)| !RESERVED.contains(&&***name)) {
            own.push(',');
            push_string(&mut own, name);
            own.push(':');
            own.push_str(value);
        }
        own
    }
}

/// The id of a request, in the one way in which it can be written: two are equal if they are the same to every reader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Rc<str>);

impl RequestId {
    /// As JSON: a string of at most 64 bytes, or an integer as it was written.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// From one JSON value. `None` is one that is no id.
    pub(super) fn parse(value: &str) -> Option<RequestId> {
        if value.starts_with('"') {
            let text = string(value).filter(|text| text.len() <= ID_BYTES_MAX)?;
            let mut json = String::with_capacity(text.len() + 2);
            push_string(&mut json, &text);
            return Some(RequestId(json.into()));
        }
        let digits = value.strip_prefix('-').unwrap_or(value);
        let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
        (is_integer && (1..=ID_BYTES_MAX).contains(&digits.len())).then(|| RequestId(value.into()))
    }

    fn of(members: &Members<'_>) -> Result<Option<RequestId>, WireError> {
        let mut ids = members.all("id");
        let Some(value) = ids.next() else { return Ok(None) };
        // An id that stands twice is none: nobody knows which of them waits for the answer.
        let id = RequestId::parse(value).filter(|_| ids.next().is_none());
        let rule = format!("the member \"id\" must be a string of at most {ID_BYTES_MAX} bytes, or an integer");
        id.map(Some).ok_or_else(|| WireError::invalid_message(&rule, Some("id")))
    }
}

/// A request that cannot be carried out, because of how it is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its id, where that could be read.
    pub id: Option<RequestId>,
    /// The room that it is about, where that could be read.
    pub room: Option<String>,
    /// What is wrong.
    pub error: WireError,
}

impl Refusal {
    /// The object that tells the peer.
    pub fn to_json(&self) -> String {
        let WireError { code, message, field } = &self.error;
        let (id, room) = (self.id.as_ref(), self.room.as_deref());
        reply::Error { id, room, field: *field, ..reply::Error::new(*code, message) }.to_json()
    }

    fn about(room: &str, error: WireError) -> Refusal {
        Refusal { id: None, room: Some(room.to_owned()), error }
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Refusal {
        Refusal { id: None, room: None, error }
    }
}

/// Reads one text message in session mode: an object, or an array of 1 to `batch_max` objects. The bound of
/// [`JSON_DEPTH_MAX`](super::JSON_DEPTH_MAX) is for each of the objects.
///
/// # Errors
/// If it is neither; then nothing in it was read.
pub fn parse_session(text: &str, batch_max: usize) -> Result<Input<'_>, WireError> {
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[') {
        return Ok(Input::One(request(text, Members::parse(text)?, Mode::Session)));
    }
    let elements = elements(text, batch_max)?;
    if elements.is_empty() {
        return Err(WireError::invalid_message("a batch has at least one message", None));
    }
    let parse = |text| request(text, Members::parse(text)?, Mode::Session);
    Ok(Input::Batch(elements.into_iter().map(parse).collect()))
}

/// Reads one text message in plain mode: an object. A chat is for the lobby, and its members are all its own: what a plain
/// client calls `id` or `room` may be anything (P2).
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse_plain(text: &str) -> Result<Request<'_>, Refusal> {
    request(text, Members::parse(text)?, Mode::Plain)
}

#[derive(PartialEq, Eq)]
enum Mode {
    Plain,
    Session,
}

fn request<'t>(text: &'t str, members: Members<'t>, mode: Mode) -> Result<Request<'t>, Refusal> {
    let message_type = message_type(text, &members);
    if mode == Mode::Plain && message_type.as_deref() == Ok("chat") {
        let chat = Chat { room: Cow::Borrowed(LOBBY), members };
        return Ok(Request { id: None, body: Body::Chat(chat) });
    }
    let id = RequestId::of(&members);
    let known_id = id.as_ref().ok().cloned().flatten();
    let parsed = match (message_type, id) {
        (Err(error), _) | (_, Err(error)) => Err(error.into()),
        (Ok(name), Ok(id)) => body(&name, members).map(|body| Request { id, body }),
    };
    parsed.map_err(|refusal| Refusal { id: known_id, ..refusal })
}

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// Bytes of what a client tells of itself, as it is written. Others get it with each presence.
pub const INFO_BYTES_MAX: usize = 4096;

/// The room of whoever names none.
pub const LOBBY: &str = "lobby";

/// Bytes of a room's name.
pub const ROOM_BYTES_MAX: usize = 128;

/// Bytes of an id that is a string, digits of one that is an integer. They are kept as long as the session.
const ID_BYTES_MAX: usize = 64;

/// The members of a chat that only the server sets.
const RESERVED: [&str; 7] = ["type", "id", "room", "seq", "epoch", "from", "ts"];

#[cfg(test)]
mod tests;
