//! Who the clients are, what they may do, and how much they say: kept only where it is asked for.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use crate::chat::agenda::Ticket;
use crate::chat::auth::{AuthError, Authenticator, Grant, Sources};
use crate::chat::wire::ErrorCode;
use crate::protocol::{CloseCode, HandshakeError};
use crate::server::bucket::Bucket;
use crate::server::shrink::shrink_map;
use crate::server::{ConnId, ConnTable, Outbox};

/// What is known of the clients.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) authenticator: Authenticator,
    pub(super) sources: Sources,
    /// Without authentication and without a rate nobody is in it.
    pub(super) known: ConnTable<Box<Known>>,
    /// Connections by user.
    pub(super) users: HashMap<Rc<str>, Connections>,
    /// Until when what users said on connections that are gone counts against their rate.
    pub(super) said: HashMap<Rc<str>, Instant>,
    /// With so many it is looked which of them are over: twice as many as were left the last time.
    said_sweep_len: usize,
    /// What was found out of a request, until its connection is open.
    pub(super) admission: Admission,
}

/// The connections of one user.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Connections {
    /// Those that may stay.
    pub(super) counted: usize,
    /// Those whose hello has not come. It may take the place of one of the others.
    pub(super) waiting: usize,
}

/// What is to become of a request that was not refused.
#[derive(Debug, Default)]
pub(super) enum Admission {
    /// It has not shown who it is, and need not.
    #[default]
    Anybody,
    /// It has.
    Granted(Proven),
    /// A browser's, whose script could not see a refusal: its connection is told, and closed.
    Told(Refused),
}

/// A token that was good.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) grant: Grant,
    /// The token, if it is one of a list.
    pub(super) token: Option<Secret>,
}

/// A token, kept for when the list of tokens changes.
pub(super) struct Secret(pub(super) Box<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a connection that is open may not stay.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) close: CloseCode,
    pub(super) reason: &'static str,
    /// What a client is told before its connection is open.
    pub(super) rejection: HandshakeError,
}

impl Refused {
    pub(super) fn connection_limit() -> Refused {
        Refused {
            code: ErrorCode::Busy,
            message: "this user has as many connections as it may".to_owned(),
            close: CloseCode::CONNECTION_LIMIT,
            reason: "connection_limit",
            rejection: HandshakeError::UserLimit,
        }
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Refused {
        let (code, close, reason) = match error {
            AuthError::Missing | AuthError::Invalid(_) => {
                (ErrorCode::Unauthorized, CloseCode::UNAUTHORIZED, "unauthorized")
            }
            AuthError::Expired => (ErrorCode::TokenExpired, CloseCode::TOKEN_EXPIRED, "token_expired"),
        };
        let why = match error {
            AuthError::Missing => "there is none",
            AuthError::Invalid(why) => why,
            AuthError::Expired => "it has expired",
        };
        Refused { code, message: error.to_string(), close, reason, rejection: HandshakeError::Unauthorized(why) }
    }
}

/// What is known of one client.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) proven: Option<Proven>,
    /// When its token holds no longer.
    pub(super) expiry: Option<Ticket>,
    /// It counts among the connections of its user, as one that waits for its hello or as one that may stay.
    pub(super) place: Option<Place>,
    pub(super) bucket: Bucket,
}

/// How a connection counts for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    Counted,
}

impl Connections {
    fn of(&mut self, place: Place) -> &mut usize {
        match place {
            Place::Waiting => &mut self.waiting,
            Place::Counted => &mut self.counted,
        }
    }
}

impl Access {
    pub(super) fn new(authenticator: Authenticator, sources: Sources) -> Access {
        Access { authenticator, sources, ..Access::default() }
    }

    /// Who a client is.
    pub(super) fn user(&self, id: ConnId) -> Option<&Rc<str>> {
        self.grant(id).map(|grant| &grant.user)
    }

    /// Whether a client may be in a room.
    pub(super) fn may_read(&self, id: ConnId, room: &str) -> bool {
        self.authenticator.is_none() || self.grant(id).is_some_and(|grant| grant.rights.may_read(room))
    }

