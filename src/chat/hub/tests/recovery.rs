//! How a session outlives its connection, and for how long.

use super::*;

const NORMAL: End = End::ClosedByPeer(Some(CloseCode::NORMAL));

fn in_room(bench: &Bench, client: &Client, room: &str) -> bool {
    bench.hub.rooms.get(room).is_some_and(|room| room.members.get(client.id).is_some())
}

#[test]
fn a_resume_keeps_the_session_its_token_and_its_rooms_with_their_options() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {"presence": true}, "b": {"state": true}}));
    bench.lose(ann.id);
    bench.wait(seconds(59));
    let back = bench.resume(&ann, json!({}));
    assert_has(&back.welcome, &json!({"resumed": true, "session": ann.session, "resume_token": ann.token}));
    let rooms = &back.welcome["rooms"];
    assert_has(&rooms["a"], &json!({"members": [], "state": null}));
    assert_has(&rooms["b"], &json!({"members": null, "state": {}, "version": 0}));
    assert_eq!(rooms.as_object().unwrap().len(), 2);
    bench.wait(seconds(100));
    assert_eq!(bench.hub.sessions.len(), 1, "the end that was set is no longer");
}

#[test]
fn a_resume_that_names_rooms_leaves_the_others() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}, "b": {}}));
    bench.lose(ann.id);
    let ann = bench.resume(&ann, json!({"rooms": {"b": {}, "c": {}}}));
    assert_eq!(ann.welcome["rooms"].as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(["a", "b", "c"].map(|room| in_room(&bench, &ann, room)), [false, true, true]);
    let error = bench.ask(&ann, json!({"type": "chat", "id": 1, "room": "a"}));
    assert_eq!(error["code"], "not_joined");
}

#[test]
fn a_resumed_session_in_no_room_stays_in_none() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({}));
    bench.lose(ann.id);
    assert_has(&bench.resume(&ann, json!({})).welcome, &json!({"resumed": true, "rooms": {}}));
}

#[test]
fn a_resume_that_leaves_rooms_has_room_for_as_many_others() {
    let mut bench = Bench::with(Options { rooms_per_session: 2, ..Options::default() });
    let ann = bench.client(json!({"a": {}, "b": {}}));
    bench.lose(ann.id);
    let ann = bench.resume(&ann, json!({"rooms": {"c": {}, "d": {}}}));
    assert_eq!(ann.welcome["rooms"].as_object().unwrap().len(), 2);
    assert!(bench.take(ann.id).is_empty());
}

#[test]
fn a_wrong_token_gets_exactly_the_answer_of_an_unknown_session() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {"presence": true}}));
    let other = bench.client(json!({}));
    let unknown = ["s_00000000000000000000000000000000", "s_", "no session"];
    let mut answers = BTreeSet::new();
    let sessions = unknown.into_iter().map(str::to_owned).chain([ann.session.clone()]);
    for session in sessions {
        let id = bench.announced();
        let resume = json!({"session": session, "token": other.token});
        let new = bench.hello(id, json!({"resume": resume}));
        assert!(new.session != ann.session && new.token != ann.token);
        let welcome = new.welcome.to_string().replace(&new.session, "s_").replace(&new.token, "r_");
        answers.insert(welcome);
        assert!(bench.take(id).is_empty());
        bench.end(id, NORMAL);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.first().unwrap().contains(r#""resumed":false"#));
    assert_eq!(bench.closed(ann.id), None, "the session is as it was");
    bench.wait(seconds(2));
    assert!(bench.take(ann.id).iter().all(|message| message["leaves"] == json!([])));
}

#[test]
fn a_second_connection_with_the_same_resume_replaces_the_first() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {"presence": true}})));
    bench.wait(seconds(5));
    bench.take(bob.id);
    let twin = bench.resume(&ann, json!({}));
    let disconnect = json!({"type": "disconnect", "code": 4003, "reason": "replaced", "reconnect": false});
    assert_eq!((bench.one(ann.id), bench.closed(ann.id)), (disconnect, Some((4003, "replaced"))));
    assert_has(&twin.welcome, &json!({"resumed": true, "session": ann.session}));
    bench.say(ann.id, json!({"type": "chat", "room": "a", "msg": "a ghost"}));
    bench.end(ann.id, NORMAL);
    bench.chat(&bob, "a", "x");
    assert_eq!(bench.heard(twin.id), ["x"], "the end of the first is none of the session");
    bench.wait(seconds(100));
    assert!(bench.take(bob.id).is_empty(), "no ghost, no presence, no chat");
    assert!(in_room(&bench, &twin, "a") && bench.hub.sessions.len() == 2);
}

