//! The clients without sessions that are in the lobby: as many as there may be, and none costs more than a few bytes.

use crate::server::shrink::shrink_list;
use crate::server::{ConnId, ConnTable};

/// A crowd: who gets what is said in it.
///
/// Members lie densely in a vector, since a broadcast goes over all of them; the table finds the one that leaves.
#[derive(Debug, Default)]
pub struct Crowd {
    members: Vec<ConnId>,
    positions: ConnTable<u32>,
}

impl Crowd {
    /// Adds a member, once.
    pub fn join(&mut self, id: ConnId) {
        if self.positions.get(id).is_none() {
            self.positions.insert(id, self.members.len() as u32);
            self.members.push(id);
        }
    }

    /// Removes a member, at the same cost in a room of any size. Returns whether it was one.
    pub fn leave(&mut self, id: ConnId) -> bool {
        let Some(position) = self.positions.remove(id) else { return false };
        self.members.swap_remove(position as usize);
        if let Some(&moved) = self.members.get(position as usize) {
            self.positions.insert(moved, position);
        }
        shrink_list(&mut self.members);
        true
    }

    /// All members but this one, in no particular order.
    pub fn others(&self, id: ConnId) -> impl Iterator<Item = ConnId> {
        self.members.iter().copied().filter(move |&member| member != id)
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Heap bytes that it owns, about: its tables by their capacity.
    pub fn held_bytes(&self) -> usize {
        self.members.capacity() * size_of::<ConnId>() + self.positions.held_bytes()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_and_go_in_any_order() {
        let id = ConnId::for_test;
        let mut crowd = Crowd::default();
        for index in 0..5 {
            crowd.join(id(index));
        }
        crowd.join(id(3));
        assert_eq!(crowd.len(), 5, "joining twice counts once");
        for gone in [4, 0, 2] {
            assert!(crowd.leave(id(gone)));
            assert!(!crowd.leave(id(gone)), "it was no member any more");
        }
        let mut others: Vec<ConnId> = crowd.others(id(1)).collect();
        others.sort();
        assert_eq!(others, [id(3)]);
        assert_eq!(crowd.others(id(9)).count(), 2, "whoever is no member hears of none excluded");
        assert!(crowd.leave(id(1)) && crowd.leave(id(3)) && crowd.is_empty());
    }
}
