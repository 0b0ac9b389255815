//! What clients may write, what is refused, and with which words.

mod mutations;

use super::super::{ErrorCode, JSON_DEPTH_MAX};
use super::*;

const BATCH_MAX: usize = 100;

fn one(text: &str) -> Result<Request<'_>, Refusal> {
    match parse_session(text, BATCH_MAX) {
        Ok(Input::One(request)) => request,
        Ok(Input::Batch(_)) => panic!("it is no batch: {text}"),
        Err(error) => Err(error.into()),
    }
}

fn accepted(text: &str) -> Request<'_> {
    one(text).unwrap_or_else(|refusal| panic!("{text}: {}", refusal.to_json()))
}

fn id(text: &str) -> Option<String> {
    accepted(text).id.map(|id| id.as_json().to_owned())
}

/// Code, field, id and room of a refusal; what is missing is empty.
fn refused(text: &str) -> [String; 4] {
    let refusal = one(text).map(|request| panic!("{text}: {request:?}")).unwrap_err();
    let id = refusal.id.map_or(String::new(), |id| id.as_json().to_owned());
    let field = refusal.error.field.unwrap_or_default().to_owned();
    [refusal.error.code.as_str().to_owned(), field, id, refusal.room.unwrap_or_default()]
}

fn hello(text: &str) -> Hello<'_> {
    match accepted(text).body {
        Body::Hello(hello) => hello,
        body => panic!("{text}: {body:?}"),
    }
}

fn join_options(text: &str) -> JoinOptions<'_> {
    match accepted(text).body {
        Body::Join { options, .. } => options,
        body => panic!("{text}: {body:?}"),
    }
}

