//! What the system says of a server.

use std::fs;

use crate::harness::{Child, wait_until};

/// Its open files.
pub(crate) fn descriptors(server: &Child) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count()
}

/// Bytes of memory that it has written to, counted page by page: the program itself and its libraries are not among them.
pub(crate) fn memory(server: &Child) -> usize {
    let pages = fs::read_to_string(format!("/proc/{}/smaps_rollup", server.id())).unwrap();
    let line = pages.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// Stops it until it is told to go on: nothing that has a deadline happens meanwhile.
pub(crate) fn stop_still(server: &mut Child) {
    server.signal("STOP");
    wait_until("it stands still", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
        // The name of the program stands in parentheses, its state is behind it.
        stat.rsplit_once(')').unwrap().1.starts_with(" T").then_some(())
    });
}

/// More by a tenth at most.
pub(crate) fn check_memory(before: usize, after: usize) {
    assert!(after <= before + before / 10, "it held {before} bytes, and holds {after}");
}
