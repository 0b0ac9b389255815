//! Who one connection is: its session id, from a secure source.

use std::fmt;

/// The public id of a session: `s_` and 128 random bits, so that nobody can guess another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; ID_BYTES]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s_{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Makes session ids from the random numbers of the system, many with each call to it.
#[derive(Debug)]
pub struct SessionIds {
    random: [u8; IDS_PER_CALL * ID_BYTES],
    used: usize,
}

impl Default for SessionIds {
    fn default() -> SessionIds {
        SessionIds { random: [0; _], used: IDS_PER_CALL * ID_BYTES }
    }
}

impl SessionIds {
    /// The next id.
    ///
    /// # Errors
    /// If the system has no random numbers: then no id would be secret.
    pub fn next_id(&mut self) -> Result<SessionId, getrandom::Error> {
        if self.used == self.random.len() {
            getrandom::fill(&mut self.random)?;
            self.used = 0;
        }
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(&self.random[self.used..self.used + ID_BYTES]);
        // What was given away is not kept.
        self.random[self.used..self.used + ID_BYTES].fill(0);
        self.used += ID_BYTES;
        Ok(SessionId(bytes))
    }
}

const ID_BYTES: usize = 16;
const IDS_PER_CALL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_never_repeat_across_several_calls_to_the_system() {
        let mut ids = SessionIds::default();
        let seen: HashSet<SessionId> = (0..10 * IDS_PER_CALL).map(|_| ids.next_id().unwrap()).collect();
        assert_eq!(seen.len(), 10 * IDS_PER_CALL);
        assert!(seen.iter().all(|id| id.to_string().len() == 2 + 32));
    }
}
