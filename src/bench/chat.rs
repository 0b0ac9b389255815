//! The load `chat`: some members send, and each of the others must hear each message once and in order.
//!
//! A message names its sender and its number, so that what is lost, duplicated or out of order is counted exactly. A
//! broadcast is complete when all who are there have heard it, or have heard a later one of the same sender.

use frameloop::protocol::CloseCode;
use frameloop::protocol::close::encode_close_payload;
use frameloop::protocol::frame::Opcode;

use super::chat_text::{Template, prefix};
use super::client::Client;
use super::drive::{Load, Run};
use super::ear::{Ear, Member, RoomEar};
use super::group::Group;
use super::measure::Pace;
use super::options::Options;

#[derive(Debug)]
pub(crate) struct Chat {
    /// Those who hear each other: the members of each room, or all.
    groups: Vec<Group>,
    /// How a chat of each group begins.
    prefixes: Vec<String>,
    has_rooms: bool,
    /// By connection: its group, its place there, and what it is hearing.
    members: Vec<Member>,
    /// All senders, by group and place.
    lanes: Vec<(usize, usize)>,
    template: Template,
    in_flight: u32,
    /// When the first message is sent.
    start: u64,
    pace: Option<Pace>,
    /// Messages that are due, by the pace, and those of them that were dealt to the senders.
    due: u64,
    dealt: u64,
    /// Senders that may send, by group and place.
    ready: Vec<(usize, usize)>,
}

impl Chat {
    pub(crate) fn new(options: &Options, run: &Run, start: u64) -> Chat {
        let rooms = options.rooms.unwrap_or(1);
        let mut connections = vec![Vec::new(); rooms];
        let mut members: Vec<Member> = std::iter::repeat_with(Member::default).take(run.clients.len()).collect();
        for index in (0..run.clients.len()).filter(|&index| run.clients[index].is_open()) {
            let room = room_of(index, rooms);
            members[index].group = room;
            members[index].place = connections[room].len();
            connections[room].push(index);
        }
        let (mut groups, mut lanes) = (Vec::with_capacity(rooms), Vec::new());
        for (room, connections) in connections.into_iter().enumerate() {
            let group = Group::new(connections, options.senders, lanes.len());
            lanes.extend((0..group.senders.len()).map(|lane| (room, lane)));
            groups.push(group);
        }
        Chat {
            groups,
            prefixes: (0..rooms).map(|room| prefix(options.rooms.map(|_| room))).collect(),
            has_rooms: options.rooms.is_some(),
            members,
            template: Template::new(options.size, options.rooms, options.content),
            in_flight: options.in_flight as u32,
            start,
            pace: options.rate.map(|rate| Pace::new(start, rate, lanes.len())),
            due: 0,
            dealt: 0,
            ready: lanes.clone(),
            lanes,
        }
    }

    /// Adds what never came to what is lost, and what was due and never sent; and takes leave of the rooms, so that no
    /// session waits for its client. For the end of a run.
    pub(crate) fn finish(&self, run: &mut Run) {
        for group in &self.groups {
            run.measure.faults.duplicated += group.tally.duplicated;
            run.measure.faults.reordered += group.tally.reordered;
            for (lane, sender) in group.senders.iter().enumerate().filter(|(_, sender)| sender.is_open) {
                let due = self.pace.map_or(0, |pace| pace.share(group.first_lane + lane, self.due));
                run.measure.faults.unsent += due.saturating_sub(u64::from(sender.sent));
            }
            for (place, _) in group.connections.iter().enumerate().filter(|(_, c)| run.clients[**c].is_open()) {
                run.measure.faults.lost += group.missing_of(place);
            }
        }
        if self.has_rooms {
            let goodbye = encode_close_payload(CloseCode::NORMAL, "");
            for client in run.clients.iter_mut().filter(|client| client.is_open()) {
                client.out.push(Opcode::Close, &goodbye, run.masking_key);
                let _ = client.flush(); // nothing comes of it any more
            }
        }
    }

    /// Deals the messages that are due to the senders.
    fn deal(&mut self, pace: Pace, now: u64) {
        self.due = pace.due(now);
        let end = self.due.min(self.dealt + DEALT_PER_TURN_MAX);
        while self.dealt < end {
            let (place, lane) = self.lanes[(self.dealt % self.lanes.len() as u64) as usize];
            self.dealt += 1;
            let group = &mut self.groups[place];
            // What was due at a connection that is gone is not sent.
            if group.senders[lane].is_open {
                group.senders[lane].due += 1;
                group.make_ready(&mut self.ready, place, lane);
            }
        }
    }

