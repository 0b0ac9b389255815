//! The state of a room, and those who read it.

use super::*;

fn patch(bench: &mut Bench, client: &Client, patch: Value) -> Value {
    bench.ask(client, json!({"type": "patch", "id": 1, "room": "a", "patch": patch}))
}

#[test]
fn a_patch_is_acknowledged_with_its_version_and_told_to_the_other_readers() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {"state": true}}));
    let (bob, cid) = (bench.client(json!({"a": {"state": true}})), bench.client(json!({"a": {}})));
    assert_has(&ann.welcome["rooms"]["a"], &json!({"version": 0, "state": {}}));
    let ack = bench.ask(&ann, json!({"type": "patch", "id": 5, "room": "a", "patch": {"k": {"x": 1}}}));
    assert_eq!(ack, json!({"type": "ack", "id": 5, "room": "a", "version": 1}));
    let from = json!({"session": ann.session});
    let expected = json!({"type": "patch", "room": "a", "version": 1, "from": from, "patch": {"k": {"x": 1}}});
    assert_eq!(bench.one(bob.id), expected);
    assert!(bench.take(ann.id).is_empty() && bench.take(cid.id).is_empty());
    let dan = bench.client(json!({"a": {"state": true}}));
    assert_has(&dan.welcome["rooms"]["a"], &json!({"version": 1, "state": {"k": {"x": 1}}}));
    assert!(bench.take(dan.id).is_empty(), "the state is in the answer");
}

#[test]
fn with_base_a_patch_is_compare_and_set_and_without_it_the_last_writer_wins() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {"state": true}}));
    assert_eq!(patch(&mut bench, &ann, json!({"k": 1}))["version"], 1);
    let with_base = |base: u64| json!({"type": "patch", "id": 5, "room": "a", "base": base, "patch": {"k": 2}});
    for base in [0, 2] {
        let error = bench.ask(&ann, with_base(base));
        assert_has(&error, &json!({"type": "error", "id": 5, "code": "version_conflict", "room": "a", "version": 1}));
    }
    assert_eq!(bench.ask(&ann, with_base(1))["version"], 2);
    assert_eq!(patch(&mut bench, &ann, json!({"k": 3}))["version"], 3);
    assert_eq!(bench.hub.rooms["a"].state.to_json(), r#"{"k":3}"#);
}

#[test]
fn a_state_that_would_be_too_large_or_too_deep_is_refused_and_stays_as_it_was() {
    let mut bench = Bench::with(Options { state_bytes: 100, ..Options::default() });
    let (ann, bob) = (bench.client(json!({"a": {"state": true}})), bench.client(json!({"a": {"state": true}})));
    patch(&mut bench, &ann, json!({"k": "x".repeat(80)}));
    bench.take(bob.id);
    let error = patch(&mut bench, &ann, json!({"l": "x".repeat(20)}));
    assert_has(&error, &json!({"type": "error", "code": "state_too_large", "room": "a", "limit": 100}));
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    assert_has(&patch(&mut bench, &ann, json!({"l": deep})), &json!({"code": "state_too_large"}));
    assert!(bench.take(bob.id).is_empty() && bench.hub.rooms["a"].state.version() == 1);
}

