//! Says how far a long start is, past the test harness's capture: minutes without a
//! line look like a hang.

use std::{io::Write, time::Instant};

/// Speaks of what began at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    begin: Instant,
}

impl Progress {
    pub(super) fn since(begin: Instant) -> Self {
        Self { begin }
    }

    pub(super) fn say(&self, text: &str) {
        let seconds = self.begin.elapsed().as_secs_f64();
        // Not the macro: its output is shown for failed tests only.
        let _ = std::io::stderr().write_all(format!("    cluster {seconds:6.1} s: {text}\n").as_bytes());
    }
}
