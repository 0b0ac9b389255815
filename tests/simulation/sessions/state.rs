//! The state of the one room that has one: what its followers make of all that they are told, and whether all are told
//! the same.

use std::collections::{BTreeMap, BTreeSet};

use frameloop::chat::hub::options::{PATCHES_BYTES_MAX, PATCHES_MAX};
use serde_json::{Value, json};

use super::super::random::Random;

/// A life of the room, and a version in it.
pub(super) type Version = (String, u64);

/// All that anybody was told of the state.
#[derive(Default)]
pub(super) struct Patches {
    /// The session that made each version, and how.
    made: BTreeMap<Version, (String, Value)>,
    whole: BTreeMap<Version, Value>,
    /// At least the bytes of all patches that the server may keep.
    bytes: usize,
}

/// The state as a follower knows it.
#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) epoch: String,
    /// Version and state; nothing before the first state of a life has come.
    known: Option<(u64, Value)>,
    /// Of the last answer to a hello or a join.
    answered: u64,
    /// Something of the state has come since that answer: what was missed is through, and all that follows is live.
    is_live: bool,
    /// Own patches whose acks ran ahead of what was missed.
    ahead: BTreeMap<u64, Value>,
    /// Versions of own patches that may come among what was missed, although their acks have come on the same line.
    twice: BTreeSet<u64>,
}

impl Patches {
    /// Somebody sends a patch of so many bytes.
    pub(super) fn say(&mut self, bytes: usize) {
        self.bytes += bytes + PATCH_OVERHEAD_BYTES;
    }

    /// Somebody was told who made this version, and how.
    pub(super) fn note(&mut self, version: Version, session: &str, patch: &Value) {
        let now = (session.to_owned(), patch.clone());
        let before = self.made.entry(version.clone()).or_insert_with(|| now.clone());
        assert_eq!(*before, now, "two patches made {version:?}");
    }

    fn note_whole(&mut self, version: Version, state: &Value) {
        let before = self.whole.entry(version.clone()).or_insert_with(|| state.clone());
        assert_eq!(before, state, "two states at {version:?}");
    }

    /// No patch of a life with so many versions is forgotten.
    fn has_all(&self, versions: u64) -> bool {
        versions <= PATCHES_MAX as u64 && self.bytes <= PATCHES_BYTES_MAX
    }

    /// Whatever was told as a whole is what the patches before it make. Returns the last version and state of each life;
    /// no state if nobody was told of a patch on the way to it, as its sender left before the ack.
    pub(super) fn fold(&self) -> BTreeMap<String, (u64, Option<Value>)> {
        let mut lives = BTreeMap::new();
        let versions: BTreeSet<&Version> = self.made.keys().chain(self.whole.keys()).collect();
        for version in versions {
            let (epoch, number) = version;
            let (last, state) = lives.entry(epoch.clone()).or_insert_with(|| (0, Some(json!({}))));
            match (self.made.get(version), &mut *state) {
                (Some((_, patch)), Some(state)) if *last + 1 == *number => merge(state, patch),
                _ if *number == 0 => {}
                _ => *state = None,
            }
            if let Some(whole) = self.whole.get(version) {
                assert!(state.as_ref().is_none_or(|state| state == whole), "{version:?} is {whole}, and not {state:?}");
                *state = Some(whole.clone());
            }
            *last = *number;
        }
        lives
    }
}

impl Replica {
    /// The version, once the state is known.
    pub(super) fn version(&self) -> Option<u64> {
        self.known.as_ref().map(|(version, _)| *version)
    }

    /// The answer to a hello or a join, which has the state unless the request `has_said` a version.
    pub(super) fn answer(&mut self, epoch: &str, joined: &Value, has_said: bool, patches: &mut Patches) {
        let version = joined["version"].as_u64().expect("a follower is told the version");
        if self.epoch != epoch {
            *self = Replica { epoch: epoch.to_owned(), ..Replica::default() };
        }
        assert!(self.version() <= Some(version), "the state went back to {version}: {self:?}");
        (self.answered, self.is_live) = (version, false);
        self.twice.clear();
        assert_eq!(joined.get("state").is_none(), has_said, "{joined:.300}");
        match joined.get("state") {
            Some(state) => self.replace(version, state, patches),
            None => self.ahead.clear(), // of another line: they come again
        }
    }

