//! For `benches/counts`: that a thing costs as many instructions among 10,000 peers as among 1,000.

use super::crowd::{ACTIVE, Crowd, VISITORS};
use super::harness::{Bench, Work};
use super::world::create;

/// Runs the cases.
pub(crate) fn run() {
    let mut bench = Bench::start();
    bench.counted_calls = 10; // each of them is thousands of operations
    for peers in [1_000, 10_000] {
        create(peers + VISITORS);
        let mut crowd = Crowd::new(peers);
        crowd.all_come();
        let work = |operations| Work { operations, bytes: 0 };
        bench.case(&format!("an echo, each of 10 in a turn, of {peers}"), work(ACTIVE), (), || {
            let keys = crowd.any_peers();
            crowd.active_turn(&keys);
        });
        bench.case(&format!("a receiver of a broadcast, of {peers}"), work(peers - 1), (), || {
            crowd.broadcast();
        });
        bench.case(&format!("a ping and its pong, of {peers}"), work(peers), (), || {
            crowd.ping_all(1);
        });
        bench.case(&format!("a connect and a disconnect, of {peers}"), work(VISITORS), (), || {
            crowd.visit(VISITORS);
        });
    }
}
