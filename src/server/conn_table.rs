//! A table of what an application knows of each connection.
//!
//! The keys of connections are dense, so that it is indexed and not hashed: a million entries never have to be hashed
//! anew in one turn, while everybody waits.

use super::app::ConnId;
use super::shrink::{Extent, is_too_large};

/// Values by connection. The memory follows the number of connections up and down.
#[derive(Debug)]
pub struct ConnTable<T> {
    entries: Vec<Option<Entry<T>>>,
    extent: Extent,
    len: usize,
}

#[derive(Debug)]
struct Entry<T> {
    serial: u32,
    value: T,
}

impl<T> ConnTable<T> {
    /// The number of connections that have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none has one.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The connections that have a value, in the order of their keys.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> {
        let ids = self.entries.iter().enumerate();
        ids.filter_map(|(key, entry)| entry.as_ref().map(|entry| ConnId { key: key as u32, serial: entry.serial }))
    }

    /// The value of a connection.
    #[inline]
    pub fn get(&self, id: ConnId) -> Option<&T> {
        self.entries.get(id.key as usize)?.as_ref().filter(|entry| entry.serial == id.serial).map(|entry| &entry.value)
    }

    /// The value of a connection, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.key as usize)?.as_mut();
        entry.filter(|entry| entry.serial == id.serial).map(|entry| &mut entry.value)
    }

    /// Gives a connection a value, in place of the one before.
    ///
    /// # Panics
    /// If an entry of an earlier connection with the same key was left behind: `on_close` has to
    /// [`remove`](ConnTable::remove) it.
    pub fn insert(&mut self, id: ConnId, value: T) {
        let key = id.key as usize;
        if key >= self.entries.len() {
            self.entries.resize_with(key + 1, || None);
        }
        match &mut self.entries[key] {
            Some(entry) => {
                assert_eq!(entry.serial, id.serial, "the entry of a connection that is gone was left behind");
                entry.value = value;
            }
            vacant => {
                *vacant = Some(Entry { serial: id.serial, value });
                self.extent.add(id.key);
                self.len += 1;
            }
        }
    }

    /// Takes the value of a connection out.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        let entry = self.entries[id.key as usize].take()?;
        self.extent.remove(id.key);
        self.len -= 1;
        if is_too_large::<Option<Entry<T>>>(self.extent.end(), self.entries.capacity()) {
            self.entries.truncate(self.extent.end());
            self.entries.shrink_to_fit();
        }
        Some(entry.value)
    }

    /// Heap bytes that it owns, without those of the values.
    pub fn held_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Option<Entry<T>>>()
    }
}

impl<T> Default for ConnTable<T> {
    fn default() -> ConnTable<T> {
        ConnTable { entries: Vec::new(), extent: Extent::new(), len: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_own_value_and_no_later_one_with_its_key_sees_it() {
        let mut table = ConnTable::default();
        for key in 0..1000 {
            table.insert(ConnId { key, serial: key + 1 }, key);
        }
        table.insert(ConnId { key: 7, serial: 8 }, 70);
        assert_eq!(table.len(), 1000);
        *table.get_mut(ConnId { key: 9, serial: 10 }).unwrap() += 90;
        assert_eq!(
            (table.get(ConnId { key: 7, serial: 8 }), table.get(ConnId { key: 9, serial: 10 })),
            (Some(&70), Some(&99))
        );
        let later = ConnId { key: 7, serial: 2000 };
        assert_eq!(table.get(later), None);
        assert_eq!(table.remove(later), None);
        assert_eq!(table.remove(ConnId { key: 7, serial: 8 }), Some(70));
        table.insert(later, 1);
        assert_eq!((table.get(later), table.len()), (Some(&1), 1000));
        assert_eq!(table.get(ConnId { key: 5000, serial: 1 }), None);
    }

    #[test]
    fn it_shrinks_when_the_highest_keys_are_gone() {
        let mut table = ConnTable::default();
        for key in 0..100_000 {
            table.insert(ConnId { key, serial: 1 }, [0u8; 16]);
        }
        let most = table.held_bytes();
        for key in (100..100_000).rev() {
            table.remove(ConnId { key, serial: 1 });
        }
        assert!(table.held_bytes() < most / 100, "{} of {most}", table.held_bytes());
        assert!((0..100).all(|key| table.get(ConnId { key, serial: 1 }).is_some()));
        for key in 0..100 {
            table.remove(ConnId { key, serial: 1 });
        }
        assert!(table.is_empty());
    }
}
