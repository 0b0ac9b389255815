//! RFC 8259 and the chat above it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use serde_json::Value;
use serde_json::value::RawValue;

use super::source::Source;
use crate::chat::Hub;
use crate::chat::wire::request::{Body, parse_plain};
use crate::protocol::{CloseCode, End, Message, Request, SharedFrame};
use crate::server::{App, ConnId, Outbox};

/// RFC 8259: no text whatever makes the parser panic. A text that is relayed is valid JSON, an object, and its type is
/// the one that was read. The answer to one that is not is a valid `error` object.
///
/// # Panics
/// If that does not hold.
pub fn wire(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_plain(text) {
        Ok(request) => {
            let Body::Chat(_) = request.body else { return }; // it is answered, and not relayed
            let members: HashMap<String, &RawValue> = serde_json::from_str(text).expect("what is relayed is an object");
            assert_eq!(serde_json::from_str::<String>(members["type"].get()).ok().as_deref(), Some("chat"));
            // A number may be larger than any that a reader has; all else every reader takes.
            if let Err(error) = serde_json::from_str::<Value>(text) {
                assert!(error.to_string().starts_with("number out of range"), "what is relayed is valid: {error}");
            }
        }
        Err(refusal) => {
            let (json, code) = (refusal.to_json(), refusal.error.code.as_str());
            let object: Value = serde_json::from_str(&json).expect("the answer is valid JSON");
            assert_eq!((&object["type"], &object["code"]), (&Value::from("error"), &Value::from(code)));
            assert!(json.len() < 1_500, "an answer is short whatever was asked: {json}");
        }
    }
}

/// What the hub sent and closed in one step.
#[derive(Debug, Default)]
struct Post {
    sent: Vec<(ConnId, Vec<u8>)>,
    closed: Vec<ConnId>,
}

impl Outbox for Post {
    fn send(&mut self, to: ConnId, message: Message<'_>) {
        self.sent.push((to, message.as_bytes().to_vec()));
    }

    fn send_shared(&mut self, to: ConnId, frame: &SharedFrame) {
        self.sent.push((to, frame.payload().to_vec()));
    }

    fn queued_bytes(&self, _to: ConnId) -> usize {
        0
    }

    fn notify_drained(&mut self, _to: ConnId) {}

    fn set_overload_code(&mut self, _to: ConnId, _code: CloseCode) {}

    fn close(&mut self, to: ConnId, _code: CloseCode, _reason: &str) {
        self.closed.push(to);
    }

    fn note(&mut self, _about: ConnId, _what: &'static str, detail: &dyn fmt::Display) {
        assert!(!detail.to_string().is_empty());
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> u64 {
        1_734_190_000_123
    }
}

/// The chat: several clients come, speak, err and go in any order. Nobody hears itself; all others hear each message
/// once, in the order in which they were said and byte for byte; a mistake is answered to its author alone; whoever has
/// left is forgotten.
///
/// # Panics
/// If that does not hold.
pub fn chat(data: &[u8]) {
    let mut source = Source::new(data);
    let mut hub = Hub::default();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let request = Request::parse(request).expect("it keeps all rules");
    let (mut members, mut closing): (Vec<ConnId>, Vec<ConnId>) = (Vec::new(), Vec::new());
    let (mut sessions, mut said) = (HashSet::new(), 0);
    while !source.is_empty() {
        let mut post = Post::default();
        let (deed, who) = (source.byte(), usize::from(source.byte()));
        let member = (!members.is_empty()).then(|| members[who % members.len().max(1)]);
        match (deed % 8, member) {
            (0 | 1, _) | (_, None) => {
                // The lowest that is free: keys are used again.
                let is_free = |id: &ConnId| !members.contains(id) && !closing.contains(id);
                let id = (0..).map(ConnId::for_test).find(is_free).expect("there are more than members");
                hub.on_open(id, &request, &mut post);
                assert!(post.sent.is_empty() && post.closed.is_empty(), "P1: nothing is sent unasked");
                assert!(sessions.insert(hub.session(id).expect("it has a session")), "no two are the same");
                members.push(id);
            }
            (2, Some(id)) => {
                hub.on_close(id, &End::Lost, &mut post);
                assert!(post.sent.is_empty() && post.closed.is_empty());
                members.retain(|&member| member != id);
                assert_eq!(hub.session(id), None, "it is forgotten");
            }
            (3, Some(id)) => {
                hub.on_message(id, Message::binary(&[deed]), &mut post);
                assert_eq!((post.sent.len(), &post.closed[..]), (0, &[id][..]), "P6: binary closes");
                members.retain(|&member| member != id);
                closing.push(id);
            }
            (4, _) if !closing.is_empty() => {
                let id = closing.swap_remove(who % closing.len());
                hub.on_close(id, &End::ClosedByUs(CloseCode::UNSUPPORTED_DATA), &mut post);
                assert_eq!(hub.session(id), None, "it is forgotten");
            }
            (5, Some(id)) => {
                let count = usize::from(source.byte());
                let text = String::from_utf8_lossy(source.take(count)).into_owned();
                say(&mut hub, id, &text, &members, &mut post);
            }
            (_, Some(id)) => {
                said += 1;
                let text = format!(r#"{{"type":"chat","msg":"{}","n":{said}}}"#, "é".repeat(who));
                say(&mut hub, id, &text, &members, &mut post);
            }
        }
        assert_eq!(hub.lobby().len(), members.len());
        let connected = members.len() + closing.len();
        // A table keeps at most room for 64, or four times as many as are there.
        let (held, bound) = (hub.held_bytes(), 110 * (64 + 4 * connected));
        assert!(held <= bound, "memory is bounded by who is there: {held} bytes for {connected}");
        assert!(hub.kept_bytes() <= 4 * 1024 * 1024, "and by the log of one room");
    }
    for id in members.into_iter().chain(closing) {
        hub.on_close(id, &End::Lost, &mut Post::default());
    }
    assert!(hub.lobby().is_empty());
}

fn say(hub: &mut Hub, id: ConnId, text: &str, members: &[ConnId], post: &mut Post) {
    let request = parse_plain(text).map(|request| request.body);
    if let Ok(Body::Hello(_)) = request {
        return; // these clients have no sessions
    }
    hub.on_message(id, Message::text(text), post);
    assert!(post.closed.is_empty());
    let mut heard: Vec<ConnId> = post.sent.iter().map(|&(to, _)| to).collect();
    heard.sort_unstable();
    if let Ok(Body::Chat(_)) = request {
        let mut others: Vec<ConnId> = members.iter().copied().filter(|&member| member != id).collect();
        others.sort_unstable();
        assert_eq!(heard, others, "P2: all others, once, and nobody else");
        assert!(post.sent.iter().all(|(_, bytes)| bytes == text.as_bytes()), "P2: byte for byte");
    } else {
        assert_eq!(heard, [id], "P4: its author alone");
        assert!(post.sent[0].1.starts_with(br#"{"type":"error","#));
    }
}
