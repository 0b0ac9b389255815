//! Who the clients are, what they may do, and how much they say: kept only where it is asked for.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::rate::Bucket;
use super::requests::No;
use super::{Client, Due, Hub};
use crate::chat::agenda::Ticket;
use crate::chat::auth::{AuthError, Authenticator, Grant, Sources};
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Reply as _};
use crate::chat::wire::request::{RequestId, Resume};
use crate::protocol::{CloseCode, HandshakeError, Request};
use crate::server::shrink::shrink_map;
use crate::server::{ConnId, ConnTable, Outbox};

/// What is known of the clients.
#[derive(Debug, Default)]
pub(super) struct Access {
    authenticator: Authenticator,
    sources: Sources,
    /// Without authentication and without a rate nobody is in it.
    pub(super) known: ConnTable<Box<Known>>,
    /// Connections by user.
    users: HashMap<Rc<str>, usize>,
    /// Until when what users said on connections that are gone counts against their rate.
    said: HashMap<Rc<str>, Instant>,
    /// What was found out of a request, until its connection is open.
    admission: Admission,
}

/// What is to become of a request that was not refused.
#[derive(Debug, Default)]
enum Admission {
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
struct Proven {
    grant: Grant,
    /// The token, if it is one of a list.
    token: Option<Secret>,
}

/// A token, kept for when the list of tokens changes.
struct Secret(Box<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a connection that is open may not stay.
#[derive(Debug)]
pub(super) struct Refused {
    code: ErrorCode,
    message: String,
    close: CloseCode,
    reason: &'static str,
    /// What a client is told before its connection is open.
    rejection: HandshakeError,
}

impl Refused {
    fn connection_limit() -> Refused {
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
    proven: Option<Proven>,
    /// When its token holds no longer.
    expiry: Option<Ticket>,
    /// It counts among the connections of its user.
    is_counted: bool,
    pub(super) bucket: Bucket,
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

    fn verify(&self, token: &str, out: &impl Outbox) -> Result<Proven, AuthError> {
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
        if self.said.len() >= SAID_MIN && self.said.len() == self.said.capacity() {
            self.said.retain(|_, until| *until > now);
        }
        let said = self.said.entry(user.clone()).or_insert(until);
        *said = until.max(*said);
    }

    fn connections(&self, user: &str) -> usize {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// From now on a client counts for its user.
    fn count(&mut self, id: ConnId) {
        let Some(known) = self.known.get_mut(id).filter(|known| !known.is_counted) else { return };
        let Some(proven) = &known.proven else { return };
        known.is_counted = true;
        *self.users.entry(proven.grant.user.clone()).or_default() += 1;
    }

    /// A client is gone. Returns what was known of it.
    fn forget(&mut self, id: ConnId, now: Instant) -> Option<Box<Known>> {
        let known = self.known.remove(id)?;
        let Some(user) = known.proven.as_ref().map(|proven| proven.grant.user.clone()) else { return Some(known) };
        if known.is_counted
            && let Some(count) = self.users.get_mut(&user)
        {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&user);
                shrink_map(&mut self.users);
            }
        }
        if let Some(until) = known.bucket.until().filter(|until| *until > now) {
            self.note_said(&user, until, now);
        }
        Some(known)
    }
}

impl Hub {
    /// Whether nothing is known of anybody.
    #[cfg(test)]
    pub(super) fn access_is_empty(&self) -> bool {
        self.access.known.is_empty() && self.access.users.is_empty() && self.absent.is_empty()
    }

    // ---- coming in

    /// Whether a request may become a connection: §10.5, at the door where that is possible.
    pub(super) fn admit(&mut self, request: &Request, out: &impl Outbox) -> Result<(), HandshakeError> {
        let is_browser = !request.header("origin").is_empty();
        self.access.admission = match self.examine(request, out) {
            Ok(admission) => admission,
            Err(refused) if is_browser => Admission::Told(refused),
            Err(refused) => return Err(refused.rejection),
        };
        Ok(())
    }

    fn examine(&self, request: &Request, out: &impl Outbox) -> Result<Admission, Refused> {
        let access = &self.access;
        if access.authenticator.is_none() {
            return Ok(Admission::Anybody);
        }
        let is_announced = Hub::is_announced(request);
        let Some(token) = access.sources.token_of(request)? else {
            // It may still say so in its hello.
            return if is_announced { Ok(Admission::Anybody) } else { Err(AuthError::Missing.into()) };
        };
        let proven = access.verify(&token, out)?;
        // Of a session it is known only with its hello whether it takes the place of a connection that is there.
        if !is_announced && self.is_at_limit(&proven.grant.user, 0) {
            return Err(Refused::connection_limit());
        }
        Ok(Admission::Granted(proven))
    }

    fn is_at_limit(&self, user: &str, replaced: usize) -> bool {
        let connections = self.access.connections(user).saturating_sub(replaced);
        self.options.connections_per_user_max.is_some_and(|most| connections >= most)
    }

    /// A connection is open. Returns whether it may stay.
    pub(super) fn let_in(&mut self, id: ConnId, out: &mut impl Outbox) -> bool {
        let proven = match std::mem::take(&mut self.access.admission) {
            Admission::Told(refused) => {
                self.turn_out(id, None, &refused, out);
                return false;
            }
            Admission::Anybody => None,
            Admission::Granted(proven) => Some(proven),
        };
        if proven.is_some() || !self.access.authenticator.is_none() || self.options.rate.is_some() {
            let bucket = Bucket::empty(out.now());
            self.access.known.insert(id, Box::new(Known { proven: None, expiry: None, is_counted: false, bucket }));
        }
        if let Some(proven) = proven {
            self.prove(id, proven, out);
        }
        true
    }

    /// A connection without a session counts for its user from the start.
    pub(super) fn count_connection(&mut self, id: ConnId) {
        self.access.count(id);
    }

    /// Whoever says hello shows who it is, if it has not before. `replaced` says whether it takes the place of a connection
    /// of the same user.
    pub(super) fn identify(
        &mut self,
        id: ConnId,
        token: Option<&str>,
        resume: Option<&Resume<'_>>,
        out: &mut impl Outbox,
    ) -> Result<(), Refused> {
        if self.access.authenticator.is_none() {
            return Ok(());
        }
        if let Some(token) = token {
            let proven = self.access.verify(token, out)?;
            if self.access.user(id).is_some_and(|user| *user != proven.grant.user) {
                return Err(Refused {
                    code: ErrorCode::Forbidden,
                    message: "the token is another user's than the one of the request".to_owned(),
                    close: CloseCode::FORBIDDEN,
                    reason: "forbidden",
                    rejection: HandshakeError::Unauthorized("it is another user's"),
                });
            }
            self.prove(id, proven, out);
        }
        let Some(user) = self.access.user(id).cloned() else { return Err(AuthError::Missing.into()) };
        let own = usize::from(self.access.known.get(id).is_some_and(|known| known.is_counted));
        let twin = resume.and_then(|resume| self.resumable(id, resume)).and_then(|session| {
            self.sessions.get(&session).and_then(|session| session.connection).filter(|twin| *twin != id)
        });
        if self.is_at_limit(&user, own + usize::from(twin.is_some())) {
            return Err(Refused::connection_limit());
        }
        Ok(())
    }

    /// Tells a connection why it may not stay, and closes it.
    pub(super) fn turn_out(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        refused: &Refused,
        out: &mut impl Outbox,
    ) {
        let json = reply::Error { id: request_id, ..reply::Error::new(refused.code, &refused.message) }.to_json();
        out.note(id, "turned out", &refused.message);
        self.post.send(id, &json, out);
        self.depart(id, false, out);
        out.close(id, refused.close, refused.reason);
    }

    /// Takes what a client has shown in place of what it showed before.
    fn prove(&mut self, id: ConnId, proven: Proven, out: &mut impl Outbox) {
        out.restrict(id, false);
        if let Some(&said_until) = self.access.said.get(&proven.grant.user) {
            self.access.go_on(id, said_until);
        }
        let Some(known) = self.access.known.get_mut(id) else { return };
        if let Some(expiry) = known.expiry.take() {
            self.agenda.cancel(expiry);
        }
        known.expiry = proven.grant.expires_at_ms.map(|at_ms| {
            let wait = Duration::from_millis(at_ms.saturating_sub(out.unix_ms())).min(EXPIRY_WAIT_MAX);
            self.agenda.add(out.now() + wait, Due::Expiry(id))
        });
        known.proven = Some(proven);
    }

    /// A connection is over. Returns until when what was said on it counts against its rate.
    pub(super) fn forget_access(&mut self, id: ConnId, out: &impl Outbox) -> Option<Instant> {
        let known = self.access.forget(id, out.now())?;
        if let Some(expiry) = known.expiry {
            self.agenda.cancel(expiry);
        }
        known.bucket.until()
    }

    // ---- as time goes by

    /// A token may hold no longer: then its client goes, and comes back with a new one.
    pub(super) fn expire(&mut self, id: ConnId, out: &mut impl Outbox) {
        let Some(known) = self.access.known.get_mut(id) else { return };
        known.expiry = None;
        let Some(at_ms) = known.proven.as_ref().and_then(|proven| proven.grant.expires_at_ms) else { return };
        if at_ms > out.unix_ms() {
            // The clock of the day was set, or the token holds for longer than one waits at a time.
            let wait = Duration::from_millis(at_ms - out.unix_ms()).clamp(EXPIRY_WAIT_MIN, EXPIRY_WAIT_MAX);
            known.expiry = Some(self.agenda.add(out.now() + wait, Due::Expiry(id)));
            return;
        }
        self.send_away(id, CloseCode::TOKEN_EXPIRED, "token_expired", Some(Duration::ZERO), out);
    }

    /// `auth`: a new token of the same user for a connection that is open.
    pub(super) fn renew(&mut self, id: ConnId, token: &str, out: &mut impl Outbox) -> Result<(), No> {
        if self.access.authenticator.is_none() {
            return Ok(()); // without authentication any token is as good as none
        }
        let proven = self.access.verify(token, out).map_err(|error| {
            let refused = Refused::from(error);
            No::new(refused.code, refused.message)
        })?;
        if self.access.user(id) != Some(&proven.grant.user) {
            return Err(No::new(ErrorCode::Forbidden, "the token is another user's"));
        }
        self.prove(id, proven, out);
        self.leave_forbidden_rooms(id, out);
        Ok(())
    }

    /// Takes a client out of the rooms that it may no longer read.
    fn leave_forbidden_rooms(&mut self, id: ConnId, out: &mut impl Outbox) {
        let Some(Client::Session(link)) = self.clients.get(id) else { return };
        let session_id = link.session;
        let Some(session) = self.sessions.get(&session_id) else { return };
        let forbidden: Vec<Rc<str>> =
            session.rooms.keys().filter(|room| !self.access.may_read(id, room)).cloned().collect();
        for room in forbidden {
            self.part(id, session_id, &room, out);
            let no = No::new(ErrorCode::Forbidden, "this user may no longer be in this room");
            self.refuse(id, None, Some(&room), &no, out);
        }
    }

    /// Goes on with another list of tokens, or another secret. Clients whose token is no longer in the list are closed, the
    /// others have the rights that it gives them now. A token that carries its own proof holds until its time is over.
    pub fn set_authenticator(&mut self, authenticator: Authenticator, out: &mut impl Outbox) {
        let is_list = matches!(authenticator, Authenticator::Tokens(_));
        self.access.authenticator = authenticator;
        if !is_list {
            return;
        }
        let mut known: Vec<ConnId> = self.access.known.ids().collect();
        known.sort_unstable();
        for id in known {
            let proven = self.access.known.get(id).and_then(|known| known.proven.as_ref());
            let Some(Secret(token)) = proven.and_then(|proven| proven.token.as_ref()) else { continue };
            let token = token.clone();
            match self.access.verify(&token, out) {
                Ok(proven) if self.access.user(id) == Some(&proven.grant.user) => {
                    self.prove(id, proven, out);
                    self.leave_forbidden_rooms(id, out);
                    self.mind_lobby(id, out);
                }
                _ => self.send_away(id, CloseCode::UNAUTHORIZED, "unauthorized", None, out),
            }
        }
    }

    /// Closes a connection of any kind.
    pub(super) fn send_away(
        &mut self,
        id: ConnId,
        code: CloseCode,
        reason: &'static str,
        reconnect_after: Option<Duration>,
        out: &mut impl Outbox,
    ) {
        match self.clients.get(id) {
            None => {}
            Some(Client::Session(_)) => self.dismiss(id, code, reason, reconnect_after, out),
            Some(_) => {
                self.depart(id, false, out);
                out.close(id, code, reason);
            }
        }
    }
}

/// Below so many entries nothing is taken out of the table of what users said.
const SAID_MIN: usize = 1024;

/// The longest wait for a token to expire; then one looks again, for the clock of the day may have been set.
const EXPIRY_WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// The shortest, when it was found to hold for a moment longer.
const EXPIRY_WAIT_MIN: Duration = Duration::from_millis(10);
