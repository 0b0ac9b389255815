//! One line on a terminal that is written again each second, so that one sees that something happens.

use std::io::{IsTerminal as _, Write as _};

/// The line; nothing where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    next: u64,
    width: usize,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress { is_shown: std::io::stderr().is_terminal(), next: 0, width: 0 }
    }

    /// Begins again with a clock that begins again.
    pub(crate) fn restart(&mut self) {
        self.next = 0;
    }

    /// Shows a line, if the last one is a second old. `now` is in ns.
    #[inline]
    pub(crate) fn tick(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.is_shown && now >= self.next {
            self.next = now + 1_000_000_000;
            self.write(&line());
        }
    }

    /// Removes the line.
    pub(crate) fn clear(&mut self) {
        if self.is_shown {
            self.write("");
            let _ = std::io::stderr().write_all(b"\r");
        }
    }

    #[cold]
    fn write(&mut self, line: &str) {
        let width = self.width;
        let _ = write!(std::io::stderr(), "\r{line:width$}");
        self.width = line.len();
    }
}
