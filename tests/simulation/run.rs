//! One seed: a server, its clients, and what happens to them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use frameloop::chat::Hub;
use frameloop::chat::hub::options::Options;
use frameloop::protocol::Limits;
use frameloop::server::{Config, Server};

use super::app::{Record, Recorder, Seen};
use super::checks::{Bounds, check_client, check_open_client, check_peers, judge};
use super::client::{Client, Temper};
use super::memory::Held;
use super::net::SimNet;
use super::random::Random;
use super::socket::Socket;
use super::tally::{Deed, Tally};
use super::world::{Faults, Shared, World};

/// Runs a seed. Returns a number that stands for all that happened, and how often some of it did.
pub(crate) fn run(seed: u64) -> (u64, Tally) {
    let mut run = Run::new(seed);
    for step in 0..run.scale.steps {
        if run.scale.is_throng && step == run.scale.steps / 2 {
            run.interlude();
        }
        run.step();
    }
    match seed % 6 {
        0 => {
            run.calm_down();
            run.everybody_leaves();
            run.stop(1);
        }
        1 => {
            run.everybody_fades();
            run.stop(1);
        }
        2 => {
            run.calm_down();
            run.stop(1);
        }
        3 => {
            run.calm_down();
            run.stop(2);
        }
        4 => run.stop(1), // in the midst of everything
        _ => run.stop(2),
    }
    run.finish()
}

/// In a throng thousands come and go: each key has many peers after each other.
pub(crate) fn is_throng(seed: u64) -> bool {
    seed % 100 == 7
}

/// How much of everything a seed has.
struct Scale {
    steps: usize,
    /// Clients at a time.
    present_max: usize,
    /// One client comes in so many steps; 0 is up to three in each.
    arrivals: usize,
    /// How much of what clients do is to leave.
    haste: usize,
    /// Messages that one client says at once, now and then.
    flood: usize,
    queue_bytes_max: usize,
    connections_max: usize,
    message_bytes_max: usize,
    /// See [`Temper`].
    echo_bytes_max: usize,
    /// Halfway everybody leaves, and others come.
    is_throng: bool,
}

impl Scale {
    fn of(seed: u64, random: &mut Random) -> Scale {
        let usual = Scale {
            steps: 350 + random.below(100),
            present_max: random.pick(&[4, 16, 16, 30]),
            arrivals: random.pick(&[0, 0, 0, 0, 1, 10]),
            haste: random.pick(&[2, 20, 30, 60]),
            flood: 0,
            queue_bytes_max: random.pick(&[16 * 1024, 16 * 1024, 64 * 1024, 1024 * 1024]),
            connections_max: random.pick(&[4, 16, 20, 40, usize::MAX]),
            message_bytes_max: 8 * 1024,
            echo_bytes_max: 0,
            is_throng: false,
        };
        let usual = match seed / 6 % 3 {
            // Large messages that come back: the server owns them, and sends them from where they lie.
            1 => Scale {
                queue_bytes_max: usual.queue_bytes_max.max(128 * 1024),
                message_bytes_max: 24 * 1024,
                echo_bytes_max: 24 * 1024,
                ..usual
            },
            _ => usual,
        };
        match seed % 100 {
            _ if is_throng(seed) => {
                Scale { steps: 1500, present_max: 60, arrivals: 0, haste: 30, is_throng: true, ..usual }
            }
            // In a flood somebody says so much at once that it fills many turns, each to its bound.
            3 => Scale {
                present_max: 30,
                haste: 0,
                flood: 20_000,
                queue_bytes_max: 1024 * 1024,
                connections_max: usize::MAX,
                ..usual
            },
            _ => usual,
        }
    }
}

