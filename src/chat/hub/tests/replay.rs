//! What was missed comes in order, before all that is live; or a gap says what is gone.

use super::*;

/// A room with so many chats, and its epoch.
fn room_with(bench: &mut Bench, chats: u64) -> (Client, Value) {
    let ann = bench.client(json!({"a": {}}));
    for n in 1..=chats {
        assert_eq!(bench.chat(&ann, "a", &n.to_string()), n);
    }
    let epoch = ann.welcome["rooms"]["a"]["epoch"].clone();
    (ann, epoch)
}

fn seqs(message: &Value) -> Vec<u64> {
    message.as_array().expect("an array").iter().map(|chat| chat["seq"].as_u64().unwrap()).collect()
}

#[test]
fn missed_chats_follow_the_welcome_in_order_as_arrays_of_at_most_100() {
    let mut bench = Bench::new();
    let (_, epoch) = room_with(&mut bench, 250);
    let bob = bench.client(json!({"a": {"since": {"epoch": epoch, "seq": 10}}}));
    assert_has(&bob.welcome["rooms"]["a"], &json!({"seq": 250, "recovered": true}));
    let arrays = bench.take(bob.id);
    let expected: [Vec<u64>; 3] = [(11..=110).collect(), (111..=210).collect(), (211..=250).collect()];
    assert_eq!(arrays.iter().map(seqs).collect::<Vec<_>>(), expected);
    assert_has(&arrays[0][0], &json!({"type": "chat", "room": "a", "msg": "11", "ts": UNIX_MS}));
}

#[test]
fn missed_chats_follow_the_ack_of_a_join_too() {
    let mut bench = Bench::new();
    let (_, epoch) = room_with(&mut bench, 3);
    let bob = bench.client(json!({}));
    let since = json!({"epoch": epoch, "seq": 1});
    bench.say(bob.id, json!({"type": "join", "id": 2, "room": "a", "since": since}));
    let messages = bench.take(bob.id);
    assert_has(&messages[0], &json!({"type": "ack", "id": 2, "room": "a", "seq": 3, "recovered": true}));
    assert_eq!((seqs(&messages[1]), messages.len()), (vec![2, 3], 2));
}

#[test]
fn whoever_missed_nothing_gets_nothing() {
    let mut bench = Bench::new();
    let (ann, epoch) = room_with(&mut bench, 3);
    let bob = bench.client(json!({"a": {"since": {"epoch": epoch, "seq": 3}}}));
    assert_eq!(bob.welcome["rooms"]["a"]["recovered"], true);
    assert!(bench.take(bob.id).is_empty());
    bench.chat(&ann, "a", "4");
    assert_eq!(bench.heard(bob.id), ["4"]);
}

#[test]
fn a_position_is_given_at_join_even_in_an_empty_room_and_recovers_from_there() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    let position = &bob.welcome["rooms"]["a"];
    assert_eq!(position["seq"], 0);
    bench.lose(bob.id);
    bench.chat(&ann, "a", "1");
    let since = json!({"epoch": position["epoch"], "seq": 0});
    let bob = bench.resume(&bob, json!({"rooms": {"a": {"since": since}}}));
    assert_eq!(bench.heard(bob.id), ["1"]);
}

#[test]
fn a_gap_that_expired_names_what_is_gone_and_the_rest_follows() {
    let mut bench = Bench::with(Options { history: 4, ..Options::default() });
    let (_, epoch) = room_with(&mut bench, 10);
    let bob = bench.client(json!({"a": {"since": {"epoch": epoch, "seq": 2}}}));
    assert_eq!(bob.welcome["rooms"]["a"]["recovered"], false);
    let messages = bench.take(bob.id);
    let gap = json!({"type": "gap", "room": "a", "epoch": epoch, "from_seq": 3, "to_seq": 6, "reason": "expired"});
    assert_eq!((&messages[0], seqs(&messages[1]), messages.len()), (&gap, vec![7, 8, 9, 10], 2));
    let cid = bench.client(json!({"a": {"since": {"epoch": epoch, "seq": 6}}}));
    assert_eq!(bench.take(cid.id).iter().map(seqs).collect::<Vec<_>>(), [[7, 8, 9, 10]], "just within the log");
}

#[test]
fn another_epoch_or_a_position_ahead_of_the_head_is_a_reset_without_a_range() {
    let mut bench = Bench::with(Options { history: 2, ..Options::default() });
    let (_, epoch) = room_with(&mut bench, 3);
    for since in [
        json!({"epoch": "e_other", "seq": 1}),
        json!({"epoch": epoch, "seq": 4}),
        json!({"epoch": epoch, "seq": u64::MAX}),
        json!({"epoch": "e_other", "seq": u64::MAX, "version": u64::MAX}),
    ] {
        let bob = bench.client(json!({"a": {"since": since}}));
        assert_eq!(bob.welcome["rooms"]["a"]["recovered"], false);
        let messages = bench.take(bob.id);
        assert_eq!(messages[0], json!({"type": "gap", "room": "a", "epoch": epoch, "reason": "reset"}));
        assert_eq!((seqs(&messages[1]), messages.len()), (vec![2, 3], 2));
    }
}