#[test]
fn a_patch_that_is_no_object_or_repeats_a_name_is_an_invalid_message() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    for patch in ["[1]", "1", "null", r#"{"k":1,"k":2}"#] {
        bench.say_text(ann.id, &format!(r#"{{"type":"patch","id":1,"room":"a","patch":{patch}}}"#));
        assert_has(&bench.one(ann.id), &json!({"code": "invalid_message", "field": "patch", "id": 1, "room": "a"}));
    }
}

#[test]
fn numbers_of_any_size_are_kept_as_written() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {"state": true}})));
    bench.say_text(ann.id, r#"{"type":"patch","room":"a","patch":{"n":123456789012345678901234567890,"m":1.10}}"#);
    assert!(bench.texts(bob.id)[0].ends_with(r#""patch":{"n":123456789012345678901234567890,"m":1.10}}"#));
    let id = bench.announced();
    bench.say_text(id, r#"{"type":"hello","v":1,"rooms":{"a":{"state":true}}}"#);
    assert!(bench.texts(id)[0].contains("123456789012345678901234567890"));
}

#[test]
fn whoever_comes_back_gets_the_patches_that_it_missed_its_own_among_them() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {"state": true}})), bench.client(json!({"a": {"state": true}})));
    let epoch = ann.welcome["rooms"]["a"]["epoch"].clone();
    for n in 1..=3 {
        patch(&mut bench, if n == 2 { &ann } else { &bob }, json!({"k": n}));
    }
    bench.lose(ann.id);
    patch(&mut bench, &bob, json!({"k": 4}));
    let since = json!({"epoch": epoch, "seq": 0, "version": 1});
    let ann = bench.resume(&ann, json!({"rooms": {"a": {"state": true, "since": since}}}));
    assert_has(&ann.welcome["rooms"]["a"], &json!({"version": 4, "state": null}));
    let messages = bench.take(ann.id);
    let versions: Vec<u64> = messages.iter().map(|patch| patch["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [2, 3, 4], "{messages:?}");
    assert_has(&messages[0], &json!({"type": "patch", "from": {"session": ann.session}}));
    patch(&mut bench, &bob, json!({"k": 5}));
    assert_has(&bench.one(ann.id), &json!({"type": "patch", "version": 5}));
}

#[test]
fn whoever_missed_more_patches_than_are_kept_or_knows_another_life_gets_one_state() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {"state": true}}));
    let epoch = ann.welcome["rooms"]["a"]["epoch"].clone();
    let versions = options::PATCHES_MAX as u64 + 1;
    for n in 1..=versions {
        patch(&mut bench, &ann, json!({"k": n}));
    }
    let whole = json!({"type": "state", "room": "a", "version": versions, "state": {"k": versions}});
    for (epoch, version, is_whole) in
        [(&epoch, 0, true), (&epoch, 1, false), (&json!("e_x"), 5, true), (&epoch, versions + 1, true)]
    {
        let since = json!({"epoch": epoch, "seq": 0, "version": version});
        let bob = bench.client(json!({"a": {"state": true, "since": since}}));
        let messages = bench.take(bob.id);
        assert_eq!(messages[0] == whole, is_whole, "{version}");
        assert!(is_whole || messages.len() == options::PATCHES_MAX);
    }
}

#[test]
fn states_that_are_too_much_for_a_welcome_come_behind_it() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}, "b": {}}));
    for room in ["a", "b"] {
        let large = "x".repeat(Options::default().answer_bytes * 2 / 3);
        bench.say(ann.id, json!({"type": "patch", "room": room, "patch": {"k": large}}));
    }
    let bob = bench.client(json!({"a": {"state": true}, "b": {"state": true}}));
    let rooms = bob.welcome["rooms"].as_object().unwrap();
    let told: Vec<&String> = rooms.iter().filter(|(_, room)| !room["state"].is_null()).map(|(name, _)| name).collect();
    assert_eq!((told.len(), rooms.len()), (1, 2));
    let behind = bench.one(bob.id);
    assert_has(&behind, &json!({"type": "state", "version": 1}));
    assert_ne!(behind["room"], **told[0]);
}

#[test]
fn a_state_that_waits_for_a_slow_reader_is_the_newest_and_patches_follow_it() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {"state": true}}));
    let id = bench.announced();
    bench.stall(id);
    let since = json!({"epoch": "e_x", "seq": 0, "version": 0});
    bench.hello(id, json!({"rooms": {"a": {"state": true, "since": since}}}));
    patch(&mut bench, &ann, json!({"k": 1}));
    assert!(bench.take(id).is_empty());
    bench.drain(id);
    assert_has(&bench.take(id)[0], &json!({"type": "state", "version": 1, "state": {"k": 1}}));
    patch(&mut bench, &ann, json!({"k": 2}));
    assert_has(&bench.one(id), &json!({"type": "patch", "version": 2}));
}