    /// Queues the messages that a sender may send now, and writes them.
    fn send(&mut self, run: &mut Run, (place, lane): (usize, usize), now: u64) -> Result<(), String> {
        let group = &mut self.groups[place];
        let number_of_sender = group.first_lane + lane;
        let (receivers, sender) = (group.open.saturating_sub(1) as u32, &mut group.senders[lane]);
        sender.is_ready = false;
        if !sender.is_open || receivers == 0 {
            return Ok(());
        }
        let client = &mut run.clients[sender.connection];
        loop {
            let room = self.in_flight - (sender.sent - sender.complete);
            let is_due = if self.pace.is_some() { sender.due > sender.sent } else { run.is_sending };
            // Where the server takes nothing, the rest waits until it does.
            if room == 0 || !is_due || client.out.len() > OUT_BYTES_MAX {
                break;
            }
            let time = match self.pace {
                Some(pace) => pace.time(number_of_sender, u64::from(sender.sent)),
                None => now,
            };
            let message = self.template.message(self.prefixes[place].as_bytes(), number_of_sender, sender.sent);
            client.out.push(Opcode::Text, message, run.masking_key);
            sender.sent += 1;
            sender.waiting.push_back((time, receivers));
        }
        client.flush().map(drop)
    }
}

impl Load for Chat {
    fn turn(&mut self, run: &mut Run, now: u64) {
        if let Some(pace) = self.pace {
            // Nothing is due after the end of the window.
            self.deal(pace, now.min(run.measure.window().end.saturating_sub(1)));
        }
        if self.ready.is_empty() || now < self.start {
            return;
        }
        for ready in std::mem::take(&mut self.ready) {
            if let Err(problem) = self.send(run, ready, now) {
                let connection = self.groups[ready.0].senders[ready.1].connection;
                run.end(connection, problem);
                self.ended(run, connection);
            }
        }
    }

    #[inline]
    fn receive(&mut self, run: &mut Run, index: usize, bytes: &[u8], now: u64) -> Result<(), String> {
        let Client { replies, out, .. } = &mut run.clients[index];
        let member = &mut self.members[index];
        let prefix = self.prefixes[member.group].as_bytes();
        let mut ear = Ear {
            group: &mut self.groups[member.group],
            ready: &mut self.ready,
            template: &self.template,
            member,
            measure: &mut run.measure,
            out,
            masking_key: run.masking_key,
            now,
        };
        if self.has_rooms {
            replies.feed(bytes, &mut RoomEar { ear, prefix })?;
        } else {
            replies.feed(bytes, &mut ear)?;
        }
        if run.clients[index].out.len() > 0 { self.flush(run, index) } else { Ok(()) }
    }

    fn flush(&mut self, run: &mut Run, index: usize) -> Result<(), String> {
        let had = run.clients[index].out.len();
        let is_empty = run.clients[index].flush()?;
        let Member { group, place, .. } = self.members[index];
        // A sender that had too much to write may go on.
        if had > 0 && is_empty && place < self.groups[group].senders.len() {
            self.groups[group].make_ready(&mut self.ready, group, place);
        }
        Ok(())
    }

    fn ended(&mut self, run: &mut Run, index: usize) {
        let Member { group: group_place, place, .. } = self.members[index];
        let group = &mut self.groups[group_place];
        group.open -= 1;
        run.measure.faults.lost += group.missing_of(place);
        if let Some(sender) = group.senders.get_mut(place) {
            // Nobody knows what of it the server got, so that nothing of it is expected any more.
            sender.is_open = false;
            sender.waiting.clear();
            sender.complete = sender.sent;
        }
        group.forget_receiver(place, group_place, &mut self.ready);
    }

    fn outstanding(&self) -> u64 {
        self.groups.iter().map(Group::outstanding).sum::<u64>() + (self.due - self.dealt)
    }

    fn next_due(&self) -> Option<u64> {
        self.pace.map(|pace| pace.time_of(self.dealt))
    }
}

/// The room that a connection is a member of: the connections take turns.
pub(crate) fn room_of(connection: usize, rooms: usize) -> usize {
    connection % rooms
}

/// Bytes that may wait for one sender; then it waits.
const OUT_BYTES_MAX: usize = 1024 * 1024;
/// So that a server that was slow for long does not make a turn without end.
const DEALT_PER_TURN_MAX: u64 = 10_000;
