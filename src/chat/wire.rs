//! RFC 8259: the JSON of the wire protocol, in and out.
//!
//! A message is checked whole and taken apart at its top level only; what its members hold is passed on as it was
//! written, numbers of any size included. What readers would read differently is refused: names that stand twice,
//! halves of surrogate pairs, nesting too deep for a reader that recurses.
//!
//! | file | what |
//! |---|---|
//! | [`request`] | client to server: what a text asks for, or what is wrong with it |
//! | [`reply`] | server to client: the messages as they are written |
//! | `claims` | the JSON in a signed token (cargo feature `jwt`) |
//! | `members` | the members of an object and the elements of an array, found without a tree |
//! | `write` | an object, written member by member |

#[cfg(feature = "jwt")]
pub mod claims;
mod members;
pub mod reply;
pub mod request;
mod write;

use std::borrow::Cow;
use std::fmt;

use self::members::{Members, string};
use self::reply::Reply as _;
pub use self::request::RequestId;

/// What is wrong with a message. One error object answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// One of the closed list of codes.
    pub code: ErrorCode,
    /// In words, for whoever wrote the client.
    pub message: String,
    /// The member at fault, where it is one.
    pub field: Option<&'static str>,
}

/// The closed list of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The text is no JSON.
    InvalidJson,
    /// The JSON is no message, or one of its members is not what it must be.
    InvalidMessage,
    /// The message has a type that is not known.
    UnknownType,
    /// The request is for sessions, and there is none yet.
    HelloRequired,
    /// The client speaks another version of the protocol.
    UnsupportedVersion,
    /// The token is missing or wrong.
    Unauthorized,
    /// The token was good once.
    TokenExpired,
    /// The user has no right to it.
    Forbidden,
    /// The session is not in that room.
    NotJoined,
    /// The session is in as many rooms as it may be.
    RoomLimit,
    /// The message was read, and is too large for what it asks.
    MessageTooLarge,
    /// The state of the room would be too large, or too deep.
    StateTooLarge,
    /// Too many messages in too short a time.
    RateLimited,
    /// The state has another version than the patch is for.
    VersionConflict,
    /// The server has too much to do.
    Busy,
    /// The server made a mistake.
    Internal,
}

impl ErrorCode {
    /// The code as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidJson => "invalid_json",
            ErrorCode::InvalidMessage => "invalid_message",
            ErrorCode::UnknownType => "unknown_type",
            ErrorCode::HelloRequired => "hello_required",
            ErrorCode::UnsupportedVersion => "unsupported_version",
            ErrorCode::Unauthorized => "unauthorized",
            ErrorCode::TokenExpired => "token_expired",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::NotJoined => "not_joined",
            ErrorCode::RoomLimit => "room_limit",
            ErrorCode::MessageTooLarge => "message_too_large",
            ErrorCode::StateTooLarge => "state_too_large",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::VersionConflict => "version_conflict",
            ErrorCode::Busy => "busy",
            ErrorCode::Internal => "internal",
        }
    }
}

impl WireError {
    /// The object that tells the peer, where nothing is known of the request.
    pub fn to_json(&self) -> String {
        reply::Error { field: self.field, ..reply::Error::new(self.code, &self.message) }.to_json()
    }

    fn invalid_message(message: &str, field: Option<&'static str>) -> WireError {
        WireError { code: ErrorCode::InvalidMessage, message: message.to_owned(), field }
    }

    fn repeated(name: &str, field: Option<&'static str>) -> WireError {
        let name: String = name.chars().take(NAME_CHARS_SHOWN).collect();
        WireError::invalid_message(&format!("the member {name:?} stands twice"), field)
    }

    fn unknown_type(name: &str) -> WireError {
        let name: String = name.chars().take(NAME_CHARS_SHOWN).collect();
        let message = format!("there is no message of type {name:?}");
        WireError { code: ErrorCode::UnknownType, message, field: Some("type") }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// What `type` names, of a text that keeps the rules that are for every message.
fn message_type<'t>(text: &str, members: &Members<'t>) -> Result<Cow<'t, str>, WireError> {
    check_text(text)?;
    if let Some(name) = members.repeated() {
        return Err(WireError::repeated(name, None));
    }
    let Some(value) = members.get("type") else {
        return Err(WireError::invalid_message("the member \"type\" is missing", Some("type")));
    };
    string(value).ok_or_else(|| WireError::invalid_message("the member \"type\" must be a string", Some("type")))
}

fn invalid_json(message: &str) -> WireError {
    WireError { code: ErrorCode::InvalidJson, message: message.to_owned(), field: None }
}

/// Checks what the JSON parser lets pass inside of values that it only skips: nesting and surrogates.
fn check_text(text: &str) -> Result<(), WireError> {
    let bytes = text.as_bytes();
    let openings = bytes.iter().filter(|&&byte| byte == b'{' || byte == b'[').count();
    if openings <= JSON_DEPTH_MAX && !bytes.contains(&b'\\') {
        return Ok(()); // most messages: two passes at the speed of memory
    }
    let (mut depth, mut in_string, mut high_surrogate) = (0usize, false, false);
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let was_high = std::mem::take(&mut high_surrogate);
        let mut is_low = false;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => match tail {
                [b'u', a, b, c, d, tail @ ..] => {
                    let unit = [a, b, c, d]
                        .into_iter()
                        .try_fold(0, |unit, &digit| char::from(digit).to_digit(16).map(|digit| unit << 4 | digit));
                    high_surrogate = matches!(unit, Some(0xd800..=0xdbff));
                    is_low = matches!(unit, Some(0xdc00..=0xdfff));
                    rest = tail;
                }
                [_, tail @ ..] => rest = tail,
                [] => {}
            },
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if was_high != is_low {
            return Err(invalid_json("half of a surrogate pair"));
        }
        if depth > JSON_DEPTH_MAX {
            return Err(WireError::invalid_message(&format!("nested more than {JSON_DEPTH_MAX} deep"), None));
        }
    }
    Ok(())
}

