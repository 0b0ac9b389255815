//! Sessions over real sockets: what they are for, from a client's side.

use std::net::SocketAddr;
use std::time::Duration;

use frameloop::chat::Hub;
use frameloop::chat::hub::options::Options;
use frameloop::protocol::{CloseCode, End, Limits};
use frameloop::server::Config;
use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{Late, Running, config, recording};
use crate::wire::REQUEST_HEAD;

fn serve(limits: Limits, options: Options) -> Running {
    let config = Config { subprotocols: vec![Hub::SUBPROTOCOL.to_owned()], ..config(limits) };
    Running::start(config, Late(move || Hub::new(options)))
}

/// A client that offers a session, without a word yet.
fn offer(mut client: Client) -> Client {
    let offer = b"Sec-WebSocket-Protocol: frameloop.v1\r\n\r\n";
    client.write(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offer].concat());
    let head = client.response_head();
    assert!(head.contains("\r\nSec-WebSocket-Protocol: frameloop.v1\r\n"), "{head}");
    client
}

fn say(client: &mut Client, message: &Value) {
    client.send_text(&message.to_string());
}

fn hear(client: &mut Client) -> Value {
    serde_json::from_str(&client.text()).expect("the server sends JSON")
}

/// A client with a session, and its welcome.
fn open(address: SocketAddr, hello: &Value) -> (Client, Value) {
    open_over(Client::connect(address), hello)
}

fn open_over(client: Client, hello: &Value) -> (Client, Value) {
    let mut client = offer(client);
    say(&mut client, hello);
    let welcome = hear(&mut client);
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (client, welcome)
}

fn hello() -> Value {
    json!({"type": "hello", "id": 1, "v": 1})
}

/// A hello that goes on where a welcome and the chats after it have led to.
fn resume(welcome: &Value, seq: u64) -> Value {
    let since = json!({"epoch": welcome["rooms"]["lobby"]["epoch"], "seq": seq});
    let resume = json!({"session": welcome["session"], "token": welcome["resume_token"]});
    json!({"type": "hello", "id": 2, "v": 1, "resume": resume, "rooms": {"lobby": {"since": since}}})
}

