//! `frameloop echo`: each message goes back to its sender, with its type.

use crate::protocol::Message;
use crate::server::{App, ConnId, Outbox};

/// An application that echoes text as text and binary as binary.
#[derive(Debug, Default, Clone, Copy)]
pub struct Echo;

impl App for Echo {
    #[inline]
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        out.send(id, message);
    }
}
