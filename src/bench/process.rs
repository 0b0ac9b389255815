//! What `/proc` says of a process: its CPU time and its memory. `None` where there is no `/proc`, or no such process.

use std::fs;

/// CPU time of all threads that there are, in ns.
pub(crate) fn cpu_ns(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let time = |schedule: String| schedule.split(' ').next()?.parse::<u64>().ok();
    // A thread may end between the two looks.
    let schedules = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    schedules.map(time).reduce(|sum, time| Some(sum? + time?))?
}

/// Bytes of memory of its own: neither its program nor what it shares with others, so that they cannot change it.
pub(crate) fn memory_bytes(pid: u32) -> Option<u64> {
    parse_anonymous(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse_anonymous(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// CPU time of the server and of this program from a moment on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    server_pid: Option<u32>,
    server_ns: Option<u64>,
    own_ns: Option<u64>,
}

impl Meter {
    pub(crate) fn start(server_pid: Option<u32>) -> Meter {
        Meter { server_pid, server_ns: server_pid.and_then(cpu_ns), own_ns: cpu_ns(std::process::id()) }
    }

    /// What the server has used since.
    pub(crate) fn server_ns(&self) -> Option<u64> {
        cpu_ns(self.server_pid?)?.checked_sub(self.server_ns?)
    }

    /// What this program has used since.
    pub(crate) fn own_ns(&self) -> Option<u64> {
        cpu_ns(std::process::id())?.checked_sub(self.own_ns?)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let meter = Meter::start(Some(std::process::id()));
        // The kernel may book work only at its next tick, and a thread of another test takes its time with it.
        while meter.own_ns().is_none_or(|ns| ns == 0) || meter.server_ns().is_none_or(|ns| ns == 0) {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
        assert!(memory_bytes(std::process::id()) > Some(100_000));
    }

    #[test]
    fn a_process_that_is_not_there_has_nothing() {
        assert_eq!(cpu_ns(u32::MAX), None);
        assert_eq!(memory_bytes(u32::MAX), None);
        assert_eq!(Meter::start(None).server_ns(), None);
        assert_eq!(parse_anonymous("Rss:  5 kB\nAnonymous:           214 kB\nSwap: 7 kB\n"), Some(214 * 1024));
        assert_eq!(parse_anonymous("Rss:  5 kB\n"), None);
    }
}
