//! All clients on one thread: what happens when, and when all is as it must be.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::book::{Book, Counts};
use crate::client::Client;
use crate::line::Line;
use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Crowd {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    book: Book,
    random: Random,
    agenda: BinaryHeap<Reverse<(Instant, Act)>>,
}

/// What happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// A client connects.
    Come(usize),
    /// It says a chat.
    Say(usize),
    /// It loses its line.
    Lose(usize),
    /// The next tenth that loses its lines is drawn.
    Draw,
}

impl Crowd {
    /// Clients that are not there yet. They take turns in the rooms; the first of each room is in the next one as well.
    pub(crate) fn new(address: SocketAddr, clients: usize, rooms: usize, seed: u64) -> Crowd {
        let client = |number: usize| match number < rooms {
            true => Client::new(number, &[number, (number + 1) % rooms]),
            false => Client::new(number, &[number % rooms]),
        };
        Crowd {
            address,
            poll: Poll::new().unwrap(),
            events: Events::with_capacity(1024),
            clients: (0..clients).map(client).collect(),
            book: Book::new(rooms),
            random: Random::new(seed),
            agenda: BinaryHeap::new(),
        }
    }

    // ---- what a soak consists of

    /// All come, and know of each other.
    pub(crate) fn gather(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            let after = self.random.up_to(Duration::from_millis(self.clients.len() as u64));
            self.add(Instant::now() + after, Act::Come(client));
        }
        self.settle()
    }

    /// Each says so many chats at once, and all hear them.
    pub(crate) fn warm_up(&mut self, chats: usize) -> Result<(), String> {
        for client in 0..self.clients.len() {
            let result = self.clients[client].say_many(chats, &mut self.book);
            result.map_err(|problem| of(client, problem))?;
        }
        self.settle()
    }

    /// From now on each says a chat in each period, and a tenth loses its lines in each second.
    pub(crate) fn begin_load(&mut self) {
        let now = Instant::now();
        for client in 0..self.clients.len() {
            let after = self.random.up_to(PERIOD);
            self.add(now + after, Act::Say(client));
        }
        self.add(now, Act::Draw);
    }

    /// Lets that go on for a while.
    pub(crate) fn load(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// All come back and get what they missed.
    pub(crate) fn end_load(&mut self) -> Result<(), String> {
        self.agenda.clear();
        for client in 0..self.clients.len() {
            if self.clients[client].line.is_none() {
                self.add(Instant::now(), Act::Come(client));
            }
        }
        self.settle()
    }

    /// One of each room leaves, of which the others are told; and then all do.
    pub(crate) fn part(&mut self) -> Result<(), String> {
        let rooms = self.clients.iter().filter(|client| client.seats.len() > 1).count();
        for leavers in [self.clients.len() - rooms..self.clients.len(), 0..self.clients.len() - rooms] {
            for client in leavers {
                if let Some(line) = &mut self.clients[client].line {
                    line.say_close();
                    line.flush().map_err(|problem| of(client, problem))?;
                }
                self.clients[client].is_welcome = false;
            }
            let is_gone = |client: &Client| client.is_welcome || client.has_left;
            self.wait(|crowd| match crowd.clients.iter().position(|client| !is_gone(client)) {
                Some(client) => Some(of(client, "its Close is not answered".to_owned())),
                None => crowd.wrong_presence(),
            })?;
        }
        Ok(())
    }

    /// What happened, in words.
    pub(crate) fn figures(&self) -> String {
        let Counts { said, heard, replayed, own_replayed, duplicates, resumes, .. } = self.book.counts;
        let Counts { resets, ends, abandoned, in_midst, .. } = self.book.counts;
        format!(
            "{said} chats said, {heard} heard, none lost, doubled or out of order; {} lines lost ({resets} reset, {ends} \
             ended, {abandoned} abandoned; {in_midst} in the midst of a chat), {resumes} sessions resumed, {replayed} \
             chats replayed ({own_replayed} to their own speakers), {duplicates} said again after a lost ack",
            resets + ends + abandoned
        )
    }

    // ---- waiting

    /// All that was said is heard and acked, and who is there is known.
    fn settle(&mut self) -> Result<(), String> {
        let result = self.wait(|crowd| {
            let missing = |(number, client): (usize, &Client)| Some(of(number, client.missing(&crowd.book)?));
            crowd.clients.iter().enumerate().find_map(missing).or_else(|| crowd.wrong_presence())
        });
        // Where something is missing this says what it is.
        for (number, client) in self.clients.iter().enumerate() {
            let checked = client.seats.iter().try_for_each(|seat| seat.check_skipped(&self.book));
            checked.map_err(|problem| of(number, problem))?;
        }
        result?;
        self.book.check(|client, room| {
            self.clients[client].seats.iter().filter(|seat| seat.room == room).map(|seat| seat.said).sum()
        })
    }

    /// Whom a client does not know to be there, or still knows.
    fn wrong_presence(&self) -> Option<String> {
        let here = || self.clients.iter().enumerate().filter(|(_, client)| client.is_welcome);
        let mut rooms: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); self.clients.len()];
        for (_, client) in here() {
            for seat in &client.seats {
                rooms[seat.room].extend(client.session.as_ref().map(|(session, _)| &**session));
            }
        }
        here().find_map(|(number, client)| {
            let own = &*client.session.as_ref()?.0;
            client.seats.iter().find_map(|seat| {
                let mut known: BTreeSet<&str> = seat.present.iter().map(String::as_str).collect();
                known.insert(own); // it may be told of itself, or not
                let wrong: Vec<&&str> = known.symmetric_difference(&rooms[seat.room]).collect();
                (!wrong.is_empty())
                    .then(|| of(number, format!("{}: it is wrong on the presence of {wrong:?}", seat.name)))
            })
        })
    }

    /// Goes on until nothing is wrong any more.
    fn wait(&mut self, wrong: impl Fn(&Crowd) -> Option<String>) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(problem) = wrong(self) {
            if Instant::now() >= deadline {
                return Err(format!("waited in vain: {problem}"));
            }
            self.turn()?;
        }
        Ok(())
    }

    // ---- what happens

    fn add(&mut self, at: Instant, act: Act) {
        self.agenda.push(Reverse((at, act)));
    }

    /// Does what is due, and what the sockets have news of.
    fn turn(&mut self) -> Result<(), String> {
        while let Some(&Reverse((at, act))) = self.agenda.peek().filter(|due| due.0.0 <= Instant::now()) {
            self.agenda.pop();
            self.act(at, act)?;
        }
        let next = self.agenda.peek().map(|due| due.0.0.saturating_duration_since(Instant::now()));
        match self.poll.poll(&mut self.events, Some(next.unwrap_or(TURN).min(TURN))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|error| error.to_string())?,
        }
        for event in &self.events {
            let client = event.token().0;
            self.clients[client].turn(&mut self.book).map_err(|problem| of(client, problem))?;
        }
        Ok(())
    }

    fn act(&mut self, at: Instant, act: Act) -> Result<(), String> {
        match act {
            Act::Come(client) => self.come(client),
            Act::Say(client) => {
                self.add(at + PERIOD, act);
                let seat = self.random.below(self.clients[client].seats.len());
                self.clients[client].say(seat, &mut self.book).map_err(|problem| of(client, problem))
            }
            Act::Lose(client) => self.lose(client).map_err(|problem| of(client, problem)),
            Act::Draw => {
                self.add(at + SECOND, act);
                let mut here: Vec<usize> =
                    (0..self.clients.len()).filter(|&client| self.clients[client].line.is_some()).collect();
                for _ in 0..self.clients.len() / 10 {
                    if !here.is_empty() {
                        let client = here.swap_remove(self.random.below(here.len()));
                        let after = self.random.up_to(SECOND);
                        self.add(at + after, Act::Lose(client));
                    }
                }
                Ok(())
            }
        }
    }

    fn come(&mut self, client: usize) -> Result<(), String> {
        let mut line = Line::connect(self.address).map_err(|error| of(client, error.to_string()))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut line.stream, Token(client), interest).map_err(|error| error.to_string())?;
        self.clients[client].line = Some(line);
        Ok(())
    }

    /// A client's line goes, in one of three ways, every other time in the midst of what it says. It comes back soon.
    fn lose(&mut self, number: usize) -> Result<(), String> {
        let (client, random, book) = (&mut self.clients[number], &mut self.random, &mut self.book);
        if client.is_welcome && random.one_in(2) {
            // The acks of these are lost as well.
            for _ in 0..random.below(3) {
                client.say(random.below(client.seats.len()), book)?;
            }
            let (seat, share) = (random.below(client.seats.len()), random.below(1000) as f64 / 1000.0);
            client.begin_to_say(seat, share, book)?;
            book.counts.in_midst += 1;
        }
        let way = random.below(3);
        if let (2, Some(line)) = (way, &mut client.line) {
            self.poll.registry().deregister(&mut line.stream).map_err(|error| error.to_string())?;
        }
        let (line, counts) = (client.lose_line(way == 2), &mut book.counts);
        match way {
            0 => {
                line.into_iter().for_each(Line::reset);
                counts.resets += 1;
            }
            1 => counts.ends += 1,
            _ => counts.abandoned += 1,
        }
        let after = random.up_to(ABSENCE_MAX);
        self.add(Instant::now() + after, Act::Come(number));
        Ok(())
    }
}

fn of(client: usize, problem: String) -> String {
    format!("client {client}: {problem}")
}

/// Between two chats of a client.
const PERIOD: Duration = Duration::from_millis(250);

const SECOND: Duration = Duration::from_secs(1);

/// How long a client stays without a line.
const ABSENCE_MAX: Duration = Duration::from_secs(2);

/// How long a turn waits for news.
const TURN: Duration = Duration::from_millis(20);

/// Time for what must happen. Only a failure takes so long, so it is ample for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
