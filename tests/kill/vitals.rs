//! What the system says of a server.

use std::fs;

use crate::harness::{Child, server, wait_until};

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

/// A server on a free port of 127.0.0.1 whose allocator keeps no small blocks in reserve. glibc's does so for each size
/// that was given back, and one of them at the far end of the heap keeps all in front of it in the process: in a test
/// that counts pages this would hide what the server itself holds. Other allocators do not know the variable.
pub(crate) fn start_with_frugal_allocator(args: &[&str]) -> Child {
    let tunables = ["tcache_count=0", "mxfast=0", "mmap_threshold=131072", "trim_threshold=131072"];
    let tunables = tunables.map(|tunable| format!("glibc.malloc.{tunable}")).join(":");
    Child::spawn(server().env("GLIBC_TUNABLES", tunables).args(["--listen", "127.0.0.1:0"]).args(args))
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

/// More by a tenth at most, or by what the system's counting leaves open: an idle server has written to so few pages
/// that a tenth are a handful, and glibc keeps up to 128 KiB at the end of its heap, and a margin of as much.
/// What nobody needs is given back after a moment without work, which on a busy machine may come late.
pub(crate) fn check_memory(server: &Child, before: usize) {
    check_memory_within(server, before, (before / 10).max(256 * 1024));
}

/// More by so many bytes at most.
pub(crate) fn check_memory_within(server: &Child, before: usize, more: usize) {
    wait_until(&format!("it holds no more than {before} bytes and {more}"), || {
        (memory(server) <= before + more).then_some(())
    });
}