/// Arrays and objects inside each other. Beyond it a reader that recurses could overflow its stack.
pub const JSON_DEPTH_MAX: usize = 64;

/// Characters of a peer's name that are shown to it in an error.
const NAME_CHARS_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::request::{Body, parse_plain};
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        parse_plain(text).err().map(|refusal| refusal.error.code.as_str())
    }

    #[test]
    fn a_chat_may_hold_anything_else() {
        for text in [
            r#"{"type":"chat","msg":"hello server"}"#,
            r#" { "msg" : null , "type" : "chat" } "#,
            r#"{"type":"ch\u0061t","n":123456789012345678901234567890e99999,"x":[{"x":[]}]}"#,
            r#"{"t\u0079pe":"chat"}"#,
            r#"{"type":"chat","msg":"\ud83d\ude00 \\u dead \"[[[[\""}"#,
        ] {
            let request = parse_plain(text).expect(text);
            assert!(matches!(request.body, Body::Chat(_)), "{text}");
        }
    }

    #[test]
    fn what_is_no_json() {
        for text in [
            "",
            "hello",
            "{\"type\":\"chat\"",
            "{\"type\":\"chat\",}",
            "{\"type\":\"chat\"} x",
            "{'type':'chat'}",
            "{\"type\":\"chat\",\"msg\":NaN}",
            "{\"type\":\"chat\",\"msg\":01}",
            "\u{feff}{\"type\":\"chat\"}",
            "{\"type\":\"chat\",\"msg\":\"\u{1}\"}",
            "{\"type\":\"chat\",\"msg\":\"\\x\"}",
            r#"{"type":"chat","msg":"\ud800"}"#,
            r#"{"type":"chat","msg":"\udc00\ud800"}"#,
            r#"{"type":"chat","msg":"\ud800\u0041"}"#,
            r#"{"type":"chat","msg":"\ud800\ud800\udc00"}"#,
            r#"{"type":"chat","msg":"\ud800 \udc00"}"#,
        ] {
            assert_eq!(code(text), Some("invalid_json"), "{text}");
        }
    }

    #[test]
    fn what_is_no_message() {
        for text in [
            "1",
            "null",
            "\"chat\"",
            "[]",
            r#"[{"type":"chat"}]"#,
            "{}",
            r#"{"msg":"x"}"#,
            r#"{"type":1}"#,
            r#"{"type":null}"#,
            r#"{"type":["chat"]}"#,
            r#"{"type":"chat","msg":1,"msg":2}"#,
            r#"{"type":"chat","type":"chat"}"#,
            r#"{"type":"chat","m\u0073g":1,"msg":2}"#,
        ] {
            assert_eq!(code(text), Some("invalid_message"), "{text}");
        }
        for text in [r#"{"type":""}"#, r#"{"type":"Chat"}"#, r#"{"type":"chat "}"#, r#"{"type":"joi"}"#] {
            assert_eq!(code(text), Some("unknown_type"), "{text}");
        }
    }

    #[test]
    fn names_within_values_may_repeat_and_many_names_are_compared() {
        assert_eq!(code(r#"{"type":"chat","a":{"b":1,"b":2}}"#), None);
        let mut members: Vec<String> = (0..1000).map(|i| format!("\"n{i}\":{i}")).collect();
        members.push("\"type\":\"chat\"".to_owned());
        assert_eq!(code(&format!("{{{}}}", members.join(","))), None);
        members.push("\"n999\":0".to_owned());
        let refusal = parse_plain(&format!("{{{}}}", members.join(","))).unwrap_err();
        assert_eq!(refusal.error.message, "the member \"n999\" stands twice");
    }

    #[test]
    fn nesting_is_bounded_without_recursion() {
        let nested = |depth: usize| format!(r#"{{"type":"chat","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code(&nested(JSON_DEPTH_MAX - 1)), None);
        assert_eq!(code(&nested(JSON_DEPTH_MAX)), Some("invalid_message"));
        assert_eq!(code(&nested(100_000)), Some("invalid_message"));
        assert_eq!(code(nested(100_000).trim_end_matches('}')), Some("invalid_json"));
        let flat = format!(r#"{{"type":"chat","x":[{}0],"s":"{}"}}"#, "[],".repeat(1000), "[".repeat(1000));
        assert_eq!(code(&flat), None, "many brackets, but not deep");
    }

    #[test]
    fn an_error_is_an_object_that_names_the_rule() {
        let json = parse_plain(r#"{"type":"joi\"n"}"#).unwrap_err().to_json();
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json.starts_with(r#"{"type":"error","code":"unknown_type","message":"#));
        assert_eq!(object["type"], "error");
        assert_eq!(object["code"], "unknown_type");
        assert_eq!(object["field"], "type");
        assert!(object["message"].as_str().unwrap().contains("joi"));
    }
}
