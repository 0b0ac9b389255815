//! Either application, so that the server is compiled for one type and not for each: that saves 25 KB of the binary.

use std::time::Instant;

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{End, Message, Request};
use frameloop::server::{App, ConnId, Outbox};

/// What runs on the server.
#[derive(Debug)]
pub(crate) enum Application {
    Serve(Box<Hub>),
    Echo(Echo),
}

impl App for Application {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        match self {
            Application::Serve(hub) => hub.on_open(id, request, out),
            Application::Echo(echo) => echo.on_open(id, request, out),
        }
    }

    #[inline]
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        match self {
            Application::Serve(hub) => hub.on_message(id, message, out),
            Application::Echo(echo) => echo.on_message(id, message, out),
        }
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        match self {
            Application::Serve(hub) => hub.on_close(id, end, out),
            Application::Echo(echo) => echo.on_close(id, end, out),
        }
    }

    // An echo waits for nothing.

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        if let Application::Serve(hub) = self {
            hub.on_drained(id, out);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Application::Serve(hub) => hub.next_timeout(),
            Application::Echo(_) => None,
        }
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        if let Application::Serve(hub) = self {
            hub.on_timeout(out);
        }
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        if let Application::Serve(hub) = self {
            hub.on_stop(out);
        }
    }
}
