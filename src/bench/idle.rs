//! The load `idle`: connections that do nothing but answer pings.

use super::client::{Client, Out};
use super::drive::{Load, Run};
use super::replies::{Piece, Sink};

#[derive(Debug)]
pub(crate) struct Idle;

impl Load for Idle {
    fn turn(&mut self, _run: &mut Run, _now: u64) {}

    fn receive(&mut self, run: &mut Run, index: usize, bytes: &[u8], _now: u64) -> Result<(), String> {
        let Client { replies, out, .. } = &mut run.clients[index];
        replies.feed(bytes, &mut Silence { out, masking_key: run.masking_key })?;
        self.flush(run, index)
    }

    fn flush(&mut self, run: &mut Run, index: usize) -> Result<(), String> {
        run.clients[index].flush().map(drop)
    }

    fn ended(&mut self, _run: &mut Run, _index: usize) {}

    fn outstanding(&self) -> u64 {
        0
    }

    fn is_busy(&self) -> bool {
        false
    }
}

/// Hears nothing but pings.
struct Silence<'r> {
    out: &'r mut Out,
    masking_key: [u8; 4],
}

impl Sink for Silence<'_> {
    fn piece(&mut self, _piece: Piece<'_>) -> Result<(), String> {
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        self.out.pong(payload, self.masking_key);
    }
}
