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
        self.root.size.bytes()
    }

    /// What it takes in memory, about.
    pub fn held_bytes(&self) -> usize {
        self.root.size.held_bytes()
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
    /// `patch` is JSON that the wire parser has checked. Nothing may be deeper than
    /// [`JSON_DEPTH_MAX`](super::wire::JSON_DEPTH_MAX), whatever the bounds are.
    ///
    /// # Errors
    /// The first rule that the patch breaks.
    pub fn apply(&mut self, patch: &str, bounds: &Bounds) -> Result<u64, StateError> {
        let &Bounds { bytes_max, held_bytes_max, depth_max } = bounds;
        // An object of a patch always ends as an object at the same place of the state, even where its members are all
        // null. So the state gets too deep where the patch is too deep, and nowhere else.
        let patch = patch::parse(patch, depth_max)?;
        let size = Object::size_after(Some(&self.root), &patch);
        if size.bytes() > bytes_max {
            return Err(StateError::TooLarge { bytes_max });
        }
        if size.held_bytes() > held_bytes_max {
            return Err(StateError::NoMemory);
        }
        self.root.merge(patch);
        debug_assert_eq!(self.root.size, size, "the change was foretold");
        self.version += 1;
        Ok(self.version)
    }
}

/// How large a state may become.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The length of its JSON.
    pub bytes_max: usize,
    /// What it may take in memory: see [`held_bytes`](RoomState::held_bytes).
    pub held_bytes_max: usize,
    /// Objects and arrays inside each other, the state itself counted.
    pub depth_max: usize,
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
    /// There is no memory for what the state would become.
    NoMemory,
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
            StateError::NoMemory => f.write_str("the server has no room for so much state"),
            StateError::TooDeep { depth_max } => write!(f, "the state would be nested more than {depth_max} deep"),
        }
    }
}

impl std::error::Error for StateError {}

/// An object of the state. Names are keys as they stand in JSON, quotes included, in their one plain form.
#[derive(Debug, Default)]
struct Object {
    members: Members<Value>,
    size: Size,
}

/// What the members of an object take, those of the objects in them included.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Size {
    /// As JSON, each with its colon and a comma.
    member_bytes: usize,
    /// Their number.
    members: usize,
}

impl Size {
    /// The length of the object: two braces, and no comma after the last member, if there is one.
    fn bytes(self) -> usize {
        1 + self.member_bytes.max(1)
    }

    fn held_bytes(self) -> usize {
        self.member_bytes + self.members * MEMBER_HELD_BYTES
    }

    /// With a member of this name and value more.
    fn add(&mut self, name: &str, value: (usize, usize)) {
        self.member_bytes += bytes_of_member(name, value.0);
        self.members += 1 + value.1;
    }

    /// Without it.
    fn take(&mut self, name: &str, value: (usize, usize)) {
        self.member_bytes -= bytes_of_member(name, value.0);
        self.members -= 1 + value.1;
    }
}

#[derive(Debug)]
enum Value {
    /// A scalar or an array, as it was written.
    Text(Box<str>),
    Object(Object),
}

impl Object {
    /// The size of this object, or of one that is yet to be made, after this patch.
    fn size_after(object: Option<&Object>, patch: &Patch<'_>) -> Size {
        let mut size = object.map_or(Size::default(), |object| object.size);
        for (name, change) in patch {
            let old = object.and_then(|object| object.members.get(name));
            if let Some(old) = old {
                size.take(name, old.measure());
            }
            match change {
                Change::Remove => {}
                Change::Set(text) => size.add(name, (text.len(), 0)),
                Change::Merge(patch) => {
                    let new = Object::size_after(old.and_then(Value::as_object), patch);
                    size.add(name, (new.bytes(), new.members));
                }
            }
        }
        size
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
            self.size.add(&name, new.measure());
            self.members.insert(&name, new);
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let value = self.members.remove(name)?;
        self.size.take(name, value.measure());
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
    /// The length of its JSON, and how many members are in it.
    fn measure(&self) -> (usize, usize) {
        match self {
            Value::Text(text) => (text.len(), 0),
            Value::Object(object) => (object.size.bytes(), object.size.members),
        }
    }

    fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Text(_) => None,
            Value::Object(object) => Some(object),
        }
    }
}

fn bytes_of_member(name: &str, value_bytes: usize) -> usize {
    name.len() + ":".len() + value_bytes + ",".len()
}

/// What a member takes beside its text, about: its place in a tree that is half full, and two allocations.
const MEMBER_HELD_BYTES: usize = 200;

#[cfg(test)]
mod tests;
