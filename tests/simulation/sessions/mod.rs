//! People with sessions on the server's own turn: their lines break at any byte, they come back with the position that
//! they have reached, they read late or not at all, and the server stops at any time.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | one seed: what happens, in which order, and what must be left of it |
//! | `person` | somebody who comes back |
//! | `saying`, `hearing` | what it says, and what it must hear |
//! | `line` | one of its connections |
//! | `state` | the state of a room: what a follower makes of it, and what all were told |
//! | `presence` | who is in a room, as a follower knows it |
//! | `ledger` | where each chat stands, as all were told |
//! | `tap` | the hub with an ear at it |

mod hearing;
mod ledger;
mod line;
mod person;
mod presence;
mod saying;
mod state;
mod tap;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use frameloop::chat::Hub;
use frameloop::chat::hub::options::Options;
use frameloop::protocol::Limits;
use frameloop::server::{App as _, Config, Server};

pub(crate) use self::ledger::Count;
use self::ledger::Ledger;
use self::person::{Person, ROOMS, STATE_ROOM, Temper};
use self::presence::People;
use self::tap::Tap;
use super::memory::Held;
use super::net::SimNet;
use super::random::Random;
use super::world::{Faults, Shared, World};

/// Runs a seed. Returns a number that stands for all that happened, and how often some of it did.
pub(crate) fn run(seed: u64) -> (u64, Count) {
    let mut run = Run::new(seed);
    for _ in 0..run.steps {
        run.step();
    }
    if !seed.is_multiple_of(4) {
        run.calm_down();
    }
    match seed % 4 {
        0 => run.stop(), // in the midst of everything
        1 => {
            run.stop();
            let is_told = |person: &Person| person.goodbye == Some((1012, "restart".to_owned()));
            assert!(run.people.iter().all(is_told), "whoever reads is told of the restart");
        }
        _ => {
            run.everybody_leaves(seed.is_multiple_of(2));
            run.stop();
        }
    }
    run.finish()
}

