//! What clients with sessions ask for: the parser alone.

use std::collections::BTreeSet;
use std::fmt;

use serde_core::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::hub::options::BATCH_MAX;
use crate::chat::wire::JSON_DEPTH_MAX;
use crate::chat::wire::request::{Body, Chat, Hello, INFO_BYTES_MAX, Input, Refusal, Request, VERSION, parse_session};

/// RFC 8259 and the requests above it: no text whatever makes the parser panic. What is accepted keeps its bounds, and
/// all that is passed on as it was written is a piece of the input. What is refused is answered with a short, valid
/// `error` of the closed list, under the id that the request has. In a batch each message means what it means alone.
///
/// # Panics
/// If that does not hold.
pub fn requests(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_session(text, BATCH_MAX) {
        Ok(Input::One(request)) => check(text, request),
        Ok(Input::Batch(requests)) => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).expect("a batch is an array");
            assert!((1..=BATCH_MAX).contains(&elements.len()) && elements.len() == requests.len());
            for (element, request) in elements.into_iter().map(RawValue::get).zip(requests) {
                match parse_session(element, BATCH_MAX) {
                    Ok(Input::One(alone)) => assert_eq!(format!("{alone:?}"), format!("{request:?}")),
                    Err(error) if !element.starts_with('[') => {
                        assert_eq!(request.as_ref().err(), Some(&error.into()));
                    }
                    _ => assert!(request.is_err(), "there is no batch within a batch"),
                }
                check(element, request);
            }
        }
        Err(error) => {
            let refusal = Refusal::from(error);
            check_answer(&refusal);
            assert!(
                serde_json::from_str::<Members<'_>>(text).is_err(),
                "an object is refused with its id: {refusal:?}"
            );
            let elements = serde_json::from_str::<Vec<&RawValue>>(text).ok();
            assert!(
                elements.is_none_or(|elements| !(1..=BATCH_MAX).contains(&elements.len())),
                "a batch is no mistake"
            );
        }
    }
}

fn check(text: &str, request: Result<Request<'_>, Refusal>) {
    // Of what is no object nothing is known.
    let members = serde_json::from_str::<Members<'_>>(text).map(|members| members.0).unwrap_or_default();
    let own_id = written_id(&members);
    match request {
        Ok(Request { id, body }) => {
            let id = id.as_ref().map(|id| id.as_json());
            assert!(!members.is_empty(), "what is accepted is an object: {text}");
            assert!(is_same_id(id, own_id), "{id:?} of {text}");
            assert_eq!(id.is_some(), members.iter().any(|(name, _)| name == "id"), "an id that is none is refused");
            let names: BTreeSet<&String> = members.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), members.len(), "a name stands twice in {text}");
            check_text(text);
            check_body(text, &members, &body);
        }
        Err(refusal) => {
            check_answer(&refusal);
            let id = refusal.id.as_ref().map(|id| id.as_json());
            assert!(is_same_id(id, own_id), "{id:?} of {text}");
        }
    }
}

/// What every reader takes: nested as deep as is allowed, and with whole characters only.
fn check_text(text: &str) {
    let (mut depth, mut deepest, mut is_string, mut is_escaped) = (0, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if std::mem::take(&mut is_escaped) => {}
            b'\\' => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => depth += 1,
            b'}' | b']' if !is_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    assert!((1..=JSON_DEPTH_MAX).contains(&deepest), "{deepest} deep");
    if let Err(error) = serde_json::from_str::<Value>(text) {
        assert!(error.to_string().starts_with("number out of range"), "what is accepted is valid: {error}");
    }
}

fn check_body(text: &str, members: &[(String, &RawValue)], body: &Body<'_>) {
    let member = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, value)| value.get());
    let message_type = match body {
        Body::Hello(hello) => {
            check_hello(text, hello);
            "hello"
        }
        Body::Auth { .. } => "auth",
        Body::Join { room, .. } => {
            check_room(room);
            "join"
        }
        Body::Leave { room } => {
            check_room(room);
            "leave"
        }
        Body::Chat(chat) => {
            check_chat(text, members, chat);
            "chat"
        }
        Body::Signal { room, data } => {
            check_room(room);
            assert!(*data == member("data") && data.is_none_or(|data| is_piece(data, text)));
            "signal"
        }
        Body::Patch { room, base, patch } => {
            check_room(room);
            assert_eq!((Some(*patch), patch.starts_with('{')), (member("patch"), true));
            assert_eq!(base.map(|base| base.to_string()).as_deref(), member("base"));
            assert!(is_piece(patch, text));
            "patch"
        }
        Body::Ping => "ping",
    };
    let written = member("type").and_then(|value| serde_json::from_str::<String>(value).ok());
    assert_eq!(written.as_deref(), Some(message_type));
}

