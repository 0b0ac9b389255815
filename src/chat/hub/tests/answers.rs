//! What an answer may cost: never much more than what is sent, whatever is asked for at once.

use super::*;

#[test]
fn many_joins_of_a_large_room_in_one_message_make_no_more_than_their_reader_may_have_waiting() {
    let mut bench = Bench::new();
    let ann = bench.client(json!({"a": {}}));
    bench.say(ann.id, json!({"type": "patch", "room": "a", "patch": {"k": "x".repeat(700_000)}}));
    let bob = bench.client(json!({}));
    bench.out.queued_by_sending = true;
    let join = json!({"type": "join", "id": 1, "room": "a", "state": true, "presence": true});
    bench.say(bob.id, Value::Array(vec![join; 100]));
    let texts = bench.texts(bob.id);
    let bytes: usize = texts.iter().map(String::len).sum();
    assert!(bytes < 2 * Options::default().answer_bytes, "{bytes} bytes");
    assert_eq!(texts.iter().filter(|text| text.contains(r#""type":"ack""#)).count(), 100, "each has its answer");
}

#[test]
fn members_whose_infos_are_too_much_for_an_answer_are_only_counted() {
    let mut bench = Bench::new();
    let info = json!("i".repeat(4000));
    let people: Vec<Client> = (0..300)
        .map(|_| {
            let id = bench.announced();
            bench.hello(id, json!({"info": info, "rooms": {"a": {}}}))
        })
        .collect();
    let bob = bench.client(json!({"a": {"presence": true}}));
    assert_has(&bob.welcome["rooms"]["a"], &json!({"count": 301, "members": null}));
    for person in &people[50..] {
        bench.say(person.id, json!({"type": "leave", "room": "a"}));
    }
    // Who came and went is told in the same way, or readers who were only given a number would ask again and again.
    let told = |bench: &mut Bench| bench.take(bob.id).last().expect("presence").clone();
    bench.wait(seconds(2));
    assert_eq!(told(&mut bench)["joins"].as_array().map(Vec::len), Some(51));
    for _ in 0..250 {
        let id = bench.announced();
        bench.hello(id, json!({"info": info, "rooms": {"a": {}}}));
    }
    bench.wait(seconds(2));
    assert_has(&told(&mut bench), &json!({"count": 301, "joins": null}));
    let cid = bench.client(json!({"a": {"presence": true}}));
    assert_has(&cid.welcome["rooms"]["a"], &json!({"count": 302, "members": null}));
    for person in &people[..50] {
        bench.say(person.id, json!({"type": "leave", "room": "a"}));
    }
    let cid = bench.client(json!({"a": {"presence": true}}));
    assert_eq!(cid.welcome["rooms"]["a"]["members"].as_array().map(Vec::len), Some(252));
}

#[test]
fn who_left_is_named_without_its_info_and_a_crowd_that_left_is_only_counted() {
    let mut bench = Bench::new();
    let watcher = bench.client(json!({"a": {"presence": true}}));
    let crowd: Vec<Client> = (0..600)
        .map(|n| {
            let id = bench.announced();
            bench.hello(id, json!({"info": {"n": n}, "rooms": {"a": {}}}))
        })
        .collect();
    bench.wait(seconds(2));
    bench.take(watcher.id);
    bench.say(crowd[0].id, json!({"type": "leave", "room": "a"}));
    bench.wait(seconds(2));
    for person in &crowd[1..] {
        bench.say(person.id, json!({"type": "leave", "room": "a"}));
    }
    bench.wait(seconds(2));
    let told = bench.take(watcher.id);
    let counts: Vec<&Value> = told.iter().map(|message| &message["count"]).collect();
    assert_eq!(counts, [&json!(600), &json!(1)], "{told:?}");

    let id = bench.announced();
    let ann = bench.hello(id, json!({"info": {"name": "Ann"}, "rooms": {"a": {}}}));
    bench.wait(seconds(2));
    bench.take(watcher.id);
    bench.say(ann.id, json!({"type": "leave", "room": "a"}));
    bench.wait(seconds(2));
    assert_eq!(bench.one(watcher.id)["leaves"], json!([{"session": ann.session}]));
}

#[test]
fn a_hello_with_too_many_rooms_is_refused_whole() {
    let mut bench = Bench::with(Options { rooms_per_session: 5, ..Options::default() });
    let rooms = |count: usize| Value::Object((0..count).map(|n| (format!("r{n}"), json!({}))).collect());
    let id = bench.announced();
    bench.say(id, json!({"type": "hello", "id": 1, "v": 1, "rooms": rooms(106)}));
    assert_has(&bench.one(id), &json!({"type": "error", "id": 1, "code": "invalid_message", "field": "rooms"}));
    bench.say(id, json!({"type": "hello", "id": 2, "v": 1, "rooms": rooms(105)}));
    let answers = bench.take(id);
    assert_eq!((answers.len(), &answers[0]["type"]), (101, &json!("welcome")), "and an error for each that is refused");
}

#[test]
fn an_interval_has_one_entry_of_the_agenda_for_each_client() {
    let mut bench = Bench::with(Options { batch_interval: Some(millis(20)), ..Options::default() });
    let (ann, bob) = (bench.client(json!({"a": {}})), bench.client(json!({"a": {}})));
    let before = bench.hub.agenda.len();
    for _ in 0..100 {
        bench.say(ann.id, json!({"type": "chat", "room": "a"}));
        bench.say(bob.id, json!({"type": "ping"})); // its answer takes along what was gathered
    }
    assert!(bench.hub.agenda.len() <= before + 2, "{}", bench.hub.agenda.len());
    bench.take(bob.id);
    bench.wait(millis(15));
    bench.say(ann.id, json!({"type": "chat", "room": "a"}));
    bench.wait(millis(10));
    assert!(bench.take(bob.id).is_empty(), "it is gathered for the whole interval");
    bench.wait(millis(10));
    assert_eq!(bench.take(bob.id).len(), 1);
}
