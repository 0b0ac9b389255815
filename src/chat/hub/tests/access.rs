//! Who may come in, what each may do there, and how much each may say.

use super::*;
use crate::chat::auth::Sources;

const TOKENS: &str = "ann:a1
ann:a2 rooms=docs* read=news
bob:b1 rooms=lobby
eve:e1 read=lobby,docs
pat:p1 rooms=
";

fn guarded(options: Options) -> Bench {
    let authenticator = Authenticator::tokens(TOKENS).expect("a list of tokens");
    let sources = Sources { cookie: Some("sid".to_owned()), query: false };
    Bench { hub: Hub::with_authentication(options, authenticator, sources), ..Bench::new() }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

const ANNOUNCED: &str = "Sec-WebSocket-Protocol: frameloop.v1\r\n";
const PAGE: &str = "Origin: https://a\r\n";

impl Bench {
    /// A client with a session, that shows its token in hello.
    fn member(&mut self, token: &str, rooms: Value) -> Client {
        let id = self.announced();
        self.hello(id, json!({"token": token, "rooms": rooms}))
    }

    /// The error that a connection got before it was closed with this code.
    fn expect_turned_out(&mut self, id: ConnId, error: &str, code: u16, reason: &str) {
        let told = self.one(id);
        assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!(error)), "{told}");
        assert_eq!(self.closed(id), Some((code, reason)));
        self.lose(id);
    }
}

#[test]
fn whoever_shows_nothing_is_refused_and_a_browser_is_let_in_to_be_told() {
    let mut bench = guarded(Options::default());
    assert!(matches!(bench.knock(""), Err(HandshakeError::Unauthorized(_))));
    let id = bench.knock(PAGE).unwrap();
    bench.expect_turned_out(id, "unauthorized", 4001, "unauthorized");
    for header in [bearer("wrong"), bearer("a1x"), format!("{}{ANNOUNCED}", bearer("wrong"))] {
        assert!(matches!(bench.knock(&header), Err(HandshakeError::Unauthorized(_))), "{header}");
        let id = bench.knock(&format!("{header}{PAGE}")).unwrap();
        bench.expect_turned_out(id, "unauthorized", 4001, "unauthorized");
    }
    assert!(
        matches!(bench.knock("Cookie: sid=a1\r\n"), Err(HandshakeError::Unauthorized(_))),
        "a cookie without an Origin"
    );
    assert!(bench.hub.access_is_empty() && bench.is_empty());
}

#[test]
fn each_way_to_show_a_token_opens_a_connection_without_a_session_too() {
    let mut bench = guarded(Options::default());
    let bob = bench.open(&bearer("b1"));
    let ways = [
        bearer("a1"),
        format!("Cookie: a=b; sid=a1\r\n{PAGE}"),
        "Sec-WebSocket-Protocol: bearer.a1, frameloop.plain\r\n".to_owned(),
    ];
    for way in ways {
        let ann = bench.open(&way);
        bench.say(ann, json!({"type": "chat", "msg": way}));
        assert_eq!(bench.one(bob)["msg"], way);
        bench.lose(ann);
    }
    let session = bench.member("b1", json!({"lobby": {}}));
    let ann = bench.open(&bearer("a1"));
    bench.say(ann, json!({"type": "chat", "msg": "hi"}));
    assert_eq!(bench.one(session.id)["from"]["user"], "ann", "others see who said it");
}

#[test]
fn a_session_shows_its_token_with_the_request_or_with_hello() {
    let mut bench = guarded(Options::default());
    let id = bench.open(&format!("{}{ANNOUNCED}", bearer("a1")));
    assert_eq!(bench.hello(id, json!({})).welcome["user"], "ann");
    assert_eq!(bench.member("b1", json!({})).welcome["user"], "bob");
    for token in [json!("wrong"), Value::Null] {
        let id = bench.announced();
        bench.say(id, json!({"type": "hello", "id": 1, "v": 1, "token": token}));
        let told = bench.one(id);
        if token.is_null() {
            assert_eq!(told["field"], "token", "null is no token: {told}");
        } else {
            assert_eq!((&told["code"], &told["id"]), (&json!("unauthorized"), &json!(1)));
            assert_eq!(bench.closed(id), Some((4001, "unauthorized")));
        }
    }
    let id = bench.announced();
    bench.say(id, json!({"type": "hello", "v": 1}));
    bench.expect_turned_out(id, "unauthorized", 4001, "unauthorized");
    let id = bench.open(&format!("{}{ANNOUNCED}", bearer("a1")));
    bench.say(id, json!({"type": "hello", "v": 1, "token": "b1"}));
    bench.expect_turned_out(id, "forbidden", 4002, "forbidden");
}

