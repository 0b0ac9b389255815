//! `frameloop serve`, plain mode: the contracts P1 to P6 of `src/chat/mod.rs`, byte for byte.

use std::time::Instant;

use frameloop::chat::Hub;
use frameloop::protocol::{End, Limits};
use frameloop::server::Server;
use serde_json::Value;
use tungstenite::Message;

use crate::client::{Client, library_client};
use crate::harness::{DEADLINE, Late, Running, config, recording};
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, close_payload,
};

const HELLO: &str = r#"{"type":"chat","msg":"hello server"}"#;

fn hub() -> Running {
    Running::hub(Limits::default())
}

/// Whoever sends this gets exactly one error object, and nobody else anything.
fn expect_error(client: &mut Client, text: &str, code: &str, field: Option<&str>) {
    client.send_text(text);
    let error: Value = serde_json::from_str(&client.text()).unwrap();
    assert_eq!(error["type"], "error", "{text}");
    assert_eq!(error["code"], code, "{text}");
    assert!(!error["message"].as_str().unwrap().is_empty(), "{text}");
    assert_eq!(error.get("field").map(|field| field.as_str().unwrap()), field, "{text}");
    assert_eq!(error.as_object().unwrap().len(), 3 + usize::from(field.is_some()), "{text}");
}

#[test]
fn p1_the_server_sends_nothing_unasked() {
    let server = hub();
    let quiet = Client::open(server.address());
    Client::open(server.address()).leave();
    let mut other = Client::open(server.address());
    expect_error(&mut other, "", "invalid_json", None);
    other.send(FIN | PING, b"alive?");
    assert_eq!(other.frame(), ServerFrame::new(PONG, b"alive?"));
    other.leave();
    quiet.leave();
}

