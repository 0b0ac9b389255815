//! The load `chat`: some members send, and each of the others must hear each message once and in order.
//!
//! A message names its sender and its number, so that what is lost, duplicated or out of order is counted exactly. A
//! broadcast is complete when all who are there have heard it, or have heard a later one of the same sender.

use frameloop::protocol::frame::Opcode;

use super::chat_text::{Current, ERROR, HEAD_LEN, Template};
use super::client::{Client, Out};
use super::drive::{Load, Run};
use super::group::Group;
use super::measure::{Measure, Pace};
use super::options::Options;
use super::replies::{Piece, Sink};

#[derive(Debug)]
pub(crate) struct Chat {
    /// Those who hear each other.
    groups: Vec<Group>,
    /// By connection: its group, its place there, and what it is hearing.
    members: Vec<Member>,
    template: Template,
    in_flight: u32,
    /// When the first message is sent.
    start: u64,
    pace: Option<Pace>,
    /// Messages that the pace has dealt to the senders.
    dealt: u64,
    /// Senders that may send, by group and place.
    ready: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Member {
    group: usize,
    place: usize,
    /// The first bytes of a message that a read cut.
    head: Vec<u8>,
    current: Current,
    heard: u64,
}

impl Chat {
    pub(crate) fn new(options: &Options, run: &Run, start: u64) -> Chat {
        // One group as long as the server has one room.
        let connections: Vec<usize> = (0..run.clients.len()).filter(|&i| run.clients[i].is_open()).collect();
        let mut members: Vec<Member> = std::iter::repeat_with(Member::default).take(run.clients.len()).collect();
        for (place, &connection) in connections.iter().enumerate() {
            members[connection].place = place;
        }
        let group = Group::new(connections, options.senders);
        let senders = group.senders.len();
        Chat {
            members,
            template: Template::new(options.size),
            in_flight: options.in_flight as u32,
            start,
            pace: options.rate.map(|rate| Pace::new(start, rate, senders)),
            dealt: 0,
            ready: (0..senders).map(|sender| (0, sender)).collect(),
            groups: vec![group],
        }
    }

    /// Adds what never came to what is lost. For the end of a run.
    pub(crate) fn finish(&self, run: &mut Run) {
        for group in &self.groups {
            run.measure.faults.duplicated += group.tally.duplicated;
            run.measure.faults.reordered += group.tally.reordered;
            for (place, _) in group.connections.iter().enumerate().filter(|(_, c)| run.clients[**c].is_open()) {
                run.measure.faults.lost += group.missing_of(place);
            }
        }
    }

    /// Deals the messages that are due to the senders.
    fn deal(&mut self, pace: Pace, now: u64) {
        let due = pace.due(now).min(self.dealt + DEALT_PER_TURN_MAX);
        let senders: usize = self.groups.iter().map(|group| group.senders.len()).sum();
        while self.dealt < due {
            let mut lane = (self.dealt % senders as u64) as usize;
            self.dealt += 1;
            let mut place = 0;
            while lane >= self.groups[place].senders.len() {
                lane -= self.groups[place].senders.len();
                place += 1;
            }
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
        let lanes_before: usize = self.groups[..place].iter().map(|group| group.senders.len()).sum();
        let group = &mut self.groups[place];
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
                Some(pace) => pace.time(lanes_before + lane, u64::from(sender.sent)),
                None => now,
            };
            client.out.push(Opcode::Text, self.template.message(lane, sender.sent), run.masking_key);
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
        let group_place = member.group;
        let mut sink = Ear {
            group: &mut self.groups[group_place],
            group_place,
            ready: &mut self.ready,
            template: &self.template,
            member,
            measure: &mut run.measure,
            out,
            masking_key: run.masking_key,
            now,
        };
        replies.feed(bytes, &mut sink)?;
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
        self.groups.iter().map(Group::outstanding).sum()
    }

    fn next_due(&self) -> Option<u64> {
        self.pace.map(|pace| pace.time_of(self.dealt))
    }
}

/// Hears for one member.
struct Ear<'r> {
    group: &'r mut Group,
    group_place: usize,
    ready: &'r mut Vec<(usize, usize)>,
    template: &'r Template,
    member: &'r mut Member,
    measure: &'r mut Measure,
    out: &'r mut Out,
    masking_key: [u8; 4],
    now: u64,
}

impl Ear<'_> {
    /// Finds out what message it is, as soon as enough of it has come.
    #[inline]
    fn recognize(&mut self, piece: &Piece<'_>) -> Result<(), String> {
        let head = if piece.offset == 0 && piece.bytes.len() >= HEAD_LEN {
            piece.bytes
        } else {
            let head = &mut self.member.head;
            if piece.offset == 0 {
                head.clear();
            }
            head.extend_from_slice(&piece.bytes[..piece.bytes.len().min(HEAD_LEN - head.len())]);
            if head.len() < HEAD_LEN && !piece.is_last {
                self.member.current = Current::Unknown;
                return Ok(());
            }
            &self.member.head
        };
        self.member.current = if head.len() < HEAD_LEN { Current::Other } else { Template::parse(head) };
        // What else a server says to its members is its own affair, but not that it refused a message.
        if matches!(self.member.current, Current::Other) && head.starts_with(ERROR.as_bytes()) {
            let text = String::from_utf8_lossy(&head[..head.len().min(200)]);
            return Err(format!("the server says {text}"));
        }
        Ok(())
    }
}

impl Sink for Ear<'_> {
    #[inline]
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
        if piece.offset == 0 || matches!(self.member.current, Current::Unknown) {
            self.recognize(&piece)?;
        }
        let Current::Ours { sender, number } = self.member.current else { return Ok(()) };
        let text = self.template.text();
        let (offset, end) = (piece.offset as usize, piece.offset as usize + piece.bytes.len());
        if piece.opcode != Opcode::Text || end > text.len() || (piece.is_last && end < text.len()) {
            let more = if piece.is_last { "" } else { " or more" };
            return Err(format!("a message of {} bytes was heard with {end} bytes{more}", text.len()));
        }
        // One in 64 is checked byte for byte.
        if self.member.heard.is_multiple_of(64) {
            let skipped = HEAD_LEN.saturating_sub(offset).min(piece.bytes.len());
            if piece.bytes[skipped..] != text[offset + skipped..end] {
                return Err("a message was heard with another content".to_owned());
            }
        }
        if piece.is_last {
            self.member.heard += 1;
            if self.group.hear(self.member.place, sender, number, self.now, self.measure)? {
                self.group.make_ready(self.ready, self.group_place, sender);
            }
        }
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        self.out.pong(payload, self.masking_key);
    }
}

/// Bytes that may wait for one sender; then it waits.
const OUT_BYTES_MAX: usize = 1024 * 1024;
/// So that a server that was slow for long does not make a turn without end.
const DEALT_PER_TURN_MAX: u64 = 10_000;