fn check_hello(text: &str, hello: &Hello<'_>) {
    let Hello { version, token, info, resume, rooms } = hello;
    if *version != VERSION {
        assert!(token.is_none() && info.is_none() && resume.is_none() && rooms.is_none(), "nothing else is read");
    }
    assert!(info.is_none_or(|info| info.len() <= INFO_BYTES_MAX && is_piece(info, text)));
    let names: Vec<&str> = rooms.iter().flatten().map(|(name, _)| &**name).collect();
    names.iter().for_each(|name| check_room(name));
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a room stands twice in {text}");
}

/// The bytes that others get are the sender's own, but for the members that only the server sets.
fn check_chat(text: &str, members: &[(String, &RawValue)], chat: &Chat<'_>) {
    check_room(&chat.room);
    let own = chat.own_members();
    // An escape of two characters in a name may be written with six.
    assert!(own.len() <= 3 * text.len(), "{} bytes of {}", own.len(), text.len());
    let object = format!("{{{}}}", own.strip_prefix(',').unwrap_or(&own));
    let kept = serde_json::from_str::<Members<'_>>(&object).expect("what is passed on is valid").0;
    let expected = members.iter().filter(|(name, _)| !RESERVED.contains(&&**name));
    let as_text = |(name, value): &(String, &RawValue)| (name.clone(), value.get().to_owned());
    assert!(kept.iter().map(as_text).eq(expected.map(as_text)), "{own} of {text}");
}

fn check_room(name: &str) {
    assert!((1..=128).contains(&name.len()) && !name.contains(char::is_control), "the room {name:?}");
}

fn check_answer(refusal: &Refusal) {
    let json = refusal.to_json();
    assert!(json.len() <= ANSWER_BYTES_MAX, "an answer is short whatever was asked: {json}");
    let answer: Members<'_> = serde_json::from_str(&json).expect("the answer is valid JSON");
    let member = |name: &str| answer.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.get());
    let code = member("code").expect("a code");
    assert_eq!(member("type"), Some("\"error\""));
    assert!(CODES.contains(&code), "{code} is none that a parser gives");
    assert_eq!(member("id"), refusal.id.as_ref().map(|id| id.as_json()), "the id stays as it is");
    let room = member("room").map(|room| serde_json::from_str::<String>(room).expect("a string"));
    assert_eq!(room, refusal.room);
    room.iter().for_each(|room| check_room(room));
}

/// What stands under `id`, if it is one: once, an integer or a short string.
fn written_id<'t>(members: &[(String, &'t RawValue)]) -> Option<&'t str> {
    let mut ids = members.iter().filter(|(name, _)| name == "id");
    let id = ids.next().filter(|_| ids.next().is_none())?.1.get();
    let is_id = match serde_json::from_str::<String>(id) {
        Ok(text) => text.len() <= ID_BYTES_MAX,
        Err(_) => {
            let digits = id.strip_prefix('-').unwrap_or(id);
            digits.len() <= ID_BYTES_MAX && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
    };
    is_id.then_some(id)
}

/// A number comes back digit by digit; a text may have other escapes, and no others where it had none.
fn is_same_id(id: Option<&str>, written: Option<&str>) -> bool {
    match (id, written) {
        (Some(id), Some(written)) if written.contains('\\') => {
            serde_json::from_str::<String>(id).ok() == serde_json::from_str::<String>(written).ok()
        }
        (id, written) => id == written,
    }
}

/// Whether it is lent from the text: it has not been copied, so it cannot differ.
fn is_piece(piece: &str, text: &str) -> bool {
    let (own, whole) = (piece.as_bytes().as_ptr_range(), text.as_bytes().as_ptr_range());
    whole.start <= own.start && own.end <= whole.end
}

/// The members of an object, those that stand twice included.
pub(super) struct Members<'t>(pub(super) Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'t> Visitor<'t> for Object {
            type Value = Members<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Members<'t>, M::Error> {
                let mut list = Vec::new();
                while let Some(member) = map.next_entry()? {
                    list.push(member);
                }
                Ok(Members(list))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The codes of the closed list that say how something is written.
const CODES: [&str; 3] = ["\"invalid_json\"", "\"invalid_message\"", "\"unknown_type\""];

/// The members of a chat that only the server sets.
const RESERVED: [&str; 7] = ["type", "id", "room", "seq", "epoch", "from", "ts"];

/// Bytes of an id that is a text, digits of one that is a number.
const ID_BYTES_MAX: usize = 64;

/// An id of 64 control characters, a type of 64 that are shown with their numbers, a room of 128 quotes, and the words.
const ANSWER_BYTES_MAX: usize = 64 * 6 + 64 * 11 + 128 * 2 + 256;