#[test]
fn a_session_is_resumed_by_its_own_user_only() {
    let mut bench = guarded(Options::default());
    let ann = bench.member("a1", json!({"docs": {}}));
    bench.lose(ann.id);
    let resume = json!({"session": ann.session, "token": ann.token});
    let id = bench.announced();
    let other = bench.hello(id, json!({"token": "b1", "resume": resume, "rooms": {}}));
    assert_eq!(other.welcome["resumed"], false, "as if there were no such session");
    let id = bench.announced();
    let again = bench.hello(id, json!({"token": "a2", "resume": resume}));
    assert_eq!((&again.welcome["resumed"], &again.session), (&json!(true), &ann.session));
}

#[test]
fn rights_say_what_may_be_read_and_what_may_be_said() {
    let mut bench = guarded(Options::default());
    let id = bench.announced();
    let rooms = json!({"docs": {}, "docs-2": {}, "news": {}, "lobby": {}});
    let ann = bench.hello(id, json!({"token": "a2", "rooms": rooms}));
    assert_eq!(ann.welcome["rooms"].as_object().unwrap().keys().collect::<Vec<_>>(), ["docs", "docs-2", "news"]);
    let refused = bench.one(ann.id);
    assert_eq!((&refused["code"], &refused["room"]), (&json!("forbidden"), &json!("lobby")));
    bench.chat(&ann, "docs", "to be written");
    for message in [
        json!({"type": "chat", "id": 2, "room": "news", "msg": "x"}),
        json!({"type": "signal", "id": 2, "room": "news", "data": 1}),
        json!({"type": "patch", "id": 2, "room": "news", "patch": {"a": 1}}),
        json!({"type": "join", "id": 2, "room": "secret"}),
        json!({"type": "chat", "id": 2, "room": "secret", "msg": "x"}),
    ] {
        let answer = bench.ask(&ann, message.clone());
        assert_eq!((&answer["code"], &answer["id"]), (&json!("forbidden"), &json!(2)), "{message}");
    }
    assert!(!bench.hub.rooms.contains_key("secret"), "nothing was made for it");
    assert!(bench.hub.rooms["news"].log.next() == 1, "nothing was said there");
}

#[test]
fn without_a_session_the_rights_to_the_lobby_count() {
    let mut bench = guarded(Options::default());
    let (ann, eve) = (bench.open(&bearer("a1")), bench.open(&bearer("e1")));
    let (pat, bob) = (bench.open(&bearer("p1")), bench.open(&bearer("b1")));
    bench.say(eve, json!({"type": "chat", "msg": "only reads"}));
    assert_eq!(bench.one(eve)["code"], "forbidden");
    bench.say(pat, json!({"type": "chat", "msg": "nothing at all"}));
    assert_eq!(bench.one(pat)["code"], "forbidden");
    bench.say(bob, json!({"type": "chat", "msg": "hi"}));
    assert_eq!([bench.one(ann)["msg"].clone(), bench.one(eve)["msg"].clone()], [json!("hi"), json!("hi")]);
    assert!(bench.take(pat).is_empty() && bench.take(bob).is_empty());
    for id in [ann, eve, pat, bob] {
        bench.lose(id);
    }
    bench.wait(seconds(61));
    assert!(bench.is_empty() && bench.hub.access_is_empty());
}

