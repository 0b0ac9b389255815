//! What the server holds, counted at every allocation: its own turns are counted, the world around it is not.

/// Bytes that the server has asked for and not given back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: i64,
    /// The most at a time within the last call.
    pub(crate) peak: i64,
}

impl Held {
    /// Runs a piece of the server.
    pub(crate) fn count<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some(run()));
        self.peak = self.bytes + info.bytes_max as i64;
        self.bytes += info.bytes_current;
        result.expect("it was run")
    }
}

/// Runs a piece of the world inside a piece of the server.
pub(crate) fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    allocation_counter::opt_out(|| result = Some(run()));
    result.expect("it was run")
}
