//! Batches, the bounds of the logs, and the end.

use super::*;

fn batching() -> Bench {
    Bench::with(Options { batch_interval: Some(millis(20)), ..Options::default() })
}

#[test]
fn a_batch_from_a_client_is_done_in_order_and_each_message_stands_for_itself() {
    let mut bench = Bench::new();
    let bob = bench.client(json!({"a": {}}));
    let id = bench.announced();
    bench.say_text(
        id,
        r#"[{"type":"hello","id":1,"v":1,"rooms":{"a":{}}},{"type":"chat","id":2,"room":"a","msg":"x"},{"type":"no"},[],{"type":"ping","id":3}]"#,
    );
    let types: Vec<Value> = bench.take(id).into_iter().map(|message| message["type"].clone()).collect();
    assert_eq!(types, ["welcome", "ack", "error", "error", "pong"]);
    assert_eq!(bench.heard(bob.id), ["x"]);
}

#[test]
fn a_batch_over_the_limit_is_refused_whole_with_one_error() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    let chats = |count| Value::Array(vec![json!({"type": "chat", "room": "a"}); count]);
    bench.say(ann.id, chats(101));
    assert_has(&bench.one(ann.id), &json!({"type": "error", "code": "invalid_message"}));
    assert!(bench.take(bob.id).is_empty());
    bench.say(ann.id, chats(100));
    assert_eq!((bench.take(ann.id).len(), bench.take(bob.id).len()), (0, 100));
    bench.say(ann.id, json!([]));
    assert_has(&bench.one(ann.id), &json!({"code": "invalid_message"}));
}

#[test]
fn messages_are_gathered_for_the_interval_and_go_as_one_array() {
    let mut bench = batching();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    for n in 1..=3 {
        bench.chat(&ann, "a", &n.to_string());
    }
    bench.wait(millis(19));
    assert!(bench.take(bob.id).is_empty());
    bench.wait(millis(1));
    let array = bench.one(bob.id);
    assert_eq!(array.as_array().unwrap().len(), 3);
    bench.chat(&ann, "a", "4");
    bench.wait(millis(20));
    assert_has(&bench.one(bob.id), &json!({"type": "chat", "seq": 4}));
}

#[test]
fn an_answer_is_not_gathered_and_comes_behind_what_was() {
    let mut bench = batching();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.chat(&ann, "a", "1");
    bench.say(bob.id, json!({"type": "ping", "id": 1}));
    let types: Vec<Value> = bench.take(bob.id).into_iter().map(|message| message["type"].clone()).collect();
    assert_eq!(types, ["chat", "pong"]);
}