#[test]
fn the_hellos_of_the_protocol_are_read() {
    let text = r#"{"type":"hello","id":1,"v":1,"token":"…","info":{"name":"Ann"},"rooms":{"lobby":{"presence":true,"last":20}}}"#;
    assert_eq!(id(text).as_deref(), Some("1"));
    let Hello { version, token, info, resume, rooms } = hello(text);
    assert_eq!((version, token.as_deref(), info, resume), (1, Some("…"), Some(r#"{"name":"Ann"}"#), None));
    let options = JoinOptions { presence: true, last: Some(20), ..JoinOptions::default() };
    assert_eq!(rooms, Some(vec![("lobby".into(), options)]));

    let text = r#"{"type":"hello","id":1,"v":1,"resume":{"session":"s_9f3kQ2","token":"r_1xVt8"},"rooms":{"docs":{"state":true,"since":{"epoch":"e7","seq":101,"version":9}}}}"#;
    let Hello { version, token, info, resume, rooms } = hello(text);
    assert_eq!((version, token, info), (1, None, None));
    assert_eq!(resume, Some(Resume { session: "s_9f3kQ2".into(), token: "r_1xVt8".into() }));
    let since = Some(Since { epoch: "e7".into(), seq: 101, version: Some(9) });
    assert_eq!(rooms, Some(vec![("docs".into(), JoinOptions { state: true, since, ..JoinOptions::default() })]));
}

#[test]
fn the_other_requests_of_the_protocol_are_read() {
    let request = accepted(r#"{"type":"auth","id":2,"token":"…"}"#);
    assert!(matches!(&request.body, Body::Auth { token } if token == "…"), "{request:?}");
    let request = accepted(r#"{"type":"join","id":3,"room":"docs","presence":true,"state":true,"last":20}"#);
    let expected = JoinOptions { presence: true, state: true, last: Some(20), since: None };
    assert!(matches!(&request.body, Body::Join { room, options } if room == "docs" && *options == expected));
    let request = accepted(r#"{"type":"leave","id":4,"room":"docs"}"#);
    assert!(matches!(&request.body, Body::Leave { room } if room == "docs"), "{request:?}");
    let request = accepted(r#"{"type":"chat","id":"m-17","room":"docs","msg":"hi","color":"red"}"#);
    assert_eq!(request.id.as_ref().map(RequestId::as_json), Some(r#""m-17""#));
    let Body::Chat(chat) = request.body else { panic!("it is a chat") };
    assert_eq!((&*chat.room, &*chat.own_members()), ("docs", r#","msg":"hi","color":"red""#));
    let request = accepted(r#"{"type":"signal","room":"docs","data":{"typing":true}}"#);
    assert!(request.id.is_none());
    assert!(
        matches!(&request.body, Body::Signal { room, data } if room == "docs" && *data == Some(r#"{"typing":true}"#))
    );
    let request = accepted(r#"{"type":"patch","id":5,"room":"docs","base":12,"patch":{"title":"Plan","draft":null}}"#);
    let Body::Patch { room, base, patch } = request.body else { panic!("it is a patch") };
    assert_eq!((&*room, base, patch), ("docs", Some(12), r#"{"title":"Plan","draft":null}"#));
    let request = accepted(r#"{"type":"ping","id":6}"#);
    assert!(matches!(request.body, Body::Ping), "{request:?}");
}

#[test]
fn what_is_optional_may_be_missing_and_what_is_unknown_is_ignored() {
    for text in [
        r#"{"type":"ping","x":[1,{"x":1,"x":2}],"room":7}"#,
        r#"{"type":"leave"}"#,
        r#"{"type":"signal"}"#,
        r#"{"type":"patch","patch":{}}"#,
        r#"{"type":"join","since":{"epoch":"","seq":18446744073709551615,"x":0},"last":0,"state":false,"x":0}"#,
        r#"{"type":"hello","v":1,"rooms":{}}"#,
        r#"{"type":"hello","v":1,"rooms":{"a":{"x":1,"last":0}},"resume":{"session":"","token":"","x":0},"room":1}"#,
        "\t\r\n {\"t\\u0079pe\" : \"p\\u0069ng\" } ",
    ] {
        accepted(text);
    }
    assert!(matches!(accepted(r#"{"type":"leave"}"#).body, Body::Leave { room } if room == "lobby"));
    assert_eq!(join_options(r#"{"type":"join"}"#), JoinOptions::default());
    let hello_of_one = hello(r#"{"type":"hello","v":1}"#);
    assert!(hello_of_one.rooms.is_none() && hello_of_one.token.is_none() && hello_of_one.info.is_none());
    assert_eq!(hello(r#"{"type":"hello","v":1,"rooms":{}}"#).rooms, Some(vec![]), "no room is not the default");
    let since = join_options(r#"{"type":"join","since":{"seq":0,"epoch":"e\u0037"}}"#).since.unwrap();
    assert_eq!((&*since.epoch, since.seq, since.version), ("e7", 0, None));
}

#[test]
fn a_member_of_the_wrong_type_is_named() {
    for (members, field) in [
        (r#""type":"hello""#, "v"),
        (r#""type":"hello","v":"1""#, "v"),
        (r#""type":"hello","v":1.0"#, "v"),
        (r#""type":"hello","v":-1"#, "v"),
        (r#""type":"hello","v":18446744073709551616"#, "v"),
        (r#""type":"hello","v":1,"token":null"#, "token"),
        (r#""type":"hello","v":1,"resume":"r_1xVt8""#, "resume"),
        (r#""type":"hello","v":1,"resume":{"token":"r"}"#, "resume.session"),
        (r#""type":"hello","v":1,"resume":{"session":1,"token":"r"}"#, "resume.session"),
        (r#""type":"hello","v":1,"resume":{"session":"s"}"#, "resume.token"),
        (r#""type":"hello","v":1,"resume":{"session":"s","token":[]}"#, "resume.token"),
        (r#""type":"hello","v":1,"resume":{"session":"s","token":"r","token":"r"}"#, "resume"),
        (r#""type":"hello","v":1,"rooms":["lobby"]"#, "rooms"),
        (r#""type":"hello","v":1,"rooms":{"lobby":{},"lob\u0062y":{}}"#, "rooms"),
        (r#""type":"hello","v":1,"rooms":{"":{}}"#, "rooms"),
        (r#""type":"auth""#, "token"),
        (r#""type":"auth","token":5"#, "token"),
        (r#""type":"join","room":5"#, "room"),
        (r#""type":"join","room":null"#, "room"),
        (r#""type":"leave","room":{"name":"docs"}"#, "room"),
        (r#""type":"chat","room":["docs"]"#, "room"),
        (r#""type":"signal","room":true"#, "room"),
        (r#""type":"patch","room":0,"patch":{}"#, "room"),
    ] {
        let expected = ["invalid_message", field, "7", ""];
        assert_eq!(refused(&format!(r#"{{{members},"id":7}}"#)), expected, "{members}");
    }
}

#[test]
fn a_member_of_the_wrong_type_in_a_room_is_named_with_the_room() {
    for (members, field) in [
        (r#""presence":1"#, "presence"),
        (r#""presence":"true""#, "presence"),
        (r#""state":null"#, "state"),
        (r#""last":-0"#, "last"),
        (r#""last":1e2"#, "last"),
        (r#""last":"20""#, "last"),
        (r#""since":101"#, "since"),
        (r#""since":{}"#, "since.epoch"),
        (r#""since":{"version":1}"#, "since.epoch"),
        (r#""since":{"epoch":7,"seq":1}"#, "since.epoch"),
        (r#""since":{"epoch":"e7"}"#, "since.seq"),
        (r#""since":{"epoch":"e7","seq":-1}"#, "since.seq"),
        (r#""since":{"epoch":"e7","seq":1,"version":null}"#, "since.version"),
        (r#""since":{"epoch":"e7","seq":1,"s\u0065q":1}"#, "since"),
    ] {
        let expected = ["invalid_message", field, "7", "docs"];
        assert_eq!(refused(&format!(r#"{{"type":"join","id":7,"room":"docs",{members}}}"#)), expected);
        let hello = format!(r#"{{"type":"hello","v":1,"id":7,"rooms":{{"lobby":{{}},"docs":{{{members}}}}}}}"#);
        assert_eq!(refused(&hello), expected);
    }
    for (text, field) in [
        (r#"{"type":"hello","v":1,"id":7,"rooms":{"docs":true}}"#, "rooms"),
        (r#"{"type":"hello","v":1,"id":7,"rooms":{"docs":{"last":1,"last":1}}}"#, "rooms"),
        (r#"{"type":"patch","id":7,"room":"docs"}"#, "patch"),
        (r#"{"type":"patch","id":7,"room":"docs","patch":null}"#, "patch"),
        (r#"{"type":"patch","id":7,"room":"docs","patch":[{}]}"#, "patch"),
        (r#"{"type":"patch","id":7,"room":"docs","patch":"{}"}"#, "patch"),
        (r#"{"type":"patch","id":7,"room":"docs","patch":{},"base":"12"}"#, "base"),
        (r#"{"type":"patch","id":7,"room":"docs","patch":{},"base":null}"#, "base"),
    ] {
        assert_eq!(refused(text), ["invalid_message", field, "7", "docs"], "{text}");
    }
    assert_eq!(refused(r#"{"type":"patch","id":7}"#), ["invalid_message", "patch", "7", "lobby"]);
}

#[test]
fn an_unknown_type_is_told_with_its_id() {
    for message_type in ["", "Chat", "welcome", "chat ", "hello\\u0000"] {
        let text = format!(r#"{{"id":"a","room":"docs","type":"{message_type}"}}"#);
        assert_eq!(refused(&text), ["unknown_type", "type", "\"a\"", ""], "{text}");
    }
}

#[test]
fn what_is_refused_of_every_request_is_told_with_its_id() {
    let nested = format!(r#"{{"type":"ping","id":7,"x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for (text, code, field) in [
        (r#"{"id":7}"#, "invalid_message", "type"),
        (r#"{"id":7,"type":null}"#, "invalid_message", "type"),
        (r#"{"id":7,"type":"ping","x":1,"\u0078":2}"#, "invalid_message", ""),
        (r#"{"id":7,"type":"ping","type":"ping"}"#, "invalid_message", ""),
        (r#"{"id":7,"type":"ping","x":"\ud800"}"#, "invalid_json", ""),
        (&nested, "invalid_message", ""),
    ] {
        assert_eq!(refused(text), [code, field, "7", ""], "{text}");
    }
    for text in ["", " ", "x", "{", r#"{"type":"ping"} {}"#, r#"{"type":"ping","id":7"#, "\u{feff}[]"] {
        assert_eq!(refused(text), ["invalid_json", "", "", ""], "{text}");
    }
    for text in ["1", "null", "\"ping\""] {
        assert_eq!(refused(text), ["invalid_message", "", "", ""], "{text}");
    }
}

#[test]
fn an_id_is_a_short_string_or_an_integer_and_otherwise_not_given_back() {
    let longest = format!("\"{}\"", "é".repeat(32));
    let digits = "9".repeat(64);
    let escapes = format!("\"{}\"", r"\u0001".repeat(64));
    for id_sent in ["0", "-0", "-17", "\"\"", "\"17\"", &longest, &digits, &format!("-{digits}"), &escapes] {
        assert_eq!(id(&format!(r#"{{"type":"ping","id": {id_sent} }}"#)).as_deref(), Some(id_sent));
    }
    for no_id in [
        "null",
        "true",
        "[1]",
        "{}",
        "1.0",
        "1e3",
        "1E3",
        "-1.5",
        &format!("\"{}\"", "a".repeat(65)),
        &format!("\"{}a\"", "é".repeat(32)),
        &format!("1{digits}"),
    ] {
        let expected = ["invalid_message", "id", "", ""];
        for rest in [r#""type":"ping""#, r#""type":"chat","room":"docs""#, r#""type":"unknown""#] {
            assert_eq!(refused(&format!(r#"{{"id":{no_id},{rest}}}"#)), expected, "{no_id}");
        }
        let expected = ["invalid_message", "type", "", ""];
        assert_eq!(refused(&format!(r#"{{"id":{no_id}}}"#)), expected, "{no_id}");
    }
    let expected = ["invalid_message", "", "", ""];
    assert_eq!(refused(r#"{"type":"ping","id":1,"id":2}"#), expected, "which of them waits for the answer?");
    assert_eq!(refused(r#"{"type":"ping","x":0,"x":0,"id":1,"id":1}"#), expected);
}

#[test]
fn ids_are_equal_if_every_reader_takes_them_for_the_same() {
    let id = |json| RequestId::parse(json).unwrap();
    assert_ne!(id("1"), id("\"1\""));
    assert_ne!(id("0"), id("-0"));
    assert_ne!(id("\"a\""), id("\"A\""));
    assert_eq!(id("\"a\""), id(r#""\u0061""#));
    assert_eq!(id(r#""\/é\ud83d\ude00\u000a""#), id(r#""/\u00e9😀\n""#));
    assert_eq!(id(r#""\/é\ud83d\ude00\u000a""#).as_json(), r#""/é😀\n""#);
    let ids: std::collections::HashSet<RequestId> = ["1", "\"1\"", r#""\u0031""#].map(id).into();
    assert_eq!(ids.len(), 2);
}

#[test]
fn the_name_of_a_room_has_1_to_128_bytes_and_no_control_characters() {
    let longest = "é".repeat(64);
    for name in [" ", "lobby", "a/b \"c\\", "😀", "\u{a0}", "\u{2028}", &longest] {
        let json = serde_json::to_string(name).unwrap();
        let text = format!(r#"{{"type":"leave","room":{json}}}"#);
        assert!(matches!(accepted(&text).body, Body::Leave { room } if room == name), "{name}");
        let text = format!(r#"{{"type":"hello","v":1,"rooms":{{{json}:{{}}}}}}"#);
        assert_eq!(hello(&text).rooms.unwrap()[0].0, name);
    }
    let too_long = format!("{longest}a");
    for name in ["", "\0", "a\n", "\u{1f}", "\u{7f}", "\u{80}", "a\u{9f}b", &too_long] {
        let json = serde_json::to_string(name).unwrap();
        for rest in [r#""type":"join""#, r#""type":"chat""#, r#""type":"signal""#, r#""type":"patch","patch":{}"#] {
            let text = format!(r#"{{{rest},"id":7,"room":{json}}}"#);
            assert_eq!(refused(&text), ["invalid_message", "room", "7", ""], "{text}");
        }
        let text = format!(r#"{{"type":"hello","v":1,"id":7,"rooms":{{{json}:{{}}}}}}"#);
        assert_eq!(refused(&text), ["invalid_message", "rooms", "7", ""], "{text}");
    }
}

#[test]
fn info_is_any_value_of_at_most_4096_bytes() {
    for info in ["null", "1e400", "\"Ann\"", "[1, 2]", &format!("\"{}\"", "a".repeat(INFO_BYTES_MAX - 2))] {
        assert_eq!(hello(&format!(r#"{{"type":"hello","v":1,"info": {info} }}"#)).info, Some(info));
    }
    let text = format!(r#"{{"type":"hello","v":1,"id":7,"info":"{}"}}"#, "a".repeat(INFO_BYTES_MAX - 1));
    assert_eq!(refused(&text), ["invalid_message", "info", "7", ""]);
}

#[test]
fn of_a_hello_of_another_version_only_the_version_is_read() {
    let other = hello(r#"{"type":"hello","v":2,"rooms":["lobby"],"token":{"jwt":"…"},"resume":1}"#);
    assert_eq!((other.version, other.rooms.is_none(), other.token.is_none()), (2, true, true));
    assert_eq!(hello(r#"{"type":"hello","v":0}"#).version, 0);
}

#[test]
fn p3_a_chat_keeps_its_own_members_and_none_that_the_server_sets() {
    let text = r#"{"seq":9,"b" : [1,  2.50e+3] ,"type":"chat","fr\u006fm":{"user":"root"},"a\u0062\"":"\u0061\/","ts":1,
        "epoch":null,"room":"docs","id":1,"Type":"x","from ":0,"v":123456789012345678901234567890}"#;
    let Body::Chat(chat) = accepted(text).body else { panic!("it is a chat") };
    let expected = r#","b":[1,  2.50e+3],"ab\"":"\u0061\/","Type":"x","from ":0,"v":123456789012345678901234567890"#;
    assert_eq!(chat.own_members(), expected);
    let Body::Chat(chat) = accepted(r#"{"type":"chat"}"#).body else { panic!("it is a chat") };
    assert_eq!((&*chat.room, &*chat.own_members()), ("lobby", ""));
}

#[test]
fn a_plain_chat_is_for_the_lobby_whatever_its_members_are() {
    for text in [
        r#"{"type":"chat","msg":"hi"}"#,
        r#"{"type":"chat","room":"docs","id":7,"msg":"hi"}"#,
        r#"{"type":"chat","room":["docs"],"id":{},"from":1,"msg":"hi"}"#,
    ] {
        let request = parse_plain(text).unwrap();
        let Body::Chat(chat) = request.body else { panic!("it is a chat") };
        assert_eq!((request.id, &*chat.room, &*chat.own_members()), (None, "lobby", r#","msg":"hi""#), "{text}");
    }
}

#[test]
fn other_requests_in_plain_mode_are_read_as_in_session_mode_but_never_a_batch() {
    assert!(matches!(parse_plain(r#"{"type":"hello","v":1}"#).unwrap().body, Body::Hello(_)));
    assert!(matches!(parse_plain(r#"{"type":"leave","id":4}"#).unwrap().body, Body::Leave { .. }));
    for (text, code, id) in [
        (r#"{"type":"join","id":4,"room":""}"#, ErrorCode::InvalidMessage, Some("4")),
        (r#"{"type":"sing","id":4}"#, ErrorCode::UnknownType, Some("4")),
        (r#"{"type":"chat","id":4,"a":1,"a":2}"#, ErrorCode::InvalidMessage, Some("4")),
        (r#"[{"type":"chat","id":4}]"#, ErrorCode::InvalidMessage, None),
        ("[]", ErrorCode::InvalidMessage, None),
        ("oops", ErrorCode::InvalidJson, None),
    ] {
        let refusal = parse_plain(text).unwrap_err();
        assert_eq!((refusal.error.code, refusal.id.as_ref().map(RequestId::as_json)), (code, id), "{text}");
    }
}

fn batch(text: &str) -> Vec<Result<Request<'_>, Refusal>> {
    match parse_session(text, 3) {
        Ok(Input::Batch(requests)) => requests,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn each_message_of_a_batch_stands_for_itself() {
    let text = r#" [ {"type":"ping","id":1}, {"type":"sing","id":2} ,{"type":"chat","id":"3","msg":"a"} ] "#;
    let requests = batch(text);
    assert!(matches!(requests[0], Ok(Request { id: Some(_), body: Body::Ping })));
    assert_eq!(requests[1].as_ref().unwrap_err().error.code, ErrorCode::UnknownType);
    assert!(
        matches!(&requests[2], Ok(Request { body: Body::Chat(chat), .. }) if chat.own_members() == r#","msg":"a""#)
    );

    let requests = batch(r#"[[{"type":"ping"}],7,{"type":"ping","x":"\ud800","id":3}]"#);
    let refusals: Vec<&Refusal> = requests.iter().map(|request| request.as_ref().unwrap_err()).collect();
    let codes: Vec<&str> = refusals.iter().map(|refusal| refusal.error.code.as_str()).collect();
    assert_eq!(codes, ["invalid_message", "invalid_message", "invalid_json"], "an array in a batch is no message");
    assert_eq!(refusals[2].id, RequestId::parse("3"));
    assert!(refusals[0].id.is_none() && refusals[1].id.is_none());
}

#[test]
fn a_batch_that_is_empty_or_too_long_or_no_json_is_refused_whole() {
    let of = |count: usize| format!("[{}]", vec![r#"{"type":"ping"}"#; count].join(","));
    assert_eq!(batch(&of(3)).len(), 3);
    for text in ["[]", " [ ] ", &of(4), &of(100_000)] {
        assert_eq!(parse_session(text, 3).unwrap_err().code, ErrorCode::InvalidMessage, "{text:.80}");
    }
    assert!(parse_session(&of(4), 3).unwrap_err().message.contains("at most 3"));
    for text in ["[", "[{\"type\":\"ping\"}", "[{\"type\":\"ping\"},]", "[{\"type\":\"ping\"}] x", "[{\"type\":}]"] {
        assert_eq!(parse_session(text, 3).unwrap_err().code, ErrorCode::InvalidJson, "{text}");
    }
    let unclosed = "[".repeat(1024 * 1024);
    assert_eq!(parse_session(&unclosed, 3).unwrap_err().code, ErrorCode::InvalidJson, "nothing recurses");
}

#[test]
fn nesting_is_counted_from_each_message_of_a_batch() {
    let nested = |depth: usize| format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let (most, too_much) = (nested(JSON_DEPTH_MAX - 1), nested(JSON_DEPTH_MAX));
    accepted(&most);
    let text = format!("[{most},{too_much},{most}]");
    let requests = batch(&text);
    assert!(requests[0].is_ok() && requests[2].is_ok());
    assert_eq!(requests[1].as_ref().unwrap_err().error.code, ErrorCode::InvalidMessage);
}

#[test]
fn a_refusal_is_an_object_that_names_id_room_and_member() {
    let refusal = one(r#"{"type":"join","id":"\u0022","room":"\"","last":null}"#).unwrap_err();
    let expected = r#"{"type":"error","id":"\"","code":"invalid_message","message":"the member \"last\" must be an integer from 0 to 18446744073709551615","room":"\"","field":"last"}"#;
    assert_eq!(refusal.to_json(), expected);
    assert_eq!(one("{}").unwrap_err().to_json(), parse_plain("{}").unwrap_err().to_json());
}

#[test]
fn a_megabyte_of_members_or_rooms_is_read_in_one_go() {
    let members: String = (0..80_000).map(|n| format!(r#""n{n}":0,"#)).collect();
    let text = format!(r#"{{{members}"type":"chat","id":1}}"#);
    let Body::Chat(chat) = accepted(&text).body else { panic!("it is a chat") };
    assert_eq!(chat.own_members(), format!(",{}", members.trim_end_matches(',')));
    let rooms: Vec<String> = (0..50_000).map(|n| format!(r#""r{n}":{{"last":{n}}}"#)).collect();
    let text = format!(r#"{{"type":"hello","v":1,"rooms":{{{}}}}}"#, rooms.join(","));
    let read = hello(&text).rooms.unwrap();
    assert_eq!((read.len(), read[49_999].1.last), (50_000, Some(49_999)));
    assert_eq!(refused(&text.replace("r77\"", "r78\"")), ["invalid_message", "rooms", "", ""]);
}
