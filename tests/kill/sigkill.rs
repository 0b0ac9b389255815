//! `SIGKILL` in the midst of everything, and a new start on the same port at once.

use std::thread;

use crate::chatter::{Chatter, Voice, chat, check_chat};
use crate::harness::{Child, free_port, server, wait_until};
use crate::vitals::{check_memory, memory};
use crate::wire::TEXT;

#[test]
fn a_server_that_is_killed_under_load_takes_the_same_port_again_at_once_and_serves_the_same_clients() {
    let listen = format!("127.0.0.1:{}", free_port());
    let start = || Child::spawn(server().args(["serve", "--listen", &listen]));
    let mut child = start();
    let mut memory_first = None;
    for round in 0..4 {
        let address = child.address();
        assert_eq!(address.to_string(), listen);
        let chatters: Vec<Chatter> = (0..8).map(|_| Chatter::open(address)).collect();
        check_chat(&chatters, &format!("round {round}"));
        // The same clients cost each server the same, whatever became of the one before it.
        check_memory(&child, *memory_first.get_or_insert_with(|| memory(&child)));
        let voices: Vec<Voice> = chatters.iter().map(Chatter::voice).collect();
        let load = thread::spawn(move || {
            let text = chat(&"load ".repeat(200));
            while voices.iter().all(|voice| voice.say(TEXT, text.as_bytes()).is_ok()) {}
        });
        // All of them are in the midst of hearing and saying when it happens.
        for chatter in &chatters {
            let mut heard = 0;
            wait_until("the load is there", || {
                heard += chatter.count();
                (heard >= 100).then_some(())
            });
        }
        child.kill();
        child = start();
        load.join().unwrap();
        for chatter in chatters {
            chatter.wait_for_loss();
        }
    }
    let address = child.address();
    let chatters: Vec<Chatter> = (0..8).map(|_| Chatter::open(address)).collect();
    check_chat(&chatters, "in the end");
    check_memory(&child, memory_first.expect("there were rounds"));
    drop(chatters);
    child.stop();
}