#[test]
fn a_live_connection_takes_a_new_token_of_the_same_user() {
    let mut bench = guarded(Options::default());
    let ann = bench.member("a1", json!({"docs": {}, "lobby": {}}));
    for (token, code) in [("wrong", "unauthorized"), ("b1", "forbidden")] {
        assert_eq!(bench.ask(&ann, json!({"type": "auth", "id": 3, "token": token}))["code"], code);
    }
    bench.chat(&ann, "lobby", "as before");
    bench.say(ann.id, json!({"type": "auth", "id": 4, "token": "a2"}));
    let told = bench.take(ann.id);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["code"], &told[0]["room"]), (&json!("forbidden"), &json!("lobby")), "it is in there no more");
    assert_eq!((&told[1]["type"], &told[1]["id"]), (&json!("ack"), &json!(4)));
    assert_eq!(bench.ask(&ann, json!({"type": "chat", "id": 5, "room": "lobby", "msg": "x"}))["code"], "forbidden");
    bench.chat(&ann, "docs", "still there");
}

#[test]
fn with_another_list_of_tokens_those_who_are_no_longer_in_it_go() {
    let mut bench = guarded(Options::default());
    let (ann, bob) = (bench.member("a1", json!({"docs": {}})), bench.member("b1", json!({"lobby": {}})));
    let (plain, reader) = (bench.open(&bearer("b1")), bench.open(&bearer("e1")));
    let list = Authenticator::tokens("ann:a1 rooms=lobby\neve:e1 rooms=docs\n").unwrap();
    bench.hub.set_authenticator(list, &mut bench.out);
    let told = bench.one(bob.id);
    assert_eq!((&told["type"], &told["code"], &told["reconnect"]), (&json!("disconnect"), &json!(4001), &json!(false)));
    assert_eq!(bench.closed(bob.id), Some((4001, "unauthorized")));
    assert_eq!(bench.closed(plain), Some((4001, "unauthorized")));
    let told = bench.one(ann.id);
    assert_eq!((&told["code"], &told["room"]), (&json!("forbidden"), &json!("docs")), "her rights are others now");
    assert_eq!(bench.closed(ann.id), None);
    bench.ask(&ann, json!({"type": "join", "id": 2, "room": "lobby"}));
    bench.chat(&ann, "lobby", "hi");
    assert!(bench.take(reader).is_empty(), "the lobby is no longer hers to read");
}

#[test]
fn a_user_has_so_many_connections_and_no_more() {
    let mut bench = guarded(Options { connections_per_user_max: Some(2), ..Options::default() });
    let first = bench.open(&bearer("a1"));
    let second = bench.member("a1", json!({}));
    assert_eq!(bench.knock(&bearer("a2")), Err(HandshakeError::UserLimit));
    let id = bench.knock(&format!("{}{PAGE}", bearer("a2"))).unwrap();
    bench.expect_turned_out(id, "busy", 4103, "connection_limit");
    let id = bench.announced();
    bench.say(id, json!({"type": "hello", "v": 1, "token": "a1"}));
    bench.expect_turned_out(id, "busy", 4103, "connection_limit");
    bench.open(&bearer("b1"));
    // Whoever takes the place of its own connection needs no other.
    let id = bench.announced();
    let resume = json!({"session": second.session, "token": second.token});
    let again = bench.hello(id, json!({"token": "a1", "resume": resume}));
    assert_eq!((&again.welcome["resumed"], bench.closed(second.id)), (&json!(true), Some((4003, "replaced"))));
    bench.lose(second.id);
    let id = bench.announced();
    bench.say(id, json!({"type": "hello", "v": 1, "token": "a1"}));
    bench.expect_turned_out(id, "busy", 4103, "connection_limit");
    bench.lose(first);
    bench.member("a1", json!({}));
}

