//! The rooms of a hub: how they begin and end, what is said in them, and who hears of whom.

use std::collections::VecDeque;
use std::rc::Rc;

use super::options::PRESENCE_MAX;
use super::{Due, Hub};
use crate::chat::room::Room;
use crate::chat::session::{Epoch, Position, Profile, SessionId};
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Change, Member, Reply as _, Sender};
use crate::chat::wire::request::LOBBY;
use crate::protocol::SharedFrame;
use crate::server::shrink::{shrink_map, shrink_queue};
use crate::server::{ConnId, Outbox};

/// The order in which the chats of all rooms were said, and the bytes of what all rooms keep.
#[derive(Debug, Default)]
pub(super) struct Kept {
    order: VecDeque<(Rc<str>, Epoch, u64)>,
    /// So many in the order are of chats that their rooms have dropped.
    stale: usize,
    /// Of the logs.
    log_bytes: usize,
    /// Of the states.
    pub(super) state_bytes: usize,
    /// Of the patches that led to them.
    pub(super) patch_bytes: usize,
}

impl Kept {
    /// All of it.
    pub(super) fn bytes(&self) -> usize {
        self.log_bytes + self.state_bytes + self.patch_bytes
    }
}

#[cfg(test)]
impl Kept {
    /// Entries of the order, those of chats that are gone included.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// Who says something.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) connection: ConnId,
    pub(super) session: SessionId,
    pub(super) user: Option<&'a str>,
}

impl Speaker<'_> {
    pub(super) fn sender(&self) -> Sender<'_> {
        Sender { session: &self.session, user: self.user }
    }
}

impl Hub {
    /// The room of this name, which is made if it is not there. The one that was empty for the longest makes place for it.
    ///
    /// # Errors
    /// `room_limit` if there are too many, `internal` if the system has no random numbers.
    pub(super) fn open_room(&mut self, name: &str) -> Result<Rc<str>, ErrorCode> {
        if let Some(name) = self.keep_room(name) {
            return Ok(name);
        }
        if self.rooms.len() >= self.options.rooms_max && name != LOBBY {
            let Some(Due::Forget(oldest)) = self.empty_rooms.pop_first() else { return Err(ErrorCode::RoomLimit) };
            self.forget_room(&oldest);
        }
        let epoch = self.ids.next_epoch().map_err(|_| ErrorCode::Internal)?;
        let name: Rc<str> = name.into();
        self.rooms.insert(name.clone(), Box::new(Room::new(name.clone(), epoch)));
        Ok(name)
    }

    /// A room that is there is not forgotten while somebody is in it.
    pub(super) fn keep_room(&mut self, name: &str) -> Option<Rc<str>> {
        let room = self.rooms.get_mut(name)?;
        if let Some(end) = room.end.take() {
            self.empty_rooms.cancel(end);
        }
        Some(room.name.clone())
    }

