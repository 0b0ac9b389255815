//! Where a run stands in time: warm-up, window, end; what was used in the window; and how long a turn may wait.

use std::io::ErrorKind;
use std::time::Duration;

use mio::{Events, Poll};

use super::measure::{Clock, Measure};
use super::process::Meter;
use super::progress::Progress;

/// CPU time in the window, beside what is in [`Measure`].
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    /// The messages that came in this time.
    pub(crate) received: u64,
    pub(crate) server_ns: Option<u64>,
    /// Without the time of waiting.
    pub(crate) own_ns: Option<u64>,
    /// The share of the time in which there was nothing to do.
    pub(crate) waited: f64,
}

#[derive(Debug)]
pub(crate) struct Watch {
    server_pid: Option<u32>,
    /// From the start of the window on; and the messages that came before.
    meter: Option<(Meter, u64)>,
    /// Time without events: in turns that did not sleep, and in those that did.
    spun_ns: u64,
    slept_ns: u64,
    last_event: u64,
    /// When messages came last, and how many there were.
    last_received: (u64, u64),
    /// When progress was shown last, and how many messages there were.
    shown: (u64, u64),
}

impl Watch {
    pub(crate) fn new(server_pid: Option<u32>, now: u64) -> Watch {
        Watch {
            server_pid,
            meter: None,
            spun_ns: 0,
            slept_ns: 0,
            last_event: now,
            last_received: (now, 0),
            shown: (now, 0),
        }
    }

    /// How long to wait for an event: not at all while they come, so that the server never pays for waking us; after
    /// [`SPIN_NS`] without one until something is due, so that others may have the core.
    #[inline]
    pub(crate) fn timeout(&self, now: u64, next_due: Option<u64>) -> Duration {
        if now < self.last_event + SPIN_NS {
            return Duration::ZERO;
        }
        let sleep_ns = next_due.map_or(SLEEP_NS_MAX, |due| due.saturating_sub(now + SPIN_NS)).min(SLEEP_NS_MAX);
        Duration::from_millis(sleep_ns / 1_000_000) // the system sleeps for whole ones
    }

    /// Waits for events, notes for how long, and returns the time after it.
    ///
    /// # Errors
    /// If the system's poll fails.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        clock: Clock,
        start: u64,
        timeout: Duration,
    ) -> Result<u64, String> {
        match poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(format!("epoll: {error}")),
            _ => {}
        }
        let now = clock.now();
        let is_event = !events.is_empty();
        if is_event {
            self.last_event = now;
        }
        if !timeout.is_zero() {
            self.slept_ns += now - start;
        } else if !is_event {
            self.spun_ns += now - start;
        }
        Ok(now)
    }

    /// Looks at the time once a turn; whether the window is over.
    #[inline]
    pub(crate) fn is_over(
        &mut self,
        now: u64,
        measure: &mut Measure,
        outstanding: impl FnOnce() -> u64,
        progress: &mut Progress,
    ) -> bool {
        if self.meter.is_none() && now >= measure.window().start {
            (self.spun_ns, self.slept_ns) = (0, 0);
            self.meter = Some((Meter::start(self.server_pid), measure.received));
        }
        progress.tick(now, || {
            let (time, received) = std::mem::replace(&mut self.shown, (now, measure.received));
            let rate = (measure.received - received) as f64 * 1e9 / (now - time).max(1) as f64;
            let seconds_left = measure.window().end.saturating_sub(now).div_ceil(1_000_000_000);
            format!("{rate:.0} messages/s, {} errors, {seconds_left} s to go", measure.faults.errors)
        });
        if measure.received != self.last_received.1 {
            self.last_received = (now, measure.received);
        } else if now > self.last_received.0 + STALL_NS {
            self.last_received.0 = now;
            if outstanding() > 0 {
                measure.faults.error("nothing came for 10 s");
                return true;
            }
        }
        now >= measure.window().end
    }

    /// Ends the window, and says what was used in it.
    pub(crate) fn end(&mut self, now: u64, measure: &mut Measure) -> Usage {
        measure.end_window(now);
        let Some((meter, received)) = self.meter.take() else { return Usage::default() };
        let window = measure.window();
        let whole = (window.end - window.start).max(1) as f64;
        let awake = whole - self.slept_ns as f64;
        // Where others have the core at times, they take it from waiting and from working alike.
        let worked = (1.0 - self.spun_ns as f64 / awake.max(1.0)).clamp(0.0, 1.0);
        Usage {
            received: measure.received - received,
            server_ns: meter.server_ns(),
            own_ns: meter.own_ns().map(|ns| (ns as f64 * worked) as u64),
            waited: ((self.spun_ns + self.slept_ns) as f64 / whole).min(1.0),
        }
    }
}

const SPIN_NS: u64 = 1_000_000;
const SLEEP_NS_MAX: u64 = 5_000_000;
const STALL_NS: u64 = 10_000_000_000;

/// How long to wait for what is outstanding at the end: in all, and without any of it coming.
pub(crate) const DRAIN_NS_MAX: u64 = 30_000_000_000;
pub(crate) const DRAIN_SILENCE_NS_MAX: u64 = 2_000_000_000;
