//! Who is there: told once a second and room, at once where somebody leaves, later where a line is lost.

use super::*;

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|member| member["session"].as_str().unwrap()).collect()
}

/// Somebody who watches a room, and has been told all that there was.
fn watcher(bench: &mut Bench) -> Client {
    let watcher = bench.client(json!({"a": {"presence": true}}));
    bench.wait(seconds(5));
    bench.take(watcher.id);
    watcher
}

#[test]
fn a_lost_line_ends_presence_after_the_grace_and_not_before() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    let ann = bench.client(json!({"a": {}}));
    bench.wait(seconds(5));
    assert_eq!(names(&bench.one(watcher.id)["joins"]), [&ann.session]);
    bench.lose(ann.id);
    bench.wait(millis(9_999));
    assert!(bench.take(watcher.id).is_empty());
    let bob = bench.client(json!({"a": {"presence": true}}));
    assert!(names(&bob.welcome["rooms"]["a"]["members"]).contains(&&*ann.session), "it still counts as present");
    bench.wait(millis(1));
    bench.wait(seconds(1));
    let leaves: Vec<Value> =
        bench.take(watcher.id).into_iter().flat_map(|message| message["leaves"].as_array().cloned().unwrap()).collect();
    assert_eq!(leaves, [json!({"session": ann.session})]);
}

#[test]
fn whoever_is_back_within_the_grace_was_never_away() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    let ann = bench.client(json!({"a": {}}));
    bench.wait(seconds(5));
    bench.take(watcher.id);
    bench.lose(ann.id);
    bench.wait(seconds(9));
    bench.resume(&ann, json!({}));
    bench.wait(seconds(100));
    assert!(bench.take(watcher.id).is_empty());
}

#[test]
fn whoever_is_back_after_the_grace_joins_again() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    let ann = bench.client(json!({"a": {}}));
    bench.wait(seconds(5));
    bench.lose(ann.id);
    bench.wait(seconds(20));
    bench.take(watcher.id);
    bench.resume(&ann, json!({}));
    bench.wait(seconds(1));
    assert_eq!(names(&bench.one(watcher.id)["joins"]), [&ann.session]);
}

#[test]
fn a_leave_and_a_close_with_1000_end_presence_at_once() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    bench.wait(seconds(5));
    bench.take(watcher.id);
    bench.say(ann.id, json!({"type": "leave", "room": "a"}));
    bench.wait(Duration::ZERO);
    assert_eq!(names(&bench.one(watcher.id)["leaves"]), [&ann.session]);
    bench.wait(seconds(1));
    bench.end(bob.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
    bench.wait(Duration::ZERO);
    assert_eq!(names(&bench.one(watcher.id)["leaves"]), [&bob.session]);
}

#[test]
fn presence_is_told_at_most_once_a_second_and_room() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(bench.client(json!({"a": {}})));
        bench.wait(millis(50));
    }
    let messages = bench.take(watcher.id);
    let told: Vec<usize> = messages.iter().map(|message| names(&message["joins"]).len()).collect();
    assert_eq!(told, [1, 19, 20], "the first at once, then one a second");
}

#[test]
fn only_those_who_asked_are_told_of_presence() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    bench.client(json!({"a": {}}));
    bench.wait(seconds(5));
    assert!(bench.take(ann.id).is_empty());
}

#[test]
fn above_500_presence_is_a_count_of_all() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    for _ in 0..498 {
        bench.client(json!({"a": {}}));
    }
    let last = bench.client(json!({"a": {"presence": true}}));
    assert_eq!(names(&last.welcome["rooms"]["a"]["members"]).len(), 499, "500 are there, and it is one of them");
    bench.wait(seconds(2));
    bench.take(watcher.id);
    let more = bench.client(json!({"a": {"presence": true}}));
    let room = &more.welcome["rooms"]["a"];
    assert_has(room, &json!({"count": 501, "members": null}));
    bench.wait(seconds(2));
    assert_eq!(bench.one(watcher.id), json!({"type": "presence", "room": "a", "count": 501}));
    let ack = bench.ask(&more, json!({"type": "join", "id": 1, "room": "a", "presence": true}));
    assert_has(&ack, &json!({"count": 501, "members": null}));
}

#[test]
fn who_comes_back_with_another_info_is_told_with_it() {
    let mut bench = Bench::new();
    let watcher = watcher(&mut bench);
    let id = bench.announced();
    let ann = bench.hello(id, json!({"rooms": {"a": {}}, "info": {"name": "Ann"}}));
    bench.wait(seconds(5));
    let told = |name: &str| json!([{"session": ann.session, "info": {"name": name}}]);
    assert_eq!(bench.one(watcher.id)["joins"], told("Ann"));
    bench.lose(ann.id);
    let ann = bench.resume(&ann, json!({"info": {"name": "Ann"}}));
    bench.wait(seconds(5));
    assert!(bench.take(watcher.id).is_empty(), "as before");
    let ann = bench.resume(&ann, json!({"info": {"name": "Anna"}}));
    bench.wait(seconds(5));
    assert_eq!(bench.one(watcher.id)["joins"], told("Anna"));
    bench.resume(&ann, json!({}));
    bench.wait(seconds(5));
    assert!(bench.take(watcher.id).is_empty(), "a hello without info says nothing new");
    let bob = bench.client(json!({"a": {"presence": true}}));
    assert!(bob.welcome["rooms"]["a"]["members"].as_array().unwrap().contains(&told("Anna")[0]));
}
