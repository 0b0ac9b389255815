//! §5.5.2, time: pings as keepalive, and the deadline of each state.
//!
//! Nothing here reads a clock: the caller says what time it is.

use std::time::{Duration, Instant};

use super::{Connection, State, Timer};
use crate::protocol::end::End;
use crate::protocol::error::HandshakeError;
use crate::protocol::frame::Opcode;
use crate::protocol::limits::deadline;
use crate::protocol::moment::Moment;
use crate::protocol::send_queue::SendQueue;

impl Connection {
    /// The deadline of the state, and its kind. `None` once the connection is done.
    pub fn timer(&self) -> Option<(Timer, Instant)> {
        self.timer_moment().map(|(timer, deadline)| (timer, self.commons.instant(deadline)))
    }

    /// The same, counted from the epoch of its [`Commons`].
    #[inline]
    pub(crate) fn timer_moment(&self) -> Option<(Timer, Moment)> {
        let timer = match self.state {
            State::Connecting => Timer::Handshake,
            State::Open if self.is_ping_hastened => Timer::HastenedPing,
            State::Open => Timer::Ping,
            State::CloseSent | State::Closed => Timer::Close,
        };
        (!self.is_done()).then_some((timer, self.deadline))
    }

    /// The next ping comes after `wait` if that is sooner, and those after it at the interval again. For a server that
    /// spreads the pings of connections that all came in one moment, by another `wait` for each right after
    /// [`accept`](Connection::accept). Without effect if the connection is not open.
    pub fn hasten_ping(&mut self, wait: Duration, now: Instant) {
        if self.state == State::Open {
            self.set_deadline(now, wait.min(self.deadline().saturating_duration_since(now)));
            self.is_ping_hastened = true;
        }
    }

    /// When a peer that takes nothing of what waits is given up; `None` while it keeps up.
    #[inline]
    pub fn slow_deadline(&self) -> Option<Instant> {
        // A connection that closes has its close deadline.
        if self.state != State::Open {
            return None;
        }
        self.queue.stuck_since().map(|since| deadline(since, self.commons.limits().slow_timeout))
    }

    /// When [`handle_timeout`](Connection::handle_timeout) has something to do next.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timer().map(|(_, deadline)| self.slow_deadline().map_or(deadline, |slow| slow.min(deadline)))
    }

    /// Does what is due at `now`; nothing if it is early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.slow_deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up(End::SlowReader(self.overload_code), now);
        }
        if self.is_aborted || now < self.deadline() {
            return;
        }
        match self.state {
            State::Connecting => self.reject(HandshakeError::Timeout, now),
            State::Open => self.tick(now),
            State::Closed if self.is_taking_answer(now) => self.set_deadline(now, self.commons.limits().close_timeout),
            State::CloseSent | State::Closed => {
                self.enter_closed(End::Lost, now);
                self.queue = SendQueue::default();
                self.is_aborted = true;
            }
        }
    }

    /// Whether it is a document that goes out, and the client has taken some of it lately.
    fn is_taking_answer(&self, now: Instant) -> bool {
        let is_lately = |since| now.duration_since(since) < self.commons.limits().close_timeout;
        self.end() == Some(&End::Answered) && !self.queue.is_empty() && self.queue.stuck_since().is_none_or(is_lately)
    }

    /// The next ping, or the end of a peer that let too many go unanswered (§5.5.2: Ping as a keepalive).
    fn tick(&mut self, now: Instant) {
        // A tick that comes later than a whole interval shows that the server itself stood still (suspended,
        // starved): what the peers sent meanwhile may not have been read yet, so nobody is dropped this time.
        let is_late = now.duration_since(self.deadline()) > self.commons.limits().ping_interval;
        if self.unanswered_pings >= self.commons.limits().ping_misses_max && !is_late {
            self.give_up(End::HeartbeatTimeout, now);
            return;
        }
        self.queue.push_control(Opcode::Ping, &[], &self.commons);
        self.unanswered_pings = self.unanswered_pings.saturating_add(1);
        self.is_ping_hastened = false;
        self.set_deadline(now, self.commons.limits().ping_interval);
    }

    pub(super) fn set_deadline(&mut self, now: Instant, wait: Duration) {
        self.deadline = self.commons.epoch(now).moment(deadline(now, wait));
    }

    fn deadline(&self) -> Instant {
        self.commons.instant(self.deadline)
    }
}
