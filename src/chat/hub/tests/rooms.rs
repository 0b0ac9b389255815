//! What is asked for, and what is said in rooms.

use super::*;

#[test]
fn a_request_with_an_id_gets_exactly_one_answer_and_without_an_id_none() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"lobby": {}}));
    for request in [
        json!({"type": "join", "room": "docs"}),
        json!({"type": "chat", "room": "docs", "msg": "a"}),
        json!({"type": "signal", "room": "docs", "data": 1}),
        json!({"type": "patch", "room": "docs", "patch": {"a": 1}}),
        json!({"type": "auth", "token": "t"}),
        json!({"type": "leave", "room": "docs"}),
    ] {
        bench.say(ann.id, request.clone());
        assert!(bench.take(ann.id).is_empty(), "{request}");
        bench.say(ann.id, json!({"type": "join", "room": "docs"}));
        for id in [json!(1), json!("1")] {
            let mut request = request.clone();
            request["id"] = id.clone();
            bench.say(ann.id, request);
            let is_second_leave = id == "1" && bench.hub.rooms["docs"].members.is_empty();
            let answer = if is_second_leave { "error" } else { "ack" };
            assert_has(&bench.one(ann.id), &json!({"type": answer, "id": id}));
        }
    }
}

#[test]
fn an_ack_of_a_chat_says_where_it_is() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"docs": {}}));
    let epoch = ann.welcome["rooms"]["docs"]["epoch"].clone();
    let ack = bench.ask(&ann, json!({"type": "chat", "id": "m", "room": "docs", "msg": "a"}));
    assert_eq!(ack, json!({"type": "ack", "id": "m", "room": "docs", "epoch": epoch, "seq": 1}));
}

#[test]
fn a_repeated_id_is_not_published_again_and_its_first_ack_is_repeated() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}, "b": {}})), bench.client(json!({"a": {}, "b": {}})));
    let chat = |room: &str, id: Value| json!({"type": "chat", "id": id, "room": room, "msg": "x"});
    let first = bench.ask(&ann, chat("a", json!("1")));
    bench.chat(&bob, "a", "between");
    for room in ["a", "b", "left"] {
        let mut expected = first.clone();
        expected["duplicate"] = json!(true);
        assert_eq!(bench.ask(&ann, chat(room, json!("1"))), expected, "whatever the room");
    }
    assert_has(&bench.ask(&ann, chat("a", json!(1))), &json!({"seq": 3, "duplicate": null}));
    assert_has(&bench.ask(&bob, chat("a", json!("1"))), &json!({"seq": 4, "duplicate": null}));
    assert_eq!(bench.heard(bob.id), ["x", "x"]);
}

#[test]
fn a_repeated_id_is_known_after_a_resume_as_well() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    let seq = bench.chat(&ann, "a", "x");
    bench.lose(ann.id);
    bench.wait(seconds(59));
    let ann = bench.resume(&ann, json!({}));
    let ack = bench.ask(&ann, json!({"type": "chat", "id": "i-x", "room": "a", "msg": "x"}));
    assert_has(&ack, &json!({"seq": seq, "duplicate": true}));
}

#[test]
fn an_id_of_a_refused_chat_may_be_used_again() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({}));
    let chat = json!({"type": "chat", "id": 1, "room": "a", "msg": "x"});
    assert_has(&bench.ask(&ann, chat.clone()), &json!({"code": "not_joined", "id": 1, "room": "a"}));
    bench.say(ann.id, json!({"type": "join", "room": "a"}));
    assert_has(&bench.ask(&ann, chat), &json!({"type": "ack", "seq": 1, "duplicate": null}));
}

#[test]
fn whoever_is_not_in_a_room_can_neither_speak_there_nor_leave_it() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"docs": {}})), bench.client(json!({"lobby": {}})));
    for mut request in [
        json!({"type": "chat"}),
        json!({"type": "signal"}),
        json!({"type": "patch", "patch": {}}),
        json!({"type": "leave"}),
    ] {
        (request["id"], request["room"]) = (json!(2), json!("docs"));
        let error = bench.ask(&bob, request);
        assert_has(&error, &json!({"type": "error", "id": 2, "code": "not_joined", "room": "docs"}));
    }
    bench.say(bob.id, json!({"type": "chat", "room": "docs"}));
    assert_has(&bench.one(bob.id), &json!({"code": "not_joined", "id": null}));
    assert!(bench.take(ann.id).is_empty());
}

#[test]
fn a_session_is_in_at_most_so_many_rooms() {
    let mut bench = Bench::with(Options { rooms_per_session: 2, ..Options::default() });
    let ann = bench.client(json!({"a": {}, "b": {}}));
    let join = |room: &str| json!({"type": "join", "id": 1, "room": room});
    assert_has(&bench.ask(&ann, join("c")), &json!({"code": "room_limit", "id": 1, "room": "c"}));
    assert_eq!(bench.ask(&ann, join("a"))["type"], "ack", "it is there already");
    bench.say(ann.id, json!({"type": "leave", "room": "a"}));
    assert_eq!(bench.ask(&ann, join("c"))["type"], "ack");
}

#[test]
fn there_are_at_most_so_many_rooms_beside_the_lobby() {
    let mut bench = Bench::with(Options { rooms_max: 1, ..Options::default() });
    let ann = bench.client(json!({"a": {}}));
    let join = |room: &str| json!({"type": "join", "id": 1, "room": room});
    assert_eq!(bench.ask(&ann, join("b"))["code"], "room_limit");
    assert_eq!(bench.ask(&ann, join("lobby"))["type"], "ack");
}

