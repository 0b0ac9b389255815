//! How clients come in, and for how long they stay.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::access::{Admission, Connections, Known, Place, Proven, Refused, Secret};
use super::requests::No;
use super::{Client, Due, Hub};
use crate::chat::auth::{AuthError, Authenticator};
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Reply as _};
use crate::chat::wire::request::{RequestId, Resume};
use crate::protocol::{CloseCode, HandshakeError, Request};
use crate::server::bucket::Bucket;
use crate::server::{ConnId, Outbox};

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
        // Of a session it is known only with its hello whether it takes the place of a connection that is there. So as many
        // as a user may have may wait for theirs.
        let Connections { counted, waiting } = self.access.connections(&proven.grant.user);
        if self.is_over_limit(if is_announced { waiting } else { counted }) {
            return Err(Refused::connection_limit());
        }
        Ok(Admission::Granted(proven))
    }

    /// Whether a user that has so many connections may have no other.
    fn is_over_limit(&self, connections: usize) -> bool {
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
            self.access.known.insert(id, Box::new(Known { proven: None, expiry: None, place: None, bucket }));
        }
        if let Some(proven) = proven {
            self.prove(id, proven, out);
            self.access.count(id, Place::Waiting);
        }
        true
    }

    /// Whoever says hello shows who it is, if it has not before. The connection whose place `resume` takes does not count.
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
        let place = self.access.known.get(id).and_then(|known| known.place);
        let own = usize::from(place == Some(Place::Counted));
        let twin = resume.and_then(|resume| self.resumable(id, resume)).and_then(|session| {
            self.sessions.get(&session).and_then(|session| session.connection).filter(|twin| *twin != id)
        });
        let replaced = own + usize::from(twin.is_some());
        if self.is_over_limit(self.access.connections(&user).counted.saturating_sub(replaced)) {
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
        Some(known.bucket.empty_at())
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

/// The longest wait for a token to expire; then one looks again, for the clock of the day may have been set.
const EXPIRY_WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// The shortest, when it was found to hold for a moment longer.
const EXPIRY_WAIT_MIN: Duration = Duration::from_millis(10);