    /// A whole state behind the answer: only in place of patches that are gone.
    pub(super) fn hear_whole(&mut self, version: u64, state: &Value, patches: &mut Patches) {
        assert!(!self.is_live, "nobody asked for a state: {self:?}");
        assert!(self.known.is_none() || !patches.has_all(version), "the patches up to {version} are there: {self:?}");
        self.replace(version, state, patches);
    }

    fn replace(&mut self, version: u64, state: &Value, patches: &mut Patches) {
        assert!(self.version() <= Some(version) && version >= self.answered, "back to {version}: {self:?}");
        assert!(self.ahead.last_key_value().is_none_or(|(&ahead, _)| ahead <= version), "{version}: {self:?}");
        self.ahead.clear();
        patches.note_whole((self.epoch.clone(), version), state);
        (self.known, self.is_live) = (Some((version, state.clone())), true);
    }

    /// A patch. One's own comes only as one that was missed. Returns whether it was surely missed.
    pub(super) fn hear(&mut self, version: u64, is_own: bool, patch: &Value) -> bool {
        self.is_live = true;
        let is_twice = self.twice.remove(&version);
        assert!(!is_own || version <= self.answered || is_twice, "its own patch, {version}: {self:?}");
        if !is_twice || self.version() < Some(version) {
            self.apply(version, patch);
        }
        version <= self.answered
    }

    /// The ack of an own patch. Returns whether it ran ahead of what was missed.
    pub(super) fn acknowledge(&mut self, version: u64, patch: &Value) -> bool {
        assert!(version > self.answered, "an old version, {version}: {self:?}");
        if !self.is_live {
            self.twice.insert(version);
        }
        let is_next = self.known.as_ref().is_some_and(|(known, _)| known + 1 == version);
        if is_next || self.is_live {
            self.apply(version, patch);
            return false;
        }
        self.ahead.insert(version, patch.clone());
        true
    }

    fn apply(&mut self, version: u64, patch: &Value) {
        let Some((known, state)) = &mut self.known else { panic!("a patch of nothing, {version}: {self:?}") };
        assert_eq!(*known + 1, version, "no version is left out, and none comes twice");
        merge(state, patch);
        *known = version;
        while let Some(patch) = self.ahead.remove(&(*known + 1)) {
            merge(state, &patch);
            *known += 1;
        }
    }

    /// A patch was refused, since the state has this version. A follower whom nothing more awaits knows that.
    pub(super) fn check_conflict(&self, base: u64, version: u64) {
        assert!(base < version, "{version} is no later than {base}");
        assert!(!self.is_live || self.version() == Some(version), "it is not at {version}: {self:?}");
    }

    /// Nothing is on the way any more.
    pub(super) fn check(&self, (version, state): &(u64, Option<Value>)) {
        assert!(self.ahead.is_empty(), "these never came: {self:?}");
        let (own_version, own_state) = self.known.as_ref().expect("a state");
        assert_eq!(own_version, version, "{self:?}");
        assert_eq!(Some(own_state), state.as_ref(), "version {version}");
    }
}

/// RFC 7396 §2.
fn merge(state: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *state = patch.clone() };
    if !state.is_object() {
        *state = json!({});
    }
    for (name, change) in patch {
        match (change, state.as_object_mut()) {
            (Value::Null, members) => drop(members.and_then(|members| members.remove(name))),
            (change, _) => merge(&mut state[name], change),
        }
    }
}

/// A patch like no other: it names its sender, and which of its own it is.
pub(super) fn random_patch(random: &mut Random, by: usize, n: u64, padding: usize) -> Value {
    let mut patch = random_object(random, n, 0);
    patch["by"] = json!([by, n]);
    if padding > 0 {
        patch["padding"] = "x".repeat(padding).into();
    }
    patch
}

fn random_object(random: &mut Random, n: u64, depth: usize) -> Value {
    let mut object = json!({});
    for _ in 0..random.below(4) {
        let name = random.pick(&["a", "b", "c"]);
        object[name] = match random.below(6) {
            0 => Value::Null,
            1 => json!([n, null, {"a": null}]), // an array is no patch
            2..4 if depth < 3 => random_object(random, n, depth + 1),
            _ => json!(n),
        };
    }
    object
}

/// What the server writes around a patch, at most.
const PATCH_OVERHEAD_BYTES: usize = 160;
