//! How often the world did what it may do, for a test that all of it happens.

use frameloop::protocol::End;

/// What the network and the clock do to the server, and clients that are gone. Only what has an effect is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deed {
    PollInterrupted,
    AcceptInterrupted,
    ReadInterrupted,
    WriteInterrupted,
    /// Somebody waits at the door, and is not let in yet.
    AcceptBlocked,
    /// There is something to read, and it is not read yet.
    ReadBlocked,
    /// There is room, and nothing is taken.
    WriteBlocked,
    ReadCut,
    WriteCut,
    /// There is less room than is offered.
    WriteFull,
    Unreported,
    Spurious,
    Delayed,
    AcceptAborted,
    AcceptFailed,
    NoDescriptor,
    NoSpareDescriptor,
    RegisterFailed,
    ShutdownFailed,
    ReadReset,
    WriteReset,
    /// The server writes to somebody who has vanished.
    WriteToDeaf,
    /// What the client had not read is lost when the server drops the connection.
    OutboundLost,
    /// Hours in which nothing happens.
    Nap,
}

impl Deed {
    pub(crate) const ALL: [Deed; 24] = [
        Deed::PollInterrupted,
        Deed::AcceptInterrupted,
        Deed::ReadInterrupted,
        Deed::WriteInterrupted,
        Deed::AcceptBlocked,
        Deed::ReadBlocked,
        Deed::WriteBlocked,
        Deed::ReadCut,
        Deed::WriteCut,
        Deed::WriteFull,
        Deed::Unreported,
        Deed::Spurious,
        Deed::Delayed,
        Deed::AcceptAborted,
        Deed::AcceptFailed,
        Deed::NoDescriptor,
        Deed::NoSpareDescriptor,
        Deed::RegisterFailed,
        Deed::ShutdownFailed,
        Deed::ReadReset,
        Deed::WriteReset,
        Deed::WriteToDeaf,
        Deed::OutboundLost,
        Deed::Nap,
    ];
}

/// What became of the clients of a seed, and what was done to them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    deeds: [usize; Deed::ALL.len()],
    ends: [usize; ENDS.len()],
    pub(crate) clients: usize,
    /// The keys that the server has given to them, one after the other or at one time.
    pub(crate) keys: usize,
}

impl Tally {
    pub(crate) fn note(&mut self, deed: Deed) {
        self.deeds[deed as usize] += 1;
    }

    /// A connection that was open ended so.
    pub(crate) fn note_end(&mut self, end: &End) {
        let position = match end {
            End::Refused(_) | End::Answered => panic!("it was open: {end:?}"),
            End::ClosedByPeer(_) => 0,
            End::ClosedByUs(_) => 1,
            End::Failed(_) => 2,
            End::Lost => 3,
            End::Reset => 4,
            End::HeartbeatTimeout => 5,
            End::SlowReader(_) => 6,
            End::QueueFull(_) => 7,
        };
        self.ends[position] += 1;
    }

    /// The server has given this key to somebody.
    pub(crate) fn note_key(&mut self, key: usize) {
        self.keys = self.keys.max(key + 1);
    }

    /// Adds what happened in another seed.
    pub(crate) fn add(&mut self, other: &Tally) {
        for (count, more) in self.deeds.iter_mut().zip(other.deeds).chain(self.ends.iter_mut().zip(other.ends)) {
            *count += more;
        }
    }

    /// The counts by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, usize)> {
        let deeds = Deed::ALL.iter().map(|deed| format!("{deed:?}")).zip(self.deeds);
        deeds.chain(ENDS.iter().map(|&end| end.to_owned()).zip(self.ends))
    }
}

/// The ends that an open connection may have, as in [`Tally::note_end`].
const ENDS: [&str; 8] =
    ["ClosedByPeer", "ClosedByUs", "Failed", "Lost", "Reset", "HeartbeatTimeout", "SlowReader", "QueueFull"];
