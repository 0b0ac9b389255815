//! Somebody who speaks and listens, and comes back with the position that it has reached whenever its line is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::random::Random;
use super::super::world::World;
use super::ledger::Ledger;
use super::line::Line;
use super::presence::{Company, Info};
use super::saying::{Unanswered, UnansweredPatch};
use super::state::Replica;

/// What somebody knows of a room.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) epoch: String,
    /// The last chat that came, or that a gap told of.
    pub(super) seen: u64,
    /// The answer to the last hello said that a gap comes; to another life of the log, if this is one.
    pub(super) gap_due: Option<String>,
    /// Behind a gap without a range any chat may be the next.
    pub(super) is_open: bool,
    /// What it missed comes on this line, what it said itself among it.
    pub(super) is_replayed: bool,
}

/// How often people do what: weights.
pub(super) struct Temper {
    pub(super) chat: usize,
    pub(super) flood: usize,
    pub(super) cut: usize,
    pub(super) quit: usize,
    pub(super) stop_reading: usize,
    pub(super) go_on_reading: usize,
    pub(super) patch: usize,
    pub(super) patch_flood: usize,
    pub(super) signal: usize,
    pub(super) join: usize,
    pub(super) padding_max: usize,
    pub(super) resume_window: Duration,
}

pub(super) struct Person {
    pub(super) index: usize,
    pub(super) line: Option<Line>,
    /// A line that the server still takes for one, until another replaces it.
    former: Option<Line>,
    /// A line was given up before it was welcome.
    pub(super) has_ghosts: bool,
    /// How many lines it has had.
    pub(super) lines: usize,
    has_said_hello: bool,
    pub(super) is_welcome: bool,
    pub(super) welcomes: usize,
    pub(super) session: Option<(String, String)>,
    pub(super) views: BTreeMap<&'static str, View>,
    /// Chats without an answer yet.
    pub(super) unanswered: VecDeque<Unanswered>,
    /// On which line each chat was said first.
    pub(super) said_on: Vec<usize>,
    /// Chats of which nobody knows whether they were heard: the session is gone.
    pub(super) given_up: usize,
    /// Chats that were left out on the way to it: they must be its own.
    pub(super) holes: Vec<(String, String, u64)>,
    /// When it left, if it was its own will and its session must be there for a while.
    pub(super) left_at: Option<Instant>,
    /// It asks for the state and for who is there.
    pub(super) follows: bool,
    pub(super) info: Info,
    /// Of others, in the room with a state.
    pub(super) company: Company,
    pub(super) replica: Replica,
    /// The last hello named the version of the replica.
    pub(super) has_said_version: bool,
    pub(super) patches: BTreeMap<u64, UnansweredPatch>,
    /// The ids of other requests without an answer yet.
    pub(super) requests: BTreeSet<String>,
    /// The last signal of each that it heard on this line.
    pub(super) signals_heard: BTreeMap<usize, u64>,
    /// How many patches, signals and joins it has sent.
    pub(super) requested: u64,
    pub(super) goodbye: Option<(u64, String)>,
}

impl Person {
    pub(super) fn new(index: usize, follows: bool) -> Person {
        Person {
            index,
            line: None,
            former: None,
            has_ghosts: false,
            lines: 0,
            has_said_hello: false,
            is_welcome: false,
            welcomes: 0,
            session: None,
            views: BTreeMap::new(),
            unanswered: VecDeque::new(),
            said_on: Vec::new(),
            given_up: 0,
            holes: Vec::new(),
            left_at: None,
            follows,
            info: Info::default(),
            company: Company::default(),
            replica: Replica::default(),
            has_said_version: false,
            patches: BTreeMap::new(),
            requests: BTreeSet::new(),
            signals_heard: BTreeMap::new(),
            requested: 0,
            goodbye: None,
        }
    }

    /// Does something that the seed chooses.
    pub(super) fn act(&mut self, world: &mut World, ledger: &mut Ledger, temper: &Temper) {
        let Temper { chat, flood, cut, quit, stop_reading, go_on_reading, patch, patch_flood, signal, join, .. } =
            *temper;
        let weights = [chat, flood, cut, quit, stop_reading, go_on_reading, patch, patch_flood, signal, join, 200];
        let mut number = world.random.below(weights.iter().sum());
        let choice = weights.iter().position(|&weight| {
            let is_here = number < weight;
            number = number.wrapping_sub(weight);
            is_here
        });
        if self.line.is_none() {
            if world.random.one_in(4) {
                self.come(world);
            }
            return;
        }
        match choice {
            Some(0) => self.chat(world, ledger, temper.padding_max),
            Some(1) => (0..30).for_each(|_| self.chat(world, ledger, 8000)),
            Some(2) => self.cut(world),
            Some(3) => self.quit(world),
            Some(4) => self.set_reading(false),
            Some(5) => self.set_reading(true),
            Some(6) => self.patch(&mut world.random, ledger, 0),
            Some(7) => (0..40).for_each(|_| self.patch(&mut world.random, ledger, 7000)),
            Some(8) => self.signal(world, ledger),
            Some(9) => self.join(world),
            _ => {}
        }
        let (out, back) = (world.random.pick(&[1, 40, usize::MAX]), world.random.pick(&[1, 300, 5000, usize::MAX]));
        self.exchange(world, ledger, temper, out, back);
    }

