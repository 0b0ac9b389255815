//! When a table gives back the room that a crowd needed: the memory of a server follows its peers in both directions.
//!
//! A table shrinks when it needs less than a quarter of its capacity, to half of it at most. So as many must come or go
//! before it changes again as it then moves: each of them costs the same, whatever the size of the crowd was.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Whether a table of `T` that needs so much of its capacity should shrink.
#[inline]
pub(crate) fn is_too_large<T>(needed: usize, capacity: usize) -> bool {
    capacity > capacity_kept::<T>() && needed < capacity / 4
}

/// After an entry has gone from a list. What stays is moved, since it would else lie at the far end of what the crowd
/// took of the heap, and keep it from being given back.
#[inline]
pub(crate) fn shrink_list<T>(list: &mut Vec<T>) {
    if is_too_large::<T>(list.len(), list.capacity()) {
        let mut smaller = Vec::with_capacity(capacity_kept::<T>().max(2 * list.len()));
        smaller.append(list);
        *list = smaller;
    }
}

/// After an entry has gone from a queue.
pub(crate) fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if is_too_large::<T>(queue.len(), queue.capacity()) {
        queue.shrink_to(capacity_kept::<T>().max(2 * queue.len()));
    }
}

/// After an entry has gone from a map.
#[inline]
pub(crate) fn shrink_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if is_too_large::<(K, V)>(map.len(), map.capacity()) {
        map.shrink_to(2 * map.len());
    }
}

/// A list with the room that it keeps in any case. One that is filled anew in each turn would else grow through many small
/// sizes while a crowd is there, and each of them would be a block that the allocator keeps among those of the crowd.
pub(crate) fn new_list<T>() -> Vec<T> {
    Vec::with_capacity(capacity_kept::<T>())
}

/// How far up keys are in use, to a factor of two: a table that is indexed by key needs as much, however few they are.
#[derive(Debug)]
pub(crate) struct Extent {
    /// The keys in use by the number of their binary digits.
    counts: [u32; 33],
}

impl Extent {
    pub(crate) fn new() -> Extent {
        Extent { counts: [0; 33] }
    }

    pub(crate) fn add(&mut self, key: u32) {
        self.counts[digits(key)] += 1;
    }

    pub(crate) fn remove(&mut self, key: u32) {
        self.counts[digits(key)] -= 1;
    }

    /// All keys are below it, and the highest is not below half of it.
    pub(crate) fn end(&self) -> usize {
        self.counts.iter().rposition(|&count| count > 0).map_or(0, |digits| 1 << digits)
    }
}

fn digits(key: u32) -> usize {
    (u32::BITS - key.leading_zeros()) as usize
}

/// Entries for which a table keeps its room in any case.
const fn capacity_kept<T>() -> usize {
    BYTES_KEPT / size_of::<T>()
}

/// The room that a table keeps in any case.
const BYTES_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_comes_and_goes_and_the_tables_follow_it_seldom() {
        let (mut list, mut map, mut shrunk) = (Vec::new(), HashMap::new(), 0);
        for _ in 0..3 {
            for number in 0..10_000 {
                list.push(number);
                map.insert(number, number);
            }
            while let Some(number) = list.pop() {
                map.remove(&number);
                let before = (list.capacity(), map.capacity());
                shrink_list(&mut list);
                shrink_map(&mut map);
                shrunk += usize::from(list.capacity() < before.0);
                let most = capacity_kept::<(i32, i32)>().max(4 * list.len() + 4);
                assert!(list.capacity() <= 2 * most, "{} of {}", list.len(), list.capacity());
                assert!(map.capacity() <= 2 * most, "{} of {}", map.len(), map.capacity());
            }
        }
        assert!((3..=3 * 9).contains(&shrunk), "{shrunk} times");
    }

    #[test]
    fn the_extent_of_keys_is_that_of_the_highest() {
        let mut extent = Extent::new();
        assert_eq!(extent.end(), 0);
        for (key, end) in [(0, 1), (1, 2), (5, 8), (7, 8), (8, 16), (1_000_000, 1 << 20)] {
            extent.add(key);
            assert_eq!(extent.end(), end);
        }
        extent.remove(1_000_000);
        assert_eq!(extent.end(), 16);
        extent.remove(8);
        extent.remove(5);
        assert_eq!(extent.end(), 8, "7 is there");
    }
}