struct Run {
    world: Shared,
    server: Server<Tap, SimNet>,
    people: Vec<Person>,
    ledger: Ledger,
    temper: Temper,
    history: u64,
    steps: usize,
    limits: Limits,
    held: Held,
    /// What the server held before anybody came.
    new_bytes: i64,
    has_ended: bool,
    trace: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut world = World::new(seed ^ 0x5e55);
        let random = &mut world.random;
        let options = Options {
            history: random.pick(&[1000, 1000, 50, 5]),
            batch_interval: random.pick(&[None, None, Some(Duration::from_millis(20))]),
            resume_window: random.pick(&[Duration::from_secs(60), Duration::from_secs(10)]),
            ..Options::default()
        };
        let temper = temper(random, options.resume_window);
        let people = (0..2 + random.below(PEOPLE_MAX - 1)).map(|index| Person::new(index, random.one_in(2))).collect();
        // A replay has up to 64 KiB in a queue, and adds as much.
        let queue_bytes_max = random.pick(&[192 * 1024, 512 * 1024]);
        let steps = 100 + random.below(100);
        let limits = Limits { message_bytes_max: 64 * 1024, queue_bytes_max, ..Limits::default() };
        let config =
            Config { limits: limits.clone(), subprotocols: vec![Hub::SUBPROTOCOL.to_owned()], ..Config::default() };
        let world = Rc::new(RefCell::new(world));
        let (history, repeat_window) = (options.history as u64, options.repeat_window());
        let app = Tap { hub: Hub::new(options), world: world.clone() };
        let mut held = Held::default();
        let server = held.count(|| Server::with_net(SimNet(world.clone()), &config, app));
        let new_bytes = held.bytes;
        let ledger = Ledger::new(repeat_window);
        Run {
            world,
            server,
            people,
            ledger,
            temper,
            history,
            steps,
            limits,
            held,
            new_bytes,
            has_ended: false,
            trace: 0,
        }
    }

    fn step(&mut self) {
        let mut world = self.world.borrow_mut();
        match world.random.below(300) {
            0 => world.now += Duration::from_secs(15),
            1 => world.now += Duration::from_secs(90),
            2..=20 => {
                let time = world.random.up_to(Duration::from_secs(2));
                world.now += time;
            }
            _ => {}
        }
        world.wait_max = world.random.pick(&[Duration::ZERO, Duration::from_millis(5), Duration::from_secs(1)]);
        for person in &mut self.people {
            if world.random.one_in(2) {
                person.act(&mut world, &mut self.ledger, &self.temper);
            }
        }
        drop(world);
        self.turn();
    }

    fn turn(&mut self) -> bool {
        let server = &mut self.server;
        let goes_on = self.held.count(|| server.turn().expect("the poll does not fail"));
        self.has_ended |= !goes_on;
        goes_on
    }

    /// All who are there send and take what they have.
    fn exchange(&mut self) {
        let mut world = self.world.borrow_mut();
        for person in &mut self.people {
            person.set_reading(true);
            person.exchange(&mut world, &mut self.ledger, &self.temper, usize::MAX, usize::MAX);
        }
    }

    /// Faults end, all come back and read: then each has heard all, or was told what it has missed. Who came and went is
    /// told once in a second, so that it must be quiet for longer.
    fn calm_down(&mut self) {
        self.world.borrow_mut().faults = Faults::default();
        self.world.borrow_mut().wait_max = Duration::from_millis(100);
        let mut quiet_since = None;
        for _ in 0..20_000 {
            let mut world = self.world.borrow_mut();
            for person in &mut self.people {
                match &person.line {
                    None => person.come(&mut world),
                    // It would take its time to read much in small pieces.
                    Some(line) => world.sockets[line.index].capacity = CALM_CAPACITY,
                }
            }
            drop(world);
            self.exchange();
            self.turn();
            let world = self.world.borrow();
            let is_quiet = |person: &Person| {
                person.is_content() && person.line.as_ref().is_some_and(|line| world.sockets[line.index].is_quiet())
            };
            let has_waited = world.poll_timeout != Some(Duration::ZERO) && world.reported.is_empty();
            if !has_waited || !self.people.iter().all(is_quiet) {
                quiet_since = None;
                continue;
            }
            if world.now.duration_since(*quiet_since.get_or_insert(world.now)) > QUIET_TIME {
                break;
            }
        }
        assert!(quiet_since.is_some(), "it never calms down");
        for person in &self.people {
            person.check(&self.ledger);
            assert!(ROOMS.iter().all(|room| person.epoch(room) == self.people[0].epoch(room)), "two lives of one room");
        }
        if !self.people.iter().any(Person::has_given_up) {
            self.ledger.check_gaps(self.history);
        }
        self.check_followers();
    }

    /// All followers know the same state, which all patches make, and the same people.
    fn check_followers(&self) {
        let lives = self.ledger.patches.fold();
        let there: People =
            self.people.iter().map(|person| (person.own_session().to_owned(), person.info.current.clone())).collect();
        let lost_hellos: usize = self.people.iter().map(|person| person.lines - person.welcomes).sum();
        let mut unknown_sessions = None;
        for person in self.people.iter().filter(|person| person.follows) {
            person.replica.check(&lives[person.epoch(STATE_ROOM)]);
            let unknown = person.company.check(person.own_session(), &there, &self.ledger.sessions);
            assert!(unknown.len() <= lost_hellos, "nobody said hello for so many: {unknown:?}");
            assert_eq!(*unknown_sessions.get_or_insert_with(|| unknown.clone()), unknown, "others know others");
        }
    }

    /// All go, and when the time for coming back is over nothing is left.
    fn everybody_leaves(&mut self, is_polite: bool) {
        let mut world = self.world.borrow_mut();
        for person in &mut self.people {
            person.leave(&mut world, is_polite);
        }
        drop(world);
        // Lines of which the server was told nothing: it asks, and asks again.
        let silence = self.limits.ping_interval * (u32::from(self.limits.ping_misses_max) + 3);
        let until = self.world.borrow().now + silence + self.temper.resume_window + self.limits.close_timeout;
        while self.world.borrow().now < until {
            self.exchange();
            self.world.borrow_mut().now += Duration::from_millis(500);
            self.turn();
        }
        for _ in 0..3 {
            self.turn();
        }
        let world = self.world.borrow();
        assert!(world.live.iter().all(|&index| world.sockets[index].is_dropped()), "a peer is left");
        assert_eq!(world.poll_timeout, None, "a timer is left, or something to do");
        let hub = &self.server.app().hub;
        assert_eq!((hub.next_timeout(), hub.kept_bytes(), hub.lobby().len()), (None, 0, 0), "something is left");
        let more = self.held.bytes - self.new_bytes;
        assert!(more <= EMPTY_BYTES, "{more} bytes are left of {} people", self.people.len());
    }

    fn stop(&mut self) {
        self.world.borrow_mut().stops = 1;
        self.world.borrow_mut().wait_max = Duration::from_millis(100);
        let until = self.world.borrow().now + self.limits.close_timeout + Duration::from_secs(1);
        while self.turn() {
            self.exchange();
            self.world.borrow_mut().now += Duration::from_millis(1);
            assert!(self.world.borrow().now < until, "it goes on after its time");
        }
        self.exchange();
    }

    fn finish(mut self) -> (u64, Count) {
        assert!(self.has_ended);
        self.ledger.patches.fold();
        let mut server = self.server;
        self.trace ^= self.world.borrow().trace;
        self.held.count(|| drop(server.turn()));
        self.held.count(|| drop(server));
        assert!(self.world.borrow().sockets.iter().all(|socket| socket.is_dropped()), "a transport leaks");
        assert_eq!(self.held.bytes, 0, "bytes that the server did not give back");
        (self.trace, self.ledger.count)
    }
}

fn temper(random: &mut Random, resume_window: Duration) -> Temper {
    let mut often = || random.pick(&[0, 5, 20, 60]);
    let (cut, quit, stop_reading) = (often(), often() / 4, often() / 2);
    Temper {
        chat: 100 + 3 * often(),
        flood: if stop_reading > 0 { often() / 2 } else { 0 },
        cut,
        quit,
        stop_reading,
        go_on_reading: 5,
        patch: 50 + often(),
        patch_flood: if stop_reading + cut > 0 { often() / 20 } else { 0 },
        signal: often() / 2,
        join: often() / 5,
        padding_max: random.pick(&[10, 10, 300, 3000]),
        resume_window,
    }
}

/// Longer than what changes in presence waits to be told.
const QUIET_TIME: Duration = Duration::from_millis(1200);

/// What the network has room for when it is calm.
const CALM_CAPACITY: usize = 64 * 1024;

/// At most so many are there, and at least two.
const PEOPLE_MAX: usize = 6;

/// The room that empty tables keep.
const EMPTY_BYTES: i64 = 16 * 1024;
