//! A chat in rooms against servers that do something wrong in one of them, or do not let its members in.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::Value;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

use crate::fake::{echo, serve_streams};
use crate::harness::start;
use crate::{bench_json, counts};

const FAULTS: [&str; 4] = ["lost", "duplicated", "reordered", "errors"];

/// What becomes of a message, by its room and its number there.
type Fault = fn(room: &str, number: u64) -> Heard;

enum Heard {
    /// The victim, the first member of the room who does not send, hears it so often; all others of the room once.
    Times(usize),
    /// All of the room hear it once, and all members of other rooms too, as a message of the room that they are in.
    Everywhere,
}

#[derive(Default)]
struct Room {
    /// In the order in which they came: where to put what they are to hear.
    members: Vec<mpsc::Sender<String>>,
    said: u64,
}

type Rooms = BTreeMap<String, Room>;

/// A server of the session mode for one sender a room.
fn rooms(fault: Fault) -> SocketAddr {
    let rooms = Arc::<Mutex<Rooms>>::default();
    serve_streams(move |stream| {
        let reader = stream.try_clone().unwrap();
        let Some(mut socket) = accept(stream) else { return };
        let Ok(hello) = socket.read() else { return };
        let hello: Value = serde_json::from_str(hello.to_text().unwrap()).unwrap();
        assert_eq!((&hello["type"], &hello["v"]), (&"hello".into(), &1.into()));
        let [(room, _)] = hello["rooms"].as_object().unwrap().iter().collect::<Vec<_>>()[..] else {
            panic!("one room, not {hello}")
        };
        let (texts, heard) = mpsc::channel::<String>();
        let member = {
            let mut rooms = rooms.lock().unwrap();
            let members = &mut rooms.entry(room.clone()).or_default().members;
            members.push(texts.clone());
            members.len() - 1
        };
        let welcome =
            format!("{{\"type\":\"welcome\",\"v\":1,\"rooms\":{{\"{room}\":{{\"epoch\":\"e\",\"seq\":0}}}}}}");
        texts.send(welcome).unwrap();
        let mut reader = WebSocket::from_raw_socket(reader, tungstenite::protocol::Role::Server, None);
        std::thread::spawn(move || {
            for text in heard {
                if socket.send(Message::text(text)).is_err() {
                    return;
                }
            }
        });
        while let Ok(Message::Text(text)) = reader.read() {
            relay(&mut rooms.lock().unwrap(), room, member, &text, fault);
        }
    })
}

fn accept(stream: TcpStream) -> Option<WebSocket<TcpStream>> {
    #[allow(clippy::result_large_err)] // the signature is tungstenite's
    let choose = |request: &Request, mut response: Response| {
        if let Some(subprotocol) = request.headers().get("sec-websocket-protocol") {
            response.headers_mut().insert("sec-websocket-protocol", subprotocol.clone());
        }
        Ok(response)
    };
    tungstenite::accept_hdr(stream, choose).ok()
}

fn relay(rooms: &mut Rooms, room: &str, sender: usize, text: &str, fault: Fault) {
    let (said, own) = text.split_once(',').and_then(|(_, rest)| rest.split_once(',')).unwrap();
    assert!(said.trim_end().ends_with(&format!("\"{room}\"")), "{text}");
    let heard_in =
        |room: &str| format!("{{\"type\":\"chat\",\"room\":\"{room}\",\"seq\":1,\"from\":{{}},\"ts\":1,{own}");
    let heard = fault(room, rooms[room].said);
    rooms.get_mut(room).unwrap().said += 1;
    for (other, Room { members, .. }) in rooms {
        for (member, texts) in members.iter().enumerate() {
            let is_victim = member == usize::from(sender == 0);
            let times = match heard {
                _ if other == room && member == sender => 0,
                Heard::Times(times) if other == room && is_victim => times,
                Heard::Times(_) => usize::from(other == room),
                Heard::Everywhere => 1,
            };
            for _ in 0..times {
                let _ = texts.send(heard_in(other)); // to one who is gone
            }
        }
    }
}

/// A chat of 9 in 3 rooms.
fn run(fault: Fault) -> (Option<i32>, Value) {
    bench_json(rooms(fault), "chat --rooms 3 --connections 9 --in-flight 8 --seconds 0.2 --warmup 1ms")
}

#[test]
fn rooms_without_a_fault_are_without_a_fault() {
    let (code, result) = run(|_, _| Heard::Times(1));
    assert_eq!((code, counts(&result, FAULTS)), (Some(0), [0; 4]), "{result}");
    assert!(counts(&result, ["messages"])[0] > 0, "{result}");
}

#[test]
fn a_message_that_is_lost_in_one_room_is_counted() {
    let (code, result) = run(|room, number| Heard::Times(usize::from((room, number) != ("room-1", 5))));
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [1, 0, 0, 0]), "{result}");
}

#[test]
fn a_message_that_is_heard_twice_in_one_room_is_counted() {
    let (code, result) = run(|room, number| Heard::Times(if (room, number) == ("room-2", 7) { 2 } else { 1 }));
    assert_eq!((code, counts(&result, FAULTS)), (Some(2), [0, 1, 0, 0]), "{result}");
}

#[test]
fn a_message_that_is_heard_in_another_room_is_an_error_whatever_room_it_names() {
    let heard = |room: &str, number| if (room, number) == ("room-0", 3) { Heard::Everywhere } else { Heard::Times(1) };
    let (code, result) = run(heard);
    assert_eq!((code, counts(&result, ["errors", "stayed"])), (Some(2), [6, 3]), "those of the other rooms: {result}");
    let error = result["first_error"].as_str().unwrap();
    assert!(error.contains("message 3 of sender 0") && error.contains("never sent in this room"), "{error}");
}

/// Runs a chat in rooms in which nobody becomes a member, and checks the one line that says why.
fn check_refusal(address: SocketAddr, names: &str) {
    let url = format!("ws://{address}/");
    let outcome = crate::bench(&[&url, "chat", "--rooms", "2", "--connections", "4", "--connect-timeout", "500ms"]);
    assert_eq!((outcome.code, outcome.stdout.len()), (Some(1), 0), "{outcome:?}");
    let [line] = outcome.stderr.as_slice() else { panic!("exactly one line, not {outcome:?}") };
    assert!(line.contains("no connection") && line.contains(names), "{line}");
}

#[test]
fn a_server_that_does_not_welcome_anybody_is_named_with_the_reason() {
    check_refusal(start(&["echo"]).address(), "does not speak the subprotocol frameloop.v1");
    check_refusal(echo(|socket, _, message| socket.send(message)), "does not speak the subprotocol frameloop.v1");
    for (answer, names) in [
        (r#"{"type":"error","code":"busy"}"#, r#"the server says {"type":"error","code":"busy"}"#),
        (r#"{"type":"welcome","v":1,"rooms":{}}"#, r#"the server says {"type":"welcome","v":1,"rooms":{}}"#),
        (r#"{"type":"pong"}"#, "longer than --connect-timeout"),
    ] {
        let address = serve_streams(move |stream| {
            let Some(mut socket) = accept(stream) else { return };
            while socket.read().is_ok() && socket.send(Message::text(answer)).is_ok() {}
        });
        check_refusal(address, names);
    }
}
