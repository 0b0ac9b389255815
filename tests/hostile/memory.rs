//! What a server holds, told from what its attackers hold: it runs in a process of its own, and the system counts.
//!
//! Two numbers. Resident bytes are those that were written to. Reserved bytes are also those that were asked for and
//! never touched: whoever allocates what a header announces shows there, and only there.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::Client;
use crate::process::{Child, start, wait_until};
use crate::wire::{FIN, PING, PONG, ServerFrame};

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// The real binary on a free port.
pub(crate) struct Alone {
    child: Child,
    address: SocketAddr,
}

impl Alone {
    /// `frameloop` with these arguments: a mode first, then flags. The log is off unless they set its level.
    pub(crate) fn start(args: &[&str]) -> Alone {
        let mut child = start(&[&["--log-level", "off"], args].concat());
        let address = child.address();
        let mut server = Alone { child, address };
        server.expect_alive(); // with the first client comes what each server has once
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of memory that are in use.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.bytes("VmRSS:")
    }

    /// Bytes of memory that were asked for.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.bytes("VmData:")
    }

    /// The most that was in use at a time, ever.
    pub(crate) fn resident_bytes_peak(&self) -> usize {
        self.bytes("VmHWM:")
    }

    /// The time of the processor that the server has used so far, in steps of 10 ms.
    pub(crate) fn processor_time(&self) -> Duration {
        self.child.processor_time()
    }

    /// Its open files.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits until it has let go of all but so many descriptors.
    pub(crate) fn wait_for_descriptors(&self, count: usize) {
        wait_until("descriptors are closed", || (self.descriptors() <= count).then_some(()));
    }

    /// A new client gets in, is answered, and leaves.
    pub(crate) fn expect_alive(&mut self) {
        let mut client = Client::open(self.address);
        client.send(FIN | PING, b"alive?");
        assert_eq!(client.frame(), ServerFrame::new(PONG, b"alive?"));
        client.leave();
    }

    /// The end: it is asked to stop, and does.
    pub(crate) fn stop(mut self) {
        self.child.stop();
    }

    fn bytes(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * KIB
    }
}