    /// Whether it may say something there.
    pub(super) fn may_write(&self, id: ConnId, room: &str) -> bool {
        self.authenticator.is_none() || self.grant(id).is_some_and(|grant| grant.rights.may_write(room))
    }

    fn grant(&self, id: ConnId) -> Option<&Grant> {
        self.known.get(id)?.proven.as_ref().map(|proven| &proven.grant)
    }

    pub(super) fn verify(&self, token: &str, out: &impl Outbox) -> Result<Proven, AuthError> {
        let grant = self.authenticator.verify(token, out.unix_ms())?;
        let is_list = matches!(self.authenticator, Authenticator::Tokens(_));
        Ok(Proven { grant, token: is_list.then(|| Secret(token.into())) })
    }

    /// Whether a client has shown who it is, or need not.
    pub(super) fn is_known(&self, id: ConnId) -> bool {
        self.authenticator.is_none() || self.grant(id).is_some()
    }

    /// What was said on another connection counts on this one.
    pub(super) fn go_on(&mut self, id: ConnId, said_until: Instant) {
        if let Some(known) = self.known.get_mut(id) {
            known.bucket.go_on(said_until);
        }
    }

    /// What a user said on a connection that is gone counts on its next ones.
    fn note_said(&mut self, user: &Rc<str>, until: Instant, now: Instant) {
        if self.said.len() >= self.said_sweep_len.max(SAID_MIN) {
            self.said.retain(|_, until| *until > now);
            if self.said.len() > SAID_MAX / 2 {
                self.said.clear();
            }
            shrink_map(&mut self.said);
            self.said_sweep_len = 2 * self.said.len();
        }
        let said = self.said.entry(user.clone()).or_insert(until);
        *said = until.max(*said);
    }

    pub(super) fn connections(&self, user: &str) -> Connections {
        self.users.get(user).copied().unwrap_or_default()
    }

    /// From now on a client counts for its user, in this way and no other.
    pub(super) fn count(&mut self, id: ConnId, place: Place) {
        let Some(known) = self.known.get_mut(id) else { return };
        let Some(proven) = &known.proven else { return };
        let before = known.place.replace(place);
        let connections = self.users.entry(proven.grant.user.clone()).or_default();
        if let Some(before) = before {
            *connections.of(before) -= 1;
        }
        *connections.of(place) += 1;
    }

    /// A client is gone. Returns what was known of it.
    pub(super) fn forget(&mut self, id: ConnId, now: Instant) -> Option<Box<Known>> {
        let known = self.known.remove(id)?;
        let Some(user) = known.proven.as_ref().map(|proven| proven.grant.user.clone()) else { return Some(known) };
        if let Some(place) = known.place
            && let Some(connections) = self.users.get_mut(&user)
        {
            *connections.of(place) -= 1;
            if connections.counted + connections.waiting == 0 {
                self.users.remove(&user);
                shrink_map(&mut self.users);
            }
        }
        let until = known.bucket.empty_at();
        if until > now {
            self.note_said(&user, until, now);
        }
        Some(known)
    }
}

/// Below so many entries nothing is taken out of the table of what users said.
const SAID_MIN: usize = 1024;

/// Users who went within the last four seconds. Where more than half as many are not over, all are forgotten.
const SAID_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_users_said_is_forgotten_when_it_is_over_or_when_they_are_too_many() {
        let mut access = Access::default();
        let start = Instant::now();
        let mut largest = 0;
        for number in 0..200_000 {
            let now = start + Duration::from_millis(number);
            access.note_said(&Rc::from(number.to_string()), now + Duration::from_secs(2), now);
            largest = largest.max(access.said.len());
        }
        assert!((2000..=2 * 2001).contains(&largest), "two seconds of a thousand a second, twice: {largest}");
        for number in 0..200_000 {
            let user = Rc::from(format!("user {number}"));
            access.note_said(&user, start + Duration::from_secs(1_000_000), start);
            assert!(access.said.contains_key(&user) && access.said.len() <= SAID_MAX);
        }
    }
}