#[test]
fn live_traffic_never_comes_before_the_replay_is_through() {
    let mut bench = Bench::new();
    let (ann, epoch) = room_with(&mut bench, 150);
    let id = bench.announced();
    bench.stall(id);
    let since = json!({"epoch": epoch, "seq": 0});
    let bob = bench.hello(id, json!({"rooms": {"a": {"since": since}}}));
    bench.chat(&ann, "a", "151");
    bench.say(ann.id, json!({"type": "signal", "room": "a", "data": 1}));
    assert!(bench.take(id).is_empty(), "it has not drained");
    assert!(bench.out.awaited.contains(&id));
    bench.hub.on_drained(id, &mut bench.out); // and is full again
    assert!(bench.take(id).is_empty());
    bench.drain(id);
    let messages = bench.take(id);
    let seqs: Vec<u64> = messages.iter().flat_map(seqs).collect();
    assert_eq!(seqs, (1..=151).collect::<Vec<_>>());
    bench.chat(&ann, "a", "152");
    assert_has(&bench.one(bob.id), &json!({"type": "chat", "seq": 152}));
}

#[test]
fn a_room_that_is_replayed_does_not_hold_up_another() {
    let mut bench = Bench::new();
    let (ann, epoch) = room_with(&mut bench, 5);
    bench.say(ann.id, json!({"type": "join", "room": "b"}));
    let id = bench.announced();
    bench.stall(id);
    let since = json!({"epoch": epoch, "seq": 0});
    bench.hello(id, json!({"rooms": {"a": {"since": since}, "b": {}}}));
    bench.chat(&ann, "b", "live");
    bench.chat(&ann, "a", "6");
    assert_eq!(bench.heard(id), ["live"]);
    bench.drain(id);
    assert_eq!(bench.heard(id), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn a_replay_that_the_log_overtakes_is_an_overrun_and_never_silent() {
    let mut bench = Bench::with(Options { history: 5, ..Options::default() });
    let (ann, epoch) = room_with(&mut bench, 5);
    let id = bench.announced();
    bench.stall(id);
    bench.hello(id, json!({"rooms": {"a": {"since": {"epoch": epoch, "seq": 2}}}}));
    for n in 6..=9 {
        bench.chat(&ann, "a", &n.to_string());
    }
    bench.drain(id);
    let messages = bench.take(id);
    let gap = json!({"type": "gap", "room": "a", "epoch": epoch, "from_seq": 3, "to_seq": 4, "reason": "overrun"});
    assert_eq!((&messages[0], seqs(&messages[1]), messages.len()), (&gap, vec![5, 6, 7, 8, 9], 2));
}

#[test]
fn a_replay_goes_in_pieces_no_larger_than_the_reader_takes() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    let long = "x".repeat(30_000);
    for n in 0..20 {
        bench.chat(&ann, "a", &format!("{n}{long}"));
    }
    let bob = bench.client(json!({"a": {"last": 20}}));
    let texts = bench.texts(bob.id);
    assert!(texts.len() == 10 && texts.iter().all(|text| text.len() < 64 * 1024), "{}", texts.len());
}

#[test]
fn whoever_leaves_a_room_gets_nothing_more_of_its_replay() {
    let mut bench = Bench::new();
    let (_, epoch) = room_with(&mut bench, 5);
    let id = bench.announced();
    bench.stall(id);
    let bob = bench.hello(id, json!({"rooms": {"a": {"since": {"epoch": epoch, "seq": 0}}}}));
    bench.ask(&bob, json!({"type": "leave", "id": 1, "room": "a"}));
    bench.drain(id);
    assert!(bench.take(id).is_empty());
}

#[test]
fn whoever_joins_again_loses_nothing_of_its_replay() {
    for (again, expected) in [
        (json!({"state": true}), vec![1, 2, 3, 4, 5, 6]),
        (json!({"last": 1}), vec![1, 2, 3, 4, 5, 6]),
        (json!({"since": {"epoch": "E", "seq": 4}}), vec![5, 6]),
    ] {
        let mut bench = Bench::new();
        let (ann, epoch) = room_with(&mut bench, 5);
        let id = bench.announced();
        bench.stall(id);
        let bob = bench.hello(id, json!({"rooms": {"a": {"since": {"epoch": epoch, "seq": 0}}}}));
        let mut join = json!({"type": "join", "id": 1, "room": "a"});
        for (name, option) in again.as_object().unwrap() {
            join[name] = option.clone();
        }
        if again.get("since").is_some() {
            join["since"]["epoch"] = json!(epoch);
        }
        bench.say(bob.id, join);
        bench.chat(&ann, "a", "6");
        bench.drain(id);
        let messages = bench.take(id);
        let heard: Vec<u64> = messages.iter().filter(|message| message.is_array()).flat_map(seqs).collect();
        assert_eq!(heard, expected, "{again}");
    }
}
