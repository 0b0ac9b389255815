//! The room of the servers on tokio: a queue for each member, whose task writes all that waits in it at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Members by number. Cloning it clones a handle.
#[derive(Debug)]
pub(crate) struct Room<M>(Arc<Mutex<Members<M>>>);

#[derive(Debug)]
struct Members<M> {
    next: u64,
    queues: HashMap<u64, UnboundedSender<M>>,
}

impl<M: Clone> Room<M> {
    pub(crate) fn new() -> Room<M> {
        Room(Arc::new(Mutex::new(Members { next: 0, queues: HashMap::new() })))
    }

    /// A new member: its number, and what it hears.
    pub(crate) fn join(&self) -> (u64, UnboundedReceiver<M>) {
        let (queue, heard) = unbounded_channel();
        let mut members = self.lock();
        members.next += 1;
        let number = members.next;
        members.queues.insert(number, queue);
        (number, heard)
    }

    /// Sends to all but the sender. `M` is a handle to shared bytes.
    pub(crate) fn say(&self, sender: u64, message: &M) {
        for (_, queue) in self.lock().queues.iter().filter(|(number, _)| **number != sender) {
            // Whoever is about to leave hears nothing more.
            let _ = queue.send(message.clone());
        }
    }

    /// Ends the queue of a member.
    pub(crate) fn leave(&self, member: u64) {
        self.lock().queues.remove(&member);
    }

    fn lock(&self) -> MutexGuard<'_, Members<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Clone for Room<M> {
    fn clone(&self) -> Room<M> {
        Room(self.0.clone())
    }
}
