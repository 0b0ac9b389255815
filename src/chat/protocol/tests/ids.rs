//! Ids and secrets are random: the page has short names for them.

use std::collections::BTreeMap;

/// Which id stands for which.
#[derive(Debug, Default)]
pub(super) struct Ids {
    real: BTreeMap<String, String>,
    shown: BTreeMap<String, String>,
}

impl Ids {
    /// A text of the page, with real ids where they are known.
    pub(super) fn real(&self, text: &str) -> String {
        replaced(text, &self.real)
    }

    /// A text of the server, as the page would have it.
    pub(super) fn shown(&self, text: &str) -> String {
        replaced(text, &self.shown)
    }

    /// What the page calls a text of a client.
    pub(super) fn name(&mut self, shown: &str, real: &str) {
        self.real.insert(shown.to_owned(), real.to_owned());
    }

    /// Whether the page shows what the server said. An id that is new on both sides is learnt.
    pub(super) fn agree(&mut self, shown: &str, real: &str) -> bool {
        let (mut ours, mut theirs) = (shown.split('"'), real.split('"'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(shown), Some(real)) if is_id(shown) && is_id(real) && self.learn(shown, real) => {}
                (Some(shown), Some(real)) if shown == real => {}
                _ => return false,
            }
        }
    }

    /// One short name is one id, and the other way round.
    pub(super) fn learn(&mut self, shown: &str, real: &str) -> bool {
        let is_new = !self.real.contains_key(shown) && !self.shown.contains_key(real);
        if is_new && shown[..2] == real[..2] && is_real(real) {
            self.real.insert(shown.to_owned(), real.to_owned());
            self.shown.insert(real.to_owned(), shown.to_owned());
        }
        self.real.get(shown).is_some_and(|known| known == real)
    }
}

fn replaced(text: &str, names: &BTreeMap<String, String>) -> String {
    let parts: Vec<&str> = text.split('"').map(|part| names.get(part).map_or(part, |name| name)).collect();
    parts.join("\"")
}

fn is_id(text: &str) -> bool {
    ["s_", "r_", "e_"].iter().any(|kind| text.starts_with(kind))
}

/// 128 random bits for a session or its secret, 64 for an epoch.
fn is_real(text: &str) -> bool {
    let digits = &text[2..];
    let length = if text.starts_with("e_") { 16 } else { 32 };
    digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}