    /// A room that is empty ends after a while.
    pub(super) fn end_if_empty(&mut self, name: &Rc<str>, out: &impl Outbox) {
        let has_others = &**name == LOBBY && !self.lobby.is_empty();
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.members.is_empty() && !has_others) else { return };
        if room.end.is_none() {
            room.end = Some(self.empty_rooms.add(out.now() + self.options.resume_window, Due::Forget(name.clone())));
        }
    }

    /// Forgets a room and all that was said in it.
    pub(super) fn forget_room(&mut self, name: &str) {
        if let Some(room) = self.rooms.remove(name) {
            self.kept.log_bytes -= room.log.bytes();
            self.kept.state_bytes -= room.state.held_bytes();
            self.kept.patch_bytes -= room.patches.bytes();
            self.kept.stale += (room.log.next() - room.log.first()) as usize;
            if let Some(ticket) = room.presence.ticket {
                self.agenda.cancel(ticket);
            }
        }
        shrink_map(&mut self.rooms);
        if self.rooms.is_empty() {
            (self.kept.order, self.kept.stale) = (VecDeque::new(), 0); // all that it names is gone
        }
    }

    /// P2, P3: logs a chat, and delivers it to all in the room but its sender. `plain` is how clients without a session get
    /// it. Returns where it is.
    pub(super) fn publish(
        &mut self,
        room: &str,
        speaker: Speaker<'_>,
        own_members: &str,
        plain: &str,
        out: &mut impl Outbox,
    ) -> Option<Position> {
        let room = self.rooms.get_mut(room)?;
        let mut json = String::with_capacity(own_members.len() + CHAT_OVERHEAD_BYTES);
        let (seq, from) = (room.log.next(), speaker.sender());
        reply::Chat { room: &room.name, seq, from, ts: out.unix_ms(), own_members }.write(&mut json);
        let frame = SharedFrame::text(&json);
        for member in room.members.iter().filter(|member| member.is_live && member.connection != speaker.connection) {
            self.post.send_shared(member.connection, &frame, &mut self.agenda, out);
        }
        if &*room.name == LOBBY && !self.lobby.is_empty() {
            let frame = SharedFrame::text(plain);
            for member in self.lobby.others(speaker.connection) {
                out.send_shared(member, &frame);
            }
        }
        let (before, first) = (room.log.bytes(), room.log.first());
        room.log.push(frame);
        room.log.trim(self.options.history, self.options.history_bytes);
        self.kept.log_bytes = self.kept.log_bytes + room.log.bytes() - before;
        let position = Position { room: room.name.clone(), epoch: room.epoch, seq };
        self.kept.stale += (room.log.first().min(seq) - first) as usize;
        if room.log.first() <= seq {
            self.kept.order.push_back((room.name.clone(), room.epoch, seq));
            self.bound_kept();
        }
        Some(position)
    }

    /// The oldest chats of all go when all that is kept is too large.
    pub(super) fn bound_kept(&mut self) {
        let Kept { order, stale, log_bytes, state_bytes, patch_bytes } = &mut self.kept;
        let bytes_max = self.options.memory_limit - *state_bytes - *patch_bytes;
        while *log_bytes > bytes_max
            && let Some((name, epoch, seq)) = order.pop_front()
        {
            if let Some(room) = self.rooms.get_mut(&name).filter(|room| room.epoch == epoch && room.log.first() == seq)
            {
                *log_bytes -= room.log.pop_oldest();
            } else {
                *stale -= 1;
            }
        }
        // Those that their own rooms have dropped are taken out when they are the larger part.
        if order.len() > ORDER_MIN && *stale > order.len() / 2 {
            let rooms = &self.rooms;
            *stale = 0;
            order.retain(|(name, epoch, seq)| {
                rooms.get(name).is_some_and(|room| room.epoch == *epoch && room.log.first() <= *seq)
            });
            shrink_queue(order);
        }
    }

    /// Something changed in who is there: the readers are told, now or soon.
    pub(super) fn stir_presence(&mut self, name: &Rc<str>, out: &impl Outbox) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        if let Some(due) = room.presence.due(out.now()) {
            room.presence.ticket = Some(self.agenda.add(due, Due::Presence(name.clone())));
        }
    }

    /// Tells who came and went, to all who want to know. Whoever came is told of itself as well.
    pub(super) fn tell_presence(&mut self, name: &str, out: &mut impl Outbox) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let news = room.presence.take_news(out.now());
        if news.joins.is_empty() && news.leaves.is_empty() {
            return;
        }
        let (joins, mut leaves) = (members(&news.joins), members(&news.leaves));
        leaves.iter_mut().for_each(|member| member.info = None); // who they were is known
        let (count, changes) = (room.presence.len(), joins.len() + leaves.len());
        let is_count = changes > PRESENCE_MAX || room.presence.is_told_by_count(self.options.answer_bytes);
        let change = match is_count {
            true => Change::Count(count as u64),
            false => Change::People { joins: &joins, leaves: &leaves },
        };
        let json = reply::Presence { room: &room.name, change }.to_json();
        let frame = SharedFrame::text(&json);
        for member in room.members.iter().filter(|member| member.wants_presence) {
            self.post.send_shared(member.connection, &frame, &mut self.agenda, out);
        }
    }
}

/// How people are written.
pub(super) fn members<'p>(profiles: impl IntoIterator<Item = &'p Rc<Profile>>) -> Vec<Member<'p>> {
    let member = |profile: &'p Rc<Profile>| Member {
        session: &profile.session,
        user: profile.user.as_deref(),
        info: profile.info.as_deref(),
    };
    profiles.into_iter().map(member).collect()
}

/// What the server's own members of a chat take, about.
const CHAT_OVERHEAD_BYTES: usize = 160;

/// Below it nothing is taken out of the order of all chats.
const ORDER_MIN: usize = 1024;
