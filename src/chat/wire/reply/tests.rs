//! The messages of the protocol, byte for byte, and what may be left out of them.

use super::*;

fn written(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    serde_json::from_str::<serde_json::Value>(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    out
}

fn id(json: &str) -> RequestId {
    RequestId::parse(json).unwrap()
}

const LIMITS: Limits =
    Limits { message_bytes: 1_048_576, batch: 100, rooms: 100, state_bytes: 1_048_576, state_depth: 32 };

fn joined(people: Option<People<'_>>) -> Joined<'_> {
    let position = Position { epoch: "e7", seq: 0 };
    Joined { position, version: None, state: None, people, recovered: None }
}

fn welcome<'a>(id: Option<&'a RequestId>, rooms: &'a [(&'a str, Joined<'a>)]) -> Welcome<'a> {
    Welcome {
        id,
        session: &"s_9f3kQ2",
        user: Some("ann"),
        resume_token: &"r_1xVt8",
        resume_ttl_s: 60,
        resumed: false,
        heartbeat_interval_s: 30,
        heartbeat_misses: 3,
        limits: LIMITS,
        rooms,
    }
}

#[test]
fn welcome_is_as_in_the_protocol() {
    let lobby = [("lobby", joined(Some(People::Members(&[]))))];
    assert_eq!(
        written(|out| welcome(Some(&id("1")), &lobby).write(out)),
        r#"{"type":"welcome","id":1,"v":1,"session":"s_9f3kQ2","user":"ann","resume_token":"r_1xVt8","resume_ttl_s":60,"resumed":false,"heartbeat":{"interval_s":30,"misses":3},"limits":{"message_bytes":1048576,"batch":100,"rooms":100,"state_bytes":1048576,"state_depth":32},"rooms":{"lobby":{"epoch":"e7","seq":0,"members":[]}}}"#
    );
}

#[test]
fn a_welcome_tells_of_each_room_what_was_asked_for() {
    let bob = [Member { session: &"s_b81", user: None, info: Some("null") }];
    let docs = Joined { version: Some(12), state: Some("{}"), recovered: Some(true), ..joined(None) };
    let rooms = [
        ("do\"cs", docs),
        ("a", joined(Some(People::Members(&bob)))),
        ("b", joined(Some(People::Count(501)))),
        ("c", joined(None)),
    ];
    let text = written(|out| Welcome { user: None, resumed: true, ..welcome(None, &rooms) }.write(out));
    assert!(text.starts_with(r#"{"type":"welcome","v":1,"session":"s_9f3kQ2","resume_token":"r_1xVt8","#), "{text}");
    assert!(text.contains(r#""resumed":true"#), "{text}");
    let expected = r#""rooms":{"do\"cs":{"epoch":"e7","seq":0,"version":12,"state":{},"recovered":true},"a":{"epoch":"e7","seq":0,"members":[{"session":"s_b81","info":null}]},"b":{"epoch":"e7","seq":0,"count":501},"c":{"epoch":"e7","seq":0}}}"#;
    assert!(text.ends_with(expected), "{text}");
    assert!(written(|out| welcome(None, &[]).write(out)).ends_with(r#""rooms":{}}"#));
}

#[test]
fn ack_is_as_in_the_protocol() {
    let bob = [Member { session: &"s_b81", user: Some("bob"), info: Some(r#"{"name":"Bob"}"#) }];
    let joined = Joined {
        position: Position { epoch: "e7", seq: 118 },
        version: Some(12),
        state: Some(r#"{"title":"Draft"}"#),
        people: Some(People::Members(&bob)),
        recovered: Some(true),
    };
    assert_eq!(
        written(|out| joined.ack(&id("3"), "docs").write(out)),
        r#"{"type":"ack","id":3,"room":"docs","epoch":"e7","seq":118,"version":12,"state":{"title":"Draft"},"members":[{"session":"s_b81","user":"bob","info":{"name":"Bob"}}],"recovered":true}"#
    );
}

#[test]
fn an_ack_tells_no_more_than_there_is() {
    let (id, position) = (id("\"m-17\""), Some(Position { epoch: "e7", seq: 9 }));
    assert_eq!(written(|out| Ack::new(&id).write(out)), r#"{"type":"ack","id":"m-17"}"#);
    let chat = Ack { room: Some("docs"), position, duplicate: true, ..Ack::new(&id) };
    let expected = r#"{"type":"ack","id":"m-17","room":"docs","epoch":"e7","seq":9,"duplicate":true}"#;
    assert_eq!(written(|out| chat.write(out)), expected);
    let count = Ack { people: Some(People::Count(501)), recovered: Some(false), ..Ack::new(&id) };
    let expected = r#"{"type":"ack","id":"m-17","count":501,"recovered":false}"#;
    assert_eq!(written(|out| count.write(out)), expected);
    let patch = Ack { version: Some(13), ..Ack::new(&id) };
    assert_eq!(written(|out| patch.write(out)), r#"{"type":"ack","id":"m-17","version":13}"#);
}

#[test]
fn error_is_as_in_the_protocol() {
    let id = id("5");
    let conflict = Error::new(ErrorCode::VersionConflict, "state is at version 14");
    assert_eq!(
        written(|out| Error { id: Some(&id), room: Some("docs"), version: Some(14), ..conflict }.write(out)),
        r#"{"type":"error","id":5,"code":"version_conflict","message":"state is at version 14","room":"docs","version":14}"#
    );
    let other =
        Error { field: Some("v"), limit: Some(1), retry_after_ms: Some(2), ..Error::new(ErrorCode::Busy, "\"") };
    let expected = r#"{"type":"error","code":"busy","message":"\"","field":"v","limit":1,"retry_after_ms":2}"#;
    assert_eq!(written(|out| other.write(out)), expected);
}

#[test]
fn chat_and_signal_are_as_in_the_protocol() {
    let from = Sender { session: &"s_9f3kQ2", user: Some("ann") };
    let own_members = r#","msg":"hi","color":"red""#;
    let chat = Chat { room: "docs", seq: 119, from, ts: 1_734_190_000_123, own_members };
    assert_eq!(
        written(|out| chat.write(out)),
        r#"{"type":"chat","room":"docs","seq":119,"from":{"session":"s_9f3kQ2","user":"ann"},"ts":1734190000123,"msg":"hi","color":"red"}"#
    );
    assert!(written(|out| Chat { own_members: "", ..chat }.write(out)).ends_with(r#","ts":1734190000123}"#));
    let plain = written(|out| write_plain_chat(out, own_members));
    assert_eq!(plain, r#"{"type":"chat","msg":"hi","color":"red"}"#);
    assert_eq!(written(|out| write_plain_chat(out, "")), r#"{"type":"chat"}"#);

    let from = Sender { session: &"s_b81", user: None };
    let signal = Signal { room: "docs", from, data: Some(r#"{"typing":true}"#) };
    assert_eq!(
        written(|out| signal.write(out)),
        r#"{"type":"signal","room":"docs","from":{"session":"s_b81"},"data":{"typing":true}}"#
    );
    assert!(written(|out| Signal { data: None, ..signal }.write(out)).ends_with(r#""from":{"session":"s_b81"}}"#));
}

#[test]
fn presence_is_as_in_the_protocol() {
    let joins = [Member { session: &"s_c02", user: Some("ann"), info: None }];
    let leaves = [Member { session: &"s_b81", user: Some("bob"), info: None }];
    let change = Change::People { joins: &joins, leaves: &leaves };
    assert_eq!(
        written(|out| Presence { room: "docs", change }.write(out)),
        r#"{"type":"presence","room":"docs","joins":[{"session":"s_c02","user":"ann"}],"leaves":[{"session":"s_b81","user":"bob"}]}"#
    );
    let change = Change::Count(501);
    let text = written(|out| Presence { room: "docs", change }.write(out));
    assert_eq!(text, r#"{"type":"presence","room":"docs","count":501}"#);
}

#[test]
fn state_and_patch_are_as_in_the_protocol() {
    let (room, title) = ("docs", r#"{"title":"Plan"}"#);
    let text = written(|out| State { room, version: 14, state: title }.write(out));
    assert_eq!(text, r#"{"type":"state","room":"docs","version":14,"state":{"title":"Plan"}}"#);
    let from = Sender { session: &"s_b81", user: None };
    let text = written(|out| Patch { room, version: 13, from, patch: title }.write(out));
    assert_eq!(
        text,
        r#"{"type":"patch","room":"docs","version":13,"from":{"session":"s_b81"},"patch":{"title":"Plan"}}"#
    );
}

#[test]
fn gap_is_as_in_the_protocol() {
    let gap = |reason| written(|out| Gap { room: "docs", epoch: "e7", reason }.write(out));
    let rest = r#"{"type":"gap","room":"docs","epoch":"e7""#;
    let overrun = gap(GapReason::Overrun(102, 117));
    assert_eq!(overrun, format!(r#"{rest},"from_seq":102,"to_seq":117,"reason":"overrun"}}"#));
    let expired = gap(GapReason::Expired(1, 1));
    assert_eq!(expired, format!(r#"{rest},"from_seq":1,"to_seq":1,"reason":"expired"}}"#));
    assert_eq!(gap(GapReason::Reset), format!(r#"{rest},"reason":"reset"}}"#), "nobody knows how many");
}

#[test]
fn disconnect_and_pong_are_as_in_the_protocol() {
    let restart = Disconnect { code: 1012, reason: "restart", reconnect: true, after_ms: Some(8231) };
    let expected = r#"{"type":"disconnect","code":1012,"reason":"restart","reconnect":true,"after_ms":8231}"#;
    assert_eq!(written(|out| restart.write(out)), expected);
    let replaced = Disconnect { code: 4003, reason: "replaced", reconnect: false, after_ms: None };
    let expected = r#"{"type":"disconnect","code":4003,"reason":"replaced","reconnect":false}"#;
    assert_eq!(written(|out| replaced.write(out)), expected);
    let pong = written(|out| Pong { id: Some(&id("6")), ts: 1_734_190_000_456 }.write(out));
    assert_eq!(pong, r#"{"type":"pong","id":6,"ts":1734190000456}"#);
    assert_eq!(written(|out| Pong { id: None, ts: 0 }.write(out)), r#"{"type":"pong","ts":0}"#);
}

#[test]
fn text_of_others_cannot_leave_its_string() {
    let evil = "\",\"from\":{\"user\":\"root\"},\"x\":\"\n\0\\";
    let from = Sender { session: &evil, user: Some(evil) };
    let text = written(|out| Signal { room: evil, from, data: None }.write(out));
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&object["room"], &object["from"]["user"]), (&evil.into(), &evil.into()));
    assert_eq!(object["from"]["session"], evil);
    assert_eq!(object.as_object().unwrap().len(), 3);
}

#[test]
fn the_codes_are_the_closed_list_of_the_protocol() {
    use ErrorCode::*;
    let codes = [
        InvalidJson,
        InvalidMessage,
        UnknownType,
        HelloRequired,
        UnsupportedVersion,
        Unauthorized,
        TokenExpired,
        Forbidden,
        NotJoined,
        RoomLimit,
        MessageTooLarge,
        StateTooLarge,
        RateLimited,
        VersionConflict,
        Busy,
        Internal,
    ];
    let list = "invalid_json invalid_message unknown_type hello_required unsupported_version unauthorized token_expired \
        forbidden not_joined room_limit message_too_large state_too_large rate_limited version_conflict busy internal";
    assert_eq!(codes.map(ErrorCode::as_str).join(" "), list);
}
