//! Clients without a session, beside those with one: P1 to P6.

use super::*;

#[test]
fn every_connection_has_an_id_of_its_own_until_it_ends() {
    let mut bench = Bench::new();
    let ids: Vec<ConnId> = (0..100).map(|_| bench.plain()).collect();
    let sessions: BTreeSet<_> = ids.iter().map(|&id| bench.hub.session(id).unwrap()).collect();
    assert_eq!(sessions.len(), 100);
    bench.lose(ids[7]);
    assert_eq!((bench.hub.session(ids[7]), bench.hub.lobby().len()), (None, 99));
    assert!(bench.out.sent.is_empty() && bench.out.closed.is_empty());
}

#[test]
fn p1_a_plain_client_is_sent_nothing_unasked() {
    let mut bench = Bench::with(Options { batch_interval: Some(millis(20)), ..Options::default() });
    let plain = bench.plain();
    let ann = bench.client(json!({"lobby": {"presence": true, "state": true}}));
    bench.say(ann.id, json!({"type": "signal", "data": 1}));
    bench.say(ann.id, json!({"type": "patch", "patch": {"a": 1}}));
    bench.say(ann.id, json!([{"type": "chat", "msg": "a"}, {"type": "chat", "msg": "b"}]));
    bench.lose(ann.id);
    bench.wait(seconds(100));
    let expected = ["a", "b"].map(|msg| format!(r#"{{"type":"chat","msg":"{msg}"}}"#));
    assert_eq!(bench.texts(plain), expected, "chats alone, and no array");
}

#[test]
fn p2_a_chat_goes_to_all_others_as_it_was_sent() {
    let mut bench = Bench::new();
    let ids = [bench.plain(), bench.plain(), bench.plain()];
    for text in [r#"{"type":"chat","msg":"hello server"}"#, " {\"from\" : 1e400, \"id\":7, \"type\":\"chat\"} "] {
        bench.say_text(ids[1], text);
        assert_eq!((bench.texts(ids[0]), bench.texts(ids[2])), (vec![text.to_owned()], vec![text.to_owned()]));
        assert!(bench.texts(ids[1]).is_empty(), "the sender gets nothing back");
    }
}

#[test]
fn p3_readers_with_sessions_see_the_server_s_members_and_none_that_a_plain_sender_forged() {
    let mut bench = Bench::new();
    let (plain, ann) = (bench.plain(), bench.client(json!({"lobby": {}})));
    let forged = r#"{"room":"x","seq":9,"epoch":"e","from":{"session":"s_1"},"ts":1,"type":"chat","id":3,"msg":1e400}"#;
    bench.say_text(plain, forged);
    let session = bench.hub.session(plain).unwrap();
    let expected = format!(
        r#"{{"type":"chat","room":"lobby","seq":1,"from":{{"session":"{session}"}},"ts":{UNIX_MS},"msg":1e400}}"#
    );
    assert_eq!(bench.texts(ann.id), [expected]);
}

#[test]
fn p3_plain_readers_see_the_own_members_of_a_chat_from_a_session() {
    let mut bench = Bench::new();
    let (plain, ann) = (bench.plain(), bench.client(json!({"lobby": {}})));
    let bob = bench.client(json!({"lobby": {}}));
    let text = r#"{"type":"chat","id":5,"from":{"session":"s_1"},"ts":1,"seq":77,"epoch":"e","color":"red","n":1.50}"#;
    bench.say_text(ann.id, text);
    assert_eq!(bench.texts(plain), [r#"{"type":"chat","color":"red","n":1.50}"#]);
    let chat = bench.one(bob.id);
    let from = json!({"session": ann.session});
    assert_has(&chat, &json!({"seq": 1, "from": from, "ts": UNIX_MS, "epoch": null, "id": null, "color": "red"}));
}

#[test]
fn p4_a_mistake_is_answered_and_noted_and_heard_by_nobody_else() {
    let mut bench = Bench::new();
    let (id, other, ann) = (bench.plain(), bench.plain(), bench.client(json!({"lobby": {}})));
    for (text, code) in [
        ("oops", "invalid_json"),
        ("1", "invalid_message"),
        ("{}", "invalid_message"),
        (r#"{"type":1}"#, "invalid_message"),
        (r#"[{"type":"chat"}]"#, "invalid_message"),
        (r#"{"type":"shout"}"#, "unknown_type"),
        (r#"{"type":"chat","msg":1,"msg":2}"#, "invalid_message"), // P5
    ] {
        for id in [id, ann.id] {
            if id == ann.id && text.starts_with('[') {
                continue; // a batch
            }
            bench.out.notes.clear();
            bench.say_text(id, text);
            assert_has(&bench.one(id), &json!({"type": "error", "code": code}));
            assert!(bench.out.notes[0].contains("invalid message received"), "{:?}", bench.out.notes);
            assert_eq!(bench.out.notes.len(), 1);
        }
    }
    assert!(bench.texts(other).is_empty() && bench.out.closed.is_empty());
    bench.say(id, json!({"type": "chat", "msg": "alive"}));
    assert_eq!(bench.heard(other), ["alive"]);
}

#[test]
fn p6_a_binary_message_closes_with_1003_and_leaves_the_lobby_at_once() {
    let mut bench = Bench::new();
    let (id, other) = (bench.plain(), bench.plain());
    bench.hub.on_message(id, Message::binary(b"x"), &mut bench.out);
    assert_eq!((bench.closed(id), bench.hub.lobby().len()), (Some((1003, "binary")), 1));
    assert!(bench.texts(id).is_empty(), "P1: no disconnect");
    bench.say(id, json!({"type": "chat", "msg": "too late"}));
    assert!(bench.texts(other).is_empty());
}

#[test]
fn binary_in_session_mode_is_disconnect_and_then_1003() {
    let mut bench = Bench::new();
    let (ann, waiting) = (bench.client(json!({"lobby": {}})), bench.announced());
    for id in [ann.id, waiting] {
        bench.hub.on_message(id, Message::binary(b"x"), &mut bench.out);
        assert_eq!(bench.closed(id), Some((1003, "binary")));
    }
    let disconnect = json!({"type": "disconnect", "code": 1003, "reason": "binary", "reconnect": false});
    assert_eq!(bench.one(ann.id), disconnect);
    assert!(bench.take(waiting).is_empty(), "without hello no disconnect");
}

#[test]
fn the_lobby_s_log_lasts_as_long_as_a_plain_client_is_there_and_a_while_longer() {
    let mut bench = Bench::new();
    let plain = bench.plain();
    let ann = bench.client(json!({"lobby": {}}));
    let epoch = ann.welcome["rooms"]["lobby"]["epoch"].clone();
    bench.end(ann.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
    bench.wait(seconds(1000));
    bench.say(plain, json!({"type": "chat", "msg": "a"}));
    bench.lose(plain);
    bench.wait(millis(59_999));
    let bob = bench.client(json!({"lobby": {"last": 5}}));
    assert_has(&bob.welcome["rooms"]["lobby"], &json!({"epoch": epoch, "seq": 1}));
    assert_eq!(bench.heard(bob.id), ["a"]);
    bench.end(bob.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
    bench.wait(seconds(60));
    assert!(bench.is_empty());
}
