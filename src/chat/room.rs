//! One room: what was said in it, its state, and who is there.

use std::collections::HashMap;
use std::rc::Rc;

use super::agenda::Ticket;
use super::log::Log;
use super::presence::Presence;
use super::session::{Epoch, SessionId};
use super::state::RoomState;
use crate::server::ConnId;

/// A room of clients with sessions; in the lobby there may be others beside them.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: Rc<str>,
    /// The life of its log: another one after it was forgotten.
    pub epoch: Epoch,
    /// The chats, as readers with sessions get them.
    pub log: Log,
    /// What all share.
    pub state: RoomState,
    /// The last patches of the state, by their versions.
    pub patches: Log,
    /// Who is there, for those who want to know.
    pub presence: Presence,
    /// The connections that are in it.
    pub members: Members,
    /// When it is forgotten, if nobody comes.
    pub end: Option<Ticket>,
}

impl Room {
    /// A room in which nothing was said.
    pub fn new(name: Rc<str>, epoch: Epoch) -> Room {
        Room {
            name,
            epoch,
            log: Log::new(1),
            state: RoomState::default(),
            patches: Log::new(1),
            presence: Presence::default(),
            members: Members::default(),
            end: None,
        }
    }

    /// The number of the last chat; 0 before the first one.
    pub fn seq(&self) -> u64 {
        self.log.next() - 1
    }
}

/// A connection in a room, and what of it it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub connection: ConnId,
    /// In which session.
    pub session: SessionId,
    /// Chats and signals as they come: nothing that it missed is still on its way.
    pub is_live: bool,
    /// Presence.
    pub wants_presence: bool,
    /// Patches of the state as they come.
    pub wants_state: bool,
}

/// The connections in a room, densely, since a chat goes over all of them.
#[derive(Debug, Default)]
pub struct Members {
    members: Vec<Member>,
    positions: HashMap<ConnId, u32>,
}

impl Members {
    /// Adds a member, or takes the place of what it was before. Whether it is new.
    pub fn insert(&mut self, member: Member) -> bool {
        if let Some(known) = self.get_mut(member.connection) {
            *known = member;
            return false;
        }
        self.positions.insert(member.connection, self.members.len() as u32);
        self.members.push(member);
        true
    }

    /// A member.
    pub fn get(&self, id: ConnId) -> Option<&Member> {
        self.positions.get(&id).map(|&position| &self.members[position as usize])
    }

    /// A member, to be changed.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Member> {
        self.positions.get(&id).map(|&position| &mut self.members[position as usize])
    }

    /// Removes a member, at the same cost in a room of any size.
    pub fn remove(&mut self, id: ConnId) -> Option<Member> {
        let position = self.positions.remove(&id)?;
        let member = self.members.swap_remove(position as usize);
        if let Some(moved) = self.members.get(position as usize) {
            self.positions.insert(moved.connection, position);
        }
        if self.members.len() < self.members.capacity() / 4 {
            self.members.shrink_to(self.members.len() * 2);
            self.positions.shrink_to(self.members.len() * 2);
        }
        Some(member)
    }

    /// All members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::session::SessionIds;

    #[test]
    fn members_come_and_go_in_any_order() {
        let session = SessionIds::default().next_id().unwrap();
        let member = |index| Member {
            connection: ConnId::for_test(index),
            session,
            is_live: true,
            wants_presence: false,
            wants_state: false,
        };
        let mut members = Members::default();
        assert!((0..100).all(|index| members.insert(member(index))));
        assert!(!members.insert(Member { is_live: false, ..member(3) }));
        assert!(!members.get(ConnId::for_test(3)).unwrap().is_live);
        for index in (0..100).filter(|index| index % 7 != 3) {
            assert_eq!(members.remove(ConnId::for_test(index)).unwrap().connection, ConnId::for_test(index));
            assert_eq!(members.remove(ConnId::for_test(index)), None);
        }
        let mut left: Vec<ConnId> = members.iter().map(|member| member.connection).collect();
        left.sort();
        assert_eq!(left, (0..100).filter(|index| index % 7 == 3).map(ConnId::for_test).collect::<Vec<_>>());
        assert!(left.iter().all(|&id| members.get(id).unwrap().connection == id));
    }
}