#[test]
fn p2_a_chat_goes_to_every_other_member_as_the_bytes_that_were_sent_and_not_to_its_sender() {
    let server = hub();
    let mut sender = Client::open(server.address());
    let mut readers = [Client::open(server.address()), Client::open(server.address())];
    for text in [
        HELLO,
        " {\t\"msg\" : \"blanks\" ,\r\n \"type\" : \"chat\" } \n",
        r#"{"type":"chat","msg":"\u0041\/ \ud83d\ude00 é €","n":1.000,"big":123456789012345678901234567890e9999}"#,
        r#"{"t\u0079pe":"ch\u0061t"}"#,
        r#"{"type":"chat","nested":{"a":[null,true,{"a":1,"a":2}]},"type ":0}"#,
        // P3: what the server sets for other kinds of readers is for a plain reader the sender's own.
        r#"{"type":"chat","id":1,"room":"lobby","seq":7,"epoch":"e","from":"me","ts":0,"msg":"x"}"#,
        &format!(r#"{{"type":"chat","msg":"{}"}}"#, "long ".repeat(20_000)),
    ] {
        sender.send_text(text);
        for reader in &mut readers {
            assert_eq!(reader.frame(), ServerFrame::new(TEXT, text.as_bytes()));
        }
    }
    sender.leave();
    readers.into_iter().for_each(Client::leave);
}

#[test]
fn p2_a_chat_in_fragments_arrives_in_one_frame() {
    let server = hub();
    let (mut sender, mut reader) = (Client::open(server.address()), Client::open(server.address()));
    let (first, rest) = HELLO.split_at(9);
    let (second, third) = rest.split_at(1);
    sender.send(TEXT, first.as_bytes());
    sender.send(CONTINUATION, second.as_bytes());
    sender.send(FIN | CONTINUATION, third.as_bytes());
    assert_eq!(reader.frame(), ServerFrame::new(TEXT, HELLO.as_bytes()));
    sender.leave();
}

#[test]
fn p2_clients_of_a_library_chat_with_each_other() {
    let server = hub();
    let (mut ann, mut bob) = (library_client(server.address()), library_client(server.address()));
    ann.send(Message::text(HELLO)).unwrap();
    assert_eq!(bob.read().unwrap(), Message::text(HELLO));
    bob.send(Message::text(r#"{"type":"chat","msg":"hello Ann"}"#)).unwrap();
    assert_eq!(ann.read().unwrap(), Message::text(r#"{"type":"chat","msg":"hello Ann"}"#));
    for mut client in [ann, bob] {
        client.close(None).unwrap();
        assert!(matches!(client.read(), Ok(Message::Close(None))));
        assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
    }
}

#[test]
fn p4_what_is_no_message_gets_one_error_and_the_connection_lives_on() {
    let server = hub();
    let (mut sender, mut reader) = (Client::open(server.address()), Client::open(server.address()));
    let deep = format!(r#"{{"type":"chat","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (text, code, field) in [
        ("", "invalid_json", None),
        ("hello", "invalid_json", None),
        (r#"{"type":"chat","msg":"hello""#, "invalid_json", None),
        (r#"{"type":"chat",}"#, "invalid_json", None),
        (r#"{"type":"chat"} {"type":"chat"}"#, "invalid_json", None),
        (r#"{"type":"chat","msg":NaN}"#, "invalid_json", None),
        (r#"{"type":"chat","msg":"\ud800"}"#, "invalid_json", None),
        ("1", "invalid_message", None),
        ("null", "invalid_message", None),
        (r#""chat""#, "invalid_message", None),
        (r#"[{"type":"chat"}]"#, "invalid_message", None),
        (&deep, "invalid_message", None),
        ("{}", "invalid_message", Some("type")),
        (r#"{"msg":"hello"}"#, "invalid_message", Some("type")),
        (r#"{"type":1}"#, "invalid_message", Some("type")),
        (r#"{"type":null}"#, "invalid_message", Some("type")),
        (r#"{"type":["chat"]}"#, "invalid_message", Some("type")),
        (r#"{"type":"Chat"}"#, "unknown_type", Some("type")),
        (r#"{"type":"error","code":"internal"}"#, "unknown_type", Some("type")),
    ] {
        expect_error(&mut sender, text, code, field);
        sender.send_text(HELLO);
        assert_eq!(reader.text(), HELLO, "after {text}");
    }
    sender.leave();
    reader.leave();
}

#[test]
fn p5_a_member_name_that_stands_twice_is_refused() {
    let server = hub();
    let (mut sender, reader) = (Client::open(server.address()), Client::open(server.address()));
    for text in [
        r#"{"type":"chat","type":"chat"}"#,
        r#"{"type":"chat","msg":"for one reader","msg":"for another"}"#,
        r#"{"type":"chat","msg":1,"m\u0073g":2}"#,
    ] {
        expect_error(&mut sender, text, "invalid_message", None);
    }
    sender.leave();
    reader.leave();
}

#[test]
fn p6_a_binary_message_closes_with_1003_and_concerns_nobody_else() {
    let server = hub();
    let (mut sender, mut reader) = (Client::open(server.address()), Client::open(server.address()));
    let mut rude = Client::open(server.address());
    rude.send(FIN | BINARY, HELLO.as_bytes());
    assert_eq!(rude.close_frame(), (1003, "binary".to_owned()));
    sender.send_text(HELLO);
    assert_eq!(reader.text(), HELLO);
    rude.send_close(1003);
    rude.expect_end(); // it had left the room: the chat did not go to it
    sender.leave();
    reader.leave();
}

#[test]
fn messages_behind_the_one_that_ended_the_connection_do_not_arrive() {
    let server = hub();
    let (mut sender, mut reader) = (Client::open(server.address()), Client::open(server.address()));
    let late = client_frame(FIN | TEXT, br#"{"type":"chat","msg":"late"}"#);
    let unmasked = [&[FIN | TEXT, HELLO.len() as u8], HELLO.as_bytes()].concat();
    for (last, code) in [
        (client_frame(FIN | BINARY, b""), 1003),
        (client_frame(FIN | CLOSE, &close_payload(1000, "bye")), 1000),
        (client_frame(FIN | TEXT, b"\xff"), 1007),
        (unmasked, 1002),
    ] {
        let mut client = Client::open(server.address());
        client.write(&[&last[..], &late].concat());
        assert_eq!(client.close_frame().0, code);
        let _ = client.try_write(&late); // and not after it either; the server may have dropped it by now
        sender.send_text(HELLO);
        assert_eq!(reader.text(), HELLO, "the next after the end with {code}");
    }
    sender.leave();
    reader.leave();
}

#[test]
fn whoever_is_gone_is_gone_from_the_room_whatever_the_way() {
    let ways: [fn(Client); 4] = [
        |client| client.reset(),
        |client| drop(client),
        |client| client.shutdown_write(),
        |mut client| client.send_close(1000),
    ];
    // Pings to one that stays make sure that a turn does not wait for long where nothing happens.
    let limits = Limits { ping_interval: DEADLINE / 10, ping_misses_max: u8::MAX, ..Limits::default() };
    let mut server = Server::bind(&config(limits), Hub::default()).unwrap();
    let address = server.addresses()[0];
    let mut turn_until_members = |count: usize| {
        let deadline = Instant::now() + DEADLINE;
        while server.app().lobby().len() != count {
            assert!(server.turn().unwrap() && Instant::now() < deadline, "{} members", server.app().lobby().len());
        }
    };
    let enter = || {
        let mut client = Client::connect(address);
        client.write(REQUEST_HEAD);
        client
    };
    let _stays = enter();
    turn_until_members(1);
    for leave in ways {
        let client = enter();
        turn_until_members(2);
        leave(client);
        turn_until_members(1);
    }
}

#[test]
fn a_member_that_sends_nonsense_is_told_and_its_end_has_the_cause() {
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(Limits::default()), app);
    let mut client = Client::open(server.address());
    client.send(FIN | BINARY, b"");
    client.close_frame();
    client.send_close(1003);
    client.expect_end();
    let End::ClosedByUs(code) = record.next_end() else { panic!("the hub closed it") };
    assert_eq!(code.number(), 1003);
}