#[test]
fn a_user_cannot_have_more_connections_by_not_saying_hello() {
    let mut bench = guarded(Options { connections_per_user_max: Some(2), ..Options::default() });
    let head = format!("{}{ANNOUNCED}", bearer("a1"));
    let (first, second) = (bench.open(&head), bench.open(&head));
    assert_eq!(bench.knock(&head), Err(HandshakeError::UserLimit), "as many may wait as may stay");
    // Whoever has said hello waits no longer.
    bench.hello(first, json!({}));
    let third = bench.open(&head);
    assert_eq!(bench.knock(&head), Err(HandshakeError::UserLimit));
    bench.hello(second, json!({}));
    bench.say(third, json!({"type": "hello", "v": 1}));
    bench.expect_turned_out(third, "busy", 4103, "connection_limit");
    let [fourth, fifth] = [bench.open(&head), bench.open(&head)];
    assert_eq!(bench.knock(&head), Err(HandshakeError::UserLimit));
    [first, second, fourth, fifth].into_iter().for_each(|id| bench.lose(id));
    bench.wait(Options::default().resume_window);
    assert!(bench.is_empty() && bench.hub.access_is_empty());
}

#[test]
fn whoever_says_too_much_is_told_when_to_go_on_and_closed_if_it_does_not_wait() {
    let mut bench = Bench::with(Options { rate: Some(10), ..Options::default() });
    let ann = bench.client(json!({"docs": {}})); // its hello is the first of 20
    for index in 0..19 {
        bench.chat(&ann, "docs", &index.to_string());
    }
    let refused = bench.ask(&ann, json!({"type": "chat", "id": 7, "room": "docs", "msg": "x"}));
    assert_eq!((&refused["code"], &refused["id"]), (&json!("rate_limited"), &json!(7)));
    let wait = refused["retry_after_ms"].as_u64().unwrap();
    bench.wait(millis(wait));
    bench.chat(&ann, "docs", "after the wait");
    // A batch counts as what is in it, and what is no message as one.
    let batch = vec![json!({"type": "ping"}); 15];
    bench.say_text(ann.id, &Value::from(batch).to_string());
    assert!(bench.take(ann.id).iter().all(|answer| answer["code"] == "rate_limited"));
    for _ in 0..30 {
        bench.say_text(ann.id, "nonsense");
    }
    let told = bench.take(ann.id).pop().unwrap();
    assert_eq!((&told["type"], &told["code"], &told["reconnect"]), (&json!("disconnect"), &json!(4100), &json!(true)));
    assert_eq!(bench.closed(ann.id), Some((4100, "rate_limited")));
    assert_eq!(bench.hub.rooms["docs"].log.next(), 21, "20 chats, and no other");
}

#[test]
fn the_rate_is_for_clients_without_a_session_too_and_each_has_its_own() {
    let mut bench = Bench::with(Options { rate: Some(1), ..Options::default() });
    let (ann, bob) = (bench.plain(), bench.plain());
    for msg in ["1", "2", "3", "4"] {
        bench.say(ann, json!({"type": "chat", "msg": msg}));
    }
    let told = bench.take(ann);
    assert!(told.len() == 2 && told.iter().all(|answer| answer["code"] == "rate_limited"), "{told:?}");
    assert_eq!(bench.take(bob).len(), 2);
    bench.say(ann, json!({"type": "chat", "msg": "5"}));
    assert_eq!(bench.closed(ann), Some((4100, "rate_limited")));
    bench.say(bob, json!({"type": "chat", "msg": "hi"}));
    assert_eq!(bench.take(bob), Vec::<Value>::new());
    bench.wait(seconds(10));
    for msg in ["1", "2", "3"] {
        bench.say(bob, json!({"type": "chat", "msg": msg}));
    }
    assert_eq!(bench.one(bob)["code"], "rate_limited", "a bucket holds no more than twice the rate");
}

