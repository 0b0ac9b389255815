//! What the server holds, counted at every allocation, and what the process has of the machine's memory.

#[path = "../../tests/simulation/memory.rs"]
#[allow(dead_code)] // only the simulation has a world that is not counted
mod held;

pub(crate) use held::Held;

/// Resident bytes of this process; 0 where the system does not say.
pub(crate) fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * PAGE_BYTES
}

const PAGE_BYTES: i64 = 4096;