#[test]
fn clients_with_and_without_a_session_talk_on_one_port() {
    let server = serve(Limits::default(), Options::default());
    let mut plain = Client::open(server.address());
    let (mut ann, welcome) = open(server.address(), &hello());
    assert_eq!((&welcome["id"], &welcome["resumed"]), (&json!(1), &json!(false)));
    say(&mut ann, &json!({"type": "chat", "id": "m-1", "msg": "hello", "from": "forged"}));
    let ack = hear(&mut ann);
    assert_eq!((&ack["type"], &ack["id"], &ack["seq"]), (&json!("ack"), &json!("m-1"), &json!(1)));
    assert_eq!(plain.text(), r#"{"type":"chat","msg":"hello"}"#);

    plain.send_text(r#"{"type":"chat","msg":"hello too","seq":77}"#);
    let chat = hear(&mut ann);
    assert_eq!((&chat["msg"], &chat["seq"], &chat["room"]), (&json!("hello too"), &json!(2), &json!("lobby")));
    assert!(chat["from"]["session"].is_string() && chat["ts"].as_u64().unwrap() > 1_700_000_000_000, "{chat}");
    plain.leave();
    ann.leave();
}

#[test]
fn what_was_said_during_an_absence_follows_the_welcome() {
    let server = serve(Limits::default(), Options::default());
    let (ann, welcome) = open(server.address(), &hello());
    let (mut bob, _) = open(server.address(), &hello());
    ann.reset();
    for number in 1..=250 {
        say(&mut bob, &json!({"type": "chat", "id": number, "n": number}));
        assert_eq!(hear(&mut bob)["seq"], number);
    }
    let (mut ann, resumed) = open(server.address(), &resume(&welcome, 0));
    assert_eq!((&resumed["resumed"], &resumed["session"]), (&json!(true), &welcome["session"]));
    assert_eq!(resumed["rooms"]["lobby"]["recovered"], true);
    let mut heard = Vec::new();
    while heard.len() < 250 {
        let batch = hear(&mut ann);
        let chats = batch.as_array().expect("what was missed comes in arrays");
        assert!(chats.len() <= 100);
        heard.extend(chats.iter().map(|chat| chat["n"].as_u64().unwrap()));
    }
    assert_eq!(heard, (1..=250).collect::<Vec<u64>>());
    say(&mut bob, &json!({"type": "chat", "n": 251}));
    assert_eq!(hear(&mut ann)["n"], 251, "and then live traffic");
}

#[test]
fn a_slow_reader_is_closed_with_4101_and_misses_nothing() {
    let (app, record) = recording(Late(Hub::default));
    let limits = Limits { queue_bytes_max: 256 * 1024, ..Limits::default() };
    let config = Config { subprotocols: vec![Hub::SUBPROTOCOL.to_owned()], ..config(limits) };
    let server = Running::start(config, app);
    let (_slow, welcome) = open_over(Client::connect_with_small_buffers(server.address()), &hello());
    let (mut bob, _) = open(server.address(), &hello());
    let (mut said, filler) = (0, "x".repeat(100_000));
    let end = loop {
        said += 1;
        say(&mut bob, &json!({"type": "chat", "id": said, "n": said, "x": filler}));
        assert_eq!(hear(&mut bob)["seq"], said);
        if let Some(end) = record.so_far().into_iter().find_map(crate::harness::Told::end) {
            break end;
        }
        assert!(said < 200, "20 MB wait for a reader");
    };
    assert_eq!(end, End::QueueFull(CloseCode::SLOW_CONSUMER));
    // More than its queue holds is replayed to it, as it takes it. What the log no longer has is named.
    let (mut back, resumed) = open(server.address(), &resume(&welcome, 0));
    assert_eq!(resumed["resumed"], true);
    let mut next = 1;
    while next <= said {
        let heard = hear(&mut back);
        if heard["type"] == "gap" {
            assert_eq!((&heard["from_seq"], &heard["reason"]), (&json!(next), &json!("expired")));
            next = heard["to_seq"].as_u64().unwrap() + 1;
            continue;
        }
        for chat in heard.as_array().expect("an array of chats") {
            assert_eq!(chat["n"], next);
            next += 1;
        }
    }
}

#[test]
fn a_session_that_says_nothing_in_time_is_closed_with_4102() {
    let options = Options { hello_timeout: Duration::from_millis(20), ..Options::default() };
    let server = serve(Limits::default(), options);
    let mut client = offer(Client::connect(server.address()));
    assert_eq!(client.close_frame(), (4102, "hello_timeout".to_owned()));
}

#[test]
fn a_stop_tells_sessions_when_to_come_back_and_others_that_it_goes() {
    let server = serve(Limits::default(), Options::default());
    let (mut ann, _) = open(server.address(), &hello());
    let mut plain = Client::open(server.address());
    plain.send_text("?");
    assert!(plain.text().contains("invalid_json"));
    server.stop();
    let disconnect = hear(&mut ann);
    assert_eq!((&disconnect["code"], &disconnect["reconnect"]), (&json!(1012), &json!(true)), "{disconnect}");
    assert!((1000..=11_000).contains(&disconnect["after_ms"].as_u64().unwrap()), "{disconnect}");
    assert_eq!(ann.close_frame(), (1012, "restart".to_owned()));
    assert_eq!(plain.close_frame(), (1001, "shutdown".to_owned()));
}

#[test]
fn tabs_that_edit_at_once_end_with_one_state() {
    let server = serve(Limits::default(), Options::default());
    let join = json!({"type": "hello", "id": 1, "v": 1, "rooms": {"docs": {"state": true}}});
    let mut tabs: Vec<Client> = (0..3).map(|_| open(server.address(), &join).0).collect();
    for number in 0..30 {
        let patch = json!({"last": number, "tabs": {format!("{}", number % 3): number}});
        say(&mut tabs[number % 3], &json!({"type": "patch", "id": number, "room": "docs", "patch": patch}));
    }
    for (number, tab) in tabs.iter_mut().enumerate() {
        let mut versions: Vec<u64> = (0..30).map(|_| hear(tab)["version"].as_u64().unwrap()).collect();
        versions.sort();
        assert_eq!(versions, (1..=30).collect::<Vec<u64>>(), "tab {number}: each patch once, as an ack or from others");
    }
    let (_, welcome) = open(server.address(), &join);
    assert_eq!(welcome["rooms"]["docs"]["version"], 30);
    assert_eq!(welcome["rooms"]["docs"]["state"]["tabs"], json!({"0": 27, "1": 28, "2": 29}));
}