#[test]
fn a_room_that_is_empty_makes_place_for_another_and_the_longest_first() {
    let mut bench = Bench::with(Options { rooms_max: 3, ..Options::default() });
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({})));
    // Nobody can keep others from new rooms by making and leaving them.
    for n in 0..10 {
        for message in ["join", "leave"] {
            let room = if n == 0 { "b".to_owned() } else { format!("c{n}") };
            let answer = bench.ask(&bob, json!({"type": message, "id": 1, "room": room}));
            assert_eq!(answer["type"], "ack", "{answer}");
        }
    }
    let names: Vec<&str> = bench.hub.rooms.keys().map(|name| &**name).collect();
    assert!(names.len() == 3 && ["a", "c8", "c9"].iter().all(|name| names.contains(name)), "{names:?}");
    // The room of a session that waits may go too: then its log is another, and it is told.
    let chat = bench.ask(&ann, json!({"type": "chat", "id": 1, "room": "a"}));
    bench.lose(ann.id);
    for room in ["d", "e", "f"] {
        assert_eq!(bench.ask(&bob, json!({"type": "join", "id": 1, "room": room}))["type"], "ack");
    }
    let since = json!({"rooms": {"a": {"since": {"epoch": chat["epoch"], "seq": chat["seq"]}}}});
    let back = bench.resume(&ann, since.clone());
    assert_eq!((&back.welcome["resumed"], &back.welcome["rooms"]), (&json!(true), &json!({})));
    assert_has(&bench.one(back.id), &json!({"type": "error", "code": "room_limit", "room": "a"}));
    assert_eq!(bench.ask(&back, json!({"type": "chat", "id": 2, "room": "a"}))["code"], "not_joined");
    bench.ask(&bob, json!({"type": "leave", "id": 1, "room": "e"}));
    let again = bench.resume(&back, since);
    assert_eq!(again.welcome["rooms"]["a"]["recovered"], false);
    assert_has(&bench.one(again.id), &json!({"type": "gap", "room": "a", "reason": "reset"}));
}

#[test]
fn a_chat_reaches_those_in_its_room_until_they_leave() {
    let mut bench = Bench::new();
    let (ann, bob, cid) = (bench.client(json!({"a": {}})), bench.client(json!({"b": {}})), bench.client(json!({})));
    bench.chat(&ann, "a", "1");
    let ack = bench.ask(&bob, json!({"type": "join", "id": 3, "room": "a"}));
    assert_has(&ack, &json!({"type": "ack", "id": 3, "room": "a", "seq": 1, "members": null, "version": null}));
    assert!(ack["epoch"].is_string());
    bench.chat(&ann, "a", "2");
    bench.ask(&bob, json!({"type": "leave", "id": 4, "room": "a"}));
    bench.chat(&ann, "a", "3");
    assert_eq!((bench.heard(bob.id), bench.heard(cid.id)), (vec!["2".to_owned()], vec![]));
}

#[test]
fn last_brings_the_last_chats_and_none_without_it() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    for n in 1..=5 {
        bench.chat(&ann, "a", &n.to_string());
    }
    for (options, expected) in [
        (json!({}), vec![]),
        (json!({"last": 0}), vec![]),
        (json!({"last": 2}), vec!["4", "5"]),
        (json!({"last": 99}), vec!["1", "2", "3", "4", "5"]),
    ] {
        let bob = bench.client(json!({"a": options}));
        assert_eq!(bob.welcome["rooms"]["a"]["recovered"], Value::Null);
        assert_eq!(bench.heard(bob.id), expected);
    }
}

#[test]
fn a_signal_goes_to_the_others_and_is_not_logged() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.say_text(ann.id, r#"{"type":"signal","room":"a","data":{"n":1.0},"from":"me"}"#);
    assert!(bench.take(ann.id).is_empty());
    let session = &ann.session;
    let expected = format!(r#"{{"type":"signal","room":"a","from":{{"session":"{session}"}},"data":{{"n":1.0}}}}"#);
    assert_eq!(bench.texts(bob.id), [expected]);
    assert_eq!(bench.chat(&ann, "a", "x"), 1);
    let cid = bench.client(json!({"a": {"last": 9}}));
    assert_eq!(bench.take(cid.id).len(), 1, "the chat alone");
}

#[test]
fn a_slow_reader_loses_signals_and_no_chats() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.out.queued.insert(bob.id, options::SIGNAL_QUEUE_BYTES_MAX + 1);
    bench.say(ann.id, json!({"type": "signal", "room": "a", "data": 1}));
    bench.chat(&ann, "a", "x");
    assert_has(&bench.one(bob.id), &json!({"type": "chat", "msg": "x"}));
    bench.out.queued.insert(bob.id, options::SIGNAL_QUEUE_BYTES_MAX);
    bench.say(ann.id, json!({"type": "signal", "room": "a", "data": 1}));
    assert_has(&bench.one(bob.id), &json!({"type": "signal"}));
}

#[test]
fn a_ping_is_answered_with_its_id_and_the_time() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({}));
    assert_eq!(bench.ask(&ann, json!({"type": "ping", "id": 6})), json!({"type": "pong", "id": 6, "ts": UNIX_MS}));
    assert_eq!(bench.ask(&ann, json!({"type": "ping"})), json!({"type": "pong", "ts": UNIX_MS}));
}
