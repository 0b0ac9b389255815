//! What the server holds, counted at every allocation, and what the process has of the machine's memory.

/// Bytes that were asked for and not given back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: i64,
    /// The most at a time within the last call.
    pub(crate) peak: i64,
}

impl Held {
    /// Runs something that is counted.
    pub(crate) fn count<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some(run()));
        self.peak = self.bytes + info.bytes_max as i64;
        self.bytes += info.bytes_current;
        result.expect("it was run")
    }
}

/// Resident bytes of this process; 0 where the system does not say.
pub(crate) fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * PAGE_BYTES
}

const PAGE_BYTES: i64 = 4096;
