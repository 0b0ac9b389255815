//! The server's own turn in a world that a seed decides: partial reads and writes, `WouldBlock` and `Interrupted` at any
//! point, resets, ends of file, clock jumps, clients that stop reading, keys that are used again.
//!
//! `SIMULATION_SEED=42 cargo test --test simulation` repeats one run; `SIMULATION_SEEDS=100000` sets how many there are.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod client;
mod world;

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use frameloop::chat::Hub;
use frameloop::protocol::{End, Limits, Message, Request};
use frameloop::server::{App, Config, ConnId, Outbox, Server};

use client::Client;
use world::{Shared, SimNet, World};

/// What the application saw, and what each client must therefore receive.
#[derive(Default)]
struct Record {
    open: HashMap<ConnId, usize>,
    expected: HashMap<usize, Vec<String>>,
    /// Chats that came from each client.
    heard: HashMap<usize, usize>,
    ends: HashMap<usize, End>,
}

/// The hub, and a record of all that goes in.
struct Recorder {
    hub: Hub,
    record: Rc<RefCell<Record>>,
}

impl App for Recorder {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        let client = request.target()[1..].parse().expect("the target is the client's index");
        let before = self.record.borrow_mut().open.insert(id, client);
        assert!(before.is_none(), "two connections with one id");
        self.hub.on_open(id, request, out);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        let text = String::from_utf8(message.as_bytes().to_vec()).unwrap();
        if text.starts_with("{\"type\":\"chat\"") {
            let mut record = self.record.borrow_mut();
            let sender = *record.open.get(&id).expect("a message from a connection that is open");
            *record.heard.entry(sender).or_default() += 1;
            let others: Vec<usize> = record.open.iter().filter(|entry| *entry.0 != id).map(|entry| *entry.1).collect();
            for other in others {
                record.expected.entry(other).or_default().push(text.clone());
            }
        }
        self.hub.on_message(id, message, out);
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        let mut record = self.record.borrow_mut();
        let client = record.open.remove(&id).expect("an end for each beginning, and one only");
        record.ends.insert(client, *end);
        drop(record);
        self.hub.on_close(id, end, out);
    }
}