#[test]
fn what_was_said_counts_on_when_a_session_is_resumed_or_its_user_comes_back() {
    let mut bench = guarded(Options { rate: Some(5), ..Options::default() });
    let mut ann = bench.member("a1", json!({"docs": {}}));
    let mut said = 1; // the hello
    for round in 0..10 {
        for index in 0..9 {
            bench.say(ann.id, json!({"type": "chat", "id": format!("{round}-{index}"), "room": "docs", "msg": "x"}));
        }
        said += bench.take(ann.id).iter().filter(|answer| answer["type"] == "ack").count();
        bench.lose(ann.id);
        if round % 2 == 1 {
            bench.wait(millis(1000)); // a line that is lost does not help; time does
        }
        let id = bench.announced();
        let resume = json!({"session": ann.session, "token": ann.token});
        bench.say(id, json!({"type": "hello", "id": 1, "v": 1, "token": "a1", "resume": resume}));
        let Some(answer) = bench.take(id).into_iter().next().filter(|answer| answer["type"] == "welcome") else {
            bench.lose(id);
            break;
        };
        said += 1;
        ann = Client { id, welcome: answer, ..ann };
    }
    assert!((10..=35).contains(&said), "10 at once and 5 a second: {said}");
    // Nor does a new session of the same user.
    let mut bench = guarded(Options { rate: Some(5), ..Options::default() });
    let first = bench.member("a1", json!({"docs": {}}));
    for index in 0..9 {
        bench.chat(&first, "docs", &index.to_string());
    }
    bench.lose(first.id);
    let id = bench.announced();
    bench.say(id, json!({"type": "hello", "v": 1, "token": "a1"}));
    assert_eq!(bench.one(id)["type"], "welcome", "hello itself was said before it was known whose it is");
    bench.say(id, json!({"type": "ping"}));
    assert_eq!(bench.one(id)["code"], "rate_limited");
}

#[test]
fn whoever_is_not_known_may_send_only_short_messages_and_there_are_only_so_many() {
    let mut bench = guarded(Options { unknown_max: 2, ..Options::default() });
    let (first, second) = (bench.announced(), bench.announced());
    let known = bench.open(&format!("{}{ANNOUNCED}", bearer("a1")));
    assert_eq!(bench.out.restricted, BTreeSet::from([first, second]));
    let third = bench.announced();
    assert_eq!(bench.closed(first), Some((4102, "hello_timeout")), "the one that has waited longest");
    assert_eq!((bench.closed(second), bench.closed(third), bench.closed(known)), (None, None, None));
    bench.hello(second, json!({"token": "a1"}));
    assert!(!bench.out.restricted.contains(&second), "now it is known");
    let fourth = bench.announced();
    assert_eq!((bench.closed(third), bench.closed(fourth)), (None, None), "it waits no more");
    bench.wait(seconds(10));
    assert_eq!(bench.closed(fourth), Some((4102, "hello_timeout")));
    let mut open = Bench::new();
    open.announced();
    assert!(open.out.restricted.is_empty(), "where nobody has to show anything all are known");
}

#[test]
fn the_sessions_of_one_user_do_not_push_out_those_of_others() {
    let mut bench = guarded(Options { waiting_max: 150, ..Options::default() });
    let ann = bench.member("a1", json!({}));
    bench.lose(ann.id);
    let mut bobs: Vec<Client> = Vec::new();
    for _ in 0..options::ABSENT_PER_USER_MAX + 100 {
        let bob = bench.member("b1", json!({}));
        bench.lose(bob.id);
        bobs.push(bob);
    }
    assert_eq!(bench.hub.sessions.len(), 1 + options::ABSENT_PER_USER_MAX);
    for (client, token, is_there) in
        [(&ann, "a1", true), (&bobs[100], "b1", true), (&bobs[199], "b1", true), (&bobs[99], "b1", false)]
    {
        let id = bench.announced();
        let resume = json!({"session": client.session, "token": client.token});
        let back = bench.hello(id, json!({"token": token, "resume": resume, "rooms": {}}));
        assert_eq!(back.welcome["resumed"], is_there);
        bench.lose(id);
    }
    bench.wait(seconds(61));
    assert!(bench.is_empty() && bench.hub.access_is_empty());
}

#[cfg(feature = "jwt")]
mod signed {
    use super::*;