    /// Sends and takes some of what there is.
    pub(super) fn exchange(
        &mut self,
        world: &mut World,
        ledger: &mut Ledger,
        temper: &Temper,
        out: usize,
        back: usize,
    ) {
        if let Some(line) = self.line.as_ref().filter(|line| line.is_open) {
            let has_closed = line.has_sent_close;
            if !std::mem::replace(&mut self.has_said_hello, true) && !has_closed {
                let hello = self.hello(&mut world.random);
                self.say(&hello, &mut world.random);
            }
        }
        if let Some(former) = &mut self.former {
            former.transmit(world, out);
            former.receive(world, back); // nobody listens any more
            if former.is_over {
                ledger.count.replaced += usize::from(former.close_code == Some(4003));
                self.former = None;
            }
        }
        let Some(line) = &mut self.line else { return };
        line.transmit(world, out);
        let texts = if line.is_reading { line.receive(world, back) } else { Vec::new() };
        let (close_code, is_over) = (line.close_code, line.is_over);
        let now = world.now;
        ledger.tell_time(now);
        for text in texts {
            match serde_json::from_str(&text).expect("the server sends JSON") {
                Value::Array(messages) => {
                    messages.iter().for_each(|message| self.hear(message, ledger, temper, now, &mut world.random));
                }
                message => self.hear(&message, ledger, temper, now, &mut world.random),
            }
        }
        if is_over {
            assert!(close_code != Some(4003) || self.has_ghosts, "nobody has replaced it");
            ledger.count.slow += usize::from(close_code == Some(4101));
            (self.line, self.is_welcome) = (None, false);
        }
    }

    pub(super) fn set_reading(&mut self, is_reading: bool) {
        if let Some(line) = &mut self.line {
            line.is_reading = is_reading;
        }
    }

    // ---- coming and going

    pub(super) fn come(&mut self, world: &mut World) {
        self.lines += 1;
        self.line = Some(Line::new(world));
        (self.has_said_hello, self.is_welcome) = (false, false);
        self.patches.clear();
        self.requests.clear();
        self.signals_heard.clear();
        if world.random.one_in(2) {
            self.has_said_hello = true;
            let hello = self.hello(&mut world.random);
            self.say(&hello, &mut world.random);
        }
    }

    fn cut(&mut self, world: &mut World) {
        let Some(mut line) = self.line.take() else { return };
        // A line that the server has closed already was lost before.
        self.left_at = (line.is_alive(world) && self.is_welcome).then_some(world.now);
        // Its hello may be read after that of the next line, and replaces it then.
        self.has_ghosts |= !self.is_welcome;
        self.is_welcome = false;
        if line.cut(world) {
            self.former = Some(line);
        }
    }

    fn quit(&mut self, world: &mut World) {
        let code = world.random.pick(&[1000, 1000, 1001]);
        self.left_at = None;
        if let Some(line) = self.line.as_mut().filter(|line| line.is_open) {
            line.close(code, &mut world.random);
        }
    }

    /// It goes for good.
    pub(super) fn leave(&mut self, world: &mut World, is_polite: bool) {
        if is_polite {
            self.quit(world)
        } else {
            self.cut(world)
        }
        self.former = None;
    }

    fn hello(&mut self, random: &mut Random) -> String {
        self.has_said_version = self.follows && self.can_say_version() && !random.one_in(4);
        let rooms = ROOMS.map(|room| {
            let mut options = json!({});
            if let Some(view) = self.views.get(room) {
                options["since"] = json!({"epoch": view.epoch, "seq": view.seen});
            }
            if room == STATE_ROOM && self.follows {
                (options["state"], options["presence"]) = (true.into(), true.into());
                if self.has_said_version {
                    options["since"]["version"] = self.replica.version().into();
                }
            }
            format!("\"{room}\":{options}")
        });
        // What was missed comes in this order: of some the state only behind many chats.
        let [first, second] = rooms;
        let rooms = if self.index.is_multiple_of(2) { [first, second] } else { [second, first] }.join(",");
        let mut hello = json!({"type": "hello", "id": 0, "v": 1});
        if let Some((session, token)) = &self.session {
            hello["resume"] = json!({"session": session, "token": token});
        }
        if let Some(info) = self.info.say(self.index, !self.has_ghosts, random) {
            hello["info"] = info.clone();
        }
        let hello = hello.to_string();
        format!("{},\"rooms\":{{{rooms}}}}}", hello.strip_suffix('}').expect("an object"))
    }

    /// A position is of one life: there may be chats of an old one, while the state is of the new one already.
    fn can_say_version(&self) -> bool {
        let is_same_life = self.views.get(STATE_ROOM).is_some_and(|view| view.epoch == self.replica.epoch);
        is_same_life && self.replica.version().is_some()
    }

    pub(super) fn say(&mut self, text: &str, random: &mut Random) {
        if let Some(line) = &mut self.line {
            line.say(text, random);
        }
    }
}

/// The rooms in which all are.
pub(super) const ROOMS: [&str; 2] = ["a", "lobby"];

/// The one of them with a state and followers.
pub(super) const STATE_ROOM: &str = ROOMS[0];