#[test]
fn a_gathered_array_has_at_most_100_messages_and_64_kib_unless_one_is_longer() {
    let mut bench = batching();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    for _ in 0..250 {
        bench.say(ann.id, json!({"type": "signal", "room": "a", "data": 1}));
    }
    bench.wait(millis(20));
    let lengths: Vec<usize> = bench.take(bob.id).iter().map(|array| array.as_array().unwrap().len()).collect();
    assert_eq!(lengths, [100, 100, 50]);
    let long = "x".repeat(30_000);
    for length in [30_000, 30_000, 30_000, 10, 100_000, 10, 30_000] {
        bench.say(ann.id, json!({"type": "chat", "room": "a", "msg": long.repeat(4)[..length]}));
    }
    bench.wait(millis(20));
    let texts = bench.texts(bob.id);
    let counts: Vec<usize> = texts.iter().map(|text| text.matches(r#""type":"chat""#).count()).collect();
    assert_eq!(counts, [2, 2, 1, 2]);
}

#[test]
fn what_was_gathered_for_a_lost_client_is_dropped_and_comes_with_its_resume() {
    let mut bench = batching();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.chat(&ann, "a", "1");
    bench.lose(bob.id);
    bench.wait(millis(20));
    assert!(bench.take(bob.id).is_empty() && bench.hub.post.is_empty());
    let since = json!({"epoch": bob.welcome["rooms"]["a"]["epoch"], "seq": 0});
    let bob = bench.resume(&bob, json!({"rooms": {"a": {"since": since}}}));
    assert_eq!(bench.heard(bob.id), ["1"]);
}

/// The oldest chat that is left of a room.
fn first(bench: &Bench, room: &str) -> u64 {
    bench.hub.rooms[room].log.first()
}

#[test]
fn a_room_keeps_so_many_chats_and_so_many_bytes() {
    let mut bench = Bench::with(Options { history: 5, history_bytes: 4000, ..Options::default() });
    let ann = bench.client(json!({"a": {}}));
    for n in 0..9 {
        bench.chat(&ann, "a", &n.to_string());
    }
    assert_eq!(first(&bench, "a"), 5);
    bench.chat(&ann, "a", &"x".repeat(2500));
    bench.chat(&ann, "a", &"y".repeat(2500));
    assert_eq!((first(&bench, "a"), bench.hub.kept_bytes()), (11, bench.hub.rooms["a"].log.bytes()));
    bench.chat(&ann, "a", &"z".repeat(5000));
    assert_eq!((first(&bench, "a"), bench.hub.kept_bytes()), (13, 0));
}

#[test]
fn all_rooms_together_keep_so_many_bytes_and_the_oldest_chats_go_first() {
    let mut bench = Bench::with(Options { memory_limit: 10_000, ..Options::default() });
    let ann = bench.client(json!({"a": {}, "b": {}, "c": {}}));
    for n in 0..200 {
        let room = ["a", "b", "c", "c"][n % 4];
        bench.chat(&ann, room, &format!("{n}{}", "x".repeat(500)));
        let sum: usize = bench.hub.rooms.values().map(|room| room.log.bytes()).sum();
        assert!(bench.hub.kept_bytes() == sum && sum <= 10_000);
    }
    let kept = |room: &str| bench.hub.rooms[room].log.next() - first(&bench, room);
    let (a, b, c) = (kept("a"), kept("b"), kept("c"));
    assert!(a.abs_diff(b) <= 1 && c.abs_diff(a + b) <= 1 && a >= 2, "{a} {b} {c}");
}

#[test]
fn the_order_of_all_chats_is_no_longer_than_what_is_kept_about_twice() {
    for (history, text) in [(10, ""), (2000, &*"x".repeat(1000))] {
        let mut bench = Bench::with(Options { history, history_bytes: usize::MAX, ..Options::default() });
        let ann = bench.client(json!({"a": {}, "b": {}}));
        for n in 0..10_000 {
            let room = if n % 100 == 0 { "b" } else { "a" };
            bench.say(ann.id, json!({"type": "chat", "room": room, "msg": text}));
            assert!(bench.hub.kept.len() <= 1025 + 4 * history, "{n} of {history}");
        }
    }
}

#[test]
fn a_forgotten_room_gives_its_bytes_back() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    bench.chat(&ann, "a", "x");
    assert!(bench.hub.kept_bytes() > 0);
    bench.end(ann.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
    bench.wait(seconds(61));
    assert!(bench.is_empty());
}

#[test]
fn at_the_end_sessions_get_disconnect_1012_with_a_time_of_their_own_and_then_the_close() {
    let mut bench = Bench::new();
    let clients: Vec<Client> = (0..10).map(|_| bench.client(json!({"a": {}}))).collect();
    let (plain, waiting) = (bench.plain(), bench.announced());
    bench.hub.on_stop(&mut bench.out);
    let mut times: Vec<u64> = Vec::new();
    for client in &clients {
        let disconnect = bench.one(client.id);
        let part = json!({"type": "disconnect", "code": 1012, "reason": "restart", "reconnect": true});
        assert_has(&disconnect, &part);
        times.push(disconnect["after_ms"].as_u64().unwrap());
        assert_eq!(bench.closed(client.id), Some((1012, "restart")));
    }
    times.sort_unstable();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1000), "{times:?}");
    assert!(bench.take(plain).is_empty() && bench.take(waiting).is_empty(), "the server closes these with 1001");
    assert_eq!((bench.closed(plain), bench.closed(waiting)), (None, None));
}

#[test]
fn of_too_many_sessions_that_wait_the_one_that_has_waited_longest_ends() {
    let mut bench = Bench::with(Options { waiting_max: 2, ..Options::default() });
    let people: Vec<Client> = (0..4).map(|_| bench.client(json!({"a": {}}))).collect();
    for client in &people[..3] {
        bench.lose(client.id);
        bench.wait(millis(10));
    }
    let back: Vec<bool> =
        people[..3].iter().map(|client| bench.resume(client, json!({})).welcome["resumed"] == json!(true)).collect();
    assert_eq!(back, [false, true, true]);
    assert_eq!(bench.resume(&people[3], json!({})).welcome["resumed"], true, "who is there does not wait");
}

#[test]
fn what_waiting_sessions_hold_is_bounded_and_the_oldest_go_first() {
    let mut bench = Bench::with(Options { waiting_bytes_max: 20_000, ..Options::default() });
    let clients: Vec<Client> = (0..5)
        .map(|_| {
            let id = bench.announced();
            bench.hello(id, json!({"rooms": {"a": {}}, "info": "i".repeat(4000)}))
        })
        .collect();
    for n in 0..10 {
        bench.ask(&clients[4], json!({"type": "chat", "id": format!("{n:060}"), "room": "a"}));
    }
    for client in &clients[..4] {
        bench.lose(client.id);
    }
    let held = bench.hub.waiting_bytes;
    assert!((16_000..20_000).contains(&held), "{held}");
    bench.lose(clients[4].id);
    assert_eq!((bench.hub.waiting.len(), bench.hub.sessions.len()), (3, 3));
    assert!((15_000..20_000).contains(&bench.hub.waiting_bytes));
    let is_resumed =
        |bench: &mut Bench, index: usize| bench.resume(&clients[index], json!({})).welcome["resumed"] == true;
    let back: Vec<bool> = (0..5).map(|index| is_resumed(&mut bench, index)).collect();
    assert_eq!(back, [false, false, true, true, true]);
    assert_eq!(bench.hub.waiting_bytes, 0);
}

