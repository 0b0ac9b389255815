//! The body of a request: which members each type has, and what they must be.

use std::borrow::Cow;

use super::super::WireError;
use super::super::members::{Members, string};
use super::{Body, Chat, Hello, JoinOptions, Refusal, Resume, Since};
use super::{INFO_BYTES_MAX, LOBBY, ROOM_BYTES_MAX, VERSION};

/// Reads what a request of this type has. A refusal has no id: the caller knows it.
pub(super) fn body<'t>(message_type: &str, members: Members<'t>) -> Result<Body<'t>, Refusal> {
    match message_type {
        "hello" => Ok(Body::Hello(hello(&members)?)),
        "auth" => Ok(Body::Auth { token: required(text(&members, "token")?, "token")? }),
        "ping" => Ok(Body::Ping),
        "join" | "leave" | "chat" | "signal" | "patch" => {
            let room = text(&members, "room")?.unwrap_or(Cow::Borrowed(LOBBY));
            check_room(&room, "room")?;
            in_room(message_type, room.clone(), members).map_err(|error| Refusal::about(&room, error))
        }
        name => Err(WireError::unknown_type(name).into()),
    }
}

fn in_room<'t>(message_type: &str, room: Cow<'t, str>, members: Members<'t>) -> Result<Body<'t>, WireError> {
    Ok(match message_type {
        "join" => Body::Join { options: options(&members)?, room },
        "leave" => Body::Leave { room },
        "chat" => Body::Chat(Chat { room, members }),
        "signal" => Body::Signal { room, data: members.get("data") },
        _ => {
            let patch = required(members.get("patch"), "patch")?;
            if !patch.starts_with('{') {
                return Err(must_be("patch", "an object"));
            }
            Body::Patch { room, base: number(&members, "base")?, patch }
        }
    })
}

fn hello<'t>(members: &Members<'t>) -> Result<Hello<'t>, Refusal> {
    let version = required(number(members, "v")?, "v")?;
    if version != VERSION {
        // What else another version has in its hello is not known here.
        return Ok(Hello { version, ..Hello::default() });
    }
    let info = members.get("info");
    if info.is_some_and(|info| info.len() > INFO_BYTES_MAX) {
        return Err(must_be("info", &format!("at most {INFO_BYTES_MAX} bytes of JSON")).into());
    }
    let resume = object(members, "resume")?.map(|resume| resume_of(&resume)).transpose()?;
    let rooms = object(members, "rooms")?.map(|rooms| rooms_of(&rooms)).transpose()?;
    Ok(Hello { version, token: text(members, "token")?, info, resume, rooms })
}

fn resume_of<'t>(members: &Members<'t>) -> Result<Resume<'t>, WireError> {
    Ok(Resume {
        session: required(text(members, "resume.session")?, "resume.session")?,
        token: required(text(members, "resume.token")?, "resume.token")?,
    })
}

fn rooms_of<'t>(rooms: &Members<'t>) -> Result<Vec<(Cow<'t, str>, JoinOptions<'t>)>, Refusal> {
    let room = |(name, value): (&Cow<'t, str>, &'t str)| {
        check_room(name, "rooms")?;
        let is_object = value.starts_with('{');
        let options = match is_object {
            true => object_in(value, "rooms").and_then(|members| options(&members)),
            false => Err(WireError::invalid_message("what is asked of a room must be an object", Some("rooms"))),
        };
        Ok((name.clone(), options.map_err(|error| Refusal::about(name, error))?))
    };
    rooms.iter().map(room).collect()
}

fn options<'t>(members: &Members<'t>) -> Result<JoinOptions<'t>, WireError> {
    Ok(JoinOptions {
        presence: flag(members, "presence")?,
        state: flag(members, "state")?,
        last: number(members, "last")?,
        since: object(members, "since")?.map(|since| since_of(&since)).transpose()?,
    })
}

fn since_of<'t>(members: &Members<'t>) -> Result<Since<'t>, WireError> {
    Ok(Since {
        epoch: required(text(members, "since.epoch")?, "since.epoch")?,
        seq: required(number(members, "since.seq")?, "since.seq")?,
        version: number(members, "since.version")?,
    })
}

fn check_room(name: &str, field: &'static str) -> Result<(), WireError> {
    if (1..=ROOM_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(());
    }
    let message = format!("the name of a room has 1 to {ROOM_BYTES_MAX} bytes and no control characters");
    Err(WireError::invalid_message(&message, Some(field)))
}

/// The member that a path names: the last part of it is its name, the rest is for whoever reads the error.
fn value<'t>(members: &Members<'t>, path: &str) -> Option<&'t str> {
    members.get(path.rsplit_once('.').map_or(path, |(_, name)| name))
}

fn text<'t>(members: &Members<'t>, path: &'static str) -> Result<Option<Cow<'t, str>>, WireError> {
    let parse = |value| string(value).ok_or_else(|| must_be(path, "a string"));
    value(members, path).map(parse).transpose()
}

fn number(members: &Members<'_>, path: &'static str) -> Result<Option<u64>, WireError> {
    let parse = |value: &str| value.parse().map_err(|_| must_be(path, "an integer from 0 to 18446744073709551615"));
    value(members, path).map(parse).transpose()
}

fn flag(members: &Members<'_>, path: &'static str) -> Result<bool, WireError> {
    match value(members, path) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(must_be(path, "true or false")),
    }
}

fn object<'t>(members: &Members<'t>, path: &'static str) -> Result<Option<Members<'t>>, WireError> {
    value(members, path).map(|value| object_in(value, path)).transpose()
}

fn object_in<'t>(value: &'t str, path: &'static str) -> Result<Members<'t>, WireError> {
    let members = Members::parse(value).map_err(|_| must_be(path, "an object"))?;
    match members.repeated() {
        Some(name) => Err(WireError::repeated(name, Some(path))),
        None => Ok(members),
    }
}

fn required<T>(value: Option<T>, path: &'static str) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::invalid_message(&format!("the member \"{path}\" is missing"), Some(path)))
}

fn must_be(path: &'static str, what: &str) -> WireError {
    WireError::invalid_message(&format!("the member \"{path}\" must be {what}"), Some(path))
}