struct Simulation {
    world: Shared,
    server: Server<Recorder, SimNet>,
    record: Rc<RefCell<Record>>,
    clients: Vec<Client>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let world = Rc::new(RefCell::new(World::new(seed)));
        let record = Rc::new(RefCell::new(Record::default()));
        let limits = Limits {
            message_bytes_max: 8 * 1024,
            queue_bytes_max: if seed.is_multiple_of(2) { 16 * 1024 } else { 1024 * 1024 },
            ..Limits::default()
        };
        let config = Config { limits, connections_max: 6 + seed as usize % 20, ..Config::default() };
        let app = Recorder { hub: Hub::default(), record: record.clone() };
        let server = Server::with_net(SimNet(world.clone()), &config, app);
        Simulation { world, server, record, clients: Vec::new() }
    }

    fn turn(&mut self) -> bool {
        for socket in &mut self.world.borrow_mut().sockets {
            // A peer that takes nothing itself may be left unread; everybody else gets its turn soon.
            let is_due = !socket.inbound.is_empty() && socket.key.is_some() && !socket.is_write_blocked;
            socket.turns_unread = if is_due { socket.turns_unread + 1 } else { 0 };
            assert!(socket.turns_unread < TURNS_UNREAD_MAX, "a peer starves: {socket:?}");
        }
        self.server.turn().expect("the poll does not fail")
    }

    fn step(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            if world.random.one_in(15) && self.clients.len() < 40 {
                let index = world.connect();
                self.clients.push(Client::new(index));
            }
            match world.random.below(400) {
                0 => world.now += Duration::from_secs(45), // the clock jumps: nobody may be dropped for it
                1 => world.descriptor_shortage = 3,
                2..=20 => world.now += Duration::from_secs(1),
                _ => {}
            }
            for client in &mut self.clients {
                if world.random.one_in(3) {
                    client.act(&mut world);
                }
            }
        }
        self.turn();
        self.check_prefixes();
    }

    /// What arrived is what had to arrive, in order and once, from the first on. A client may be behind.
    fn check_prefixes(&self) {
        let record = self.record.borrow();
        for client in &self.clients {
            let expected = record.expected.get(&client.index).map_or(&[][..], Vec::as_slice);
            let own = format!("\"msg\":\"{}:", client.index);
            assert!(!client.received.iter().any(|text| text.contains(&own)), "client {} hears itself", client.index);
            assert!(
                expected.starts_with(&client.received),
                "client {}: received {} messages, not as the others sent them",
                client.index,
                client.received.len()
            );
        }
    }

    /// Faults end; everybody reads. Then whoever is still connected has everything.
    fn calm_down(&mut self) {
        self.world.borrow_mut().has_faults = false;
        let (mut turns, mut quiet_turns) = (0, 0);
        while quiet_turns < 50 {
            turns += 1;
            assert!(turns < 1_000_000, "it never calms down");
            for client in &mut self.clients {
                let mut world = self.world.borrow_mut();
                client.transmit(&mut world);
                client.receive(&mut world);
            }
            self.turn();
            let world = self.world.borrow();
            let mut sockets = world.sockets.iter().filter(|socket| !socket.is_dropped);
            let is_quiet = sockets.all(|socket| socket.outbound.is_empty() && socket.inbound.is_empty());
            quiet_turns = if is_quiet { quiet_turns + 1 } else { 0 };
        }
        self.check_prefixes();
        let record = self.record.borrow();
        for client in self.clients.iter().filter(|client| client.is_open && !client.is_gone) {
            if record.open.values().any(|&index| index == client.index) {
                let expected = record.expected.get(&client.index).map_or(0, Vec::len);
                assert_eq!(client.received.len(), expected, "client {} lost messages silently", client.index);
                let heard = record.heard.get(&client.index).copied().unwrap_or_default();
                assert_eq!(heard, client.next_chat, "messages of client {} were lost silently", client.index);
            }
        }
        for socket in self.world.borrow().sockets.iter().filter(|socket| socket.key.is_some()) {
            assert!(!socket.client_eof && !socket.is_reset, "the server did not notice an end: {socket:?}");
        }
        for (index, end) in &record.ends {
            let client = &self.clients[*index];
            let is_told = client.is_gone || client.close_code.is_some() || client.is_guilty;
            assert!(is_told, "client {index} was closed ({end:?}) and does not know");
        }
    }

    /// The server stops: everybody is told, and nothing is left.
    fn stop(&mut self) {
        let opened: Vec<usize> = self.record.borrow().open.values().copied().collect();
        self.world.borrow_mut().stops = 1;
        // All clients read and answer, so that nobody has to be waited for until the close timeout.
        let deadline = self.world.borrow().now + Limits::default().close_timeout / 2;
        while self.turn() {
            for client in &mut self.clients {
                let mut world = self.world.borrow_mut();
                client.receive(&mut world);
                client.transmit(&mut world);
            }
            let mut world = self.world.borrow_mut();
            assert!(world.now < deadline, "the server does not end");
            world.now += Duration::from_millis(1);
        }
        for client in &mut self.clients {
            client.receive(&mut self.world.borrow_mut());
        }
        for client in opened.iter().map(|&index| &self.clients[index]).filter(|client| !client.is_guilty) {
            assert!(client.close_code.is_some(), "client {} was not told of the end", client.index);
        }
        assert!(self.record.borrow().open.is_empty(), "an end is missing");
        assert!(self.world.borrow().sockets.iter().all(|socket| socket.is_dropped), "a transport leaks");
    }
}

fn run(seed: u64) {
    let mut simulation = Simulation::new(seed);
    for _ in 0..300 {
        simulation.step();
    }
    simulation.calm_down();
    simulation.stop();
}

#[test]
fn whatever_the_network_does_nothing_is_lost_doubled_or_leaked() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    if let Some(seed) = number("SIMULATION_SEED") {
        return run(seed);
    }
    for seed in 0..number("SIMULATION_SEEDS").unwrap_or(2000) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("repeat it with: SIMULATION_SEED={seed} cargo test --test simulation");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A ready peer waits for at most so many turns: its event may come late in this world, and each has its share.
const TURNS_UNREAD_MAX: usize = 60;