#[test]
fn a_lost_connection_keeps_the_session_for_the_window_and_then_it_is_gone() {
    for (waits, resumed) in [(59_999, true), (60_000, false)] {
        let mut bench = Bench::new();
        let ann = bench.client(json!({"a": {}}));
        for end in [End::Lost, End::ClosedByPeer(Some(CloseCode::GOING_AWAY)), End::ClosedByPeer(None)] {
            let ann = if bench.hub.sessions.is_empty() { bench.client(json!({"a": {}})) } else { ann.clone() };
            let last = ConnId::for_test(bench.opened - 1);
            bench.end(last, end);
            bench.wait(millis(waits));
            assert_eq!(bench.hub.sessions.len(), usize::from(resumed), "{end:?}");
            if resumed {
                assert_eq!(bench.resume(&ann, json!({})).welcome["resumed"], true);
            }
        }
    }
}

#[test]
fn an_expired_session_gets_a_new_id_and_still_what_it_missed() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.chat(&bob, "a", "1");
    bench.lose(ann.id);
    bench.chat(&bob, "a", "2");
    bench.wait(seconds(100));
    bench.chat(&bob, "a", "3");
    let since = json!({"epoch": ann.welcome["rooms"]["a"]["epoch"], "seq": 1});
    let ann2 = bench.resume(&ann, json!({"rooms": {"a": {"since": since}}}));
    assert_eq!(ann2.welcome["resumed"], false);
    assert_ne!(ann2.session, ann.session);
    assert_has(&ann2.welcome["rooms"]["a"], &json!({"seq": 3, "recovered": true}));
    assert_eq!(bench.heard(ann2.id), ["2", "3"]);
}

#[test]
fn a_close_with_1000_ends_the_session_at_once() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    bench.end(ann.id, NORMAL);
    assert!(bench.hub.sessions.is_empty());
    assert_eq!(bench.resume(&ann, json!({})).welcome["resumed"], false);
}

#[test]
fn an_empty_room_is_forgotten_after_the_window_and_comes_back_with_another_epoch() {
    for (waits, is_same) in [(59_999, true), (60_000, false)] {
        let mut bench = Bench::new();
        let ann = bench.client(json!({"a": {"state": true}}));
        bench.chat(&ann, "a", "x");
        bench.say(ann.id, json!({"type": "patch", "room": "a", "patch": {"k": 1}}));
        bench.end(ann.id, NORMAL);
        bench.wait(millis(waits));
        assert_eq!(bench.hub.rooms.len(), usize::from(is_same));
        let before = &ann.welcome["rooms"]["a"]["epoch"];
        let since = json!({"epoch": before, "seq": 1, "version": 1});
        let bob = bench.client(json!({"a": {"state": true, "since": since}}));
        let room = &bob.welcome["rooms"]["a"];
        assert_eq!(room["epoch"] == *before, is_same);
        assert_has(room, &json!({"seq": u64::from(is_same), "version": u64::from(is_same), "recovered": is_same}));
        let others: Vec<Value> = bench.take(bob.id);
        if is_same {
            assert!(others.is_empty(), "{others:?}");
        } else {
            let state = json!({"type": "state", "room": "a", "version": 0, "state": {}});
            let gap = json!({"type": "gap", "room": "a", "epoch": room["epoch"], "reason": "reset"});
            assert_eq!(others, [state, gap]);
        }
        bench.end(bob.id, NORMAL);
        bench.wait(seconds(60));
        assert!(bench.is_empty());
    }
}

#[test]
fn a_room_is_there_as_long_as_somebody_may_come_back_to_it() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    let epoch = &ann.welcome["rooms"]["a"]["epoch"];
    bench.lose(ann.id);
    bench.wait(seconds(30));
    bench.end(bob.id, NORMAL);
    bench.wait(seconds(29));
    let back = bench.resume(&ann, json!({}));
    assert_eq!(&back.welcome["rooms"]["a"]["epoch"], epoch);
    bench.wait(seconds(200));
    assert_eq!(bench.hub.rooms.len(), 1);
}
