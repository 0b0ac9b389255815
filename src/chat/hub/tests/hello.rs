//! How a session begins.

use super::*;

#[test]
fn a_welcome_tells_all_that_a_client_must_know() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"lobby": {"presence": true}}));
    let Client { session, token, welcome, .. } = &ann;
    assert!(session.starts_with("s_") && token.starts_with("r_") && session[2..] != token[2..]);
    let epoch = welcome["rooms"]["lobby"]["epoch"].as_str().unwrap();
    assert_eq!(
        *welcome,
        json!({
            "type": "welcome", "id": 1, "v": 1, "session": session, "resume_token": token, "resume_ttl_s": 60,
            "resumed": false, "heartbeat": {"interval_s": 30, "misses": 3},
            "limits": {
                "message_bytes": 1_048_576, "batch": 100, "rooms": 100, "state_bytes": 1_048_576, "state_depth": 32,
            },
            "rooms": {"lobby": {"epoch": epoch, "seq": 0, "members": []}},
        })
    );
    assert!(bench.take(ann.id).is_empty());
    assert_eq!(bench.out.overload_codes[&ann.id].number(), 4101);
}

#[test]
fn heartbeat_interval_is_rounded_up() {
    let mut bench = Bench::with(Options { ping_interval: millis(2001), ..Options::default() });
    assert_eq!(bench.client(json!({})).welcome["heartbeat"]["interval_s"], 3);
}

#[test]
fn without_rooms_a_hello_joins_the_lobby_and_with_none_no_room() {
    let mut bench = Bench::new();
    let id = bench.announced();
    let ann = bench.hello(id, json!({}));
    let rooms = ann.welcome["rooms"].as_object().unwrap();
    assert_eq!(rooms.keys().collect::<Vec<_>>(), ["lobby"]);
    assert!(rooms["lobby"]["members"].is_null() && rooms["lobby"]["state"].is_null(), "they come where asked for");
    let bob = bench.client(json!({}));
    assert_eq!(bob.welcome["rooms"], json!({}));
    bench.chat(&ann, "lobby", "a");
    assert!(bench.take(bob.id).is_empty());
}

#[test]
fn members_are_the_others_with_what_they_say_of_themselves() {
    let mut bench = Bench::new();
    let plain = bench.plain();
    let id = bench.announced();
    let ann = bench.hello(id, json!({"info": {"name": "Ann", "n": 1}, "rooms": {"docs": {}, "lobby": {}}}));
    let bob = bench.client(json!({"docs": {"presence": true}, "lobby": {"presence": true}}));
    let expected = json!([{"session": ann.session, "info": {"name": "Ann", "n": 1}}]);
    assert_eq!(bob.welcome["rooms"]["docs"]["members"], expected);
    assert_eq!(bob.welcome["rooms"]["lobby"]["members"], expected, "plain clients are not listed");
    assert!(bench.take(plain).is_empty());
}

#[test]
fn a_second_hello_is_an_invalid_message() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"docs": {}}));
    let error = bench.ask(&ann, json!({"type": "hello", "id": 9, "v": 1}));
    assert_has(&error, &json!({"type": "error", "id": 9, "code": "invalid_message"}));
    assert_eq!(bench.closed(ann.id), None);
    bench.chat(&ann, "docs", "still there");
}

#[test]
fn a_hello_in_plain_mode_switches_and_leaves_the_lobby() {
    let mut bench = Bench::new();
    let (id, other) = (bench.plain(), bench.plain());
    let public = bench.hub.session(id).unwrap().to_string();
    let ann = bench.hello(id, json!({"rooms": {"docs": {}}}));
    assert_eq!(ann.session, public, "it keeps the id by which others know it");
    assert_eq!(bench.hub.lobby().len(), 1);
    bench.say(other, json!({"type": "chat", "msg": "a"}));
    assert!(bench.take(id).is_empty(), "it is no longer in the lobby");
    bench.chat(&ann, "docs", "b");
    assert!(bench.take(other).is_empty());
}

#[test]
fn a_plain_client_that_says_hello_may_stay_in_the_lobby_and_hears_nothing_twice() {
    let mut bench = Bench::new();
    let (id, other) = (bench.plain(), bench.plain());
    bench.hello(id, json!({}));
    bench.say(other, json!({"type": "chat", "msg": "a"}));
    assert_eq!(bench.heard(id), ["a"]);
}

#[test]
fn an_unsupported_version_gets_the_error_and_then_4000() {
    let mut bench = Bench::new();
    for id in [bench.announced(), bench.plain()] {
        bench.say(id, json!({"type": "hello", "id": 1, "v": 2}));
        let error = bench.one(id);
        assert_has(&error, &json!({"type": "error", "id": 1, "code": "unsupported_version"}));
        assert_eq!(bench.closed(id), Some((4000, "unsupported_version")));
        bench.end(id, End::ClosedByUs(CloseCode::UNSUPPORTED_VERSION));
    }
    assert!(bench.is_empty());
}

#[test]
fn whoever_announced_a_session_must_say_hello_first() {
    let mut bench = Bench::new();
    let (id, other) = (bench.announced(), bench.plain());
    for message in [json!({"type": "chat", "id": 1}), json!({"type": "ping", "id": 1})] {
        bench.say(id, message);
        assert_has(&bench.one(id), &json!({"type": "error", "id": 1, "code": "hello_required"}));
    }
    bench.say(other, json!({"type": "chat"}));
    assert!(bench.take(id).is_empty() && bench.take(other).is_empty(), "it hears nothing and is not heard");
    bench.hello(id, json!({}));
    assert_eq!(bench.closed(id), None, "an error never closes");
}

#[test]
fn requests_of_sessions_by_a_plain_client_are_hello_required() {
    let mut bench = Bench::new();
    let id = bench.plain();
    for message_type in ["join", "leave", "signal", "ping"] {
        bench.say(id, json!({"type": message_type, "id": 3}));
        assert_has(&bench.one(id), &json!({"type": "error", "id": 3, "code": "hello_required"}));
    }
    bench.say(id, json!({"type": "patch", "id": 3, "patch": {}}));
    assert_has(&bench.one(id), &json!({"code": "hello_required"}));
}

#[test]
fn without_a_hello_in_time_the_connection_is_closed_with_4102() {
    let mut bench = Bench::new();
    let (late, in_time, gone) = (bench.announced(), bench.announced(), bench.announced());
    bench.lose(gone);
    bench.wait(millis(9_999));
    bench.hello(in_time, json!({}));
    assert_eq!(bench.closed(late), None);
    bench.wait(millis(1));
    assert_eq!(bench.closed(late), Some((4102, "hello_timeout")));
    assert!(bench.take(late).is_empty(), "without hello no disconnect");
    bench.wait(seconds(60));
    assert_eq!((bench.closed(in_time), bench.closed(gone)), (None, None));
}

#[test]
fn a_room_that_is_refused_is_not_in_the_welcome_and_gets_an_error_without_id() {
    let mut bench = Bench::with(Options { rooms_per_session: 2, ..Options::default() });
    let id = bench.announced();
    let ann = bench.hello(id, json!({"rooms": {"a": {}, "b": {}, "c": {}}}));
    assert_eq!(ann.welcome["rooms"].as_object().unwrap().len(), 2);
    let error = bench.one(id);
    assert_has(&error, &json!({"type": "error", "code": "room_limit", "id": null}));
    assert!(ann.welcome["rooms"][error["room"].as_str().unwrap()].is_null());
}