    // Signed with SECRET at the time of all tests, which is 1734190000: `exp` is in 60 s, in an hour, in an hour, and 31 s ago.
    const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";
    const MINUTE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MzQxOTAwNjB9\
        .Zlobvwdxcq4vPtbeaRT6gR9oLHyapQTM-s3Sg_njrSI";
    const HOUR: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MzQxOTM2MDB9\
        .DIhLI8XfbNXmpCnlIcCdIrS2WGjIMN4sAC998rnilDU";
    const BOBS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJib2IiLCJleHAiOjE3MzQxOTM2MDB9\
        .lkLz0lDnO8K_MNBlfMq_KpEQXoRcgCIoBlnXn23k8gg";
    const PAST: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MzQxODk5Njl9\
        .VASalnxFmfhFfT783J_ZPCn7UQvzKXTw5biO4K0LINI";

    fn guarded() -> Bench {
        let authenticator = Authenticator::jwt(SECRET, None).expect("a secret");
        Bench { hub: Hub::with_authentication(Options::default(), authenticator, Sources::default()), ..Bench::new() }
    }

    #[test]
    fn a_token_that_is_over_closes_its_connection_30_seconds_later() {
        let mut bench = guarded();
        let (ann, plain) = (bench.member(MINUTE, json!({"docs": {}})), bench.open(&bearer(MINUTE)));
        let waiting = bench.open(&format!("{}{ANNOUNCED}", bearer(MINUTE)));
        bench.wait(seconds(89));
        assert_eq!((bench.closed(ann.id), bench.closed(plain)), (None, None));
        bench.wait(seconds(1));
        let told = bench.one(ann.id);
        assert_eq!((&told["code"], &told["reconnect"]), (&json!(4200), &json!(true)), "{told}");
        assert_eq!(bench.closed(ann.id), Some((4200, "token_expired")));
        assert_eq!(bench.closed(plain), Some((4200, "token_expired")));
        assert_eq!(bench.closed(waiting), Some((4102, "hello_timeout")), "it was gone before");
        // With a new token it goes on.
        let id = bench.announced();
        let resume = json!({"session": ann.session, "token": ann.token});
        assert_eq!(bench.hello(id, json!({"token": HOUR, "resume": resume})).welcome["resumed"], true);
    }

    #[test]
    fn auth_renews_a_token_before_it_is_over() {
        let mut bench = guarded();
        let ann = bench.member(MINUTE, json!({"docs": {}}));
        bench.wait(seconds(50));
        assert_eq!(bench.ask(&ann, json!({"type": "auth", "id": 2, "token": PAST}))["code"], "token_expired");
        assert_eq!(bench.ask(&ann, json!({"type": "auth", "id": 3, "token": BOBS}))["code"], "forbidden");
        assert_eq!(bench.ask(&ann, json!({"type": "auth", "id": 4, "token": HOUR}))["type"], "ack");
        bench.wait(seconds(3579));
        assert_eq!(bench.closed(ann.id), None);
        bench.wait(seconds(1));
        assert_eq!(bench.closed(ann.id), Some((4200, "token_expired")));
    }

    #[test]
    fn a_token_that_is_over_from_the_start_is_told_apart_from_one_that_is_wrong() {
        let mut bench = guarded();
        assert!(matches!(bench.knock(&bearer(PAST)), Err(HandshakeError::Unauthorized(_))));
        let id = bench.knock(&format!("{}{PAGE}", bearer(PAST))).unwrap();
        bench.expect_turned_out(id, "token_expired", 4200, "token_expired");
        let id = bench.announced();
        bench.say(id, json!({"type": "hello", "v": 1, "token": PAST}));
        bench.expect_turned_out(id, "token_expired", 4200, "token_expired");
        let id = bench.announced();
        bench.say(id, json!({"type": "hello", "v": 1, "token": &HOUR[..HOUR.len() - 1]}));
        bench.expect_turned_out(id, "unauthorized", 4001, "unauthorized");
        let other = Authenticator::jwt(b"another secret of thirty-two bytes", None).unwrap();
        let ann = bench.member(HOUR, json!({}));
        bench.hub.set_authenticator(other, &mut bench.out);
        assert_eq!(bench.closed(ann.id), None, "a token that carries its proof holds until it is over");
        assert!(matches!(bench.knock(&bearer(HOUR)), Err(HandshakeError::Unauthorized(_))), "but opens nothing anew");
    }
}
