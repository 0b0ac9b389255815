//! The members of one object, by name: cheap to find among many, and small where they are few.
//!
//! A tree allocates room for eleven members at once. A state of nested objects with one member each would take more
//! than a hundred times the memory of its JSON, so few members lie in a sorted list that has no room to spare.

use std::collections::BTreeMap;

/// A map from names to values, in the order of the names.
#[derive(Debug)]
pub(super) enum Members<V> {
    Few(Vec<(Box<str>, V)>),
    Many(BTreeMap<Box<str>, V>),
}

impl<V> Default for Members<V> {
    fn default() -> Members<V> {
        Members::Few(Vec::new())
    }
}

impl<V> Members<V> {
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        match self {
            Members::Few(list) => position(list, name).ok().map(|at| &list[at].1),
            Members::Many(tree) => tree.get(name),
        }
    }

    /// Sets the value of a name, new or not.
    pub(super) fn insert(&mut self, name: &str, value: V) {
        match self {
            Members::Few(list) => match position(list, name) {
                Ok(at) => list[at].1 = value,
                Err(at) => {
                    list.reserve_exact(1);
                    list.insert(at, (name.into(), value));
                    if list.len() > FEW {
                        *self = Members::Many(std::mem::take(list).into_iter().collect());
                    }
                }
            },
            Members::Many(tree) => drop(tree.insert(name.into(), value)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<V> {
        match self {
            Members::Few(list) => {
                let (_, value) = list.remove(position(list, name).ok()?);
                list.shrink_to_fit();
                Some(value)
            }
            Members::Many(tree) => {
                let value = tree.remove(name)?;
                // Half as many as on the way up, so that one member that comes and goes does not move the others.
                if tree.len() <= FEW / 2 {
                    *self = Members::Few(std::mem::take(tree).into_iter().collect());
                }
                Some(value)
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let (list, tree) = match self {
            Members::Few(list) => (Some(list), None),
            Members::Many(tree) => (None, Some(tree)),
        };
        let list = list.into_iter().flatten().map(|(name, value)| (&**name, value));
        list.chain(tree.into_iter().flatten().map(|(name, value)| (&**name, value)))
    }
}

fn position<V>(list: &[(Box<str>, V)], name: &str) -> Result<usize, usize> {
    list.binary_search_by(|(other, _)| (**other).cmp(name))
}

/// The most members that lie in a list.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_order_and_once_while_members_come_and_go() {
        let mut members = Members::default();
        let mut model: BTreeMap<String, usize> = BTreeMap::new();
        // Up to 3 * FEW members and down to none, several times, in an order that is none.
        for step in 0..50 * FEW {
            let name = format!("n{}", step * 7 % (3 * FEW));
            if (step / (6 * FEW)).is_multiple_of(2) {
                members.insert(&name, step);
                model.insert(name.clone(), step);
            } else {
                assert_eq!(members.remove(&name), model.remove(&name));
                assert_eq!(members.remove(&name), None);
            }
            assert_eq!(members.get(&name), model.get(&name));
            assert!(members.iter().eq(model.iter().map(|(name, value)| (name.as_str(), value))));
            match &members {
                Members::Few(list) => assert!(list.len() <= FEW && list.capacity() == list.len()),
                Members::Many(tree) => assert!(tree.len() > FEW / 2),
            }
        }
    }
}
