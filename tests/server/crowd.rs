//! Many in one room: everybody gets everything of all others, once and in order, whatever becomes of some of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;

use frameloop::protocol::Limits;

use crate::client::Client;
use crate::harness::{NEVER, Running};

/// The `number`-th chat of a client.
fn chat(from: usize, number: usize) -> String {
    format!(r#"{{"type":"chat","from":{from},"number":{number}}}"#)
}

/// A server that pings nobody while all of them are heard, one after the other.
fn server() -> Running {
    Running::hub(Limits { ping_interval: NEVER, ..Limits::default() })
}

fn crowd(address: SocketAddr, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::open(address)).collect()
}

#[test]
fn fifty_that_all_talk_at_once_each_hear_all_others_once_and_in_order() {
    const CLIENTS: usize = 50;
    const CHATS: usize = 20;
    let server = server();
    let clients = crowd(server.address(), CLIENTS);
    thread::scope(|scope| {
        for (own, mut client) in clients.into_iter().enumerate() {
            scope.spawn(move || {
                for number in 0..CHATS {
                    client.send_text(&chat(own, number));
                }
                let mut heard: HashMap<usize, usize> = HashMap::new();
                for _ in 0..(CLIENTS - 1) * CHATS {
                    let text: serde_json::Value = serde_json::from_str(&client.text()).unwrap();
                    let from = text["from"].as_u64().unwrap() as usize;
                    let next = heard.entry(from).or_default();
                    assert_eq!(text["number"], *next, "client {own} hears client {from} in order");
                    *next += 1;
                }
                assert_eq!((heard.len(), heard.get(&own)), (CLIENTS - 1, None), "all others, and not itself");
                client.leave();
            });
        }
    });
}

#[test]
fn a_thousand_hear_each_of_twenty_speakers() {
    const SPEAKERS: usize = 20;
    let server = server();
    let mut clients = crowd(server.address(), 1000);
    let texts: Vec<String> = (0..SPEAKERS).map(|from| chat(from, 0)).collect();
    for (client, text) in clients.iter_mut().zip(&texts) {
        client.send_text(text);
    }
    for (own, mut client) in clients.into_iter().enumerate() {
        let mut heard: Vec<String> = (0..SPEAKERS - usize::from(own < SPEAKERS)).map(|_| client.text()).collect();
        heard.sort();
        let mut expected = texts.clone();
        expected.retain(|text| Some(text) != texts.get(own));
        expected.sort();
        assert_eq!(heard, expected, "client {own}");
        client.leave();
    }
}

#[test]
fn members_that_are_reset_during_a_broadcast_do_not_disturb_the_others() {
    const CHATS: usize = 300;
    let server = server();
    let readers = crowd(server.address(), 20);
    let mut victims = crowd(server.address(), 30);
    let mut sender = Client::open(server.address());
    let padding = "x".repeat(1000);
    let text = |number: usize| format!(r#"{{"type":"chat","number":{number},"padding":"{padding}"}}"#);
    for number in 0..CHATS {
        sender.send_text(&text(number));
        if number % 10 == 5
            && let Some(mut victim) = victims.pop()
        {
            match number % 3 {
                0 => victim.reset(), // with much that it has not read
                1 => {
                    victim.send(0x81, b"{");
                    victim.reset();
                }
                _ => {
                    assert_eq!(victim.text(), text(0));
                    victim.reset();
                }
            }
        }
    }
    assert!(victims.is_empty(), "all were reset");
    for mut reader in readers {
        for number in 0..CHATS {
            assert_eq!(reader.text(), text(number));
        }
        reader.leave();
    }
    sender.leave();
}

#[test]
fn members_that_come_during_a_broadcast_hear_all_that_is_said_after_their_handshake() {
    let server = server();
    let (mut sender, mut witness) = (Client::open(server.address()), Client::open(server.address()));
    let mut readers = Vec::new();
    for number in 0..50 {
        readers.push(Client::open(server.address()));
        sender.send_text(&chat(0, number));
        assert_eq!(witness.text(), chat(0, number)); // so the next one comes after it was said
    }
    for (first, mut reader) in readers.into_iter().enumerate() {
        for number in first..50 {
            assert_eq!(reader.text(), chat(0, number));
        }
        reader.leave();
    }
}
