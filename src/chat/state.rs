//! The state of a room: one JSON object, changed by merge patches (RFC 7396).
//!
//! Objects are trees, so that a patch costs what it holds and not what the state holds. All else, numbers of any size
//! and whole arrays, is kept as its sender wrote it. RFC 7396 cannot store a null as a member (it removes one), and
//! replaces arrays whole.

mod members;
mod patch;

use std::fmt;

use members::Members;
use patch::{Change, Patch};

/// A room's state and its version. At first `{}` and 0.
#[derive(Debug, Default)]
pub struct RoomState {
    version: u64,
    root: Object,
}

impl RoomState {
    /// One more per accepted patch.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The length of its JSON. It is known at any time, without writing it.
    pub fn bytes(&self) -> usize {
        self.root.bytes()
    }

    /// Appends the state, as JSON without whitespace between its members.
    pub fn write_json(&self, out: &mut String) {
        out.reserve(self.bytes());
        self.root.write_json(out);
    }

    /// The state, as JSON without whitespace between its members.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    /// Changes the state as the patch says, and returns the new version. A refused patch changes nothing.
    ///
    /// `patch` is JSON that the wire parser has checked. The state may become `bytes_max` long and `depth_max` deep
    /// (objects and arrays inside each other, itself counted), but never deeper than
    /// [`JSON_DEPTH_MAX`](super::wire::JSON_DEPTH_MAX).
    ///
    /// # Errors
    /// The first rule that the patch breaks.
    pub fn apply(&mut self, patch: &str, bytes_max: usize, depth_max: usize) -> Result<u64, StateError> {
        // An object of a patch always ends as an object at the same place of the state, even where its members are all
        // null. So the state gets too deep where the patch is too deep, and nowhere else.
        let patch = patch::parse(patch, depth_max)?;
        let bytes = length(Object::member_bytes_after(Some(&self.root), &patch));
        if bytes > bytes_max {
            return Err(StateError::TooLarge { bytes_max });
        }
        self.root.merge(patch);
        debug_assert_eq!(self.bytes(), bytes, "the change was foretold");
        self.version += 1;
        Ok(self.version)
    }
}

/// Why a patch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateError {
    /// The patch is no JSON object.
    NoObject,
    /// This name stands twice in one object of the patch: two readers would read it differently. It is written as in
    /// JSON, and of a long one only the start.
    Repeated(String),
    /// The state would be longer than this.
    TooLarge {
        /// The most bytes that its JSON may have.
        bytes_max: usize,
    },
    /// The state would be nested deeper than this.
    TooDeep {
        /// The most objects and arrays inside each other.
        depth_max: usize,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::NoObject => f.write_str("a patch is a JSON object"),
            StateError::Repeated(name) => write!(f, "the member \"{name}\" stands twice in one object of the patch"),
            StateError::TooLarge { bytes_max } => write!(f, "the state would be longer than {bytes_max} bytes"),
            StateError::TooDeep { depth_max } => write!(f, "the state would be nested more than {depth_max} deep"),
        }
    }
}

impl std::error::Error for StateError {}

/// An object of the state. Names are keys as they stand in JSON, quotes included, in their one plain form.
#[derive(Debug, Default)]
struct Object {
    members: Members<Value>,
    /// The sum over all members, each with its colon and a comma.
    member_bytes: usize,
}

#[derive(Debug)]
enum Value {
    /// A scalar or an array, as it was written.
    Text(Box<str>),
    Object(Object),
}

impl Object {
    fn bytes(&self) -> usize {
        length(self.member_bytes)
    }

    /// What `member_bytes` of an object, or of one that is yet to be made, will be after this patch.
    fn member_bytes_after(object: Option<&Object>, patch: &Patch<'_>) -> usize {
        let mut sum = object.map_or(0, |object| object.member_bytes);
        for (name, change) in patch {
            let old = object.and_then(|object| object.members.get(name));
            sum -= old.map_or(0, |old| bytes_of_member(name, old.bytes()));
            sum += match change {
                Change::Remove => 0,
                Change::Set(text) => bytes_of_member(name, text.len()),
                Change::Merge(patch) => {
                    let old = old.and_then(Value::as_object);
                    bytes_of_member(name, length(Object::member_bytes_after(old, patch)))
                }
            };
        }
        sum
    }

    /// RFC 7396 §2, the whole algorithm. It recurses as deep as the patch, which has a bound.
    fn merge(&mut self, patch: Patch<'_>) {
        for (name, change) in patch {
            let old = self.take(&name);
            let new = match change {
                Change::Remove => continue,
                Change::Set(text) => Value::Text(text.into()),
                Change::Merge(patch) => {
                    let mut object = match old {
                        Some(Value::Object(object)) => object,
                        _ => Object::default(),
                    };
                    object.merge(patch);
                    Value::Object(object)
                }
            };
            self.member_bytes += bytes_of_member(&name, new.bytes());
            self.members.insert(&name, new);
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let value = self.members.remove(name)?;
        self.member_bytes -= bytes_of_member(name, value.bytes());
        Some(value)
    }

    fn write_json(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            match value {
                Value::Text(text) => out.push_str(text),
                Value::Object(object) => object.write_json(out),
            }
        }
        out.push('}');
    }
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Object(object) => object.bytes(),
        }
    }

    fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Text(_) => None,
            Value::Object(object) => Some(object),
        }
    }
}

/// The length of an object with this sum of members: two braces, and no comma after the last member, if there is one.
fn length(member_bytes: usize) -> usize {
    1 + member_bytes.max(1)
}

fn bytes_of_member(name: &str, value_bytes: usize) -> usize {
    name.len() + ":".len() + value_bytes + ",".len()
}

#[cfg(test)]
mod tests;