#[test]
fn ids_that_are_forgotten_while_a_session_waits_no_longer_count() {
    let mut bench = Bench::with(Options { resume_window: seconds(1000), ..Options::default() });
    let ann = bench.client(json!({"a": {}}));
    bench.wait(Options::default().repeat_window());
    bench.ask(&ann, json!({"type": "chat", "id": 1, "room": "a"}));
    bench.wait(seconds(600));
    bench.lose(ann.id);
    let before = bench.hub.waiting_bytes;
    bench.wait(seconds(900));
    assert!(bench.hub.waiting_bytes < before && bench.hub.waiting_bytes > 0);
    bench.wait(seconds(100));
    assert!(bench.is_empty());
}

#[test]
fn a_twin_that_is_replaced_takes_nobodys_place_among_those_who_wait() {
    let mut bench = Bench::with(Options { waiting_max: 1, ..Options::default() });
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.lose(bob.id);
    assert_eq!(bench.resume(&ann, json!({})).welcome["resumed"], true);
    assert_eq!(bench.closed(ann.id), Some((4003, "replaced")));
    bench.end(ann.id, End::ClosedByUs(CloseCode::REPLACED));
    assert_eq!(bench.resume(&bob, json!({})).welcome["resumed"], true);
}

#[test]
fn an_id_counts_as_repeated_until_its_client_must_be_back_and_no_longer() {
    // A dead line is noticed after four intervals, and then the window begins.
    let times =
        Options { ping_interval: millis(100), ping_misses: 3, resume_window: millis(100), ..Options::default() };
    let mut bench = Bench::with(times);
    let ann = bench.client(json!({"a": {}}));
    let chat = json!({"type": "chat", "id": 1, "room": "a"});
    assert_has(&bench.ask(&ann, chat.clone()), &json!({"seq": 1, "duplicate": null}));
    bench.wait(millis(499));
    assert_has(&bench.ask(&ann, chat.clone()), &json!({"seq": 1, "duplicate": true}));
    bench.wait(millis(1));
    assert_has(&bench.ask(&ann, chat), &json!({"seq": 2, "duplicate": null}));
}

#[test]
fn the_ids_of_a_session_that_says_nothing_more_are_forgotten_too() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    for n in 0..100 {
        bench.ask(&ann, json!({"type": "chat", "id": n, "room": "a"}));
        bench.wait(millis(10));
    }
    let session = SessionId::parse(&ann.session).unwrap();
    let ids = |bench: &Bench| bench.hub.sessions[&session].ids();
    assert_eq!(ids(&bench), 100);
    let window = Options::default().repeat_window();
    bench.wait(window - millis(600));
    assert!((40..=61).contains(&ids(&bench)), "{}", ids(&bench));
    bench.wait(millis(600));
    assert_eq!((ids(&bench), bench.hub.next_timeout()), (0, None));
    // A session that ends takes its part of the agenda with it.
    bench.ask(&ann, json!({"type": "chat", "id": "a", "room": "a"}));
    assert!(bench.hub.next_timeout().is_some());
    bench.end(ann.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
    bench.wait(seconds(61));
    assert_eq!(bench.hub.next_timeout(), None);
}

#[test]
fn all_states_together_take_half_of_the_memory_and_the_chats_the_rest() {
    let mut bench = Bench::with(Options { memory_limit: 20_000, ..Options::default() });
    let (ann, bob) = (bench.client(json!({"a": {}, "b": {}})), bench.client(json!({"a": {"state": true}})));
    for n in 0..40 {
        bench.chat(&ann, "b", &format!("{n}{}", "x".repeat(500)));
    }
    let long = "x".repeat(3000);
    let patch = |bench: &mut Bench, room: &str, patch: Value| {
        bench.ask(&ann, json!({"type": "patch", "id": 1, "room": room, "patch": patch}))
    };
    for (room, name) in [("a", "x"), ("b", "x"), ("a", "y")] {
        assert_has(&patch(&mut bench, room, json!({ name: long })), &json!({"type": "ack"}));
        assert!(bench.hub.kept_bytes() <= 20_000);
    }
    let error = patch(&mut bench, "b", json!({ "y": long }));
    assert_has(&error, &json!({"type": "error", "code": "busy", "room": "b"}));
    assert_has(&patch(&mut bench, "b", json!({"x": null})), &json!({"type": "ack"}));
    assert_has(&patch(&mut bench, "b", json!({ "z": long })), &json!({"type": "ack"}));
    let Options { memory_limit, .. } = bench.hub.options;
    assert!(bench.hub.kept.patch_bytes <= memory_limit / 4 && bench.hub.kept_bytes() <= memory_limit);
    assert!(first(&bench, "b") > 10 && bench.hub.rooms["b"].log.bytes() > 4000, "chats have what is left");
    // Who is there gets each patch, kept or not.
    let versions: Vec<Value> = bench.take(bob.id).iter().map(|patch| patch["version"].clone()).collect();
    assert_eq!(versions, [json!(1), json!(2)]);
    for client in [&ann, &bob] {
        bench.end(client.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
    }
    bench.wait(seconds(61));
    assert_eq!(bench.hub.kept_bytes(), 0);
}
