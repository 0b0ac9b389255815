//! The hub with an ear at it.

use std::time::Instant;

use frameloop::chat::Hub;
use frameloop::protocol::{End, Message, Request};
use frameloop::server::{App, ConnId, Outbox};

use super::super::world::Shared;

/// The hub, which tells the world that something came of a turn.
pub(super) struct Tap {
    pub(super) hub: Hub,
    pub(super) world: Shared,
}

impl App for Tap {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        self.hub.on_open(id, request, out);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        self.world.borrow_mut().has_progress = true;
        self.hub.on_message(id, message, out);
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.hub.on_close(id, end, out);
        assert!(self.hub.session(id).is_none());
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        self.world.borrow_mut().has_progress = true;
        self.hub.on_drained(id, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.hub.next_timeout()
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        self.world.borrow_mut().has_progress = true;
        self.hub.on_timeout(out);
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        self.hub.on_stop(out);
    }
}
