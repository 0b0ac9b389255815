//! RFC 8259 §4 and §5: the members of one object and the elements of one array, found without building a tree.
//!
//! What a member holds is not looked into: it stays the text that the peer wrote.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde_core::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{WireError, invalid_json};

/// The members of one object, in their order.
#[derive(Debug, Clone)]
pub(super) struct Members<'t> {
    list: Vec<(Cow<'t, str>, &'t RawValue)>,
}

impl<'t> Members<'t> {
    /// Reads one JSON text, which must be an object.
    pub(super) fn parse(text: &'t str) -> Result<Members<'t>, WireError> {
        let list = read(text, ObjectVisitor).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                WireError::invalid_message("a message is a JSON object with a member \"type\"", None)
            }
            _ => invalid_json(&error.to_string()),
        })?;
        Ok(Members { list })
    }

    /// What stands under a name: valid JSON, without the space around it.
    pub(super) fn get(&self, name: &str) -> Option<&'t str> {
        self.all(name).next()
    }

    /// What stands under a name, each time that it does.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'t str> {
        self.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All members, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Cow<'t, str>, &'t str)> {
        self.list.iter().map(|(name, value)| (name, value.get()))
    }

    /// The first name that stands twice. Few are compared one by one; many go into a set whose hash a peer cannot aim at.
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut names = self.list.iter().map(|(name, _)| &**name);
        if self.list.len() <= FEW_NAMES {
            let is_repeated = |&(at, name): &(usize, &str)| self.list[..at].iter().any(|(other, _)| other == name);
            return names.enumerate().find(is_repeated).map(|(_, name)| name);
        }
        let mut seen = HashSet::with_capacity(self.list.len());
        names.find(|name| !seen.insert(*name))
    }
}

/// The elements of a JSON text that begins with `[`. More than `max` are refused where the next one begins.
pub(super) fn elements(text: &str, max: usize) -> Result<Vec<&str>, WireError> {
    read(text, ArrayVisitor { max }).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            WireError::invalid_message(&format!("a batch has at most {max} messages"), None)
        }
        _ => invalid_json(&error.to_string()),
    })
}

/// The text of a JSON string: borrowed, unless it has escapes. `None` is another value.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    read(value, StringVisitor).ok()
}

fn read<'t, S: DeserializeSeed<'t>>(text: &'t str, seed: S) -> serde_json::Result<S::Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct ObjectVisitor;

impl<'t> DeserializeSeed<'t> for ObjectVisitor {
    type Value = Vec<(Cow<'t, str>, &'t RawValue)>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for ObjectVisitor {
    type Value = Vec<(Cow<'t, str>, &'t RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut list = Vec::new();
        while let Some(name) = map.next_key_seed(StringVisitor)? {
            list.push((name, map.next_value()?));
        }
        Ok(list)
    }
}

struct ArrayVisitor {
    max: usize,
}

impl<'t> DeserializeSeed<'t> for ArrayVisitor {
    type Value = Vec<&'t str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'t> Visitor<'t> for ArrayVisitor {
    type Value = Vec<&'t str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<S: SeqAccess<'t>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element::<&'t RawValue>()? {
            if list.len() == self.max {
                return Err(S::Error::custom("too many"));
            }
            list.push(element.get());
        }
        Ok(list)
    }
}

/// A string: borrowed, unless it has escapes.
struct StringVisitor;

impl<'t> DeserializeSeed<'t> for StringVisitor {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Cow<'t, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for StringVisitor {
    type Value = Cow<'t, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

const FEW_NAMES: usize = 16;