struct Run {
    world: Shared,
    server: Server<Recorder, SimNet>,
    record: Rc<RefCell<Record>>,
    clients: Vec<Client>,
    /// The clients that are not gone.
    present: Vec<usize>,
    temper: Temper,
    bounds: Bounds,
    held: Held,
    /// What the server held before anybody came.
    new_bytes: i64,
    scale: Scale,
    /// The most keys that were in use at one time.
    keys_max: usize,
    has_ended: bool,
    /// So many of the next steps begin with hours in which nothing happens.
    naps: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut world = World::new(seed);
        let random = &mut world.random;
        let scale = Scale::of(seed, random);
        let temper = Temper::random(random, scale.haste, scale.flood, scale.echo_bytes_max);
        let limits = Limits {
            message_bytes_max: scale.message_bytes_max,
            queue_bytes_max: scale.queue_bytes_max,
            ..Limits::default()
        };
        let config = Config { limits: limits.clone(), connections_max: scale.connections_max, ..Config::default() };
        let bounds = Bounds { limits, woke_at: None, stopped_at: None, is_abandoned: false };

        let world = Rc::new(RefCell::new(world));
        let record = Rc::new(RefCell::new(Record::default()));
        // No log: it has a bound of its own, far above what is judged here.
        let hub = Hub::new(Options { history: 0, ..Options::default() });
        let recorder = Recorder { hub, record: record.clone(), world: world.clone() };
        let mut held = Held::default();
        let server = held.count(|| Server::with_net(SimNet(world.clone()), &config, recorder));
        Run {
            world,
            server,
            record,
            clients: Vec::new(),
            present: Vec::new(),
            temper,
            bounds,
            new_bytes: held.bytes,
            held,
            scale,
            keys_max: 0,
            has_ended: false,
            naps: 0,
        }
    }

    fn step(&mut self) {
        let mut world = self.world.borrow_mut();
        let arrivals = self.scale.arrivals;
        let comers = if arrivals == 0 { world.random.below(4) } else { world.random.one_in(arrivals).into() };
        for _ in 0..comers {
            if self.present.len() < self.scale.present_max {
                self.present.push(self.clients.len());
                self.clients.push(Client::new(&mut world));
                self.record.borrow_mut().seen.push(Seen::default());
            }
        }
        match world.random.below(600) {
            // The process stands still, or the machine sleeps, maybe again and again: nobody may be dropped for it.
            0 => world.now += Duration::from_secs(45),
            1 => self.naps = world.random.pick(&[1, 1, 6]),
            2 => {
                world.descriptor_shortage = world.random.pick(&[1, 5, 1000]);
                world.has_spare = world.random.one_in(2);
            }
            3..=30 => {
                let time = world.random.up_to(Duration::from_secs(2));
                world.now += time;
            }
            _ => {}
        }
        if self.naps > 0 {
            self.naps -= 1;
            let hours = 1 + world.random.below(100) as u64;
            world.now += Duration::from_secs(hours * 3600);
            self.bounds.woke_at = Some(world.now);
            world.tally.note(Deed::Nap);
        }
        let waits = [Duration::ZERO, Duration::from_millis(5), Duration::from_secs(1), Duration::from_secs(20)];
        world.wait_max = world.random.pick(&waits);
        let mut record = self.record.borrow_mut();
        for &index in &self.present {
            if world.random.one_in(3) {
                self.clients[index].act(&mut world, &mut record.seen[index], &self.temper);
            }
        }
        drop((world, record));
        self.turn();
        self.let_go();
    }

    fn turn(&mut self) -> bool {
        self.record.borrow_mut().turn += 1;
        let server = &mut self.server;
        let goes_on = self.held.count(|| server.turn().expect("the poll does not fail"));
        let mut world = self.world.borrow_mut();
        let mut record = self.record.borrow_mut();
        self.bounds.stopped_at = self.bounds.stopped_at.or(world.stopped_at);
        for &client in &record.ended {
            judge(&self.clients[client], &record.seen[client], &world.sockets[client], &self.bounds);
        }
        // As many peers as there were in this turn: those that ended in it are still in the list.
        let peers = world.live.len();
        self.keys_max = self.keys_max.max(peers);
        let read_bytes = world.live.iter().map(|&index| world.sockets[index].read_bytes_most).sum();
        let bound = self.bounds.bytes_max(peers, read_bytes) + self.bounds.idle_bytes_max(self.keys_max);
        assert!(self.held.peak <= bound, "{} bytes are held for {peers} peers, the bound is {bound}", self.held.peak);
        check_peers(&mut world, &mut record, &self.bounds);
        self.has_ended |= !goes_on;
        goes_on
    }

    /// Clients that are gone, and that the server has let go as well, are not looked at any more.
    fn let_go(&mut self) {
        let mut world = self.world.borrow_mut();
        let mut record = self.record.borrow_mut();
        let (clients, bounds) = (&self.clients, &self.bounds);
        self.present.retain(|&index| {
            let is_over = clients[index].is_gone && world.sockets[index].is_dropped();
            if is_over {
                check_client(&clients[index], &record.seen[index], &world.sockets[index], bounds);
                world.sockets[index].forget();
                record.seen[index].said.clear();
                record.seen[index].expected.clear();
            }
            !is_over
        });
    }

    /// All who are there send and take what they have.
    fn exchange(&mut self) {
        let mut world = self.world.borrow_mut();
        let mut record = self.record.borrow_mut();
        for &index in &self.present {
            self.clients[index].transmit(&mut world, usize::MAX);
            self.clients[index].receive(&mut world, &mut record.seen[index], usize::MAX);
        }
    }

    /// Faults end; everybody reads. Then whoever is still connected has everything, and costs next to nothing.
    fn calm_down(&mut self) {
        self.end_faults();
        let mut quiet_turns = 0;
        for _ in 0..100_000 {
            self.exchange();
            self.turn();
            let world = self.world.borrow();
            let mut sockets = self.present.iter().map(|&index| &world.sockets[index]);
            let is_quiet =
                sockets.all(Socket::is_quiet) && world.backlog.is_empty() && world.poll_timeout != Some(Duration::ZERO);
            quiet_turns = if is_quiet { quiet_turns + 1 } else { 0 };
            if quiet_turns == 20 {
                break;
            }
        }
        let world = self.world.borrow();
        let restless = self.present.iter().map(|&index| &world.sockets[index]).find(|socket| !socket.is_quiet());
        assert_eq!(quiet_turns, 20, "it never calms down: {restless:?}, {:?}", world.poll_timeout);
        drop(world);
        let record = self.record.borrow();
        for &index in &self.present {
            check_open_client(&self.clients[index], &record.seen[index]);
            let socket = &self.world.borrow().sockets[index];
            let is_noticed = socket.key.is_none() || !(socket.client_eof || socket.is_reset);
            assert!(is_noticed, "the server did not notice an end: {socket:?}");
        }
        drop(record);
        self.check_idle();
        self.let_go();
    }

    fn end_faults(&mut self) {
        let mut world = self.world.borrow_mut();
        world.faults = Faults::default();
        world.descriptor_shortage = 0;
        // Time goes slowly, so that pings do not keep everybody busy.
        world.wait_max = Duration::from_millis(10);
        for client in &mut self.clients {
            client.calm_down();
        }
    }

    /// Nobody has said or is to take anything: no peer owns a buffer, and those that are gone left nothing.
    fn check_idle(&self) {
        let bound = self.bounds.idle_bytes_max(self.keys_max);
        assert!(self.held.bytes <= bound, "{} bytes are held idly, the bound is {bound}", self.held.bytes);
    }

    /// In the midst of all everybody leaves, and nothing is left; then it goes on as before.
    fn interlude(&mut self) {
        let faults = self.world.borrow().faults;
        self.calm_down();
        self.everybody_leaves();
        self.world.borrow_mut().faults = faults;
    }

    /// Nobody is there: the server holds what it held when it was new, and the little room that tables keep, whoever
    /// has come and gone.
    fn check_empty_bytes(&self) {
        let more = self.held.bytes - self.new_bytes;
        assert!(more <= EMPTY_BYTES, "{more} bytes are left of {} clients", self.clients.len());
    }

    /// Everybody closes, and then nothing is left.
    fn everybody_leaves(&mut self) {
        for &index in &self.present {
            let client = &mut self.clients[index];
            client.close(1000, &mut self.world.borrow_mut().random);
        }
        // Those that do not complete the opening handshake have to be waited for.
        let limits = &self.bounds.limits;
        let until = self.world.borrow().now + limits.handshake_timeout + limits.close_timeout;
        while !self.is_empty() && self.world.borrow().now < until {
            self.exchange();
            self.world.borrow_mut().now += Duration::from_millis(10);
            self.turn();
            self.let_go();
        }
        self.check_empty();
    }

    /// Nobody says or takes anything any more, nor goes away: the server lets them go by itself, in time.
    fn everybody_fades(&mut self) {
        self.end_faults();
        let limits = &self.bounds.limits;
        let time = limits.slow_timeout + limits.ping_interval * (u32::from(limits.ping_misses_max) + 3);
        let until = self.world.borrow().now + time;
        while !self.is_empty() && self.world.borrow().now < until {
            self.world.borrow_mut().now += Duration::from_millis(500);
            self.turn();
        }
        self.check_empty();
        let mut world = self.world.borrow_mut();
        let mut record = self.record.borrow_mut();
        for &index in &self.present {
            self.clients[index].receive(&mut world, &mut record.seen[index], usize::MAX);
        }
        drop((world, record));
        self.let_go();
    }

    fn is_empty(&self) -> bool {
        let world = self.world.borrow();
        world.backlog.is_empty() && world.live.iter().all(|&index| world.sockets[index].is_dropped())
    }

    /// At once when the last one is gone: no peer, no session, no member, no timer,
    /// and memory only for what tables keep in any case.
    fn check_empty(&mut self) {
        // Not at once is only the next attempt to accept, where the last one failed.
        self.world.borrow_mut().now += ACCEPT_AGAIN_AFTER;
        for _ in 0..3 {
            self.turn();
        }
        let world = self.world.borrow();
        assert_eq!(world.live.len(), 0, "a peer is left: {:?}", world.sockets[world.live[0]]);
        assert_eq!(world.poll_timeout, None, "a timer is left, or something to do");
        assert!(self.record.borrow().open.is_empty(), "an end is missing");
        assert!(self.server.app().hub.lobby().is_empty(), "a member is left");
        self.check_empty_bytes();
    }

    /// The server stops: everybody is told, and nothing is left.
    fn stop(&mut self, times: usize) {
        let is_at_once = {
            let mut world = self.world.borrow_mut();
            world.stops = if times == 2 && world.random.one_in(2) { 2 } else { 1 };
            world.wait_max = Duration::from_millis(100);
            world.stops == times
        };
        self.bounds.is_abandoned = times > 1;
        let mut turns = 0;
        loop {
            turns += 1;
            if times == 2 && !is_at_once && turns == 3 {
                self.world.borrow_mut().stops += 1;
            }
            let goes_on = self.turn();
            self.exchange();
            self.let_go();
            if !goes_on {
                break;
            }
            assert!(times == 1 || turns < 50, "it goes on after a second stop");
            // Who answers does not have to be waited for; check_deadlines() knows how long the others are.
            self.world.borrow_mut().now += Duration::from_millis(1);
        }
        assert!(self.world.borrow().backlog.is_empty(), "it listens on");
    }

    /// After the end: nothing is left, anywhere.
    fn finish(mut self) -> (u64, Tally) {
        assert!(self.has_ended);
        self.exchange();
        let hub = &self.server.app().hub;
        assert!(self.record.borrow().open.is_empty(), "an end is missing");
        assert!(hub.lobby().is_empty(), "a member is left");
        let record = self.record.borrow();
        assert!(record.seen.iter().all(|seen| seen.id.is_none_or(|id| hub.session(id).is_none())), "a session is left");
        drop(record);
        for _ in 0..3 {
            self.turn(); // at last one without work: spare buffers are given back
        }
        self.check_empty_bytes();
        let (mut held, server) = (self.held, self.server);
        held.count(|| drop(server));
        let world = self.world.borrow();
        assert!(world.sockets.iter().all(|socket| socket.is_dropped()), "a transport leaks");
        for &index in &self.present {
            let record = self.record.borrow();
            check_client(&self.clients[index], &record.seen[index], &world.sockets[index], &self.bounds);
        }
        assert_eq!(held.bytes, 0, "bytes that the server did not give back");
        let mut tally = world.tally;
        tally.clients = self.clients.len();
        for ended in self.record.borrow().seen.iter().filter_map(|seen| seen.end.as_ref()) {
            tally.note_end(&ended.end);
        }
        (world.trace, tally)
    }
}

/// The room that empty tables keep: each of them 1 KiB or a little more.
const EMPTY_BYTES: i64 = 6 * 1024;

/// The time that the server waits after an accept that failed.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
